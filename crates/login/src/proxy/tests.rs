mod asking;
mod choosing;
mod hostile;
mod leaving;
mod renewing;
mod signing_in;
mod signing_out;
mod user_info;

use http::Response;
use http::header::{ACCEPT, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH, SET_COOKIE};
use model::names::Duration;
use policy::decision::{SignIn, SignInAnswer};
use serde_json::{Value, json};

use super::*;
use crate::fixture::{Bench, Browser, ISSUER, NOW, body, location};
use crate::sessions::NewSession;

const COOKIE: &str = "oauth2_proxy_kubeflow";

fn set_cookies(answer: &Response<Bytes>) -> Vec<&str> {
    answer
        .headers()
        .get_all(SET_COOKIE)
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect()
}

fn asked(path: &str, browser: &Browser) -> Parts {
    let mut request = http::Request::get(path).body(()).unwrap();
    *request.headers_mut() = browser.headers();
    request.into_parts().0
}

fn sign_in(how: SignInAnswer, absence: NoSession) -> SignIn {
    SignIn {
        login: 0,
        how,
        absence,
    }
}

fn is_uncached(answer: &Response<Bytes>) -> bool {
    answer.headers()["cache-control"] == "no-cache, no-store, must-revalidate, max-age=0"
        && answer.headers()["x-accel-expires"] == "0"
        && answer.headers().contains_key("expires")
}

