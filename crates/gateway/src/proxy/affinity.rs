//! What a consistent choice of a place hangs on.

use std::hash::{DefaultHasher, Hash, Hasher};

use http::header::{COOKIE, HeaderMap, HeaderValue};
use http::request::Parts;
use model::names::Duration;
use model::snapshot::{Balance, HashKey};
use policy::Permit;

use super::pool::Choice;
use crate::facts::Facts;

/// The choice of a request, and the cookie that its client gets to be led to the same place again.
pub(super) fn choice(
    permit: &Permit,
    parts: &Parts,
    facts: &Facts,
) -> (Choice, Option<HeaderValue>) {
    let draw = permit.draw();
    let Balance::Consistent(key) = &permit.destination().traffic.balance else {
        return (Choice { draw, hash: None }, None);
    };
    let mut made = None;
    let hash = match key {
        HashKey::Header(name) => {
            let mut values = parts.headers.get_all(name).iter().peekable();
            values
                .peek()
                .is_some()
                .then(|| hash_of(&values.map(HeaderValue::as_bytes).collect::<Vec<_>>()))
        }
        HashKey::SourceIp => Some(hash_of(&facts.client)),
        HashKey::QueryParameter(name) => {
            let query = parts.uri.query().unwrap_or_default();
            parameter(query, name).map(|value| hash_of(&value))
        }
        HashKey::Cookie { name, path, ttl } => match cookie(&parts.headers, name) {
            Some(value) => Some(hash_of(&value)),
            None => ttl.map(|ttl| {
                // It says nothing and opens nothing; it only has to differ.
                let seed = (facts.request_id.as_bytes(), facts.client, draw);
                let value = format!("{:016x}", hash_of(&seed));
                let hash = hash_of(&value.as_bytes());
                made = set_cookie(name, &value, path.as_deref(), ttl);
                hash
            }),
        },
    };
    (Choice { draw, hash }, made)
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}

fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    headers.get_all(COOKIE).iter().find_map(|header| {
        header
            .as_bytes()
            .split(|byte| *byte == b';')
            .find_map(|pair| {
                let pair = pair.trim_ascii();
                let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
                (!value.is_empty()).then_some(value)
            })
    })
}

fn set_cookie(name: &str, value: &str, path: Option<&str>, ttl: Duration) -> Option<HeaderValue> {
    let mut text = format!("{name}={value}");
    if !ttl.is_zero() {
        text += &format!("; Max-Age={}", ttl.as_secs().max(1));
    }
    if let Some(path) = path {
        text += "; Path=";
        text += path;
    }
    text += "; HttpOnly";
    // A name or path that cannot stand in a header makes no cookie.
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("xsticky=1; sticky_a=2"));
        headers.append(COOKIE, HeaderValue::from_static("a=b;  sticky=abc"));
        assert_eq!(cookie(&headers, "sticky"), Some(&b"abc"[..]));
        assert_eq!(cookie(&headers, "stick"), None);
    }

    #[test]
    fn a_made_cookie_lives_as_long_as_it_should() {
        let made = |path, seconds| set_cookie("a", "1", path, Duration::from_secs(seconds));
        assert_eq!(
            made(Some("/x"), 60).unwrap(),
            "a=1; Max-Age=60; Path=/x; HttpOnly"
        );
        assert_eq!(made(None, 0).unwrap(), "a=1; HttpOnly");
        assert_eq!(made(Some("/\n"), 0), None);
    }

    #[test]
    fn a_parameter_is_found_by_its_whole_name() {
        assert_eq!(parameter("ab=1&b=2&b=3", "b"), Some("2"));
        assert_eq!(parameter("ab=1", "b"), None);
    }
}
