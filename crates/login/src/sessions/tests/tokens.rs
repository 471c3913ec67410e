//! Tokens that clients send themselves.

use super::*;

#[tokio::test]
async fn a_bearer_token_is_proven_and_faults_are_named() {
    let bench = Bench::new().await;
    let good = bench.issuer.token(json!({}));
    let rules = [dex()];
    let ask = async |token: &str| {
        let value = format!("Bearer {token}");
        let bearer = bench
            .bearer(&rules, &[("authorization", &value)], None)
            .await;
        subject(&bearer).to_owned()
    };
    assert_eq!(ask(&good).await, "Cg1");
    // Time and audience are for the rules to judge.
    let late = bench.issuer.token(json!({"exp": 1}));
    assert_eq!(ask(&late).await, "Cg1");
    assert_eq!(ask(&late).await, "Cg1");

    let claims = good.split('.').nth(1).unwrap();
    let header = |json: &str| data_encoding::BASE64URL_NOPAD.encode(json.as_bytes());
    let none = format!("{}.{claims}.", header(r#"{"alg":"none"}"#));
    let symmetric = format!("{}.{claims}.AAAA", header(r#"{"alg":"HS256","kid":"one"}"#));
    for refused in [&none, &symmetric] {
        assert_eq!(ask(refused).await, TokenFault::AlgorithmRefused.message());
    }
    bench.issuer.misbehave(|quirks| quirks.stranger = true);
    let forged = bench.issuer.token(json!({}));
    assert_eq!(ask(&forged).await, TokenFault::BadSignature.message());
    bench.issuer.misbehave(|quirks| quirks.stranger = false);
    let foreign = bench.issuer.token(json!({"iss": "https://stranger"}));
    assert_eq!(ask(&foreign).await, TokenFault::UnknownIssuer.message());
    for malformed in ["", "x", "a.b", "a.b.c", "..", &"A".repeat(20_000)] {
        assert_eq!(
            ask(malformed).await,
            TokenFault::Malformed.message(),
            "{malformed}"
        );
    }
}

#[tokio::test]
async fn what_is_not_bearer_is_no_token() {
    let bench = Bench::new().await;
    let token = bench.issuer.token(json!({}));
    for value in [
        "Basic dXNlcjpwYXNz",
        &format!("bearer {token}"),
        &format!("BEARER {token}"),
        &token,
    ] {
        let bearer = bench
            .bearer(&[dex()], &[("authorization", value)], None)
            .await;
        assert_eq!(subject(&bearer), "none", "{value}");
    }
    // The prefix may stand anywhere.
    let value = format!("x Bearer {token}");
    let bearer = bench
        .bearer(&[dex()], &[("authorization", &value)], None)
        .await;
    assert_ne!(subject(&bearer), "none");
}

#[tokio::test]
async fn a_bad_token_at_any_location_of_any_rule_spoils_the_request() {
    let bench = Bench::new().await;
    let good = format!("Bearer {}", bench.issuer.token(json!({})));
    let malformed = TokenFault::Malformed.message();
    let extra = rule(
        "https://other",
        KeySource::Inline(r#"{"keys":[]}"#.into()),
        vec![header("x-token", ""), TokenLocation::Cookie("token".into())],
    );
    let rules = [dex(), extra];
    let ask = async |headers: &[(&'static str, &str)], query: Option<&str>| {
        subject(&bench.bearer(&rules, headers, query).await).to_owned()
    };
    assert_eq!(ask(&[("authorization", &good)], Some("a=b")).await, "Cg1");
    assert_eq!(
        ask(&[("authorization", &good)], Some("access_token=x")).await,
        malformed
    );
    assert_eq!(
        ask(&[("authorization", &good)], Some("%61ccess_token=x")).await,
        malformed
    );
    assert_eq!(
        ask(&[("authorization", &good), ("x-token", "x")], None).await,
        malformed
    );
    assert_eq!(
        ask(&[("authorization", &good), ("cookie", "token=x")], None).await,
        malformed
    );
    assert_eq!(
        ask(
            &[("authorization", &good), ("authorization", "Bearer x")],
            None
        )
        .await,
        malformed
    );
    let other = bench.issuer.token(json!({"iss": "https://other"}));
    let unknown = TokenFault::UnknownKey.message();
    assert_eq!(
        ask(&[("authorization", &good), ("x-token", &other)], None).await,
        unknown
    );
    let token = good.strip_prefix("Bearer ").unwrap();
    let query = format!("access_token={token}");
    assert_eq!(ask(&[], Some(&query)).await, "Cg1");
    assert_eq!(ask(&[("authorization", &good)], Some(&query)).await, "Cg1");
}

#[tokio::test]
async fn where_no_rule_looks_only_a_token_for_the_login_proxy_counts() {
    let bench = Bench::new().await;
    let ask = async |token: String| {
        let value = format!("Bearer {token}");
        subject(&bench.bearer(&[], &[("authorization", &value)], None).await).to_owned()
    };
    assert_eq!(ask(bench.issuer.token(json!({}))).await, "Cg1");
    assert_eq!(
        ask(bench.issuer.token(json!({"aud": "other"}))).await,
        "none"
    );
    assert_eq!(ask(bench.issuer.token(json!({"exp": 1}))).await, "none");
    assert_eq!(
        ask(bench.issuer.token(json!({"iss": "https://stranger"}))).await,
        "none"
    );
    assert_eq!(ask("opaque".to_owned()).await, "none");
}

#[tokio::test]
async fn a_token_in_memory_needs_no_waiting_and_keys_that_are_not_there_do() {
    let bench = Bench::new().await;
    let token = bench.issuer.token(json!({}));
    let mut headers = HeaderMap::new();
    headers.insert(
        AUTHORIZATION,
        HeaderValue::from_str(&format!("Bearer {token}")).unwrap(),
    );
    let (logins, rules) = ([bench.login.clone()], [dex()]);
    let doors = Doors {
        logins: &logins,
        rules: &rules,
        places: &[],
    };
    assert!(
        bench
            .sessions
            .look_now(&headers, None, doors, &Memo::default(), NOW)
            .is_none()
    );
    bench.sessions.look(&headers, None, doors, NOW).await;
    let session = bench
        .sessions
        .look_now(&headers, None, doors, &Memo::default(), NOW)
        .unwrap();
    assert_eq!(subject(&session.bearer), "Cg1");
}

#[tokio::test]
async fn tokens_are_proven_for_destinations_with_the_keys_that_they_name() {
    let bench = Bench::new().await;
    let token = bench.issuer.token(json!({}));
    let mut headers = HeaderMap::new();
    headers.insert("x-token", HeaderValue::from_str(&token).unwrap());
    let published = KeySource::Uri(format!("{ISSUER}/keys").into());
    let empty = KeySource::Inline(r#"{"keys":[]}"#.into());
    let places = [TokenPlace {
        location: header("x-token", ""),
        issuers: [(ISSUER.into(), vec![published.clone(), empty.clone()])].into(),
    }];
    let doors = Doors {
        logins: &[],
        rules: &[],
        places: &places,
    };
    let session = bench.sessions.look(&headers, None, doors, NOW).await;
    assert_eq!(subject(&session.bearer), "none");
    let proofs: Vec<_> = session
        .elsewhere
        .iter()
        .map(|proof| {
            (
                &proof.keys,
                proof.token.as_ref().map(|token| token.subject()),
            )
        })
        .collect();
    assert_eq!(
        proofs,
        [
            (&published, Ok("Cg1")),
            (&empty, Err(&TokenFault::UnknownKey))
        ]
    );
    let now = bench
        .sessions
        .look_now(&headers, None, doors, &Memo::default(), NOW);
    assert_eq!(now.unwrap().elsewhere.len(), 2);
}
