//! What somebody could send who wants in without signing in, or wants others to end elsewhere.

use std::sync::atomic::Ordering;

use data_encoding::BASE64URL_NOPAD;
use url::Url;

use super::*;
use crate::fixture::{HOST_NAME, ISSUER};

/// What a callback with this answer does for this browser: its status, and that it signed nobody in.
async fn refused(bench: &Bench, path: &str, browser: &Browser, case: &str) -> u16 {
    let answer = bench.get(path, browser).await;
    let mut after = browser.clone();
    after.take(&answer);
    assert_eq!(after.cookie(COOKIE), browser.cookie(COOKIE), "{case}");
    assert_ne!(answer.status(), 302, "{case}");
    answer.status().as_u16()
}

fn of(back: &str, name: &str) -> String {
    parameter(back.split_once('?').unwrap().1, name).unwrap()
}

fn encoded(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

#[tokio::test]
async fn state_and_code_belong_together_and_to_one_browser() {
    let bench = Bench::new().await;
    let (mut mine, mut theirs) = (Browser::default(), Browser::default());
    let one = bench.leave(&mut mine, "/one").await;
    let two = bench.leave(&mut mine, "/two").await;
    let foreign = bench.leave(&mut theirs, "/theirs").await;
    let with = |code: &str, state: &str| {
        format!(
            "/oauth2/callback?code={}&state={}",
            of(code, "code"),
            of(state, "state")
        )
    };
    // Somebody else's code under my state: their PKCE challenge is not that of my verifier.
    assert_eq!(
        refused(&bench, &with(&foreign, &one), &mine, "injected code").await,
        500
    );
    // It was spent by that: nobody gets in with it any more, not even them.
    assert_eq!(refused(&bench, &foreign, &theirs, "spent code").await, 500);
    // My own code under another state of mine.
    assert_eq!(
        refused(&bench, &with(&two, &one), &mine, "swapped state").await,
        500
    );
    // Their answer in my browser: signing somebody in as somebody else.
    let foreign = bench.leave(&mut theirs, "/theirs").await;
    assert_eq!(
        refused(&bench, &foreign, &mine, "foreign answer").await,
        403
    );
    assert_eq!(
        refused(&bench, &foreign, &Browser::default(), "no cookie").await,
        403
    );
}

#[tokio::test]
async fn a_code_is_good_once() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    let back = bench.leave(&mut browser, "/x").await;
    let before = browser.clone();
    let answer = bench.get(&back, &browser).await;
    assert_eq!(answer.status(), 302);
    browser.take(&answer);
    // The same address again, by somebody with the cookies from before.
    assert_eq!(refused(&bench, &back, &before, "replayed").await, 500);
    // All at once: one of them is signed in.
    let mut browser = Browser::default();
    let back = bench.leave(&mut browser, "/x").await;
    let both = tokio::join!(bench.get(&back, &browser), bench.get(&back, &browser));
    let statuses = [both.0.status().as_u16(), both.1.status().as_u16()];
    assert!(
        statuses == [302, 500] || statuses == [500, 302],
        "{statuses:?}"
    );
}

#[tokio::test]
async fn the_issuer_that_an_answer_names_is_the_one_that_was_asked() {
    for names_itself in [false, true] {
        let bench = Bench::with(|login| {
            login.login_url = None;
            login.redeem_url = None;
            login.jwks_url = None;
        })
        .await;
        bench
            .issuer
            .misbehave(|quirks| quirks.names_itself = names_itself);
        let mut browser = Browser::default();
        let back = bench.leave(&mut browser, "/x").await;
        let good = encoded(ISSUER);
        for bad in [
            "",
            "https%3A%2F%2Fother.example",
            &format!("{good}%2F"),
            &good.to_uppercase().replace("%3A", "%3a"),
            &good.replace("http%3A", "https%3A"),
            &format!("{good}%00"),
            &format!("{good}+"),
        ] {
            let path = format!("{back}&iss={bad}");
            assert_eq!(refused(&bench, &path, &browser, bad).await, 403, "{bad}");
        }
        for twice in [
            format!("{back}&iss={good}&iss=https%3A%2F%2Fother.example"),
            format!("{back}&iss=https%3A%2F%2Fother.example&iss={good}"),
            format!("{back}&state={}", "A".repeat(43)),
            format!("{back}&code=other"),
            format!("{back}&error=&error=access_denied"),
        ] {
            assert_eq!(
                refused(&bench, &twice, &browser, &twice).await,
                500,
                "{twice}"
            );
        }
        assert_eq!(bench.issuer.token_requests.load(Ordering::SeqCst), 0);
        // RFC 9207 §2.4: an issuer that always names itself did not send an answer without a name.
        if names_itself {
            assert_eq!(refused(&bench, &back, &browser, "unnamed").await, 403);
        }
        let named = bench.get(&format!("{back}&iss={good}"), &browser).await;
        assert_eq!(location(&named), "/x");
    }
}

