//! Access rules of Istio before 1.6 (rbac.istio.io), compiled to the policies that mean the same.

mod grants;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::destinations::service_key;
use crate::finding::{Finding, Severity, codes};
use crate::manifest::authorization_policy::{AuthorizationPolicy, object_info};
use crate::manifest::rbac_config::{self, Mode};
use crate::manifest::selection::Selection;
use crate::manifest::service::Service;
use crate::manifest::service_role::{self, AccessRule};
use crate::manifest::service_role_binding::{self, ServiceRoleBinding};
use crate::names::ObjectRef;
use crate::objects::{Node, Object};
use crate::snapshot::{Action, PolicyInfo, PolicySet};
use crate::world::{Key, World};
use grants::{is_everywhere, modern, names};

/// Kinds that turn the rules on; the first that is there counts.
pub(super) const CONFIGS: [&str; 2] = ["ClusterRbacConfig", "RbacConfig"];

/// What the profile controller of Kubeflow 1.2 and before made for an owner.
const OWNER_BINDING: &str = "owner-binding-istio";

/// What the legacy objects come to.
#[derive(Default)]
pub(super) struct Legacy {
    pub(super) policies: Vec<AuthorizationPolicy>,
    /// Namespaces whose owner has a binding, where roles are asked for.
    pub(super) owned: HashSet<Arc<str>>,
}

impl Legacy {
    /// Reads all of them.
    pub(super) fn read(
        world: &World,
        root_namespace: &Arc<str>,
        trust_domains: &[Arc<str>],
        findings: &mut Vec<Finding>,
    ) -> Self {
        let mut reader = Reader {
            world,
            root_namespace,
            trust_domains,
            modes: Vec::new(),
            legacy: Self::default(),
            findings,
        };
        if reader.configuration() {
            reader.bindings();
        } else {
            reader.unused();
        }
        reader.legacy
    }
}

/// Roles are asked for at the gateway too, where one is easily forgotten: then nobody gets in.
pub(super) fn check_gateway(policies: &PolicySet, findings: &mut Vec<Finding>) {
    let Some(first) = policies.allow.first() else {
        return;
    };
    let info = &first.info;
    let nobody = policies.allow.iter().all(|policy| policy.rules.is_empty());
    if nobody && CONFIGS.contains(&&*info.object.kind) {
        findings.push(Finding {
            code: codes::LEGACY_RBAC_GATEWAY,
            severity: Severity::Error,
            place: Some(info.place.clone()),
            object: Some(info.object.clone()),
            field: "spec.mode".to_owned(),
            fault: "this asks for a role at the gateway too, and none is bound there, so nobody gets in"
                .to_owned(),
            remedy: "bind a `ServiceRole` in the gateway's namespace to `user: \"*\"`, or exclude the namespace"
                .to_owned(),
        });
    }
}

/// Whom a policy is about, of its namespace.
#[derive(Clone, Copy)]
enum Reach<'a> {
    /// Everything, in every namespace: it stands in the root.
    Everywhere,
    /// Everything in the namespace.
    Namespace,
    /// What has these labels.
    Workload(&'a BTreeMap<Arc<str>, Arc<str>>),
}

struct Reader<'a, 'f> {
    world: &'a World,
    root_namespace: &'a Arc<str>,
    trust_domains: &'a [Arc<str>],
    /// Those that are enforced.
    modes: Vec<Mode>,
    legacy: Legacy,
    findings: &'f mut Vec<Finding>,
}

impl Reader<'_, '_> {
    /// Where roles are asked for; whether they are anywhere.
    fn configuration(&mut self) -> bool {
        let all = CONFIGS.iter().map(|kind| self.world.of_kind(kind));
        let Some(objects) = all.into_iter().find(|objects| !objects.is_empty()) else {
            return false;
        };
        let mut is_on = false;
        for object in objects {
            match rbac_config::read(object, self.findings) {
                Ok(config) if !config.enforced => self.say(
                    object,
                    codes::LEGACY_RBAC_UNUSED,
                    "this is only logged, so it refuses nothing",
                    "write `enforcementMode: ENFORCED`, or remove it".to_owned(),
                ),
                Ok(config) => {
                    is_on |= config.mode != Mode::Off;
                    self.mode(object, &config.mode);
                    self.modes.push(config.mode);
                }
                Err(closure) => {
                    let everything = Selection::whole(self.root_namespace);
                    let door = AuthorizationPolicy::door(everything, object_info(object), closure);
                    self.legacy.policies.push(door);
                    is_on = true;
                }
            }
        }
        is_on
    }

