//! Best host and path match.

mod redirect;
mod rewrite;

use std::sync::Arc;

use http::HeaderValue;
use http::header::HOST;
use model::snapshot::{
    ClaimTest, HeaderMatch, HeaderTest, PseudoHeader, PseudoTest, Route, RouteMatch, TextMatch,
    UriMatch, VirtualHosts,
};

use crate::authorization::{Accepted, Headers};
use crate::request::Request;

pub(crate) use redirect::location;
pub(crate) use rewrite::rewrite;

/// A route and which of its alternatives matched; `None` when it matches everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chosen<'s> {
    pub(crate) route: &'s Arc<Route>,
    pub(crate) matched: Option<&'s RouteMatch>,
}

/// What a choice of a route came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Choice<'s> {
    pub(crate) chosen: Option<Chosen<'s>>,
    /// Whether a verified token could lead elsewhere: a condition on headers, the query or claims
    /// was looked at.
    pub(crate) may_change: bool,
}

/// What conditions look at that changes on the way: headers, the query, and the token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight<'a> {
    pub(crate) headers: Headers<'a>,
    pub(crate) query: Option<&'a str>,
    /// The token that the gateway accepted.
    pub(crate) token: Option<Accepted<'a>>,
}

impl<'a> Sight<'a> {
    /// The request as it came.
    pub(crate) fn of(request: &'a Request<'_>) -> Self {
        Self {
            headers: Headers::of(request.head().headers),
            query: request.query(),
            token: None,
        }
    }
}

/// The first route of the request's virtual host that matches. No fall-through to a less specific
/// host.
pub(crate) fn choose<'s>(
    hosts: &'s VirtualHosts,
    request: &Request<'_>,
    sight: Sight<'_>,
) -> Choice<'s> {
    let mut choice = Choice::default();
    let routes = hosts.routes(request.host());
    let candidates = routes.map(|routes| routes.candidates(request.path()));
    for route in candidates.into_iter().flatten() {
        if route.matches.is_empty() {
            choice.chosen = Some(Chosen {
                route,
                matched: None,
            });
            break;
        }
        let matched = route.matches.iter().find(|one| {
            choice.may_change |=
                !(one.headers.is_empty() && one.query.is_empty() && one.claims.is_empty());
            fits(one, request, sight)
        });
        if matched.is_some() {
            choice.chosen = Some(Chosen { route, matched });
            break;
        }
    }
    choice
}

fn fits(wanted: &RouteMatch, request: &Request<'_>, sight: Sight<'_>) -> bool {
    let RouteMatch {
        uri,
        scheme,
        method,
        authority,
        headers,
        pseudo,
        query,
        claims,
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
        // As sent, letter case and all.
        && maybe(authority, head.authority)
        && pseudo.iter().all(|test| pseudo_header(test, request))
        && headers
            .iter()
            .all(|test| header(test, request, sight.headers))
        && query
            .iter()
            .all(|(name, pattern)| parameter(name, pattern, sight.query))
        && claims.iter().all(|test| claim(test, sight.token))
}

/// No token has no claims: nothing holds of it, so what must not hold does not.
fn claim(test: &ClaimTest, token: Option<Accepted<'_>>) -> bool {
    let ClaimTest {
        path,
        value,
        negate,
    } = test;
    let values = token.and_then(|token| token.claim(path));
    let holds = values.is_some_and(|values| values.iter().any(|one| text(value, one)));
    holds != *negate
}

fn pseudo_header(test: &PseudoTest, request: &Request<'_>) -> bool {
    let PseudoTest {
        which,
        value,
        negate,
    } = test;
    let holds = match which {
        PseudoHeader::Method => text(value, request.head().method.as_str()),
        PseudoHeader::Scheme => text(value, request.head().scheme),
        PseudoHeader::Authority => text(value, request.head().authority),
        PseudoHeader::Path => text(value, &request.path_and_query()),
    };
    holds != *negate
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

pub(crate) fn text(pattern: &TextMatch, value: &str) -> bool {
    match pattern {
        TextMatch::Exact(exact) => **exact == *value,
        TextMatch::Prefix(prefix) => value.starts_with(&**prefix),
        TextMatch::Regex(regex) => regex.is_match(value),
    }
}

fn header(test: &HeaderTest, request: &Request<'_>, headers: Headers<'_>) -> bool {
    let HeaderTest {
        name,
        value,
        negate,
    } = test;
    let matches = if *name == HOST {
        match value {
            HeaderMatch::Present => true,
            HeaderMatch::Text(pattern) => text(pattern, request.head().authority),
        }
    } else {
        let values = || {
            headers
                .values(name)
                .map(HeaderValue::as_bytes)
                .filter_map(|value| std::str::from_utf8(value).ok())
        };
        match value {
            HeaderMatch::Present => headers.values(name).next().is_some(),
            // One value after the other, not the list that they make together; and to
            // `withoutHeaders` a header that is not there is empty.
            HeaderMatch::Text(pattern) => {
                values().any(|value| text(pattern, value))
                    || *negate && headers.values(name).next().is_none() && text(pattern, "")
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

/// Which of several destinations a draw falls on, by their weights; the only one gets everything.
/// `None` when none gets anything.
pub(crate) fn pick(
    weights: impl ExactSizeIterator<Item = u32> + Clone,
    draw: u32,
) -> Option<usize> {
    if weights.len() == 1 {
        return Some(0);
    }
    let sum: u64 = weights.clone().map(u64::from).sum();
    let mut left = u64::from(draw) % sum.max(1);
    for (number, weight) in weights.enumerate() {
        match left.checked_sub(u64::from(weight)) {
            Some(rest) => left = rest,
            None => return Some(number),
        }
    }
    None
}

#[cfg(test)]
mod tests;
