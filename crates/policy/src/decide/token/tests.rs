use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use model::names::{ObjectRef, Place};
use model::snapshot::{ClaimHeader, KeySource, Normalization, PolicyInfo};
use serde_json::json;

use super::*;
use crate::request::RequestHead;

const NOW: i64 = 1_800_000_000;

fn rule(issuer: &str, locations: Vec<TokenLocation>) -> JwtRule {
    let info = PolicyInfo {
        object: ObjectRef::new("RequestAuthentication", "ns", "x"),
        place: Place::new("a.yaml", 1),
    };
    JwtRule {
        info: Arc::new(info),
        issuer: issuer.into(),
        audiences: vec![],
        keys: KeySource::Discovery,
        locations,
        claim_headers: vec![],
        payload_header: None,
        forward_original: false,
        space_delimited: vec![],
    }
}

fn bearer_header() -> TokenLocation {
    TokenLocation::Header {
        name: AUTHORIZATION,
        prefix: "Bearer ".into(),
    }
}

fn token(issuer: &str) -> Bearer {
    let claims = json!({"iss": issuer, "sub": "me", "aud": "app", "groups": ["a", "b"]});
    let claims = claims.as_object().unwrap().clone();
    Bearer::Valid(Arc::new(Token::assert_verified("h.p.s", claims).unwrap()))
}

/// What comes of it, what is left of the query, what was removed and what was set.
type Judged = (
    Result<Option<String>, TokenFault>,
    Option<String>,
    Vec<String>,
    Vec<(String, String)>,
);

fn judged(rules: Vec<JwtRule>, target: &str, sent: &[(&str, &str)], bearer: &Bearer) -> Judged {
    let headers: HeaderMap = sent
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        })
        .collect();
    let head = RequestHead {
        scheme: "https",
        now: Timestamp::from_seconds(NOW),
        ..RequestHead::sample("h", target, &headers)
    };
    let request = Request::read(head, Normalization::Base).unwrap();
    let mut changes = Changes::default();
    let authentication = Authentication { rules };
    let result = judge(
        &authentication,
        Tokens {
            injected: None,
            bearer,
            elsewhere: &[],
        },
        &request,
        (&mut changes, [None; 2]),
        Stage::Gateway,
        &mut Recorder::nobody(),
    );
    let set = changes
        .set
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    (
        result.map(|one| one.map(|one| one.token.issuer().to_owned())),
        changes
            .query(request.query())
            .map(|query| query.into_owned()),
        changes.removed.iter().map(HeaderName::to_string).collect(),
        set.collect(),
    )
}

const SENT: [(&str, &str); 1] = [("authorization", "Bearer h.p.s")];

#[test]
fn without_rules_no_token_is_looked_at() {
    let bad = Bearer::Invalid(TokenFault::Malformed);
    assert_eq!(judged(vec![], "/", &SENT, &bad).0, Ok(None));
}

#[test]
fn a_token_counts_only_where_a_rule_looks() {
    let query = || vec![rule("i", vec![TokenLocation::Query("t".into())])];
    assert_eq!(judged(query(), "/", &SENT, &token("i")).0, Ok(None));
    let bad = Bearer::Invalid(TokenFault::Malformed);
    assert_eq!(
        judged(query(), "/?t=x", &SENT, &bad).0,
        Err(TokenFault::Malformed)
    );
    let cookie = || vec![rule("i", vec![TokenLocation::Cookie("t".into())])];
    let sent = [("cookie", "a=b; t=h.p.s")];
    assert_eq!(
        judged(cookie(), "/", &sent, &token("i")).0,
        Ok(Some("i".into()))
    );
    let sent = [("cookie", "a=b; tt=h.p.s")];
    assert_eq!(judged(cookie(), "/", &sent, &token("i")).0, Ok(None));
}

#[test]
fn the_rule_of_the_tokens_issuer_decides() {
    let rules = || {
        vec![
            rule("a", vec![bearer_header()]),
            rule("b", vec![bearer_header()]),
        ]
    };
    assert_eq!(
        judged(rules(), "/", &SENT, &token("b")).0,
        Ok(Some("b".into()))
    );
    assert_eq!(
        judged(rules(), "/", &SENT, &token("c")).0,
        Err(TokenFault::UnknownIssuer)
    );
    let mut strict = rules();
    strict[1].audiences = vec!["other".into()];
    assert_eq!(
        judged(strict.clone(), "/", &SENT, &token("b")).0,
        Err(TokenFault::AudienceNotAllowed)
    );
    strict.push(JwtRule {
        audiences: vec!["app".into()],
        ..rule("b", vec![bearer_header()])
    });
    assert_eq!(
        judged(strict, "/", &SENT, &token("b")).0,
        Ok(Some("b".into()))
    );
}

#[test]
fn an_issuer_cannot_be_smuggled_to_another_rules_location() {
    let rules = vec![
        rule("a", vec![TokenLocation::Query("t".into())]),
        rule("b", vec![bearer_header()]),
    ];
    assert_eq!(
        judged(rules, "/", &SENT, &token("a")).0,
        Err(TokenFault::UnknownIssuer)
    );
}

#[test]
fn a_consumed_token_does_not_travel_on() {
    let (result, _, removed, _) = judged(
        vec![rule("i", vec![bearer_header()])],
        "/",
        &SENT,
        &token("i"),
    );
    assert_eq!(
        (result, removed),
        (Ok(Some("i".into())), vec!["authorization".into()])
    );
    let kept = JwtRule {
        forward_original: true,
        ..rule("i", vec![bearer_header()])
    };
    assert_eq!(
        judged(vec![kept], "/", &SENT, &token("i")).2,
        Vec::<String>::new()
    );
    let by_query = || vec![rule("i", vec![TokenLocation::Query("t".into())])];
    assert_eq!(
        judged(by_query(), "/?a=1&t=h.p.s&b", &[], &token("i"))
            .1
            .as_deref(),
        Some("a=1&b")
    );
    assert_eq!(
        judged(by_query(), "/?%74=h%2Ep.s", &[], &token("i")).1,
        None
    );
}

