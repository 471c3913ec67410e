//! Claims that the ID token leaves to the userinfo endpoint.

use std::sync::Arc;

use model::snapshot::UserInfo;
use policy::Person;

use super::*;

const JSON: &str = "application/json";

/// An issuer whose ID tokens say `sub` alone.
async fn thin(said: Option<(u16, &'static str, String)>, change: impl FnOnce(&mut Login)) -> Bench {
    let bench = Bench::with(|login| {
        login.user_info_url = Some(format!("{ISSUER}/userinfo").into());
        change(login);
    })
    .await;
    bench.issuer.misbehave(|quirks| {
        quirks.user_info = said;
        let gone = json!({"email": null, "groups": null, "preferred_username": null});
        quirks.claims = gone.as_object().unwrap().clone();
    });
    bench
}

fn said(info: &Value) -> Option<(u16, &'static str, String)> {
    Some((200, JSON, info.to_string()))
}

async fn who(bench: &Bench, browser: &Browser) -> Option<Arc<Person>> {
    let now = model::seams::Clock::now(&*bench.clock);
    let headers = browser.headers();
    let person = bench.sessions.person(&headers, &bench.login, now).await;
    person.ok()
}

/// The status of the callback's answer, and who has a session then.
async fn outcome(bench: &Bench) -> (u16, Option<Arc<Person>>) {
    let mut browser = Browser::default();
    let back = bench.leave(&mut browser, "/").await;
    let answer = bench.get(&back, &browser).await;
    browser.take(&answer);
    (answer.status().as_u16(), who(bench, &browser).await)
}

#[tokio::test]
async fn what_the_id_token_leaves_out_is_asked_for() {
    let info =
        json!({"sub": "Cg1", "email": "a@b.c", "groups": ["g"], "preferred_username": "ann"});
    let bench = thin(said(&info), |_| {}).await;
    let (status, person) = outcome(&bench).await;
    let person = person.unwrap();
    assert_eq!((status, person.email()), (302, Some("a@b.c")));
    assert_eq!(person.groups(), ["g"].map(Arc::<str>::from));
    assert_eq!(person.preferred_username(), Some("ann"));
    let asked = bench.issuer.asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        [format!("{ISSUER}/userinfo")],
        "once, and without a token in it"
    );
}

#[tokio::test]
async fn a_token_that_says_everything_is_enough() {
    for (how, times) in [
        (UserInfo::WhenMissing, 0),
        (UserInfo::Never, 0),
        (UserInfo::Always, 1),
    ] {
        let info = json!({"sub": "Cg1", "email": "other@b.c"});
        let bench = thin(said(&info), |login| login.user_info = how).await;
        bench.issuer.misbehave(|quirks| quirks.claims.clear());
        let (_, person) = outcome(&bench).await;
        assert_eq!(person.unwrap().email(), Some("user@example.com"), "{how:?}");
        assert_eq!(bench.issuer.asked.lock().unwrap().len(), times, "{how:?}");
    }
}

#[tokio::test]
async fn a_signed_answer_has_to_be_proven_and_for_us() {
    let claims = json!({"email": "a@b.c"});
    for (changes, status) in [
        (claims.clone(), 302),
        (json!({"email": "a@b.c", "aud": "other"}), 500),
        (json!({"email": "a@b.c", "iss": "https://other"}), 500),
        (json!({"email": "a@b.c", "sub": "other"}), 500),
    ] {
        let bench = thin(None, |_| {}).await;
        let signed = bench.issuer.token(changes.clone());
        let said = Some((200, "application/jwt", signed));
        bench.issuer.misbehave(|quirks| quirks.user_info = said);
        let (answer, person) = outcome(&bench).await;
        assert_eq!(
            (answer, person.is_some()),
            (status, status == 302),
            "{changes}"
        );
    }
    let bench = thin(None, |_| {}).await;
    bench.issuer.misbehave(|quirks| quirks.stranger = true);
    let forged = bench.issuer.token(claims);
    bench.issuer.misbehave(|quirks| {
        quirks.stranger = false;
        quirks.user_info = Some((200, "application/jwt", forged));
    });
    let (answer, person) = outcome(&bench).await;
    assert_eq!((answer, person.is_none()), (500, true));
}

