//! What the check and the user info say.

use super::*;

#[tokio::test]
async fn auth_says_yes_no_and_not_you() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    let nobody = bench.get("/oauth2/auth", &browser).await;
    assert_eq!(
        (nobody.status().as_u16(), body(&nobody).as_str()),
        (401, "Unauthorized\n")
    );
    assert!(!nobody.headers().contains_key("cache-control"));
    bench.sign_in(&mut browser, "/").await;
    let answer = bench
        .get("/oauth2/auth?allowed_groups=team-z,team-b", &browser)
        .await;
    assert_eq!(
        (answer.status().as_u16(), body(&answer).as_str()),
        (202, "")
    );
    assert!(!answer.headers().contains_key("cache-control"));
    assert_eq!(answer.headers()["x-auth-request-user"], "Cg1");
    assert_eq!(answer.headers()["x-auth-request-email"], "user@example.com");
    assert_eq!(answer.headers()["x-auth-request-groups"], "team-a,team-b");
    assert_eq!(
        answer.headers()["x-auth-request-preferred-username"],
        "user"
    );
    assert_eq!(answer.headers()["gap-auth"], "user@example.com");
    assert!(
        answer.headers()["authorization"]
            .to_str()
            .unwrap()
            .starts_with("Bearer ey")
    );
    assert!(!answer.headers().contains_key("x-auth-request-access-token"));
    let answer = bench
        .get("/oauth2/auth?allowed_emails=other@example.com", &browser)
        .await;
    assert_eq!(
        (answer.status().as_u16(), body(&answer).as_str()),
        (403, "Forbidden\n")
    );
}

#[tokio::test]
async fn auth_takes_a_bearer_token_of_the_issuer_and_no_other() {
    let bench = Bench::new().await;
    let ask = async |value: String| {
        let mut request = http::Request::get("/oauth2/auth")
            .body(Bytes::new())
            .unwrap();
        *request.headers_mut() = Browser::default().headers();
        request
            .headers_mut()
            .insert("authorization", HeaderValue::from_str(&value).unwrap());
        bench.proxy.handle(request).await.status().as_u16()
    };
    let now = NOW.seconds();
    assert_eq!(
        ask(format!("Bearer {}", bench.issuer.token(json!({})))).await,
        202
    );
    assert_eq!(
        ask(format!(
            "Bearer {}",
            bench.issuer.token(json!({"email": null}))
        ))
        .await,
        202
    );
    for claims in [
        json!({"aud": "o"}),
        json!({"iss": "o"}),
        json!({"exp": now - 61}),
        json!({"email_verified": false}),
    ] {
        assert_eq!(
            ask(format!("Bearer {}", bench.issuer.token(claims))).await,
            401
        );
    }
    assert_eq!(
        ask(format!("bearer {}", bench.issuer.token(json!({})))).await,
        401
    );
    assert_eq!(ask("Basic dXNlcjpwYXNz".to_owned()).await, 401);
}

#[tokio::test]
async fn userinfo_is_json_about_the_person() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    assert_eq!(bench.get("/oauth2/userinfo", &browser).await.status(), 401);
    bench.sign_in(&mut browser, "/").await;
    let answer = bench.get("/oauth2/userinfo", &browser).await;
    assert!(is_uncached(&answer));
    assert_eq!(
        serde_json::from_slice::<Value>(answer.body()).unwrap(),
        json!({
            "user": "Cg1", "email": "user@example.com", "groups": ["team-a", "team-b"],
            "preferredUsername": "user",
        })
    );
}
