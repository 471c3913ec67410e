//! The routes of a tree, each with a request that takes it.

use std::collections::HashSet;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};
use model::Snapshot;
use model::snapshot::{
    HeaderMatch, Listener, ListenerProtocol, PseudoHeader, Route, RouteAction, RouteMatch, Serves,
    ServiceRef, TextMatch, UriMatch,
};

use super::Scheme;
use super::probe::Probe;
use super::sample;

/// One alternative of a route of one virtual host.
pub(super) struct Place<'s> {
    /// The host as a manifest names it; with the port where it is not the usual one.
    pub(super) host: String,
    /// The path as a manifest names it: `/x`, `/x*` or `~regex`.
    pub(super) path: String,
    /// Further conditions, in words.
    pub(super) conditions: Vec<String>,
    pub(super) what: What<'s>,
    /// A request that takes it.
    pub(super) probe: Probe,
}

/// What stands at a place.
pub(super) enum What<'s> {
    Route(&'s Arc<Route>),
    /// A whole host that is closed.
    Closed,
    /// A whole host that leads to HTTPS.
    Upgrade,
}

impl Place<'_> {
    /// Where it leads, if it leads to a Service.
    pub(super) fn service(&self) -> Option<&ServiceRef> {
        let What::Route(route) = self.what else {
            return None;
        };
        match &route.action {
            RouteAction::Forward(forward) => {
                let first = forward.destinations.first()?;
                Some(&first.destination.service)
            }
            RouteAction::Redirect(_) | RouteAction::Respond(_) | RouteAction::Closed(_) => None,
        }
    }
}

/// Every place of `snapshot`, or those of one host, by port, host and order of the routes. Nothing
/// is told of what goes by bytes.
pub(super) fn of<'s>(snapshot: &'s Snapshot, only: Option<&str>) -> Vec<Place<'s>> {
    let mut places = Vec::new();
    let mut seen = HashSet::new();
    let mut listeners: Vec<&Listener> = snapshot.listeners().values().collect();
    listeners.sort_by_key(|listener| (listener.protocol != ListenerProtocol::Tls, listener.port));
    for listener in listeners {
        for chain in listener.chains() {
            match &chain.serves {
                Serves::Http(hosts) => {
                    let mut all: Vec<_> = hosts.iter().collect();
                    all.sort_by_key(|(pattern, _)| pattern.to_string());
                    for (pattern, routes) in all {
                        let host = match only {
                            Some(only) if pattern.covers(only) => only.to_owned(),
                            Some(_) => continue,
                            None => sample::host(&pattern),
                        };
                        // The closest virtual host has it, and no other.
                        if !hosts
                            .routes(&host)
                            .is_some_and(|found| Arc::ptr_eq(found, routes))
                        {
                            continue;
                        }
                        let around = Around::of(snapshot, listener, pattern.to_string(), &host);
                        let upgrades =
                            around.probe.scheme == "http" && hosts.redirects_to_https(&host);
                        if hosts.closure(&host).is_some() {
                            places.push(around.whole(What::Closed));
                        } else if upgrades {
                            places.push(around.whole(What::Upgrade));
                        } else {
                            let new = routes.iter().filter(|route| {
                                seen.insert((around.label.clone(), Arc::as_ptr(&route.info)))
                            });
                            places.extend(new.flat_map(|route| around.places(route)));
                        }
                    }
                }
                Serves::Nothing(_) => {
                    let covers = |only: &str| chain.hosts.iter().any(|host| host.covers(only));
                    if only.is_none_or(covers) {
                        for pattern in &chain.hosts {
                            let host = only.map_or_else(|| sample::host(pattern), str::to_owned);
                            let around = Around::of(snapshot, listener, pattern.to_string(), &host);
                            places.push(around.whole(What::Closed));
                        }
                    }
                }
                Serves::Stream(_) => {}
            }
        }
    }
    places
}

/// What the routes of one virtual host have in common.
struct Around {
    label: String,
    probe: Probe,
}

impl Around {
    fn of(snapshot: &Snapshot, listener: &Listener, pattern: String, host: &str) -> Self {
        let tls = snapshot
            .listeners()
            .values()
            .any(|other| other.protocol == ListenerProtocol::Tls && other.covers(host));
        // A plain port without a TLS one beside it is served over HTTPS too.
        let scheme = match listener.protocol {
            ListenerProtocol::Http if tls => Scheme::Http,
            _ => Scheme::Https,
        };
        let label = match listener.port {
            443 => pattern,
            80 if scheme == Scheme::Https => pattern,
            port => format!("{pattern}:{port}"),
        };
        let mut probe = Probe::of(snapshot, scheme, host);
        probe.port = listener.port;
        Self { label, probe }
    }

