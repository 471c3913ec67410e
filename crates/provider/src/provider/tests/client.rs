//! The client's way: codes and refresh tokens for tokens, and every refusal on it.

use oidc::id_token::{self, Expected};
use oidc::jose::left_half_hash;

use super::*;

#[tokio::test]
async fn the_stock_flow_with_pkce_gives_the_tokens_that_kubeflow_needs() {
    let bench = Bench::new().await;
    let verifier = Verifier::from_random([7; 32]);
    let challenge = verifier.challenge_s256();
    let query = format!("{STOCK}&code_challenge={challenge}&code_challenge_method=S256");
    let code = bench.code(&query).await;
    let seen = bench
        .token(&[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", "/oauth2/callback"),
            ("code_verifier", verifier.as_str()),
        ])
        .await;
    let tokens = seen.tokens();
    assert_eq!(tokens.token_type, "bearer");
    assert_eq!(tokens.expires_in, Some(86_400));
    assert_eq!((&tokens.refresh_token, &tokens.scope), (&None, &None));

    let claims = bench.claims(tokens.id_token.as_ref().unwrap()).await;
    let expected = Expected {
        issuer: fixture::ISSUER,
        client_id: "kubeflow",
        extra_audiences: &[],
        nonce: Some("n"),
        now: bench.provider.now().seconds(),
        leeway_seconds: 0,
    };
    assert_eq!(id_token::check(&claims, &expected), Ok(()));
    assert_eq!(claims["sub"], "Cg4xNTg0MTE4NTY0MTc4NBIFbG9jYWw");
    assert_eq!(claims["email"], "user@example.com");
    assert_eq!(claims["email_verified"], true);
    assert_eq!(claims["name"], "user");
    assert_eq!(claims["groups"], serde_json::json!(["team-a", "team-b"]));
    assert_eq!(claims["at_hash"], left_half_hash(&tokens.access_token));
    assert_eq!(claims["c_hash"], left_half_hash(&code));

    let access = bench.claims(&tokens.access_token).await;
    assert_eq!(
        (&access["aud"], &access["sub"]),
        (&claims["aud"], &claims["sub"])
    );
    assert_ne!(access["jti"], claims["jti"]);
}

#[tokio::test]
async fn credentials_may_stand_in_the_form() {
    let bench = Bench::new().await;
    let code = bench.code(STOCK).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", "/oauth2/callback"),
        ("client_id", "kubeflow"),
        ("client_secret", SECRET),
    ];
    assert_eq!(bench.post("/dex/token", &form).await.status, StatusCode::OK);
}

#[tokio::test]
async fn requests_that_say_nothing_useful_are_refused() {
    let bench = Bench::new().await;
    assert_eq!(
        bench.get("/dex/token").await.error(),
        (400, "invalid_request".into())
    );
    assert_eq!(
        bench.token(&[]).await.error(),
        (400, "invalid_request".into())
    );
    let repeated = bench
        .token(&[("grant_type", "a"), ("grant_type", "b")])
        .await;
    assert_eq!(repeated.error(), (400, "invalid_request".into()));
    // The grant type counts before the client does.
    for grant in ["password", "client_credentials"] {
        let seen = bench.post("/dex/token", &[("grant_type", grant)]).await;
        assert_eq!(
            seen.error(),
            (400, "unsupported_grant_type".into()),
            "{grant}"
        );
    }
    let no_code = bench.token(&[("grant_type", "authorization_code")]).await;
    assert_eq!(no_code.error(), (400, "invalid_request".into()));
    let no_token = bench.token(&[("grant_type", "refresh_token")]).await;
    assert_eq!(no_token.error(), (400, "invalid_request".into()));
}

#[tokio::test]
async fn wrong_clients_are_401_in_the_scheme_they_used() {
    let bench = Bench::new().await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", "x"),
        ("client_id", "kubeflow"),
    ];
    let seen = bench.post("/dex/token", &form).await;
    assert_eq!(seen.error(), (401, "invalid_client".into()));
    assert_eq!(seen.header("www-authenticate"), "");
    let basic = |plain: &str| {
        let value = format!("Basic {}", BASE64.encode(plain.as_bytes()));
        posting("/dex/token").header("authorization", value)
    };
    let seen = bench
        .send(basic("kubeflow:wrong"), "grant_type=authorization_code")
        .await;
    assert_eq!(seen.error(), (401, "invalid_client".into()));
    assert!(seen.header("www-authenticate").starts_with("Basic "));
    let seen = bench
        .send(basic("kubeflow:%zz"), "grant_type=authorization_code")
        .await;
    assert_eq!(seen.error(), (400, "invalid_request".into()));
}

