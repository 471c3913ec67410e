//! What a role and its binding say, as the rules of an `AuthorizationPolicy`.

use crate::manifest::service::Service;
use crate::manifest::service_role::AccessRule;
use crate::manifest::service_role_binding::Caller;
use crate::objects::Node;

/// Whether a rule is about every Service of its namespace.
pub(super) fn is_everywhere(rule: &AccessRule) -> bool {
    rule.services.iter().any(|pattern| &**pattern == "*")
}

/// Whether a rule is about a Service: by its full name, its beginning or its end.
pub(super) fn names(rule: &AccessRule, service: &Service) -> bool {
    let full = full_name(service);
    rule.services.iter().any(|pattern| {
        if let Some(suffix) = pattern.strip_prefix('*') {
            full.ends_with(suffix)
        } else if let Some(prefix) = pattern.strip_suffix('*') {
            full.starts_with(prefix)
        } else {
            **pattern == *full
        }
    })
}

fn full_name(service: &Service) -> String {
    format!("{}.{}.svc.cluster.local", service.name, service.namespace)
}

/// Rules that let any of the subjects do what any of the rules says.
pub(super) fn modern(subjects: &[Caller], rules: &[&AccessRule]) -> Vec<Node> {
    let pairs = subjects
        .iter()
        .flat_map(|subject| rules.iter().map(move |rule| (subject, *rule)));
    let one = |node: Node| Node::of_items(node.line, vec![node]);
    pairs
        .map(|(Caller { source, when, line }, rule)| {
            let mut entries: Vec<(&str, Node)> = Vec::new();
            if let Some(source) = source {
                let from = Node::of_entries(*line, [("source", source.clone())]);
                entries.push(("from", one(from)));
            }
            if let Some(operation) = &rule.operation {
                let to = Node::of_entries(*line, [("operation", operation.clone())]);
                entries.push(("to", one(to)));
            }
            let when: Vec<Node> = when.iter().chain(&rule.when).cloned().collect();
            if !when.is_empty() {
                entries.push(("when", Node::of_items(*line, when)));
            }
            Node::of_entries(*line, entries)
        })
        .collect()
}
