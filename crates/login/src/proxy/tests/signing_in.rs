//! From the start of a sign-in to the session, and its end.

use super::*;

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
    assert_eq!(
        person.groups(),
        ["team-a", "team-b"].map(std::sync::Arc::<str>::from)
    );
    assert_eq!(person.preferred_username(), Some("user"));
    assert_eq!(person.expires(), NOW.plus(Duration::from_secs(86_400)));
    assert_eq!(person.token().unwrap().subject(), "Cg1");
    // Held only once it is shown to somebody.
    assert_eq!(person.access_token(), None);
    let mut login = (*bench.login).clone();
    login.pass_access_token = true;
    let person = bench
        .sessions
        .person(&browser.headers(), &std::sync::Arc::new(login), NOW)
        .await
        .unwrap();
    assert_eq!(person.access_token().unwrap(), "at");
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
    bench.clock.advance(bench.login.attempt_lifetime);
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
    bench.clock.advance(bench.login.attempt_lifetime);
    let answer = bench.get(&late, &browser).await;
    assert_eq!(
        (answer.status().as_u16(), location(&answer).as_str()),
        (302, "/late")
    );
    // One whose cookie is gone cannot be known any more.
    browser.take(&answer);
    let answer = bench.get(&late, &browser).await;
    assert_eq!(location(&answer), "/");
}

#[tokio::test]
async fn a_form_that_was_sent_too_late_leads_back_to_where_it_stood() {
    let bench = Bench::new().await;
    for (referer, target) in [
        (
            "http://kubeflow.example:8080/notebooks/new?ns=a",
            "/notebooks/new?ns=a",
        ),
        ("http://elsewhere.example/x", "/api/save?x=1"),
        (
            "https://kubeflow.example:8080/other-scheme",
            "/api/save?x=1",
        ),
        ("//kubeflow.example:8080/x", "/api/save?x=1"),
        ("http://kubeflow.example:8080//evil.example", "/"),
        ("http://kubeflow.example:8080/oauth2/sign_in", "/"),
    ] {
        let mut parts = asked("/api/save?x=1", &Browser::default());
        parts.method = Method::POST;
        let referer = HeaderValue::from_static(referer);
        parts.headers.insert("referer", referer);
        let how = sign_in(SignInAnswer::Page, NoSession::Expired);
        let page = bench.proxy.challenge(&parts, &how).await;
        let wanted = format!(r#"name="rd" value="{target}""#);
        assert!(body(&page).contains(&wanted), "{target}: {}", body(&page));
    }
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