#[tokio::test]
async fn a_code_is_bound_and_failures_do_not_use_it_up() {
    let bench = Bench::new().await;
    let verifier = Verifier::from_random([7; 32]);
    let query = format!(
        "{STOCK}&code_challenge={}&code_challenge_method=S256",
        verifier.challenge_s256()
    );
    let code = bench.code(&query).await;
    let with = |redirect: &'static str, verifier: &'static str| {
        let code = code.clone();
        let bench = &bench;
        async move {
            bench
                .token(&[
                    ("grant_type", "authorization_code"),
                    ("code", &code),
                    ("redirect_uri", redirect),
                    ("code_verifier", verifier),
                ])
                .await
                .error()
        }
    };
    let grant = (400, "invalid_grant".to_owned());
    assert_eq!(with("/oauth2/callback", "").await, grant);
    assert_eq!(with("/oauth2/callback", "wrong").await, grant);
    assert_eq!(with("/elsewhere", "wrong").await, grant);
    assert_eq!(with("", "").await, grant);
    let other = bench
        .post(
            "/dex/token",
            &[
                ("grant_type", "authorization_code"),
                ("code", &code),
                ("redirect_uri", "/oauth2/callback"),
                ("code_verifier", verifier.as_str()),
                ("client_id", "other"),
                ("client_secret", SECRET),
            ],
        )
        .await;
    assert_eq!(other.error(), grant);

    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", "/oauth2/callback"),
        ("code_verifier", verifier.as_str()),
    ];
    assert_eq!(bench.token(&form).await.status, StatusCode::OK);
    assert_eq!(bench.token(&form).await.error(), grant);
}

