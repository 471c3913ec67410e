//! Request facts in one normal form.

mod authority;
mod outside;
mod path;
mod secret;

use std::borrow::Cow;
use std::net::IpAddr;

use http::{HeaderMap, Method};
use model::names::Timestamp;
use model::snapshot::Normalization;

pub use outside::FoldedNames;
pub(crate) use path::{join, normalize, push_encoded};
pub use secret::is_secret;

/// What a front end reads off the wire before anything is decided.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// Method.
    pub method: &'a Method,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// `Host` or `:authority` as received, port included.
    pub authority: &'a str,
    /// Path and query as received.
    pub target: &'a str,
    /// Headers, identity headers from outside already removed (see [`FoldedNames`]).
    pub headers: &'a HeaderMap,
    /// `Gateway` port the request came in on (its Service port number).
    pub port: u16,
    /// TCP peer, after PROXY protocol.
    pub peer: IpAddr,
    /// Client after the trusted hops.
    pub client: IpAddr,
    /// SPIFFE id of a verified client certificate, without `spiffe://`.
    pub principal: Option<&'a str>,
    /// Server name of the TLS handshake.
    pub sni: Option<&'a str>,
    /// When it came.
    pub now: Timestamp,
    /// A number drawn for this request, for weighted destinations.
    pub draw: u32,
}

#[cfg(any(test, fuzzing))]
impl<'a> RequestHead<'a> {
    /// A GET over plain HTTP from this machine, which tests change as they need.
    pub(crate) fn sample(authority: &'a str, target: &'a str, headers: &'a HeaderMap) -> Self {
        Self {
            method: &Method::GET,
            scheme: "http",
            authority,
            target,
            headers,
            port: 80,
            peer: [127, 0, 0, 1].into(),
            client: [127, 0, 0, 1].into(),
            principal: None,
            sni: None,
            now: Timestamp::from_seconds(0),
            draw: 0,
        }
    }
}

/// A request that can be decided: host and path in normal form.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub(crate) head: RequestHead<'a>,
    /// Host and port in normal form.
    authority: Cow<'a, str>,
    /// Where the host ends in `authority`.
    host_end: usize,
    pub(crate) path: Cow<'a, str>,
    pub(crate) query: Option<&'a str>,
    pub(crate) normalization: Normalization,
}

/// Why a request cannot be decided. The client is at fault: answered 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// The target is not a path: CONNECT's authority form, `*`, or empty.
    Target,
    /// `%00` or another control byte in the path.
    ControlByte,
    /// A byte that no URL has, unescaped: not ASCII.
    ForeignByte,
    /// The host is empty or has bytes no host has.
    Host,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Target => "the request target is not a path",
            Self::ControlByte => "the path has a control byte",
            Self::ForeignByte => "the request target has a byte that belongs percent-encoded",
            Self::Host => "the host is empty or malformed",
        })
    }
}

impl std::error::Error for Unreadable {}

impl<'a> Request<'a> {
    /// Brings host and path to normal form. An ordinary request is borrowed as it is.
    ///
    /// # Errors
    /// When the request cannot mean anything: answer 400.
    pub fn read(head: RequestHead<'a>, normalization: Normalization) -> Result<Self, Unreadable> {
        let (authority, host_end) = authority::read(head.authority)?;
        let (path, query) = path::read(head.target, normalization)?;
        Ok(Self {
            head,
            authority,
            host_end,
            path,
            query,
            normalization,
        })
    }

    /// The head as received.
    pub fn head(&self) -> &RequestHead<'a> {
        &self.head
    }

    /// Host: lower case, no port, no trailing dot; an IPv6 address in its brackets.
    pub fn host(&self) -> &str {
        &self.authority[..self.host_end]
    }

    /// Host as [`Self::host`], with its port when one was sent.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Normalised path, no query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Query without `?`.
    pub fn query(&self) -> Option<&str> {
        self.query
    }

    /// Normalised path and query.
    pub fn path_and_query(&self) -> Cow<'_, str> {
        match self.query {
            None => Cow::Borrowed(&self.path),
            Some(query) => Cow::Owned(join(&self.path, Some(query))),
        }
    }

    /// An absolute URL of this request under another scheme and authority: where an upgrade to
    /// HTTPS leads. Only bytes that a `Location` header may hold.
    pub fn location(&self, scheme: &str, authority: &str) -> String {
        let mut location = String::with_capacity(
            scheme.len() + authority.len() + self.head.target.len() + "://".len(),
        );
        location.push_str(scheme);
        location.push_str("://");
        location.push_str(authority);
        push_encoded(&mut location, &self.path_and_query());
        location
    }

    /// Whether the target, as received, already is in normal form.
    pub(crate) fn is_verbatim(&self) -> bool {
        let query = self.query.map_or(0, |query| query.len() + 1);
        matches!(self.path, Cow::Borrowed(_)) && self.path.len() + query == self.head.target.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_request_is_borrowed() {
        let headers = HeaderMap::new();
        let request = Request::read(
            RequestHead::sample("kf.example.com:8443", "/a/b%20c?q=%2e", &headers),
            Normalization::Base,
        )
        .unwrap();
        assert!(matches!(request.authority, Cow::Borrowed(_)));
        assert!(matches!(request.path, Cow::Borrowed(_)));
        assert!(request.is_verbatim());
        assert_eq!(request.host(), "kf.example.com");
        assert_eq!(request.authority(), "kf.example.com:8443");
        assert_eq!(request.path(), "/a/b%20c");
        assert_eq!(request.query(), Some("q=%2e"));
    }

    #[test]
    fn a_fragment_is_cut_and_noticed() {
        let headers = HeaderMap::new();
        let request = Request::read(
            RequestHead::sample("h", "/app?x=1#foo", &headers),
            Normalization::None,
        )
        .unwrap();
        assert_eq!(request.path_and_query(), "/app?x=1");
        assert!(!request.is_verbatim());
    }

    #[test]
    fn a_location_holds_only_bytes_a_header_may_hold() {
        let headers = HeaderMap::new();
        let request = Request::read(
            RequestHead::sample("h:8080", "/a/b c?c= d", &headers),
            Normalization::None,
        )
        .unwrap();
        assert_eq!(request.location("https", "h"), "https://h/a/b%20c?c=%20d");
    }
}
