//! A head's way through the rooms here, for fuzzing.

use http::header::{COOKIE, HOST, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Request, Uri, Version};

use super::headers::{NameTable, strip_request};
use super::{authority, cookies, forwarded, is_plainly_framed, without_session_cookies};

/// Reads `bytes` as lines: method, target, and one header each.
pub(crate) fn read_head(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut request = Request::builder().version(Version::HTTP_11);
    if let Some(method) = lines.next() {
        request = request.method(method);
    }
    let target = lines.next().unwrap_or_default();
    let Ok(target) = Uri::try_from(target) else {
        return;
    };
    request = request.uri(target);
    for line in lines {
        let end = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(end.unwrap_or(line.len()));
        request = request.header(name, value.get(1..).unwrap_or_default().trim_ascii());
    }
    let Ok(request) = request.body(()) else {
        return;
    };
    let (parts, ()) = request.into_parts();
    read_parts(parts);
}

/// What a head goes through, whoever took it apart.
pub(crate) fn read_parts(mut parts: Parts) {
    is_plainly_framed(&parts.headers);
    if let Ok(host) = authority(&parts) {
        assert!(host.to_str().is_ok_and(|host| !host.is_empty()));
    }
    for hops in 0..3 {
        forwarded::scheme(&parts.headers, true, hops);
        forwarded::client(&parts.headers, [127, 0, 0, 1].into(), hops);
    }
    let identity = HeaderName::from_static("kubeflow-userid");
    let names = NameTable::new(std::slice::from_ref(&identity));
    strip_request(&mut parts, &names);
    for name in parts.headers.keys() {
        let folded = name.as_str().replace('_', "-");
        assert_ne!(folded, identity.as_str());
        assert_ne!(folded, "connection");
        assert!(!folded.starts_with("proxy-"), "{name}");
    }
    cookies::join(&mut parts.headers);
    assert!(parts.headers.get_all(COOKIE).iter().count() <= 1);
    without_session_cookies(&mut parts.headers, &["session".into()]);
    let kept = parts.headers.get(COOKIE).map(HeaderValue::as_bytes);
    let mut kept = kept.unwrap_or_default().split(|byte| *byte == b';');
    assert!(!kept.any(|cookie| cookie.trim_ascii().starts_with(b"session=")));
    parts.headers.remove(HOST);
}
