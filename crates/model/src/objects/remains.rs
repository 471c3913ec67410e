//! What can still be said about a document that is no YAML: text that looks like the fields which
//! tell what it was about.

use std::collections::BTreeSet;

use crate::snapshot::TextMatch;

/// What is left of a broken document.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Remains {
    pub(crate) kind: Option<String>,
    /// Every other `kind` in it, where it is a list or its own cannot be told.
    pub(crate) inner: BTreeSet<String>,
    pub(crate) name: Option<String>,
    pub(crate) namespace: Option<String>,
    /// Items of the first list named `hosts`.
    pub(crate) hosts: Vec<String>,
    /// The first `host`.
    pub(crate) host: Option<String>,
    /// Every `prefix` and `exact` right below a `uri`.
    pub(crate) paths: Vec<TextMatch>,
}

/// Reads what is left of a broken document.
pub(crate) fn remains(text: &str) -> Remains {
    let words = words(text);
    let mut found = Remains {
        hosts: hosts(&words),
        host: values(&words, "host").next().map(str::to_owned),
        paths: paths(&words),
        ..Remains::default()
    };
    let mut section = "";
    for row in text.lines() {
        let bare = row.trim().trim_start_matches("- ");
        let Some((key, value)) = bare.split_once(':') else {
            continue;
        };
        let (key, value) = (plain(key).unwrap_or_default(), plain(value));
        let top = !row.starts_with([' ', '\t', '-', '{']);
        if top {
            section = if key == "metadata" { "metadata" } else { "" };
        }
        match key.as_str() {
            "kind" if top => found.kind = value,
            "name" if section == "metadata" && found.name.is_none() => found.name = value,
            "namespace" if section == "metadata" && found.namespace.is_none() => {
                found.namespace = value;
            }
            _ => {}
        }
    }
    if found
        .kind
        .as_ref()
        .is_none_or(|kind| kind.ends_with("List"))
    {
        let kinds = values(&words, "kind").filter(|kind| !kind.ends_with("List"));
        found.inner = kinds.map(str::to_owned).collect();
    }
    found
}

fn plain(text: &str) -> Option<String> {
    let text = text.split(" #").next().unwrap_or_default().trim();
    let text = text.trim_matches(['"', '\'', ',']);
    (!text.is_empty()).then(|| text.to_owned())
}

/// A key or a plain text, whatever brackets and quotes stand around it.
#[derive(Clone, Copy, Debug)]
struct Word<'a> {
    text: &'a str,
    is_key: bool,
}

fn words(text: &str) -> Vec<Word<'_>> {
    const AROUND: [char; 7] = ['"', '\'', '{', '}', '[', ']', ','];
    let mut words: Vec<Word<'_>> = Vec::new();
    for row in text.lines().filter(|row| !row.trim().starts_with('#')) {
        let row = row.split(" #").next().unwrap_or_default();
        for piece in row.split(|one: char| one.is_whitespace() || AROUND.contains(&one)) {
            match piece {
                "" | "-" | "---" => {}
                // The key before it was quoted.
                ":" => {
                    if let Some(last) = words.last_mut() {
                        last.is_key = true;
                    }
                }
                _ => words.push(match piece.strip_suffix(':') {
                    Some(text) => Word { text, is_key: true },
                    None => Word {
                        text: piece,
                        is_key: false,
                    },
                }),
            }
        }
    }
    words
}

fn hosts(words: &[Word<'_>]) -> Vec<String> {
    let after = words
        .iter()
        .skip_while(|word| !(word.is_key && word.text == "hosts"));
    let items = after.skip(1).take_while(|word| !word.is_key);
    items.map(|word| word.text.to_owned()).collect()
}

/// Every text right behind a key.
fn values<'a>(words: &'a [Word<'a>], key: &'a str) -> impl Iterator<Item = &'a str> {
    words.windows(2).filter_map(move |window| match window {
        [name, value] if name.is_key && name.text == key && !value.is_key => Some(value.text),
        _ => None,
    })
}