#[tokio::test]
async fn tokens_for_others_from_others_or_of_another_time_sign_nobody_in() {
    let client = "kubeflow-oidc-authservice";
    let now = NOW.seconds();
    for claims in [
        json!({"aud": [client, "other"]}),
        json!({"aud": [client, "other"], "azp": "other"}),
        json!({"aud": client, "azp": "other"}),
        json!({"aud": client, "azp": ""}),
        json!({"aud": client, "azp": [client]}),
        json!({"aud": ["other"], "azp": client}),
        json!({"aud": {"x": client}}),
        json!({"aud": [[client]]}),
        json!({"aud": "KUBEFLOW-OIDC-AUTHSERVICE"}),
        json!({"aud": " kubeflow-oidc-authservice"}),
        json!({"aud": ""}),
        json!({"aud": null}),
        json!({"iss": format!("{ISSUER}/")}),
        json!({"iss": ISSUER.to_uppercase()}),
        json!({"iss": [ISSUER]}),
        json!({"iss": null}),
        json!({"exp": now - 60}),
        json!({"exp": now - 100_000}),
        json!({"exp": -1}),
        json!({"exp": 0}),
        json!({"exp": "9999999999"}),
        json!({"exp": [now + 60]}),
        json!({"exp": true}),
        json!({"iat": now + 61}),
        json!({"iat": now + 1_000_000}),
        json!({"iat": "now"}),
        json!({"iat": null}),
        json!({"nbf": now + 61}),
        json!({"nbf": "never"}),
        json!({"nonce": ""}),
        json!({"nonce": null}),
        json!({"nonce": ["x"]}),
        json!({"nonce": "A".repeat(43)}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": 7}),
        json!({"at_hash": ""}),
        json!({"at_hash": 1}),
    ] {
        let bench = Bench::new().await;
        let set = claims.as_object().unwrap().clone();
        bench.issuer.misbehave(|quirks| quirks.claims = set);
        let mut browser = Browser::default();
        let back = bench.leave(&mut browser, "/x").await;
        refused(&bench, &back, &browser, &claims.to_string()).await;
    }
}

fn part(value: &Value) -> String {
    BASE64URL_NOPAD.encode(value.to_string().as_bytes())
}

fn header_of(token: &str) -> Value {
    let header = token.split('.').next().unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(header.as_bytes()).unwrap()).unwrap()
}

/// `token` under another header, with the signature that it had.
fn with_header(token: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut header = header_of(token);
    change(&mut header);
    let (_, rest) = token.split_once('.').unwrap();
    format!("{}.{rest}", part(&header))
}

fn unsigned(token: &str, algorithm: Value) -> String {
    let claims = token.split('.').nth(1).unwrap();
    format!("{}.{claims}.", part(&json!({"alg": algorithm})))
}

