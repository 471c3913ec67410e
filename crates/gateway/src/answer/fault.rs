//! Failures made on purpose, as HTTP and as gRPC.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use model::snapshot::Abort;

static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
static GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What Envoy says, too; a percent sign would be an escape in `grpc-message`.
const SAID: &str = "fault filter abort";

/// The answer to a request with these headers: a gRPC client reads its status in the head of an
/// answer that is HTTP 200, everybody else an HTTP status.
pub(super) fn answer(abort: Abort, asker: &HeaderMap) -> Response<Bytes> {
    let (http, grpc) = match abort {
        Abort::Http(status) => (status, grpc_of(status)),
        Abort::Grpc(status) => (http_of(status), status),
    };
    let is_grpc = asker
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if is_grpc {
        let mut response = Response::new(Bytes::new());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(&GRPC_STATUS, HeaderValue::from(u16::from(grpc)));
        headers.insert(&GRPC_MESSAGE, HeaderValue::from_static(SAID));
        return response;
    }
    let mut response = Response::new(Bytes::from_static(SAID.as_bytes()));
    *response.status_mut() =
        StatusCode::from_u16(http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let plain = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// <https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>
fn grpc_of(http: u16) -> u8 {
    match http {
        200 => 0,
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// The other way round, as Google's APIs answer over HTTP.
fn http_of(grpc: u8) -> u16 {
    match grpc {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(kind: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(kind) = kind {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        headers
    }

    #[test]
    fn an_http_client_gets_a_status_of_http() {
        let told = answer(Abort::Http(418), &asked(None));
        assert_eq!(told.status(), 418);
        assert_eq!(told.body(), SAID);
        let told = answer(Abort::Grpc(14), &asked(Some("application/json")));
        assert_eq!(told.status(), 503);
        assert_eq!(told.headers().get("grpc-status"), None);
    }

    #[test]
    fn a_grpc_client_gets_a_status_of_grpc() {
        for (abort, status) in [
            (Abort::Grpc(14), "14"),
            (Abort::Http(404), "12"),
            (Abort::Http(418), "2"),
        ] {
            let told = answer(abort, &asked(Some("application/grpc+proto")));
            assert_eq!(told.status(), 200, "{abort:?}");
            assert_eq!(told.headers()["grpc-status"], status, "{abort:?}");
            assert!(told.body().is_empty());
        }
    }
}
