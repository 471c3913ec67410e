//! Placeholders that nobody filled in.

use super::field::Field;
use super::node::{Node, Value};
use super::object::Object;
use crate::finding::{Finding, Severity, codes};

/// Every `${NAME}` in a tree, in the order of the file.
pub(crate) fn placeholders(field: &Field<'_>, findings: &mut Vec<Finding>) {
    // Nearly every tree has none, and then no path is wanted.
    if has_any(field.node) {
        visit(field.object, field.node, &mut field.path.clone(), findings);
    }
}

fn has_any(node: &Node) -> bool {
    match &node.value {
        Value::List(items) => items.iter().any(has_any),
        Value::Map(entries) => entries.iter().any(|(_, node)| has_any(node)),
        Value::Text(text) => placeholder(text).is_some(),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// `path` leads to `node`, and does again afterwards.
fn visit(object: &Object, node: &Node, path: &mut String, findings: &mut Vec<Finding>) {
    let end = path.len();
    match &node.value {
        Value::List(items) => {
            for (index, node) in items.iter().enumerate() {
                path.push_str(&format!("[{index}]"));
                visit(object, node, path, findings);
                path.truncate(end);
            }
        }
        Value::Map(entries) => {
            for (name, node) in entries {
                if end > 0 {
                    path.push('.');
                }
                path.push_str(name);
                visit(object, node, path, findings);
                path.truncate(end);
            }
        }
        Value::Text(text) => {
            if let Some(name) = placeholder(text) {
                findings.push(object.finding(
                    codes::PLACEHOLDER,
                    Severity::Error,
                    node.line,
                    path.clone(),
                    format!("the placeholder `{name}` was never filled in"),
                    "fill it in before you apply the manifests",
                ));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The first `${NAME}` in a text.
pub(crate) fn placeholder(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(start) = rest.find('$') {
        let Some(inner) = rest[start + 1..].strip_prefix('{') else {
            rest = &rest[start + 1..];
            continue;
        };
        let starts = inner.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let end = inner.bytes().take_while(is_of_name).count();
        if starts && inner[end..].starts_with('}') {
            return Some(&rest[start..start + end + 3]);
        }
        rest = &inner[end..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::placeholder;

    #[test]
    fn only_a_name_in_braces_is_a_placeholder() {
        assert_eq!(
            placeholder("https://${INGRESS_HOST}/dex"),
            Some("${INGRESS_HOST}")
        );
        assert_eq!(placeholder("${1} ${ok_2}"), Some("${ok_2}"));
        for text in ["$HOST", "${}", "${a b}", "${open", "$2y$12$4K", "{{.Name}}"] {
            assert_eq!(placeholder(text), None, "{text}");
        }
    }

    #[test]
    fn what_opens_and_never_closes_is_read_once() {
        let text = "${a".repeat(1 << 20) + "}";
        assert_eq!(placeholder(&text), Some("${a}"));
    }
}
