//! Texts that a pattern takes: what is asked about where a manifest names many things at once.

use std::net::IpAddr;

use ipnet::IpNet;
use model::names::HostPattern;
use model::snapshot::{TextMatch, TextPattern, UriMatch};
use regex_syntax::hir::{Class, Hir, HirKind};

/// Stands where anything may.
const ANYTHING: &str = "x";

/// A host that `pattern` covers.
pub(super) fn host(pattern: &HostPattern) -> String {
    match pattern {
        HostPattern::Exact(host) => host.to_string(),
        HostPattern::Suffix(suffix) => format!("any{suffix}"),
        HostPattern::Any => "any.invalid".to_owned(),
    }
}

/// A text that a condition of a route takes; `None` when none comes to mind.
pub(super) fn text(pattern: &TextMatch) -> Option<String> {
    match pattern {
        TextMatch::Exact(text) | TextMatch::Prefix(text) => Some(text.to_string()),
        TextMatch::Regex(regex) => {
            let parsed = regex_syntax::Parser::new().parse(regex.source()).ok()?;
            let mut text = String::new();
            write(&parsed, &mut text);
            regex.is_match(&text).then_some(text)
        }
    }
}

/// A path that a condition of a route takes.
pub(super) fn path(uri: Option<&UriMatch>) -> Option<String> {
    let Some(uri) = uri else {
        return Some("/".to_owned());
    };
    text(&uri.text).filter(|path| path.starts_with('/'))
}

/// Paths that a value of a policy takes: at its edge and beyond.
pub(super) fn paths(pattern: &TextPattern) -> Vec<String> {
    match pattern {
        TextPattern::Present | TextPattern::Wildcard(_) => Vec::new(),
        TextPattern::Exact(path) => vec![path.to_string()],
        TextPattern::Prefix(prefix) => vec![prefix.to_string(), format!("{prefix}{ANYTHING}")],
        TextPattern::Suffix(suffix) if suffix.starts_with('/') => {
            vec![suffix.to_string(), format!("/{ANYTHING}{suffix}")]
        }
        TextPattern::Suffix(suffix) => vec![format!("/{ANYTHING}{suffix}")],
        TextPattern::Template(template) => {
            let mut path = String::new();
            for segment in template.head.iter() {
                path.push('/');
                path.push_str(segment.as_deref().unwrap_or(ANYTHING));
            }
            if let Some(tail) = &template.tail {
                path.push('/');
                path.push_str(ANYTHING);
                path.push_str(tail);
            }
            vec![path]
        }
    }
}

/// A value that a pattern takes, with `filling` where it takes anything.
pub(super) fn value(pattern: &TextPattern, filling: &str) -> Option<String> {
    match pattern {
        TextPattern::Present => Some(filling.to_owned()),
        TextPattern::Exact(text) => Some(text.to_string()),
        TextPattern::Prefix(text) => Some(format!("{text}{filling}")),
        TextPattern::Suffix(text) => Some(format!("{filling}{text}")),
        TextPattern::Wildcard(parts) => Some(parts.join(filling)),
        TextPattern::Template(_) => None,
    }
}

/// The first address of a block that is a host's.
pub(super) fn address(block: &IpNet) -> IpAddr {
    block.hosts().next().unwrap_or_else(|| block.addr())
}

/// Adds the shortest text that `hir` takes, as far as that is easily said.
fn write(hir: &Hir, out: &mut String) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => out.push_str(&String::from_utf8_lossy(&literal.0)),
        HirKind::Class(Class::Unicode(class)) => {
            let likes = |letter: char| {
                class
                    .ranges()
                    .iter()
                    .any(|one| (one.start()..=one.end()).contains(&letter))
            };
            let first = class.ranges().first().map(|range| range.start());
            out.extend(
                ['x', '1', '-']
                    .into_iter()
                    .find(|letter| likes(*letter))
                    .or(first),
            );
        }
        HirKind::Class(Class::Bytes(class)) => {
            let first = class
                .ranges()
                .first()
                .map(|range| char::from(range.start()));
            out.extend(first);
        }
        HirKind::Repetition(repetition) => {
            for _ in 0..repetition.min.min(64) {
                write(&repetition.sub, out);
            }
        }
        HirKind::Capture(capture) => write(&capture.sub, out),
        HirKind::Concat(parts) => parts.iter().for_each(|part| write(part, out)),
        HirKind::Alternation(parts) => {
            if let Some(first) = parts.first() {
                write(first, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::snapshot::Regex;

    use super::*;

    #[test]
    fn a_sample_of_a_regular_expression_is_one_that_it_takes() {
        for (source, sample) in [
            ("^/.*$", "/"),
            ("/v1/models/[a-z]+(:predict)?", "/v1/models/x"),
            ("/(a|b)/[0-9]{3}", "/a/111"),
            (r"/\d+/\w", "/1/x"),
        ] {
            let regex = TextMatch::Regex(Regex::whole(source).unwrap());
            assert_eq!(text(&regex).as_deref(), Some(sample), "{source}");
        }
        let word = TextMatch::Regex(Regex::whole(r"\Bx\b").unwrap());
        assert_eq!(text(&word), None, "better none than one that is not taken");
    }

    #[test]
    fn paths_of_a_policy_are_tried_at_the_edge_and_beyond() {
        let prefix = TextPattern::Prefix("/dex/".into());
        assert_eq!(paths(&prefix), ["/dex/", "/dex/x"]);
        let suffix = TextPattern::Suffix("/kernels".into());
        assert_eq!(paths(&suffix), ["/kernels", "/x/kernels"]);
    }
}
