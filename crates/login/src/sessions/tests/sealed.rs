//! Sessions that are in their cookies.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::SET_COOKIE;
use http::{Response, StatusCode, Uri};
use model::names::Secret;
use model::snapshot::Login;

use super::*;
use crate::sessions::store::StoreAddress;

const LIFE: i64 = 100;

fn settings(secrets: &[u8]) -> SessionSettings {
    SessionSettings {
        store: StoreAddress::Cookie,
        secrets: secrets
            .iter()
            .map(|byte| Secret::new([*byte; 32]))
            .collect(),
        ..SessionSettings::in_file(std::path::Path::new("/nonexistent"))
    }
}

async fn process(bench: &Bench, secrets: &[u8]) -> Arc<Sessions> {
    let sessions = bench.with_settings(settings(secrets)).await;
    tokio::spawn(Arc::clone(&sessions).renew());
    sessions
}

/// Somebody who signed in, with tokens that last [`LIFE`] seconds.
async fn signed_in(change: impl FnOnce(&mut Login)) -> (Bench, Browser) {
    let mut bench = Bench::with(change).await;
    bench
        .issuer
        .misbehave(|quirks| quirks.renewable = Some(LIFE));
    let sessions = process(&bench, &[1]).await;
    bench.work_with(sessions);
    let mut browser = Browser::default();
    assert_eq!(bench.sign_in(&mut browser, "/x").await, "/x");
    (bench, browser)
}

async fn who(
    sessions: &Sessions,
    bench: &Bench,
    browser: &Browser,
) -> Result<Arc<Person>, NoSession> {
    let now = bench.clock.now();
    sessions.person(&browser.headers(), &bench.login, now).await
}

/// What an answer to the browser's request carries.
fn carried(sessions: &Sessions, bench: &Bench, browser: &Browser) -> Vec<HeaderValue> {
    let (headers, logins) = (browser.headers(), [bench.login.clone()]);
    let sealed = sessions.sealed.as_ref().unwrap();
    let uri = Uri::from_static("/");
    sessions.successors(sealed, &uri, &headers, &logins, bench.clock.now())
}

