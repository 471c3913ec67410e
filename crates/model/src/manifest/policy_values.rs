//! Values of `AuthorizationPolicy` fields.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::objects::{Fault, Field};
use crate::snapshot::{PathTemplate, PrincipalPattern, TextPattern};

/// `*`, `*suffix`, `prefix*`, or exact. The leading star is looked at first, so `*a*` ends with
/// the two characters `a*`.
pub(super) fn text(value: &str) -> TextPattern {
    if value == "*" {
        return TextPattern::Present;
    }
    if let Some(suffix) = value.strip_prefix('*') {
        return TextPattern::Suffix(suffix.into());
    }
    match value.strip_suffix('*') {
        Some(prefix) => TextPattern::Prefix(prefix.into()),
        None => TextPattern::Exact(value.into()),
    }
}

/// A namespace: here a star means any text, wherever it stands.
pub(super) fn namespace(value: &str) -> TextPattern {
    if value.contains('*') {
        TextPattern::Wildcard(value.split('*').map(Arc::from).collect())
    } else {
        TextPattern::Exact(value.into())
    }
}

/// A principal. A full id of this mesh stands for the same id under every name of the mesh.
pub(super) fn principals(value: &str, trust_domains: &[Arc<str>]) -> Vec<TextPattern> {
    let parts: Vec<&str> = value.split('/').collect();
    if let [domain, "ns", _, "sa", _] = parts[..]
        && (domain == "cluster.local" || trust_domains.iter().any(|own| **own == *domain))
        && !domain.contains('*')
    {
        let rest = &value[domain.len()..];
        return trust_domains
            .iter()
            .map(|own| text(&format!("{own}{rest}")))
            .collect();
    }
    vec![text(value)]
}

/// A trust domain: one star at most, at an end, and no slash.
pub(super) fn trust_domain(item: &Field<'_>, value: &str) -> Result<TextPattern, Fault> {
    let pattern = text(value);
    let literal = match &pattern {
        TextPattern::Exact(text) | TextPattern::Prefix(text) | TextPattern::Suffix(text) => text,
        _ => "",
    };
    if literal.contains(['*', '/']) {
        let fault = format!("`{value}` is no trust domain");
        return Err(item.fault(fault, "write its name, or one `*` at an end of it"));
    }
    Ok(pattern)
}