#[tokio::test]
async fn the_sign_in_page_is_a_form_without_scripts() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    let thief = browser.clone();
    let answer = bench
        .get("/oauth2/sign_in?rd=/a%3Fb%3D%22%3Cc", &browser)
        .await;
    assert_eq!(answer.status(), 200);
    assert!(is_uncached(&answer));
    let page = body(&answer);
    assert!(
        page.contains(r#"<form class="stack" method="get" action="/oauth2/start">"#),
        "{page}"
    );
    assert!(page.contains("Sign in with Dex"));
    assert!(page.contains(r#"<html lang="en">"#));
    assert!(!page.contains("<script") && !page.contains("style=") && !page.contains("\"<c"));
    let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert_eq!(
        policy,
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; \
         frame-ancestors 'none'; base-uri 'none'"
    );
    // Whoever sees the page is signed in no more.
    browser.take(&answer);
    assert!(browser.cookies.is_empty());
    assert!(
        bench
            .sessions
            .person(&thief.headers(), &bench.login, NOW)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn an_issuer_elsewhere_may_be_reached_by_the_form() {
    let bench =
        Bench::with(|login| login.login_url = Some("https://issuer.example/a".into())).await;
    let answer = bench.get("/oauth2/sign_in", &Browser::default()).await;
    let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(
        policy.contains("form-action 'self' https: http:;"),
        "{policy}"
    );
}

#[tokio::test]
async fn a_challenge_has_the_form_that_the_decision_says() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    browser.cookies.push((COOKIE.to_owned(), "old".to_owned()));
    let parts = asked("/notebook/a?b=https://c//d", &browser);
    let answer = async |how, absence| bench.proxy.challenge(&parts, &sign_in(how, absence)).await;

    let script = answer(SignInAnswer::Unauthorized, NoSession::NoCookie).await;
    assert_eq!(
        (script.status().as_u16(), body(&script).as_str()),
        (401, "{}")
    );
    assert_eq!(script.headers()[CONTENT_TYPE], "application/json");
    assert!(!script.headers().contains_key("www-authenticate"));

    let page = answer(SignInAnswer::Page, NoSession::Unknown).await;
    assert_eq!(page.status(), 403);
    assert!(is_uncached(&page));
    let target = r#"name="rd" value="/notebook/a?b=https://c//d""#;
    assert!(body(&page).contains(target), "{}", body(&page));
    assert_eq!(
        set_cookies(&page),
        ["oauth2_proxy_kubeflow=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"]
    );
    // A session that may be good is not thrown away because the store is down.
    let page = answer(SignInAnswer::Page, NoSession::StoreUnavailable).await;
    assert!(set_cookies(&page).is_empty());

    let redirect = answer(SignInAnswer::Redirect, NoSession::NoCookie).await;
    assert_eq!(redirect.status(), 302);
    let back = bench.issuer.authorize(&location(&redirect));
    browser.take(&redirect);
    assert_eq!(
        location(&bench.get(&back, &browser).await),
        "/notebook/a?b=https://c//d"
    );
}

#[tokio::test]
async fn a_challenge_below_the_prefix_comes_back_to_the_home_page() {
    let bench = Bench::new().await;
    let parts = asked("/oauth2/userinfo", &Browser::default());
    let page = bench
        .proxy
        .challenge(&parts, &sign_in(SignInAnswer::Page, NoSession::NoCookie))
        .await;
    assert!(body(&page).contains(r#"name="rd" value="/""#));
}

#[tokio::test]
async fn discovery_waits_until_somebody_signs_in_and_survives_an_issuer_that_is_down() {
    let bench = Bench::with(|login| {
        login.login_url = None;
        login.redeem_url = None;
        login.jwks_url = None;
    })
    .await;
    let fetched = || {
        bench
            .issuer
            .document_fetches
            .load(std::sync::atomic::Ordering::SeqCst)
    };
    let mut browser = Browser::default();
    bench.issuer.misbehave(|quirks| quirks.down = true);
    let parts = asked("/x?y", &browser);
    let how = sign_in(SignInAnswer::Redirect, NoSession::NoCookie);
    let page = sign_in(SignInAnswer::Page, NoSession::NoCookie);
    assert_eq!(bench.proxy.challenge(&parts, &page).await.status(), 403);
    assert_eq!(fetched(), 0);
    let answer = bench.proxy.challenge(&parts, &how).await;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "5");
    assert!(
        body(&answer).contains(r#"href="/oauth2/start?rd=%2Fx%3Fy""#),
        "{}",
        body(&answer)
    );

    bench.issuer.misbehave(|quirks| quirks.down = false);
    bench.clock.advance(Duration::from_secs(5));
    assert_eq!(bench.sign_in(&mut browser, "/x?y").await, "/x?y");
    assert_eq!(fetched(), 1);
    let answer = bench.proxy.challenge(&parts, &how).await;
    assert!(location(&answer).starts_with("http://dex.auth.svc.cluster.local:5556/dex/auth?"));
}

#[tokio::test]
async fn static_files_are_revalidated_and_other_names_do_not_exist() {
    let bench = Bench::new().await;
    let browser = Browser::default();
    let answer = bench.get("/oauth2/static/doorward.css", &browser).await;
    assert_eq!(answer.headers()[CONTENT_TYPE], "text/css; charset=utf-8");
    let mut request = http::Request::get("/oauth2/static/doorward.css")
        .body(Bytes::new())
        .unwrap();
    request
        .headers_mut()
        .insert(IF_NONE_MATCH, answer.headers()[ETAG].clone());
    assert_eq!(bench.proxy.handle(request).await.status(), 304);
    for path in [
        "/oauth2/static/../x",
        "/oauth2/static/",
        "/oauth2/",
        "/oauth2",
        "/oauth2x/start",
        "/",
    ] {
        assert_eq!(bench.get(path, &browser).await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn an_error_page_names_the_request_and_nothing_else() {
    let bench = Bench::new().await;
    let mut request = http::Request::get("/oauth2/callback?state=x")
        .body(Bytes::new())
        .unwrap();
    *request.headers_mut() = Browser::default().headers();
    request
        .headers_mut()
        .insert("x-request-id", HeaderValue::from_static("id-1<b>"));
    request
        .headers_mut()
        .insert(ACCEPT, HeaderValue::from_static("*/*"));
    let answer = bench.proxy.handle(request).await;
    assert!(
        body(&answer).contains("id-1&#60;b&#62;"),
        "{}",
        body(&answer)
    );
}

#[tokio::test]
async fn a_request_without_host_is_refused() {
    let bench = Bench::new().await;
    let request = http::Request::get("/oauth2/start")
        .body(Bytes::new())
        .unwrap();
    assert_eq!(bench.proxy.handle(request).await.status(), 400);
}

#[tokio::test]
async fn with_the_button_skipped_the_sign_in_page_is_the_way_to_the_issuer() {
    let bench = Bench::with(|login| login.skip_provider_button = true).await;
    let answer = bench
        .get("/oauth2/sign_in?rd=/x", &Browser::default())
        .await;
    assert!(location(&answer).starts_with("/dex/auth?"));
}

#[tokio::test]
async fn a_session_of_another_login_proxy_is_none_here() {
    let bench = Bench::new().await;
    let mut foreign = (*bench.login).clone();
    foreign.object.name = "another".into();
    let session = NewSession {
        login: foreign.key(),
        issuer: ISSUER.into(),
        sid: None,
        identity: crate::flow::identity::Identity {
            user: "u".to_owned(),
            email: "e@example.com".to_owned(),
            groups: Vec::new(),
            preferred_username: None,
        },
        id_token: bench.issuer.token(json!({})),
        access_token: None,
        shows_access_token: true,
        refresh_token: None,
        tokens: None,
        created: NOW,
        expires: NOW.plus(Duration::from_secs(60)),
    };
    let value = bench.sessions.begin(COOKIE, session).await.unwrap();
    let browser = Browser {
        cookies: vec![(COOKIE.to_owned(), value.text())],
    };
    assert!(
        bench
            .sessions
            .person(&browser.headers(), &Arc::new(foreign), NOW)
            .await
            .is_ok()
    );
    let here = bench
        .sessions
        .person(&browser.headers(), &bench.login, NOW)
        .await;
    assert_eq!(here.unwrap_err(), NoSession::Unknown);
}
