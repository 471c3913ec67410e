//! Refresh tokens, revocation and introspection.

use model::names::Duration;
use model::snapshot::{AccessTokenForm, Conformance, Introspection, RefreshRules, Rotation};

use super::client::{offline, refresh};
use super::*;

fn with_rules(rules: RefreshRules) -> Settings {
    let mut settings = fixture::settings();
    settings.protocol.refresh = rules;
    settings
}

fn reusing(seconds: u64) -> RefreshRules {
    RefreshRules {
        rotation: Rotation::Each {
            reuse: Duration::from_secs(seconds),
        },
        absolute: None,
        idle: None,
    }
}

async fn told(bench: &Bench, endpoint: &str, token: &str) -> Seen {
    let credentials = BASE64.encode(format!("kubeflow:{SECRET}").as_bytes());
    let request = posting(endpoint).header("authorization", format!("Basic {credentials}"));
    bench
        .send(request, &crate::form::query(&[("token", token)]))
        .await
}

async fn introspected(bench: &Bench, token: &str) -> Map<String, Value> {
    let seen = told(bench, "/dex/token/introspect", token).await;
    assert_eq!(seen.status, StatusCode::OK, "{}", seen.body);
    assert_eq!(seen.header("cache-control"), "no-store");
    serde_json::from_str(&seen.body).unwrap()
}

async fn is_active(bench: &Bench, token: &str) -> bool {
    introspected(bench, token).await["active"] == true
}

async fn user_info(bench: &Bench, token: &str) -> StatusCode {
    let request = Request::get("/dex/userinfo").header("authorization", format!("Bearer {token}"));
    bench.send(request, "").await.status
}

#[tokio::test]
async fn a_second_device_does_not_sign_the_first_one_out() {
    let bench = Bench::new().await;
    let (one, two) = (offline(&bench).await, offline(&bench).await);
    for tokens in [one, two] {
        let mut token = tokens.refresh_token.unwrap();
        for _ in 0..3 {
            token = refresh(&bench, &token, "")
                .await
                .tokens()
                .refresh_token
                .unwrap();
        }
    }
}

