//! What one request says about the place that the browser sees.

use http::header::HOST;
use http::{HeaderMap, Uri};

/// Scheme and host of the browser's address bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    /// Whether the browser speaks HTTPS: header `x-forwarded-proto`, which the gateway sets itself.
    pub(crate) secure: bool,
    /// Host and, when it is not the scheme's own, port.
    pub(crate) authority: String,
}

impl Site {
    /// Reads it off a request. `None` when the host is missing or has bytes that no host has.
    pub(crate) fn of(uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        let authority = match headers.get(HOST) {
            Some(host) => host.to_str().ok()?,
            None => uri.authority()?.as_str(),
        };
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        if authority.is_empty() || !authority.bytes().all(sound) {
            return None;
        }
        let forwarded = headers
            .get("x-forwarded-proto")
            .map(|value| value.as_bytes());
        let secure = match forwarded {
            Some(scheme) => scheme.eq_ignore_ascii_case(b"https"),
            None => uri.scheme_str() == Some("https"),
        };
        Some(Self {
            secure,
            authority: authority.to_owned(),
        })
    }

    /// `https` or `http`.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(host: Option<&'static str>, scheme: Option<&'static str>) -> Option<Site> {
        let mut headers = HeaderMap::new();
        if let Some(host) = host {
            headers.insert(HOST, HeaderValue::from_static(host));
        }
        if let Some(scheme) = scheme {
            headers.insert("x-forwarded-proto", HeaderValue::from_static(scheme));
        }
        Site::of(&Uri::from_static("/x"), &headers)
    }

    #[test]
    fn host_and_scheme_come_from_the_headers() {
        let site = read(Some("a.example:8443"), Some("https")).unwrap();
        assert!(site.secure);
        assert_eq!(
            (site.scheme(), site.authority.as_str()),
            ("https", "a.example:8443")
        );
        assert_eq!(read(Some("[::1]:80"), None).unwrap().scheme(), "http");
    }

    #[test]
    fn a_host_that_no_browser_sends_is_not_a_site() {
        for host in ["", "a/b", "a@b", "a b", "a\\b", "a?b", "a#b"] {
            assert_eq!(read(Some(host), None), None, "{host}");
        }
        assert_eq!(read(None, None), None);
    }
}
