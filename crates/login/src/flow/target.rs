//! Where a browser may be sent after sign-in or sign-out. Everything that could name a host nobody
//! allowed is refused here, and only here.

use std::sync::Arc;

use http::HeaderValue;
use percent_encoding::{AsciiSet, percent_decode, percent_encode};
use url::Url;

/// The longest target that is kept: it travels in a cookie.
const LONGEST: usize = 2000;

/// What may not stand in a `Location` as it is: everything outside visible ASCII.
const UNPRINTABLE: &AsciiSet = &percent_encoding::CONTROLS.add(b' ');

/// A place that a browser may be sent to: a path on the host that is being served, or a URL of a
/// host that the operator allowed. Visible ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target(Box<str>);

impl Target {
    /// `/`.
    pub(crate) fn home() -> Self {
        Self("/".into())
    }

    /// Reads `text` as a target; `allowed` is `whitelist_domains`.
    ///
    /// A path begins with exactly one `/`, and in it no two slashes or backslashes are adjacent or
    /// apart only by blanks or by one or two dots. Its query is free: it cannot change the host.
    pub(crate) fn parse(text: &str, allowed: &[Arc<str>]) -> Option<Self> {
        if text.len() > LONGEST || text.bytes().any(|byte| byte.is_ascii_control()) {
            return None;
        }
        (is_path(text) || is_allowed_url(text, allowed))
            .then(|| {
                Self(
                    percent_encode(text.as_bytes(), UNPRINTABLE)
                        .to_string()
                        .into(),
                )
            })
            .filter(|target| target.0.len() <= LONGEST)
    }

    /// The first of `candidates` that is a target, else `/`. One that is only too long loses its
    /// query.
    pub(crate) fn first<'a>(
        candidates: impl IntoIterator<Item = &'a str>,
        allowed: &[Arc<str>],
    ) -> Self {
        candidates
            .into_iter()
            .find_map(|text| {
                Self::parse(text, allowed).or_else(|| {
                    let path = text.split_once('?').filter(|_| text.len() > LONGEST)?.0;
                    Self::parse(path, allowed)
                })
            })
            .unwrap_or_else(Self::home)
    }

    /// As it is written.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// As `Location`.
    pub(crate) fn location(&self) -> HeaderValue {
        // Visible ASCII by construction; the fallback can only send somebody home.
        HeaderValue::from_str(&self.0).unwrap_or(HeaderValue::from_static("/"))
    }
}

fn is_path(text: &str) -> bool {
    if !text.starts_with('/') {
        return false;
    }
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let path = &text[..end];
    let bytes = path.as_bytes();
    if (0..bytes.len()).any(|start| is_doubled(&bytes[start..], |byte| byte.is_ascii_whitespace()))
    {
        return false;
    }
    // Somebody behind us may decode once more and redirect with the result, so the beginning must
    // also be harmless when decoded.
    let mut decoded = bytes.to_vec();
    for _ in 0..3 {
        let again: Vec<u8> = percent_decode(&decoded).collect();
        if again == decoded {
            break;
        }
        decoded = again;
        let blank = |byte: u8| byte <= b' ' || byte == 0x7f;
        if is_doubled(&decoded, blank) {
            return false;
        }
    }
    true
}

/// Whether `bytes` begins with a slash or backslash and another one follows, with nothing but blanks
/// or one or two dots in between.
fn is_doubled(bytes: &[u8], blank: impl Fn(u8) -> bool) -> bool {
    let slash = |byte: Option<&u8>| matches!(byte, Some(b'/' | b'\\'));
    if !slash(bytes.first()) {
        return false;
    }
    let rest = &bytes[1..];
    let blanks = rest
        .iter()
        .take_while(|byte| blank(**byte) || **byte == 0x0b)
        .count();
    let dots = rest
        .iter()
        .take(2)
        .take_while(|byte| **byte == b'.')
        .count();
    slash(rest.get(blanks)) || slash(rest.get(dots)) || (dots == 2 && slash(rest.get(1)))
}

