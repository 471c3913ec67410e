//! Best host and path match.

mod redirect;
mod rewrite;

use std::sync::Arc;

use http::HeaderValue;
use http::header::HOST;
use model::snapshot::{
    HeaderMatch, HeaderTest, Route, RouteMatch, TextMatch, UriMatch, VirtualHosts,
};

use crate::authorization::Headers;
use crate::request::Request;

pub(crate) use redirect::location;
pub(crate) use rewrite::rewrite;

/// A route and which of its alternatives matched; `None` when it matches everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chosen<'s> {
    pub(crate) route: &'s Arc<Route>,
    pub(crate) matched: Option<&'s RouteMatch>,
}

/// The first route of the request's virtual host that matches. No fall-through to a less specific
/// host.
pub(crate) fn choose<'s>(hosts: &'s VirtualHosts, request: &Request<'_>) -> Option<Chosen<'s>> {
    hosts.routes(request.host())?.iter().find_map(|route| {
        if route.matches.is_empty() {
            return Some(Chosen {
                route,
                matched: None,
            });
        }
        let matched = route.matches.iter().find(|one| fits(one, request))?;
        Some(Chosen {
            route,
            matched: Some(matched),
        })
    })
}

fn fits(wanted: &RouteMatch, request: &Request<'_>) -> bool {
    let RouteMatch {
        uri,
        scheme,
        method,
        authority,
        headers,
        query,
        claims: _,
        port,
    } = wanted;
    let head = request.head();
    let maybe = |pattern: &Option<TextMatch>, value: &str| {
        pattern.as_ref().is_none_or(|pattern| text(pattern, value))
    };
    uri.as_ref().is_none_or(|uri| path(uri, request.path()))
        && port.is_none_or(|port| port == head.port)
        && maybe(scheme, head.scheme)
        && maybe(method, head.method.as_str())
        && maybe(authority, request.authority())
        && headers.iter().all(|test| header(test, request))
        && query
            .iter()
            .all(|(name, pattern)| parameter(name, pattern, request.query()))
}

fn path(uri: &UriMatch, path: &str) -> bool {
    match &uri.text {
        TextMatch::Prefix(prefix) if uri.whole_segments => {
            rewrite::segments_after(path, prefix).is_some()
        }
        TextMatch::Exact(exact) if uri.ignore_case => path.eq_ignore_ascii_case(exact),
        TextMatch::Prefix(prefix) if uri.ignore_case => path
            .as_bytes()
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes())),
        other => text(other, path),
    }
}

fn text(pattern: &TextMatch, value: &str) -> bool {
    match pattern {
        TextMatch::Exact(exact) => **exact == *value,
        TextMatch::Prefix(prefix) => value.starts_with(&**prefix),
        TextMatch::Regex(regex) => regex.is_match(value),
    }
}

fn header(test: &HeaderTest, request: &Request<'_>) -> bool {
    let HeaderTest {
        name,
        value,
        negate,
    } = test;
    let matches = if *name == HOST {
        match value {
            HeaderMatch::Present => true,
            HeaderMatch::Text(pattern) => text(pattern, request.authority()),
        }
    } else {
        let values = || {
            Headers::of(request.head().headers)
                .values(name)
                .map(HeaderValue::as_bytes)
                .filter_map(|value| std::str::from_utf8(value).ok())
        };
        match value {
            HeaderMatch::Present => request.head().headers.contains_key(name),
            HeaderMatch::Text(pattern) => {
                values().any(|value| text(pattern, value)) || {
                    // What came several times also reads as one list.
                    values().nth(1).is_some()
                        && text(pattern, &values().collect::<Vec<_>>().join(","))
                }
            }
        }
    };
    matches != *negate
}

/// The first parameter of that name, as it was sent; `k` and `k=` are both empty.
fn parameter(name: &str, pattern: &TextMatch, query: Option<&str>) -> bool {
    query
        .unwrap_or_default()
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(key, _)| *key == name)
        .is_some_and(|(_, value)| text(pattern, value))
}

#[cfg(test)]
mod tests;