    fn whole<'s>(&self, what: What<'s>) -> Place<'s> {
        Place {
            host: self.label.clone(),
            path: "/*".to_owned(),
            conditions: Vec::new(),
            what,
            probe: self.probe.clone(),
        }
    }

    fn places<'s>(&self, route: &'s Arc<Route>) -> Vec<Place<'s>> {
        if route.matches.is_empty() {
            return vec![self.whole(What::Route(route))];
        }
        let alternatives = route.matches.iter();
        alternatives
            .map(|one| Place {
                host: self.label.clone(),
                path: path_label(one.uri.as_ref()),
                conditions: conditions(one),
                what: What::Route(route),
                probe: meet(&self.probe, one),
            })
            .collect()
    }
}

/// `probe` changed to meet `wanted`, as far as a text for each condition comes to mind. Conditions
/// on claims are met by who asks, or not.
fn meet(probe: &Probe, wanted: &RouteMatch) -> Probe {
    let RouteMatch {
        uri,
        scheme,
        method,
        authority,
        headers,
        pseudo,
        query,
        claims: _,
        port,
    } = wanted;
    let mut probe = probe.clone();
    if let Some(path) = sample::path(uri.as_ref()) {
        probe.path = path;
    }
    let as_method = |text: &TextMatch| Method::from_bytes(sample::text(text)?.as_bytes()).ok();
    if let Some(method) = method.as_ref().and_then(as_method) {
        probe.method = method;
    }
    if let Some(host) = authority.as_ref().and_then(sample::text) {
        probe.host = host;
    }
    for test in pseudo.iter().filter(|test| !test.negate) {
        match test.which {
            PseudoHeader::Method => {
                if let Some(method) = as_method(&test.value) {
                    probe.method = method;
                }
            }
            PseudoHeader::Path => probe.path = sample::text(&test.value).unwrap_or(probe.path),
            PseudoHeader::Authority => probe.host = sample::text(&test.value).unwrap_or(probe.host),
            PseudoHeader::Scheme => {}
        }
    }
    if let Some(TextMatch::Exact(scheme)) = scheme
        && **scheme == *"http"
    {
        probe.scheme = "http";
    }
    for test in headers.iter().filter(|test| !test.negate) {
        let value = match &test.value {
            HeaderMatch::Present => Some("x".to_owned()),
            HeaderMatch::Text(text) => sample::text(text),
        };
        if let Some(Ok(value)) = value.map(|value| HeaderValue::from_str(&value)) {
            probe.headers.insert(test.name.clone(), value);
        }
    }
    let query: Vec<_> = query
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", sample::text(value)?)))
        .collect();
    if !query.is_empty() {
        probe.path = format!("{}?{}", probe.path, query.join("&"));
    }
    probe.port = port.unwrap_or(probe.port);
    probe
}

fn path_label(uri: Option<&UriMatch>) -> String {
    match uri.map(|uri| (&uri.text, uri.whole_segments)) {
        None => "/*".to_owned(),
        Some((TextMatch::Exact(path), _)) => path.to_string(),
        Some((TextMatch::Prefix(prefix), true)) => format!("{}[/*]", prefix.trim_end_matches('/')),
        Some((TextMatch::Prefix(prefix), false)) => format!("{prefix}*"),
        Some((TextMatch::Regex(regex), _)) => format!("~{}", regex.source()),
    }
}

/// What a match asks besides the path.
fn conditions(wanted: &RouteMatch) -> Vec<String> {
    let RouteMatch {
        uri: _,
        scheme,
        method,
        authority,
        headers,
        pseudo,
        query,
        claims,
        port,
    } = wanted;
    let mut told = Vec::new();
    let mut tell = |name: &str, text: &TextMatch| told.push(format!("{name}={}", text_label(text)));
    let named = [("scheme", scheme), ("method", method), ("host", authority)];
    for (name, text) in named {
        if let Some(text) = text {
            tell(name, text);
        }
    }
    for (name, text) in query {
        tell(&format!("?{name}"), text);
    }
    let unless = |negate: bool| if negate { "without " } else { "" };
    for test in pseudo {
        let name = match test.which {
            PseudoHeader::Method => "method",
            PseudoHeader::Path => "path",
            PseudoHeader::Authority => "host",
            PseudoHeader::Scheme => "scheme",
        };
        tell(&format!("{}{name}", unless(test.negate)), &test.value);
    }
    let header = |name: &HeaderName, value: &HeaderMatch, negate| match value {
        HeaderMatch::Text(text) if !policy::request::is_secret(name) => {
            format!("{}{name}={}", unless(negate), text_label(text))
        }
        HeaderMatch::Present | HeaderMatch::Text(_) => format!("{}{name}", unless(negate)),
    };
    told.extend(
        headers
            .iter()
            .map(|test| header(&test.name, &test.value, test.negate)),
    );
    told.extend(claims.iter().map(|test| {
        let (name, value) = (test.path.join("."), text_label(&test.value));
        format!("{}claim {name}={value}", unless(test.negate))
    }));
    told.extend(port.map(|port| format!("port={port}")));
    told
}

fn text_label(text: &TextMatch) -> String {
    match text {
        TextMatch::Exact(text) => text.to_string(),
        TextMatch::Prefix(text) => format!("{text}*"),
        TextMatch::Regex(regex) => format!("~{}", regex.source()),
    }
}