/// `ns/sa`, or `sa` in the namespace of the policy; exact only.
pub(super) fn service_accounts(
    list: &Field<'_>,
    items: &[(&Field<'_>, &str)],
    namespace: &str,
) -> Result<Vec<TextPattern>, Fault> {
    const MOST: usize = 16;
    const LONGEST: usize = 320;
    if items.len() > MOST {
        return Err(list.fault(
            format!("`{}` holds more than {MOST} entries", list.path),
            "split the rule",
        ));
    }
    let read = |(item, text): &(&Field<'_>, &str)| {
        let parts = text.split('/').count();
        if text.contains('*')
            || text.len() > LONGEST
            || parts > 2
            || text.split('/').any(str::is_empty)
        {
            let fault = format!("`{text}` is no service account");
            return Err(item.fault(fault, "write `namespace/name`"));
        }
        let full = if parts == 2 {
            (*text).to_owned()
        } else {
            format!("{namespace}/{text}")
        };
        Ok(TextPattern::Exact(full.into()))
    };
    items.iter().map(read).collect()
}

/// A `requestPrincipals` value, split at its last `/`, since issuers hold slashes.
pub(super) fn request_principal(value: &str) -> PrincipalPattern {
    let pattern = |issuer, subject| PrincipalPattern { issuer, subject };
    let exact = |text: &str| TextPattern::Exact(text.into());
    if value == "*" {
        return pattern(TextPattern::Present, TextPattern::Present);
    }
    let Some((issuer, subject)) = value.rsplit_once('/') else {
        return match text(value) {
            TextPattern::Suffix(suffix) => {
                pattern(TextPattern::Present, TextPattern::Suffix(suffix))
            }
            TextPattern::Prefix(prefix) => {
                pattern(TextPattern::Prefix(prefix), TextPattern::Present)
            }
            _ => pattern(exact(value), exact("")),
        };
    };
    // With a star in front the rest is one suffix, and a star in the subject is an ordinary one.
    match issuer.strip_prefix('*') {
        Some("") => pattern(TextPattern::Present, exact(subject)),
        Some(suffix) => pattern(TextPattern::Suffix(suffix.into()), exact(subject)),
        None => pattern(exact(issuer), text_prefix(subject)),
    }
}

/// A subject after an exact issuer: only a star at the end is a pattern.
fn text_prefix(subject: &str) -> TextPattern {
    match subject.strip_suffix('*') {
        Some("") => TextPattern::Present,
        Some(prefix) => TextPattern::Prefix(prefix.into()),
        None => TextPattern::Exact(subject.into()),
    }
}

/// An address or a CIDR block.
pub(super) fn network(item: &Field<'_>, text: &str) -> Result<IpNet, Fault> {
    let block = text.parse::<IpNet>().ok();
    block
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
        .ok_or_else(|| {
            item.fault(
                format!("`{text}` is no address block"),
                "write an address or a CIDR block",
            )
        })
}

/// A decimal port.
pub(super) fn port(item: &Field<'_>, text: &str) -> Result<u16, Fault> {
    text.parse()
        .map_err(|_| item.fault(format!("`{text}` is no port"), "write 0 to 65535"))
}

/// A path pattern or template.
pub(super) fn path(item: &Field<'_>, value: &str) -> Result<TextPattern, Fault> {
    if !(value.contains("{*}") || value.contains("{**}")) {
        return Ok(text(value));
    }
    template(value).map(TextPattern::Template).ok_or_else(|| {
        item.fault(
            format!("`{value}` is no path template"),
            "`{*}` and `{**}` stand for whole segments, `{**}` once and last",
        )
    })
}

fn template(value: &str) -> Option<PathTemplate> {
    let (head, tail) = match value.split_once("/{**}") {
        Some((head, tail)) => (head, Some(tail)),
        None => (value, None),
    };
    let mut segments: Vec<Option<Arc<str>>> = Vec::new();
    if !head.is_empty() {
        for segment in head.strip_prefix('/')?.split('/') {
            segments.push(match segment {
                "{*}" => None,
                literal if is_literal(literal) => Some(literal.into()),
                _ => return None,
            });
        }
    }
    let tail = match tail {
        None => None,
        Some(tail) => {
            let whole = tail.is_empty() || tail.starts_with('/');
            let literal = tail.split('/').all(is_literal);
            Some((whole && literal).then(|| Arc::from(tail))?)
        }
    };
    Some(PathTemplate {
        source: value.into(),
        head: segments.into(),
        tail,
    })
}

fn is_literal(segment: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()+,;:@=".contains(&byte);
    segment.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(value: &str) -> (TextPattern, TextPattern) {
        let pattern = request_principal(value);
        (pattern.issuer, pattern.subject)
    }

    fn exact(text: &str) -> TextPattern {
        TextPattern::Exact(text.into())
    }

    #[test]
    fn request_principals_split_at_the_last_slash() {
        use TextPattern::{Prefix, Present, Suffix};
        assert_eq!(pair("*"), (Present, Present));
        assert_eq!(
            pair("https://a/b/sub"),
            (exact("https://a/b"), exact("sub"))
        );
        assert_eq!(pair("iss/*"), (exact("iss"), Present));
        assert_eq!(pair("iss/pre*"), (exact("iss"), Prefix("pre".into())));
        assert_eq!(pair("*/sub"), (Present, exact("sub")));
        assert_eq!(pair("*x/sub"), (Suffix("x".into()), exact("sub")));
        assert_eq!(pair("*/*"), (Present, exact("*")));
        assert_eq!(pair("*x/y*"), (Suffix("x".into()), exact("y*")));
        assert_eq!(pair("*x"), (Present, Suffix("x".into())));
        assert_eq!(pair("pre*"), (Prefix("pre".into()), Present));
        assert_eq!(pair("abc"), (exact("abc"), exact("")));
    }

    #[test]
    fn values_are_told_as_they_were_written() {
        for value in [
            "*",
            "https://a/b/sub",
            "iss/*",
            "iss/pre*",
            "*/sub",
            "*x/sub",
            "*/*",
            "*x",
            "pre*",
            "abc",
        ] {
            assert_eq!(request_principal(value).to_string(), value);
        }
        for value in ["*", "/dex/*", "*suffix", "exact", "a*b"] {
            assert_eq!(text(value).to_string(), value);
        }
        assert_eq!(namespace("team-*-dev").to_string(), "team-*-dev");
    }

    #[test]
    fn the_leading_star_is_looked_at_first() {
        assert_eq!(text("*a*"), TextPattern::Suffix("a*".into()));
        assert_eq!(text("/dex/**"), TextPattern::Prefix("/dex/*".into()));
        assert_eq!(text("a*b"), exact("a*b"));
    }

    #[test]
    fn principals_of_the_mesh_go_by_every_name_of_the_mesh() {
        let own = ["td1".into(), "old".into()];
        assert_eq!(
            principals("cluster.local/ns/a/sa/b", &own),
            [exact("td1/ns/a/sa/b"), exact("old/ns/a/sa/b")]
        );
        assert_eq!(
            principals("other/ns/a/sa/b", &own),
            [exact("other/ns/a/sa/b")]
        );
        assert_eq!(
            principals("*/ns/a/sa/b", &own),
            [TextPattern::Suffix("/ns/a/sa/b".into())]
        );
    }

    #[test]
    fn templates_take_whole_segments_only() {
        let read = |value: &str| template(value).map(|one| (one.head.len(), one.tail));
        assert_eq!(read("/foo/{*}/bar/{**}"), Some((3, Some("".into()))));
        assert_eq!(read("/store/{**}/cart"), Some((1, Some("/cart".into()))));
        assert_eq!(read("/{**}"), Some((0, Some("".into()))));
        assert_eq!(read("/one/{*}"), Some((2, None)));
        for bad in [
            "/a{*}",
            "/{**}/{*}",
            "/{**}/{**}",
            "/{**}x",
            "/a/{b}/{*}",
            "{*}",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
