//! `ServiceRole` (rbac.istio.io): what somebody may do with which Services of its namespace.

use std::sync::Arc;

use super::rbac_config::read_grant;
use crate::finding::Finding;
use crate::objects::{Fault, Field, Node, Object, Value};

/// One of its rules, in the words of an `AuthorizationPolicy`.
#[derive(Clone, Debug)]
pub(crate) struct AccessRule {
    /// Patterns of full names.
    pub(crate) services: Vec<Arc<str>>,
    /// `operation`; `None` asks nothing.
    pub(crate) operation: Option<Node>,
    /// Conditions of `when`.
    pub(crate) when: Vec<Node>,
}

/// Fields that mean what those of an `operation` do.
const OPERATION: [&str; 6] = [
    "hosts",
    "notHosts",
    "paths",
    "notPaths",
    "methods",
    "notMethods",
];
const PORTS: [&str; 2] = ["ports", "notPorts"];

/// Reads the rules. A role that cannot be read allows nothing.
pub(crate) fn read(object: &Object, findings: &mut Vec<Finding>) -> Option<Vec<AccessRule>> {
    read_grant(object, convert, findings)
}

fn convert(object: &Object) -> Result<Vec<AccessRule>, Fault> {
    let spec = object.top().required("spec")?;
    spec.only(&["rules"])?;
    let rules = spec.child_items("rules")?;
    rules.iter().map(rule).collect()
}

fn rule(field: &Field<'_>) -> Result<AccessRule, Fault> {
    let known: Vec<&str> = OPERATION
        .iter()
        .chain(&PORTS)
        .chain(&["services", "constraints"])
        .copied()
        .collect();
    field.strict(&known)?;
    let services = field.texts("services")?;
    if services.is_empty() {
        let fault = format!("`{}` names no `services`", field.path);
        return Err(field.fault(fault, "name Services, or `*` for all of the namespace"));
    }
    let mut operation: Vec<(&str, Node)> = Vec::new();
    for name in OPERATION {
        if let Some(list) = field.child(name) {
            field.texts(name)?;
            operation.push((name, list.node.clone()));
        }
    }
    for name in PORTS {
        if let Some(list) = field.child(name) {
            let numbers = list.items()?.into_iter().map(|item| {
                let number = item.port()?;
                Ok(Node::of_text(item.line(), number.to_string()))
            });
            let numbers = numbers.collect::<Result<_, Fault>>()?;
            operation.push((name, Node::of_items(list.line(), numbers)));
        }
    }
    let when = field
        .child_items("constraints")?
        .iter()
        .map(constraint)
        .collect::<Result<_, _>>()?;
    let line = field.line();
    Ok(AccessRule {
        services,
        operation: (!operation.is_empty()).then(|| Node::of_entries(line, operation)),
        when,
    })
}

/// Of the attributes that constraints know, those that an `AuthorizationPolicy` knows too.
fn constraint(field: &Field<'_>) -> Result<Node, Fault> {
    field.strict(&["key", "values"])?;
    let key = field.required("key")?;
    let values = field.required("values")?;
    field.texts("values")?;
    let text = key.text()?;
    if text != "destination.ip" && !text.starts_with("request.headers[") {
        let fault = format!("`{text}` is no condition that can be asked here");
        return Err(key.fault(fault, "name the Services that are meant instead"));
    }
    Ok(condition(key.node.clone(), values.node.clone()))
}

/// An item of `when`.
pub(super) fn condition(key: Node, values: Node) -> Node {
    let line = key.line;
    Node::of_entries(line, [("key", key), ("values", values)])
}

/// A list of one text, which was a text.
pub(super) fn one(node: &Node) -> Node {
    let text = Node {
        value: Value::Text(node.scalar().unwrap_or_default().into()),
        line: node.line,
    };
    Node::of_items(node.line, vec![text])
}
