//! Services behind routes: who answers, on which port, guarded by which policies.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::policies::Policies;
use crate::finding::{Code, Finding, Severity, codes};
use crate::manifest::http_route::{EntryDelegate, EntryDestination};
use crate::manifest::knative::Pods;
use crate::manifest::service::{Service, ServicePort, TargetPort};
use crate::names::Place;
use crate::objects::{Object, closest};
use crate::snapshot::{
    Authentication, Closure, Destination, Endpoints, PlayedBy, Policy, PolicySet, Retries,
    ServiceRef, UpstreamProtocol,
};
use crate::world::{Key, World};

type Labels = BTreeMap<Arc<str>, Arc<str>>;

const CLUSTER_DOMAIN: &str = ".svc.cluster.local";

/// Unknown Services for which a near name is looked for.
const SUGGESTIONS: usize = 50;

/// The demo application that is built in.
const WHOAMI: (&str, &str) = ("doorward", "whoami");

/// Resolves destinations, each Service and port once.
pub(super) struct Destinations<'a> {
    pub(super) world: &'a World,
    pub(super) policies: &'a Policies,
    /// Services that this process answers for.
    pub(super) played: HashMap<Key, PlayedBy>,
    /// Retries of a route that says nothing of them.
    pub(super) retries: Option<Arc<Retries>>,
    /// How many names may still be looked for: with thousands of unknown Services it would take
    /// longer than everything else.
    suggestions: usize,
    /// By host and port, and whether more than the Service is known.
    resolved: HashMap<(Arc<str>, u16, bool), Arc<Destination>>,
    said: HashSet<(Place, String)>,
    pub(super) findings: Vec<Finding>,
}

impl<'a> Destinations<'a> {
    pub(super) fn new(
        world: &'a World,
        policies: &'a Policies,
        mut played: HashMap<Key, PlayedBy>,
        retries: Option<Arc<Retries>>,
    ) -> Self {
        let (namespace, name) = WHOAMI;
        played.insert((namespace.into(), name.into()), PlayedBy::Whoami);
        Self {
            world,
            policies,
            played,
            retries,
            suggestions: SUGGESTIONS,
            resolved: HashMap::new(),
            said: HashSet::new(),
            findings: Vec::new(),
        }
    }

    /// The destination that a route of `object` names, as seen from a listener.
    pub(super) fn resolve(
        &mut self,
        object: &Object,
        entry: &EntryDestination,
        listener_port: u16,
    ) -> Arc<Destination> {
        let host = full_host(&entry.host, object.namespace());
        let key = service_key(&host);
        let world = self.world;
        let service = key
            .as_ref()
            .and_then(|(namespace, name)| world.service(namespace, name));
        let played = key.as_ref().and_then(|key| self.played.get(key)).cloned();
        let backing = entry.backing.as_deref();
        // A Service without ports is only another name.
        let service = service.filter(|one| backing.is_none() || !one.ports.is_empty());
        let Some(service) = service else {
            let port = entry.port.unwrap_or(listener_port);
            if let Some(backing) = backing {
                return self.by_name(host, key, port, backing);
            }
            if let Some(played_by) = played {
                return self.without_service(&host, key, port, played_by);
            }
            let fault = format!(
                "`{host}` is no Service in the manifests, so nobody answers on port {port}"
            );
            let remedy = self.near_service(&host);
            let closure = self.say(object, entry, "host", codes::UNKNOWN_SERVICE, fault, remedy);
            return nobody(&host, key, port, closure);
        };
        let port = entry.port.unwrap_or(match service.ports.as_slice() {
            [only] => only.number,
            _ => listener_port,
        });
        if let Some(closure) = &service.closed {
            return nobody(&host, key, port, Arc::clone(closure));
        }
        let Some(service_port) = service.port(port) else {
            let fault = format!(
                "the Service `{}` has no port {port}",
                service.object.reference
            );
            let remedy = port_remedy(service);
            let closure = self.say(
                object,
                entry,
                "port.number",
                codes::PORT_ABSENT,
                fault,
                remedy,
            );
            return nobody(&host, key, port, closure);
        };
        if let Some(subset) = &entry.subset {
            let fault = format!("the subset `{subset}` of `{host}` is not known");
            let remedy = "give the subset its own Service".to_owned();
            let closure = self.say(object, entry, "subset", codes::SUBSET, fault, remedy);
            return nobody(&host, key, port, closure);
        }
        let cached = (Arc::clone(&host), port, backing.is_some());
        if let Some(destination) = self.resolved.get(&cached) {
            return Arc::clone(destination);
        }
        let (policies, authentication) = self.guards(service, backing);
        let played_by = played.unwrap_or(PlayedBy::Upstream);
        self.check_refusal(object, entry, service, &policies, &played_by);
        let destination = Arc::new(Destination {
            service: ServiceRef {
                namespace: Arc::clone(&service.namespace),
                name: Arc::clone(&service.name),
                port,
            },
            host,
            target_port: self.target_port(service, service_port),
            played_by,
            protocol: UpstreamProtocol::default(),
            tls: None,
            endpoints: Endpoints::default(),
            traffic: Arc::default(),
            policies,
            authentication,
        });
        self.resolved.insert(cached, Arc::clone(&destination));
        destination
    }

