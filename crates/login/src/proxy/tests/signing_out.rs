//! Signing out at the issuer, and because the issuer says so.

use super::*;
use crate::fixture::ISSUER;

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

async fn with_end(change: impl FnOnce(&mut Login)) -> Bench {
    let bench = Bench::with(|login| {
        login.login_url = None;
        login.redeem_url = None;
        login.jwks_url = None;
        login.logout_path = Some("/logout".into());
        change(login);
    })
    .await;
    let offers = json!({"end_session_endpoint": format!("{ISSUER}/end")});
    let offers = offers.as_object().unwrap().clone();
    bench.issuer.misbehave(|quirks| quirks.offers = offers);
    bench
}

async fn is_in(bench: &Bench, browser: &Browser) -> bool {
    let now = model::seams::Clock::now(&*bench.clock);
    let headers = browser.headers();
    let person = bench.sessions.person(&headers, &bench.login, now);
    person.await.is_ok()
}

#[tokio::test]
async fn the_logout_path_ends_the_session_here_and_at_the_issuer() {
    let bench = with_end(|_| {}).await;
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    let thief = browser.clone();
    let answer = bench.get("/logout?rd=/bye", &browser).await;
    let url = location(&answer);
    let query = url.strip_prefix(&format!("{ISSUER}/end?")).unwrap();
    let get = |name| parameter(query, name).unwrap_or_default();
    let claims = oidc::jose::peek(&get("id_token_hint")).unwrap();
    assert_eq!(claims["sub"], "Cg1");
    assert_eq!(get("client_id"), "kubeflow-oidc-authservice");
    let back = "http://kubeflow.example:8080/oauth2/signed_out";
    assert_eq!(get("post_logout_redirect_uri"), back);
    assert_eq!(get("state"), "/bye");
    browser.take(&answer);
    assert!(browser.cookies.is_empty());
    assert!(!is_in(&bench, &thief).await);
    // Back from the issuer.
    let answer = bench.get("/oauth2/signed_out?state=%2Fbye", &browser).await;
    assert_eq!(location(&answer), "/bye");
    for state in [
        "",
        "?state=//evil.example",
        "?state=https://evil.example",
        "?state=x",
    ] {
        let page = bench
            .get(&format!("/oauth2/signed_out{state}"), &browser)
            .await;
        assert_eq!(page.status(), 200, "{state}");
        assert!(body(&page).contains("You are signed out"), "{state}");
        assert!(!body(&page).contains("evil"), "{state}");
        assert!(is_uncached(&page));
    }
}

#[tokio::test]
async fn sign_out_goes_to_the_issuer_where_the_settings_say_so_and_it_can() {
    type Change = fn(&mut Login);
    let cases: [(Change, bool, bool); 4] = [
        (|login| login.logout_at_issuer = false, false, false),
        (|login| login.logout_at_issuer = true, false, true),
        (|login| login.logout_at_issuer = true, true, false),
        (
            |login| {
                login.logout_at_issuer = true;
                login.login_url = Some("/dex/auth".into());
            },
            false,
            false,
        ),
    ];
    for (number, (change, is_down, leaves)) in cases.into_iter().enumerate() {
        let bench = with_end(change).await;
        let mut browser = Browser::default();
        bench.sign_in(&mut browser, "/").await;
        bench.clock.advance(Duration::from_secs(3));
        if is_down {
            // What is known of it is forgotten with the process.
            bench.issuer.misbehave(|quirks| {
                quirks.down = true;
                quirks.offers.clear();
            });
        }
        let answer = bench.get("/oauth2/sign_out?rd=/bye", &browser).await;
        let left = location(&answer).starts_with(ISSUER);
        // A document that is held still says where sessions end.
        assert_eq!(left, leaves || is_down, "{number}");
        assert!(!is_in(&bench, &browser).await, "{number}");
    }
    // Nobody is signed in: nobody is sent anywhere.
    let bench = with_end(|_| {}).await;
    let answer = bench.get("/logout?rd=/bye", &Browser::default()).await;
    assert_eq!(location(&answer), "/bye");
}

#[tokio::test]
async fn the_back_end_is_told_who_signs_out() {
    let bench = Bench::with(|login| {
        login.backend_logout_url = Some("https://back.example/end?hint={id_token}".into());
    })
    .await;
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    let answer = bench.get("/oauth2/sign_out", &browser).await;
    assert_eq!(location(&answer), "/", "its answer changes nothing");
    let asked = bench.issuer.asked.lock().unwrap().pop().unwrap();
    assert!(
        asked.starts_with("https://back.example/end?hint=ey"),
        "{asked}"
    );
}

async fn tell(bench: &Bench, token: &str) -> Response<Bytes> {
    let form = format!("logout_token={token}");
    let mut request = http::Request::post("/oauth2/backchannel_logout")
        .body(Bytes::from(form))
        .unwrap();
    *request.headers_mut() = Browser::default().headers();
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert(CONTENT_TYPE, kind);
    bench.proxy.handle(request).await
}

fn logout_token(bench: &Bench, changes: Value) -> String {
    let mut claims = json!({
        "jti": "order-1", "events": {EVENT: {}}, "sub": null, "email": null, "groups": null,
        "exp": model::seams::Clock::now(&*bench.clock).seconds() + 120,
    });
    let claims = claims.as_object_mut().unwrap();
    claims.extend(changes.as_object().unwrap().clone());
    bench.issuer.token(Value::Object(claims.clone()))
}