#[tokio::test]
async fn nobody_is_signed_in_by_an_answer_about_somebody_else_or_by_none() {
    let email = |sub: Value| json!({"sub": sub, "email": "a@b.c"}).to_string();
    for (status, kind, body) in [
        (200, JSON, email(json!("other"))),
        (200, JSON, email(json!(null))),
        (200, JSON, json!({"email": "a@b.c"}).to_string()),
        (200, JSON, json!({"sub": "Cg1"}).to_string()),
        (200, JSON, "[]".to_owned()),
        (200, "text/html", "<html>".to_owned()),
        (401, JSON, email(json!("Cg1"))),
        (503, JSON, email(json!("Cg1"))),
        (302, JSON, email(json!("Cg1"))),
    ] {
        let bench = thin(Some((status, kind, body.clone())), |_| {}).await;
        let (answer, person) = outcome(&bench).await;
        assert_eq!((answer, person.is_none()), (500, true), "{status} {body}");
    }
    let never = thin(said(&json!({"sub": "Cg1", "email": "a@b.c"})), |login| {
        login.user_info = UserInfo::Never;
    });
    let (answer, person) = outcome(&never.await).await;
    assert_eq!((answer, person.is_none()), (500, true));
}

#[tokio::test]
async fn discovery_says_where_it_is() {
    let bench = thin(said(&json!({"sub": "Cg1", "email": "a@b.c"})), |login| {
        login.login_url = None;
        login.redeem_url = None;
        login.jwks_url = None;
        login.user_info_url = None;
    })
    .await;
    let offer = json!({"userinfo_endpoint": format!("{ISSUER}/userinfo")});
    bench
        .issuer
        .misbehave(|quirks| quirks.offers = offer.as_object().unwrap().clone());
    let (status, person) = outcome(&bench).await;
    assert_eq!((status, person.unwrap().email()), (302, Some("a@b.c")));
}

#[tokio::test]
async fn a_renewal_asks_again_and_a_silent_endpoint_changes_nobody() {
    let info =
        |email: &str, group: &str| said(&json!({"sub": "Cg1", "email": email, "groups": [group]}));
    let bench = thin(info("a@b.c", "g"), |_| {}).await;
    bench
        .issuer
        .misbehave(|quirks| quirks.renewable = Some(100));
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    for (answer, email, group) in [
        (info("new@b.c", "h"), "new@b.c", "h"),
        (Some((503, JSON, String::new())), "new@b.c", "h"),
    ] {
        bench.issuer.misbehave(|quirks| quirks.user_info = answer);
        // Past the end of the tokens: the request waits for the renewal.
        bench.clock.advance(Duration::from_secs(101));
        let person = who(&bench, &browser).await.unwrap();
        assert_eq!(person.email(), Some(email));
        assert_eq!(person.groups(), [group].map(Arc::<str>::from));
    }
    let stranger = said(&json!({"sub": "other", "email": "a@b.c", "groups": []}));
    bench.issuer.misbehave(|quirks| quirks.user_info = stranger);
    bench.clock.advance(Duration::from_secs(101));
    assert!(who(&bench, &browser).await.is_none());
}

#[tokio::test]
async fn nothing_is_asked_with_tokens_for_somebody_else() {
    let info = json!({"sub": "Cg1", "email": "a@b.c", "groups": []});
    let bench = thin(said(&info), |_| {}).await;
    bench
        .issuer
        .misbehave(|quirks| quirks.renewable = Some(100));
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    assert_eq!(bench.issuer.asked.lock().unwrap().len(), 1);
    let other = json!("other");
    bench
        .issuer
        .misbehave(|quirks| _ = quirks.claims.insert("sub".to_owned(), other));
    bench.clock.advance(Duration::from_secs(101));
    assert!(who(&bench, &browser).await.is_none());
    assert_eq!(bench.issuer.asked.lock().unwrap().len(), 1);
}
