//! What KFAM is asked to change, as the objects that come and go: the answer to "may they, and what
//! follows", without writing anything.

use std::sync::Arc;

use model::names::{ObjectRef, is_label};
use model::seams::{Change, NewObject};
use model::snapshot::{Binding, Named, Profile, Role, Stands, Subject, SubjectKind, Tenancy};
use serde_json::{Value, json};

use crate::membership::{Caller, is_cluster_admin, may_manage};

/// Why nothing is to be changed. The caller is at fault, or somebody was quicker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The caller may not do this.
    NotAllowed(&'static str),
    /// What is asked for cannot be.
    Invalid(&'static str),
    /// There is no such profile or binding.
    Absent(&'static str),
    /// It is there already, or in the way.
    Present(ObjectRef),
}

/// Somebody's role in a profile, as KFAM is asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Name of the profile.
    pub namespace: Box<str>,
    /// Who.
    pub subject: Subject,
    /// As what.
    pub role: Role,
}

/// A profile that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedProfile {
    /// Its name.
    pub name: Box<str>,
    /// Whose it is to be.
    pub owner: Subject,
    /// Further fields of its `spec`, which only administrators may say.
    pub more: serde_json::Map<String, Value>,
}

/// Longest name of an object.
const NAME_LIMIT: usize = 253;
/// Longest e-mail (RFC 5321 §4.5.3.1) and then some.
const USER_LIMIT: usize = 512;

/// Lets somebody in.
///
/// # Errors
/// Why not.
pub fn add(tenancy: &Tenancy, caller: &Caller, wanted: &Wanted) -> Result<Change, Refused> {
    let profile = managed(tenancy, caller, &wanted.namespace)?;
    let subject = &wanted.subject;
    if subject.kind == SubjectKind::ServiceAccount {
        return Err(Refused::Invalid("only a `User` or a `Group` is let in"));
    }
    if !is_name(&subject.name) {
        return Err(Refused::Invalid("the name of the user cannot be one"));
    }
    let name = binding_name(subject, wanted.role);
    if name.len() > NAME_LIMIT {
        return Err(Refused::Invalid("the name of the user is too long"));
    }
    let mut own = profile.own.iter();
    if let Some(there) = own.find(|one| *one.object.name == *name) {
        // Another name may come to the same: then nobody could tell the two apart.
        return Err(Refused::Present(there.object.clone()));
    }
    let Some(named) = &tenancy.named else {
        return Err(Refused::Absent("there is no profile controller here"));
    };
    Ok(Change {
        // The policy is what lets in, so it comes last.
        create: vec![
            role_binding(&profile.name, &name, wanted),
            authorization_policy(&profile.name, &name, wanted, named),
        ],
        remove: Vec::new(),
    })
}

/// Takes somebody out again.
///
/// # Errors
/// Why not.
pub fn remove(tenancy: &Tenancy, caller: &Caller, wanted: &Wanted) -> Result<Change, Refused> {
    let profile = managed(tenancy, caller, &wanted.namespace)?;
    let is_wanted = |one: &&Binding| one.subject == wanted.subject && one.role == wanted.role;
    let bound = profile.bindings.iter().filter(is_wanted);
    let mut names: Vec<&str> = bound.map(|binding| &*binding.name).collect();
    let usual = binding_name(&wanted.subject, wanted.role);
    let mut bindings = profile.bindings.iter();
    if names.is_empty() && !bindings.any(|one| *one.name == *usual) {
        // A policy whose RoleBinding is gone or wrong still lets in.
        names.push(&usual);
    }
    let own = profile.own.iter();
    let mut remove: Vec<Stands> = own
        .filter(|one| names.contains(&&*one.object.name))
        .cloned()
        .collect();
    if remove.is_empty() {
        return Err(Refused::Absent("nobody has this role in the profile"));
    }
    // The policy is what lets in, so it goes first.
    remove.sort_by_key(|one| &*one.object.kind != "AuthorizationPolicy");
    Ok(Change {
        create: Vec::new(),
        remove,
    })
}

/// Makes a profile. KFAM itself lets anybody make any: here people get one of their own where the
/// dashboard lets them register, and administrators make them for everybody.
///
/// # Errors
/// Why not.
pub fn create_profile(
    tenancy: &Tenancy,
    caller: &Caller,
    wanted: &WantedProfile,
) -> Result<Change, Refused> {
    let WantedProfile { name, owner, more } = wanted;
    if !is_cluster_admin(tenancy, caller.user()) {
        let own = owner.kind == SubjectKind::User && *owner.name == *caller.user();
        if !tenancy.self_service {
            return Err(Refused::NotAllowed(
                "only administrators make profiles here",
            ));
        }
        if !own {
            return Err(Refused::NotAllowed(
                "a profile of somebody else is for administrators",
            ));
        }
        if !more.is_empty() {
            return Err(Refused::NotAllowed(
                "plugins and quotas are for administrators",
            ));
        }
        let mut profiles = tenancy.profiles.values();
        if profiles.any(|profile| profile.owner == *owner) {
            return Err(Refused::NotAllowed("you have a profile already"));
        }
    }
    if !is_name(&owner.name) {
        return Err(Refused::Invalid("the name of the owner cannot be one"));
    }
    if !is_label(name) {
        return Err(Refused::Invalid("no namespace can be called so"));
    }
    let taken = tenancy.namespaces.contains(&**name);
    if taken || &**name == "default" || name.starts_with("kube-") {
        return Err(Refused::Present(ObjectRef::new("Namespace", "", &**name)));
    }
    let mut spec = more.clone();
    spec.insert(
        "owner".to_owned(),
        json!({"kind": owner.kind.as_str(), "name": &*owner.name}),
    );
    let profile = NewObject {
        reference: ObjectRef::new("Profile", "", &**name),
        content: json!({
            "apiVersion": "kubeflow.org/v1",
            "kind": "Profile",
            "metadata": {"name": &**name},
            "spec": spec,
        }),
    };
    Ok(Change {
        create: vec![profile],
        remove: Vec::new(),
    })
}

