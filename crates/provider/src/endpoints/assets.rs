//! Stylesheet and logo.

use aws_lc_rs::digest;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{HeaderValue, Request, Response, StatusCode, header};

use crate::answer;

/// A file that pages need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asset {
    Stylesheet,
    Logo,
    /// Sends the form of an answer by `form_post`.
    Send,
}

impl Asset {
    /// The file, or word that the browser's copy is still good.
    pub(crate) fn serve(self, request: &Request<Bytes>) -> Response<Bytes> {
        let (content_type, text) = match self {
            Self::Stylesheet => (
                "text/css; charset=utf-8",
                include_str!("../../../../assets/doorward.css"),
            ),
            Self::Send => (
                "text/javascript; charset=utf-8",
                include_str!("../../../../assets/send.js"),
            ),
            Self::Logo => ("image/svg+xml", include_str!("../../../../assets/logo.svg")),
        };
        let digest = digest::digest(&digest::SHA256, text.as_bytes());
        let tag = format!("\"{}\"", HEXLOWER.encode(&digest.as_ref()[..16]));
        let known = request
            .headers()
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|list| list.split(','))
            .any(|one| one.trim().trim_start_matches("W/") == tag);
        let mut response = if known {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            answer::with_type(
                StatusCode::OK,
                content_type,
                Bytes::from_static(text.as_bytes()),
            )
        };
        let headers = response.headers_mut();
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=300"),
        );
        if let Ok(tag) = HeaderValue::try_from(tag) {
            headers.insert(header::ETAG, tag);
        }
        response
    }
}
