//! Cross-origin requests: which preflights are answered here, and what answers tell a browser.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
};
use http::{HeaderName, HeaderValue, Method};
use model::names::Duration;
use model::snapshot::{Cors, HeaderEdits, OriginMatch};

use super::End;
use crate::decision::{DefaultReason, Outcome, Serve, Served};
use crate::request::Request;
use crate::route;

/// What a policy says of a request.
#[derive(Debug, PartialEq, Eq)]
enum CrossOrigin {
    /// Nothing: it names no origin, or one that is not listed.
    Nothing,
    /// It is a preflight and answered with these headers.
    Preflight(HeaderEdits),
    /// Its answer gets these headers.
    Answer(HeaderEdits),
}

/// CORS §3.2.2: a browser asks first, without credentials.
pub(super) fn is_preflight(request: &Request<'_>) -> bool {
    let head = request.head();
    *head.method == Method::OPTIONS
        && head.headers.contains_key(ORIGIN)
        && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// What the answer of a route tells a page of another origin; the end, after `delay`, of a preflight
/// that its policy answers.
pub(super) fn answer(
    policy: Option<&Cors>,
    request: &Request<'_>,
    delay: Option<Duration>,
) -> Result<Option<HeaderEdits>, Box<End>> {
    match judge(policy, request) {
        CrossOrigin::Nothing => Ok(None),
        CrossOrigin::Answer(edits) => Ok(Some(edits)),
        CrossOrigin::Preflight(edits) => {
            let serve = Serve {
                edits: vec![edits],
                delay,
                ..Serve::plain(Served::Preflight, None)
            };
            Err(End::by_default(
                Outcome::Serve(serve),
                DefaultReason::Preflight,
            ))
        }
    }
}

/// Asks the policy of a route.
fn judge(policy: Option<&Cors>, request: &Request<'_>) -> CrossOrigin {
    let origin = request.head().headers.get(ORIGIN);
    let (Some(policy), Some(origin)) = (policy, origin.filter(|origin| !origin.is_empty())) else {
        return CrossOrigin::Nothing;
    };
    let Cors {
        origins,
        methods,
        headers,
        expose,
        max_age,
        credentials,
        forward_unmatched,
    } = policy;
    let allowed = origin
        .to_str()
        .is_ok_and(|origin| origins.iter().any(|one| is_listed(one, origin)));
    if !allowed {
        // Without permission the browser does not go on.
        return if is_preflight(request) && !forward_unmatched {
            CrossOrigin::Preflight(HeaderEdits::default())
        } else {
            CrossOrigin::Nothing
        };
    }
    let mut set: Vec<(HeaderName, HeaderValue)> =
        vec![(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone())];
    let mut say = |name: HeaderName, value: &Option<HeaderValue>| {
        if let Some(value) = value {
            set.push((name, value.clone()));
        }
    };
    let credentials = credentials.then(|| HeaderValue::from_static("true"));
    say(ACCESS_CONTROL_ALLOW_CREDENTIALS, &credentials);
    let asked = is_preflight(request);
    if asked {
        // With credentials, `*` is the name of a method or header: what is asked for is listed.
        let listed = |value: &Option<HeaderValue>, asking: &HeaderName| match value {
            Some(star) if star == "*" && credentials.is_some() => {
                request.head().headers.get(asking).cloned()
            }
            other => other.clone(),
        };
        say(
            ACCESS_CONTROL_ALLOW_METHODS,
            &listed(methods, &ACCESS_CONTROL_REQUEST_METHOD),
        );
        say(
            ACCESS_CONTROL_ALLOW_HEADERS,
            &listed(headers, &ACCESS_CONTROL_REQUEST_HEADERS),
        );
        let seconds = max_age.map(|age| HeaderValue::from(age.as_secs()));
        say(ACCESS_CONTROL_MAX_AGE, &seconds);
    }
    say(ACCESS_CONTROL_EXPOSE_HEADERS, expose);
    let edits = HeaderEdits {
        set,
        ..HeaderEdits::default()
    };
    if asked {
        CrossOrigin::Preflight(edits)
    } else {
        CrossOrigin::Answer(edits)
    }
}

fn is_listed(listed: &OriginMatch, origin: &str) -> bool {
    match listed {
        OriginMatch::Any => true,
        OriginMatch::Text(pattern) => route::text(pattern, origin),
        OriginMatch::Wildcard { scheme, suffix } => origin
            .strip_prefix(&**scheme)
            .is_some_and(|host| host.len() > suffix.len() && host.ends_with(&**suffix)),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use model::snapshot::{Normalization, TextMatch};

    use super::*;
    use crate::request::RequestHead;

    fn ask(
        policy: &Cors,
        method: &Method,
        headers: &[(&'static str, &'static str)],
    ) -> CrossOrigin {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let head = RequestHead {
            method,
            ..RequestHead::sample("h", "/", &map)
        };
        judge(
            Some(policy),
            &Request::read(head, Normalization::Base).unwrap(),
        )
    }

    fn listing(origins: Vec<OriginMatch>) -> Cors {
        Cors {
            origins,
            methods: Some(HeaderValue::from_static("GET,POST")),
            headers: Some(HeaderValue::from_static("x-a")),
            expose: Some(HeaderValue::from_static("x-b")),
            max_age: Some(Duration::from_secs(600)),
            credentials: true,
            forward_unmatched: true,
        }
    }

    fn told(asked: CrossOrigin) -> Vec<(String, String)> {
        let (CrossOrigin::Preflight(edits) | CrossOrigin::Answer(edits)) = asked else {
            panic!("nothing is told");
        };
        let pair = |(name, value): &(HeaderName, HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        edits.set.iter().map(pair).collect()
    }

    fn texts(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let pair = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        pairs.iter().map(pair).collect()
    }

    const PREFLIGHT: [(&str, &str); 2] = [
        ("origin", "https://a.com"),
        ("access-control-request-method", "PUT"),
    ];

    #[test]
    fn a_preflight_of_a_listed_origin_is_answered_and_others_are_told() {
        let exact = OriginMatch::Text(TextMatch::Exact("https://a.com".into()));
        let policy = listing(vec![exact]);
        let asked = ask(&policy, &Method::OPTIONS, &PREFLIGHT);
        assert!(matches!(asked, CrossOrigin::Preflight(_)));
        assert_eq!(
            told(asked),
            texts(&[
                ("access-control-allow-origin", "https://a.com"),
                ("access-control-allow-credentials", "true"),
                ("access-control-allow-methods", "GET,POST"),
                ("access-control-allow-headers", "x-a"),
                ("access-control-max-age", "600"),
                ("access-control-expose-headers", "x-b"),
            ])
        );
        let asked = ask(&policy, &Method::GET, &[("origin", "https://a.com")]);
        assert!(matches!(asked, CrossOrigin::Answer(_)));
        assert_eq!(
            told(asked),
            texts(&[
                ("access-control-allow-origin", "https://a.com"),
                ("access-control-allow-credentials", "true"),
                ("access-control-expose-headers", "x-b"),
            ])
        );
        // `OPTIONS` alone asks for no permission.
        let asked = ask(&policy, &Method::OPTIONS, &[("origin", "https://a.com")]);
        assert!(matches!(asked, CrossOrigin::Answer(_)));
        assert_eq!(ask(&policy, &Method::GET, &[]), CrossOrigin::Nothing);
    }

    #[test]
    fn a_star_lists_what_is_asked_for_where_credentials_may_be_sent() {
        let mut policy = listing(vec![OriginMatch::Any]);
        policy.methods = Some(HeaderValue::from_static("*"));
        policy.headers = policy.methods.clone();
        let asking = [
            PREFLIGHT[0],
            PREFLIGHT[1],
            ("access-control-request-headers", "x-z"),
        ];
        let listed = |policy: &Cors| -> Vec<(String, String)> {
            let mut told = told(ask(policy, &Method::OPTIONS, &asking));
            told.retain(|(name, _)| {
                name.contains("allow-methods") || name.contains("allow-headers")
            });
            told
        };
        let both = |method, headers| {
            texts(&[
                ("access-control-allow-methods", method),
                ("access-control-allow-headers", headers),
            ])
        };
        assert_eq!(listed(&policy), both("PUT", "x-z"));
        policy.credentials = false;
        assert_eq!(listed(&policy), both("*", "*"));
    }

    #[test]
    fn another_origin_is_told_nothing() {
        let exact = OriginMatch::Text(TextMatch::Exact("https://b.com".into()));
        let mut policy = listing(vec![exact]);
        assert_eq!(
            ask(&policy, &Method::GET, &[("origin", "https://a.com")]),
            CrossOrigin::Nothing
        );
        assert_eq!(
            ask(&policy, &Method::OPTIONS, &PREFLIGHT),
            CrossOrigin::Nothing
        );
        policy.forward_unmatched = false;
        assert_eq!(
            ask(&policy, &Method::OPTIONS, &PREFLIGHT),
            CrossOrigin::Preflight(HeaderEdits::default())
        );
    }

    #[test]
    fn a_star_takes_any_origin_and_a_wildcard_one_with_its_scheme() {
        let any = listing(vec![OriginMatch::Any]);
        assert!(matches!(
            ask(&any, &Method::GET, &[("origin", "null")]),
            CrossOrigin::Answer(_)
        ));
        let wildcard = listing(vec![OriginMatch::Wildcard {
            scheme: "https://".into(),
            suffix: ".a.com".into(),
        }]);
        let asks = |origin| ask(&wildcard, &Method::GET, &[("origin", origin)]);
        assert!(matches!(asks("https://x.y.a.com"), CrossOrigin::Answer(_)));
        for other in [
            "http://x.a.com",
            "https://a.com",
            "https://.a.com",
            "https://x.a.com:8443",
        ] {
            assert_eq!(asks(other), CrossOrigin::Nothing, "{other}");
        }
    }
}
