//! What holds for every request.

#[path = "properties/algebra.rs"]
mod algebra;

use std::sync::{Arc, LazyLock};

use doorward_policy::session::PersonParts;
use doorward_policy::{
    Bearer, NoSession, Outcome, Person, Request, RequestHead, Session, Token, TokenFault,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use model::Snapshot;
use model::names::Timestamp;
use model::objects::{File, ObjectSet};
use model::snapshot::Normalization;
use proptest::prelude::*;
use serde_json::json;

const MODES: [Normalization; 4] = [
    Normalization::None,
    Normalization::Base,
    Normalization::MergeSlashes,
    Normalization::DecodeAndMergeSlashes,
];

fn head<'a>(target: &'a str, headers: &'a HeaderMap, method: &'a Method) -> RequestHead<'a> {
    RequestHead {
        method,
        scheme: "https",
        authority: "kubeflow.example.com",
        target,
        headers,
        port: 80,
        peer: [192, 0, 2, 7].into(),
        client: [192, 0, 2, 7].into(),
        principal: None,
        sni: None,
        now: Timestamp::from_seconds(1_800_000_000),
        draw: 0,
    }
}

/// Paths made of what normalisation looks at.
fn path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("/"),
        Just("//"),
        Just("."),
        Just(".."),
        Just("\\"),
        Just("%"),
        Just("%2"),
        Just("%2e"),
        Just("%2E"),
        Just("%2f"),
        Just("%2F"),
        Just("%5c"),
        Just("%5C"),
        Just("%25"),
        Just("%32"),
        Just("%46"),
        Just("%65"),
        Just("%41"),
        Just("%7e"),
        Just(";"),
        Just("a"),
        Just("2"),
        Just("e"),
        Just("F"),
        Just("{"),
        Just("%c0"),
        Just("%ae"),
        Just("dex"),
        Just("oauth2"),
        Just("jupyter"),
        Just("pipeline"),
        Just("api"),
        Just("?"),
        Just("#"),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn normalisation_is_idempotent(path in path()) {
        let headers = HeaderMap::new();
        for mode in MODES {
            let once = Request::read(head(&path, &headers, &Method::GET), mode).unwrap();
            let once = once.path().to_owned();
            let twice = Request::read(head(&once, &headers, &Method::GET), mode).unwrap();
            prop_assert_eq!(twice.path(), &*once, "{:?}", mode);
        }
    }

    #[test]
    fn a_normal_path_has_no_dot_segment_and_no_backslash(path in path()) {
        let headers = HeaderMap::new();
        for mode in &MODES[1..] {
            let request = Request::read(head(&path, &headers, &Method::GET), *mode).unwrap();
            prop_assert!(request.path().starts_with('/'));
            prop_assert!(!request.path().contains('\\'));
            let mut names = request.path().split('/').map(|segment| segment.split(';').next());
            prop_assert!(!names.any(|name| matches!(name, Some("." | ".."))));
            if *mode != Normalization::Base {
                prop_assert!(!request.path().contains("//"));
            }
        }
    }

    #[test]
    fn any_text_is_read_or_refused(target in ".{0,40}", authority in ".{0,20}") {
        let headers = HeaderMap::new();
        for mode in MODES {
            let head = RequestHead { authority: &authority, ..head(&target, &headers, &Method::GET) };
            if let Ok(request) = Request::read(head, mode) {
                prop_assert!(!request.host().is_empty());
                prop_assert_eq!(request.host(), request.host().to_ascii_lowercase());
                let location = request.location("https", request.authority());
                prop_assert!(location.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }

    #[test]
    fn nothing_is_forwarded_past_a_policy_that_denies_everything(
        path in path(),
        method in prop::sample::select(vec![Method::GET, Method::POST, Method::OPTIONS]),
        headers in headers(),
        session in session(),
    ) {
        let request =
            Request::read(head(&path, &headers, &method), DENIED.normalization()).unwrap();
        let decision = doorward_policy::decide(&request, &DENIED, &session);
        let is_performed = match &decision.outcome {
            Outcome::Forward(_) => true,
            Outcome::Serve(serve) => serve.permit.is_some(),
            Outcome::SignIn(_) | Outcome::Redirect(_) | Outcome::Refuse(_) => false,
        };
        prop_assert!(!is_performed, "{:?}", decision);
    }

    #[test]
    fn nobody_reaches_an_application_without_session_or_token(
        path in path(),
        method in prop::sample::select(vec![Method::GET, Method::POST, Method::OPTIONS]),
        headers in headers(),
    ) {
        let request = Request::read(head(&path, &headers, &method), STOCK.normalization()).unwrap();
        let decision = doorward_policy::decide(&request, &STOCK, &Session::anonymous());
        prop_assert!(!matches!(decision.outcome, Outcome::Forward(_)), "{:?}", decision);
    }
}

static STOCK: LazyLock<Snapshot> = LazyLock::new(|| snapshot(""));

static DENIED: LazyLock<Snapshot> = LazyLock::new(|| {
    snapshot(
        "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: never, namespace: istio-system}
spec: {action: DENY, rules: [{}]}
",
    )
});

fn snapshot(more: &str) -> Snapshot {
    let directory =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/kubeflow-26.03");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| File {
            name: path.to_string_lossy().into(),
            text: std::fs::read_to_string(&path).unwrap(),
        })
        .collect();
    files.push(File {
        name: "more.yaml".into(),
        text: more.to_owned(),
    });
    model::compile(&ObjectSet { files }).snapshot
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    let header = prop_oneof![
        Just(("authorization", "Basic eDp5")),
        Just(("authorization", "Bearer e30.e30.c2lnbmF0dXJl")),
        Just(("kubeflow-userid", "user@example.com")),
        Just(("origin", "https://x")),
        Just(("access-control-request-method", "GET")),
        Just(("accept", "application/json")),
        Just(("x-forwarded-proto", "http")),
    ];
    prop::collection::vec(header, 0..5).prop_map(|pairs| {
        pairs
            .into_iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    })
}

fn session() -> impl Strategy<Value = Session> {
    let person = prop_oneof![
        Just(true).prop_map(|_| Ok(Arc::new(person()))),
        Just(Err(NoSession::NoCookie)),
        Just(Err(NoSession::StoreUnavailable)),
    ];
    let bearer = prop_oneof![
        Just(Bearer::None),
        Just(true).prop_map(|_| Bearer::Valid(Arc::new(token()))),
        Just(Bearer::Invalid(TokenFault::BadSignature)),
    ];
    (person, bearer).prop_map(|(person, bearer)| Session {
        person,
        bearer,
        elsewhere: vec![],
    })
}

fn token() -> Token {
    let login = &STOCK.logins()[0];
    let claims = json!({"iss": *login.issuer, "sub": "user", "email": "user@example.com"});
    Token::assert_verified("e30.e30.c2lnbmF0dXJl", claims.as_object().unwrap().clone()).unwrap()
}

fn person() -> Person {
    Person::assert_signed_in(PersonParts {
        login: STOCK.logins()[0].key().into(),
        user: "user".into(),
        email: Some("user@example.com".into()),
        groups: vec![],
        preferred_username: None,
        token: Some(Arc::new(token())),
        access_token: None,
        expires: Timestamp::from_seconds(1_900_000_000),
    })
}
