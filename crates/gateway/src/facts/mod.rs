//! Wire head → request facts: one reading of host and target, the client's address, identity
//! headers from outside removed, our own headers set.
//!
//! The HTTP parser leaves these to its user: two `Host` headers, none at all, an absolute target
//! that names another host, `CONNECT`, hop-by-hop headers, headers in look-alike spellings.

mod asked;
mod certificate;
mod cookies;
mod forwarded;
#[cfg(any(test, fuzzing))]
mod fuzzing;
mod headers;
mod identifiers;
mod view;

use std::net::IpAddr;
use std::rc::Rc;

use http::header::{HOST, HeaderMap, HeaderValue, SEC_WEBSOCKET_KEY, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{Method, Uri, Version};
use hyper::ext::Protocol;
use model::names::Timestamp;
use policy::RequestHead;

pub(crate) use asked::{Asked, Said, gather_asked};
pub(crate) use certificate::Shown;
pub(crate) use cookies::without_session_cookies;
#[cfg(any(test, fuzzing))]
pub(crate) use fuzzing::{read_head, read_parts};
pub(crate) use headers::{CLIENT, strip_answer};
pub(crate) use identifiers::Identifiers;
pub(crate) use view::View;

use crate::listen::{Peer, Worker};

/// Headers a request may have; the HTTP/1 parser has the same limit.
const MOST_HEADERS: usize = 100;

/// What the wire says about a request, besides its [`Parts`].
pub(crate) struct Facts {
    /// `Host` or `:authority` as received.
    pub(crate) authority: HeaderValue,
    /// The host that the browser asked, where a trusted proxy in front asks another one.
    pub(crate) site: Option<HeaderValue>,
    /// `http` or `https`, as the browser sees it.
    pub(crate) scheme: &'static str,
    /// Client after the trusted hops.
    pub(crate) client: IpAddr,
    /// `x-request-id`.
    pub(crate) request_id: HeaderValue,
    /// Asks to become a WebSocket.
    pub(crate) websocket: bool,
    /// States to the application who sent the request; there once that is decided.
    pub(crate) assertion: Option<HeaderValue>,
    /// Asks for it in the way of HTTP/2 (RFC 8441).
    pub(crate) extended: bool,
    draw: u32,
    port: u16,
    /// Of a question: whom the proxy that asks heard it from.
    asked: Option<Rc<Asked>>,
    /// Whether HTTP is sent to HTTPS before anything is decided.
    pub(crate) upgrade: bool,
}

/// Why a head cannot mean anything. The client is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unclear {
    /// No host at all.
    NoHost,
    /// More than one `Host`.
    TwoHosts,
    /// The target names another host than `Host`.
    OtherHost,
    /// `Host` has bytes that no host has.
    HostBytes,
    /// `CONNECT`: this is no forward proxy.
    Connect,
    /// The body's transfer coding is not `chunked` once.
    Coding,
    /// More headers than anybody needs.
    TooManyHeaders,
    /// The host asks for client certificates, and this connection was made without asking so.
    Misdirected,
}

/// Reads the facts and puts `parts` into the form that is decided about and forwarded.
pub(crate) fn gather(
    parts: &mut Parts,
    peer: &Peer,
    worker: &Worker,
    view: &View,
) -> Result<Facts, Unclear> {
    let extended = is_extended_connect(parts);
    if parts.method == Method::CONNECT && !extended {
        return Err(Unclear::Connect);
    }
    if parts.headers.len() > MOST_HEADERS {
        return Err(Unclear::TooManyHeaders);
    }
    if !is_plainly_framed(&parts.headers) {
        return Err(Unclear::Coding);
    }
    let authority = authority(parts)?;
    // From here on the target is in origin form, whatever the client wrote.
    if parts.uri.authority().is_some() {
        let target = parts.uri.path_and_query().cloned();
        parts.uri = target.map_or_else(|| Uri::from_static("/"), Uri::from);
    }
    let program = view.world.snapshot.program();
    let trusted_hops = match program {
        Some(program) => usize::from(program.trust().covers(peer.address)),
        None => view.world.snapshot.trusted_hops(),
    };
    // Before the names that it may stand under are taken off.
    let named = program.map(|program| program.client(&parts.headers, peer.address));
    let site = program.and_then(|_| forwarded::site(&mut parts.headers, trusted_hops));
    let mut websocket = headers::strip_request(parts, &view.names);
    if extended {
        let key = worker.identifiers.borrow_mut().websocket_key();
        as_upgrade(parts, key);
        websocket = true;
    }
    cookies::join(&mut parts.headers);
    let scheme = forwarded::scheme(&parts.headers, peer.secure, trusted_hops);
    let client =
        named.unwrap_or_else(|| forwarded::client(&parts.headers, peer.address, trusted_hops));
    let (request_id, draw) = worker.identifiers.borrow_mut().identify(&mut parts.headers);
    forwarded::set(&mut parts.headers, peer, scheme, &authority, trusted_hops);
    let mode = view.world.snapshot.forward_client_cert();
    certificate::tell(&mut parts.headers, peer.certificate.as_deref(), mode);
    parts.headers.insert(HOST, authority.clone());

    let upgrade = peer.port == 80 && !peer.secure && worker.https_upgrade() && scheme == "http";
    let port = view
        .entry(
            peer.port,
            authority.to_str().unwrap_or_default(),
            peer.tls.as_ref(),
        )
        .ok_or(Unclear::Misdirected)?;
    Ok(Facts {
        authority,
        site,
        scheme,
        client,
        request_id,
        websocket,
        assertion: None,
        extended,
        draw,
        port,
        asked: None,
        upgrade,
    })
}

