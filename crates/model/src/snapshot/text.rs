//! Patterns over text: Istio's `StringMatch`, its policy wildcards, path templates, RE2.

use std::fmt;
use std::sync::Arc;

use super::re2;

/// `StringMatch` of a route: exact, raw byte prefix, or a regular expression over the whole value.
#[derive(Clone, Debug, PartialEq)]
pub enum TextMatch {
    /// The whole value.
    Exact(Arc<str>),
    /// A byte prefix, not segment aware.
    Prefix(Arc<str>),
    /// RE2 syntax over the whole value.
    Regex(Regex),
}

/// A compiled, anchored, size-limited regular expression; equal when its source is equal.
#[derive(Clone)]
pub struct Regex {
    source: Arc<str>,
    compiled: Arc<regex_automata::meta::Regex>,
}

impl Regex {
    /// Compiles RE2 syntax that must match the whole value.
    ///
    /// # Errors
    /// The syntax error, or that the pattern is over budget, in one line.
    pub fn whole(source: &str) -> Result<Self, String> {
        Self::compile(source, |pattern| format!("^(?:{pattern})$"))
    }

    /// Compiles RE2 syntax that may match anywhere.
    ///
    /// # Errors
    /// As [`Self::whole`].
    pub fn anywhere(source: &str) -> Result<Self, String> {
        Self::compile(source, |pattern| pattern)
    }

    fn compile(source: &str, around: impl Fn(String) -> String) -> Result<Self, String> {
        const BUDGET: usize = 1 << 20;
        let pattern = around(re2::translate(source)?);
        let config = regex_automata::meta::Config::new().nfa_size_limit(Some(BUDGET));
        regex_automata::meta::Builder::new()
            .configure(config)
            .build(&pattern)
            .map(|compiled| Self {
                source: source.into(),
                compiled: Arc::new(compiled),
            })
            .map_err(|error| error.to_string().replace('\n', " "))
    }

    /// Whether `text` matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.compiled.is_match(text)
    }

    /// Replaces every match in `text`; `\1` to `\9` in `with` stand for groups, `\0` for the
    /// whole match, `\\` for a backslash.
    pub fn replace_all(&self, text: &str, with: &str) -> String {
        let mut replaced = String::with_capacity(text.len());
        let mut end = 0;
        for groups in self.compiled.captures_iter(text) {
            let Some(whole) = groups.get_match() else {
                continue;
            };
            replaced.push_str(&text[end..whole.start()]);
            end = whole.end();
            let mut letters = with.chars();
            while let Some(letter) = letters.next() {
                if letter != '\\' {
                    replaced.push(letter);
                    continue;
                }
                match letters.next() {
                    Some(digit @ '0'..='9') => {
                        let group = digit as usize - '0' as usize;
                        let span = groups.get_group(group).map(|span| span.range());
                        replaced.push_str(span.map_or("", |span| &text[span]));
                    }
                    Some(other) => replaced.push(other),
                    None => replaced.push('\\'),
                }
            }
        }
        replaced.push_str(&text[end..]);
        replaced
    }

    /// As the manifest spells it.
    pub fn source(&self) -> &str {
        &self.source
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Regex({:?})", self.source)
    }
}

/// A value in an `AuthorizationPolicy`: `*`, `*suffix`, `prefix*`, a path template, or exact text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextPattern {
    /// `*`: the attribute is there (and, but for headers and hosts, not empty).
    Present,
    /// The whole value.
    Exact(Arc<str>),
    /// `abc*`.
    Prefix(Arc<str>),
    /// `*abc`.
    Suffix(Arc<str>),
    /// `{*}` and `{**}`: a template for a whole path.
    Template(PathTemplate),
    /// `*` anywhere, any text: only for `namespaces`.
    Wildcard(Arc<[Arc<str>]>),
}

/// As a manifest spells it.
impl fmt::Display for TextPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present => f.write_str("*"),
            Self::Exact(text) => f.write_str(text),
            Self::Prefix(text) => write!(f, "{text}*"),
            Self::Suffix(text) => write!(f, "*{text}"),
            Self::Template(template) => f.write_str(&template.source),
            Self::Wildcard(parts) => f.write_str(&parts.join("*")),
        }
    }
}

/// A path template: `/a/{*}/b/{**}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    /// As the manifest spells it.
    pub source: Arc<str>,
    /// Whole segments before `{**}`, `None` for `{*}`.
    pub head: Arc<[Option<Arc<str>>]>,
    /// Set when there is a `{**}`: the literal text that follows it.
    pub tail: Option<Arc<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_names_groups_and_escapes_backslashes() {
        let regex = Regex::anywhere("/v([0-9]+)").unwrap();
        assert_eq!(regex.replace_all("/v12/x/v3", "/\\1"), "/12/x/3");
        assert_eq!(regex.replace_all("/v1", "<\\0|\\2|\\\\|\\"), "</v1||\\|\\");
        assert_eq!(regex.replace_all("/x", "y"), "/x");
    }
}
