//! Placeholders that nobody filled in.

use super::field::Field;
use super::node::{Node, Value};
use crate::finding::{Finding, Severity, codes};

/// Every `${NAME}` in a tree, in the order of the file.
pub(crate) fn placeholders(field: &Field<'_>, findings: &mut Vec<Finding>) {
    let mut below = |node, step: &str| {
        if holds_one(node) {
            let path = format!("{}{step}", field.path);
            let path = path.trim_start_matches('.').to_owned();
            placeholders(
                &Field {
                    object: field.object,
                    node,
                    path,
                },
                findings,
            );
        }
    };
    match &field.node.value {
        Value::List(items) => {
            for (index, node) in items.iter().enumerate() {
                below(node, &format!("[{index}]"));
            }
        }
        Value::Map(entries) => {
            for (name, node) in entries {
                below(node, &format!(".{name}"));
            }
        }
        Value::Text(text) => {
            if let Some(name) = placeholder(text) {
                findings.push(field.finding(
                    codes::PLACEHOLDER,
                    Severity::Error,
                    format!("the placeholder `{name}` was never filled in"),
                    "fill it in before you apply the manifests",
                ));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn holds_one(node: &Node) -> bool {
    let mut found = false;
    node.each_text(&mut |text, _| found |= placeholder(text).is_some());
    found
}

/// The first `${NAME}` in a text.
pub(crate) fn placeholder(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let inner = &rest[start + 2..];
        let end = inner.find('}')?;
        let name = &inner[..end];
        let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        if starts
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return Some(&rest[start..start + end + 3]);
        }
        rest = inner;
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
}
