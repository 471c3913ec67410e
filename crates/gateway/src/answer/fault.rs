//! Failures made on purpose, as HTTP and as gRPC.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use model::snapshot::Abort;

use super::grpc;

/// What Envoy says, too.
const SAID: &str = "fault filter abort";

/// The answer to a request with these headers: a gRPC client reads its status in the head of an
/// answer that is HTTP 200, everybody else an HTTP status.
pub(super) fn answer(abort: Abort, asker: &HeaderMap) -> Response<Bytes> {
    let (http, code) = match abort {
        Abort::Http(status) => (status, None),
        Abort::Grpc(status) => (http_of(status), Some(status)),
    };
    let status = StatusCode::from_u16(http).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if grpc::is_call(asker) {
        let code = code.map_or_else(|| grpc::code(status), u16::from);
        return grpc::answer_with(code, SAID);
    }
    let mut response = Response::new(Bytes::from_static(SAID.as_bytes()));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// The HTTP status of a gRPC one, as Google's APIs answer over HTTP.
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
