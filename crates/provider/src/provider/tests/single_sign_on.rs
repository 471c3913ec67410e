//! Remembered sign-ins, and what requests may want of them.

use model::names::Duration;
use model::snapshot::{Conformance, FrontChannel, PromptRule, SessionRules};

use super::*;

fn remembering() -> Settings {
    let mut settings = fixture::settings();
    settings.protocol.sessions = Some(SessionRules {
        cookie: "dex_session".into(),
        absolute: Duration::from_secs(86_400),
        idle: Duration::from_secs(3600),
    });
    settings
}

/// A browser that keeps the one cookie.
struct Browser<'a> {
    bench: &'a Bench,
    cookie: String,
}

impl<'a> Browser<'a> {
    fn new(bench: &'a Bench) -> Self {
        Self {
            bench,
            cookie: String::new(),
        }
    }

    async fn get(&self, path: &str) -> Seen {
        let request = Request::get(path).header("cookie", format!("x=y; {}", self.cookie));
        self.bench.send(request, "").await
    }

    /// Follows the choice of the connector.
    async fn begin(&self, query: &str) -> Seen {
        let seen = self.get(&format!("/dex/auth?{query}")).await;
        match seen.location().starts_with("/dex/auth/local?") {
            true => self.get(seen.location()).await,
            false => seen,
        }
    }

    async fn sign_in(&mut self, query: &str) -> Seen {
        let begun = self.begin(query).await;
        assert!(
            begun.location().starts_with("/dex/auth/local/login?"),
            "{}",
            begun.location()
        );
        let done = self.bench.sign_in_at(begun.location()).await;
        let cookie = done.header("set-cookie").to_owned();
        if !cookie.is_empty() {
            self.cookie = cookie.split(';').next().unwrap().to_owned();
        }
        done
    }

    /// What comes of a request in one word.
    async fn comes_to(&self, query: &str) -> String {
        let seen = self.begin(query).await;
        let location = seen.location();
        if location.starts_with("/dex/auth/local/login?") {
            return "sign in".to_owned();
        }
        if location.starts_with("/dex/approval?") {
            return "approval".to_owned();
        }
        assert!(
            location.starts_with("/oauth2/callback?"),
            "{} {location}",
            seen.body
        );
        let form = seen.location_form();
        assert_eq!(form.text("iss"), fixture::ISSUER);
        match form.find("error") {
            Some(error) => error.to_owned(),
            None => "code".to_owned(),
        }
    }
}

/// The stock request without its `prompt`, and with more.
fn with(more: &str) -> String {
    format!("{}{more}", STOCK.replace("&prompt=none", ""))
}

#[tokio::test]
async fn a_sign_in_is_remembered_for_every_client() {
    let bench = Bench::with(remembering()).await;
    let mut browser = Browser::new(&bench);
    assert_eq!(browser.comes_to(STOCK).await, "login_required");
    let done = browser.sign_in(&with("")).await;
    let cookie = done.header("set-cookie");
    for part in ["Path=/dex", "HttpOnly", "SameSite=Lax", "Max-Age=86400"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "the issuer is plain HTTP");
    let first = bench
        .redeem(done.location_form().text("code"))
        .await
        .tokens();
    let first = bench.claims(&first.id_token.unwrap()).await;
    bench.clock.pass(60);
    assert_eq!(browser.comes_to(STOCK).await, "code");
    let again = browser.begin(STOCK).await;
    let again = bench
        .redeem(again.location_form().text("code"))
        .await
        .tokens();
    let again = bench.claims(&again.id_token.unwrap()).await;
    for same in ["sub", "auth_time", "sid", "acr", "amr"] {
        assert_eq!(again[same], first[same], "{same}");
    }
    assert_eq!(again["amr"], serde_json::json!(["pwd"]));
    assert_ne!(again["iat"], first["iat"]);
    let other =
        "client_id=other&redirect_uri=https%3A%2F%2Fother%2Fcb&response_type=code&scope=openid";
    let seen = browser.begin(other).await;
    assert!(
        seen.location().starts_with("https://other/cb?code="),
        "{}",
        seen.location()
    );
}

