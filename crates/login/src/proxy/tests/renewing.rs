//! Tokens that are renewed while their sessions go on.

use std::sync::atomic::Ordering;

use model::snapshot::{EmailVerified, RefreshFailure};
use policy::Person;

use super::*;
use crate::sessions::Sessions;

const LIFE: i64 = 100;

async fn renewable(change: impl FnOnce(&mut Login)) -> (Bench, Browser) {
    let bench = Bench::with(change).await;
    bench
        .issuer
        .misbehave(|quirks| quirks.renewable = Some(LIFE));
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    (bench, browser)
}

fn renewals(bench: &Bench) -> usize {
    bench.issuer.renewals.load(Ordering::SeqCst)
}

async fn who(
    sessions: &Sessions,
    bench: &Bench,
    browser: &Browser,
) -> Result<Arc<Person>, NoSession> {
    let now = model::seams::Clock::now(&*bench.clock);
    sessions.person(&browser.headers(), &bench.login, now).await
}

fn pass(bench: &Bench, seconds: i64) {
    bench
        .clock
        .advance(Duration::from_secs(seconds.unsigned_abs()));
}

/// Waits until the renewal in the background is over.
async fn until(look: impl AsyncFn() -> bool) {
    for _ in 0..2000 {
        if look().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    panic!("waited in vain");
}

#[tokio::test]
async fn a_session_whose_tokens_are_good_goes_on_while_one_renewal_runs() {
    let (bench, browser) = renewable(|login| login.pass_access_token = true).await;
    let at = |seconds| NOW.plus(Duration::from_secs(seconds));
    let first = who(&bench.sessions, &bench, &browser).await.unwrap();
    assert_eq!((first.expires(), first.due()), (at(100), Some(at(75))));
    pass(&bench, 74);
    who(&bench.sessions, &bench, &browser).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    assert_eq!(renewals(&bench), 0);
    pass(&bench, 1);
    // Nobody waits: the answers are those of the tokens as they are.
    for _ in 0..50 {
        let person = who(&bench.sessions, &bench, &browser).await.unwrap();
        assert_eq!(person.expires(), at(100));
    }
    until(async || {
        let person = who(&bench.sessions, &bench, &browser).await.unwrap();
        person.expires() == at(175)
    })
    .await;
    assert_eq!(renewals(&bench), 1);
    let renewed = who(&bench.sessions, &bench, &browser).await.unwrap();
    assert_eq!(renewed.access_token().unwrap(), "at-1");
    assert_eq!(renewed.due(), Some(at(150)));
}

#[tokio::test]
async fn fifty_requests_with_expired_tokens_wait_for_one_renewal() {
    let (bench, browser) = renewable(|_| {}).await;
    for round in 1..=3 {
        pass(&bench, LIFE + 7);
        let claims = json!({"groups": [format!("round-{round}")]});
        let claims = claims.as_object().unwrap().clone();
        bench.issuer.misbehave(|quirks| quirks.claims = claims);
        let asking = (0..50).map(|_| who(&bench.sessions, &bench, &browser));
        for person in futures_all(asking).await {
            assert_eq!(&*person.unwrap().groups()[0], format!("round-{round}"));
        }
        assert_eq!(renewals(&bench), round);
    }
}

/// All of them at once.
async fn futures_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut pending: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = pending.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in pending.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        match done.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test]
async fn two_processes_on_one_store_renew_once() {
    let (bench, browser) = renewable(|_| {}).await;
    let beside = bench.beside().await;
    bench.sessions.share();
    beside.share();
    for round in 1..=3 {
        pass(&bench, LIFE + 1);
        let asking = (0..40).map(|number| {
            let sessions = if number % 2 == 0 {
                &bench.sessions
            } else {
                &beside
            };
            who(sessions, &bench, &browser)
        });
        for person in futures_all(asking).await {
            person.unwrap();
        }
        assert_eq!(renewals(&bench), round, "a refresh token is good once");
    }
}

