//! `web.allowedOrigins`: which pages of other origins may read what is meant for programs (Fetch
//! standard, CORS protocol).

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use model::snapshot::ProviderWeb;

/// Paths below the issuer's that programs in browsers ask.
const OPEN: [&str; 6] = [
    "/.well-known/openid-configuration",
    "/keys",
    "/token",
    "/userinfo",
    "/token/introspect",
    "/",
];

/// The origin that a request names, if it may read the answer.
pub(super) fn origin(web: &ProviderWeb, below: &str, headers: &HeaderMap) -> Option<HeaderValue> {
    if web.allowed_origins.is_empty() || !OPEN.contains(&below) {
        return None;
    }
    let origin = headers.get(ORIGIN)?;
    let known = |one: &str| one == "*" || one.as_bytes() == origin.as_bytes();
    let mut allowed = web.allowed_origins.iter();
    allowed.any(|one| known(one)).then(|| origin.clone())
}

/// The answer to a preflight, when the request is one.
pub(super) fn preflight<B>(web: &ProviderWeb, request: &Request<B>) -> Option<Response<Bytes>> {
    let asks = request
        .headers()
        .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if *request.method() != Method::OPTIONS || !asks {
        return None;
    }
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::OK;
    let headers = answer.headers_mut();
    let methods = HeaderValue::from_static("GET, HEAD, POST");
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    if let Ok(names) = HeaderValue::try_from(web.allowed_headers.join(", ")) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
    }
    Some(answer)
}

/// Lets `origin` read `answer`.
pub(super) fn open(answer: &mut Response<Bytes>, origin: HeaderValue) {
    let headers = answer.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(VARY, HeaderValue::from_static("Origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_origins_may_read_what_is_for_programs() {
        let mut web = ProviderWeb::default();
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_static("https://app"));
        assert_eq!(origin(&web, "/keys", &headers), None);
        web.allowed_origins = vec!["https://app".into()];
        let found = Some(HeaderValue::from_static("https://app"));
        assert_eq!(origin(&web, "/keys", &headers), found);
        assert_eq!(origin(&web, "/auth", &headers), None);
        headers.insert(ORIGIN, HeaderValue::from_static("https://app.evil"));
        assert_eq!(origin(&web, "/keys", &headers), None);
        web.allowed_origins.push("*".into());
        assert!(origin(&web, "/keys", &headers).is_some());
    }
}
