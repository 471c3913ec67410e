//! Who was let into the namespace of a profile besides its owner, and what their policies mean.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::finding::Finding;
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
    /// Reads the RoleBindings in the namespaces of `owners`.
    pub(super) fn read(
        world: &World,
        named: &Arc<Named>,
        owners: &BTreeMap<Arc<str>, (Subject, Arc<Object>)>,
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
            let key = (Arc::clone(namespace), Arc::clone(object.name()));
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
        if strict_viewers {
            for object in world.of_kind("AuthorizationPolicy") {
                let namespace = object.namespace();
                if role_of(object) == Some(Role::View) && owners.contains_key(namespace) {
                    let key = (Arc::clone(namespace), Arc::clone(object.name()));
                    all.viewers.insert(key);
                }
            }
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
        let exact = |text: &str| Some(Values::Text(vec![TextPattern::Exact(text.into())]));
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

/// A request that changes nothing: a method that only looks, and no connection that is more than
/// its first request, over which a viewer could type into a terminal.
fn only_looking() -> [Test; 2] {
    let methods = LOOKING.map(|method| TextPattern::Exact(method.into()));
    [
        Test {
            attribute: Attribute::Method,
            any_of: Some(Values::Text(methods.into())),
            none_of: None,
        },
        Test {
            attribute: Attribute::Header(http::header::UPGRADE),
            any_of: None,
            none_of: Some(Values::Text(vec![TextPattern::Present])),
        },
    ]
}
