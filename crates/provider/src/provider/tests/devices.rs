//! RFC 8628.

use serde_json::json;

use super::*;

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
