//! `ServiceRoleBinding` (rbac.istio.io): who has a `ServiceRole`.

use std::sync::Arc;

use super::rbac_config::{is_enforced, read_grant};
use super::service_role::{condition, one};
use crate::finding::Finding;
use crate::objects::{Fault, Field, Node, Object};

/// A binding.
#[derive(Clone, Debug)]
pub(crate) struct ServiceRoleBinding {
    /// Name of the role, in the same namespace.
    pub(crate) role: Arc<str>,
    /// Any of these.
    pub(crate) subjects: Vec<Caller>,
    /// Whether it is enforced, not only logged.
    pub(crate) enforced: bool,
}

/// One subject, in the words of an `AuthorizationPolicy`.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// `source`; `None` asks nothing.
    pub(crate) source: Option<Node>,
    /// Conditions of `when`.
    pub(crate) when: Vec<Node>,
    pub(crate) line: u32,
}

/// Fields of a subject, and what an `AuthorizationPolicy` calls them.
const SOURCE: [(&str, &str); 6] = [
    ("names", "principals"),
    ("notNames", "notPrincipals"),
    ("namespaces", "namespaces"),
    ("notNamespaces", "notNamespaces"),
    ("ips", "ipBlocks"),
    ("notIps", "notIpBlocks"),
];

/// Where groups are in a token.
const GROUPS: &str = "request.auth.claims[groups]";

/// Reads a binding. One that cannot be read lets nobody in.
pub(crate) fn read(object: &Object, findings: &mut Vec<Finding>) -> Option<ServiceRoleBinding> {
    read_grant(object, convert, findings)
}

fn convert(object: &Object) -> Result<ServiceRoleBinding, Fault> {
    let spec = object.top().required("spec")?;
    spec.only(&["subjects", "roleRef", "role", "mode", "actions"])?;
    if let Some(actions) = spec.child("actions") {
        return Err(actions.fault(
            "`actions` are not read here",
            "write a role and its binding",
        ));
    }
    let role = match spec.child("role") {
        Some(role) => role.text()?,
        None => {
            let reference = spec.required("roleRef")?;
            reference.only(&["kind", "name", "apiGroup"])?;
            let kind = reference.required("kind")?;
            if kind.text()? != "ServiceRole" {
                let fault = format!("`{}` is no kind of role", kind.text()?);
                return Err(kind.fault(fault, "write `ServiceRole`"));
            }
            reference.required("name")?.text()?
        }
    };
    let subjects = spec.child_items("subjects")?;
    Ok(ServiceRoleBinding {
        role: role.into(),
        subjects: subjects.iter().map(caller).collect::<Result<_, _>>()?,
        enforced: is_enforced(&spec, "mode")?,
    })
}

fn caller(field: &Field<'_>) -> Result<Caller, Fault> {
    let known: Vec<&str> = SOURCE
        .iter()
        .map(|(name, _)| *name)
        .chain(["user", "group", "groups", "notGroups", "properties"])
        .collect();
    field.strict(&known)?;
    if field.node.entries().unwrap_or_default().is_empty() {
        let fault = format!("`{}` is empty", field.path);
        return Err(field.fault(fault, "write `user: \"*\"` for everybody"));
    }
    let line = field.line();
    let mut source: Vec<(&str, Node)> = Vec::new();
    let mut when = Vec::new();
    if let Some(user) = field.child("user")
        && user.text()? != "*"
    {
        if field.child("names").is_some() {
            return Err(user.fault("`user` and `names` say the same", "keep `names`"));
        }
        source.push(("principals", one(user.node)));
    }
    for (name, modern) in SOURCE {
        if let Some(list) = field.child(name) {
            field.texts(name)?;
            source.push((modern, list.node.clone()));
        }
    }
    let key = |name: &str| Node::of_text(line, name);
    if let Some(group) = field.child("group") {
        group.text()?;
        when.push(condition(key(GROUPS), one(group.node)));
    }
    if let Some(groups) = field.child("groups") {
        field.texts("groups")?;
        when.push(condition(key(GROUPS), groups.node.clone()));
    }
    if let Some(groups) = field.child("notGroups") {
        field.texts("notGroups")?;
        let entries = [("key", key(GROUPS)), ("notValues", groups.node.clone())];
        when.push(Node::of_entries(line, entries));
    }
    if let Some(properties) = field.child("properties") {
        for (name, value) in properties.entries()? {
            value.text()?;
            when.push(condition(
                Node::of_text(value.line(), name),
                one(value.node),
            ));
        }
    }
    Ok(Caller {
        source: (!source.is_empty()).then(|| Node::of_entries(line, source)),
        when,
        line,
    })
}