#[tokio::test]
async fn games_with_the_algorithm_sign_nobody_in() {
    type Bend = fn(&str) -> String;
    let bends: [(&str, Bend); 18] = [
        ("none", |token| unsigned(token, json!("none"))),
        ("None", |token| unsigned(token, json!("None"))),
        ("NONE", |token| unsigned(token, json!("NONE"))),
        ("empty", |token| unsigned(token, json!(""))),
        ("null", |token| unsigned(token, json!(null))),
        ("list", |token| unsigned(token, json!(["RS256"]))),
        ("no signature", |token| unsigned(token, json!("RS256"))),
        ("HS256 with the public key", |token| {
            let claims = token.split('.').nth(1).unwrap();
            let signed = format!("{}.{claims}", part(&json!({"alg": "HS256", "kid": "one"})));
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"one");
            let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
            format!("{signed}.{}", BASE64URL_NOPAD.encode(tag.as_ref()))
        }),
        ("another algorithm", |token| {
            with_header(token, |header| header["alg"] = json!("RS512"))
        }),
        ("another kind of key", |token| {
            with_header(token, |header| header["alg"] = json!("ES256"))
        }),
        ("a key of its own", |token| {
            with_header(token, |header| {
                header["kid"] = json!("mine");
                header["jwk"] = json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"});
            })
        }),
        ("keys elsewhere", |token| {
            with_header(token, |header| {
                header["jku"] = json!("https://evil.example/keys")
            })
        }),
        ("an extension", |token| {
            with_header(token, |header| {
                header["crit"] = json!(["b64"]);
                header["b64"] = json!(false);
            })
        }),
        ("another person", |token| {
            let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
            parts[1] = part(&json!({"sub": "admin", "email": "admin@example.com"}));
            parts.join(".")
        }),
        ("cut", |token| token[..token.len() - 4].to_owned()),
        ("two parts", |token| {
            token.rsplit_once('.').unwrap().0.to_owned()
        }),
        ("four parts", |token| format!("{token}.x")),
        ("long", |token| format!("{token}{}", "A".repeat(70_000))),
    ];
    for (case, bend) in bends {
        let bench = Bench::new().await;
        bench.issuer.misbehave(|quirks| quirks.bend = Some(bend));
        let mut browser = Browser::default();
        let back = bench.leave(&mut browser, "/x").await;
        assert_eq!(refused(&bench, &back, &browser, case).await, 500, "{case}");
    }
    // A good one, of an algorithm that the settings leave out.
    let bench = Bench::with(|login| login.signing_algorithms = vec!["ES256".into()]).await;
    let mut browser = Browser::default();
    let back = bench.leave(&mut browser, "/x").await;
    assert_eq!(refused(&bench, &back, &browser, "left out").await, 500);
    let bench = Bench::with(|login| login.signing_algorithms = vec!["RS256".into()]).await;
    assert_eq!(bench.sign_in(&mut Browser::default(), "/x").await, "/x");
}

#[tokio::test]
async fn a_session_cookie_of_another_store_cut_or_of_64_kilobytes_is_nobodys() {
    let (bench, other) = (Bench::new().await, Bench::new().await);
    // Both draw the same numbers; their secrets are not the same either way.
    let mut stranger = Browser::default();
    other.leave(&mut stranger, "/").await;
    other.sign_in(&mut stranger, "/").await;
    let foreign = stranger.cookie(COOKIE).unwrap().to_owned();
    let mut mine = Browser::default();
    bench.sign_in(&mut mine, "/").await;
    let own = mine.cookie(COOKIE).unwrap().to_owned();
    let mut values = vec![
        foreign,
        String::new(),
        "A".repeat(64),
        "A".repeat(65_536),
        format!("{own}{own}"),
        format!("{own}."),
        format!("\"{own}\""),
        own.to_lowercase(),
        own.replace(&own[..1], "%41"),
        format!("../{own}"),
        format!("{own}|1700000000|signature"),
    ];
    values.extend((1..own.len()).map(|end| own[..end].to_owned()));
    for value in values {
        let browser = Browser {
            cookies: vec![(COOKIE.to_owned(), value.clone())],
        };
        let person = bench
            .sessions
            .person(&browser.headers(), &bench.login, NOW)
            .await;
        let shown = value.get(..80).unwrap_or(&value);
        assert_eq!(person.unwrap_err(), NoSession::Unknown, "{shown}");
        let answer = bench.get("/oauth2/auth", &browser).await;
        assert_eq!(answer.status(), 401, "{shown}");
    }
}

