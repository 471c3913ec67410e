//! `$VAR` and `${VAR}` in the configuration of connectors, storage and signer, as Go's `os.Expand`
//! reads them: a name that is not set is empty, and there is no escape.

use std::sync::Arc;

use crate::manifest::environment::Environment;
use crate::objects::{Node, Value};

/// A copy of `node` with the variables of every text filled in.
pub(super) fn expand(node: &Node, environment: &Environment) -> Node {
    let value = match &node.value {
        Value::Text(text) => Value::Text(filled(text, environment)),
        Value::List(items) => {
            Value::List(items.iter().map(|item| expand(item, environment)).collect())
        }
        Value::Map(entries) => {
            let entries = entries.iter();
            Value::Map(
                entries
                    .map(|(key, node)| (Arc::clone(key), expand(node, environment)))
                    .collect(),
            )
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other.clone(),
    };
    Node {
        value,
        line: node.line,
    }
}

fn filled(text: &Arc<str>, environment: &Environment) -> Arc<str> {
    if !text.contains('$') {
        return Arc::clone(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = &**text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, tail) = name(after);
        match name {
            Name::Of(name) => {
                let found = environment.variable(name);
                out.push_str(found.and_then(|one| one.value.expose_str()).unwrap_or(""));
            }
            Name::Broken => {}
            Name::Nothing => out.push('$'),
        }
        rest = tail;
    }
    out.push_str(rest);
    out.into()
}

enum Name<'t> {
    Of(&'t str),
    /// `${}`, or a brace that is never closed: it vanishes.
    Broken,
    /// No name follows.
    Nothing,
}

/// The name at the start of `text`, and what follows it.
fn name(text: &str) -> (Name<'_>, &str) {
    if let Some(inner) = text.strip_prefix('{') {
        return match inner.split_once('}') {
            None => (Name::Broken, inner),
            Some(("", tail)) => (Name::Broken, tail),
            Some((name, tail)) => (Name::Of(name), tail),
        };
    }
    let special = |letter: char| "*#$@!?-0123456789".contains(letter);
    let end = match text.chars().next() {
        Some(letter) if special(letter) => letter.len_utf8(),
        _ => text
            .find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
            .unwrap_or(text.len()),
    };
    match text.split_at(end) {
        ("", tail) => (Name::Nothing, tail),
        (name, tail) => (Name::Of(name), tail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::environment::of_process;

    #[test]
    fn variables_are_filled_in_as_go_does_it() {
        let environment = of_process(
            "dex",
            &[("A".into(), "a$B".into()), ("PASS".into(), "p".into())],
        );
        let run = |text: &str| filled(&text.into(), &environment).to_string();
        for (text, wanted) in [
            ("plain", "plain"),
            ("$A-${PASS}x", "a$B-px"),
            ("$UNSET.${UNSET}", "."),
            ("$", "$"),
            ("a$ b", "a$ b"),
            ("${}x${A", "xA"),
            ("$1$$.", "."),
            ("$PASS_", ""),
        ] {
            assert_eq!(run(text), wanted, "{text}");
        }
    }

    #[test]
    fn texts_at_every_depth_are_filled_in() {
        let environment = of_process("dex", &[("A".into(), "a".into())]);
        let node = crate::objects::parse("x: [$A, {y: $A}]\nz: 1\n", 1)
            .unwrap()
            .unwrap();
        let wanted = crate::objects::parse("x: [a, {y: a}]\nz: 1\n", 1)
            .unwrap()
            .unwrap();
        assert_eq!(expand(&node, &environment), wanted);
    }
}
