//! Pushed and signed requests, proofs of possession, and the grants without a browser.

use model::snapshot::{RequestRule, TokenBinding};
use oidc::jose::{SigningAlgorithm, SigningKey};
use serde_json::json;

use super::leaving::remembering;
use super::*;
use crate::clients::possession_proof as proof;

async fn push(bench: &Bench, query: &str) -> Seen {
    let credentials = BASE64.encode(format!("kubeflow:{SECRET}").as_bytes());
    let request = posting("/dex/par").header("authorization", format!("Basic {credentials}"));
    bench.send(request, query).await
}

#[tokio::test]
async fn a_pushed_request_is_answered_once_and_only_for_its_client() {
    let mut settings = fixture::settings();
    settings.clients[0].rules.requests = RequestRule::Pushed;
    let bench = Bench::with(settings).await;
    let seen = push(&bench, STOCK).await;
    assert_eq!(
        (seen.status, seen.header("cache-control")),
        (StatusCode::CREATED, "no-store")
    );
    let pushed: Value = serde_json::from_str(&seen.body).unwrap();
    assert_eq!(pushed["expires_in"], 90);
    let uri = pushed["request_uri"].as_str().unwrap();
    let query = crate::form::query(&[("client_id", "kubeflow"), ("request_uri", uri)]);
    let code = bench.code(&query).await;
    assert_eq!(bench.redeem(&code).await.status, StatusCode::OK);
    // Used, another client's, unknown, too old, and not pushed at all.
    let begin = async |query: &str| bench.get(&format!("/dex/auth/local?{query}")).await;
    assert_eq!(begin(&query).await.status, StatusCode::BAD_REQUEST);
    let seen = push(&bench, STOCK).await;
    let pushed: Value = serde_json::from_str(&seen.body).unwrap();
    let uri = pushed["request_uri"].as_str().unwrap();
    let query = |client: &str, uri: &str| {
        crate::form::query(&[("client_id", client), ("request_uri", uri)])
    };
    for (client, uri) in [("other", uri), ("kubeflow", &format!("{uri}x"))] {
        assert_eq!(
            begin(&query(client, uri)).await.status,
            StatusCode::BAD_REQUEST
        );
    }
    assert_eq!(
        begin(&query("kubeflow", uri)).await.status,
        StatusCode::FOUND
    );
    bench.clock.pass(90);
    assert_eq!(
        begin(&query("kubeflow", uri)).await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(begin(STOCK).await.told().2, "invalid_request");
    for (query, error) in [
        (STOCK.replace("callback", "elsewhere"), "invalid_request"),
        (STOCK.replace("+openid", ""), "invalid_scope"),
        (format!("{STOCK}&request_uri=urn:x"), "invalid_request"),
        (format!("{STOCK}&state=again"), "invalid_request"),
        (format!("{STOCK}&request=x"), "request_not_supported"),
    ] {
        assert_eq!(
            push(&bench, &query).await.error(),
            (400, error.into()),
            "{query}"
        );
    }
    let stranger = bench.send(posting("/dex/par"), STOCK).await;
    assert_eq!(stranger.error(), (401, "invalid_client".into()));
}

#[tokio::test]
async fn a_signed_request_counts_and_a_forged_one_is_told_to_the_client() {
    let key = SigningKey::generate_for(SigningAlgorithm::Es256, "k".into()).unwrap();
    let mut settings = fixture::settings();
    settings.clients[0].rules.keys = Some(json!({ "keys": [key.jwk()] }).to_string().into());
    let bench = Bench::with(settings).await;
    let claims = json!({"iss": "kubeflow", "aud": fixture::ISSUER, "nonce": "inner"});
    let object = key.sign(claims.as_object().unwrap()).unwrap();
    let code = bench.code(&format!("{STOCK}&request={object}")).await;
    let tokens = bench.redeem(&code).await.tokens();
    assert_eq!(
        bench.claims(&tokens.id_token.unwrap()).await["nonce"],
        "inner"
    );
    let seen = bench
        .get(&format!("/dex/auth/local?{STOCK}&request={object}x"))
        .await;
    assert_eq!(seen.told().2, "invalid_request_object");
    let elsewhere = STOCK.replace("callback", "elsewhere");
    let seen = bench
        .get(&format!("/dex/auth/local?{elsewhere}&request=x"))
        .await;
    assert_eq!(
        (seen.status, seen.location()),
        (StatusCode::BAD_REQUEST, "")
    );
}

#[tokio::test]
async fn bound_tokens_need_their_key() {
    let key = SigningKey::generate_for(SigningAlgorithm::Es256, "k".into()).unwrap();
    let mut settings = fixture::settings();
    settings.clients[0].rules.binding = TokenBinding::Demanded;
    let bench = Bench::with(settings).await;
    let now = bench.provider.now().seconds();
    let address = |path: &str| format!("{}{path}", fixture::ISSUER);
    let made = |id: &str, method: &str, path: &str, token: Option<&str>| {
        let mut claims = json!({"htm": method, "htu": address(path), "iat": now, "jti": id});
        if let Some(token) = token {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
            claims["ath"] = data_encoding::BASE64URL_NOPAD
                .encode(digest.as_ref())
                .into();
        }
        proof(&key, "dpop+jwt", &claims)
    };
    let code = bench.code(STOCK).await;
    let redeem = async |proof: Option<&str>| {
        let credentials = BASE64.encode(format!("kubeflow:{SECRET}").as_bytes());
        let mut request =
            posting("/dex/token").header("authorization", format!("Basic {credentials}"));
        if let Some(proof) = proof {
            request = request.header("dpop", proof);
        }
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", "/oauth2/callback"),
        ];
        bench.send(request, &crate::form::query(&form)).await
    };
    let bad = (400, "invalid_dpop_proof".to_owned());
    assert_eq!(redeem(None).await.error(), bad);
    assert_eq!(redeem(Some("x")).await.error(), bad);
    assert_eq!(
        redeem(Some(&made("1", "GET", "/token", None)))
            .await
            .error(),
        bad
    );
    let good = made("2", "POST", "/token", None);
    let tokens = redeem(Some(&good)).await.tokens();
    assert_eq!(
        redeem(Some(&good)).await.error(),
        bad,
        "a proof is good once"
    );
    assert_eq!(tokens.token_type, "DPoP");
    let token = tokens.access_token.as_str();
    let claims = bench.claims(token).await;
    assert_eq!(claims["cnf"]["jkt"], jose::thumbprint(&key.jwk()).unwrap());
    let id_token = bench.claims(tokens.id_token.as_ref().unwrap()).await;
    assert_eq!(id_token.get("cnf"), None);
    let user_info = async |scheme: &str, proof: Option<String>| {
        let request = Request::get("/dex/userinfo");
        let mut request = request.header("authorization", format!("{scheme} {token}"));
        if let Some(proof) = proof {
            request = request.header("dpop", proof);
        }
        bench.send(request, "").await.status
    };
    let right = made("3", "GET", "/userinfo", Some(token));
    assert_eq!(
        user_info("Bearer", Some(right.clone())).await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(user_info("DPoP", None).await, StatusCode::UNAUTHORIZED);
    let tokenless = made("4", "GET", "/userinfo", None);
    assert_eq!(
        user_info("DPoP", Some(tokenless)).await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(user_info("DPoP", Some(right.clone())).await, StatusCode::OK);
    assert_eq!(
        user_info("DPoP", Some(right)).await,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_client_gets_tokens_for_itself() {
    let bench = Bench::with(remembering()).await;
    let grant = ("grant_type", "client_credentials");
    let tokens = bench.token(&[grant]).await.tokens();
    assert_eq!((tokens.id_token, tokens.refresh_token), (None, None));
    let claims = bench.claims(&tokens.access_token).await;
    assert_eq!(claims["sub"], crate::subject::subject("kubeflow", ""));
    let tokens = bench.token(&[grant, ("scope", "openid")]).await.tokens();
    assert!(tokens.id_token.is_some());
    for (form, error) in [
        (vec![grant, ("scope", "offline_access")], "invalid_scope"),
        (vec![grant, ("scope", "federated:id")], "invalid_scope"),
    ] {
        assert_eq!(bench.token(&form).await.error(), (400, error.into()));
    }
    let public = bench
        .post("/dex/token", &[grant, ("client_id", "cli")])
        .await;
    assert_eq!(public.error(), (400, "unauthorized_client".into()));
}

#[tokio::test]
async fn tokens_are_exchanged_for_who_trusts_the_client() {
    const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
    const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
    let bench = Bench::new().await;
    let tokens = bench.redeem(&bench.code(STOCK).await).await.tokens();
    let id_token = tokens.id_token.unwrap();
    let exchange = async |more: &[(&str, &str)]| {
        let mut form = vec![
            ("grant_type", EXCHANGE),
            ("subject_token", id_token.as_str()),
            ("subject_token_type", ID_TOKEN),
        ];
        form.extend_from_slice(more);
        bench.token(&form).await
    };
    let first = bench.claims(&id_token).await;
    bench.clock.pass(100);
    let seen = exchange(&[("audience", "peer")]).await.tokens();
    let issued = "urn:ietf:params:oauth:token-type:access_token";
    assert_eq!(seen.issued_token_type.as_deref(), Some(issued));
    assert_eq!((seen.id_token, seen.refresh_token), (None, None));
    let claims = bench.claims(&seen.access_token).await;
    assert_eq!(claims["aud"], json!(["peer", "kubeflow"]));
    assert_eq!(
        (&claims["sub"], &claims["exp"]),
        (&first["sub"], &first["exp"])
    );
    assert_eq!(claims["email"], "user@example.com");
    let seen = exchange(&[("requested_token_type", ID_TOKEN)])
        .await
        .tokens();
    assert_eq!(seen.token_type, "N_A");
    for (more, error) in [
        (("audience", "other"), "invalid_target"),
        (("actor_token", "x"), "invalid_request"),
        (("requested_token_type", "urn:x"), "invalid_request"),
        (("scope", "offline_access"), "invalid_scope"),
        (("connector_id", "local"), "invalid_request"),
    ] {
        assert_eq!(
            exchange(&[more]).await.error(),
            (400, error.into()),
            "{more:?}"
        );
    }
    // Another client's token is worth nothing here.
    let form = [
        ("grant_type", EXCHANGE),
        ("subject_token", id_token.as_str()),
        ("subject_token_type", ID_TOKEN),
        ("client_id", "other"),
        ("client_secret", SECRET),
    ];
    assert_eq!(
        bench.post("/dex/token", &form).await.error(),
        (400, "invalid_request".into())
    );
    bench.clock.pass(86_400);
    assert_eq!(exchange(&[]).await.error(), (400, "invalid_request".into()));
}
