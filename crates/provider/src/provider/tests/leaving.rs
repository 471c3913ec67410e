//! Signing out at the provider, and telling clients of it.

use std::sync::Mutex;

use model::names::Duration;
use model::snapshot::{GrantType, SessionRules};
use serde_json::json;

use super::*;
use crate::notices::{Courier, Taken};

pub(super) fn remembering() -> Settings {
    let mut settings = fixture::settings();
    settings.protocol.sessions = Some(SessionRules {
        cookie: "dex_session".into(),
        absolute: Duration::from_secs(86_400),
        idle: Duration::from_secs(3600),
    });
    let rules = &mut settings.clients[0].rules;
    rules.after_logout = vec!["https://app/bye".into()];
    rules.back_channel_logout = Some("https://app/ended".into());
    settings.protocol.grants.push(GrantType::ClientCredentials);
    settings
}

/// A client that takes what is sent to it at the second time.
#[derive(Default)]
struct Slow(Mutex<Vec<(String, String)>>);

impl Courier for Slow {
    fn post(&self, address: &str, form: String) -> Taken<'_> {
        let mut seen = self.0.lock().unwrap();
        seen.push((address.to_owned(), form));
        let taken = seen.len() > 1;
        Box::pin(std::future::ready(taken))
    }
}

/// Signs in and gives the cookie and the tokens.
async fn signed_in(bench: &Bench) -> (String, TokenResponse) {
    let query = STOCK.replace("&prompt=none", "");
    let done = bench.sign_in_at(&bench.login_address(&query).await).await;
    let cookie = done
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let code = done.location_form().text("code").to_owned();
    (cookie, bench.redeem(&code).await.tokens())
}

async fn leave(bench: &Bench, cookie: &str, query: &str) -> Seen {
    let request = Request::get(format!("/dex/logout?{query}")).header("cookie", cookie);
    bench.send(request, "").await
}

async fn is_remembered(bench: &Bench, cookie: &str) -> bool {
    let request = Request::get(format!("/dex/auth?{STOCK}")).header("cookie", cookie);
    bench.send(request, "").await.told().2.is_empty()
}

#[tokio::test]
async fn a_hint_signs_out_and_leads_back() {
    let bench = Bench::with(remembering()).await;
    let (cookie, tokens) = signed_in(&bench).await;
    assert!(is_remembered(&bench, &cookie).await);
    let hint = tokens.id_token.unwrap();
    bench.clock.pass(90_000);
    // The hint may have expired; the sign-in has, too, and all the same people are led back.
    let back = crate::form::query(&[
        ("id_token_hint", hint.as_str()),
        ("post_logout_redirect_uri", "https://app/bye"),
        ("state", "a b"),
    ]);
    let seen = leave(&bench, &cookie, &back).await;
    assert_eq!(seen.location(), "https://app/bye?state=a+b");
    let (cookie, tokens) = signed_in(&bench).await;
    let hint = tokens.id_token.unwrap();
    let seen = leave(&bench, &cookie, &format!("id_token_hint={hint}")).await;
    assert_eq!((seen.status, seen.location()), (StatusCode::OK, ""));
    assert!(
        seen.header("set-cookie")
            .starts_with("dex_session=; Max-Age=0")
    );
    assert!(!is_remembered(&bench, &cookie).await);
}

