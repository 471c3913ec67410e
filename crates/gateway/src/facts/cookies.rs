//! Cookies: one header, and none of ours for applications.

use http::header::{COOKIE, HeaderMap, HeaderValue};

/// Joins several `cookie` headers: HTTP/2 splits them (RFC 9113 §8.2.3), HTTP/1.1 has one.
pub(super) fn join(headers: &mut HeaderMap) {
    let mut values = headers.get_all(COOKIE).iter();
    if values.next().is_none() || values.next().is_none() {
        return;
    }
    let mut joined = Vec::new();
    for value in headers.get_all(COOKIE) {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(value.as_bytes());
    }
    // Made of header values and `; `: a header value again.
    if let Ok(mut value) = HeaderValue::from_bytes(&joined) {
        value.set_sensitive(true);
        headers.insert(COOKIE, value);
    }
}

/// Takes the session cookies out: a name in `names`, or one that a login proxy derives from it
/// (`NAME_0`, `NAME_csrf`, `NAME_…_csrf`).
pub(crate) fn without_session_cookies(headers: &mut HeaderMap, names: &[Box<str>]) {
    let Some(value) = headers.get(COOKIE) else {
        return;
    };
    let bytes = value.as_bytes();
    if !names.iter().any(|name| occurs(bytes, name.as_bytes())) {
        return;
    }
    let is_ours = |cookie: &[u8]| {
        let end = cookie
            .iter()
            .position(|byte| *byte == b'=')
            .unwrap_or(cookie.len());
        let name = cookie[..end].trim_ascii();
        names
            .iter()
            .any(|ours| match name.strip_prefix(ours.as_bytes()) {
                Some([]) => true,
                Some([b'_', rest @ ..]) => {
                    rest == b"csrf"
                        || rest.ends_with(b"_csrf")
                        || !rest.is_empty() && rest.iter().all(u8::is_ascii_digit)
                }
                _ => false,
            })
    };
    let mut kept = Vec::with_capacity(bytes.len());
    let mut removed = false;
    for cookie in bytes.split(|byte| *byte == b';').map(<[u8]>::trim_ascii) {
        if is_ours(cookie) {
            removed = true;
        } else if !cookie.is_empty() {
            if !kept.is_empty() {
                kept.extend_from_slice(b"; ");
            }
            kept.extend_from_slice(cookie);
        }
    }
    if !removed {
        return;
    }
    match HeaderValue::from_bytes(&kept) {
        Ok(mut value) if !kept.is_empty() => {
            value.set_sensitive(true);
            headers.insert(COOKIE, value);
        }
        // Nothing is left, or nothing that may be sent.
        _ => {
            headers.remove(COOKIE);
        }
    }
}

fn occurs(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len().max(1))
        .any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(COOKIE, HeaderValue::from_str(value).unwrap());
        }
        join(&mut headers);
        assert!(headers.get_all(COOKIE).iter().count() <= 1);
        without_session_cookies(&mut headers, &["session".into(), "_oauth2_proxy".into()]);
        headers
            .get(COOKIE)
            .map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn session_cookies_never_reach_an_application() {
        assert_eq!(left(&["session=1"]), None);
        assert_eq!(left(&["a=1; session=2;b=3"]).as_deref(), Some("a=1; b=3"));
        assert_eq!(
            left(&["a=1", "session=2", "b=3"]).as_deref(),
            Some("a=1; b=3")
        );
        assert_eq!(
            left(&["_oauth2_proxy_csrf=1; _oauth2_proxy_0a1b_csrf=1; _oauth2_proxy_0=2; a=b"])
                .as_deref(),
            Some("a=b")
        );
        assert_eq!(left(&["session =2; a=1"]).as_deref(), Some("a=1"));
        assert_eq!(left(&["session; a=1"]).as_deref(), Some("a=1"));
    }

    #[test]
    fn other_cookies_pass_as_they_are() {
        assert_eq!(
            left(&["a=session; sessions=1;session_id=2"]).as_deref(),
            Some("a=session; sessions=1;session_id=2")
        );
        assert_eq!(left(&["a=1", "b=2"]).as_deref(), Some("a=1; b=2"));
        assert_eq!(left(&[]), None);
    }
}
