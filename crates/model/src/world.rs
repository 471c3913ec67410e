//! Every object, by kind: what the conversions of linked kinds look things up in.

mod namespaces;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::finding::{Finding, Severity, codes};
use crate::manifest::config_map::ConfigMap;
use crate::manifest::destination_rule::DestinationRule;
use crate::manifest::endpoints::ServiceEndpoints;
use crate::manifest::gateway_api;
use crate::manifest::namespace::Namespace;
use crate::manifest::profile;
use crate::manifest::secret::SecretData;
use crate::manifest::service::Service;
use crate::manifest::service_entry::ServiceEntry;
use crate::manifest::workload::Workload;
use crate::names::ObjectRef;
use crate::objects::{self, Broken, HELM, Object, ObjectSet, placeholders};
use crate::snapshot::Closure;

/// Namespace and name.
pub(crate) type Key = (Arc<str>, Arc<str>);

/// All objects, in the order of Istio (name, then namespace), and the core kinds converted.
pub(crate) struct World {
    /// Raw objects of the kinds in [`READ`], by kind and API group.
    objects: BTreeMap<(&'static str, &'static str), Vec<Arc<Object>>>,
    /// How many of each kind were seen, whatever they mean.
    pub(crate) counts: BTreeMap<Arc<str>, usize>,
    /// Documents that are no YAML.
    pub(crate) broken: Vec<Broken>,
    /// One object of a kind that is not read, for each namespace that has one.
    pub(crate) unread: BTreeMap<Arc<str>, ObjectRef>,
    /// Names of the Namespaces that no file has: their Profiles stand for them.
    pub(crate) made: HashSet<Arc<str>>,
    pub(crate) config_maps: BTreeMap<Key, ConfigMap>,
    pub(crate) secrets: BTreeMap<Key, SecretData>,
    pub(crate) services: BTreeMap<Key, Service>,
    /// `EndpointSlice`s and `Endpoints`, by their Service.
    pub(crate) endpoints: BTreeMap<Key, Vec<ServiceEndpoints>>,
    pub(crate) service_entries: Vec<ServiceEntry>,
    pub(crate) destination_rules: Vec<DestinationRule>,
    pub(crate) namespaces: BTreeMap<Arc<str>, Namespace>,
    /// Deployments and StatefulSets.
    pub(crate) workloads: Vec<Workload>,
    /// Where those of each namespace are among them.
    workloads_of: HashMap<Arc<str>, Vec<usize>>,
}

/// Kind, API group, versions.
type ReadKind = (&'static str, &'static str, &'static [&'static str]);

/// Kinds that are read: kind, API group, versions with one schema. Of two with one name, the first is
/// meant where no group is given.
const READ: &[ReadKind] = &[
    ("ConfigMap", "", &["v1"]),
    ("Secret", "", &["v1"]),
    ("Service", "", &["v1"]),
    ("Namespace", "", &["v1"]),
    ("Deployment", "apps", &["v1"]),
    ("StatefulSet", "apps", &["v1"]),
    (
        "Gateway",
        "networking.istio.io",
        &["v1", "v1beta1", "v1alpha3"],
    ),
    (
        "VirtualService",
        "networking.istio.io",
        &["v1", "v1beta1", "v1alpha3"],
    ),
    (
        "DestinationRule",
        "networking.istio.io",
        &["v1", "v1beta1", "v1alpha3"],
    ),
    (
        "ServiceEntry",
        "networking.istio.io",
        &["v1", "v1beta1", "v1alpha3"],
    ),
    ("EndpointSlice", "discovery.k8s.io", &["v1", "v1beta1"]),
    ("Endpoints", "", &["v1"]),
    (
        "AuthorizationPolicy",
        "security.istio.io",
        &["v1", "v1beta1"],
    ),
    (
        "RequestAuthentication",
        "security.istio.io",
        &["v1", "v1beta1"],
    ),
    (
        "PeerAuthentication",
        "security.istio.io",
        &["v1", "v1beta1"],
    ),
    ("MeshConfig", HELM, &[""]),
    ("EnvoyFilter", "networking.istio.io", &["v1alpha3"]),
    ("ClusterRbacConfig", "rbac.istio.io", &["v1alpha1"]),
    ("RbacConfig", "rbac.istio.io", &["v1alpha1"]),
    ("ServiceRole", "rbac.istio.io", &["v1alpha1"]),
    ("ServiceRoleBinding", "rbac.istio.io", &["v1alpha1"]),
    ("Profile", "kubeflow.org", &["v1", "v1beta1", "v1alpha1"]),
    (
        "RoleBinding",
        "rbac.authorization.k8s.io",
        &["v1", "v1beta1"],
    ),
    ("Certificate", "cert-manager.io", CERT_MANAGER),
    ("ClusterIssuer", "cert-manager.io", CERT_MANAGER),
    ("Issuer", "cert-manager.io", CERT_MANAGER),
    ("Service", KNATIVE, &["v1", "v1beta1"]),
    ("Route", KNATIVE, &["v1", "v1beta1"]),
    ("InferenceService", "serving.kserve.io", &["v1beta1"]),
    ("GatewayClass", gateway_api::GROUP, &["v1", "v1beta1"]),
    ("Gateway", gateway_api::GROUP, &["v1", "v1beta1"]),
    ("HTTPRoute", gateway_api::GROUP, &["v1", "v1beta1"]),
    ("GRPCRoute", gateway_api::GROUP, &["v1"]),
    (
        "TLSRoute",
        gateway_api::GROUP,
        &["v1", "v1alpha3", "v1alpha2"],
    ),
    ("ReferenceGrant", gateway_api::GROUP, &["v1", "v1beta1"]),
    ("BackendTLSPolicy", gateway_api::GROUP, &["v1"]),
    ("Ingress", "networking.k8s.io", &["v1"]),
    ("IngressClass", "networking.k8s.io", &["v1"]),
];

