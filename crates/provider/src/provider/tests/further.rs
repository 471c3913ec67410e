//! Sign-out, devices, pushed and signed requests, proofs of possession, and the grants without a
//! browser.

use std::sync::Mutex;

use model::names::Duration;
use model::snapshot::{GrantType, RequestRule, SessionRules, TokenBinding};
use oidc::jose::{SigningAlgorithm, SigningKey};
use serde_json::json;

use super::*;
use crate::clients::possession_proof as proof;
use crate::notices::{Courier, Taken};

fn remembering() -> Settings {
    let mut settings = fixture::settings();
    settings.protocol.sessions = Some(SessionRules {
        cookie: "dex_session".into(),
        absolute: Duration::from_secs(86_400),
        idle: Duration::from_secs(3600),
    });
    let rules = &mut settings.clients[0].rules;
    rules.after_logout = vec!["https://app/bye".into()];
    rules.back_channel_logout = Some("https://app/ended".into());
    settings.protocol.grants.push(GrantType::ClientCredentials);
    settings
}

/// A client that takes what is sent to it at the second time.
#[derive(Default)]
struct Slow(Mutex<Vec<(String, String)>>);

impl Courier for Slow {
    fn post(&self, address: &str, form: String) -> Taken<'_> {
        let mut seen = self.0.lock().unwrap();
        seen.push((address.to_owned(), form));
        let taken = seen.len() > 1;
        Box::pin(std::future::ready(taken))
    }
}

/// Signs in and gives the cookie and the tokens.
async fn signed_in(bench: &Bench) -> (String, TokenResponse) {
    let query = STOCK.replace("&prompt=none", "");
    let done = bench.sign_in_at(&bench.login_address(&query).await).await;
    let cookie = done
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let code = done.location_form().text("code").to_owned();
    (cookie, bench.redeem(&code).await.tokens())
}

async fn leave(bench: &Bench, cookie: &str, query: &str) -> Seen {
    let request = Request::get(format!("/dex/logout?{query}")).header("cookie", cookie);
    bench.send(request, "").await
}

async fn is_remembered(bench: &Bench, cookie: &str) -> bool {
    let request = Request::get(format!("/dex/auth?{STOCK}")).header("cookie", cookie);
    bench.send(request, "").await.told().2.is_empty()
}

#[tokio::test]
async fn a_hint_signs_out_and_leads_back() {
    let bench = Bench::with(remembering()).await;
    let (cookie, tokens) = signed_in(&bench).await;
    assert!(is_remembered(&bench, &cookie).await);
    let hint = tokens.id_token.unwrap();
    bench.clock.pass(90_000);
    // The hint may have expired; the sign-in has, too, and all the same people are led back.
    let back = crate::form::query(&[
        ("id_token_hint", hint.as_str()),
        ("post_logout_redirect_uri", "https://app/bye"),
        ("state", "a b"),
    ]);
    let seen = leave(&bench, &cookie, &back).await;
    assert_eq!(seen.location(), "https://app/bye?state=a+b");
    let (cookie, tokens) = signed_in(&bench).await;
    let hint = tokens.id_token.unwrap();
    let seen = leave(&bench, &cookie, &format!("id_token_hint={hint}")).await;
    assert_eq!((seen.status, seen.location()), (StatusCode::OK, ""));
    assert!(
        seen.header("set-cookie")
            .starts_with("dex_session=; Max-Age=0")
    );
    assert!(!is_remembered(&bench, &cookie).await);
}

