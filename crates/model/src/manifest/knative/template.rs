//! The part of Go's `text/template` that host and path templates use.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A template that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(Variable),
    /// `index .Annotations "key"` or `index .Labels "key"`.
    Entry(Map, String),
}

/// What a template may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    Name,
    Namespace,
    Domain,
    Tag,
    IngressDomain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Map {
    Annotations,
    Labels,
}

/// What the names stand for. What a template does not name is left empty.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Values<'a> {
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) domain: &'a str,
    pub(crate) tag: &'a str,
    pub(crate) annotations: Option<&'a BTreeMap<Arc<str>, Arc<str>>>,
    pub(crate) labels: Option<&'a BTreeMap<Arc<str>, Arc<str>>>,
}

/// Which names a template may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vocabulary {
    pub(crate) variables: &'static [Variable],
    /// Whether `.Annotations` and `.Labels` are there.
    pub(crate) maps: bool,
}

impl Variable {
    fn name(self) -> &'static str {
        match self {
            Self::Name => ".Name",
            Self::Namespace => ".Namespace",
            Self::Domain => ".Domain",
            Self::Tag => ".Tag",
            Self::IngressDomain => ".IngressDomain",
        }
    }
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is not understood, as half a sentence: an unknown template must not be guessed at.
    pub(crate) fn parse(source: &str, vocabulary: Vocabulary) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = source;
        let mut trim = false;
        loop {
            let (text, action) = match rest.split_once("{{") {
                Some((text, action)) => (text, Some(action)),
                None => (rest, None),
            };
            let mut text = if trim { text.trim_start() } else { text };
            let Some(action) = action else {
                if !text.is_empty() {
                    parts.push(Part::Text(text.to_owned()));
                }
                return Ok(Self { parts });
            };
            let (inner, after) = action
                .split_once("}}")
                .ok_or("an action is not ended with `}}`")?;
            let (inner, before_trimmed) = match inner.strip_prefix('-') {
                Some(marked) if marked.starts_with(is_space) => (marked, true),
                _ => (inner, false),
            };
            let (inner, after_trimmed) = match inner.strip_suffix('-') {
                Some(marked) if marked.ends_with(is_space) => (marked, true),
                _ => (inner, false),
            };
            if before_trimmed {
                text = text.trim_end();
            }
            if !text.is_empty() {
                parts.push(Part::Text(text.to_owned()));
            }
            parts.push(action_of(inner.trim_matches(is_space), vocabulary)?);
            (rest, trim) = (after, after_trimmed);
        }
    }

    /// The text for these values.
    pub(crate) fn render(&self, values: &Values<'_>) -> String {
        let entry = |map: Map, key: &str| {
            let map = match map {
                Map::Annotations => values.annotations,
                Map::Labels => values.labels,
            };
            map.and_then(|map| map.get(key)).map_or("", |value| value)
        };
        let mut rendered = String::new();
        for part in &self.parts {
            rendered.push_str(match part {
                Part::Text(text) => text,
                Part::Variable(Variable::Name) => values.name,
                Part::Variable(Variable::Namespace) => values.namespace,
                Part::Variable(Variable::Domain | Variable::IngressDomain) => values.domain,
                Part::Variable(Variable::Tag) => values.tag,
                Part::Entry(map, key) => entry(*map, key),
            });
        }
        rendered
    }
}

fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\n')
}

fn action_of(action: &str, vocabulary: Vocabulary) -> Result<Part, String> {
    let unknown = || format!("`{{{{{action}}}}}` is not understood");
    let known = vocabulary.variables.iter();
    if let Some(variable) = known.copied().find(|one| one.name() == action) {
        return Ok(Part::Variable(variable));
    }
    let call = action
        .strip_prefix("index")
        .filter(|rest| vocabulary.maps && rest.starts_with(is_space));
    let call = call.ok_or_else(unknown)?.trim_start_matches(is_space);
    let (map, key) = call.split_once(is_space).ok_or_else(unknown)?;
    let map = match map {
        ".Annotations" => Map::Annotations,
        ".Labels" => Map::Labels,
        _ => return Err(unknown()),
    };
    let key = key.trim_start_matches(is_space);
    let quoted = |mark: char| {
        let inner = key.strip_prefix(mark)?.strip_suffix(mark)?;
        // An escape would have to be undone, a second argument would be another function.
        (!inner.contains([mark, '\\'])).then_some(inner)
    };
    let key = quoted('"').or_else(|| quoted('`')).ok_or_else(unknown)?;
    Ok(Part::Entry(map, key.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Vocabulary = Vocabulary {
        variables: &[Variable::Name, Variable::Namespace, Variable::Domain],
        maps: true,
    };

    fn render(source: &str) -> Result<String, String> {
        let annotations = BTreeMap::from([("a/b".into(), "x".into())]);
        let labels = BTreeMap::from([("tier".into(), "gold".into())]);
        let values = Values {
            name: "iris",
            namespace: "team",
            domain: "kf.example.com",
            tag: "",
            annotations: Some(&annotations),
            labels: Some(&labels),
        };
        Template::parse(source, ALL).map(|template| template.render(&values))
    }

    #[test]
    fn names_stand_for_what_the_object_says() {
        for (source, wanted) in [
            (
                "{{.Name}}.{{.Namespace}}.{{.Domain}}",
                "iris.team.kf.example.com",
            ),
            (
                "{{ .Name }}-{{\t.Namespace\n}}.{{.Domain}}",
                "iris-team.kf.example.com",
            ),
            (
                "{{.Name}}.{{index .Labels \"tier\"}}.{{.Domain}}",
                "iris.gold.kf.example.com",
            ),
            (
                "{{ index  .Annotations  `a/b` }}.{{.Domain}}",
                "x.kf.example.com",
            ),
            ("{{index .Labels \"none\"}}.{{.Domain}}", ".kf.example.com"),
            ("fixed", "fixed"),
            ("", ""),
        ] {
            assert_eq!(render(source).as_deref(), Ok(wanted), "{source}");
        }
    }

    #[test]
    fn a_trim_mark_takes_the_space_on_its_side() {
        assert_eq!(
            render("a {{- .Name -}} \n b").as_deref(),
            Ok("airisb"),
            "both sides"
        );
        assert_eq!(render("a {{- .Name}} b").as_deref(), Ok("airis b"));
        assert_eq!(render("a {{.Name -}} b").as_deref(), Ok("a irisb"));
        assert!(render("{{-.Name}}").is_err(), "no space, no mark");
    }

    #[test]
    fn anything_else_is_refused() {
        for source in [
            "{{.Name",
            "{{.Tag}}",
            "{{.name}}",
            "{{if .Name}}a{{end}}",
            "{{.Name | lower}}",
            "{{/* note */}}",
            "{{printf \"%s\" .Name}}",
            "{{index .Labels}}",
            "{{index .Labels tier}}",
            "{{index .Labels \"a\" \"b\"}}",
            "{{index .Labels \"a\\\"b\"}}",
            "{{index .Other \"a\"}}",
            "{{}}",
            "{{\"text\"}}",
            "{{{{.Name}}}}",
        ] {
            assert!(render(source).is_err(), "{source}");
        }
        let narrow = Vocabulary { maps: false, ..ALL };
        assert!(Template::parse("{{index .Labels \"a\"}}", narrow).is_err());
    }
}
