//! A request that is asked about, as the gateway would have read it.

use std::net::{IpAddr, Ipv4Addr};

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method};
use model::Snapshot;
use model::names::Timestamp;
use model::snapshot::ListenerProtocol;
use policy::{Decision, Request, RequestHead, Session, Unreadable, decide};

use super::Scheme;

/// A request that is asked about.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    pub(super) method: Method,
    pub(super) scheme: &'static str,
    pub(super) host: String,
    pub(super) path: String,
    /// Identity headers from outside already removed.
    pub(super) headers: HeaderMap,
    pub(super) port: u16,
    pub(super) server_name: Option<String>,
    pub(super) client: IpAddr,
    /// SPIFFE id of a client certificate, without `spiffe://`.
    pub(super) principal: Option<String>,
}

impl Probe {
    /// A GET of nothing in particular from this machine, on the port that serves `host`.
    pub(super) fn of(snapshot: &Snapshot, scheme: Scheme, host: &str) -> Self {
        let name = host_name(host);
        let is_https = scheme == Scheme::Https;
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(host) {
            headers.insert(HOST, value);
        }
        Self {
            method: Method::GET,
            scheme: if is_https { "https" } else { "http" },
            host: host.to_owned(),
            path: "/".to_owned(),
            headers,
            port: entry(snapshot, scheme, &name),
            server_name: (is_https && !is_address).then_some(name),
            client: Ipv4Addr::LOCALHOST.into(),
            principal: None,
        }
    }

    /// The scheme that [`Self::of`] takes.
    pub(super) fn asked_scheme(&self) -> Scheme {
        if self.scheme == "http" {
            Scheme::Http
        } else {
            Scheme::Https
        }
    }

    /// The head in the form that [`Request::read`] takes.
    pub(super) fn head(&self, now: Timestamp) -> RequestHead<'_> {
        RequestHead {
            method: &self.method,
            scheme: self.scheme,
            authority: &self.host,
            target: &self.path,
            headers: &self.headers,
            port: self.port,
            peer: self.client,
            client: self.client,
            principal: self.principal.as_deref(),
            sni: self.server_name.as_deref(),
            now,
            draw: 0,
        }
    }

    /// What `snapshot` says of it.
    pub(super) fn decide(
        &self,
        snapshot: &Snapshot,
        session: &Session,
        now: Timestamp,
    ) -> Result<Decision, Unreadable> {
        Request::read(self.head(now), snapshot.normalization())
            .map(|request| decide(&request, snapshot, session))
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
