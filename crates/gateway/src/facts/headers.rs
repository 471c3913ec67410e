//! Header names that do not pass: identity headers from outside, hop-by-hop headers, look-alikes.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
    UPGRADE,
};
use http::request::Parts;
use http::{Method, Version};
use policy::request::FoldedNames;

/// Meant for one connection only (RFC 9110 §7.6.1); `proxy-*` is recognised by its prefix.
const HOP_BY_HOP: [&str; 7] = [
    "connection",
    "expect",
    "http2-settings",
    "keep-alive",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Set by us under exactly this name; other spellings would reach applications that fold `_` and
/// `-` together.
const OURS: [&str; 6] = [
    "traceparent",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
];

/// The client's address as this gateway found it, for services of this process.
pub(crate) const CLIENT: HeaderName = HeaderName::from_static("x-envoy-external-address");

/// Instructions to the proxy itself and its own findings, never taken from outside.
const CONTROL: [&str; 20] = [
    // Ours to say (RFC 9440 §2.4).
    "client-cert",
    "client-cert-chain",
    "x-envoy-attempt-count",
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-external-address",
    "x-envoy-force-trace",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-internal",
    "x-envoy-ip-tags",
    "x-envoy-max-retries",
    "x-envoy-original-host",
    "x-envoy-original-path",
    "x-envoy-original-url",
    "x-envoy-retriable-header-names",
    "x-envoy-retriable-status-codes",
    "x-envoy-retry-grpc-on",
    "x-envoy-retry-on",
];

/// Names that do not pass.
pub(super) struct NameTable {
    refused: FoldedNames,
    ours: FoldedNames,
}

impl NameTable {
    /// Knows `identity` besides the names above.
    pub(super) fn new(identity: &[HeaderName]) -> Self {
        let fixed = CONTROL.into_iter().chain(HOP_BY_HOP);
        let refused: Vec<HeaderName> = identity
            .iter()
            .cloned()
            .chain(fixed.map(HeaderName::from_static))
            .collect();
        Self {
            refused: FoldedNames::of(&refused),
            ours: FoldedNames::of(&OURS.map(HeaderName::from_static)),
        }
    }

    fn is_refused(&self, name: &HeaderName) -> bool {
        let text = name.as_str();
        self.refused.covers(name)
            || begins(text, "proxy-")
            || begins(text, "x-envoy-upstream-")
            || (self.ours.covers(name) && text.contains('_'))
    }
}

/// The other spellings of names: those with `_` in place of any of their dashes.
pub(super) fn look_alikes(names: &[HeaderName]) -> String {
    /// More dashes than any header has that was made to be read; such a name has one spelling more,
    /// the one that a CGI variable comes to.
    const MOST: usize = 5;
    let mut spellings = Vec::new();
    for name in names {
        let name = name.as_str();
        let dashes = name.matches('-').count();
        let masks = if dashes > MOST {
            u32::MAX..=u32::MAX
        } else {
            1..=(1 << dashes) - 1
        };
        for mask in masks {
            let mut bit = 0;
            let spelling = name.chars().map(|char| {
                if char != '-' {
                    return char;
                }
                bit += 1;
                if mask >> (bit - 1) & 1 == 1 { '_' } else { '-' }
            });
            spellings.push(spelling.collect::<String>());
        }
    }
    spellings.join(", ")
}

/// Whether a name begins so in some spelling: applications fold `_` and `-` together.
fn begins(name: &str, beginning: &str) -> bool {
    let dash = |byte| if byte == b'_' { b'-' } else { byte };
    name.len() >= beginning.len()
        && name
            .bytes()
            .map(dash)
            .zip(beginning.bytes())
            .all(|(a, b)| a == b)
}

/// Removes what must not pass from a request. True when it asks for a WebSocket: then `upgrade`
/// stays, so that routes can match it.
pub(super) fn strip_request(parts: &mut Parts, names: &NameTable) -> bool {
    let headers = &mut parts.headers;
    let mut refused: Vec<HeaderName> = Vec::new();
    refused.extend(
        headers
            .keys()
            .filter(|name| names.is_refused(name))
            .cloned(),
    );
    if refused.is_empty() {
        return false;
    }
    let mut asks_upgrade = false;
    if headers.contains_key(CONNECTION) {
        let named = named_by_connection(headers);
        asks_upgrade = named.contains(&UPGRADE);
        refused.extend(
            named
                .into_iter()
                .filter(|name| ![HOST, CONTENT_LENGTH].contains(name)),
        );
    }
    let websocket = asks_upgrade
        && parts.method == Method::GET
        && parts.version == Version::HTTP_11
        && headers
            .get(UPGRADE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let trailers = headers.get(TE).is_some_and(|value| {
        value
            .to_str()
            .is_ok_and(|text| text.split(',').any(|it| it.trim() == "trailers"))
    });
    for name in refused {
        headers.remove(name);
    }
    if websocket {
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    websocket
}

/// The headers that `Connection` declares to be hop-by-hop.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim))
        // Options, not names (RFC 9112 §9.3); the header `keep-alive` goes in any case.
        .filter(|token| {
            !["close", "keep-alive"]
                .iter()
                .any(|it| it.eq_ignore_ascii_case(token))
        })
        .filter_map(|token| HeaderName::try_from(token).ok())
        .collect()
}

/// Removes hop-by-hop headers from an upstream's answer.
pub(crate) fn strip_answer(headers: &mut HeaderMap) {
    const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
    // Few answers have more than one of them: a look at every name costs less than four look-ups.
    let mut found = [false; 4];
    for name in headers.keys() {
        let known = [&CONNECTION, &KEEP_ALIVE, &TRANSFER_ENCODING, &UPGRADE];
        for (found, known) in found.iter_mut().zip(known) {
            *found |= name == known;
        }
    }
    let [connection, keep_alive, coding, upgrade] = found;
    if connection {
        let mut values = headers.get_all(CONNECTION).iter();
        // Nearly every answer of an HTTP/1.1 application says just this.
        let is_plain = values
            .next()
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"keep-alive"))
            && values.next().is_none();
        if !is_plain {
            for name in named_by_connection(headers) {
                if name != CONTENT_LENGTH {
                    headers.remove(name);
                }
            }
        }
        headers.remove(CONNECTION);
        if keep_alive {
            headers.remove(KEEP_ALIVE);
        }
    }
    if coding {
        headers.remove(TRANSFER_ENCODING);
    }
    if upgrade {
        headers.remove(UPGRADE);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn stripped(headers: &[(&str, &str)]) -> (bool, Vec<(String, String)>) {
        let identity = ["kubeflow-userid", "x-auth-request-user", "gap-auth"];
        let table = NameTable::new(&identity.map(HeaderName::from_static));
        let mut request = Request::builder();
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let websocket = strip_request(&mut parts, &table);
        let mut left: Vec<(String, String)> = parts
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        left.sort();
        (websocket, left)
    }

    fn names_left(headers: &[(&str, &str)]) -> Vec<String> {
        stripped(headers)
            .1
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    }

    #[test]
    fn identity_headers_from_outside_go_in_every_spelling() {
        for name in [
            "kubeflow-userid",
            "Kubeflow-UserId",
            "kubeflow_userid",
            "KUBEFLOW_USERID",
            "x_auth-request_user",
            "gap_auth",
        ] {
            assert_eq!(
                names_left(&[(name, "a"), (name, "b"), ("x-other", "c")]),
                ["x-other"]
            );
        }
        let near = [
            "kubeflow-userids",
            "kubeflow-useri",
            "kubeflow.userid",
            "xauth-request-user",
        ];
        for name in near {
            assert_eq!(names_left(&[(name, "a")]), [name]);
        }
    }

    #[test]
    fn look_alikes_are_every_other_spelling() {
        let names = ["kubeflow-userid", "user", "x-a-b"].map(HeaderName::from_static);
        assert_eq!(look_alikes(&names), "kubeflow_userid, x_a-b, x-a_b, x_a_b");
        let long = [HeaderName::from_static("a-b-c-d-e-f-g")];
        assert_eq!(look_alikes(&long), "a_b_c_d_e_f_g");
    }

    #[test]
    fn names_known_by_their_beginning_go_in_every_spelling() {
        for name in [
            "proxy-authorization",
            "proxy_authorization",
            "x_envoy_upstream_rq_timeout_ms",
            "x-envoy-upstream_alt-stat-name",
        ] {
            assert_eq!(names_left(&[(name, "a")]), [""; 0]);
        }
        for name in ["proxy", "proxys-a", "x-envoy-upstreams"] {
            assert_eq!(names_left(&[(name, "a")]), [name]);
        }
    }

    #[test]
    fn look_alikes_of_our_own_headers_go() {
        assert_eq!(
            names_left(&[("x_forwarded-for", "1.1.1.1"), ("x_request_id", "a")]),
            [""; 0]
        );
        assert_eq!(
            names_left(&[("x-forwarded-for", "1.1.1.1")]),
            ["x-forwarded-for"]
        );
        assert_eq!(
            names_left(&[
                ("x-envoy-original-path", "/a"),
                ("x-envoy-upstream-rq-timeout-ms", "1"),
                ("x-envoy-external-address", "6.6.6.6"),
                ("x_envoy_external_address", "6.6.6.6"),
            ]),
            [""; 0]
        );
    }

    #[test]
    fn hop_by_hop_headers_go_and_so_does_what_connection_names() {
        let headers = [
            ("connection", "keep-alive, X-Secret-Hop, host"),
            ("keep-alive", "timeout=5"),
            ("x-secret-hop", "1"),
            ("proxy-authorization", "Basic x"),
            ("proxy-connection", "close"),
            ("http2-settings", "AAMAAABkAAQAoAAAAAIAAAAA"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("expect", "100-continue"),
            ("host", "a"),
            ("accept", "*/*"),
        ];
        assert_eq!(names_left(&headers), ["accept", "host"]);
        assert_eq!(
            stripped(&[("te", "gzip, trailers")]).1,
            [("te".into(), "trailers".into())]
        );
    }

    #[test]
    fn only_a_websocket_may_upgrade() {
        let ask = |protocol: &str| {
            stripped(&[("connection", "keep-alive, Upgrade"), ("upgrade", protocol)])
        };
        assert_eq!(
            ask("WebSocket"),
            (true, vec![("upgrade".into(), "websocket".into())])
        );
        assert_eq!(ask("h2c"), (false, vec![]));
        assert_eq!(ask("websocket, h2c"), (false, vec![]));
        assert_eq!(stripped(&[("upgrade", "websocket")]), (false, vec![]));
    }

    #[test]
    fn every_connection_header_of_an_answer_is_read() {
        let mut headers = HeaderMap::new();
        for value in ["keep-alive", "x-hop"] {
            headers.append(CONNECTION, HeaderValue::from_static(value));
        }
        headers.insert("x-hop", HeaderValue::from_static("1"));
        strip_answer(&mut headers);
        assert!(headers.is_empty(), "{headers:?}");
    }

    #[test]
    fn an_answer_loses_what_was_meant_for_us_alone() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("content-length", "2"),
            ("x", "y"),
        ] {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        strip_answer(&mut headers);
        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["content-length", "x"]);
    }
}
