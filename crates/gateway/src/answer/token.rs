//! `WWW-Authenticate` for bad tokens (RFC 6750 §3).

use bytes::Bytes;
use http::Response;
use http::header::{HeaderValue, WWW_AUTHENTICATE};
use http::request::Parts;

use crate::facts::Facts;

/// Longest realm, as Istio's proxies cut it.
const REALM: usize = 128;

/// Names the URL that was asked for, without its query: a token may stand there.
pub(super) fn challenge(response: &mut Response<Bytes>, facts: &Facts, parts: &Parts) {
    let authority = facts.authority.to_str().unwrap_or_default();
    let url = format!("{}://{authority}{}", facts.scheme, parts.uri.path());
    let realm: String = url
        .chars()
        .filter(|it| it.is_ascii_graphic() && !"\"\\".contains(*it))
        .take(REALM)
        .collect();
    let challenge = format!("Bearer realm=\"{realm}\", error=\"invalid_token\"");
    if let Ok(value) = HeaderValue::from_str(&challenge) {
        response.headers_mut().insert(WWW_AUTHENTICATE, value);
    }
}