    /// The door that a delegate closes which nobody could put in its place.
    pub(super) fn undelegated(
        &mut self,
        object: &Object,
        delegate: &EntryDelegate,
    ) -> Arc<Closure> {
        let finding = object.finding(
            codes::DELEGATE,
            Severity::Error,
            delegate.line,
            delegate.path.clone(),
            format!("`{}` leads nowhere", delegate.path),
            "name a `VirtualService` without `hosts`",
        );
        let closure = Arc::new(Closure::of(&finding));
        self.findings.push(finding);
        closure
    }

    /// Policies of the workloads behind a Service. Where several different ones stand behind it, a
    /// request has to pass what any of them asks.
    fn guards(&self, service: &Service, known: Option<&Pods>) -> (PolicySet, Authentication) {
        let none = Labels::new();
        let mut pods: Vec<(Labels, &Labels)> = Vec::new();
        for workload in self.world.workloads_of(service) {
            let mut labels = service.selector.clone();
            labels.extend(
                workload
                    .labels
                    .iter()
                    .map(|(key, value)| (Arc::clone(key), Arc::clone(value))),
            );
            pods.push((labels, &workload.annotations));
        }
        if pods.is_empty() {
            let mut labels = service.selector.clone();
            labels.extend(known.map(|pods| pods.labels.clone()).unwrap_or_default());
            pods.push((labels, known.map_or(&none, |pods| &pods.annotations)));
        }
        let namespace = &*service.namespace;
        let guarded = pods
            .iter()
            .filter(|(labels, annotations)| self.world.in_mesh(namespace, labels, annotations))
            .map(|(labels, _)| self.policies.of(namespace, labels));
        guarded.reduce(strictest).unwrap_or_default()
    }

    fn target_port(&self, service: &Service, port: &ServicePort) -> u16 {
        match &port.target {
            TargetPort::Number(number) => *number,
            TargetPort::Name(name) => {
                let mut workloads = self.world.workloads_of(service);
                workloads
                    .find_map(|workload| workload.port_named(name))
                    .unwrap_or(port.number)
            }
        }
    }

    /// A name whose Service is not among the manifests, while its pods are known.
    fn by_name(
        &mut self,
        host: Arc<str>,
        key: Option<Key>,
        port: u16,
        backing: &Pods,
    ) -> Arc<Destination> {
        let cached = (host, port, true);
        if let Some(destination) = self.resolved.get(&cached) {
            return Arc::clone(destination);
        }
        let mut destination = bare(&cached.0, key, port, PlayedBy::Upstream);
        let namespace = &destination.service.namespace;
        let Pods {
            labels,
            annotations,
        } = backing;
        if self.world.in_mesh(namespace, labels, annotations) {
            let (policies, authentication) = self.policies.of(namespace, labels);
            destination.policies = policies;
            destination.authentication = authentication;
        }
        let destination = Arc::new(destination);
        self.resolved.insert(cached, Arc::clone(&destination));
        destination
    }

    /// What this process plays answers without a Service, too; policies of its whole namespace
    /// count.
    fn without_service(
        &self,
        host: &Arc<str>,
        key: Option<Key>,
        port: u16,
        played_by: PlayedBy,
    ) -> Arc<Destination> {
        let mut destination = bare(host, key, port, played_by);
        let namespace = &destination.service.namespace;
        let none = Labels::new();
        if self.world.in_mesh(namespace, &none, &none) {
            let (policies, authentication) = self.policies.of(namespace, &none);
            destination.policies = policies;
            destination.authentication = authentication;
        }
        Arc::new(destination)
    }

    /// Records an error once per place and returns the door that it closes.
    fn say(
        &mut self,
        object: &Object,
        entry: &EntryDestination,
        field: &str,
        code: Code,
        fault: String,
        remedy: String,
    ) -> Arc<Closure> {
        let path = format!("{}.{field}", entry.path);
        let finding = object.finding(code, Severity::Error, entry.line, path, fault, remedy);
        let closure = Arc::new(Closure::of(&finding));
        if self
            .said
            .insert((object.at(entry.line), finding.field.clone()))
        {
            self.findings.push(finding);
        }
        closure
    }

