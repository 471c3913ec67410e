//! Sessions of an OAuth2 Proxy with the same secret.

use rmpv::Value;

use super::*;
use crate::sessions::inherited::sealed;

const SECRET: &str = "7d16fee92f8d11b8940b081b3f8b8acb";

async fn bench() -> Bench {
    Bench::with(|login| login.cookie_secret = model::names::Secret::new(SECRET)).await
}

fn cookie(created: i64) -> String {
    let fields = [
        ("e", Value::from("ann@a.example")),
        ("u", Value::from("subject")),
        ("g", Value::Array(vec!["g1".into()])),
        ("at", Value::from("access".repeat(50))),
    ];
    sealed(SECRET.as_bytes(), NAME, created, &fields)
}

fn sent(pairs: &[(&str, &str)]) -> HeaderMap {
    let pairs = pairs.iter().map(|(name, value)| format!("{name}={value}"));
    let text = pairs.collect::<Vec<_>>().join("; ");
    let mut headers = HeaderMap::new();
    headers.insert(COOKIE, HeaderValue::from_str(&text).unwrap());
    headers
}

#[tokio::test]
async fn a_session_of_an_oauth2_proxy_is_honoured_until_it_would_have_ended() {
    let bench = bench().await;
    let now = NOW.seconds();
    let good = cookie(now - 60);
    let headers = sent(&[(NAME, &good)]);
    for _ in 0..2 {
        let person = bench.now(&headers).unwrap().unwrap();
        assert_eq!(
            (person.email(), person.user()),
            (Some("ann@a.example"), "subject")
        );
        assert_eq!(&*person.groups()[0], "g1");
        assert_eq!(person.expires().seconds(), now - 60 + 24 * 3600);
    }
    // In parts.
    let (first, second) = good.split_at(good.len() / 2);
    let (zero, one) = (format!("{NAME}_0"), format!("{NAME}_1"));
    assert!(
        bench
            .now(&sent(&[(&one, second), (&zero, first)]))
            .unwrap()
            .is_ok()
    );
    let lone = bench.now(&sent(&[(&zero, first)])).unwrap();
    assert_eq!(lone.unwrap_err(), NoSession::Unknown);
    // Too old, from too far ahead, of another name.
    for (created, wanted) in [
        (now - 24 * 3600, NoSession::Expired),
        (now + 301, NoSession::Unknown),
    ] {
        let value = cookie(created);
        let absence = bench.now(&sent(&[(NAME, &value)])).unwrap();
        assert_eq!(absence.unwrap_err(), wanted);
    }
    let other = sealed(SECRET.as_bytes(), "other", now, &[("u", Value::from("x"))]);
    let absence = bench.now(&sent(&[(NAME, &other)])).unwrap();
    assert_eq!(absence.unwrap_err(), NoSession::Unknown);
}

#[tokio::test]
async fn an_inherited_session_ends_with_the_sign_out_and_without_the_secret() {
    let ours = bench().await;
    let value = cookie(NOW.seconds());
    let headers = sent(&[(NAME, &value)]);
    assert!(ours.now(&headers).unwrap().is_ok());
    ours.sessions.end(&headers, &ours.login).await.unwrap();
    let absence = ours.now(&headers).unwrap();
    assert_eq!(absence.unwrap_err(), NoSession::Unknown);
    let without = Bench::new().await;
    let absence = without.now(&headers).unwrap();
    assert_eq!(absence.unwrap_err(), NoSession::Unknown);
}
