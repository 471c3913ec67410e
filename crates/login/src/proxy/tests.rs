use http::Response;
use http::header::{ACCEPT, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH, SET_COOKIE};
use model::names::Duration;
use policy::decision::{SignIn, SignInAnswer};
use serde_json::{Value, json};

use super::*;
use crate::fixture::{Bench, Browser, NOW, body, location};
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
async fn a_person_signs_in_and_comes_back_to_where_they_were() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    let wanted = "/pipeline/?ns=team&next=https://elsewhere.example/x#/runs";
    assert_eq!(bench.sign_in(&mut browser, wanted).await, wanted);
    // Only the session is left, and it is short.
    assert_eq!(browser.cookies.len(), 1);
    let cookie = browser.cookie(COOKIE).unwrap();
    assert_eq!(cookie.len(), 64);
    let person = bench
        .sessions
        .person(&browser.headers(), &bench.login, NOW)
        .await
        .unwrap();
    assert_eq!(person.login(), "oauth2-proxy/oauth2-proxy");
    assert_eq!(person.user(), "Cg1");
    assert_eq!(person.email(), Some("user@example.com"));
    assert_eq!(person.groups(), ["team-a".into(), "team-b".into()]);
    assert_eq!(person.preferred_username(), Some("user"));
    assert_eq!(person.expires(), NOW.plus(Duration::from_secs(86_400)));
    assert_eq!(person.access_token().unwrap(), "at");
    assert_eq!(person.token().unwrap().subject(), "Cg1");
}

#[tokio::test]
async fn the_session_cookie_is_closed_to_scripts_and_under_200_bytes() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    let back = bench.leave(&mut browser, "/").await;
    let mut request = http::Request::get(&back).body(Bytes::new()).unwrap();
    *request.headers_mut() = browser.headers();
    request
        .headers_mut()
        .insert("x-forwarded-proto", HeaderValue::from_static("https"));
    let answer = bench.proxy.handle(request).await;
    assert!(is_uncached(&answer));
    let cookies = set_cookies(&answer);
    let session = cookies
        .iter()
        .find(|text| text.starts_with("oauth2_proxy_kubeflow="))
        .unwrap();
    assert!(session.ends_with("; Path=/; Max-Age=86400; HttpOnly; Secure; SameSite=Lax"));
    assert!(session.len() < 200, "{}", session.len());
    // The attempt is taken back in the same breath.
    assert!(
        cookies
            .iter()
            .any(|text| text.contains("_csrf=; Path=/; Max-Age=0;"))
    );
}