#[tokio::test]
async fn without_a_hint_the_person_is_asked() {
    let bench = Bench::with(remembering()).await;
    let (cookie, _) = signed_in(&bench).await;
    let page = leave(&bench, &cookie, "").await;
    assert!(page.body.contains("user@example.com"));
    assert!(is_remembered(&bench, &cookie).await);
    let answer = page.attribute("name=\"sign_out\"", "value");
    let sent = |answer: &str, cookie: &str| {
        let body = crate::form::query(&[("sign_out", answer)]);
        (posting("/dex/logout").header("cookie", cookie), body)
    };
    let (request, body) = sent("forged", &cookie);
    bench.send(request, &body).await;
    assert!(is_remembered(&bench, &cookie).await);
    // Another session's answer is no answer.
    let (other, _) = signed_in(&bench).await;
    let (request, body) = sent(&answer, &other);
    bench.send(request, &body).await;
    assert!(is_remembered(&bench, &other).await);
    let (request, body) = sent(&answer, &cookie);
    bench.send(request, &body).await;
    assert!(!is_remembered(&bench, &cookie).await);
    assert_eq!(leave(&bench, "", "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn nothing_wrong_is_redirected() {
    let bench = Bench::with(remembering()).await;
    let (cookie, tokens) = signed_in(&bench).await;
    let hint = tokens.id_token.unwrap();
    for query in [
        "post_logout_redirect_uri=https://app/bye".to_owned(),
        format!("id_token_hint={hint}&post_logout_redirect_uri=https://app/bye/"),
        format!("id_token_hint={hint}x&post_logout_redirect_uri=https://app/bye"),
        format!("id_token_hint={hint}&client_id=other"),
        "client_id=other&post_logout_redirect_uri=https://app/bye".to_owned(),
        "id_token_hint=a.b.c".to_owned(),
        "state=a&state=b".to_owned(),
    ] {
        let seen = leave(&bench, &cookie, &query).await;
        let told = (seen.status, seen.location());
        assert_eq!(told, (StatusCode::BAD_REQUEST, ""), "{query}");
    }
    assert!(is_remembered(&bench, &cookie).await);
}

#[tokio::test]
async fn clients_are_told_until_they_take_it() {
    let bench = Bench::with(remembering()).await;
    let courier = Arc::new(Slow::default());
    let (cookie, tokens) = signed_in(&bench).await;
    let hint = tokens.id_token.unwrap();
    let claims = bench.claims(&hint).await;
    leave(&bench, &cookie, &format!("id_token_hint={hint}")).await;
    let telling = (*bench.provider)
        .clone()
        .with_courier(Arc::clone(&courier) as _);
    telling.tell().await.unwrap();
    telling.tell().await.unwrap();
    assert_eq!(courier.0.lock().unwrap().len(), 1, "not before its time");
    bench.clock.pass(30);
    telling.maintain().await.unwrap();
    bench.clock.pass(3600);
    telling.maintain().await.unwrap();
    let seen = courier.0.lock().unwrap().clone();
    assert_eq!(seen.len(), 2, "taken is taken");
    assert_eq!(seen[0].0, "https://app/ended");
    let form = Form::parse(seen[1].1.as_bytes()).unwrap();
    let token = form.text("logout_token");
    assert_eq!(
        jose::peek_header(token).unwrap().1.as_deref(),
        Some("logout+jwt")
    );
    let told = bench.claims(token).await;
    for same in ["iss", "sub", "sid", "aud"] {
        assert_eq!(told[same], claims[same], "{same}");
    }
    assert_eq!(told.get("nonce"), None);
    let event = "http://schemas.openid.net/event/backchannel-logout";
    assert_eq!(told["events"], json!({ event: {} }));
}

#[tokio::test]
async fn front_channel_clients_are_shown_in_frames() {
    let mut settings = remembering();
    settings.clients[0].rules.front_channel_logout = Some("https://app/frame?x=1".into());
    let bench = Bench::with(settings).await;
    let (cookie, tokens) = signed_in(&bench).await;
    let hint = tokens.id_token.unwrap();
    let sid = bench.claims(&hint).await["sid"]
        .as_str()
        .unwrap()
        .to_owned();
    let query = format!("id_token_hint={hint}&post_logout_redirect_uri=https://app/bye");
    let seen = leave(&bench, &cookie, &query).await;
    let frame = seen.attribute("title=\"An application", "src");
    assert!(
        frame.starts_with("https://app/frame?x=1&iss=http"),
        "{frame}"
    );
    assert!(frame.ends_with(&format!("&sid={sid}")));
    assert!(
        seen.header("content-security-policy")
            .contains("frame-src https://app;")
    );
    assert!(seen.body.contains("2;url=https://app/bye"));
}
