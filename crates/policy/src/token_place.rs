//! Where the tokens of a request lie.

use std::borrow::Cow;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use model::snapshot::TokenLocation;
use percent_encoding::percent_decode_str;

use crate::authorization::Headers;

/// Gives `each` every text that lies at `location`: whoever proves tokens and whoever judges them
/// look at the same ones.
pub fn texts_at<'h>(
    location: &TokenLocation,
    headers: &'h HeaderMap,
    query: Option<&'h str>,
    each: &mut dyn FnMut(Cow<'h, [u8]>),
) {
    texts_over(location, Headers::of(headers), query, each);
}

/// The same of a request that was changed on its way.
pub(crate) fn texts_over<'h>(
    location: &TokenLocation,
    headers: Headers<'h>,
    query: Option<&'h str>,
    each: &mut dyn FnMut(Cow<'h, [u8]>),
) {
    match location {
        TokenLocation::Header { name, prefix } => {
            let mut values = headers.values(name).map(HeaderValue::as_bytes);
            let (Some(first), second) = (values.next(), values.next()) else {
                return;
            };
            let Some(second) = second else {
                if let Some(text) = after(first, prefix.as_bytes()) {
                    each(Cow::Borrowed(text));
                }
                return;
            };
            // A header that is repeated is one text, as for Istio's proxies: no token, if it has
            // the prefix, so it is refused.
            let all: Vec<_> = [first, second].into_iter().chain(values).collect();
            if let Some(text) = after(&all.join(&b","[..]), prefix.as_bytes()) {
                each(Cow::Owned(text.to_vec()));
            }
        }
        TokenLocation::Query(name) => query
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .filter(|(key, _)| is_parameter(key, name))
            .for_each(|(_, value)| each(percent_decode_str(value).into())),
        TokenLocation::Cookie(name) => headers
            .values(&COOKIE)
            .flat_map(|value| value.as_bytes().split(|&byte| byte == b';'))
            .filter_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes()))
            .filter_map(|rest| rest.trim_ascii_start().strip_prefix(b"="))
            .for_each(|text| each(Cow::Borrowed(text.trim_ascii_start()))),
    }
}

/// Whether `key`, as it was sent, spells the parameter `name`.
pub(crate) fn is_parameter(key: &str, name: &str) -> bool {
    percent_decode_str(key).eq(name.bytes())
}

/// What follows the first `prefix` in `value`, wherever that stands.
fn after<'v>(value: &'v [u8], prefix: &[u8]) -> Option<&'v [u8]> {
    if prefix.is_empty() {
        return Some(value.trim_ascii());
    }
    let at = value
        .windows(prefix.len())
        .position(|window| window == prefix)?;
    Some(value[at + prefix.len()..].trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_counts_with_its_letter_case_only() {
        assert_eq!(after(b"Bearer abc", b"Bearer "), Some(&b"abc"[..]));
        assert_eq!(after(b"x Bearer abc", b"Bearer "), Some(&b"abc"[..]));
        assert_eq!(after(b"bearer abc", b"Bearer "), None);
        assert_eq!(after(b"Basic abc", b"Bearer "), None);
        assert_eq!(after(b"abc", b""), Some(&b"abc"[..]));
    }

    #[test]
    fn every_text_of_a_place_is_given() {
        let headers: HeaderMap = [
            ("cookie", "a=1; t=first"),
            ("cookie", "tt=2; t = second;t"),
            ("x-token", " third "),
            ("x-twice", "Token a"),
            ("x-twice", "Basic b"),
        ]
        .into_iter()
        .map(|(name, value)| {
            let name = http::HeaderName::from_static(name);
            (name, http::HeaderValue::from_static(value))
        })
        .collect();
        let found = |location: TokenLocation| {
            let mut found = Vec::new();
            let query = Some("t=fourth&%74=f%69fth&x&t");
            texts_at(&location, &headers, query, &mut |text| {
                found.push(String::from_utf8(text.into_owned()).unwrap());
            });
            found
        };
        assert_eq!(
            found(TokenLocation::Cookie("t".into())),
            ["first", "second"]
        );
        assert_eq!(found(TokenLocation::Query("t".into())), ["fourth", "fifth"]);
        let header = |name: &'static str, prefix: &str| TokenLocation::Header {
            name: http::HeaderName::from_static(name),
            prefix: prefix.into(),
        };
        assert_eq!(found(header("x-token", "")), ["third"]);
        assert_eq!(found(header("x-twice", "Token ")), ["a,Basic b"]);
        assert_eq!(found(header("x-twice", "Bearer ")), Vec::<String>::new());
    }
}