#[tokio::test]
async fn each_failure_of_the_callback_has_its_answer() {
    type Bend = fn(&str) -> String;
    let keep: Bend = |back| back.to_owned();
    let cases: Vec<(&str, u16, Bend)> = vec![
        ("error", 403, |back| format!("{back}&error=access_denied")),
        ("error before everything else", 403, |_| {
            "/oauth2/callback?error=x".to_owned()
        }),
        ("no state", 500, |back| {
            back.split("&state").next().unwrap().to_owned()
        }),
        ("malformed state", 500, |back| format!("{}x", back)),
        ("nothing at all", 500, |_| "/oauth2/callback".to_owned()),
        ("foreign state", 403, |back| {
            let (front, state) = back.split_once("state=").unwrap();
            format!("{front}state={}{}", &state[..8], "A".repeat(35))
        }),
        ("unknown state", 403, |_| {
            format!("/oauth2/callback?code=c&state={}", "A".repeat(43))
        }),
        ("another issuer", 403, |back| {
            format!("{back}&iss=https%3A%2F%2Fother")
        }),
        ("no code", 500, |back| back.replace("code=", "cade=")),
        ("empty code", 500, |back| back.replace("code-0", "")),
        ("wrong code", 500, |back| back.replace("code-0", "code-9")),
    ];
    for (case, status, bend) in cases {
        let bench = Bench::new().await;
        let mut browser = Browser::default();
        let back = bench.leave(&mut browser, "/x").await;
        let answer = bench.get(&bend(&back), &browser).await;
        assert_eq!(answer.status(), status, "{case}");
        assert!(is_uncached(&answer), "{case}");
        assert!(
            !set_cookies(&answer)
                .iter()
                .any(|text| text.contains("Max-Age=86400")),
            "{case}"
        );
        assert!(body(&answer).contains("/oauth2/sign_in"), "{case}");
    }
    let claims: Vec<(&str, u16, Value)> = vec![
        ("wrong nonce", 403, json!({"nonce": "other"})),
        ("no nonce", 403, json!({"nonce": null})),
        ("expired", 500, json!({"exp": NOW.seconds() - 61})),
        (
            "expired within the leeway",
            500,
            json!({"exp": NOW.seconds() - 1}),
        ),
        ("no expiry", 500, json!({"exp": null})),
        ("not yet", 500, json!({"iat": NOW.seconds() + 61})),
        ("wrong audience", 500, json!({"aud": "other"})),
        ("wrong issuer", 500, json!({"iss": "https://other"})),
        ("wrong access token", 500, json!({"at_hash": "other"})),
        ("no e-mail", 500, json!({"email": null})),
        ("unverified e-mail", 403, json!({"email_verified": false})),
        ("no subject", 500, json!({"sub": ""})),
    ];
    for (case, status, claims) in claims {
        let bench = Bench::new().await;
        bench
            .issuer
            .misbehave(|quirks| quirks.claims = claims.as_object().unwrap().clone());
        let mut browser = Browser::default();
        let back = bench.leave(&mut browser, "/x").await;
        let answer = bench.get(&back, &browser).await;
        assert_eq!(answer.status(), status, "{case}");
        browser.take(&answer);
        assert_eq!(browser.cookie(COOKIE), None, "{case}");
    }
    type Change = fn(&mut crate::fixture::Quirks);
    let quirks: [(&str, Change); 6] = [
        ("down", |quirks| quirks.down = true),
        ("stranger's signature", |quirks| quirks.stranger = true),
        ("refused", |quirks| quirks.refuses_codes = true),
        ("no JSON", |quirks| quirks.answer = Some("<html>")),
        ("no ID token", |quirks| {
            quirks.answer = Some(r#"{"access_token":"a","token_type":"bearer"}"#);
        }),
        ("no signature", |quirks| {
            quirks.answer = Some(
                r#"{"access_token":"a","token_type":"b","id_token":"eyJhbGciOiJub25lIn0.e30."}"#,
            );
        }),
    ];
    for (case, change) in quirks {
        let bench = Bench::new().await;
        let mut browser = Browser::default();
        let back = bench.leave(&mut browser, "/x").await;
        bench.issuer.misbehave(change);
        assert_eq!(bench.get(&back, &browser).await.status(), 500, "{case}");
    }
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    let back = bench.leave(&mut browser, "/x").await;
    assert_eq!(
        bench.get(&keep(&back), &Browser::default()).await.status(),
        403,
        "no cookie"
    );
    bench.clock.advance(LIFETIME);
    assert_eq!(bench.get(&back, &browser).await.status(), 403, "too late");
}

#[tokio::test]
async fn a_code_is_not_spent_for_a_state_that_is_not_ours() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    let back = bench.leave(&mut browser, "/x").await;
    bench.get(&back, &Browser::default()).await;
    assert_eq!(
        bench
            .issuer
            .token_requests
            .load(std::sync::atomic::Ordering::SeqCst),
        0
    );
}

#[tokio::test]
async fn whom_the_settings_do_not_admit_gets_no_session() {
    let rules: [fn(&mut Login); 2] = [
        |login| login.email_domains = vec!["other.example".into()],
        |login| login.allowed_groups = vec!["team-z".into()],
    ];
    for rule in rules {
        let bench = Bench::with(rule).await;
        let mut browser = Browser::default();
        let back = bench.leave(&mut browser, "/x").await;
        let answer = bench.get(&back, &browser).await;
        assert_eq!(answer.status(), 403);
        assert!(body(&answer).contains("Your account may not enter"));
        browser.take(&answer);
        assert!(browser.cookies.is_empty());
    }
}