#[tokio::test]
async fn an_attempt_cookie_of_another_store_cut_or_of_64_kilobytes_begins_nothing() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    let back = bench.leave(&mut browser, "/x").await;
    let (name, value) = browser.cookies[0].clone();
    let mut values = vec![
        String::new(),
        "A".repeat(65_536),
        format!("{value}{value}"),
        value.to_lowercase(),
        format!("{value}="),
    ];
    values.extend(
        (1..value.len())
            .step_by(7)
            .map(|end| value[..end].to_owned()),
    );
    for bad in values {
        let browser = Browser {
            cookies: vec![(name.clone(), bad.clone())],
        };
        let shown = bad.get(..80).unwrap_or(&bad);
        assert_eq!(
            refused(&bench, &back, &browser, shown).await,
            403,
            "{shown}"
        );
    }
    assert_eq!(bench.issuer.token_requests.load(Ordering::SeqCst), 0);
    assert_eq!(bench.get(&back, &browser).await.status(), 302);
}

#[tokio::test]
async fn a_flood_of_callbacks_asks_the_issuer_nothing_and_leaves_nothing() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    let good = bench.leave(&mut browser, "/x").await;
    let cookies = browser.cookies.len();
    for number in 0..2000_u32 {
        let state = BASE64URL_NOPAD.encode(&crate::keys::sha256(&[&number.to_be_bytes()]));
        let path = format!("/oauth2/callback?code=c{number}&state={state}");
        let answer = bench.get(&path, &browser).await;
        assert_eq!(answer.status(), 403);
        assert!(set_cookies(&answer).is_empty(), "{number}");
    }
    assert_eq!(bench.issuer.token_requests.load(Ordering::SeqCst), 0);
    assert_eq!(bench.issuer.key_fetches.load(Ordering::SeqCst), 0);
    assert_eq!(browser.cookies.len(), cookies);
    assert_eq!(bench.get(&good, &browser).await.status(), 302);
    // A browser that begins again and again keeps a few.
    let mut browser = Browser::default();
    for number in 0..200 {
        bench.clock.advance(Duration::from_secs(1));
        bench.leave(&mut browser, &format!("/{number}")).await;
        let sent: usize = browser
            .cookies
            .iter()
            .map(|(name, value)| name.len() + value.len() + 3)
            .sum();
        assert!(
            browser.cookies.len() <= 10 && sent < 5000,
            "{number}: {sent}"
        );
    }
}

/// Ways to write another host that some browser, proxy or framework has taken for a path or for a
/// host of ours.
const ELSEWHERE: &[&str] = &[
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "//evil.example/%2e%2e",
    "//evil.example:443/",
    "//kubeflow.example:8080@evil.example",
    "/\\evil.example",
    "\\/evil.example",
    "\\\\evil.example",
    "/\\/evil.example",
    "//\\evil.example",
    "\\/\\/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r/evil.example",
    "\t//evil.example",
    " //evil.example",
    "//evil.example\t",
    "/\x0b/evil.example",
    "/\x0c/evil.example",
    "/ /evil.example",
    "/\u{a0}/evil.example\u{0}",
    "/%09/evil.example",
    "/%0a/evil.example",
    "/%0d%0a/evil.example",
    "/%20/evil.example",
    "/%2f/evil.example",
    "/%2fevil.example",
    "/%5cevil.example",
    "/%5c%5cevil.example",
    "/%252fevil.example",
    "/%25252fevil.example",
    "%2f%2fevil.example",
    "%5c%5cevil.example",
    "/./\t/evil.example",
    "/.//evil.example",
    "/..//evil.example",
    "/./\\evil.example",
    "/%2e//evil.example",
    "/a/..//evil.example",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "https:\\\\evil.example",
    "https:/\\evil.example",
    "https://evil.example",
    "https://evil.example/",
    "HTTPS://EVIL.EXAMPLE",
    "hTTp://evil.example",
    "http://evil.example:80",
    "https://plain.example@evil.example",
    "https://plain.example:443@evil.example/",
    "https://plain.example%40evil.example",
    "https://plain.example\\@evil.example",
    "https://plain.example\\.evil.example",
    "https://plain.example.evil.example",
    "https://plain.example%2eevil.example",
    "https://plain.example%00.evil.example",
    "https://plain.example%0a.evil.example",
    "https://evil.example/plain.example",
    "https://evil.example?plain.example",
    "https://evil.example#plain.example",
    "https://evil.example\\plain.example",
    "https://xplain.example",
    "https://plain.example:8443",
    "https://plain.example:443.evil.example",
    "https://plain.example:",
    "https://plain.example:99999",
    "https://plain.example:8443@evil.example",
    "https://plain\u{3002}example",
    "https://\u{ff50}lain.example",
    "https://pl\u{430}in.example",
    "https://xn--plin-7na.example",
    "https://xn--evil.example",
    "https://[::1]",
    "https://[::ffff:127.0.0.1]/",
    "https://[::1%25plain.example]/",
    "https://[plain.example]",
    "https://127.0.0.1",
    "https://2130706433",
    "https://0x7f.1",
    "https://017700000001",
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "java\tscript:alert(1)",
    "javascript://plain.example/%0aalert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:msgbox(1)",
    "blob:https://plain.example/x",
    "file:///etc/passwd",
    "ftp://plain.example/",
    "ws://plain.example/",
    "view-source:https://plain.example",
    "evil.example",
    ".evil.example",
    "@evil.example",
    "/x\r\nLocation: https://evil.example",
    "/x%0d%0aLocation:%20https://evil.example\r\n",
    "?next=//evil.example",
    "#//evil.example",
    "",
];