const KNATIVE: &str = "serving.knative.dev";

/// What [`World::of_kind`] calls the `Service` of Knative, which is not the one of the core.
pub(crate) const KNATIVE_SERVICE: &str = "Service.serving.knative.dev";

const CERT_MANAGER: &[&str] = &["v1", "v1beta1", "v1alpha3", "v1alpha2"];

impl World {
    /// Reads the files.
    pub(crate) fn read(set: &ObjectSet, findings: &mut Vec<Finding>) -> Self {
        let (read, broken) = objects::read(set, findings);
        let mut objects: BTreeMap<_, Vec<Arc<Object>>> = BTreeMap::new();
        let mut counts: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        let mut unread: BTreeMap<Arc<str>, ObjectRef> = BTreeMap::new();
        for mut object in read {
            *counts
                .entry(Arc::clone(&object.reference.kind))
                .or_default() += 1;
            let kind = &*object.reference.kind;
            let known = READ
                .iter()
                .find(|(name, group, _)| *name == kind && *group == &*object.group);
            let Some((kind, group, versions)) = known else {
                if !profile::is_of_controller(&object.reference) {
                    unread
                        .entry(Arc::clone(object.namespace()))
                        .or_insert_with(|| object.reference.clone());
                }
                continue;
            };
            if !versions.contains(&&*object.version) {
                let finding = unknown_version(&object, group, versions);
                Arc::make_mut(&mut object).closed = Some(Arc::new(Closure::of(&finding)));
                findings.push(finding);
            }
            if let Some(closure) = unfilled(kind, &object, findings) {
                Arc::make_mut(&mut object).closed.get_or_insert(closure);
            }
            objects.entry((*kind, *group)).or_default().push(object);
        }
        let mut world = Self {
            objects,
            counts,
            broken,
            unread,
            made: HashSet::new(),
            config_maps: BTreeMap::new(),
            secrets: BTreeMap::new(),
            services: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            service_entries: Vec::new(),
            destination_rules: Vec::new(),
            namespaces: BTreeMap::new(),
            workloads: Vec::new(),
            workloads_of: HashMap::new(),
        };
        world.convert(findings);
        world
    }

    fn convert(&mut self, findings: &mut Vec<Finding>) {
        self.config_maps = self.keyed("ConfigMap", |object| ConfigMap::read(object, findings));
        self.secrets = self.keyed("Secret", |object| SecretData::read(object, findings));
        self.services = self.keyed("Service", |object| Some(Service::read(object, findings)));
        self.endpoints = self.read_endpoints(findings);
        self.service_entries = self
            .of_kind("ServiceEntry")
            .iter()
            .map(|object| ServiceEntry::read(object, findings))
            .collect();
        self.destination_rules = self
            .of_kind("DestinationRule")
            .iter()
            .map(|object| DestinationRule::read(object, findings))
            .collect();
        self.add_namespaces();
        self.namespaces = self.injection();
        let workloads = ["Deployment", "StatefulSet"]
            .iter()
            .flat_map(|kind| self.of_kind(kind));
        self.workloads = workloads
            .map(|object| Workload::read(object, findings))
            .collect();
        for (at, workload) in self.workloads.iter().enumerate() {
            let namespace = Arc::clone(&workload.namespace);
            self.workloads_of.entry(namespace).or_default().push(at);
        }
    }