#[tokio::test]
async fn an_unregistered_error_is_not_repeated_on_the_page() {
    let bench = Bench::new().await;
    let path = "/oauth2/callback?error=%3Cscript%3Ecall-this-number&error_description=evil";
    let answer = bench.get(path, &Browser::default()).await;
    assert_eq!(answer.status(), 403);
    assert!(!body(&answer).contains("call-this-number"));
    assert!(!body(&answer).contains("evil"));
    let named = bench
        .get("/oauth2/callback?error=access_denied", &Browser::default())
        .await;
    assert!(body(&named).contains("access_denied"));
}

#[tokio::test]
async fn a_token_endpoint_that_refuses_basic_is_asked_by_post_from_then_on() {
    let bench = Bench::new().await;
    bench.issuer.misbehave(|quirks| quirks.refuses_basic = true);
    let count = || {
        bench
            .issuer
            .token_requests
            .load(std::sync::atomic::Ordering::SeqCst)
    };
    bench.sign_in(&mut Browser::default(), "/").await;
    assert_eq!(count(), 2);
    bench.sign_in(&mut Browser::default(), "/").await;
    assert_eq!(count(), 3);
}

#[tokio::test]
async fn a_form_post_brings_the_answer_as_well() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    let back = bench.leave(&mut browser, "/x").await;
    let (path, form) = back.split_once('?').unwrap();
    let mut request = http::Request::post(path)
        .body(Bytes::from(form.to_owned()))
        .unwrap();
    *request.headers_mut() = browser.headers();
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
    request.headers_mut().insert(CONTENT_TYPE, kind);
    let answer = bench.proxy.handle(request).await;
    assert_eq!(
        (answer.status().as_u16(), location(&answer).as_str()),
        (302, "/x")
    );
}

#[tokio::test]
async fn ten_tabs_sign_in_side_by_side() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    let mut tabs = Vec::new();
    for tab in 0..10 {
        tabs.push((
            format!("/tab/{tab}"),
            bench.leave(&mut browser, &format!("/tab/{tab}")).await,
        ));
    }
    assert_eq!(browser.cookies.len(), 10);
    for (wanted, back) in tabs.into_iter().rev() {
        let answer = bench.get(&back, &browser).await;
        browser.take(&answer);
        assert_eq!(location(&answer), wanted);
    }
    assert_eq!(browser.cookies.len(), 1);
}

#[tokio::test]
async fn a_tab_that_comes_too_late_finds_its_owner_signed_in() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    let late = bench.leave(&mut browser, "/late").await;
    bench.sign_in(&mut browser, "/").await;
    bench.clock.advance(LIFETIME);
    let answer = bench.get(&late, &browser).await;
    assert_eq!(
        (answer.status().as_u16(), location(&answer).as_str()),
        (302, "/")
    );
}

#[tokio::test]
async fn a_cookie_that_was_there_before_is_never_the_session() {
    let bench = Bench::new().await;
    let mut attacker = Browser::default();
    bench.sign_in(&mut attacker, "/").await;
    let planted = attacker.cookie(COOKIE).unwrap().to_owned();
    let mut victim = Browser {
        cookies: vec![(COOKIE.to_owned(), planted.clone())],
    };
    bench.sign_in(&mut victim, "/").await;
    assert_ne!(victim.cookie(COOKIE).unwrap(), planted);
}

#[tokio::test]
async fn signing_in_clears_what_an_oauth2_proxy_left() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    let left = [
        "oauth2_proxy_kubeflow_0",
        "oauth2_proxy_kubeflow_1",
        "oauth2_proxy_kubeflow_csrf",
    ];
    browser
        .cookies
        .extend(left.map(|name| (name.to_owned(), "x".to_owned())));
    bench.sign_in(&mut browser, "/").await;
    assert_eq!(browser.cookies.len(), 1);
}

