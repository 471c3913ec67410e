//! How clients prove who they are, end to end; and keys while they change.

use model::snapshot::{ClientAuthentication, SignatureAlgorithm};
use oidc::jose::{SigningAlgorithm, SigningKey, sign_with_secret};
use serde_json::json;

use super::*;

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Redeems a code with an assertion.
async fn assert_client(bench: &Bench, token: &str) -> Seen {
    let code = bench.code(STOCK).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", "/oauth2/callback"),
        ("client_assertion_type", ASSERTION),
        ("client_assertion", token),
    ];
    bench.post("/dex/token", &form).await
}

#[tokio::test]
async fn an_assertion_is_good_once_for_every_algorithm() {
    for algorithm in SigningAlgorithm::ALL {
        let key = SigningKey::generate_for(algorithm, "k".into()).unwrap();
        let mut settings = fixture::settings();
        settings.clients[0].rules.authentication = ClientAuthentication::PrivateKeyJwt;
        settings.clients[0].rules.keys = Some(json!({ "keys": [key.jwk()] }).to_string().into());
        let bench = Bench::with(settings).await;
        let now = bench.provider.now().seconds();
        let assertion = |audience: &str, id: &str| {
            let claims = json!({
                "iss": "kubeflow", "sub": "kubeflow", "aud": audience, "jti": id, "exp": now + 60,
            });
            key.sign(claims.as_object().unwrap()).unwrap()
        };
        let endpoint = format!("{}/token", fixture::ISSUER);
        let good = assertion(&endpoint, "1");
        assert_eq!(assert_client(&bench, &good).await.status, StatusCode::OK);
        let wrong = (401, "invalid_client".to_owned());
        assert_eq!(assert_client(&bench, &good).await.error(), wrong);
        let other = assertion(fixture::ISSUER, "2");
        assert_eq!(assert_client(&bench, &other).await.status, StatusCode::OK);
        let elsewhere = assertion("https://elsewhere/token", "3");
        assert_eq!(assert_client(&bench, &elsewhere).await.error(), wrong);
        // Its secret is no proof for it.
        let code = bench.code(STOCK).await;
        assert_eq!(bench.redeem(&code).await.error(), wrong);
    }
}

#[tokio::test]
async fn a_secret_can_sign_an_assertion() {
    let mut settings = fixture::settings();
    settings.clients[0].rules.authentication = ClientAuthentication::SecretJwt;
    let bench = Bench::with(settings).await;
    let claims = json!({
        "iss": "kubeflow", "sub": "kubeflow", "aud": fixture::ISSUER, "jti": "1",
        "exp": bench.provider.now().seconds() + 60,
    });
    let claims = claims.as_object().unwrap();
    let good = sign_with_secret(claims, SECRET.as_bytes()).unwrap();
    assert_eq!(assert_client(&bench, &good).await.status, StatusCode::OK);
    let forged = sign_with_secret(claims, b"guess").unwrap();
    assert_eq!(
        assert_client(&bench, &forged).await.error(),
        (401, "invalid_client".into())
    );
}

#[tokio::test]
async fn an_unknown_kind_of_assertion_is_an_invalid_request() {
    let bench = Bench::new().await;
    let form = [
        ("grant_type", "authorization_code"),
        ("client_assertion_type", "urn:x"),
        ("client_assertion", "a.b.c"),
    ];
    assert_eq!(
        bench.post("/dex/token", &form).await.error(),
        (400, "invalid_request".into())
    );
}

#[tokio::test]
async fn a_client_uses_its_grants_only() {
    let mut settings = fixture::settings();
    settings.clients[0].rules.grants = Some(vec![model::snapshot::GrantType::RefreshToken]);
    let bench = Bench::with(settings).await;
    let seen = bench.redeem("x").await;
    assert_eq!(seen.error(), (400, "unauthorized_client".into()));
}