#[test]
fn claims_become_headers_and_missing_ones_take_theirs_away() {
    let output = |header: &'static str, claim: &str| ClaimHeader {
        header: HeaderName::from_static(header),
        claim: claim.split('.').map(Arc::from).collect(),
    };
    let rule = JwtRule {
        claim_headers: vec![
            output("x-sub", "sub"),
            output("x-groups", "groups"),
            output("x-no", "a.b"),
        ],
        payload_header: Some(HeaderName::from_static("x-payload")),
        forward_original: true,
        ..rule("i", vec![bearer_header()])
    };
    let sent = [SENT[0], ("x-no", "forged"), ("x-sub", "forged")];
    let (_, _, removed, set) = judged(vec![rule], "/", &sent, &token("i"));
    let set: Vec<_> = set
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    assert_eq!(
        set,
        [("x-sub", "me"), ("x-groups", "a,b"), ("x-payload", "p")]
    );
    assert_eq!(removed, ["x-no"]);
}

#[test]
fn claims_read_as_istio_writes_them_but_lists_are_joined() {
    for (claim, text) in [
        (json!("user@example.com"), Some("user@example.com")),
        (json!(7), Some("7")),
        (json!(1.5), Some("1.500000")),
        (json!(true), Some("true")),
        (json!(["a", "b", 3]), Some("a,b,3")),
        (json!([]), None),
        (json!(""), None),
        (json!(null), None),
        (json!({"a": 1}), None),
        (json!(["a", {"b": 1}]), None),
        (json!("line\nbreak"), None),
    ] {
        assert_eq!(
            claim_text(&claim)
                .as_ref()
                .map(|value| value.to_str().unwrap()),
            text
        );
    }
}

#[test]
fn a_claim_reads_as_the_text_that_would_be_made_of_it() {
    let cases = [
        (json!("a"), "a"),
        (json!(["a", "b,c"]), "a,b,c"),
        (json!(["a", "b"]), "a,b"),
        (json!(["", "c"]), "c"),
    ];
    for (claim, text) in &cases {
        assert_eq!(claim_text(claim).unwrap(), *text);
        for (_, other) in &cases {
            assert_eq!(reads_as(claim, other.as_bytes()), other == text, "{claim}");
        }
    }
    for claim in [json!(""), json!([]), json!([""])] {
        assert!(
            claim_text(&claim).is_none() && !reads_as(&claim, b""),
            "{claim}"
        );
    }
    // These are made anew: comparing them would cost as much.
    assert!(!reads_as(&json!(1), b"1") && !reads_as(&json!(["a", 1]), b"a,1"));
}

/// Judges at a destination, where nothing but `proofs` is known of tokens.
fn at_destination(
    rules: Vec<JwtRule>,
    sent: &'static [(&'static str, &'static str)],
    proofs: &[Proof],
) -> Result<Option<(String, bool)>, TokenFault> {
    let headers: HeaderMap = sent
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        })
        .collect();
    let head = RequestHead {
        now: Timestamp::from_seconds(NOW),
        ..RequestHead::sample("h", "/", &headers)
    };
    let request = Request::read(head, Normalization::Base).unwrap();
    let authentication = Authentication { rules };
    let accepted = judge(
        &authentication,
        Tokens {
            injected: None,
            bearer: &Bearer::None,
            elsewhere: proofs,
        },
        &request,
        (&mut Changes::default(), [None; 2]),
        Stage::Destination,
        &mut Recorder::nobody(),
    )?;
    Ok(accepted.map(|one| (one.token.subject().to_owned(), one.names_user)))
}

#[test]
fn a_destination_takes_what_its_own_rules_prove() {
    let Bearer::Valid(token) = token("i") else {
        panic!("it is valid");
    };
    let inline = |keys: &str| KeySource::Inline(keys.into());
    let proof = |keys: KeySource, token: Result<Arc<Token>, TokenFault>| Proof {
        compact: "h.p.s".into(),
        issuer: "i".into(),
        keys,
        token,
    };
    let rules = || {
        vec![JwtRule {
            keys: inline("own"),
            ..rule("i", vec![bearer_header()])
        }]
    };
    // It is nobody's user for the rest of the process.
    let good = proof(inline("own"), Ok(Arc::clone(&token)));
    assert_eq!(
        at_destination(rules(), &SENT, &[good]),
        Ok(Some(("me".into(), false)))
    );
    // Another namespace believes other keys of the same issuer.
    let others = proof(inline("others"), Ok(token));
    let forged = proof(inline("own"), Err(TokenFault::BadSignature));
    assert_eq!(
        at_destination(rules(), &SENT, &[others.clone(), forged]),
        Err(TokenFault::BadSignature)
    );
    assert_eq!(
        at_destination(rules(), &SENT, &[others]),
        Err(TokenFault::UnknownIssuer)
    );
    assert_eq!(
        at_destination(rules(), &SENT, &[]),
        Err(TokenFault::UnknownIssuer)
    );
    assert_eq!(
        at_destination(rules(), &[("authorization", "Bearer garbled")], &[]),
        Err(TokenFault::Malformed)
    );
    assert_eq!(at_destination(rules(), &[], &[]), Ok(None));
}
