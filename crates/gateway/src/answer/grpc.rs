//! gRPC calls: their status stands in headers, whatever HTTP says.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Whether a request is a gRPC call. gRPC-web is not: its clients read HTTP.
pub(super) fn is_call(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else {
        return false;
    };
    kind.as_bytes()
        .strip_prefix(b"application/grpc")
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// An answer without body in the form of gRPC, as Envoy makes it of an HTTP status and a text.
pub(super) fn answer(status: StatusCode, text: &str) -> Response<Bytes> {
    answer_with(code(status), text)
}

/// An answer without body that has this gRPC status.
pub(super) fn answer_with(code: u16, text: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(STATUS, HeaderValue::from(code));
    if let Ok(message) = HeaderValue::try_from(escaped(text))
        && !message.is_empty()
    {
        headers.insert(MESSAGE, message);
    }
    response
}

/// The gRPC status of an HTTP one:
/// <https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>
pub(super) fn code(status: StatusCode) -> u16 {
    match status.as_u16() {
        200 => 0,
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

/// Percent-encoded as `grpc-message` wants it: visible ASCII and spaces stay, `%` does not.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | ..b' ' | 0x7f.. => out.push_str(&format!("%{byte:02X}")),
            _ => out.push(char::from(byte)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_known_by_its_content_type() {
        let is = |kind: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            is_call(&headers)
        };
        assert!(is("application/grpc") && is("application/grpc+proto") && is("application/grpc;a"));
        assert!(!is("application/grpc-web") && !is("application/json") && !is("application/grp"));
        assert!(!is_call(&HeaderMap::new()));
    }

    #[test]
    fn statuses_and_texts_are_told_in_headers() {
        let table = [
            (400, "13"),
            (401, "16"),
            (403, "7"),
            (404, "12"),
            (503, "14"),
            (500, "2"),
        ];
        for (status, code) in table {
            let answer = answer(StatusCode::from_u16(status).unwrap(), "no: 100 % ü");
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.headers()["grpc-status"], code);
            assert_eq!(answer.headers()["grpc-message"], "no: 100 %25 %C3%BC");
            assert!(answer.body().is_empty());
        }
        let silent = answer(StatusCode::NOT_FOUND, "");
        assert!(!silent.headers().contains_key("grpc-message"));
    }
}
