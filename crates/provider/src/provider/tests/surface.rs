//! What is there, what is not, and that each says so.

use super::*;

#[tokio::test]
async fn discovery_says_what_is_built_and_nothing_else() {
    let bench = Bench::new().await;
    let seen = bench.get("/dex/.well-known/openid-configuration").await;
    assert_eq!(
        (seen.status, seen.header("content-type")),
        (StatusCode::OK, "application/json")
    );
    assert_eq!(seen.header("cache-control"), "");
    let read: Map<String, Value> = serde_json::from_str(&seen.body).unwrap();
    let issuer = fixture::ISSUER;
    for (name, value) in [
        ("issuer", Value::from(issuer)),
        ("authorization_endpoint", format!("{issuer}/auth").into()),
        ("token_endpoint", format!("{issuer}/token").into()),
        ("jwks_uri", format!("{issuer}/keys").into()),
        ("userinfo_endpoint", format!("{issuer}/userinfo").into()),
        (
            "grant_types_supported",
            vec![
                "authorization_code",
                "refresh_token",
                "urn:ietf:params:oauth:grant-type:device_code",
                "urn:ietf:params:oauth:grant-type:token-exchange",
            ]
            .into(),
        ),
        ("response_types_supported", vec!["code"].into()),
        ("request_uri_parameter_supported", false.into()),
        (
            "code_challenge_methods_supported",
            vec!["S256", "plain"].into(),
        ),
    ] {
        assert_eq!(read[name], value, "{name}");
    }
    assert_eq!(read.get("end_session_endpoint"), None);
    for absent in ["/dex/callback/", "/"] {
        assert_eq!(
            bench.get(absent).await.status,
            StatusCode::NOT_FOUND,
            "{absent}"
        );
    }
}

#[tokio::test]
async fn keys_have_dexs_shape_and_may_be_cached() {
    let bench = Bench::new().await;
    bench.provider.maintain().await.unwrap();
    let seen = bench.get("/dex/keys").await;
    assert_eq!(seen.header("cache-control"), "max-age=600, must-revalidate");
    let read: Value = serde_json::from_str(&seen.body).unwrap();
    let keys = read["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2);
    for key in keys {
        assert_eq!(
            (&key["use"], &key["alg"], &key["kty"]),
            (&"sig".into(), &"RS256".into(), &"RSA".into())
        );
        assert_eq!(key["kid"].as_str().unwrap().len(), 40);
        let members: Vec<_> = key.as_object().unwrap().keys().collect();
        assert_eq!(members, ["use", "kty", "kid", "alg", "n", "e"]);
    }
}

#[tokio::test]
async fn tokens_are_good_across_a_rotation() {
    let bench = Bench::new().await;
    bench.provider.maintain().await.unwrap();
    let before = bench
        .redeem(&bench.code(STOCK).await)
        .await
        .tokens()
        .access_token;
    let keys = bench.get("/dex/keys").await.body;
    bench.clock.pass(6 * 3600);
    bench.provider.maintain().await.unwrap();
    let after = bench
        .redeem(&bench.code(STOCK).await)
        .await
        .tokens()
        .access_token;
    let kid = |token: &str| token.split_once('.').unwrap().0.to_owned();
    assert_ne!(kid(&before), kid(&after));
    bench.claims(&before).await;
    bench.claims(&after).await;
    // A verifier that fetched the keys before the rotation knows the new one already.
    assert!(jose::verify(&after, &KeySet::from_json(&keys).unwrap()).is_ok());
}

#[tokio::test]
async fn health_and_assets_answer() {
    let bench = Bench::new().await;
    assert_eq!(bench.get("/dex/healthz").await.status, StatusCode::OK);
    let style = bench.get("/dex/static/doorward.css").await;
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
    let again =
        Request::get("/dex/static/doorward.css").header("if-none-match", style.header("etag"));
    let again = bench.send(again, "").await;
    assert_eq!(
        (again.status, again.body.as_str()),
        (StatusCode::NOT_MODIFIED, "")
    );
    let head = bench.send(Request::head("/dex/healthz"), "").await;
    assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""));
}

#[tokio::test]
async fn a_broken_store_is_told_without_its_reasons() {
    let bench = Bench::new().await;
    let code = bench.code(STOCK).await;
    bench.store.close().await;
    let seen = bench.redeem(&code).await;
    assert_eq!(seen.error(), (500, "server_error".into()));
    let seen = bench.get("/dex/healthz").await;
    assert_eq!(seen.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!seen.body.to_lowercase().contains("pool"), "{}", seen.body);
}

#[tokio::test]
async fn user_info_tells_the_claims_of_a_good_token_only() {
    let bench = Bench::new().await;
    let tokens = bench.redeem(&bench.code(STOCK).await).await.tokens();
    let ask = async |authorization: &str| {
        bench
            .send(
                Request::get("/dex/userinfo").header("authorization", authorization),
                "",
            )
            .await
    };
    for token in [&tokens.access_token, tokens.id_token.as_ref().unwrap()] {
        let seen = ask(&format!("bEaReR {token}")).await;
        assert_eq!(seen.status, StatusCode::OK);
        let told: Map<String, Value> = serde_json::from_str(&seen.body).unwrap();
        assert_eq!(told, bench.claims(token).await);
    }
    let missing = bench.get("/dex/userinfo").await;
    assert_eq!(missing.error(), (401, "access_denied".into()));
    assert_eq!(missing.header("www-authenticate"), "Bearer");
    let (head, _) = tokens.access_token.rsplit_once('.').unwrap();
    for bad in ["x", "a.b.c", &format!("{head}.AAAA")] {
        let seen = ask(&format!("Bearer {bad}")).await;
        assert_eq!(seen.error(), (401, "invalid_token".into()));
        assert_eq!(
            seen.header("www-authenticate"),
            "Bearer error=\"invalid_token\""
        );
    }
    assert_eq!(
        ask("Basic abc").await.error(),
        (401, "access_denied".into())
    );
    bench.clock.pass(86_400);
    let late = ask(&format!("Bearer {}", tokens.access_token)).await;
    assert_eq!(late.error(), (401, "invalid_token".into()));
}