/// `http://` or `https://` with a host of the list, written plainly: no user, no backslash, no
/// blank, nothing that two readers could take for different hosts.
fn is_allowed_url(text: &str, allowed: &[Arc<str>]) -> bool {
    let Some(rest) = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
    else {
        return false;
    };
    if text
        .bytes()
        .any(|byte| !byte.is_ascii_graphic() || byte == b'\\')
    {
        return false;
    }
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
    let agreed = Url::parse(text).is_ok_and(|url| {
        url.username().is_empty()
            && url.password().is_none()
            && url
                .host_str()
                .is_some_and(|parsed| parsed.eq_ignore_ascii_case(host))
    });
    !host.is_empty()
        && host.bytes().all(plain)
        && port.is_none_or(|port| port.parse::<u16>().is_ok())
        && agreed
        && allowed.iter().any(|entry| admits(entry, host, port))
}

/// Whether an entry of `whitelist_domains` admits a host: the exact name, or `.d` and `*.d` for `d`
/// and everything below it; `:port` pins a port, `:*` frees it, nothing means no port.
pub(crate) fn admits(entry: &str, host: &str, port: Option<&str>) -> bool {
    let (name, wanted) = match entry.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (entry, None),
    };
    let port_fits = match (wanted, port) {
        (Some("*"), _) | (None, None) => true,
        (Some(wanted), Some(port)) => wanted == port,
        (None, Some(_)) | (Some(_), None) => false,
    };
    let below = name.strip_prefix("*.").or_else(|| name.strip_prefix('.'));
    let host_fits = match below {
        Some("") => false,
        Some(domain) => {
            host.eq_ignore_ascii_case(domain)
                || host
                    .len()
                    .checked_sub(domain.len() + 1)
                    .and_then(|cut| host.split_at_checked(cut))
                    .and_then(|(_, end)| end.strip_prefix('.'))
                    .is_some_and(|end| end.eq_ignore_ascii_case(domain))
        }
        None => !name.is_empty() && host.eq_ignore_ascii_case(name),
    };
    port_fits && host_fits
}

/// The request's own path and query, as somewhere to come back to: pages below `prefix` are not.
pub(crate) fn own<'a>(path_and_query: &'a str, prefix: &str) -> &'a str {
    match path_and_query.strip_prefix(prefix) {
        Some(rest) if rest.starts_with('/') => "/",
        _ => path_and_query,
    }
}

/// The values of `name` in a query or form, decoded.
pub(crate) fn parameter(text: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(text.as_bytes())
        .find(|(one, _)| one == name)
        .map(|(_, value)| value.into_owned())
}