#[tokio::test]
async fn a_verifier_nobody_asked_for_and_an_old_code_are_refused() {
    let bench = Bench::new().await;
    let code = bench.code(STOCK).await;
    let unasked = bench
        .token(&[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", "/oauth2/callback"),
            ("code_verifier", "x"),
        ])
        .await;
    assert_eq!(unasked.error(), (400, "invalid_request".into()));
    bench.clock.pass(600);
    assert_eq!(
        bench.redeem(&code).await.error(),
        (400, "invalid_grant".into())
    );
    assert_eq!(
        bench.redeem("unknown").await.error(),
        (400, "invalid_grant".into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_concurrent_redemptions_exactly_one_gets_tokens() {
    let bench = Arc::new(Bench::new().await);
    let code = bench.code(STOCK).await;
    let racers: Vec<_> = (0..8)
        .map(|_| {
            let (bench, code) = (Arc::clone(&bench), code.clone());
            tokio::spawn(async move { bench.redeem(&code).await })
        })
        .collect();
    let mut won = 0;
    for racer in racers {
        let seen = racer.await.unwrap();
        if seen.status == StatusCode::OK {
            won += 1;
        } else {
            assert_eq!(seen.error(), (400, "invalid_grant".into()));
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn a_sign_in_that_began_before_a_restart_ends_after_it() {
    let bench = Bench::new().await;
    let address = bench.login_address(STOCK).await;
    let code = bench.code(STOCK).await;
    let keys = bench.get("/dex/keys").await.body;
    let store = Arc::new(
        Store::open(
            &bench.dir.path().join("provider.db"),
            &SeededRandomness::default(),
        )
        .await
        .unwrap(),
    );
    let again = Bench {
        provider: Arc::new(Provider::new(
            Arc::new(fixture::settings()),
            Arc::clone(&store),
            Arc::clone(&bench.clock) as _,
            Arc::clone(&bench.provider.randomness),
        )),
        store,
        clock: Arc::clone(&bench.clock),
        dir: TempDir::new().unwrap(),
    };
    assert_eq!(again.get("/dex/keys").await.body, keys);
    assert_eq!(again.redeem(&code).await.status, StatusCode::OK);
    assert_eq!(
        again.sign_in_at(&address).await.status,
        StatusCode::SEE_OTHER
    );
}

/// Tokens with a refresh token.
pub(super) async fn offline(bench: &Bench) -> TokenResponse {
    let code = bench
        .code(&STOCK.replace("+openid", "+openid+offline_access"))
        .await;
    bench.redeem(&code).await.tokens()
}

pub(super) async fn refresh(bench: &Bench, token: &str, scope: &str) -> Seen {
    bench
        .token(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("scope", scope),
        ])
        .await
}

#[tokio::test]
async fn refreshing_gives_new_tokens_with_the_old_nonce_and_sign_in_time() {
    let bench = Bench::new().await;
    let first = offline(&bench).await;
    let told = bench.claims(first.id_token.as_ref().unwrap()).await;
    bench.clock.pass(3600);
    let second = refresh(&bench, first.refresh_token.as_ref().unwrap(), "")
        .await
        .tokens();
    assert_ne!(second.refresh_token, first.refresh_token);
    let again = bench.claims(second.id_token.as_ref().unwrap()).await;
    for same in ["sub", "aud", "nonce", "auth_time", "email", "groups"] {
        assert_eq!(again[same], told[same], "{same}");
    }
    assert_eq!(
        again["iat"].as_i64(),
        told["iat"].as_i64().map(|iat| iat + 3600)
    );
    assert_eq!(again.get("c_hash"), None);

    let narrow = refresh(
        &bench,
        second.refresh_token.as_ref().unwrap(),
        "openid email",
    )
    .await;
    let narrow = bench.claims(&narrow.tokens().access_token).await;
    assert_eq!(
        (narrow["email"].as_str(), narrow.get("groups")),
        (Some("user@example.com"), None)
    );
}

#[tokio::test]
async fn refresh_tokens_that_are_not_good_are_refused() {
    let bench = Bench::new().await;
    let token = offline(&bench).await.refresh_token.unwrap();
    let grant = (400, "invalid_grant".to_owned());
    for bad in [
        "x",
        "x.y",
        token.split_once('.').unwrap().0,
        &format!("{token}x"),
    ] {
        assert_eq!(refresh(&bench, bad, "").await.error(), grant, "{bad}");
    }
    let wider = refresh(&bench, &token, "openid federated:id").await;
    assert_eq!(wider.error(), (400, "invalid_scope".into()));
    let other = bench
        .post(
            "/dex/token",
            &[
                ("grant_type", "refresh_token"),
                ("refresh_token", &token),
                ("client_id", "other"),
                ("client_secret", SECRET),
            ],
        )
        .await;
    assert_eq!(other.error(), grant);
    let next = refresh(&bench, &token, "")
        .await
        .tokens()
        .refresh_token
        .unwrap();
    bench.clock.pass(11);
    assert_eq!(refresh(&bench, &token, "").await.error(), grant);
    assert_eq!(
        refresh(&bench, &next, "").await.error(),
        grant,
        "the family ends with the theft"
    );
    let late = offline(&bench).await.refresh_token.unwrap();
    bench.clock.pass(90 * 86_400);
    assert_eq!(refresh(&bench, &late, "").await.error(), grant);
}

#[tokio::test]
async fn a_used_code_takes_its_refresh_token_along() {
    let bench = Bench::new().await;
    let code = bench
        .code(&STOCK.replace("+openid", "+openid+offline_access"))
        .await;
    let token = bench.redeem(&code).await.tokens().refresh_token.unwrap();
    assert_eq!(
        bench.redeem(&code).await.error(),
        (400, "invalid_grant".into())
    );
    assert_eq!(
        refresh(&bench, &token, "").await.error(),
        (400, "invalid_grant".into())
    );
}

#[tokio::test]
async fn a_removed_person_refreshes_no_more() {
    let bench = Bench::new().await;
    let token = offline(&bench).await.refresh_token.unwrap();
    let mut settings = fixture::settings();
    settings.passwords.clear();
    let (provider, store) = (bench.reconfigured(settings), Arc::clone(&bench.store));
    let without = Bench {
        provider,
        store,
        clock: Arc::clone(&bench.clock),
        dir: TempDir::new().unwrap(),
    };
    assert_eq!(
        refresh(&without, &token, "").await.error(),
        (400, "invalid_grant".into())
    );
    assert_eq!(
        refresh(&bench, &token, "").await.error(),
        (400, "invalid_grant".into())
    );
}
