//! Policy wildcards and path templates.

use model::snapshot::{PathTemplate, TextPattern};

/// How an attribute's text is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// Letter case does not matter: hosts.
    pub(super) ignore_case: bool,
    /// `*` means that the attribute is there, even when empty: hosts and headers.
    pub(super) empty_counts: bool,
}

impl Reading {
    pub(super) const PLAIN: Self = Self {
        ignore_case: false,
        empty_counts: false,
    };
    pub(super) const HEADER: Self = Self {
        ignore_case: false,
        empty_counts: true,
    };
    pub(super) const HOST: Self = Self {
        ignore_case: true,
        empty_counts: true,
    };
}

/// Whether `text` is meant by `pattern`.
pub(super) fn matches(pattern: &TextPattern, text: &[u8], reading: Reading) -> bool {
    let same = |a: &[u8], b: &str| {
        if reading.ignore_case {
            a.eq_ignore_ascii_case(b.as_bytes())
        } else {
            a == b.as_bytes()
        }
    };
    match pattern {
        TextPattern::Present => reading.empty_counts || !text.is_empty(),
        TextPattern::Exact(exact) => same(text, exact),
        TextPattern::Prefix(prefix) => text
            .get(..prefix.len())
            .is_some_and(|start| same(start, prefix)),
        TextPattern::Suffix(suffix) => text
            .len()
            .checked_sub(suffix.len())
            .is_some_and(|from| same(&text[from..], suffix)),
        TextPattern::Template(template) => fits(template, text),
        TextPattern::Wildcard(parts) => in_order(parts, text),
    }
}

/// `{*}` is one segment that is not empty; `{**}` is anything, slashes and nothing included.
fn fits(template: &PathTemplate, path: &[u8]) -> bool {
    let mut rest = path;
    for wanted in template.head.iter() {
        let [b'/', after @ ..] = rest else {
            return false;
        };
        let end = after
            .iter()
            .position(|&byte| byte == b'/')
            .unwrap_or(after.len());
        let (segment, next) = after.split_at(end);
        let fits = match wanted {
            Some(literal) => segment == literal.as_bytes(),
            None => !segment.is_empty(),
        };
        if !fits {
            return false;
        }
        rest = next;
    }
    match &template.tail {
        None => rest.is_empty(),
        Some(tail) => match rest {
            [b'/', anything @ ..] => anything.ends_with(tail.as_bytes()),
            _ => false,
        },
    }
}

/// Literal parts with any text between them: the first at the start, the last at the end.
fn in_order<T: AsRef<str>>(parts: &[T], text: &[u8]) -> bool {
    let [first, middle @ .., last] = parts else {
        return parts
            .first()
            .is_some_and(|only| only.as_ref().as_bytes() == text);
    };
    let Some(mut rest) = text.strip_prefix(first.as_ref().as_bytes()) else {
        return false;
    };
    for part in middle
        .iter()
        .map(|part| part.as_ref().as_bytes())
        .filter(|part| !part.is_empty())
    {
        let Some(at) = rest.windows(part.len()).position(|window| window == part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last.as_ref().as_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn template(head: &[Option<&str>], tail: Option<&str>) -> TextPattern {
        TextPattern::Template(PathTemplate {
            source: "".into(),
            head: head.iter().map(|segment| segment.map(Arc::from)).collect(),
            tail: tail.map(Arc::from),
        })
    }

    #[test]
    fn the_four_forms_compare_as_istio_does() {
        let plain =
            |pattern: &TextPattern, text: &str| matches(pattern, text.as_bytes(), Reading::PLAIN);
        let prefix = TextPattern::Prefix("/dex/".into());
        assert!(plain(&prefix, "/dex/"));
        assert!(plain(&prefix, "/dex/auth"));
        assert!(!plain(&prefix, "/dex"));
        assert!(!plain(&prefix, "/DEX/auth"));
        let suffix = TextPattern::Suffix("/api/kernels".into());
        assert!(plain(&suffix, "/notebook/a/b/api/kernels"));
        assert!(!plain(&suffix, "/api/kernels/"));
        assert!(!plain(&suffix, "kernels"));
        assert!(plain(&TextPattern::Present, "x"));
        assert!(!plain(&TextPattern::Present, ""));
        assert!(plain(&TextPattern::Exact("".into()), ""));
    }

    #[test]
    fn presence_of_headers_and_hosts_counts_when_empty() {
        assert!(matches(&TextPattern::Present, b"", Reading::HEADER));
        assert!(matches(
            &TextPattern::Exact("a.COM".into()),
            b"A.com",
            Reading::HOST
        ));
        assert!(matches(
            &TextPattern::Prefix("A.com:".into()),
            b"a.com:8443",
            Reading::HOST
        ));
        assert!(matches(
            &TextPattern::Suffix(".COM".into()),
            b"a.com",
            Reading::HOST
        ));
    }

    #[test]
    fn templates_match_whole_paths() {
        let both = template(&[Some("foo"), None, Some("bar")], Some(""));
        let one = template(&[Some("one"), None], None);
        let store = template(&[Some("store")], Some("/cart"));
        let admin = template(&[Some("allow"), Some("admin")], Some(""));
        for (pattern, yes, no) in [
            (
                &both,
                &["/foo/x/bar/", "/foo/x/bar/y/z"][..],
                &["/foo/x/bar", "/foo//bar/x", "/foo/bar/x"][..],
            ),
            (
                &one,
                &["/one/a", "/one/a%2fb"],
                &["/one/", "/one/a/", "/one"],
            ),
            (
                &store,
                &["/store/a/b/cart", "/store//cart"],
                &["/store/cart", "/store"],
            ),
            (
                &admin,
                &["/allow/admin/", "/allow/admin/x"],
                &["/allow/admin", "/allow/adminx/"],
            ),
        ] {
            for path in yes {
                assert!(
                    matches(pattern, path.as_bytes(), Reading::PLAIN),
                    "{pattern:?} {path}"
                );
            }
            for path in no {
                assert!(
                    !matches(pattern, path.as_bytes(), Reading::PLAIN),
                    "{pattern:?} {path}"
                );
            }
        }
    }

    #[test]
    fn namespace_stars_stand_for_any_text() {
        let pattern =
            |parts: &[&str]| TextPattern::Wildcard(parts.iter().copied().map(Arc::from).collect());
        let matches = |parts: &[&str], text: &str| {
            super::matches(&pattern(parts), text.as_bytes(), Reading::PLAIN)
        };
        assert!(matches(&["team-", "-dev"], "team-a-dev"));
        assert!(matches(&["team-", "-dev"], "team--dev"));
        assert!(!matches(&["team-", "-dev"], "team-dev"));
        assert!(matches(&["", "x", ""], "axb"));
        assert!(matches(&["a", "", "b"], "ab"));
        assert!(!matches(&["", "xx", "x"], "xx"));
        assert!(matches(&["only"], "only"));
        assert!(!matches(&["only"], "only-not"));
    }
}