#[tokio::test]
async fn within_the_interval_of_reuse_one_token_follows_for_all() {
    let bench = Bench::with(with_rules(reusing(30))).await;
    let first = offline(&bench).await.refresh_token.unwrap();
    let next = async |token: &str| {
        refresh(&bench, token, "")
            .await
            .tokens()
            .refresh_token
            .unwrap()
    };
    let second = next(&first).await;
    assert_ne!(second, first);
    // The lost answer, another tab, and the one that got through.
    assert_eq!(next(&first).await, second);
    assert_eq!(next(&second).await, second);
    bench.clock.pass(30);
    let third = next(&second).await;
    assert_ne!(third, second);
    bench.clock.pass(30);
    let theft = refresh(&bench, &second, "").await;
    assert_eq!(theft.error(), (400, "invalid_grant".into()));
    assert_eq!(
        refresh(&bench, &third, "").await.error(),
        (400, "invalid_grant".into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_concurrent_refreshes_all_hold_the_same_good_token_or_are_refused() {
    let bench = Arc::new(Bench::with(with_rules(reusing(30))).await);
    let first = offline(&bench).await.refresh_token.unwrap();
    let racers: Vec<_> = (0..8)
        .map(|_| {
            let (bench, first) = (Arc::clone(&bench), first.clone());
            tokio::spawn(async move { refresh(&bench, &first, "").await })
        })
        .collect();
    let mut held = std::collections::BTreeSet::new();
    for racer in racers {
        let seen = racer.await.unwrap();
        if seen.status == StatusCode::OK {
            held.insert(seen.tokens().refresh_token.unwrap());
        } else {
            assert_eq!(seen.error(), (400, "invalid_grant".into()));
        }
    }
    assert_eq!(held.len(), 1, "nobody holds a token that is not good");
    let good = held.first().unwrap();
    assert_eq!(refresh(&bench, good, "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn lifetimes_and_rotation_are_as_configured() {
    let bench = Bench::with(with_rules(RefreshRules {
        rotation: Rotation::Never,
        absolute: Some(Duration::from_secs(1000)),
        idle: Some(Duration::from_secs(400)),
    }))
    .await;
    let token = offline(&bench).await.refresh_token.unwrap();
    for _ in 0..2 {
        bench.clock.pass(399);
        let again = refresh(&bench, &token, "").await.tokens();
        assert_eq!(again.refresh_token.as_ref(), Some(&token));
    }
    bench.clock.pass(202);
    let seen = refresh(&bench, &token, "").await;
    assert_eq!(seen.error(), (400, "invalid_grant".into()), "absolute");
    let token = offline(&bench).await.refresh_token.unwrap();
    bench.clock.pass(400);
    let seen = refresh(&bench, &token, "").await;
    assert_eq!(seen.error(), (400, "invalid_grant".into()), "idle");
}

#[tokio::test]
async fn a_code_that_comes_again_takes_back_all_that_it_brought() {
    let bench = Bench::new().await;
    let query = STOCK.replace("+openid", "+openid+offline_access");
    let code = bench.code(&query).await;
    let tokens = bench.redeem(&code).await.tokens();
    let token = tokens.refresh_token.unwrap();
    let later = refresh(&bench, &token, "").await.tokens();
    assert_eq!(
        user_info(&bench, &tokens.access_token).await,
        StatusCode::OK
    );
    let other = bench.redeem(&bench.code(STOCK).await).await.tokens();
    assert_eq!(
        bench.redeem(&code).await.error(),
        (400, "invalid_grant".into())
    );
    for dead in [&tokens.access_token, &later.access_token] {
        assert_eq!(user_info(&bench, dead).await, StatusCode::UNAUTHORIZED);
        assert!(!is_active(&bench, dead).await);
    }
    let token = later.refresh_token.unwrap();
    assert_eq!(
        refresh(&bench, &token, "").await.error(),
        (400, "invalid_grant".into())
    );
    assert_eq!(user_info(&bench, &other.access_token).await, StatusCode::OK);
    // Long after the code itself has expired.
    bench.clock.pass(3600);
    bench.provider.maintain().await.unwrap();
    assert_eq!(
        user_info(&bench, &tokens.access_token).await,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn revoking_ends_a_token_or_its_whole_grant() {
    let bench = Bench::new().await;
    let tokens = offline(&bench).await;
    let (access, token) = (tokens.access_token, tokens.refresh_token.unwrap());
    let next = refresh(&bench, &token, "").await.tokens();
    // One access token by itself.
    assert_eq!(
        told(&bench, "/dex/token/revoke", &access).await.status,
        StatusCode::OK
    );
    assert_eq!(user_info(&bench, &access).await, StatusCode::UNAUTHORIZED);
    assert_eq!(user_info(&bench, &next.access_token).await, StatusCode::OK);
    // The refresh token with all that came of the grant.
    let token = next.refresh_token.unwrap();
    assert!(is_active(&bench, &token).await);
    assert_eq!(
        told(&bench, "/dex/token/revoke", &token).await.status,
        StatusCode::OK
    );
    assert_eq!(
        refresh(&bench, &token, "").await.error(),
        (400, "invalid_grant".into())
    );
    assert_eq!(
        user_info(&bench, &next.access_token).await,
        StatusCode::UNAUTHORIZED
    );
    for unknown in ["x", "x.y", "a.b.c", &access] {
        assert_eq!(
            told(&bench, "/dex/token/revoke", unknown).await.status,
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn nobody_revokes_or_reads_the_tokens_of_another_client() {
    let bench = Bench::new().await;
    let tokens = offline(&bench).await;
    let as_other = [("client_id", "other"), ("client_secret", SECRET)];
    for token in [&tokens.access_token, tokens.refresh_token.as_ref().unwrap()] {
        let form = [("token", token.as_str()), as_other[0], as_other[1]];
        assert_eq!(
            bench.post("/dex/token/revoke", &form).await.status,
            StatusCode::OK
        );
        assert!(is_active(&bench, token).await);
        let seen = bench.post("/dex/token/introspect", &form).await;
        assert_eq!(
            seen.body.replace(char::is_whitespace, ""),
            r#"{"active":false}"#
        );
    }
    for endpoint in ["/dex/token/revoke", "/dex/token/introspect"] {
        let form = [("token", tokens.access_token.as_str())];
        assert_eq!(
            bench.post(endpoint, &form).await.error(),
            (401, "invalid_client".into())
        );
        assert_eq!(
            bench.get(endpoint).await.error(),
            (400, "invalid_request".into())
        );
        let seen = told(&bench, endpoint, "").await;
        assert_eq!(seen.error(), (400, "invalid_request".into()));
        let twice = bench.send(posting(endpoint), "token=a&token=b").await;
        assert_eq!(twice.error(), (400, "invalid_request".into()));
    }
}

#[tokio::test]
async fn introspection_has_dexs_shape_and_can_be_open() {
    let mut settings = fixture::settings();
    settings.protocol.introspection = Introspection::Open;
    let bench = Bench::with(settings).await;
    let tokens = offline(&bench).await;
    let form = [("token", tokens.access_token.as_str())];
    let seen = bench.post("/dex/token/introspect", &form).await;
    let read: Map<String, Value> = serde_json::from_str(&seen.body).unwrap();
    assert_eq!(read["active"], true);
    assert_eq!(
        (&read["client_id"], &read["aud"]),
        (&"kubeflow".into(), &"kubeflow".into())
    );
    assert_eq!(
        (&read["token_type"], &read["token_use"]),
        (&"Bearer".into(), &"access_token".into())
    );
    assert_eq!(read["nbf"], read["iat"]);
    assert_eq!(read["ext"]["email"], "user@example.com");
    let form = [("token", tokens.refresh_token.as_deref().unwrap())];
    let seen = bench.post("/dex/token/introspect", &form).await;
    let read: Map<String, Value> = serde_json::from_str(&seen.body).unwrap();
    assert_eq!(
        (&read["active"], &read["token_use"]),
        (&true.into(), &"refresh_token".into())
    );
    bench.clock.pass(86_400);
    assert!(!is_active(&bench, &tokens.access_token).await);
}

#[tokio::test]
async fn strict_access_tokens_are_of_their_own_kind() {
    let mut jwt = fixture::settings();
    jwt.clients[0].rules.access_tokens = AccessTokenForm::Rfc9068;
    let mut strict = fixture::settings();
    strict.protocol.conformance = Conformance::Strict;
    let query = STOCK.replace("&prompt=none", "");
    for settings in [jwt, strict.clone()] {
        let bench = Bench::with(settings).await;
        let tokens = bench.redeem(&bench.code(&query).await).await.tokens();
        let kind = jose::peek_header(&tokens.access_token).unwrap().1;
        assert_eq!(kind.as_deref(), Some("at+jwt"));
        let claims = bench.claims(&tokens.access_token).await;
        assert_eq!(claims["client_id"], "kubeflow");
        assert_eq!(claims["scope"], "openid email profile groups");
        for absent in ["nonce", "at_hash"] {
            assert_eq!(claims.get(absent), None);
        }
    }
    let bench = Bench::with(strict).await;
    let tokens = bench.redeem(&bench.code(&query).await).await.tokens();
    assert_eq!(tokens.token_type, "Bearer");
    let id_token = tokens.id_token.unwrap();
    assert_eq!(user_info(&bench, &id_token).await, StatusCode::UNAUTHORIZED);
    let request = Request::get("/dex/userinfo")
        .header("authorization", format!("Bearer {}", tokens.access_token));
    let seen = bench.send(request, "").await;
    let told: Map<String, Value> = serde_json::from_str(&seen.body).unwrap();
    assert_eq!(told["email"], "user@example.com");
    for about_token in ["aud", "exp", "scope", "jti"] {
        assert_eq!(told.get(about_token), None);
    }
    // In the body of a POST, too (RFC 6750 §2.2).
    let form = [("access_token", tokens.access_token.as_str())];
    assert_eq!(
        bench.post("/dex/userinfo", &form).await.status,
        StatusCode::OK
    );
}