#[tokio::test]
async fn each_algorithm_signs_and_is_the_one_that_discovery_names() {
    for (setting, alg) in [
        (SignatureAlgorithm::Rs256, "RS256"),
        (SignatureAlgorithm::Ps256, "PS256"),
        (SignatureAlgorithm::Es256, "ES256"),
        (SignatureAlgorithm::EdDsa, "EdDSA"),
    ] {
        let mut settings = fixture::settings();
        settings.protocol.signature = setting;
        let bench = Bench::with(settings).await;
        let discovery = bench.get("/dex/.well-known/openid-configuration").await;
        let read: Value = serde_json::from_str(&discovery.body).unwrap();
        assert_eq!(read["id_token_signing_alg_values_supported"], json!([alg]));
        let tokens = bench.redeem(&bench.code(STOCK).await).await.tokens();
        let id_token = tokens.id_token.unwrap();
        assert_eq!(jose::peek_header(&id_token).unwrap().0, alg);
        let claims = bench.claims(&id_token).await;
        let algorithm = SigningAlgorithm::parse(alg).unwrap();
        let hash = algorithm.left_half_hash(&tokens.access_token);
        assert_eq!(claims["at_hash"], hash);
    }
}

/// Verifiers as they are: each keeps the key set it fetched for as long as it may. Tokens are taken
/// and checked without a pause while keys change, by schedule, by wish, and to another algorithm.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_keys_change_under_load_no_verifier_rejects_a_token() {
    let bench = Bench::new().await;
    bench.provider.maintain().await.unwrap();
    let mut settings = fixture::settings();
    settings.protocol.signature = SignatureAlgorithm::Es256;
    let curve = bench.reconfigured(settings);
    // A second process on the same database, which has not heard of anything.
    let path = bench.dir.path().join("provider.db");
    let second = Store::open(&path, &SeededRandomness::default()).await;
    let second = Arc::new(second.unwrap());
    let beside = |settings: &Arc<Settings>| {
        let (store, clock) = (Arc::clone(&second), Arc::clone(&bench.clock));
        let randomness = Arc::clone(&bench.provider.randomness);
        Provider::new(Arc::clone(settings), store, clock as _, randomness)
    };
    let before = (
        Arc::clone(&bench.provider),
        beside(&bench.provider.settings),
    );
    let after = (Arc::clone(&curve), beside(&curve.settings));
    before.1.prepare().await.unwrap();
    let start = bench.provider.now();
    let mut cached = (start, bench.get("/dex/keys").await.body);
    let mut tokens: Vec<(model::names::Timestamp, String)> = Vec::new();
    let mut signers = std::collections::BTreeSet::new();
    for turn in 0..130 {
        bench.clock.pass(300);
        let now = bench.provider.now();
        let (first, second) = if turn < 100 { &before } else { &after };
        first.maintain().await.unwrap();
        if turn == 20 {
            let issuer = fixture::ISSUER;
            let wanted = bench
                .store
                .want_rotation(issuer, bench.provider.randomness())
                .await;
            assert!(wanted.unwrap().is_some());
        }
        if now.seconds() - cached.0.seconds() >= 600 {
            cached = (now, bench.get("/dex/keys").await.body);
        }
        let claims = json!({"iss": fixture::ISSUER, "exp": now.seconds() + 86_400});
        for provider in [&**first, second] {
            let keys = provider.keys().await.unwrap();
            signers.insert(keys.signer.kid().to_owned());
            tokens.push((now, keys.signer.sign(claims.as_object().unwrap()).unwrap()));
        }
        // It looks at the database as often as its upkeep runs.
        second.maintain().await.unwrap();
        let known = KeySet::from_json(&cached.1).unwrap();
        tokens.retain(|(made, _)| now.seconds() - made.seconds() < 86_400);
        for (made, token) in &tokens {
            let age = now.seconds() - made.seconds();
            assert!(
                jose::verify(token, &known).is_ok(),
                "turn {turn}, age {age}"
            );
        }
    }
    assert!(signers.len() >= 4, "{}", signers.len());
    let last = bench.provider.keys().await.unwrap();
    assert_eq!(last.signer.algorithm(), SigningAlgorithm::Es256);
}
