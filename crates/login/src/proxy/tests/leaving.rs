//! The ways to the issuer, and how the client proves who it is there.

use data_encoding::{BASE64, BASE64URL_NOPAD};
use model::names::Secret;
use model::snapshot::{LoginClientAuth, WhenOffered};
use oidc::jose::{KeySet, SigningKey, peek, verify};

use super::*;
use crate::fixture::ISSUER;

fn discovered(login: &mut Login) {
    login.login_url = None;
    login.redeem_url = None;
    login.jwks_url = None;
}

fn offer(bench: &Bench, members: Value) {
    let members = members.as_object().unwrap().clone();
    bench.issuer.misbehave(|quirks| quirks.offers = members);
}

fn query(url: &str) -> Vec<(String, String)> {
    let query = url.split_once('?').unwrap().1;
    url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

fn names(url: &str) -> Vec<String> {
    query(url).into_iter().map(|(name, _)| name).collect()
}

/// A key, and the settings that name it.
fn signer() -> (KeySet, LoginClientAuth) {
    let key = SigningKey::generate("ours".to_owned()).unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        BASE64.encode(key.pkcs8())
    );
    let set = KeySet::from_json(&json!({"keys": [key.jwk()]}).to_string()).unwrap();
    let auth = LoginClientAuth::PrivateKeyJwt {
        key: Secret::new(pem),
        key_id: Some("ours".into()),
    };
    (set, auth)
}

async fn way(bench: &Bench) -> Response<Bytes> {
    bench.get("/oauth2/start?rd=/x", &Browser::default()).await
}

#[tokio::test]
async fn a_request_is_pushed_where_the_issuer_offers_it() {
    for secret in [true, false] {
        let bench = Bench::with(|login| {
            discovered(login);
            if !secret {
                login.client_secret = Secret::new([]);
            }
        })
        .await;
        offer(
            &bench,
            json!({"pushed_authorization_request_endpoint": format!("{ISSUER}/par")}),
        );
        let url = location(&way(&bench).await);
        assert_eq!(names(&url), ["client_id", "request_uri"], "{url}");
        let pushed = bench.issuer.forms.lock().unwrap().pop().unwrap();
        let get = |name| parameter(&pushed, name).unwrap_or_default();
        assert_eq!(get("response_type"), "code");
        assert_eq!(get("code_challenge_method"), "S256");
        // As any request for authorization does, however the client proves itself (RFC 9126 §2.1).
        assert_eq!(get("client_id"), bench.login.client_id.as_ref());
        assert_eq!(pushed.matches("client_id=").count(), 1, "{pushed}");
    }
}

#[tokio::test]
async fn an_issuer_that_takes_no_pushed_request_gets_a_plain_one_unless_that_is_forbidden() {
    let endpoint = json!({"pushed_authorization_request_endpoint": format!("{ISSUER}/par")});
    let must = json!({
        "pushed_authorization_request_endpoint": format!("{ISSUER}/par"),
        "require_pushed_authorization_requests": true,
    });
    for (setting, offers, refuses, works) in [
        (WhenOffered::Auto, &endpoint, true, true),
        (WhenOffered::Auto, &must, true, false),
        (WhenOffered::Auto, &must, false, true),
        (WhenOffered::Always, &endpoint, true, false),
        (WhenOffered::Always, &json!({}), false, false),
        (WhenOffered::Never, &endpoint, false, true),
        (WhenOffered::Never, &must, false, false),
    ] {
        let bench = Bench::with(|login| {
            discovered(login);
            login.pushed_requests = setting;
        })
        .await;
        offer(&bench, offers.clone());
        bench
            .issuer
            .misbehave(|quirks| quirks.refuses_pushed = refuses);
        let answer = way(&bench).await;
        let case = format!("{setting:?} {offers} {refuses}");
        assert_eq!(answer.status() == 302, works, "{case}");
        assert!(
            works || body(&answer).contains("cannot be used right now"),
            "{case}"
        );
    }
}