fn paths(words: &[Word<'_>]) -> Vec<TextMatch> {
    let mut paths = Vec::new();
    for window in words.windows(3) {
        let [uri, how, path] = window else { continue };
        let is_path = uri.is_key && uri.text == "uri" && how.is_key && !path.is_key;
        if !is_path || !path.text.starts_with('/') {
            continue;
        }
        let path = match how.text {
            "prefix" => TextMatch::Prefix(path.text.into()),
            "exact" => TextMatch::Exact(path.text.into()),
            _ => continue,
        };
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_document_still_says_what_it_was() {
        let text = "apiVersion: x/v1\nkind: VirtualService\nmetadata:\n  labels: {a: b}\n  name: 'dex' # x\n  namespace: auth\nspec:\n\thosts:\n  - \"*\"\n  - a.com\n  http:\n  - name: other\n";
        let found = remains(text);
        assert_eq!(found.kind.as_deref(), Some("VirtualService"));
        assert_eq!(found.name.as_deref(), Some("dex"));
        assert_eq!(found.namespace.as_deref(), Some("auth"));
        assert_eq!(found.hosts, ["*", "a.com"]);
        assert_eq!(found.paths, []);
    }

    #[test]
    fn hosts_are_found_in_every_style() {
        for text in [
            "spec:\n  hosts: ['*', a.com]\n  gateways: [g]\n",
            "spec: {hosts: [\"*\", \"a.com\", gateways: [g]}\n",
            "{\"spec\":{\"hosts\":[\"*\",\"a.com\"],\"gateways\":[\"g\"]",
            "spec:\n  hosts:\n  - '*' # all\n  # - b.com\n  - a.com\n  gateways:\n  - g\n",
        ] {
            assert_eq!(remains(text).hosts, ["*", "a.com"], "{text}");
        }
    }

    #[test]
    fn kinds_within_are_found_where_none_stands_at_the_top() {
        for text in [
            "kind: List\nitems:\n- kind: A\n  spec: {targetRef: {kind: B}}\n- {\n",
            "{\n  \"items\": [{\"kind\": \"B\"}, {\"kind\":\"A\"}],\n  \"kind\": \"List\",\n",
            "  kind: A\n  spec: [{ kind: B\n",
        ] {
            assert_eq!(
                remains(text).inner,
                ["A", "B"].map(String::from).into(),
                "{text}"
            );
        }
        assert!(remains("kind: A\nspec: {kind: B}\n").inner.is_empty());
    }

    #[test]
    fn the_host_of_a_rule_is_found_in_every_style() {
        for text in [
            "spec:\n  host: 'web.apps' # x\n  subsets: [{\n",
            "spec: {subsets: [{name: host}], host: \"web.apps\", [",
            "{\"spec\":{\"host\":\"web.apps\",\"subsets\":[",
        ] {
            assert_eq!(remains(text).host.as_deref(), Some("web.apps"), "{text}");
        }
        assert_eq!(remains("spec: {host:\n subsets: [").host, None);
    }

    #[test]
    fn only_the_paths_of_requests_are_found() {
        let prefix = |path: &str| TextMatch::Prefix(path.into());
        let text = "http:\n- match:\n  - uri:\n      prefix: /a/ # x\n  - uri: {exact: '/b:c'}\n  - {\"uri\":{\"prefix\":\"/d\"}}\n  - uri: {prefix: /a/}\n  - uri: {regex: /e.*}\n  - headers: {x: {exact: /f}}\n  # - uri: {prefix: /g}\n  rewrite: {uri: /h}\n  redirect:\n    uri: /i\n  - uri: {prefix: j}\n";
        assert_eq!(
            remains(text).paths,
            [prefix("/a/"), TextMatch::Exact("/b:c".into()), prefix("/d")]
        );
    }
}