#[tokio::test]
async fn an_issuer_that_is_down_ends_no_session_before_its_tokens() {
    let (bench, browser) = renewable(|_| {}).await;
    pass(&bench, 80);
    bench.issuer.misbehave(|quirks| quirks.down = true);
    for _ in 0..5 {
        who(&bench.sessions, &bench, &browser).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    pass(&bench, 20);
    let gone = who(&bench.sessions, &bench, &browser).await;
    assert_eq!(gone.unwrap_err(), NoSession::Expired, "never beyond");
    // Whoever asks meanwhile keeps the cookie.
    let parts = asked("/x", &browser);
    let how = sign_in(SignInAnswer::Page, NoSession::Expired);
    assert!(set_cookies(&bench.proxy.challenge(&parts, &how).await).is_empty());
    let answer = bench.get("/oauth2/auth", &browser).await;
    assert_eq!(answer.status(), 401);
    assert!(set_cookies(&answer).is_empty());
    // It comes back, and so does the session, without a sign-in.
    bench.issuer.misbehave(|quirks| quirks.down = false);
    pass(&bench, 4);
    who(&bench.sessions, &bench, &browser).await.unwrap();
    assert_eq!(renewals(&bench), 1);
}

#[tokio::test]
async fn a_session_ends_at_the_first_failure_where_the_settings_say_so() {
    let (bench, browser) = renewable(|login| login.refresh_failure = RefreshFailure::End).await;
    pass(&bench, 80);
    bench.issuer.misbehave(|quirks| quirks.down = true);
    until(async || who(&bench.sessions, &bench, &browser).await.is_err()).await;
    let gone = who(&bench.sessions, &bench, &browser).await;
    assert_eq!(gone.unwrap_err(), NoSession::Unknown);
}

#[tokio::test]
async fn what_is_renewed_is_checked_like_what_was_signed_in_with() {
    type Change = fn(&mut crate::fixture::Quirks);
    fn claim(quirks: &mut crate::fixture::Quirks, name: &str, value: Value) {
        quirks.claims.insert(name.to_owned(), value);
    }
    let changes: [(&str, Change); 13] = [
        ("refused", |quirks| quirks.refuses_renewal = true),
        ("a stranger's signature", |quirks| quirks.stranger = true),
        ("no signature", |quirks| {
            quirks.bend = Some(|token| format!("{}.", token.rsplit_once('.').unwrap().0));
        }),
        ("alg none", |quirks| {
            quirks.bend =
                Some(|token| format!("eyJhbGciOiJub25lIn0.{}.", token.split('.').nth(1).unwrap()));
        }),
        ("another person", |quirks| {
            claim(quirks, "sub", json!("other"))
        }),
        ("nobody", |quirks| claim(quirks, "sub", json!(null))),
        ("another issuer", |quirks| {
            claim(quirks, "iss", json!("https://other"))
        }),
        ("another audience", |quirks| {
            claim(quirks, "aud", json!("other"))
        }),
        ("another party", |quirks| {
            claim(quirks, "azp", json!("other"))
        }),
        ("another nonce", |quirks| {
            claim(quirks, "nonce", json!("other"))
        }),
        ("from tomorrow", |quirks| {
            claim(quirks, "iat", json!(NOW.seconds() + 86_400))
        }),
        ("no e-mail", |quirks| claim(quirks, "email", json!(null))),
        ("not verified", |quirks| {
            claim(quirks, "email_verified", json!(false))
        }),
    ];
    for (case, change) in changes {
        let (bench, browser) = renewable(|_| {}).await;
        pass(&bench, LIFE);
        bench.issuer.misbehave(change);
        let gone = who(&bench.sessions, &bench, &browser).await;
        assert_eq!(gone.unwrap_err(), NoSession::Unknown, "{case}");
        assert_eq!(renewals(&bench), 1, "{case}");
        // It stays so.
        bench
            .issuer
            .misbehave(|quirks| *quirks = crate::fixture::Quirks::default());
        assert!(
            who(&bench.sessions, &bench, &browser).await.is_err(),
            "{case}"
        );
        assert_eq!(renewals(&bench), 1, "{case}");
    }
}

#[tokio::test]
async fn a_renewal_without_id_token_leaves_who_it_is() {
    let (bench, browser) = renewable(|login| {
        login.email_verified = EmailVerified::Required;
        login.pass_access_token = true;
    })
    .await;
    bench
        .issuer
        .misbehave(|quirks| quirks.renews_without_id_token = true);
    pass(&bench, LIFE);
    let person = who(&bench.sessions, &bench, &browser).await.unwrap();
    assert_eq!(person.email(), Some("user@example.com"));
    assert_eq!(person.access_token().unwrap(), "at-1");
    assert_eq!(person.expires(), NOW.plus(Duration::from_secs(200)));
}

#[tokio::test]
async fn keys_that_cannot_be_had_do_not_cost_the_refresh_token() {
    let (bench, browser) = renewable(|_| {}).await;
    pass(&bench, LIFE);
    bench.issuer.rotate("two");
    bench.issuer.misbehave(|quirks| {
        quirks.bend = Some(|token| {
            // A key that is not published yet.
            let header = data_encoding::BASE64URL_NOPAD.encode(br#"{"alg":"RS256","kid":"three"}"#);
            format!("{header}.{}", token.split_once('.').unwrap().1)
        })
    });
    let gone = who(&bench.sessions, &bench, &browser).await;
    assert_eq!(gone.unwrap_err(), NoSession::Expired);
    bench.issuer.misbehave(|quirks| quirks.bend = None);
    pass(&bench, 11);
    who(&bench.sessions, &bench, &browser).await.unwrap();
    assert_eq!(renewals(&bench), 2);
}

#[tokio::test]
async fn a_client_that_goes_away_takes_no_refresh_token_with_it() {
    let (bench, browser) = renewable(|_| {}).await;
    pass(&bench, LIFE);
    let impatient = who(&bench.sessions, &bench, &browser);
    let waited = tokio::time::timeout(std::time::Duration::from_millis(2), impatient).await;
    assert!(waited.is_err(), "it was over too soon to tell");
    until(async || renewals(&bench) == 1).await;
    who(&bench.sessions, &bench, &browser).await.unwrap();
    assert_eq!(renewals(&bench), 1);
}

#[tokio::test]
async fn a_session_ends_with_its_cookie_however_often_it_was_renewed() {
    let (bench, browser) = renewable(|login| {
        login.cookie_expire = Duration::from_secs(250);
        login.cookie_refresh = Some(Duration::from_secs(30));
    })
    .await;
    let first = who(&bench.sessions, &bench, &browser).await.unwrap();
    assert_eq!(first.due(), Some(NOW.plus(Duration::from_secs(30))));
    pass(&bench, 100);
    who(&bench.sessions, &bench, &browser).await.unwrap();
    pass(&bench, 100);
    let last = who(&bench.sessions, &bench, &browser).await.unwrap();
    assert_eq!(last.expires(), NOW.plus(Duration::from_secs(250)));
    pass(&bench, 50);
    let gone = who(&bench.sessions, &bench, &browser).await;
    assert!(gone.is_err());
    assert_eq!(renewals(&bench), 2);
}
