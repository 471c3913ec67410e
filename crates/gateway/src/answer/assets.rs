//! The files of our own pages, served on every host under a reserved path.

use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use http::request::Parts;
use http::{Method, Response, StatusCode};

const PREFIX: &str = "/doorward/assets/";
const KEY_SET: &str = "/doorward/.well-known/jwks.json";

struct Asset {
    kind: &'static str,
    text: &'static str,
    etag: HeaderValue,
}

impl Asset {
    fn new(kind: &'static str, text: &'static str) -> Self {
        let etag = HeaderValue::from_str(&format!("\"{:016x}\"", fingerprint(text)))
            .unwrap_or(HeaderValue::from_static("\"-\""));
        Self { kind, text, etag }
    }
}

static STYLESHEET: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "text/css; charset=utf-8",
        include_str!("../../../../assets/doorward.css"),
    )
});
static LOGO: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("image/svg+xml", include_str!("../../../../assets/logo.svg")));

/// FNV-1a: tells versions of a file apart; nothing depends on it being hard to collide.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The file that `parts` asks for, if it is one of ours.
pub(crate) fn asset(parts: &Parts) -> Option<Response<Bytes>> {
    let name = parts.uri.path().strip_prefix(PREFIX)?;
    let asset: &Asset = match name {
        "doorward.css" => &STYLESHEET,
        "logo.svg" => &LOGO,
        _ => return None,
    };
    if parts.method != Method::GET && parts.method != Method::HEAD {
        return None;
    }
    let is_known = parts.headers.get(IF_NONE_MATCH) == Some(&asset.etag);
    let body = if is_known { "" } else { asset.text };
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    }
    response.headers_mut().insert(ETAG, asset.etag.clone());
    response.headers_mut().insert(
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=3600"),
    );
    Some(response)
}

/// Whether the keys of our assertions are asked for, on whatever host.
pub(crate) fn is_key_set(parts: &Parts) -> bool {
    parts.uri.path() == KEY_SET && (parts.method == Method::GET || parts.method == Method::HEAD)
}

/// The keys of our assertions. They are published a month before they sign.
pub(crate) fn key_set(keys: Bytes) -> Response<Bytes> {
    let mut response = Response::new(keys);
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/jwk-set+json"),
    );
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=3600"),
    );
    response
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn asked(method: &str, path: &str, etag: Option<&HeaderValue>) -> Option<Response<Bytes>> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        asset(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn only_our_own_files_are_served() {
        let sheet = asked("GET", "/doorward/assets/doorward.css", None).unwrap();
        assert_eq!(sheet.headers()[CONTENT_TYPE], "text/css; charset=utf-8");
        assert!(!sheet.body().is_empty());
        for path in [
            "/doorward/assets/",
            "/doorward/assets/../x",
            "/doorward/",
            "/",
        ] {
            assert!(asked("GET", path, None).is_none(), "{path}");
        }
        assert!(asked("POST", "/doorward/assets/doorward.css", None).is_none());
    }

    #[test]
    fn a_file_the_browser_has_is_not_sent_again() {
        let first = asked("GET", "/doorward/assets/logo.svg", None).unwrap();
        let again = asked(
            "GET",
            "/doorward/assets/logo.svg",
            Some(&first.headers()[ETAG]),
        )
        .unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert!(again.body().is_empty());
    }
}
