//! What follows from each `Profile`: the policy of its owner, unless the manifests have it, and who
//! else was let in.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::contributors::{Contributors, role_of};
use crate::finding::{Finding, Severity, codes};
use crate::manifest::authorization_policy::{AuthorizationPolicy, object_info};
use crate::manifest::profile::{self, OWNER_POLICY};
use crate::manifest::selection::Selection;
use crate::names::ObjectRef;
use crate::objects::Object;
use crate::snapshot::{
    self, Closure, Identity, Named, PolicyInfo, Stands, Subject, Tenancy, UserHeader,
};
use crate::world::World;

/// Principals as the profile controller has them unless it is told others.
const PIPELINES: &str = "cluster.local/ns/kubeflow/sa/ml-pipeline-ui";
const NOTEBOOKS: &str = "cluster.local/ns/kubeflow/sa/notebook-controller-service-account";

/// What the mesh is, as far as the policies of profiles name it.
pub(super) struct Surroundings<'a> {
    pub(super) identity: &'a Identity,
    pub(super) user_header: &'a UserHeader,
    pub(super) root_namespace: &'a Arc<str>,
    pub(super) trust_domains: &'a [Arc<str>],
}

/// Every profile, and the policies that follow.
pub(super) struct Profiles {
    /// Those that the manifests lack, and closed doors.
    pub(super) policies: Vec<AuthorizationPolicy>,
    /// What the policies of contributors mean.
    pub(super) contributors: Contributors,
    pub(super) tenancy: Tenancy,
}

impl Profiles {
    /// Reads all of them.
    pub(super) fn read(
        world: &World,
        around: &Surroundings<'_>,
        owned: &HashSet<Arc<str>>,
        strict_viewers: bool,
        findings: &mut Vec<Finding>,
    ) -> Self {
        let named = Arc::new(named(world, around, findings));
        // Where policies allow, older rules are not asked, so the owner needs a policy too.
        let guarded: HashSet<&Arc<str>> = world
            .of_kind("AuthorizationPolicy")
            .iter()
            .map(|object| object.namespace())
            .collect();
        let older = owned
            .iter()
            .filter(|namespace| !guarded.contains(namespace))
            .cloned();
        let older: HashSet<Arc<str>> = older.collect();
        let mut reader = Reader {
            world,
            around,
            named: &named,
            namespaces: written_namespaces(world),
            written: written_policies(world),
            older: &older,
            policies: Vec::new(),
            owners: BTreeMap::new(),
            findings,
        };
        reader.broken();
        for object in world.of_kind("Profile") {
            reader.profile(object);
        }
        let Reader {
            policies, owners, ..
        } = reader;
        let contributors =
            Contributors::read(world, &named, &owners, &older, strict_viewers, findings);
        let mut profiles: BTreeMap<_, _> = owners
            .into_iter()
            .map(|(name, (owner, object))| {
                let profile = snapshot::Profile {
                    name: Arc::clone(&name),
                    owner,
                    place: object.place.clone(),
                    bindings: contributors.of(&name),
                    own: Vec::new(),
                    occupied: world.unread.get(&name).cloned(),
                };
                (name, profile)
            })
            .collect();
        world.each_object(|object| take_in(&mut profiles, world, object));
        let tenancy = Tenancy {
            profiles: profiles
                .into_iter()
                .map(|(name, profile)| (name, Arc::new(profile)))
                .collect(),
            namespaces: namespaces(world),
            cluster_admins: cluster_admins(world, findings),
            self_service: self_service(world),
            named: Some(named),
        };
        Self {
            policies,
            contributors,
            tenancy,
        }
    }
}

/// Sorts an object of a profile's namespace into what goes with the profile and what does not.
fn take_in(profiles: &mut BTreeMap<Arc<str>, snapshot::Profile>, world: &World, object: &Object) {
    let reference = &object.reference;
    let is_namespace = &*reference.kind == "Namespace";
    let namespace = match &*reference.kind {
        "Namespace" => &reference.name,
        _ => &reference.namespace,
    };
    let Some(profile) = profiles.get_mut(namespace) else {
        return;
    };
    if is_namespace && world.made.contains(&reference.name) {
        return;
    }
    let kinds = ["AuthorizationPolicy", "RoleBinding"];
    let is_contributors = kinds.contains(&&*reference.kind) && role_of(object).is_some();
    if is_namespace || is_contributors || profile::is_of_controller(reference) {
        profile.own.push(Stands {
            object: reference.clone(),
            place: object.place.clone(),
        });
    } else {
        profile.occupied.get_or_insert_with(|| reference.clone());
    }
}

