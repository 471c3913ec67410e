//! The request that is asked about: facts from flags, as the gateway takes them from the wire.

use std::net::{IpAddr, Ipv4Addr};

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use model::Snapshot;
use model::names::Timestamp;
use model::snapshot::ListenerProtocol;
use policy::RequestHead;
use policy::request::FoldedNames;

use super::{ExplainArgs, Scheme};

/// The request that is asked about.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) scheme: &'static str,
    pub(super) host: String,
    pub(super) path: String,
    /// Identity headers from outside already removed.
    pub(super) headers: HeaderMap,
    pub(super) port: u16,
    /// Names of the identity headers that were removed.
    stripped: Vec<HeaderName>,
    server_name: Option<String>,
}

impl Asked {
    pub(super) fn of(args: &ExplainArgs, snapshot: &Snapshot) -> Self {
        let ExplainArgs {
            host,
            path,
            method,
            headers: given,
            scheme,
            port,
            server_name,
            ..
        } = args;
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(name, value.clone());
        }
        let before: Vec<_> = headers.keys().cloned().collect();
        FoldedNames::of(snapshot.identity_headers()).remove_from(&mut headers);
        let stripped = before
            .into_iter()
            .filter(|name| !headers.contains_key(name))
            .collect();
        if let Ok(value) = HeaderValue::from_str(host) {
            headers.entry(HOST).or_insert(value);
        }
        let name = host_name(host);
        let port = port.unwrap_or_else(|| entry(snapshot, *scheme, &name));
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let https = *scheme == Scheme::Https;
        Self {
            method: method.clone(),
            scheme: if https { "https" } else { "http" },
            host: host.clone(),
            path: path.clone(),
            headers,
            port,
            stripped,
            server_name: server_name
                .clone()
                .or_else(|| (https && !is_address).then_some(name)),
        }
    }

    /// The head in the form that [`policy::Request::read`] takes. It comes from this machine.
    pub(super) fn head(&self, now: Timestamp) -> RequestHead<'_> {
        RequestHead {
            method: &self.method,
            scheme: self.scheme,
            authority: &self.host,
            target: &self.path,
            headers: &self.headers,
            port: self.port,
            peer: Ipv4Addr::LOCALHOST.into(),
            client: Ipv4Addr::LOCALHOST.into(),
            principal: None,
            sni: self.server_name.as_deref(),
            now,
            draw: 0,
        }
    }

    /// What the gateway does before the decision.
    pub(super) fn notes(&self, snapshot: &Snapshot) -> Vec<String> {
        let mut notes: Vec<_> = self
            .stripped
            .iter()
            .map(|name| format!("`{name}` says who the user is and is removed from outside"))
            .collect();
        if self.scheme == "http" {
            notes.push(
                "`up` redirects plain HTTP to HTTPS first, unless `--https-upgrade off`".into(),
            );
        }
        if snapshot.listener(self.port).is_none() {
            notes.push(format!("no `Gateway` serves port {}", self.port));
        }
        notes
    }
}

/// Lower case, no port, no trailing dot.
fn host_name(authority: &str) -> String {
    let end = match authority.rfind(']') {
        Some(bracket) => bracket + 1,
        None => authority.rfind(':').unwrap_or(authority.len()),
    };
    let name = &authority[..end];
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// The `Gateway` port behind a socket: a TLS port that serves the host, then, because of the
/// upgrade to HTTPS, a plain one; the well-known port first, then by number.
fn entry(snapshot: &Snapshot, scheme: Scheme, host: &str) -> u16 {
    let ports = |protocol: ListenerProtocol, first: u16| {
        let listeners = snapshot.listeners().values();
        let mut ports: Vec<_> = listeners
            .filter(|listener| listener.protocol == protocol)
            .map(|listener| listener.port)
            .collect();
        ports.sort_by_key(|port| (*port != first, *port));
        ports
    };
    let plain = ports(ListenerProtocol::Http, 80);
    let (candidates, fallback) = match scheme {
        Scheme::Http => (plain, 80),
        Scheme::Https => ([ports(ListenerProtocol::Tls, 443), plain].concat(), 443),
    };
    let serves = |port: &&u16| {
        snapshot
            .listener(**port)
            .is_some_and(|listener| listener.covers(host))
    };
    *candidates
        .iter()
        .find(serves)
        .or(candidates.first())
        .unwrap_or(&fallback)
}

#[cfg(test)]
mod tests {
    use super::host_name;

    #[test]
    fn the_name_of_a_host_has_no_port() {
        for (authority, name) in [
            ("A.Example.com:8443", "a.example.com"),
            ("x.", "x"),
            ("[::1]:8443", "[::1]"),
            ("[::1]", "[::1]"),
            ("127.0.0.1", "127.0.0.1"),
        ] {
            assert_eq!(host_name(authority), name);
        }
    }
}
