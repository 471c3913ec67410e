//! Who was let into the namespace of a profile besides its owner, and what their policies mean.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::finding::{Finding, Severity, codes};
use crate::manifest::authorization_policy::AuthorizationPolicy;
use crate::manifest::profile::OWNER_POLICY;
use crate::manifest::role_binding::{self, OWNER_BINDING};
use crate::objects::Object;
use crate::snapshot::{
    Action, Attribute, Binding, Named, PolicyRule, Role, Subject, SubjectKind, Test, TextPattern,
    Values,
};
use crate::world::{Key, World};

/// Methods that only look.
const LOOKING: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// Contributors of all profiles.
pub(super) struct Contributors {
    named: Arc<Named>,
    bindings: HashMap<Arc<str>, Vec<Binding>>,
    /// Policies whose user is the name of a group.
    groups: HashMap<Key, Arc<str>>,
    /// Policies that let in who may only look.
    viewers: HashSet<Key>,
}

/// The role that an object which KFAM made gives to its user.
pub(super) fn role_of(object: &Object) -> Option<Role> {
    object.annotation("user")?;
    Role::parse(object.annotation("role")?)
}

impl Contributors {
    /// Reads the RoleBindings in the namespaces of `owners`; in `older` ones access rules of old
    /// stand for policies.
    pub(super) fn read(
        world: &World,
        named: &Arc<Named>,
        owners: &BTreeMap<Arc<str>, (Subject, Arc<Object>)>,
        older: &HashSet<Arc<str>>,
        strict_viewers: bool,
        findings: &mut Vec<Finding>,
    ) -> Self {
        let mut all = Self {
            named: Arc::clone(named),
            bindings: HashMap::new(),
            groups: HashMap::new(),
            viewers: HashSet::new(),
        };
        for (namespace, (owner, _)) in owners {
            if owner.kind == SubjectKind::Group {
                let key = (Arc::clone(namespace), OWNER_POLICY.into());
                all.groups.insert(key, Arc::clone(&owner.name));
            }
        }
        for object in world.of_kind("RoleBinding") {
            let namespace = object.namespace();
            if !owners.contains_key(namespace) || &**object.name() == OWNER_BINDING {
                continue;
            }
            let Some(binding) = role_binding::read(object, findings) else {
                continue;
            };
            let key = key_of(object);
            if binding.subject.kind == SubjectKind::Group {
                let group = Arc::clone(&binding.subject.name);
                all.groups.insert(key.clone(), group);
            }
            if strict_viewers && binding.role == Role::View {
                all.viewers.insert(key);
            }
            let list = all.bindings.entry(Arc::clone(namespace)).or_default();
            list.push(binding);
        }
        let mut alone: HashMap<Key, &Arc<Object>> = HashMap::new();
        for object in world.of_kind("RoleBinding") {
            if role_of(object).is_some() && &**object.name() != OWNER_BINDING {
                alone.insert(key_of(object), object);
            }
        }
        for object in world.of_kind("AuthorizationPolicy") {
            let Some(role) = role_of(object) else {
                continue;
            };
            if !owners.contains_key(object.namespace()) || &**object.name() == OWNER_POLICY {
                continue;
            }
            if alone.remove(&key_of(object)).is_none() {
                let fault = "no `RoleBinding` of this name stands beside it, so the contributor gets in over HTTP and has no right in the cluster";
                let remedy = "add the `RoleBinding` that KFAM makes, or remove the policy";
                findings.push(half(object, fault, remedy));
            }
            if role == Role::View && strict_viewers {
                all.viewers.insert(key_of(object));
            } else if role == Role::View {
                let (line, warning) = (object.place.line, Severity::Warning);
                let fault = "a viewer may do everything over HTTP: this is the policy of an editor";
                let remedy = "write `policy: {strictViewers: true}` into `doorward.yaml`";
                let code = codes::VIEWER_CHANGES;
                findings.push(object.finding(code, warning, line, "spec", fault, remedy));
            }
        }
        let asked = |key: &&Key| owners.contains_key(&key.0) && !older.contains(&key.0);
        for object in alone
            .iter()
            .filter(|(key, _)| asked(key))
            .map(|(_, object)| object)
        {
            let fault = "no `AuthorizationPolicy` of this name stands beside it, so the contributor is refused over HTTP";
            let remedy = "add the policy that KFAM makes, or remove the `RoleBinding`";
            findings.push(half(object, fault, remedy));
        }
        all
    }

    /// Those of one profile, by name.
    pub(super) fn of(&self, namespace: &str) -> Vec<Binding> {
        self.bindings.get(namespace).cloned().unwrap_or_default()
    }

    /// Makes a policy mean what it says: the group of that name where the RoleBinding beside it is
    /// about a group, and reading only where it is of a viewer.
    pub(super) fn apply(&self, entry: &mut AuthorizationPolicy) {
        if self.groups.is_empty() && self.viewers.is_empty() {
            return;
        }
        let info = &entry.policy.info;
        if entry.policy.closed.is_some() || entry.policy.action != Action::Allow {
            return;
        }
        let object = &info.object;
        if &*object.kind != "AuthorizationPolicy" {
            return;
        }
        let key = (Arc::clone(&object.namespace), Arc::clone(&object.name));
        let group = self.groups.get(&key);
        let looks = self.viewers.contains(&key);
        if group.is_none() && !looks {
            return;
        }
        let policy = Arc::make_mut(&mut entry.policy);
        for rule in &mut policy.rules {
            if let Some(group) = group {
                self.mean_group(rule, group);
            }
            if looks {
                rule.when.extend(only_looking());
            }
        }
    }

    /// In Istio such a condition never holds, for no user is called like the group.
    fn mean_group(&self, rule: &mut PolicyRule, group: &Arc<str>) {
        let user = format!("{}{group}", self.named.prefix);
        let exact = |text: &str| Some(Values::Text(vec![TextPattern::Exact(text.into())].into()));
        let spelled = exact(&user);
        for test in &mut rule.when {
            let of_user = test.attribute == Attribute::Header(self.named.header.clone());
            if of_user && test.any_of == spelled && test.none_of.is_none() {
                test.attribute = Attribute::Group;
                test.any_of = exact(group);
            }
        }
    }
}

fn key_of(object: &Object) -> Key {
    (Arc::clone(object.namespace()), Arc::clone(object.name()))
}

/// One of the two objects of a contributor without the other.
fn half(object: &Object, fault: &str, remedy: &str) -> Finding {
    let (line, warning) = (object.place.line, Severity::Warning);
    object.finding(codes::CONTRIBUTOR_HALF, warning, line, "", fault, remedy)
}

/// A request that changes nothing: a method that only looks, and no connection that is more than
/// its first request, over which a viewer could type into a terminal.
fn only_looking() -> [Test; 2] {
    let methods = LOOKING.map(|method| TextPattern::Exact(method.into()));
    [
        Test {
            attribute: Attribute::Method,
            any_of: Some(Values::Text(methods.into_iter().collect())),
            none_of: None,
        },
        Test {
            attribute: Attribute::Header(http::header::UPGRADE),
            any_of: None,
            none_of: Some(Values::Text(vec![TextPattern::Present].into())),
        },
    ]
}
