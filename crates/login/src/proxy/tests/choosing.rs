//! Several issuers at once.

use super::*;

const OTHER: &str = "https://other.example";

/// The usual issuer, and one beside it that nobody answers for.
async fn two() -> Bench {
    Bench::with(|login| {
        let mut other = login.clone();
        other.issuer = OTHER.into();
        other.choice = "other".into();
        other.client_id = "elsewhere".into();
        other.display_name = "Elsewhere".into();
        other.login_url = Some(format!("{OTHER}/authorize").into());
        other.redeem_url = Some(format!("{OTHER}/token").into());
        other.jwks_url = Some(format!("{OTHER}/keys").into());
        other.redirect_url = Some("/oauth2/callback/other".into());
        login.choice = "dex".into();
        login.others = vec![Arc::new(other)];
    })
    .await
}

async fn leave(bench: &Bench, browser: &mut Browser, choice: &str, wanted: &str) -> String {
    let path = format!("/oauth2/start?rd={wanted}&issuer={choice}");
    let answer = bench.get(&path, browser).await;
    browser.take(&answer);
    location(&answer)
}

#[tokio::test]
async fn people_choose_on_a_page_without_script() {
    let bench = two().await;
    let browser = Browser::default();
    for path in [
        "/oauth2/sign_in?rd=/x",
        "/oauth2/start?rd=/x",
        "/oauth2/start?rd=/x&issuer=gone",
    ] {
        let page = bench.get(path, &browser).await;
        assert_eq!(page.status(), 200, "{path}");
        let page = body(&page);
        for button in [
            r#"<button class="button primary" type="submit" name="issuer" value="dex">Sign in with Dex</button>"#,
            r#"<button class="button" type="submit" name="issuer" value="other">Sign in with Elsewhere</button>"#,
            r#"<input type="hidden" name="rd" value="/x">"#,
        ] {
            assert!(page.contains(button), "{path}: {page}");
        }
    }
    let chosen = bench
        .get("/oauth2/start?rd=/x&issuer=other", &browser)
        .await;
    let chosen = location(&chosen);
    assert!(chosen.starts_with("https://other.example/authorize?client_id=elsewhere&"));
    assert!(
        chosen.contains("redirect_uri=%2Foauth2%2Fcallback%2Fother"),
        "{chosen}"
    );
}

#[tokio::test]
async fn who_chose_the_first_issuer_is_signed_in_by_it() {
    let bench = two().await;
    let mut browser = Browser::default();
    let back = leave(&bench, &mut browser, "dex", "/x").await;
    let back = bench.issuer.authorize(&back);
    let answer = bench.get(&back, &browser).await;
    assert_eq!(location(&answer), "/x");
    browser.take(&answer);
    let person = bench
        .sessions
        .person(&browser.headers(), &bench.login, NOW)
        .await;
    assert_eq!(person.unwrap().user(), "Cg1");
}

/// RFC 9700 §4.4: the issuer that was chosen sends the browser on to another, whose code comes back
/// under the first one's state.
#[tokio::test]
async fn an_answer_of_one_issuer_is_never_taken_to_another() {
    let bench = two().await;
    let mut browser = Browser::default();
    let evil = leave(&bench, &mut browser, "other", "/x").await;
    let state = parameter(evil.split_once('?').unwrap().1, "state").unwrap();
    let honest = leave(&bench, &mut browser, "dex", "/x").await;
    let code = bench.issuer.authorize(&honest);
    let code = parameter(code.split_once('?').unwrap().1, "code").unwrap();
    let issuer: String = byte_serialize(crate::fixture::ISSUER.as_bytes()).collect();
    let other: String = byte_serialize(OTHER.as_bytes()).collect();
    let attacks = [
        // The honest issuer's code at its own callback, and at the other's.
        format!("/oauth2/callback?code={code}&state={state}"),
        format!("/oauth2/callback?code={code}&state={state}&iss={issuer}"),
        format!("/oauth2/callback?code={code}&state={state}&iss={other}"),
        format!("/oauth2/callback/other?code={code}&state={state}&iss={issuer}"),
        format!("/oauth2/callback/dex?code={code}&state={state}"),
        format!("/oauth2/callback/?code={code}&state={state}"),
    ];
    for attack in attacks {
        let answer = bench.get(&attack, &browser).await;
        assert_eq!(answer.status(), 403, "{attack}");
        assert!(
            body(&answer).contains("another sign-in service"),
            "{attack}: {}",
            body(&answer)
        );
        let mut after = browser.clone();
        after.take(&answer);
        assert_eq!(after.cookie(COOKIE), None, "{attack}");
    }
    let asked = &bench.issuer.token_requests;
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 0);
    // Their own callback leads to their own token endpoint, which knows nothing of the code.
    let own = format!("/oauth2/callback/other?code={code}&state={state}");
    assert_eq!(bench.get(&own, &browser).await.status(), 500);
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 0);
}
