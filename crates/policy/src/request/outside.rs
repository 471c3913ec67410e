//! Headers that nobody outside may send.

use http::{HeaderMap, HeaderName};

/// Removes every header that tells an application who the user is, in every spelling: without
/// letter case, `_` for `-`, repeated. `names` is
/// [`model::Snapshot::identity_headers`], in normal form. Every front end calls this on headers
/// from outside before it makes a [`super::RequestHead`].
pub fn remove_identity_headers(headers: &mut HeaderMap, names: &[HeaderName]) {
    let is_meant = |sent: &HeaderName| {
        names
            .iter()
            .any(|name| is_same(sent.as_str(), name.as_str()))
    };
    // One forged header is rare, so the ordinary request only pays for looking.
    while let Some(forged) = headers.keys().find(|name| is_meant(name)).cloned() {
        headers.remove(&forged);
    }
}

fn is_same(sent: &str, name: &str) -> bool {
    let dash = |byte: u8| if byte == b'_' { b'-' } else { byte };
    sent.len() == name.len()
        && sent
            .bytes()
            .zip(name.bytes())
            .all(|(sent, name)| dash(sent) == dash(name))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn every_spelling_goes_and_nothing_else() {
        let names = [
            HeaderName::from_static("kubeflow-userid"),
            HeaderName::from_static("x-auth-request-email"),
        ];
        let mut headers = HeaderMap::new();
        for name in [
            "kubeflow-userid",
            "kubeflow_userid",
            "x_auth-request_email",
            "x-user",
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("a"));
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("b"));
        }
        remove_identity_headers(&mut headers, &names);
        assert_eq!(headers.len(), 2);
        assert!(headers.contains_key("x-user"));
    }
}