#[tokio::test]
async fn each_wish_counts() {
    let bench = Bench::with(remembering()).await;
    let mut browser = Browser::new(&bench);
    let done = browser.sign_in(&with("")).await;
    let tokens = bench
        .redeem(done.location_form().text("code"))
        .await
        .tokens();
    let hint = tokens.id_token.unwrap();
    bench.clock.pass(100);
    let someone = crate::form::query(&[("claims", r#"{"id_token":{"sub":{"value":"x"}}}"#)]);
    let classy = crate::form::query(&[(
        "claims",
        r#"{"id_token":{"acr":{"essential":true,"value":"9"}}}"#,
    )]);
    for (more, expected) in [
        ("", "code"),
        ("&prompt=login", "sign in"),
        ("&prompt=select_account", "sign in"),
        ("&prompt=consent", "approval"),
        ("&prompt=none+login", "invalid_request"),
        ("&prompt=create", "invalid_request"),
        ("&max_age=100", "sign in"),
        ("&max_age=101", "code"),
        ("&max_age=10000&prompt=none", "code"),
        ("&max_age=1&prompt=none", "login_required"),
        ("&max_age=x", "invalid_request"),
        (&format!("&id_token_hint={hint}&prompt=none"), "code"),
        ("&id_token_hint=a.b.c", "invalid_request"),
        (&format!("&{someone}"), "sign in"),
        (&format!("&{someone}&prompt=none"), "login_required"),
        (&format!("&{classy}&prompt=none"), "login_required"),
        ("&claims=x", "invalid_request"),
        ("&acr_values=9+1&display=page&ui_locales=de&x=y", "code"),
    ] {
        assert_eq!(browser.comes_to(&with(more)).await, expected, "{more}");
    }
    // Who signs in must be who was asked for, and as was asked for.
    for (more, error) in [
        (someone, "login_required"),
        (classy, "unmet_authentication_requirements"),
    ] {
        let done = browser.sign_in(&with(&format!("&{more}"))).await;
        assert_eq!(done.told().2, error);
    }
    let form = bench
        .get(
            browser
                .begin(&with("&prompt=login&login_hint=me%40x"))
                .await
                .location(),
        )
        .await;
    assert_eq!(form.attribute("id=\"login\"", "value"), "me@x");
}

#[tokio::test]
async fn signing_in_again_keeps_the_session_and_moves_its_time() {
    let bench = Bench::with(remembering()).await;
    let mut browser = Browser::new(&bench);
    let claims = async |done: Seen| {
        let tokens = bench
            .redeem(done.location_form().text("code"))
            .await
            .tokens();
        bench.claims(&tokens.id_token.unwrap()).await
    };
    let first = browser.sign_in(&with("")).await;
    let first = claims(first).await;
    let old = browser.cookie.clone();
    bench.clock.pass(10);
    let second = browser.sign_in(&with("&prompt=login")).await;
    let second = claims(second).await;
    assert_eq!(second["sid"], first["sid"]);
    let time = |claims: &Map<String, Value>| claims["auth_time"].as_i64().unwrap();
    assert_eq!(time(&second), time(&first) + 10);
    // The cookie from before is worth nothing.
    let stale = Browser {
        bench: &bench,
        cookie: old,
    };
    assert_eq!(stale.comes_to(STOCK).await, "login_required");
    assert_eq!(browser.comes_to(STOCK).await, "code");
}

#[tokio::test]
async fn it_ends_idle_or_old_and_foreign_cookies_are_nothing() {
    let bench = Bench::with(remembering()).await;
    let mut browser = Browser::new(&bench);
    browser.sign_in(&with("")).await;
    for _ in 0..24 {
        bench.clock.pass(3599);
        assert_eq!(browser.comes_to(STOCK).await, "code");
    }
    bench.clock.pass(3599);
    assert_eq!(
        browser.comes_to(STOCK).await,
        "login_required",
        "a day is over"
    );
    browser.sign_in(&with("")).await;
    bench.clock.pass(3600);
    assert_eq!(
        browser.comes_to(STOCK).await,
        "login_required",
        "an hour unused"
    );
    browser.sign_in(&with("")).await;
    let good = browser.cookie.clone();
    for bad in [
        "dex_session=",
        "dex_session=a.b",
        &good[..good.len() - 2],
        &good.replace("dex_", ""),
    ] {
        browser.cookie = bad.to_owned();
        assert_eq!(browser.comes_to(STOCK).await, "login_required", "{bad}");
    }
    // Ours counts beside one that another application set.
    browser.cookie = format!("dex_session=junk; {good}");
    assert_eq!(browser.comes_to(STOCK).await, "code");
    // Another issuer on the same store knows nobody.
    let mut settings = remembering();
    settings.issuer = "http://other/dex".into();
    let other = bench.reconfigured(settings);
    let request = Request::get(format!("/dex/auth?{STOCK}")).header("cookie", &good);
    assert_eq!(send(&other, request, "").await.told().2, "login_required");
}

#[tokio::test]
async fn prompt_none_counts_where_dexs_clients_expect_it() {
    // Stock Kubeflow: nothing is remembered, and OAuth2 Proxy sends it always.
    let bench = Bench::new().await;
    assert_eq!(Browser::new(&bench).comes_to(STOCK).await, "sign in");
    let mut opted = fixture::settings();
    opted.clients[0].rules.prompt = PromptRule::Always;
    let mut strict = fixture::settings();
    strict.protocol.conformance = Conformance::Strict;
    for settings in [opted, strict] {
        let bench = Bench::with(settings).await;
        assert_eq!(Browser::new(&bench).comes_to(STOCK).await, "login_required");
    }
    let mut asking = remembering();
    asking.skip_approval = false;
    let bench = Bench::with(asking).await;
    let mut browser = Browser::new(&bench);
    browser.sign_in(&with("")).await;
    assert_eq!(browser.comes_to(STOCK).await, "consent_required");
    assert_eq!(browser.comes_to(&with("")).await, "approval");
}

#[tokio::test]
async fn nothing_is_stored_for_who_has_not_signed_in() {
    let bench = Bench::with(remembering()).await;
    let size = async || bench.store.rows().await;
    let before = size().await;
    for turn in 0..50 {
        bench.login_address(&with(&format!("&nonce{turn}=x"))).await;
        bench.get("/dex/auth?client_id=kubeflow").await;
    }
    assert_eq!(size().await, before);
}

/// What the client is sent in the fragment.
fn fragment(seen: &Seen) -> Form {
    let (base, fragment) = seen
        .location()
        .split_once('#')
        .unwrap_or_else(|| panic!("{}", seen.location()));
    assert!(!base.contains('?'), "{base}");
    Form::parse(fragment.as_bytes()).unwrap()
}

fn everything() -> Settings {
    let mut settings = remembering();
    settings.protocol.responses = FrontChannel::Tokens;
    settings
}

#[tokio::test]
async fn every_response_type_gives_what_it_names_with_its_hashes() {
    for words in [
        "code",
        "id_token",
        "id_token token",
        "code id_token",
        "code token",
        "token id_token code",
    ] {
        let bench = Bench::with(everything()).await;
        let typed = format!("response_type={}", words.replace(' ', "+"));
        let query = with("").replace("response_type=code", &typed);
        let done = Browser::new(&bench).sign_in(&query).await;
        let form = match words {
            "code" => done.location_form(),
            _ => fragment(&done),
        };
        let has = |word: &str| words.split(' ').any(|one| one == word);
        assert_eq!(form.find("code").is_some(), has("code"), "{words}");
        assert_eq!(form.find("access_token").is_some(), has("token"), "{words}");
        assert_eq!(form.find("id_token").is_some(), has("id_token"), "{words}");
        assert_eq!(
            (form.text("state"), form.text("iss")),
            ("s&t", fixture::ISSUER)
        );
        if has("token") {
            assert_eq!(
                (form.text("token_type"), form.text("expires_in")),
                ("bearer", "86400")
            );
        }
        if let Some(token) = form.find("id_token") {
            let claims = bench.claims(token).await;
            let hash = |name: &str| {
                form.find(name)
                    .map(|text| Value::from(jose::left_half_hash(text)))
            };
            assert_eq!(claims.get("c_hash"), hash("code").as_ref(), "{words}");
            assert_eq!(
                claims.get("at_hash"),
                hash("access_token").as_ref(),
                "{words}"
            );
            assert_eq!(claims["nonce"], "n");
        }
        if let Some(code) = form.find("code") {
            assert_eq!(bench.redeem(code).await.status, StatusCode::OK, "{words}");
        }
    }
}

#[tokio::test]
async fn answers_and_errors_go_the_way_that_was_asked_for() {
    let bench = Bench::with(everything()).await;
    let mut browser = Browser::new(&bench);
    browser.sign_in(&with("")).await;
    let hybrid = with("").replace("response_type=code", "response_type=code+id_token");
    let seen = browser.begin(&format!("{hybrid}&prompt=create")).await;
    assert_eq!(fragment(&seen).text("error"), "invalid_request");
    let seen = browser
        .begin(&format!("{hybrid}&response_mode=query"))
        .await;
    assert_eq!(fragment(&seen).text("error"), "invalid_request");
    let seen = browser.begin(&with("&response_mode=web_message")).await;
    assert_eq!(seen.told().2, "invalid_request");
    let seen = browser.begin(&with("&response_mode=fragment")).await;
    assert!(fragment(&seen).find("code").is_some());
    // Nonce is a must where an ID token comes without a code.
    let bare = with("")
        .replace("response_type=code", "response_type=id_token")
        .replace("&nonce=n", "");
    assert_eq!(
        fragment(&browser.begin(&bare).await).text("error"),
        "invalid_request"
    );

    for (query, name, value) in [
        (
            format!("{hybrid}&response_mode=form_post"),
            "iss",
            fixture::ISSUER,
        ),
        (
            with("&response_mode=form_post&prompt=create"),
            "error",
            "invalid_request",
        ),
    ] {
        let seen = browser.begin(&query).await;
        assert_eq!(seen.status, StatusCode::OK, "{query}");
        assert_eq!(
            seen.attribute("method=\"post\"", "action"),
            "/oauth2/callback"
        );
        assert_eq!(seen.attribute(&format!("name=\"{name}\""), "value"), value);
        assert_eq!(seen.attribute("name=\"state\"", "value"), "s&t");
        let policy = seen.header("content-security-policy").to_owned();
        assert!(policy.contains("script-src 'self'") && policy.contains("form-action 'self'"));
        assert_eq!(seen.header("cache-control"), "no-store");
    }
    let script = bench.get("/dex/static/send.js").await;
    assert!(script.body.contains("submit()"));
}

#[tokio::test]
async fn response_types_that_are_not_offered_are_told_so() {
    let mut narrow = everything();
    narrow.clients[0].rules.responses = Some(vec!["id_token code".into()]);
    let mut tokenless = everything();
    tokenless.protocol.responses = FrontChannel::IdToken;
    let mut strict = everything();
    strict.protocol.conformance = Conformance::Strict;
    for (settings, words, error) in [
        (everything(), "token", "invalid_request"),
        (everything(), "none", "invalid_request"),
        (tokenless, "code+token", "unsupported_response_type"),
        (narrow, "code", "unauthorized_client"),
        (strict, "code+id_token&nonce=", "invalid_request"),
    ] {
        let bench = Bench::with(settings).await;
        let typed = format!("response_type={words}");
        let mut query = with("").replace("response_type=code", &typed);
        if words.contains("nonce") {
            query = query.replace("&nonce=n", "");
        }
        let seen = Browser::new(&bench).begin(&query).await;
        assert!(
            seen.location().contains(&format!("error={error}")),
            "{words}: {}",
            seen.location()
        );
    }
}
