//! What kind of program asks: one that follows redirects to a page that a person fills in, or one
//! that only an answer of its own kind helps.

use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, UPGRADE};
use http::{HeaderMap, Method};

/// Fetch Metadata §2.2; every current browser sends it over HTTPS.
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// What libraries for pages send.
const X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// Whether a script, a part of a page or another program asks, which a sign-in page or a redirect to
/// another origin would only confuse. Nor is a sign-in begun for it: a page with fifty pictures
/// would begin fifty.
pub(super) fn is_script(headers: &HeaderMap) -> bool {
    let says = |name: &HeaderName, wanted: &[u8]| {
        headers
            .get_all(name)
            .iter()
            .any(|value| value.as_bytes().trim_ascii().eq_ignore_ascii_case(wanted))
    };
    let loads_part = headers
        .get(SEC_FETCH_MODE)
        .is_some_and(|mode| !mode.as_bytes().eq_ignore_ascii_case(b"navigate"));
    let calls = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| begins(kind.as_bytes(), b"application/grpc"));
    loads_part
        || says(&X_REQUESTED_WITH, b"XMLHttpRequest")
        || says(&UPGRADE, b"websocket")
        || calls
        || accepts(headers, b"application/json")
        || accepts(headers, b"text/event-stream")
}

/// Whether a person sends a form: what was typed is lost on a way that ends with a GET, so they are
/// told before they are led away.
pub(super) fn is_submission(method: &Method, headers: &HeaderMap) -> bool {
    !matches!(*method, Method::GET | Method::HEAD) && headers.contains_key(SEC_FETCH_MODE)
}

/// Whether `Accept` has an item that is exactly `kind`: no parameter, no star.
fn accepts(headers: &HeaderMap, kind: &[u8]) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(kind))
}

fn begins(text: &[u8], with: &[u8]) -> bool {
    text.get(..with.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(with))
}