    fn mode(&mut self, object: &Object, mode: &Mode) {
        let world = self.world;
        let root = Arc::clone(self.root_namespace);
        let anything = || vec![Node::of_entries::<&str>(object.place.line, [])];
        let mut told = Vec::new();
        let nothing = match mode {
            Mode::Off => return,
            Mode::On | Mode::Exclusion(_) => {
                let everywhere = Reach::Everywhere;
                told.extend(self.policy(object, (&root, everywhere), Vec::new()));
                false
            }
            Mode::Inclusion(_) => true,
        };
        if let Mode::Inclusion(targets) | Mode::Exclusion(targets) = mode {
            let rules = || if nothing { Vec::new() } else { anything() };
            for namespace in &targets.namespaces {
                told.extend(self.policy(object, (namespace, Reach::Namespace), rules()));
            }
            for name in &targets.services {
                match service(world, name) {
                    Some(service) => {
                        let reach = Reach::Workload(&service.selector);
                        told.extend(self.policy(object, (&service.namespace, reach), rules()));
                    }
                    // Which workload is included cannot be told: all of its namespace are.
                    None if nothing => {
                        let namespace = name.split('.').nth(1).unwrap_or(&root).into();
                        told.extend(self.policy(object, (&namespace, Reach::Namespace), rules()));
                    }
                    None => {}
                }
            }
        }
        self.tell(object, &told);
    }

    fn bindings(&mut self) {
        let world = self.world;
        let mut roles: BTreeMap<Key, Vec<AccessRule>> = BTreeMap::new();
        for object in world.of_kind("ServiceRole") {
            if let Some(rules) = service_role::read(object, self.findings) {
                roles.insert(key(object), rules);
            }
        }
        let mut bound: HashSet<Key> = HashSet::new();
        for object in world.of_kind("ServiceRoleBinding") {
            let Some(binding) = service_role_binding::read(object, self.findings) else {
                continue;
            };
            let role = (Arc::clone(object.namespace()), Arc::clone(&binding.role));
            let unused = codes::LEGACY_RBAC_UNUSED;
            let Some(rules) = roles.get(&role) else {
                let fault = format!("there is no role `{}` in this namespace", binding.role);
                let remedy = "add the `ServiceRole`, or mend the name".to_owned();
                self.say(object, unused, &fault, remedy);
                continue;
            };
            bound.insert(role);
            if !binding.enforced {
                let fault = "this is only logged, so it lets nobody in";
                self.say(
                    object,
                    unused,
                    fault,
                    "write `mode: ENFORCED`, or remove it".to_owned(),
                );
                continue;
            }
            self.binding(object, &binding, rules);
        }
        for object in world.of_kind("ServiceRole") {
            if roles.contains_key(&key(object)) && !bound.contains(&key(object)) {
                let fault = "nobody has this role";
                let remedy = "bind it with a `ServiceRoleBinding`, or remove it".to_owned();
                self.say(object, codes::LEGACY_RBAC_UNUSED, fault, remedy);
            }
        }
    }

    fn binding(&mut self, object: &Object, binding: &ServiceRoleBinding, rules: &[AccessRule]) {
        let namespace = object.namespace();
        if &**object.name() == OWNER_BINDING && self.modes.iter().any(|mode| mode.asks(namespace)) {
            self.legacy.owned.insert(Arc::clone(namespace));
        }
        let everywhere: Vec<&AccessRule> =
            rules.iter().filter(|rule| is_everywhere(rule)).collect();
        let mut told = Vec::new();
        if !everywhere.is_empty() {
            let rules = modern(&binding.subjects, &everywhere);
            told.extend(self.policy(object, (namespace, Reach::Namespace), rules));
        }
        let world = self.world;
        for service in world.services.values() {
            if service.namespace != *namespace || service.selector.is_empty() {
                continue;
            }
            let of_service: Vec<&AccessRule> = rules
                .iter()
                .filter(|rule| !is_everywhere(rule) && names(rule, service))
                .collect();
            if !of_service.is_empty() {
                let rules = modern(&binding.subjects, &of_service);
                let reach = Reach::Workload(&service.selector);
                told.extend(self.policy(object, (namespace, reach), rules));
            }
        }
        self.tell(object, &told);
        let named: Vec<_> = rules.iter().filter(|rule| !is_everywhere(rule)).collect();
        let is_there = |service: &Service| named.iter().any(|rule| names(rule, service));
        let mut near = world.services.values();
        let reaches = named.len() < rules.len()
            || near.any(|service| service.namespace == *namespace && is_there(service));
        if !reaches {
            let fault = "its role names no Service of the manifests, so it lets nobody in anywhere";
            let remedy = "write full names, such as `web.apps.svc.cluster.local`".to_owned();
            self.say(object, codes::LEGACY_RBAC_UNUSED, fault, remedy);
        }
    }

