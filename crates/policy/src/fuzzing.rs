//! Entry points for `fuzz/`: any bytes in; a panic, an endless run or a broken promise is a bug.

use http::HeaderMap;
use model::snapshot::Normalization;

use crate::{Request, RequestHead};

/// A `Host`, a line feed, and a request target: read in every mode, into a form that stays.
pub fn request(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let (authority, target) = text.split_once('\n').unwrap_or(("h", text));
    for mode in [
        Normalization::None,
        Normalization::Base,
        Normalization::MergeSlashes,
        Normalization::DecodeAndMergeSlashes,
    ] {
        check(authority, target, mode);
    }
}

fn check(authority: &str, target: &str, mode: Normalization) {
    let headers = HeaderMap::new();
    let Ok(request) = Request::read(RequestHead::sample(authority, target, &headers), mode) else {
        return;
    };
    let path = request.path();
    assert!(path.starts_with('/') && path.is_ascii());
    assert!(!path.contains(['?', '#']));
    assert!(!request.host().is_empty());
    assert!(!request.host().bytes().any(|byte| byte.is_ascii_uppercase()));
    assert!(request.authority().starts_with(request.host()));
    let location = request.location("https", request.authority());
    assert!(location.bytes().all(|byte| byte.is_ascii_graphic()));
    if mode != Normalization::None {
        assert!(!path.contains('\\'));
        let mut names = path.split('/').map(|segment| segment.split(';').next());
        assert!(!names.any(|name| matches!(name, Some("." | ".."))));
    }
    let whole = request.path_and_query();
    let again = Request::read(
        RequestHead::sample(request.authority(), &whole, &headers),
        mode,
    );
    let again = again.unwrap_or_else(|fault| panic!("the normal form is not read: {fault}"));
    assert_eq!(again.path_and_query(), whole, "{mode:?}");
    assert_eq!(again.authority(), request.authority());
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
#[test]
fn every_kept_input_holds() {
    replay::replay("request", request);
}