/// How often `name` stands in a query or form.
pub(crate) fn parameter_count(text: &str, name: &str) -> usize {
    url::form_urlencoded::parse(text.as_bytes())
        .filter(|(one, _)| one == name)
        .count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allowed() -> Vec<Arc<str>> {
        [
            "plain.example",
            ".below.example",
            "*.star.example",
            "port.example:8443",
            "any.example:*",
        ]
        .map(Arc::from)
        .to_vec()
    }

    fn read(text: &str) -> Option<String> {
        Target::parse(text, &allowed()).map(|target| target.as_str().to_owned())
    }

    #[test]
    fn paths_on_this_host_are_targets_and_keep_path_and_query() {
        for path in [
            "/",
            "/pipeline/",
            "/a/b?c=d&e=f",
            "/x?next=https://elsewhere.example/y",
            "/x?next=//elsewhere.example",
            "/x#/hash/route",
            "/_/jupyter/?ns=a",
            "/a.b/c..d/.hidden/file",
            "/a%2Fb",
            "/s3%3A%2F%2Fbucket",
            "/{a}/~b/$c",
        ] {
            assert_eq!(read(path).as_deref(), Some(path));
        }
        assert_eq!(read("/a b/é").as_deref(), Some("/a%20b/%C3%A9"));
    }

    #[test]
    fn every_spelling_of_another_host_is_refused() {
        for bad in [
            "",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "\\/evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/\r\n/evil.example",
            "/\x0b/evil.example",
            "/\x0c/evil.example",
            "/ /evil.example",
            "/  \\evil.example",
            "/./\t/evil.example",
            "/.//evil.example",
            "/./evil.example",
            "/../evil.example",
            "/..//evil.example",
            "/.\\evil.example",
            "/..\\evil.example",
            "/a//evil.example",
            "/a/../../evil",
            "/a\\/evil",
            "/%09/evil.example",
            "/%0a/evil.example",
            "/%2f/evil.example",
            "/%2fevil.example",
            "/%5cevil.example",
            "/%2Fevil.example",
            "/%2e/evil.example",
            "/%2e%2e/evil.example",
            "/%252fevil.example",
            "/%00/evil.example",
            "https:evil.example",
            "https:/evil.example",
            "https:///evil.example",
            "https://evil.example",
            "http://evil.example",
            "HTTPS://plain.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "evil.example",
            "\u{0}/x",
            " /x",
            "\t/x",
            "ftp://plain.example",
            "/x\u{7f}",
            "\u{2f}\u{2f}evil",
            "?x",
            "#x",
            "/\u{85}\u{0}/evil",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn absolute_urls_need_their_host_on_the_list() {
        for good in [
            "https://plain.example",
            "http://plain.example/x?y#z",
            "https://PLAIN.example/",
            "https://below.example/x",
            "https://a.b.below.example",
            "https://c.star.example",
            "https://star.example",
            "https://port.example:8443/x",
            "https://any.example/x",
            "https://any.example:1234/",
        ] {
            assert_eq!(read(good).as_deref(), Some(good));
        }
        for bad in [
            "https://plain.example:443/",
            "https://xplain.example",
            "https://a.plain.example",
            "https://plain.example.evil.example",
            "https://notbelow.example",
            "https://port.example",
            "https://port.example:8444",
            "https://plain.example@evil.example",
            "https://evil.example@plain.example",
            "https://plain.example\\@evil.example",
            "https://plain.example\\.evil.example",
            "https://evil.example/plain.example",
            "https://evil.example?plain.example",
            "https://evil.example#plain.example",
            "https://plain.example%2eevil.example",
            "https://plain.example:x",
            "https:// plain.example",
            "https://plain。example",
            "https://any.example:99999",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_target_that_is_too_long_loses_its_query_and_then_everything() {
        let long = format!("/a?{}", "x".repeat(LONGEST));
        assert_eq!(Target::first([long.as_str()], &[]).as_str(), "/a");
        let longer = format!("/{}", "x".repeat(LONGEST));
        assert_eq!(Target::first([longer.as_str()], &[]).as_str(), "/");
    }

    #[test]
    fn the_first_candidate_that_is_a_target_wins() {
        assert_eq!(Target::first(["//evil", "/a", "/b"], &[]).as_str(), "/a");
        assert_eq!(Target::first(["//evil", "x"], &[]).as_str(), "/");
    }

    #[test]
    fn the_pages_of_the_login_proxy_are_nowhere_to_come_back_to() {
        assert_eq!(own("/oauth2/sign_in?x", "/oauth2"), "/");
        assert_eq!(own("/oauth2x/y?z", "/oauth2"), "/oauth2x/y?z");
        assert_eq!(own("/a?b", "/oauth2"), "/a?b");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// What a browser makes of the `Location`, by the WHATWG rules for URLs, before and after
        /// one more decoding.
        #[test]
        fn no_target_ever_leads_to_a_host_nobody_allowed(
            text in prop_oneof![
                ".*",
                "[/\\\\.%0259fFeEcC\t\n\r \x0b\x0c:@?#a-z]{0,24}",
                "https?:[/\\\\@:.a-z]{0,12}(plain|any)[.\\\\/@:]example[/\\\\@:.?#a-z0-9]{0,12}",
            ],
        ) {
            let served = Url::parse("https://served.example/deep/page?x=1").unwrap();
            if let Some(target) = Target::parse(&text, &allowed()) {
                let location = target.location();
                let written = location.to_str().unwrap();
                let decoded = percent_decode(written.as_bytes()).decode_utf8_lossy();
                for text in [written, &decoded] {
                    let Ok(url) = served.join(text) else { continue };
                    let host = url.host_str().unwrap_or_default();
                    let fine = ["served.example", "plain.example", "any.example"].contains(&host);
                    prop_assert!(fine, "{text:?} leads to {url}");
                }
            }
        }
    }
}