#[tokio::test]
async fn a_request_is_signed_with_the_clients_key_where_that_is_offered() {
    let (keys, auth) = signer();
    let bench = Bench::with(|login| {
        discovered(login);
        login.client_auth = auth.clone();
    })
    .await;
    offer(&bench, json!({"request_parameter_supported": true}));
    let url = location(&way(&bench).await);
    assert_eq!(
        names(&url),
        ["client_id", "response_type", "scope", "request"]
    );
    let request = query(&url).pop().unwrap().1;
    let claims = verify(&request, &keys).unwrap();
    assert_eq!(claims["iss"], "kubeflow-oidc-authservice");
    assert_eq!(claims["aud"], ISSUER);
    assert_eq!(claims["response_type"], "code");
    assert!(claims["exp"].as_i64().unwrap() <= NOW.seconds() + 60);
    assert!(claims.contains_key("nonce") && !claims.contains_key("sub"));

    for (offers, signed) in [
        (json!({}), false),
        (
            json!({"request_parameter_supported": true, "request_object_signing_alg_values_supported": ["ES256"]}),
            false,
        ),
        (json!({"require_signed_request_object": true}), true),
    ] {
        let bench = Bench::with(|login| {
            discovered(login);
            login.client_auth = auth.clone();
        })
        .await;
        offer(&bench, offers.clone());
        let url = location(&way(&bench).await);
        assert_eq!(
            names(&url).contains(&"request".to_owned()),
            signed,
            "{offers}"
        );
    }
    // Without a key nothing can be signed.
    let bench = Bench::with(|login| {
        discovered(login);
        login.signed_requests = WhenOffered::Always;
    })
    .await;
    assert_eq!(way(&bench).await.status(), 502);
}

#[tokio::test]
async fn a_client_with_a_key_proves_itself_by_a_statement_of_its_own() {
    let (keys, auth) = signer();
    let bench = Bench::with(|login| {
        discovered(login);
        login.client_auth = auth;
        login.signed_requests = WhenOffered::Never;
    })
    .await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        assert_eq!(bench.sign_in(&mut Browser::default(), "/x").await, "/x");
        let form = bench.issuer.forms.lock().unwrap().pop().unwrap();
        assert_eq!(parameter(&form, "client_secret"), None);
        let assertion = parameter(&form, "client_assertion").unwrap();
        let claims = verify(&assertion, &keys).unwrap();
        assert_eq!(claims["iss"], "kubeflow-oidc-authservice");
        assert_eq!(claims["sub"], claims["iss"]);
        assert_eq!(claims["aud"], ISSUER);
        ids.push(claims["jti"].clone());
    }
    assert_ne!(ids[0], ids[1]);
    let spoiled = Bench::with(|login| {
        login.client_auth = LoginClientAuth::PrivateKeyJwt {
            key: Secret::new("no key"),
            key_id: None,
        };
    })
    .await;
    let mut browser = Browser::default();
    let back = spoiled.leave(&mut browser, "/x").await;
    assert_eq!(spoiled.get(&back, &browser).await.status(), 500);
}

#[tokio::test]
async fn a_client_whose_way_is_settled_tries_no_other() {
    for (auth, refuses_basic, works) in [
        (LoginClientAuth::SecretBasic, false, true),
        (LoginClientAuth::SecretBasic, true, false),
        (LoginClientAuth::SecretPost, true, true),
        (LoginClientAuth::Tls, false, false),
    ] {
        let case = format!("{auth:?} {refuses_basic}");
        let bench = Bench::with(|login| login.client_auth = auth).await;
        bench
            .issuer
            .misbehave(|quirks| quirks.refuses_basic = refuses_basic);
        let mut browser = Browser::default();
        let back = bench.leave(&mut browser, "/x").await;
        let answer = bench.get(&back, &browser).await;
        assert_eq!(answer.status() == 302, works, "{case}");
        let asked = bench
            .issuer
            .token_requests
            .load(std::sync::atomic::Ordering::SeqCst);
        assert_eq!(asked, 1, "{case}");
    }
}

#[test]
fn an_unsigned_statement_is_not_ours() {
    let none = BASE64URL_NOPAD.encode(br#"{"alg":"none"}"#);
    let token = format!("{none}.{}.", BASE64URL_NOPAD.encode(b"{}"));
    assert!(peek(&token).is_ok());
    assert!(verify(&token, &signer().0).is_err());
}