#[tokio::test]
async fn the_issuer_ends_one_session_or_all_of_a_person() {
    let bench = Bench::new().await;
    let sid = json!({"sid": "s1"}).as_object().unwrap().clone();
    bench.issuer.misbehave(|quirks| quirks.claims = sid);
    let (mut one, mut two) = (Browser::default(), Browser::default());
    bench.sign_in(&mut one, "/").await;
    bench.issuer.misbehave(|quirks| quirks.claims.clear());
    bench.sign_in(&mut two, "/").await;
    let by_sid = logout_token(&bench, json!({"sid": "s1"}));
    let answer = tell(&bench, &by_sid).await;
    assert_eq!(answer.status(), 200, "{}", body(&answer));
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert!(!is_in(&bench, &one).await && is_in(&bench, &two).await);
    // The same order again is a replay.
    assert_eq!(tell(&bench, &by_sid).await.status(), 400);
    let by_sub = logout_token(&bench, json!({"sub": "Cg1", "jti": "order-2"}));
    assert_eq!(tell(&bench, &by_sub).await.status(), 200);
    assert!(!is_in(&bench, &two).await);
    // Somebody who has no session here is signed out already.
    let nobody = logout_token(&bench, json!({"sub": "nobody", "jti": "order-3"}));
    assert_eq!(tell(&bench, &nobody).await.status(), 200);
}

#[tokio::test]
async fn an_order_is_signed_with_an_algorithm_that_is_taken() {
    for (taken, status) in [("RS256", 200), ("ES256", 400)] {
        let bench = Bench::with(|login| login.signing_algorithms = vec![taken.into()]).await;
        let order = logout_token(&bench, json!({"sub": "Cg1"}));
        assert_eq!(tell(&bench, &order).await.status(), status, "{taken}");
    }
}

#[tokio::test]
async fn what_is_no_order_of_the_issuer_ends_nothing() {
    let bench = Bench::new().await;
    let sid = json!({"sid": "s1"}).as_object().unwrap().clone();
    bench.issuer.misbehave(|quirks| quirks.claims = sid);
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    let good = json!({"sid": "s1"});
    let now = NOW.seconds();
    let mut bad = vec![
        String::new(),
        "x".to_owned(),
        "A".repeat(65_536),
        // An ID token, which applications see.
        bench.issuer.token(json!({"sid": "s1", "nonce": "n"})),
        bench.issuer.token(json!({"sid": "s1"})),
    ];
    for changes in [
        json!({"iss": "https://other.example"}),
        json!({"aud": "other"}),
        json!({"exp": now - 61}),
        json!({"iat": now + 61}),
        json!({"events": {}}),
        json!({"nonce": "n"}),
        json!({"jti": null}),
        json!({"sid": null}),
    ] {
        let mut claims = good.clone();
        claims
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        bad.push(logout_token(&bench, claims));
    }
    bench.issuer.misbehave(|quirks| quirks.stranger = true);
    bad.push(logout_token(&bench, good.clone()));
    bench.issuer.misbehave(|quirks| quirks.stranger = false);
    let signed = logout_token(&bench, good.clone());
    let (front, _) = signed.rsplit_once('.').unwrap();
    bad.push(format!("{front}."));
    let (_, claims) = front.split_once('.').unwrap();
    bad.push(format!("eyJhbGciOiJub25lIn0.{claims}."));
    for token in bad {
        let answer = tell(&bench, &token).await;
        let shown = token.get(..60).unwrap_or(&token);
        assert_eq!(answer.status(), 400, "{shown}");
        assert!(body(&answer).contains("invalid_request"), "{shown}");
        assert!(is_in(&bench, &browser).await, "{shown}");
    }
    // Only a form that is posted is an order.
    let address = format!("/oauth2/backchannel_logout?logout_token={signed}");
    assert_eq!(bench.get(&address, &browser).await.status(), 405);
    assert!(is_in(&bench, &browser).await);
    assert_eq!(tell(&bench, &signed).await.status(), 200);
    assert!(!is_in(&bench, &browser).await);
}

#[tokio::test]
async fn a_frame_of_the_issuer_ends_the_session_that_it_names() {
    let bench = Bench::new().await;
    let sid = json!({"sid": "s1"}).as_object().unwrap().clone();
    bench.issuer.misbehave(|quirks| quirks.claims = sid);
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    let issuer: String = byte_serialize(ISSUER.as_bytes()).collect();
    for query in [
        String::new(),
        "?sid=s1".to_owned(),
        format!("?iss={issuer}"),
        format!("?iss={issuer}&sid="),
        format!("?iss={issuer}&sid=s2"),
        "?iss=https%3A%2F%2Fother.example&sid=s1".to_owned(),
    ] {
        let path = format!("/oauth2/frontchannel_logout{query}");
        let answer = bench.get(&path, &Browser::default()).await;
        assert_eq!(answer.status(), 200);
        assert!(is_in(&bench, &browser).await, "{query}");
    }
    let path = format!("/oauth2/frontchannel_logout?iss={issuer}&sid=s1");
    let answer = bench.get(&path, &Browser::default()).await;
    let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert_eq!(
        policy,
        "default-src 'none'; frame-ancestors http://dex.auth.svc.cluster.local:5556"
    );
    assert!(is_uncached(&answer));
    assert!(!is_in(&bench, &browser).await);
}