#[tokio::test]
async fn without_a_hint_the_person_is_asked() {
    let bench = Bench::with(remembering()).await;
    let (cookie, _) = signed_in(&bench).await;
    let page = leave(&bench, &cookie, "").await;
    assert!(page.body.contains("user@example.com"));
    assert!(is_remembered(&bench, &cookie).await);
    let answer = page.attribute("name=\"sign_out\"", "value");
    let sent = |answer: &str, cookie: &str| {
        let body = crate::form::query(&[("sign_out", answer)]);
        (posting("/dex/logout").header("cookie", cookie), body)
    };
    let (request, body) = sent("forged", &cookie);
    bench.send(request, &body).await;
    assert!(is_remembered(&bench, &cookie).await);
    // Another session's answer is no answer.
    let (other, _) = signed_in(&bench).await;
    let (request, body) = sent(&answer, &other);
    bench.send(request, &body).await;
    assert!(is_remembered(&bench, &other).await);
    let (request, body) = sent(&answer, &cookie);
    bench.send(request, &body).await;
    assert!(!is_remembered(&bench, &cookie).await);
    assert_eq!(leave(&bench, "", "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn nothing_wrong_is_redirected() {
    let bench = Bench::with(remembering()).await;
    let (cookie, tokens) = signed_in(&bench).await;
    let hint = tokens.id_token.unwrap();
    for query in [
        "post_logout_redirect_uri=https://app/bye".to_owned(),
        format!("id_token_hint={hint}&post_logout_redirect_uri=https://app/bye/"),
        format!("id_token_hint={hint}x&post_logout_redirect_uri=https://app/bye"),
        format!("id_token_hint={hint}&client_id=other"),
        "client_id=other&post_logout_redirect_uri=https://app/bye".to_owned(),
        "id_token_hint=a.b.c".to_owned(),
        "state=a&state=b".to_owned(),
    ] {
        let seen = leave(&bench, &cookie, &query).await;
        let told = (seen.status, seen.location());
        assert_eq!(told, (StatusCode::BAD_REQUEST, ""), "{query}");
    }
    assert!(is_remembered(&bench, &cookie).await);
}

#[tokio::test]
async fn clients_are_told_until_they_take_it() {
    let bench = Bench::with(remembering()).await;
    let courier = Arc::new(Slow::default());
    let (cookie, tokens) = signed_in(&bench).await;
    let hint = tokens.id_token.unwrap();
    let claims = bench.claims(&hint).await;
    leave(&bench, &cookie, &format!("id_token_hint={hint}")).await;
    let telling = (*bench.provider)
        .clone()
        .with_courier(Arc::clone(&courier) as _);
    telling.tell().await.unwrap();
    telling.tell().await.unwrap();
    assert_eq!(courier.0.lock().unwrap().len(), 1, "not before its time");
    bench.clock.pass(30);
    telling.maintain().await.unwrap();
    bench.clock.pass(3600);
    telling.maintain().await.unwrap();
    let seen = courier.0.lock().unwrap().clone();
    assert_eq!(seen.len(), 2, "taken is taken");
    assert_eq!(seen[0].0, "https://app/ended");
    let form = Form::parse(seen[1].1.as_bytes()).unwrap();
    let token = form.text("logout_token");
    assert_eq!(
        jose::peek_header(token).unwrap().1.as_deref(),
        Some("logout+jwt")
    );
    let told = bench.claims(token).await;
    for same in ["iss", "sub", "sid", "aud"] {
        assert_eq!(told[same], claims[same], "{same}");
    }
    assert_eq!(told.get("nonce"), None);
    let event = "http://schemas.openid.net/event/backchannel-logout";
    assert_eq!(told["events"], json!({ event: {} }));
}

#[tokio::test]
async fn front_channel_clients_are_shown_in_frames() {
    let mut settings = remembering();
    settings.clients[0].rules.front_channel_logout = Some("https://app/frame?x=1".into());
    let bench = Bench::with(settings).await;
    let (cookie, tokens) = signed_in(&bench).await;
    let hint = tokens.id_token.unwrap();
    let sid = bench.claims(&hint).await["sid"]
        .as_str()
        .unwrap()
        .to_owned();
    let query = format!("id_token_hint={hint}&post_logout_redirect_uri=https://app/bye");
    let seen = leave(&bench, &cookie, &query).await;
    let frame = seen.attribute("title=\"An application", "src");
    assert!(
        frame.starts_with("https://app/frame?x=1&iss=http"),
        "{frame}"
    );
    assert!(frame.ends_with(&format!("&sid={sid}")));
    assert!(
        seen.header("content-security-policy")
            .contains("frame-src https://app;")
    );
    assert!(seen.body.contains("2;url=https://app/bye"));
}

const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

async fn device(bench: &Bench, form: &[(&str, &str)]) -> Value {
    let seen = bench.post("/dex/device/code", form).await;
    assert_eq!(
        (seen.status, seen.header("cache-control")),
        (StatusCode::OK, "no-store")
    );
    serde_json::from_str(&seen.body).unwrap()
}

async fn ask(bench: &Bench, device: &Value, more: &[(&str, &str)]) -> Seen {
    let code = device["device_code"].as_str().unwrap();
    let mut form = vec![("grant_type", DEVICE), ("device_code", code)];
    form.extend_from_slice(more);
    bench.post("/dex/token", &form).await
}

/// From the code's form to the end of the sign-in's answer.
async fn decide(bench: &Bench, device: &Value, decision: &str) -> Seen {
    let code = device["user_code"].as_str().unwrap().to_lowercase();
    let verified = bench
        .post("/dex/device/auth/verify_code", &[("user_code", &code)])
        .await;
    assert_eq!(verified.status, StatusCode::FOUND, "{}", verified.body);
    assert!(!verified.location().contains("secret"));
    let begun = bench
        .get(&verified.location().replace("/auth?", "/auth/local?"))
        .await;
    let asked = bench.sign_in_at(begun.location()).await;
    assert!(
        asked.location().starts_with("/dex/approval?"),
        "{}",
        asked.location()
    );
    let done = bench
        .post(asked.location(), &[("approval", decision)])
        .await;
    assert!(
        done.location().starts_with("/dex/device/callback?"),
        "{}",
        done.location()
    );
    bench.get(done.location()).await
}

#[tokio::test]
async fn a_device_waits_for_its_person() {
    let bench = Bench::new().await;
    let client = [("client_id", "cli")];
    let verifier = Verifier::from_random([7; 32]);
    let challenge = verifier.challenge_s256();
    let form = [
        client[0],
        ("scope", "openid email offline_access"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let waiting = device(&bench, &form).await;
    assert_eq!(
        (&waiting["interval"], &waiting["expires_in"]),
        (&json!(5), &json!(300))
    );
    let code = waiting["user_code"].as_str().unwrap();
    let complete = format!("{}/device?user_code={code}", fixture::ISSUER);
    assert_eq!(waiting["verification_uri_complete"], complete);
    let page = bench.get(&format!("/dex/device?user_code={code}")).await;
    assert_eq!(page.attribute("id=\"user_code\"", "value"), code);

    let bad = |code: &str| (400, code.to_owned());
    assert_eq!(
        ask(&bench, &waiting, &client).await.error(),
        bad("authorization_pending")
    );
    assert_eq!(
        ask(&bench, &waiting, &client).await.error(),
        bad("slow_down")
    );
    bench.clock.pass(10);
    assert_eq!(
        ask(&bench, &waiting, &client).await.error(),
        bad("authorization_pending")
    );
    let done = decide(&bench, &waiting, "approve").await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    assert_eq!(
        ask(&bench, &waiting, &client).await.error(),
        bad("invalid_grant")
    );
    let proof = [client[0], ("code_verifier", verifier.as_str())];
    let other = [("client_id", "other"), proof[1]];
    assert_eq!(
        ask(&bench, &waiting, &other).await.error(),
        bad("invalid_grant")
    );
    let tokens = ask(&bench, &waiting, &proof).await.tokens();
    let claims = bench.claims(tokens.id_token.as_ref().unwrap()).await;
    assert_eq!(
        (&claims["aud"], &claims["email"]),
        (&json!("cli"), &json!("user@example.com"))
    );
    assert!(tokens.refresh_token.is_some());
    assert_eq!(
        ask(&bench, &waiting, &proof).await.error(),
        bad("invalid_grant"),
        "once"
    );
}

#[tokio::test]
async fn devices_are_refused_as_the_rfc_says() {
    let bench = Bench::new().await;
    let client = [("client_id", "cli")];
    let bad = |code: &str| (400, code.to_owned());
    let waiting = device(&bench, &client).await;
    let done = decide(&bench, &waiting, "rejected").await;
    assert_eq!(done.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        ask(&bench, &waiting, &client).await.error(),
        bad("access_denied")
    );
    let waiting = device(&bench, &client).await;
    bench.clock.pass(300);
    assert_eq!(
        ask(&bench, &waiting, &client).await.error(),
        bad("expired_token")
    );
    let code = waiting["user_code"].as_str().unwrap();
    for code in [code, "AAAA-AAAA", "x"] {
        let seen = bench
            .post("/dex/device/auth/verify_code", &[("user_code", code)])
            .await;
        assert_eq!(seen.status, StatusCode::BAD_REQUEST);
        assert_eq!(seen.attribute("id=\"code-error\"", "role"), "alert");
    }
    let none = bench.post("/dex/device/auth/verify_code", &[]).await;
    assert_eq!(none.status, StatusCode::BAD_REQUEST);
    let unknown = ask(&bench, &json!({"device_code": "x"}), &client).await;
    assert_eq!(unknown.error(), bad("invalid_grant"));
    let missing = bench
        .post("/dex/token", &[("grant_type", DEVICE), client[0]])
        .await;
    assert_eq!(missing.error(), bad("invalid_request"));
    for (form, error) in [
        (vec![("client_id", "nobody")], (401, "invalid_client")),
        (
            vec![("client_id", "kubeflow"), ("client_secret", "guess")],
            (401, "invalid_client"),
        ),
        (vec![client[0], ("scope", "email")], (400, "invalid_scope")),
        (
            vec![
                client[0],
                ("code_challenge", "x"),
                ("code_challenge_method", "S1"),
            ],
            (400, "invalid_request"),
        ),
    ] {
        let seen = bench.post("/dex/device/code", &form).await;
        assert_eq!(seen.error(), (error.0, error.1.into()), "{form:?}");
    }
    // Guessing codes is slowed down.
    for _ in 0..10 {
        bench
            .post(
                "/dex/device/auth/verify_code",
                &[("user_code", "AAAA-AAAA")],
            )
            .await;
    }
    let fresh = device(&bench, &client).await;
    let code = fresh["user_code"].as_str().unwrap();
    let closed = bench
        .post("/dex/device/auth/verify_code", &[("user_code", code)])
        .await;
    assert_eq!(closed.status, StatusCode::TOO_MANY_REQUESTS);
    // A code of another client is not for the device.
    let path = "/dex/device/callback?code=x&state=".to_owned() + code;
    assert_eq!(bench.get(&path).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        bench.get("/dex/device/callback").await.status,
        StatusCode::BAD_REQUEST
    );
}

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