    /// Adds the policy that means the same, and answers how it is written.
    fn policy(
        &mut self,
        object: &Object,
        (namespace, reach): (&Arc<str>, Reach<'_>),
        rules: Vec<Node>,
    ) -> Option<String> {
        let line = object.place.line;
        let mut spec: Vec<(&str, Node)> = Vec::new();
        if let Reach::Workload(labels) = reach {
            let labels = labels
                .iter()
                .map(|(key, value)| (Arc::clone(key), Node::of_text(line, Arc::clone(value))));
            let labels = Node::of_entries(line, labels);
            let selector = Node::of_entries(line, [("matchLabels", labels)]);
            spec.push(("selector", selector));
        }
        if !rules.is_empty() {
            spec.push(("rules", Node::of_items(line, rules)));
        }
        let spec = Node::of_entries(line, spec);
        let mut written = format!(
            "`{namespace}/{}`: `{{\"spec\":{}}}`",
            object.name(),
            spec.json()
        );
        if matches!(reach, Reach::Namespace) && namespace == self.root_namespace {
            written.push_str(" with a `selector`, for the root namespace is every namespace");
        }
        let modern = Object {
            reference: ObjectRef {
                namespace: Arc::clone(namespace),
                ..object.reference.clone()
            },
            root: Node::of_entries(line, [("spec", spec)]),
            closed: None,
            ..object.clone()
        };
        let first = self.findings.len();
        let mut policy = AuthorizationPolicy::read(&modern, self.trust_domains, self.findings);
        let found = self.findings[first..].iter_mut();
        for error in found.filter(|finding| finding.severity == Severity::Error) {
            error.code = codes::LEGACY_RBAC_INVALID;
        }
        if policy.policy.action == Action::Deny {
            // What cannot be read allows nothing; it was never meant to deny.
            return None;
        }
        policy.is_legacy = true;
        policy.selection.is_local = !matches!(reach, Reach::Everywhere);
        let info = PolicyInfo {
            object: object.reference.clone(),
            place: object.place.clone(),
        };
        Arc::make_mut(&mut policy.policy).info = Arc::new(info);
        self.legacy.policies.push(policy);
        Some(written)
    }

    /// Says what is to be written instead.
    fn tell(&mut self, object: &Object, written: &[String]) {
        if written.is_empty() {
            return;
        }
        let kind = match written.len() {
            1 => "the `AuthorizationPolicy`",
            _ => "`AuthorizationPolicy` objects",
        };
        self.say(
            object,
            codes::LEGACY_RBAC,
            "this is an access rule of an Istio before 1.6; it is enforced as the policy that means the same",
            format!("write {kind} instead: {}", written.join(", ")),
        );
    }

    /// Roles without anything that asks for them.
    fn unused(&mut self) {
        let world = self.world;
        let kinds = ["ServiceRole", "ServiceRoleBinding"];
        for object in kinds.iter().flat_map(|kind| world.of_kind(kind)) {
            let fault = "no `ClusterRbacConfig` asks for roles, so this has no effect";
            let remedy = "write `AuthorizationPolicy` objects instead, or remove it".to_owned();
            self.say(object, codes::LEGACY_RBAC_UNUSED, fault, remedy);
        }
    }

    fn say(&mut self, object: &Object, code: crate::finding::Code, fault: &str, remedy: String) {
        let (line, severity) = (object.place.line, Severity::Warning);
        self.findings
            .push(object.finding(code, severity, line, "", fault, remedy));
    }
}

/// The Service of a full name.
fn service<'a>(world: &'a World, name: &str) -> Option<&'a Service> {
    let (namespace, name) = service_key(name)?;
    let service = world.service(&namespace, &name);
    service.filter(|service| !service.selector.is_empty())
}

fn key(object: &Object) -> Key {
    (Arc::clone(object.namespace()), Arc::clone(object.name()))
}
