//! The browser's way: choice, login form, approval, and every refusal on it.

use super::*;

#[tokio::test]
async fn the_stock_sign_in_ends_at_the_relative_callback() {
    let bench = Bench::new().await;
    let chosen = bench.get(&format!("/dex/auth?{STOCK}")).await;
    assert_eq!(chosen.status, StatusCode::FOUND);
    assert!(
        chosen
            .location()
            .starts_with("/dex/auth/local?client_id=kubeflow&")
    );

    let address = bench.login_address(STOCK).await;
    assert!(address.starts_with("/dex/auth/local/login?state="));
    assert!(address.ends_with("&back="));
    let form = bench.get(&address).await;
    assert_eq!(form.status, StatusCode::OK);
    assert_eq!(form.attribute("method=\"post\"", "action"), address);
    assert_eq!(form.attribute("id=\"login\"", "name"), "login");
    assert_eq!(form.attribute("id=\"login\"", "autocomplete"), "username");
    assert_eq!(
        form.attribute("id=\"password\"", "autocomplete"),
        "current-password"
    );
    assert_eq!(form.attribute("id=\"submit-login\"", "type"), "submit");
    assert!(!form.body.contains("login-error"));
    assert!(form.body.contains("Client kubeflow"));
    assert_eq!(
        form.header("content-security-policy"),
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; \
         frame-ancestors 'none'; base-uri 'none'"
    );
    assert_eq!(form.header("cache-control"), "no-store");

    let done = bench.sign_in_at(&address).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER);
    assert!(done.location().starts_with("/oauth2/callback?code="));
    assert_eq!(done.location_form().text("state"), "s&t");
}

#[tokio::test]
async fn an_empty_state_is_sent_back_empty() {
    let bench = Bench::new().await;
    let address = bench
        .login_address(&STOCK.replace("&state=s%26t", ""))
        .await;
    assert!(
        bench
            .sign_in_at(&address)
            .await
            .location()
            .contains("&state=&iss=")
    );
}

#[tokio::test]
async fn posting_the_request_works_like_getting_it() {
    let bench = Bench::new().await;
    let chosen = bench.send(posting("/dex/auth"), STOCK).await;
    assert_eq!(chosen.status, StatusCode::FOUND);
    let begun = bench.send(posting("/dex/auth/local"), STOCK).await;
    assert_eq!(begun.status, StatusCode::FOUND);
    assert_eq!(
        bench.sign_in_at(begun.location()).await.status,
        StatusCode::SEE_OTHER
    );
}

