//! Who the client is and how it came, as far as the hops in front are trusted.

use std::net::{IpAddr, SocketAddr};

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::listen::Peer;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The scheme the browser used: a trusted hop may have ended TLS.
pub(super) fn scheme(headers: &HeaderMap, secure: bool, trusted_hops: usize) -> &'static str {
    let real = if secure { "https" } else { "http" };
    if trusted_hops == 0 {
        return real;
    }
    match headers.get(PROTO).map(HeaderValue::as_bytes) {
        Some(b"https") => "https",
        Some(b"http") => "http",
        _ => real,
    }
}

/// The client's address: the `trusted_hops`-th element of `x-forwarded-for` from the right, the
/// peer when there are fewer or it is no address.
pub(super) fn client(headers: &HeaderMap, peer: IpAddr, trusted_hops: usize) -> IpAddr {
    let Some(skip) = trusted_hops.checked_sub(1) else {
        return peer;
    };
    let values: Vec<&HeaderValue> = headers.get_all(FOR).iter().collect();
    let mut elements = values
        .into_iter()
        .rev()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.rsplit(','));
    elements.nth(skip).and_then(address).unwrap_or(peer)
}

fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = bare
        .parse()
        .ok()
        .or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

/// For a program that this process stands in for: the host that a trusted hop says the browser
/// asked. What else says so, or names another target, is taken off.
pub(super) fn site(headers: &mut HeaderMap, trusted_hops: usize) -> Option<HeaderValue> {
    if trusted_hops == 0 {
        headers.remove(URI);
        return None;
    }
    let first = headers.get(HOST)?.to_str().ok()?.split(',').next()?.trim();
    HeaderValue::from_str(first)
        .ok()
        .filter(|host| !host.is_empty())
}

/// Sets `x-forwarded-{for,proto,host}`; the client's own copies count only behind a trusted hop.
pub(super) fn set(
    headers: &mut HeaderMap,
    peer: &Peer,
    scheme: &'static str,
    authority: &HeaderValue,
    trusted_hops: usize,
) {
    headers.insert(PROTO, HeaderValue::from_static(scheme));
    if trusted_hops == 0 {
        headers.insert(FOR, peer.address_text.clone());
        headers.insert(HOST, authority.clone());
        return;
    }
    let chain = extended(headers, &peer.address_text);
    headers.insert(FOR, chain);
    if !headers.contains_key(HOST) {
        headers.insert(HOST, authority.clone());
    }
}

/// A value that is an address and nothing else.
pub(super) fn whole(value: &HeaderValue) -> Option<IpAddr> {
    value.to_str().ok().and_then(address)
}

/// What the proxy that asks says of the one who asked it.
pub(super) struct Told {
    /// Scheme that the browser used.
    pub(super) scheme: &'static str,
    /// Who is connected to the proxy that asks.
    pub(super) peer: IpAddr,
    /// Client after the trusted hops in front of that proxy.
    pub(super) client: IpAddr,
}

/// Reads what a peer says that is believed. It has added the address of its own client to the
/// chain, which a gateway does only afterwards.
pub(super) fn told(
    headers: &HeaderMap,
    peer: IpAddr,
    usual: &'static str,
    trusted_hops: usize,
) -> Told {
    let peer = client(headers, peer, 1);
    Told {
        scheme: match headers.get(PROTO).map(HeaderValue::as_bytes) {
            Some(b"https") => "https",
            Some(b"http") => "http",
            _ => usual,
        },
        peer,
        client: client(headers, peer, trusted_hops + 1),
    }
}

/// Sets `x-forwarded-{for,proto,host}` of a question, for the pages of this process.
pub(super) fn set_asked(
    headers: &mut HeaderMap,
    client: HeaderValue,
    scheme: &'static str,
    authority: &HeaderValue,
) {
    headers.insert(PROTO, HeaderValue::from_static(scheme));
    headers.insert(FOR, client);
    headers.insert(HOST, authority.clone());
}

fn extended(headers: &HeaderMap, peer: &HeaderValue) -> HeaderValue {
    let mut chain = Vec::new();
    for value in headers.get_all(FOR).iter().chain([peer]) {
        if !chain.is_empty() {
            chain.extend_from_slice(b", ");
        }
        chain.extend_from_slice(value.as_bytes());
    }
    // Made of header values and `, `: a header value again.
    HeaderValue::from_bytes(&chain).unwrap_or_else(|_| peer.clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn map(headers: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    fn peer() -> Peer {
        Peer {
            address: "10.0.0.9".parse().unwrap(),
            address_text: HeaderValue::from_static("10.0.0.9"),
            port: 80,
            secure: false,
            server_name: None,
            certificate: None,
            tls: None,
            pulse: Arc::default(),
            memo: login::Memo::default(),
        }
    }

    #[test]
    fn the_client_is_counted_from_the_right() {
        let headers = map(&[
            ("x-forwarded-for", "1.1.1.1, 2.2.2.2"),
            ("x-forwarded-for", "3.3.3.3"),
        ]);
        let client = |hops| client(&headers, peer().address, hops).to_string();
        assert_eq!(client(0), "10.0.0.9");
        assert_eq!(client(1), "3.3.3.3");
        assert_eq!(client(2), "2.2.2.2");
        assert_eq!(client(3), "1.1.1.1");
        assert_eq!(client(4), "10.0.0.9");
    }

    #[test]
    fn an_address_with_port_or_brackets_is_read_and_anything_else_is_not_believed() {
        let client =
            |text: &str| client(&map(&[("x-forwarded-for", text)]), peer().address, 1).to_string();
        assert_eq!(client("1.1.1.1:99"), "1.1.1.1");
        assert_eq!(client("[::2]:99"), "::2");
        assert_eq!(client("::ffff:1.2.3.4"), "1.2.3.4");
        assert_eq!(client("unknown"), "10.0.0.9");
        assert_eq!(client("1.1.1.1, "), "10.0.0.9");
    }

    #[test]
    fn what_a_client_says_of_itself_counts_only_behind_a_trusted_hop() {
        let lies = [
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil"),
        ];
        let seen = |hops| {
            let mut headers = map(&lies);
            let scheme = scheme(&headers, false, hops);
            set(
                &mut headers,
                &peer(),
                scheme,
                &HeaderValue::from_static("a.com"),
                hops,
            );
            [FOR, PROTO, HOST].map(|name| headers[name].to_str().unwrap().to_owned())
        };
        assert_eq!(seen(0), ["10.0.0.9", "http", "a.com"]);
        assert_eq!(seen(1), ["6.6.6.6, 10.0.0.9", "https", "evil"]);
    }
}