fn take(browser: &mut Browser, cookies: Vec<HeaderValue>) {
    let mut answer = Response::new(Bytes::new());
    for cookie in cookies {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
    browser.take(&answer);
}

fn renewals(bench: &Bench) -> usize {
    bench.issuer.renewals.load(Ordering::SeqCst)
}

#[tokio::test]
async fn every_process_with_the_secret_knows_a_session_and_no_other_does() {
    let (bench, browser) = signed_in(|_| {}).await;
    let here = bench.now(&browser.headers()).unwrap().unwrap();
    let value = browser.cookie(NAME).unwrap();
    assert!(value.starts_with("v1.1."), "{value}");
    let token = here.token().unwrap().bearer().to_str().unwrap();
    assert!(!value.contains(&token["Bearer ".len()..][..20]));
    let there = process(&bench, &[1]).await;
    let person = who(&there, &bench, &browser).await.unwrap();
    assert_eq!(person.email(), Some("user@example.com"));
    let rotated = process(&bench, &[2, 1]).await;
    assert!(who(&rotated, &bench, &browser).await.is_ok());
    let foreign = process(&bench, &[2]).await;
    let read = who(&foreign, &bench, &browser).await;
    assert_eq!(read.unwrap_err(), NoSession::Unknown);
    let mut forged = browser.clone();
    for (_, value) in &mut forged.cookies {
        let place = value.len() / 2;
        let other = if value.as_bytes()[place] == b'A' {
            "B"
        } else {
            "A"
        };
        value.replace_range(place..=place, other);
    }
    let read = who(&bench.sessions, &bench, &forged).await;
    assert_eq!(read.unwrap_err(), NoSession::Unknown);
    // Nothing is there to be listed or ended.
    let listed = there.list(None, "", 10).await;
    assert!(matches!(listed, Err(StoreError::InCookies)));
    assert!(matches!(there.end_all().await, Err(StoreError::InCookies)));
    assert!(there.is_reachable().await);
    assert!(there.sweep(NOW).await.is_ok());
}

#[tokio::test]
async fn a_sign_out_takes_every_part_and_is_remembered_here() {
    let (bench, mut browser) = signed_in(|_| {}).await;
    // What is left of a longer session, and of another program.
    browser.cookies.push((format!("{NAME}_7"), "stale".into()));
    let kept = browser.clone();
    let answer = bench.get("/oauth2/sign_out", &browser).await;
    assert_eq!(answer.status(), StatusCode::FOUND);
    browser.take(&answer);
    assert!(browser.cookies.is_empty(), "{:?}", browser.cookies);
    let read = who(&bench.sessions, &bench, &kept).await;
    assert_eq!(read.unwrap_err(), NoSession::Unknown);
}

#[tokio::test]
async fn a_long_session_is_divided_and_one_that_is_too_long_says_so() {
    let mut bench = Bench::new().await;
    let sessions = process(&bench, &[1]).await;
    bench.work_with(sessions);
    let groups = |count: usize| {
        let groups: Vec<_> = (0..count)
            .map(|number| format!("a-group-{number}"))
            .collect();
        json!(groups)
    };
    bench.issuer.misbehave(|quirks| {
        quirks.claims.insert("groups".to_owned(), groups(120));
    });
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    assert!(browser.cookie(NAME).is_none());
    assert!(browser.cookies.len() >= 2, "{}", browser.cookies.len());
    let person = who(&bench.sessions, &bench, &browser).await.unwrap();
    assert_eq!(person.groups().len(), 120);
    // A shorter one takes its place, whole.
    bench.issuer.misbehave(|quirks| {
        quirks.claims.insert("groups".to_owned(), groups(1));
    });
    bench.sign_in(&mut browser, "/").await;
    assert!(browser.cookie(NAME).is_some() && browser.cookies.len() == 1);
    bench.issuer.misbehave(|quirks| {
        quirks.claims.insert("groups".to_owned(), groups(500));
    });
    let back = bench.leave(&mut browser, "/").await;
    let answer = bench.get(&back, &browser).await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let page = crate::fixture::body(&answer);
    assert!(
        page.contains("more about you than fits into a cookie"),
        "{page}"
    );
}

#[tokio::test]
async fn of_many_tabs_one_renews_and_all_get_the_new_cookie() {
    let (bench, browser) = signed_in(|_| {}).await;
    assert!(carried(&bench.sessions, &bench, &browser).is_empty());
    bench.clock.advance(Duration::from_secs(80));
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (sessions, login) = (bench.sessions.clone(), bench.login.clone());
        let (headers, now) = (browser.headers(), bench.clock.now());
        asking.spawn(async move { sessions.person(&headers, &login, now).await });
    }
    for person in asking.join_all().await {
        assert_eq!(
            person.unwrap().expires(),
            NOW.plus(Duration::from_secs(180))
        );
    }
    assert_eq!(renewals(&bench), 1);
    // Each answer carries it, and the former cookie goes on for requests that were under way.
    let mut newer = browser.clone();
    take(&mut newer, carried(&bench.sessions, &bench, &browser));
    assert_ne!(newer.cookie(NAME), browser.cookie(NAME));
    assert!(carried(&bench.sessions, &bench, &newer).is_empty());
    for one in [&browser, &newer] {
        assert!(who(&bench.sessions, &bench, one).await.is_ok());
    }
    assert_eq!(renewals(&bench), 1);
    // A process that never saw either knows the newer one, with its new tokens.
    let there = process(&bench, &[1]).await;
    bench.clock.advance(Duration::from_secs(90));
    assert!(who(&there, &bench, &newer).await.is_ok());
    assert_eq!(renewals(&bench), 2);
    // Out with one is out with all that came before.
    bench.get("/oauth2/sign_out", &newer).await;
    for one in [&browser, &newer] {
        let read = who(&bench.sessions, &bench, one).await;
        assert_eq!(read.unwrap_err(), NoSession::Unknown);
    }
}

#[tokio::test]
async fn a_refresh_token_that_another_process_used_loses_nobody() {
    let (bench, browser) = signed_in(|_| {}).await;
    let there = process(&bench, &[1]).await;
    bench.clock.advance(Duration::from_secs(80));
    assert!(who(&there, &bench, &browser).await.is_ok());
    assert_eq!(renewals(&bench), 1);
    // The issuer takes the former refresh token no more; the tokens of the cookie are good.
    bench
        .issuer
        .misbehave(|quirks| quirks.refuses_renewal = true);
    for _ in 0..5 {
        let person = who(&bench.sessions, &bench, &browser).await.unwrap();
        assert_eq!(person.expires(), NOW.plus(Duration::from_secs(100)));
    }
    assert!(carried(&bench.sessions, &bench, &browser).is_empty());
    // The browser has the newer one.
    bench
        .issuer
        .misbehave(|quirks| quirks.refuses_renewal = false);
    let mut newer = browser.clone();
    take(&mut newer, carried(&there, &bench, &browser));
    bench.clock.advance(Duration::from_secs(30));
    assert!(who(&bench.sessions, &bench, &newer).await.is_ok());
    // The former one has ended with its tokens.
    bench
        .issuer
        .misbehave(|quirks| quirks.refuses_renewal = true);
    let read = who(&bench.sessions, &bench, &browser).await;
    assert!(read.is_err());
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_ends_no_session_whose_tokens_are_good() {
    let (bench, browser) = signed_in(|_| {}).await;
    bench.clock.advance(Duration::from_secs(80));
    bench.issuer.misbehave(|quirks| quirks.down = true);
    assert!(who(&bench.sessions, &bench, &browser).await.is_ok());
    bench.clock.advance(Duration::from_secs(30));
    let read = who(&bench.sessions, &bench, &browser).await;
    assert_eq!(read.unwrap_err(), NoSession::Expired);
    bench.issuer.misbehave(|quirks| quirks.down = false);
    bench.clock.advance(Duration::from_secs(5));
    assert!(who(&bench.sessions, &bench, &browser).await.is_ok());
}