fn written_namespaces(world: &World) -> HashMap<&Arc<str>, &Arc<Object>> {
    world
        .of_kind("Namespace")
        .iter()
        .filter(|object| !world.made.contains(object.name()))
        .map(|object| (object.name(), object))
        .collect()
}

/// `ns-owner-access-istio` as the manifests have it, by namespace.
fn written_policies(world: &World) -> HashMap<&Arc<str>, &Arc<Object>> {
    world
        .of_kind("AuthorizationPolicy")
        .iter()
        .filter(|object| &**object.name() == OWNER_POLICY)
        .map(|object| (object.namespace(), object))
        .collect()
}

struct Reader<'a, 'f> {
    world: &'a World,
    around: &'a Surroundings<'a>,
    named: &'a Arc<Named>,
    /// Namespaces of the manifests.
    namespaces: HashMap<&'a Arc<str>, &'a Arc<Object>>,
    /// Policies of owners of the manifests.
    written: HashMap<&'a Arc<str>, &'a Arc<Object>>,
    /// Namespaces whose owner is let in by the older objects of the controller.
    older: &'a HashSet<Arc<str>>,
    policies: Vec<AuthorizationPolicy>,
    owners: BTreeMap<Arc<str>, (Subject, Arc<Object>)>,
    findings: &'f mut Vec<Finding>,
}

impl Reader<'_, '_> {
    /// A Profile that is no YAML: whose its namespace is cannot be told.
    fn broken(&mut self) {
        let root = self.around.root_namespace;
        let broken = self.world.broken.iter();
        for broken in broken.filter(|broken| &*broken.object.kind == "Profile") {
            let name = &broken.object.name;
            let info = PolicyInfo {
                object: broken.object.clone(),
                place: broken.place.clone(),
            };
            let closed = if name.is_empty() { root } else { name };
            self.policies.push(AuthorizationPolicy::door(
                Selection::whole(closed),
                Arc::new(info),
                Arc::clone(&broken.closure),
            ));
        }
    }

    fn profile(&mut self, object: &Arc<Object>) {
        let name = object.name();
        if name == self.around.root_namespace || *name == self.around.identity.namespace {
            let fault = format!(
                "`{name}` is a namespace of the mesh itself, so this `Profile` has no effect"
            );
            self.findings.push(object.finding(
                codes::PROFILE_RESERVED,
                Severity::Error,
                object.place.line,
                "metadata.name",
                fault,
                "give the profile a name of its own",
            ));
            return;
        }
        let owner = profile::owner(object, self.findings).and_then(|owner| {
            self.check_namespace(object, &owner)?;
            Ok(owner)
        });
        match owner {
            Ok(owner) => {
                self.policy(object, &owner);
                self.owners
                    .insert(Arc::clone(name), (owner, Arc::clone(object)));
            }
            Err(closure) => {
                let selection = Selection::whole(name);
                let door = AuthorizationPolicy::door(selection, object_info(object), closure);
                self.policies.push(door);
            }
        }
    }

    /// A namespace that was there before the Profile is only its owner's if it says so itself: the
    /// controller takes no other over.
    fn check_namespace(&mut self, profile: &Object, owner: &Subject) -> Result<(), Arc<Closure>> {
        let Some(namespace) = self.namespaces.get(profile.name()) else {
            return Ok(());
        };
        if let Some(closure) = &namespace.closed {
            return Err(Arc::clone(closure));
        }
        let annotation = namespace.annotation("owner");
        if annotation != Some(&*owner.name) {
            let fault = match annotation {
                None => format!(
                    "`{}` has no annotation `owner`, so the `Profile` cannot take it over",
                    namespace.reference
                ),
                Some(other) => format!(
                    "`{}` is owned by `{other}` and claimed by the `Profile` of `{}`",
                    namespace.reference, owner.name
                ),
            };
            let finding = namespace.finding(
                codes::PROFILE_NAMESPACE,
                Severity::Error,
                namespace.place.line,
                "metadata.annotations.owner",
                fault,
                format!(
                    "write `owner: {}`, or remove the Namespace or the Profile",
                    owner.name
                ),
            );
            let closure = Arc::new(Closure::of(&finding));
            self.findings.push(finding);
            return Err(closure);
        }
        let read = self.world.namespaces.get(profile.name());
        if read.is_some_and(|namespace| !namespace.injected) {
            self.findings.push(namespace.finding(
                codes::PROFILE_UNGUARDED,
                Severity::Warning,
                namespace.place.line,
                "metadata.labels.istio-injection",
                "this namespace of a `Profile` has no sidecars, so nothing enforces its policies",
                "write `istio-injection: enabled`",
            ));
        }
        Ok(())
    }