#[tokio::test]
async fn open_redirects_are_refused_at_start_and_after() {
    let bench = Bench::new().await;
    for evil in [
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "/%09/evil.example",
        "https:evil.example",
        "https://evil.example/",
        "/./\t/evil.example",
        "/.//evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
    ] {
        assert_eq!(
            bench.sign_in(&mut Browser::default(), evil).await,
            "/",
            "{evil:?}"
        );
        let wanted: String = byte_serialize(evil.as_bytes()).collect();
        let path = format!("/oauth2/sign_out?rd={wanted}");
        assert_eq!(
            location(&bench.get(&path, &Browser::default()).await),
            "/",
            "{evil:?}"
        );
        let page = bench
            .get(&format!("/oauth2/sign_in?rd={wanted}"), &Browser::default())
            .await;
        assert!(body(&page).contains(r#"name="rd" value="/""#), "{evil:?}");
    }
}

#[tokio::test]
async fn a_host_that_left_the_list_meanwhile_is_not_gone_to() {
    let bench = Bench::with(|login| login.whitelist_domains = vec!["other.example".into()]).await;
    let mut browser = Browser::default();
    let back = bench.leave(&mut browser, "https://other.example/x").await;
    let mut settings = (*bench.login).clone();
    settings.whitelist_domains.clear();
    let changed = LoginProxy::new(
        Arc::new(settings),
        bench.sessions.clone(),
        bench.issuer.clone(),
        bench.clock.clone(),
        Arc::new(crate::fixture::SeededRandomness::default()),
    );
    let mut request = http::Request::get(&back).body(Bytes::new()).unwrap();
    *request.headers_mut() = browser.headers();
    assert_eq!(location(&changed.handle(request).await), "/");
    assert_eq!(
        bench.sign_in(&mut browser, "https://other.example/x").await,
        "https://other.example/x"
    );
}

#[tokio::test]
async fn the_header_of_a_front_proxy_names_a_target_too() {
    let bench = Bench::new().await;
    let mut request = http::Request::get("/oauth2/sign_out")
        .body(Bytes::new())
        .unwrap();
    *request.headers_mut() = Browser::default().headers();
    let header = HeaderValue::from_static("/from/header");
    request
        .headers_mut()
        .insert("x-auth-request-redirect", header);
    assert_eq!(location(&bench.proxy.handle(request).await), "/from/header");
}

#[tokio::test]
async fn signing_out_ends_the_session_everywhere() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    bench.leave(&mut browser, "/another/tab").await;
    let thief = browser.clone();
    let answer = bench.get("/oauth2/sign_out?rd=/bye", &browser).await;
    browser.take(&answer);
    assert_eq!(location(&answer), "/bye");
    assert!(browser.cookies.is_empty());
    let gone = bench
        .sessions
        .person(&thief.headers(), &bench.login, NOW)
        .await;
    assert_eq!(gone.unwrap_err(), NoSession::Unknown);
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
        identity: crate::flow::identity::Identity {
            user: "u".to_owned(),
            email: "e@example.com".to_owned(),
            groups: Vec::new(),
            preferred_username: None,
        },
        id_token: bench.issuer.token(json!({})),
        access_token: None,
        refresh_token: None,
        created: NOW,
        expires: NOW.plus(Duration::from_secs(60)),
    };
    let value = bench.sessions.begin(session).await.unwrap();
    let browser = Browser {
        cookies: vec![(COOKIE.to_owned(), value.text())],
    };
    assert!(
        bench
            .sessions
            .person(&browser.headers(), &foreign, NOW)
            .await
            .is_ok()
    );
    let here = bench
        .sessions
        .person(&browser.headers(), &bench.login, NOW)
        .await;
    assert_eq!(here.unwrap_err(), NoSession::Unknown);
}