#[tokio::test]
async fn no_spelling_of_another_host_leads_anybody_there() {
    assert!(ELSEWHERE.len() >= 60, "{}", ELSEWHERE.len());
    let bench = Bench::with(|login| login.whitelist_domains = vec!["plain.example".into()]).await;
    let here = Url::parse(&format!("http://{HOST_NAME}/deep/page?x=1")).unwrap();
    let is_here = |location: &str| {
        let led = here.join(location).unwrap();
        let plain = led.host_str() == Some("plain.example") && led.port().is_none();
        led.origin() == here.origin() || (plain && led.scheme() == "https")
    };
    for evil in ELSEWHERE {
        let end = bench.sign_in(&mut Browser::default(), evil).await;
        assert!(is_here(&end), "{evil:?} led to {end:?} after sign-in");
        assert!(!end.contains("evil"), "{evil:?} is kept: {end:?}");
        let rd = encoded(evil);
        let out = bench
            .get(&format!("/oauth2/sign_out?rd={rd}"), &Browser::default())
            .await;
        assert!(is_here(&location(&out)), "{evil:?} after sign-out");
        assert_eq!(out.headers().get_all("location").iter().count(), 1);
        let page = bench
            .get(&format!("/oauth2/sign_in?rd={rd}"), &Browser::default())
            .await;
        assert!(
            body(&page).contains(r#"name="rd" value="/""#),
            "{evil:?} on the page"
        );
        if let Ok(value) = HeaderValue::from_bytes(evil.as_bytes()) {
            let mut request = http::Request::get("/oauth2/sign_out")
                .body(Bytes::new())
                .unwrap();
            *request.headers_mut() = Browser::default().headers();
            request
                .headers_mut()
                .insert("x-auth-request-redirect", value);
            let out = bench.proxy.handle(request).await;
            assert!(is_here(&location(&out)), "{evil:?} by header");
        }
        // As the path that somebody without session asks for.
        if evil.starts_with('/')
            && let Ok(request) = http::Request::get(*evil).body(())
        {
            let mut parts = request.into_parts().0;
            parts.headers = Browser::default().headers();
            let how = sign_in(SignInAnswer::Page, NoSession::NoCookie);
            let page = bench.proxy.challenge(&parts, &how).await;
            assert!(!body(&page).contains("value=\"//"), "{evil:?}");
        }
    }
    for good in ["/a?next=https://evil.example//x", "https://plain.example/x"] {
        assert_eq!(bench.sign_in(&mut Browser::default(), good).await, good);
    }
}