#[tokio::test]
async fn connectors_are_chosen_by_name_or_list() {
    let mut settings = fixture::settings();
    settings.always_show_login = true;
    let bench = Bench::with(settings).await;
    let list = bench.get(&format!("/dex/auth?{STOCK}")).await;
    assert_eq!(list.status, StatusCode::OK);
    let link = list.attribute("class=\"button\"", "href");
    assert!(
        link.starts_with("/dex/auth/local?client_id=kubeflow&"),
        "{link}"
    );
    assert!(list.body.contains("Email"));
    let named = bench
        .get(&format!("/dex/auth?connector_id=local&{STOCK}"))
        .await;
    assert_eq!(named.status, StatusCode::FOUND);
    assert!(!named.location().contains("connector_id"));
    let unknown = bench
        .get(&format!("/dex/auth?connector_id=nobody&{STOCK}"))
        .await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn clients_and_connectors_name_who_they_take() {
    let mut settings = fixture::settings();
    let mut other = settings.connectors[0].clone();
    other.id = "other".into();
    let mut machines = other.clone();
    machines.id = "machines".into();
    machines.grants = Some(vec!["client_credentials".into()]);
    settings.connectors.extend([other, machines]);
    settings.clients[0].allowed_connectors = vec!["other".into(), "machines".into()];
    let bench = Bench::with(settings.clone()).await;
    // One is left, so there is nothing to choose.
    let chosen = bench.get(&format!("/dex/auth?{STOCK}")).await;
    let wanted = format!("/dex/auth/other?{STOCK}");
    assert_eq!(
        chosen.location().split('?').next(),
        wanted.split('?').next()
    );
    let begun = bench.get(chosen.location()).await;
    assert_eq!(begun.status, StatusCode::FOUND);
    let address = begun.location().to_owned();
    for (id, status) in [("local", 403), ("machines", 400), ("nobody", 400)] {
        let seen = bench.get(&format!("/dex/auth/{id}?{STOCK}")).await;
        assert_eq!(seen.status.as_u16(), status, "{id}");
    }
    // What was allowed when the sign-in began counts no longer.
    settings.clients[0].allowed_connectors = vec!["local".into()];
    let provider = bench.reconfigured(settings);
    let seen = send(&provider, Request::get(&address), "").await;
    assert_eq!(seen.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn wrong_credentials_are_401_with_the_form_again() {
    let bench = Bench::new().await;
    let address = bench.login_address(STOCK).await;
    for login in ["user@example.com", "<b>nobody"] {
        let seen = bench
            .post(&address, &[("login", login), ("password", "wrong-secret")])
            .await;
        assert_eq!(seen.status, StatusCode::UNAUTHORIZED);
        assert_eq!(seen.attribute("id=\"login-error\"", "role"), "alert");
        assert_eq!(
            seen.attribute("id=\"password\"", "aria-describedby"),
            "login-error"
        );
        assert!(!seen.body.contains("wrong-secret") && !seen.body.contains("<b>"));
        assert_eq!(seen.attribute("method=\"post\"", "action"), address);
    }
    // The same form still works.
    assert_eq!(
        bench.sign_in_at(&address).await.status,
        StatusCode::SEE_OTHER
    );
}

#[tokio::test]
async fn guessing_is_slowed_down() {
    let bench = Bench::new().await;
    let address = bench.login_address(STOCK).await;
    let wrong = [("login", "user@example.com"), ("password", "wrong")];
    for _ in 0..10 {
        assert_eq!(
            bench.post(&address, &wrong).await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    let closed = bench.sign_in_at(&address).await;
    assert_eq!(
        (closed.status, closed.header("retry-after")),
        (StatusCode::TOO_MANY_REQUESTS, "1")
    );
    bench.clock.pass(1);
    assert_eq!(
        bench.sign_in_at(&address).await.status,
        StatusCode::SEE_OTHER
    );
}

#[tokio::test]
async fn an_unusable_hash_is_the_operators_fault() {
    let mut settings = fixture::settings();
    settings.passwords[0].hash = model::names::Secret::new("$2b$04$nonsense");
    let bench = Bench::with(settings).await;
    let seen = bench.sign_in_at(&bench.login_address(STOCK).await).await;
    assert_eq!(seen.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!seen.body.contains("bcrypt"));
}

#[tokio::test]
async fn refusals_before_the_address_is_known_are_shown() {
    let bench = Bench::new().await;
    for (query, status) in [
        (STOCK.replace("=kubeflow", "=nobody"), 404),
        (STOCK.replace("callback", "elsewhere"), 400),
        (format!("{STOCK}&state=again"), 400),
        (format!("{STOCK}&x=%zz"), 400),
    ] {
        let request =
            Request::get(format!("/dex/auth/local?{query}")).header("x-request-id", "req-1");
        let seen = bench.send(request, "").await;
        assert_eq!(
            (seen.status.as_u16(), seen.location()),
            (status, ""),
            "{query}"
        );
        assert!(seen.body.contains("req-1"));
    }
    // Once the request itself has passed.
    let seen = bench.get(&format!("/dex/auth/nobody?{STOCK}")).await;
    assert_eq!(seen.status, StatusCode::BAD_REQUEST);
    let seen = bench
        .get(&format!(
            "/dex/auth/nobody?{}",
            STOCK.replace("+openid", "")
        ))
        .await;
    assert_eq!(seen.status, StatusCode::SEE_OTHER);
    for (method, path) in [
        ("PUT", "/dex/auth"),
        ("DELETE", "/dex/auth/local"),
        ("PUT", "/dex/approval"),
    ] {
        let seen = bench
            .send(Request::builder().method(method).uri(path), "")
            .await;
        assert_eq!(seen.status, StatusCode::BAD_REQUEST, "{method} {path}");
    }
    let json = Request::post("/dex/auth").header("content-type", "application/json");
    assert_eq!(bench.send(json, "{}").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn refusals_after_it_are_told_to_the_client() {
    let bench = Bench::new().await;
    for (query, error) in [
        (format!("{STOCK}&request=x"), "request_not_supported"),
        (
            format!("{STOCK}&request_uri=x"),
            "request_uri_not_supported",
        ),
        (
            format!("{STOCK}&code_challenge=x&code_challenge_method=S1"),
            "invalid_request",
        ),
        (STOCK.replace("+openid", ""), "invalid_scope"),
        (STOCK.replace("=code", "=magic"), "invalid_request"),
    ] {
        let seen = bench.get(&format!("/dex/auth/local?{query}")).await;
        let expected = (
            StatusCode::SEE_OTHER,
            "/oauth2/callback".to_owned(),
            error.to_owned(),
        );
        assert_eq!(seen.told(), expected, "{query}");
        assert_eq!(seen.location_form().text("state"), "s&t");
        assert!(!seen.location_form().text("error_description").is_empty());
    }
}

#[tokio::test]
async fn a_state_that_is_not_good_is_refused() {
    let bench = Bench::new().await;
    let address = bench.login_address(STOCK).await;
    for bad in [
        "/dex/auth/local/login".to_owned(),
        "/dex/auth/local/login?state=AAAA.BBBB".to_owned(),
        address.replace("state=", "state=A"),
        address.replace("/local/", "/other/"),
    ] {
        assert_eq!(
            bench.get(&bad).await.status,
            StatusCode::BAD_REQUEST,
            "{bad}"
        );
        assert_eq!(
            bench.sign_in_at(&bad).await.status,
            StatusCode::BAD_REQUEST,
            "{bad}"
        );
    }
    bench.clock.pass(86_400);
    assert_eq!(bench.get(&address).await.status, StatusCode::BAD_REQUEST);
    // Another provider's state, even on the same store.
    let mut settings = fixture::settings();
    settings.issuer = "http://other/dex".into();
    let fresh = bench.login_address(STOCK).await;
    let other = bench.reconfigured(settings);
    assert_eq!(
        send(&other, Request::get(&fresh), "").await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(bench.get(&fresh).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_sign_in_is_answered_once() {
    let bench = Bench::new().await;
    let address = bench.login_address(STOCK).await;
    assert_eq!(
        bench.sign_in_at(&address).await.status,
        StatusCode::SEE_OTHER
    );
    assert_eq!(bench.get(&address).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        bench.sign_in_at(&address).await.status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn a_client_that_was_removed_meanwhile_gets_nothing() {
    let bench = Bench::new().await;
    let address = bench.login_address(STOCK).await;
    let mut settings = fixture::settings();
    settings.clients.remove(0);
    let seen = send(&bench.reconfigured(settings), Request::get(&address), "").await;
    assert_eq!(seen.status, StatusCode::NOT_FOUND);
}

/// From the login form to the approval page's address.
async fn approval_address(bench: &Bench, query: &str) -> String {
    let seen = bench.sign_in_at(&bench.login_address(query).await).await;
    assert_eq!(seen.status, StatusCode::SEE_OTHER);
    assert!(
        seen.location().starts_with("/dex/approval?req="),
        "{}",
        seen.location()
    );
    seen.location().to_owned()
}

#[tokio::test]
async fn approval_is_asked_when_configured_or_wanted() {
    let mut settings = fixture::settings();
    settings.skip_approval = false;
    for (settings, query) in [
        (settings, STOCK.to_owned()),
        (
            fixture::settings(),
            format!("{STOCK}&approval_prompt=force"),
        ),
    ] {
        let bench = Bench::with(settings).await;
        let address = approval_address(&bench, &query).await;
        let page = bench.get(&address).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.body.contains("know the groups you are in"));
        assert!(!page.body.contains("while you are away"));
        assert_eq!(page.attribute("method=\"post\"", "action"), address);
        let request = page.attribute("name=\"req\"", "value");
        let done = bench
            .post(&address, &[("req", &request), ("approval", "approve")])
            .await;
        assert_eq!(
            done.told(),
            (
                StatusCode::SEE_OTHER,
                "/oauth2/callback".into(),
                String::new()
            )
        );
        assert_eq!(
            bench.redeem(done.location_form().text("code")).await.status,
            StatusCode::OK
        );
        assert_eq!(bench.get(&address).await.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_refused_approval_is_told_to_the_client() {
    let bench = Bench::new().await;
    let address = approval_address(&bench, &format!("{STOCK}&approval_prompt=force")).await;
    let undecided = bench.post(&address, &[]).await;
    assert_eq!(undecided.status, StatusCode::BAD_REQUEST);
    let denied = bench.post(&address, &[("approval", "rejected")]).await;
    let expected = (
        StatusCode::SEE_OTHER,
        "/oauth2/callback".to_owned(),
        "access_denied".to_owned(),
    );
    assert_eq!(denied.told(), expected);
    assert_eq!(
        bench
            .post(&address, &[("approval", "approve")])
            .await
            .status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn the_approval_page_needs_its_proof() {
    let bench = Bench::new().await;
    let query = format!("{STOCK}&approval_prompt=force");
    let login = bench.login_address(&query).await;
    let address = approval_address(&bench, &query).await;
    let (without, _) = address.split_once("&hmac=").unwrap();
    // The state of the login form is no proof of a sign-in.
    let state = Form::parse(login.split_once('?').unwrap().1.as_bytes()).unwrap();
    let (body, tag) = state.text("state").rsplit_once('.').unwrap();
    for bad in [
        "/dex/approval",
        without,
        &format!("{without}&hmac=AAAA"),
        &format!("/dex/approval?req={body}&hmac={tag}"),
    ] {
        assert_eq!(
            bench.get(bad).await.status,
            StatusCode::UNAUTHORIZED,
            "{bad}"
        );
        let posted = bench.post(bad, &[("approval", "approve")]).await;
        assert_eq!(posted.status, StatusCode::UNAUTHORIZED, "{bad}");
    }
    bench.clock.pass(600);
    assert_eq!(bench.get(&address).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_client_without_address_is_shown_its_code() {
    let bench = Bench::new().await;
    let query = STOCK.replace("=kubeflow", "=cli").replace(
        "%2Foauth2%2Fcallback",
        "urn%3Aietf%3Awg%3Aoauth%3A2.0%3Aoob",
    );
    let seen = bench.sign_in_at(&bench.login_address(&query).await).await;
    assert_eq!(seen.status, StatusCode::OK);
    assert_eq!(seen.attribute("id=\"code\"", "value").len(), 43);
    let seen = bench
        .get(&format!("/dex/auth/local?{}", query.replace("+openid", "")))
        .await;
    assert_eq!(
        (seen.status, seen.location()),
        (StatusCode::BAD_REQUEST, "")
    );
    assert!(seen.body.contains("invalid_scope"));
}