    /// `Endpoints` are the older form: where there are slices, they say the same once more.
    fn read_endpoints(&self, findings: &mut Vec<Finding>) -> BTreeMap<Key, Vec<ServiceEndpoints>> {
        let mut all: BTreeMap<Key, Vec<ServiceEndpoints>> = BTreeMap::new();
        for object in self.of_kind("EndpointSlice") {
            if let Some(slice) = ServiceEndpoints::of_slice(object, findings) {
                all.entry(slice.service.clone()).or_default().push(slice);
            }
        }
        for object in self.of_kind("Endpoints") {
            let older = ServiceEndpoints::of_endpoints(object, findings);
            all.entry(older.service.clone()).or_insert(vec![older]);
        }
        all
    }

    /// Of copies that differ, the first is kept; it knows that it is closed.
    fn keyed<T>(
        &self,
        kind: &str,
        mut read: impl FnMut(&Arc<Object>) -> Option<T>,
    ) -> BTreeMap<Key, T> {
        let mut all = BTreeMap::new();
        for object in self.of_kind(kind) {
            let key = (Arc::clone(object.namespace()), Arc::clone(object.name()));
            if !all.contains_key(&key)
                && let Some(value) = read(object)
            {
                all.insert(key, value);
            }
        }
        all
    }

    /// The raw objects of a kind that is read, by name, then namespace.
    pub(crate) fn of_kind(&self, kind: &str) -> &[Arc<Object>] {
        if kind == KNATIVE_SERVICE {
            return self.of_group(KNATIVE, "Service");
        }
        self.matching(|(name, _, _)| *name == kind)
    }

    /// The same of one API group: a `Gateway` is Istio's, or one of the Gateway API.
    pub(crate) fn of_group(&self, group: &str, kind: &str) -> &[Arc<Object>] {
        self.matching(|(name, own, _)| *name == kind && *own == group)
    }

    fn matching(&self, wanted: impl Fn(&ReadKind) -> bool) -> &[Arc<Object>] {
        let known = READ.iter().find(|one| wanted(one));
        let found = known.and_then(|(kind, group, _)| self.objects.get(&(*kind, *group)));
        found.map_or(&[], Vec::as_slice)
    }

    /// Calls `visit` for every object of a kind that is read.
    pub(crate) fn each_object(&self, visit: impl FnMut(&Arc<Object>)) {
        self.objects.values().flatten().for_each(visit);
    }

    /// The ConfigMap of this name.
    pub(crate) fn config_map(&self, namespace: &str, name: &str) -> Option<&ConfigMap> {
        self.config_maps.get(&(namespace.into(), name.into()))
    }

    /// The Secret of this name.
    pub(crate) fn secret(&self, namespace: &str, name: &str) -> Option<&SecretData> {
        self.secrets.get(&(namespace.into(), name.into()))
    }

    /// The Service of this name.
    pub(crate) fn service(&self, namespace: &str, name: &str) -> Option<&Service> {
        self.services.get(&(namespace.into(), name.into()))
    }

    /// The Services that lead to a workload: their selector is part of its pod labels.
    pub(crate) fn services_of(&self, workload: &Workload) -> impl Iterator<Item = &Service> {
        let namespace = Arc::clone(&workload.namespace);
        let labels = workload.labels.clone();
        let first: Key = (Arc::clone(&namespace), "".into());
        let near = self.services.range(first..).map(|(_, service)| service);
        near.take_while(move |service| service.namespace == namespace)
            .filter(move |service| service.selects(&labels))
    }

    /// The workloads that a Service leads to.
    pub(crate) fn workloads_of(&self, service: &Service) -> impl Iterator<Item = &Workload> {
        let near = self.workloads_of.get(&service.namespace);
        let near = near.into_iter().flatten().map(|at| &self.workloads[*at]);
        near.filter(move |workload| service.selects(&workload.labels))
    }
}

/// Reports placeholders where the text is not a program's own. A policy that holds one is closed:
/// nobody can say what it was meant to match.
fn unfilled(kind: &str, object: &Object, findings: &mut Vec<Finding>) -> Option<Arc<Closure>> {
    if matches!(
        kind,
        "ConfigMap" | "Secret" | "Deployment" | "StatefulSet" | "EnvoyFilter"
    ) {
        return None;
    }
    let first = findings.len();
    placeholders(&object.top(), findings);
    let closure = findings
        .get(first)
        .map(|finding| Arc::new(Closure::of(finding)));
    let closes = ["AuthorizationPolicy", "RequestAuthentication", "Profile"];
    closure.filter(|_| closes.contains(&kind))
}

fn unknown_version(object: &Object, group: &str, versions: &[&str]) -> Finding {
    let (version, kind) = (&object.version, &object.reference.kind);
    object.finding(
        codes::API_VERSION,
        Severity::Error,
        object.place.line,
        "apiVersion",
        format!("`{kind}` of `{group}/{version}` is not known here"),
        format!("write it in one of: {}", versions.join(", ")),
    )
}