/// Takes a profile away, with everything that was made for it. What else stands in its namespace
/// would be open to everybody then, so it has to go first.
///
/// # Errors
/// Why not.
pub fn delete_profile(tenancy: &Tenancy, caller: &Caller, name: &str) -> Result<Change, Refused> {
    let profile = managed(tenancy, caller, name)?;
    if let Some(other) = &profile.occupied {
        return Err(Refused::Present(other.clone()));
    }
    let mut remove = profile.own.clone();
    remove.push(Stands {
        object: ObjectRef::new("Profile", "", Arc::clone(&profile.name)),
        place: profile.place.clone(),
    });
    Ok(Change {
        create: Vec::new(),
        remove,
    })
}

/// Whether the manifests tell of a change by now.
pub fn is_shown(tenancy: &Tenancy, change: &Change) -> bool {
    let is_there = |object: &ObjectRef| match &*object.kind {
        "Profile" => tenancy.profiles.contains_key(&object.name),
        _ => {
            let profile = tenancy.profiles.get(&object.namespace);
            profile.is_some_and(|profile| profile.own.iter().any(|one| one.object == *object))
        }
    };
    let Change { create, remove } = change;
    create.iter().all(|new| is_there(&new.reference))
        && !remove.iter().any(|gone| is_there(&gone.object))
}

/// The profile, if the caller may change who gets in. Who may not is not told whether it is there.
fn managed<'t>(
    tenancy: &'t Tenancy,
    caller: &Caller,
    name: &str,
) -> Result<&'t Arc<Profile>, Refused> {
    match tenancy.profiles.get(name) {
        Some(profile) if may_manage(tenancy, profile, caller) => Ok(profile),
        None if is_cluster_admin(tenancy, caller.user()) => {
            Err(Refused::Absent("there is no such profile"))
        }
        _ => Err(Refused::NotAllowed(
            "only the owner of a profile and administrators may do this",
        )),
    }
}

/// Whether a name can be that of a user or group. It becomes a value of a header in a policy, where
/// `*` would make it a pattern and `${` a placeholder.
fn is_name(name: &str) -> bool {
    let is_plain = !name.contains('*') && !name.contains("${");
    !name.is_empty() && name.len() <= USER_LIMIT && is_plain && !name.chars().any(char::is_control)
}

/// Name of the objects of a contributor, as KFAM makes it: `user-bob-example-com-clusterrole-edit`.
fn binding_name(subject: &Subject, role: Role) -> String {
    let kind = subject.kind.as_str();
    let (user, role) = (&subject.name, role.as_str());
    let mut name = String::new();
    for letter in format!("{kind}-{user}-ClusterRole-{role}").chars() {
        if letter.is_ascii_alphanumeric() {
            name.push(letter.to_ascii_lowercase());
        } else if !name.ends_with('-') {
            name.push('-');
        }
    }
    name
}

fn metadata(namespace: &str, name: &str, wanted: &Wanted) -> Value {
    json!({
        "name": name,
        "namespace": namespace,
        "annotations": {"user": &*wanted.subject.name, "role": wanted.role.as_str()},
    })
}

fn role_binding(namespace: &Arc<str>, name: &str, wanted: &Wanted) -> NewObject {
    const RBAC: &str = "rbac.authorization.k8s.io";
    NewObject {
        reference: ObjectRef::new("RoleBinding", Arc::clone(namespace), name),
        content: json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata(namespace, name, wanted),
            "roleRef": {
                "apiGroup": RBAC,
                "kind": "ClusterRole",
                "name": wanted.role.cluster_role(),
            },
            "subjects": [{
                "apiGroup": RBAC,
                "kind": wanted.subject.kind.as_str(),
                "name": &*wanted.subject.name,
            }],
        }),
    }
}

fn authorization_policy(
    namespace: &Arc<str>,
    name: &str,
    wanted: &Wanted,
    named: &Named,
) -> NewObject {
    let Named {
        gateway,
        pipelines,
        header,
        prefix,
        ..
    } = named;
    let key = format!("request.headers[{header}]");
    let value = format!("{prefix}{}", wanted.subject.name);
    NewObject {
        reference: ObjectRef::new("AuthorizationPolicy", Arc::clone(namespace), name),
        content: json!({
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": metadata(namespace, name, wanted),
            "spec": {
                "action": "ALLOW",
                "rules": [{
                    "from": [{"source": {"principals": [&**gateway, &**pipelines]}}],
                    "when": [{"key": key, "values": [value]}],
                }],
            },
        }),
    }
}

#[cfg(test)]
mod tests;