/// Whether it opens a WebSocket in the way of HTTP/2 (RFC 8441 §4).
fn is_extended_connect(parts: &Parts) -> bool {
    parts.method == Method::CONNECT
        && parts.version == Version::HTTP_2
        && parts
            .extensions
            .get::<Protocol>()
            .is_some_and(|protocol| protocol.as_str() == "websocket")
}

/// Puts a WebSocket's request into the form that it has in HTTP/1.1, which is what routes, policies
/// and applications know.
fn as_upgrade(parts: &mut Parts, key: HeaderValue) {
    parts.method = Method::GET;
    let headers = &mut parts.headers;
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_KEY, key);
}

/// Whether every recipient finds the same end of the body: another coding than a single `chunked`
/// is one that somebody on the way may not know (RFC 9112 §6.1). A length beside it never gets here.
fn is_plainly_framed(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else {
        return true;
    };
    coding
        .as_bytes()
        .trim_ascii()
        .eq_ignore_ascii_case(b"chunked")
        && codings.next().is_none()
}

/// The one host a request names.
fn authority(parts: &Parts) -> Result<HeaderValue, Unclear> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Unclear::TwoHosts);
    }
    let named = parts.uri.authority();
    let authority = match (named, host) {
        (None, None) => return Err(Unclear::NoHost),
        (None, Some(host)) => host.clone(),
        (Some(named), None) if parts.version == Version::HTTP_2 => value_of(named)?,
        (Some(_), None) => return Err(Unclear::NoHost),
        (Some(named), Some(host)) if same_host(named, host, parts.uri.scheme()) => host.clone(),
        (Some(_), Some(_)) => return Err(Unclear::OtherHost),
    };
    let text = authority.to_str().map_err(|_| Unclear::HostBytes)?;
    if text.is_empty() {
        return Err(Unclear::NoHost);
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(&byte);
    if text.bytes().all(plain) {
        Ok(authority)
    } else {
        Err(Unclear::HostBytes)
    }
}

fn value_of(authority: &Authority) -> Result<HeaderValue, Unclear> {
    HeaderValue::from_str(authority.as_str()).map_err(|_| Unclear::HostBytes)
}

fn same_host(named: &Authority, host: &HeaderValue, scheme: Option<&Scheme>) -> bool {
    let default = if scheme == Some(&Scheme::HTTP) {
        ":80"
    } else {
        ":443"
    };
    let bare = |text: &str| {
        text.strip_suffix(default)
            .unwrap_or(text)
            .to_ascii_lowercase()
    };
    host.to_str()
        .is_ok_and(|host| bare(host) == bare(named.as_str()))
}

impl Facts {
    /// Whether another proxy asks.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// Whom the proxy that asks heard it from.
    pub(crate) fn asked(&self) -> Option<&Rc<Asked>> {
        self.asked.as_ref()
    }

