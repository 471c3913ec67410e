//! Where a `redirect` leads.

use model::snapshot::{Redirect, RedirectPort, RouteMatch};

use super::rewrite::changed;
use crate::request::{Request, push_encoded};

/// The absolute URL that `redirect` makes of `request`.
pub(crate) fn location(
    redirect: &Redirect,
    matched: Option<&RouteMatch>,
    request: &Request<'_>,
) -> String {
    let head = request.head();
    let scheme = redirect.scheme.as_deref().unwrap_or(head.scheme);
    let port = match redirect.port {
        RedirectPort::Keep => None,
        RedirectPort::Number(port) => Some(port),
        RedirectPort::FromRequest => Some(head.port),
        RedirectPort::Replace(port) => port.or(Some(head.port)),
    };
    // A plain port that is served over HTTPS too is not where the client asked.
    let is_upgraded = redirect.port == RedirectPort::Replace(None)
        && head.scheme == "https"
        && Some(head.port) == default_port("http");
    let port = port.filter(|_| !is_upgraded);
    let replaces_port = matches!(redirect.port, RedirectPort::Replace(_)) && !is_upgraded;
    // The scheme's own port is never written.
    let port = port.filter(|&port| Some(port) != default_port(scheme));
    let authority = match &redirect.authority {
        Some(authority) => authority,
        None => {
            let (host, sent_port) = split(head.authority);
            let is_old_default = scheme != head.scheme
                && sent_port.is_some_and(|sent| sent.parse().ok() == default_port(head.scheme));
            if port.is_some() || replaces_port || is_old_default {
                host
            } else {
                head.authority
            }
        }
    };
    let authority = match port {
        Some(port) => format!("{authority}:{port}"),
        None => authority.to_owned(),
    };
    let Some(change) = &redirect.path else {
        return request.location(scheme, &authority);
    };
    let uri = changed(change, matched, request.path());
    let mut location = format!("{scheme}://{authority}");
    push_encoded(&mut location, &uri);
    if let (Some(query), false) = (request.query(), uri.contains('?')) {
        location.push('?');
        push_encoded(&mut location, query);
    }
    location
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Host and port of an authority that [`Request::read`] has accepted.
fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}