    /// The policy of the owner: the one of the manifests, if there is one.
    fn policy(&mut self, object: &Arc<Object>, owner: &Subject) {
        let derived = profile::owner_policy(object, owner, self.named);
        let trust_domains = self.around.trust_domains;
        let read = AuthorizationPolicy::read(&derived, trust_domains, self.findings);
        let Some(written) = self.written.get(object.name()) else {
            if !self.older.contains(object.name()) {
                self.policies.push(read);
            }
            return;
        };
        // Its own findings come where it is read to be enforced.
        let as_written = AuthorizationPolicy::read(written, trust_domains, &mut Vec::new());
        if as_written.policy.closed.is_none() && !as_written.says_the_same(&read) {
            self.findings.push(written.finding(
                codes::PROFILE_DIFFERS,
                Severity::Note,
                written.place.line,
                "spec",
                format!(
                    "this is not what the profile controller makes of the `Profile` at `{}`",
                    object.place
                ),
                "nothing to do if it is meant so: this one counts; remove it to get the usual one",
            ));
        }
    }
}

fn namespaces(world: &World) -> BTreeSet<Arc<str>> {
    let mut all: BTreeSet<Arc<str>> = world.unread.keys().cloned().collect();
    world.each_object(|object| {
        let ObjectRef {
            kind,
            namespace,
            name,
        } = &object.reference;
        let own = matches!(&**kind, "Namespace" | "Profile");
        let namespace = if own { name } else { namespace };
        if !all.contains(namespace) {
            all.insert(Arc::clone(namespace));
        }
    });
    for broken in &world.broken {
        let ObjectRef {
            namespace, name, ..
        } = &broken.object;
        all.extend([Arc::clone(namespace), Arc::clone(name)]);
    }
    all.remove("");
    all
}

/// What the policies of profiles name: as the profile controller is told, else this gateway.
fn named(world: &World, around: &Surroundings<'_>, findings: &mut Vec<Finding>) -> Named {
    let mut told = |key| setting(world, key, findings).0;
    let gateway = told("ISTIO_INGRESS_GATEWAY_PRINCIPAL");
    let UserHeader { user, prefix, .. } = around.user_header;
    Named {
        gateway: gateway.unwrap_or_else(|| Arc::clone(&around.identity.principal)),
        pipelines: told("KFP_UI_PRINCIPAL").unwrap_or_else(|| PIPELINES.into()),
        notebooks: told("NOTEBOOK_CONTROLLER_PRINCIPAL").unwrap_or_else(|| NOTEBOOKS.into()),
        header: user.clone(),
        prefix: Arc::clone(prefix),
    }
}

/// Of ConfigMaps that disagree nobody is taken for an administrator.
fn cluster_admins(world: &World, findings: &mut Vec<Finding>) -> Vec<Arc<str>> {
    let admins = ["ADMIN", "admin"].map(|key| setting(world, key, findings));
    let texts = admins.iter().filter(|(_, agreed)| *agreed);
    let names = texts.filter_map(|(text, _)| text.as_deref());
    names
        .flat_map(|text| text.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(Arc::from)
        .collect()
}

/// Only where it is said: a dashboard that is not in the manifests lets nobody register.
fn self_service(world: &World) -> bool {
    let keys = ["CD_REGISTRATION_FLOW", "REGISTRATION_FLOW"];
    let mut said = world
        .config_maps
        .values()
        .flat_map(|map| keys.iter().filter_map(|key| map.data.get(*key)))
        .peekable();
    said.peek().is_some() && said.all(|entry| &*entry.text == "true")
}

/// A setting of the profile controller in its ConfigMap, and whether all of them say the same.
fn setting(world: &World, key: &str, findings: &mut Vec<Finding>) -> (Option<Arc<str>>, bool) {
    let maps = world.config_maps.values();
    let own = maps.filter(|map| map.object.name().starts_with("profiles-"));
    let mut entries = own.filter_map(|map| Some((map, map.data.get(key)?)));
    let Some((first, entry)) = entries.next() else {
        return (None, true);
    };
    let mut agreed = true;
    for (map, other) in entries.filter(|(_, other)| other.text != entry.text) {
        agreed = false;
        findings.push(map.object.finding(
            codes::PROFILE_SETTING,
            Severity::Error,
            other.line,
            format!("data[{key}]"),
            format!(
                "`{key}` is `{}`, and `{}` in `{}`",
                other.text, entry.text, first.object.reference
            ),
            "keep one ConfigMap of the profile controller",
        ));
    }
    let text = Some(Arc::clone(&entry.text)).filter(|text| !text.is_empty());
    (text, agreed)
}