    /// The head in the form that [`policy::Request::read`] takes.
    pub(crate) fn head<'a>(
        &'a self,
        parts: &'a Parts,
        peer: &'a Peer,
        now: Timestamp,
    ) -> RequestHead<'a> {
        let asked = self.asked.as_deref();
        let shown = peer.certificate.as_ref();
        RequestHead {
            method: &parts.method,
            scheme: self.scheme,
            // Checked to be visible ASCII when the facts were gathered.
            authority: self.authority.to_str().unwrap_or_default(),
            target: parts
                .uri
                .path_and_query()
                .map_or("", http::uri::PathAndQuery::as_str),
            headers: &parts.headers,
            port: self.port,
            peer: asked.map_or(peer.address, |asked| asked.peer),
            client: self.client,
            principal: match asked {
                Some(asked) => asked.principal.as_deref(),
                None => shown.and_then(|shown| shown.principal.as_deref()),
            },
            sni: match asked {
                Some(asked) => asked.sni.as_deref(),
                None => peer.server_name.as_deref(),
            },
            now,
            draw: self.draw,
        }
    }

    /// The authority that HTTPS has beside the one the client named: without a port, or with the
    /// port of our HTTPS socket when the client named the one of our HTTP socket.
    pub(crate) fn https_authority(&self, worker: &Worker) -> String {
        let (host, port) = split_port(self.authority.to_str().unwrap_or_default());
        match worker.https_port() {
            https if https != 443 && port == Some(worker.http_port()) => format!("{host}:{https}"),
            _ => host.to_owned(),
        }
    }
}

/// Splits a port off, also from `[::1]:80`.
pub(crate) fn split_port(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn read(version: Version, uri: &str, hosts: &[&str]) -> Result<String, Unclear> {
        let mut request = Request::builder().version(version).uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        authority(&parts).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_request_names_exactly_one_host() {
        let http1 = |uri: &str, hosts: &[&str]| read(Version::HTTP_11, uri, hosts);
        assert_eq!(http1("/", &["a.com:8443"]), Ok("a.com:8443".into()));
        assert_eq!(http1("/", &[]), Err(Unclear::NoHost));
        assert_eq!(http1("/", &[""]), Err(Unclear::NoHost));
        assert_eq!(http1("/", &["a.com", "a.com"]), Err(Unclear::TwoHosts));
        assert_eq!(http1("http://a.com/", &["A.com:80"]), Ok("A.com:80".into()));
        assert_eq!(http1("http://b.com/", &["a.com"]), Err(Unclear::OtherHost));
        assert_eq!(
            http1("http://a.com:81/", &["a.com"]),
            Err(Unclear::OtherHost)
        );
        assert_eq!(http1("http://a.com/", &[]), Err(Unclear::NoHost));
        for bad in [
            "a.com/x",
            "u@a.com",
            "a b",
            "a.com, b.com",
            "a\\b",
            "a.com?x",
        ] {
            assert_eq!(http1("/", &[bad]), Err(Unclear::HostBytes), "{bad}");
        }
        let http2 = |uri: &str, hosts: &[&str]| read(Version::HTTP_2, uri, hosts);
        assert_eq!(http2("https://a.com/", &[]), Ok("a.com".into()));
        assert_eq!(http2("https://a.com/", &["a.com"]), Ok("a.com".into()));
        assert_eq!(http2("https://a.com/", &["b.com"]), Err(Unclear::OtherHost));
        assert_eq!(http2("https://u@a.com/", &[]), Err(Unclear::HostBytes));
    }

    #[test]
    fn a_body_is_chunked_once_or_not_at_all() {
        let framed = |codings: &[&str]| {
            let mut headers = HeaderMap::new();
            for coding in codings {
                headers.append(TRANSFER_ENCODING, HeaderValue::from_str(coding).unwrap());
            }
            is_plainly_framed(&headers)
        };
        for good in [&[][..], &["chunked"], &["Chunked\t"]] {
            assert!(framed(good), "{good:?}");
        }
        for bad in [
            &["chunked", "chunked"][..],
            &["chunked, chunked"],
            &["gzip, chunked"],
            &["gzip", "chunked"],
            &["chunked,"],
            &["identity"],
            &[""],
        ] {
            assert!(!framed(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_port_is_split_off_every_form_of_host() {
        assert_eq!(split_port("a.com:80"), ("a.com", Some(80)));
        assert_eq!(split_port("a.com"), ("a.com", None));
        assert_eq!(split_port("[::1]:80"), ("[::1]", Some(80)));
        assert_eq!(split_port("[::1]"), ("[::1]", None));
    }
}
