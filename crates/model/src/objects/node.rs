//! One YAML value and the line it stands on.

use std::borrow::Cow;
use std::sync::Arc;

/// A value with its line. The value of a mapping carries the line of its key, so that a finding
/// names the line people look for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// What it is.
    pub(crate) value: Value,
    /// Line in the file, from 1.
    pub(crate) line: u32,
}

/// A YAML value. Numbers stay as spelled: which type they have is the reader's question.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(Arc<str>),
    Text(Arc<str>),
    List(Vec<Node>),
    /// In the order of the file; keys are unique.
    Map(Vec<(Arc<str>, Node)>),
}

impl Node {
    /// A text on `line`.
    pub(crate) fn of_text(line: u32, text: impl Into<Arc<str>>) -> Self {
        let value = Value::Text(text.into());
        Self { value, line }
    }

    /// A list on `line`.
    pub(crate) fn of_items(line: u32, items: Vec<Self>) -> Self {
        let value = Value::List(items);
        Self { value, line }
    }

    /// A mapping on `line`.
    pub(crate) fn of_entries<K: Into<Arc<str>>>(
        line: u32,
        entries: impl IntoIterator<Item = (K, Self)>,
    ) -> Self {
        let entries = entries.into_iter().map(|(key, node)| (key.into(), node));
        let value = Value::Map(entries.collect());
        Self { value, line }
    }

    /// The entry with exactly this key; `null` counts as absent.
    pub(crate) fn entry(&self, key: &str) -> Option<&Self> {
        self.lookup(|spelled| spelled == key)
    }

    /// The entry with this lowerCamelCase key, in that spelling or in snake_case; `null` counts as
    /// absent.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        self.lookup(|spelled| same_field(spelled, name))
    }

    fn lookup(&self, wanted: impl Fn(&str) -> bool) -> Option<&Self> {
        let Value::Map(entries) = &self.value else {
            return None;
        };
        let (_, node) = entries.iter().find(|(key, _)| wanted(key))?;
        (node.value != Value::Null).then_some(node)
    }

    /// [`Self::field`] several levels down.
    pub(crate) fn path(&self, names: &[&str]) -> Option<&Self> {
        names.iter().try_fold(self, |node, name| node.field(name))
    }

    /// The text of a string.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text of any scalar, numbers as spelled.
    pub(crate) fn scalar(&self) -> Option<Cow<'_, str>> {
        match &self.value {
            Value::Text(text) | Value::Number(text) => Some(Cow::Borrowed(text)),
            Value::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> Option<&[Self]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a mapping.
    pub(crate) fn entries(&self) -> Option<&[(Arc<str>, Self)]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// What it is, for messages.
    pub(crate) fn type_name(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// As JSON; numbers that JSON does not know become text.
    pub(crate) fn json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(text) => {
                let number: Option<serde_json::Number> = text.parse().ok();
                number.map_or_else(|| Json::String(text.to_string()), Json::Number)
            }
            Value::Text(text) => Json::String(text.to_string()),
            Value::List(items) => items.iter().map(Self::json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|(key, node)| (key.to_string(), node.json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    /// Calls `visit` for every text in here, keys included.
    pub(crate) fn each_text<'a>(&'a self, visit: &mut impl FnMut(&'a str, u32)) {
        match &self.value {
            Value::Text(text) => visit(text, self.line),
            Value::List(items) => items.iter().for_each(|item| item.each_text(visit)),
            Value::Map(entries) => {
                for (key, node) in entries {
                    visit(key, node.line);
                    node.each_text(visit);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// Whether `spelled` is the lowerCamelCase `name`, or its proto spelling in snake_case.
pub(crate) fn same_field(spelled: &str, name: &str) -> bool {
    if spelled == name {
        return true;
    }
    if !spelled.contains('_') {
        return false;
    }
    let mut wanted = name.chars();
    let mut raise = false;
    for letter in spelled.chars() {
        if letter == '_' {
            raise = true;
            continue;
        }
        let letter = if raise {
            letter.to_ascii_uppercase()
        } else {
            letter
        };
        raise = false;
        if wanted.next() != Some(letter) {
            return false;
        }
    }
    !raise && wanted.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_in_both_spellings() {
        assert!(same_field("matchLabels", "matchLabels"));
        assert!(same_field("match_labels", "matchLabels"));
        assert!(same_field("sni_hosts", "sniHosts"));
        assert!(!same_field("matchlabels", "matchLabels"));
        assert!(!same_field("match_label", "matchLabels"));
        assert!(!same_field("match_labels_", "matchLabels"));
    }
}