    /// ALLOW policies apply and none of them lets anything in.
    fn check_refusal(
        &mut self,
        object: &Object,
        entry: &EntryDestination,
        service: &Service,
        policies: &PolicySet,
        played_by: &PlayedBy,
    ) {
        let empty = |policy: &Arc<Policy>| policy.rules.is_empty();
        let refuses = !policies.allow.is_empty() && policies.allow.iter().all(empty);
        if !refuses || *played_by != PlayedBy::Upstream {
            return;
        }
        let by = &policies.allow[0].info.object;
        let remedy = if self.world.workloads_of(service).next().is_some() {
            format!(
                "add an ALLOW `AuthorizationPolicy` in `{}`",
                service.namespace
            )
        } else {
            "add its Deployment to the manifests if it has no sidecar; else add an ALLOW policy"
                .to_owned()
        };
        let path = format!("{}.host", entry.path);
        if self.said.insert((object.at(entry.line), path.clone())) {
            self.findings.push(object.finding(
                codes::DESTINATION_REFUSES,
                Severity::Warning,
                entry.line,
                path,
                format!(
                    "`{}` refuses every request: `{by}` allows nothing",
                    service.object.reference
                ),
                remedy,
            ));
        }
    }

    fn near_service(&mut self, host: &str) -> String {
        let Some(left) = self.suggestions.checked_sub(1) else {
            return "add the Service to the manifests, or mend the name".to_owned();
        };
        self.suggestions = left;
        let services = self.world.services.values();
        let short = |service: &Service| format!("{}.{}", service.name, service.namespace);
        let wanted = host.strip_suffix(CLUSTER_DOMAIN).unwrap_or(host);
        let name = wanted.split('.').next().unwrap_or(wanted);
        let same_name = services
            .clone()
            .find(|service| *service.name == *name)
            .map(short);
        let names: Vec<String> = services.map(short).collect();
        let closest = || closest(wanted, names.iter().map(String::as_str)).map(str::to_owned);
        match same_name.or_else(closest) {
            Some(near) => format!("did you mean `{near}{CLUSTER_DOMAIN}`?"),
            None => "add the Service to the manifests, or mend the name".to_owned(),
        }
    }
}

/// The stricter of two sets: everything that refuses, and only what both allow.
fn strictest(
    (mut a, mut tokens): (PolicySet, Authentication),
    (b, more): (PolicySet, Authentication),
) -> (PolicySet, Authentication) {
    let join = |list: &mut Vec<Arc<Policy>>, other: Vec<Arc<Policy>>| {
        for policy in other {
            if !list.contains(&policy) {
                list.push(policy);
            }
        }
    };
    join(&mut a.custom, b.custom);
    join(&mut a.audit, b.audit);
    join(&mut a.deny, b.deny);
    let nothing = a.allow.first().or(b.allow.first()).map(|policy| {
        // No policy lets the request into both, so it is let into neither.
        Arc::new(Policy {
            rules: Vec::new(),
            ..(**policy).clone()
        })
    });
    if !b.allow.is_empty() {
        if a.allow.is_empty() {
            a.allow = b.allow;
        } else {
            a.allow.retain(|policy| b.allow.contains(policy));
            if a.allow.is_empty() {
                a.allow.extend(nothing);
            }
        }
    }
    for rule in more.rules {
        if !tokens.rules.contains(&rule) {
            tokens.rules.push(rule);
        }
    }
    tokens.rules.sort_by(|a, b| a.issuer.cmp(&b.issuer));
    (a, tokens)
}

/// A short name is one of the namespace of the route.
pub(super) fn full_host(host: &str, namespace: &str) -> Arc<str> {
    if host.contains('.') {
        host.trim_end_matches('.').into()
    } else {
        format!("{host}.{namespace}{CLUSTER_DOMAIN}").into()
    }
}

/// Namespace and name of a Service host.
pub(super) fn service_key(host: &str) -> Option<Key> {
    let (name, namespace) = host.strip_suffix(CLUSTER_DOMAIN)?.split_once('.')?;
    (!namespace.contains('.')).then(|| (namespace.into(), name.into()))
}

fn port_remedy(service: &Service) -> String {
    match service.ports.as_slice() {
        [] => "give the Service a port".to_owned(),
        [only] => format!("write {}, its only port", only.number),
        many => {
            let numbers: Vec<String> = many.iter().map(|port| port.number.to_string()).collect();
            format!("it has the ports {}", numbers.join(", "))
        }
    }
}

fn nobody(host: &Arc<str>, key: Option<Key>, port: u16, closure: Arc<Closure>) -> Arc<Destination> {
    Arc::new(bare(host, key, port, PlayedBy::Nobody(closure)))
}

fn bare(host: &Arc<str>, key: Option<Key>, port: u16, played_by: PlayedBy) -> Destination {
    let (namespace, name) = key.unwrap_or_else(|| ("".into(), Arc::clone(host)));
    Destination {
        service: ServiceRef {
            namespace,
            name,
            port,
        },
        host: Arc::clone(host),
        target_port: port,
        played_by,
        protocol: UpstreamProtocol::default(),
        tls: None,
        endpoints: Endpoints::default(),
        traffic: Arc::default(),
        policies: PolicySet::default(),
        authentication: Authentication::default(),
    }
}
