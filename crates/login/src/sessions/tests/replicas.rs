//! Several processes on one store, and stores that go away.

use std::sync::atomic::Ordering;

use super::*;
use crate::sessions::store::servers::{Server, secret};
use crate::sessions::store::{StoreAddress, Whose};

/// Two processes on one store, a browser, and the store.
struct Replicas {
    bench: Bench,
    here: Arc<Sessions>,
    there: Arc<Sessions>,
}

fn settings(address: StoreAddress) -> SessionSettings {
    SessionSettings {
        store: address,
        secrets: vec![secret()],
        ..SessionSettings::in_file(std::path::Path::new("/nonexistent"))
    }
}

impl Replicas {
    async fn on(server: &Server, change: impl Fn(&mut SessionSettings)) -> Self {
        let mut bench = Bench::new().await;
        let mut settings = settings(server.address());
        change(&mut settings);
        let here = bench.with_settings(settings.clone()).await;
        let there = bench.with_settings(settings).await;
        bench.work_with(here.clone());
        here.follow();
        there.follow();
        let replicas = Self { bench, here, there };
        replicas.heard().await;
        replicas
    }

    /// Both have asked the store since.
    async fn heard(&self) {
        for sessions in [&self.here, &self.there] {
            let rounds = || sessions.hearing.rounds.load(Ordering::Relaxed);
            let before = rounds();
            eventually(|| rounds() >= before + 2).await;
        }
    }

    async fn read(&self, sessions: &Sessions, browser: &Browser) -> Result<Arc<Person>, NoSession> {
        let (headers, now) = (browser.headers(), self.bench.clock.now());
        sessions.person(&headers, &self.bench.login, now).await
    }

    /// Whether `sessions` knows the session without asking the store.
    fn holds(&self, sessions: &Sessions, browser: &Browser) -> bool {
        let logins = [self.bench.login.clone()];
        let doors = Doors {
            logins: &logins,
            rules: &[],
            places: &[],
        };
        let (headers, memo) = (browser.headers(), Memo::default());
        let now = self.bench.clock.now();
        let session = sessions.look_now(&headers, None, doors, &memo, now);
        session.is_some_and(|session| session.person.is_ok())
    }
}

/// Waits, ten seconds at most.
async fn eventually(mut is_so: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not come about");
}

async fn what_ends_anywhere_is_over_everywhere(server: Server) {
    let replicas = Replicas::on(&server, |_| {}).await;
    let mut browser = Browser::default();
    replicas.bench.sign_in(&mut browser, "/").await;
    for sessions in [&replicas.here, &replicas.there] {
        assert!(replicas.read(sessions, &browser).await.is_ok());
        assert!(replicas.holds(sessions, &browser));
    }
    // By its owner.
    let login = &replicas.bench.login;
    replicas.there.end(&browser.headers(), login).await.unwrap();
    let began = tokio::time::Instant::now();
    eventually(|| !replicas.holds(&replicas.here, &browser)).await;
    assert!(began.elapsed() < Duration::from_secs(1));
    let read = replicas.read(&replicas.here, &browser).await;
    assert_eq!(read.unwrap_err(), NoSession::Unknown);
    // By an administrator, at another process than the one that has it.
    replicas.bench.sign_in(&mut browser, "/").await;
    assert!(replicas.holds(&replicas.here, &browser));
    let whose = Whose::Email("user@example.com".into());
    assert_eq!(replicas.there.end_whose(&whose).await.unwrap(), 1);
    let began = tokio::time::Instant::now();
    eventually(|| !replicas.holds(&replicas.here, &browser)).await;
    assert!(began.elapsed() < Duration::from_secs(1));
    // All.
    replicas.bench.sign_in(&mut browser, "/").await;
    assert!(replicas.read(&replicas.there, &browser).await.is_ok());
    assert_eq!(replicas.here.end_all().await.unwrap(), 1);
    eventually(|| !replicas.holds(&replicas.there, &browser)).await;
    // What one renews, the other reads anew.
    replicas.bench.sign_in(&mut browser, "/").await;
    assert!(replicas.read(&replicas.there, &browser).await.is_ok());
    let headers = browser.headers();
    let name = replicas.here.names(&headers, login).next().unwrap();
    let stored = replicas.here.stored(&name).await.unwrap().unwrap();
    let mut record = stored.record;
    record.groups = vec!["renewed".into()];
    let written = replicas.here.replace(&name, stored.version, record, NOW);
    assert!(written.await.unwrap().is_some());
    eventually(|| !replicas.holds(&replicas.there, &browser)).await;
    let read = replicas.read(&replicas.there, &browser).await.unwrap();
    assert_eq!(&*read.groups()[0], "renewed");
}

#[tokio::test]
async fn what_ends_anywhere_is_over_everywhere_on_postgres() {
    what_ends_anywhere_is_over_everywhere(Server::postgres().await).await;
}

#[tokio::test]
async fn what_ends_anywhere_is_over_everywhere_on_redis() {
    what_ends_anywhere_is_over_everywhere(Server::redis(&[]).await).await;
}

/// Under requests the whole time, the store is killed and comes back.
async fn nothing_is_lost_while_the_store_is_away(mut server: Server) {
    let replicas = Replicas::on(&server, |_| {}).await;
    let mut known = Vec::new();
    for _ in 0..20 {
        let mut browser = Browser::default();
        replicas.bench.sign_in(&mut browser, "/").await;
        known.push(browser);
    }
    let (known, elsewhere) = known.split_at(10);
    for round in 0..2 {
        server.kill();
        let sessions = &replicas.here;
        eventually(|| sessions.alarm().is_some()).await;
        for _ in 0..50 {
            for browser in known {
                let read = replicas.read(sessions, browser).await;
                assert!(read.is_ok(), "{round}: {read:?}");
            }
            // Whom this process does not know is not told from a stranger: that is no 401.
            for browser in elsewhere {
                let read = replicas.read(&replicas.there, browser).await;
                let is_right = match &read {
                    Ok(_) => round > 0,
                    Err(reason) => *reason == NoSession::StoreUnavailable,
                };
                assert!(is_right, "{round}: {read:?}");
            }
        }
        // Nobody signs in, and is told why.
        let back = replicas.bench.leave(&mut Browser::default(), "/").await;
        let answer = replicas.bench.get(&back, &Browser::default()).await;
        assert_ne!(answer.status(), 302);

        server.restart().await;
        for sessions in [&replicas.here, &replicas.there] {
            eventually(|| sessions.alarm().is_none()).await;
        }
        for browser in known.iter().chain(elsewhere) {
            for sessions in [&replicas.here, &replicas.there] {
                let read = replicas.read(sessions, browser).await;
                assert!(read.is_ok(), "{round}: {read:?}");
            }
        }
        let mut browser = Browser::default();
        replicas.bench.sign_in(&mut browser, "/").await;
        assert!(replicas.read(&replicas.there, &browser).await.is_ok());
    }
}

#[tokio::test]
async fn nothing_is_lost_while_postgres_is_away() {
    nothing_is_lost_while_the_store_is_away(Server::postgres().await).await;
}

#[tokio::test]
async fn nothing_is_lost_while_redis_is_away() {
    nothing_is_lost_while_the_store_is_away(Server::redis(&[]).await).await;
}

#[tokio::test]
async fn sessions_in_memory_go_on_without_the_store_for_the_grace_only() {
    let mut server = Server::redis(&[]).await;
    let grace = Duration::from_secs(120);
    let replicas = Replicas::on(&server, |settings| settings.grace = grace).await;
    let mut browser = Browser::default();
    replicas.bench.sign_in(&mut browser, "/").await;
    server.kill();
    eventually(|| replicas.here.alarm().is_some()).await;
    replicas.bench.clock.advance(Duration::from_secs(119));
    assert!(replicas.read(&replicas.here, &browser).await.is_ok());
    let alarm = replicas.here.alarm().unwrap();
    assert!(alarm.contains("for 119 seconds"), "{alarm}");
    replicas.bench.clock.advance(Duration::from_secs(2));
    let read = replicas.read(&replicas.here, &browser).await;
    assert_eq!(read.unwrap_err(), NoSession::StoreUnavailable);
    server.restart().await;
    eventually(|| replicas.here.alarm().is_none()).await;
    assert!(replicas.read(&replicas.here, &browser).await.is_ok());
    assert!(replicas.holds(&replicas.here, &browser));
}

#[tokio::test]
async fn a_process_starts_without_its_store_and_uses_it_once_it_is_there() {
    let mut server = Server::postgres().await;
    server.kill();
    let bench = Bench::new().await;
    let sessions = bench.with_settings(settings(server.address())).await;
    sessions.follow();
    let value = sessions
        .stamp
        .draw(&crate::fixture::SeededRandomness::default());
    let browser = Browser {
        cookies: vec![(NAME.to_owned(), value.text())],
    };
    let read = || async {
        let headers = browser.headers();
        sessions.person(&headers, &bench.login, NOW).await
    };
    assert_eq!(read().await.unwrap_err(), NoSession::StoreUnavailable);
    eventually(|| sessions.alarm().is_some()).await;
    server.restart().await;
    eventually(|| sessions.alarm().is_none()).await;
    assert_eq!(read().await.unwrap_err(), NoSession::Unknown);
}

#[tokio::test]
async fn another_secret_than_the_sessions_have_is_noticed() {
    let server = Server::redis(&[]).await;
    let mut bench = Bench::new().await;
    let sessions = bench.with_settings(settings(server.address())).await;
    bench.work_with(sessions.clone());
    let sealing = |known, foreign| Sealing { known, foreign };
    assert_eq!(sessions.sealing().await.unwrap(), sealing(0, 0));
    bench.sign_in(&mut Browser::default(), "/").await;
    assert_eq!(sessions.sealing().await.unwrap(), sealing(1, 0));
    let mut settings = settings(server.address());
    settings
        .secrets
        .insert(0, model::names::Secret::new([9; 32]));
    let rotated = bench.with_settings(settings.clone()).await;
    assert_eq!(rotated.sealing().await.unwrap(), sealing(1, 0));
    settings.secrets.truncate(1);
    let other = bench.with_settings(settings).await;
    assert_eq!(other.sealing().await.unwrap(), sealing(0, 1));
    // All may be ended all the same.
    assert_eq!(other.end_all().await.unwrap(), 1);
    assert_eq!(sessions.sealing().await.unwrap(), sealing(0, 0));
}

#[tokio::test]
async fn a_store_that_refuses_is_told_at_the_start_without_its_password() {
    let server = Server::redis(&["--requirepass", "right"]).await;
    let bench = Bench::new().await;
    let open = async |password: &str| {
        let secret = model::names::Secret::new(password.as_bytes());
        let settings = settings(server.address().with_password(&secret));
        Sessions::with(
            settings,
            bench.keys.clone(),
            bench.clock.clone(),
            Arc::new(crate::fixture::SeededRandomness::default()),
        )
        .await
    };
    assert!(open("right").await.is_ok());
    let fault = open("geheim").await.err().unwrap();
    assert!(!fault.is_outage(), "{fault}");
    assert!(!format!("{fault} {fault:?}").contains("geheim"));
    // A shared store without a secret is no store.
    let mut bare = settings(server.address());
    bare.secrets = vec![model::names::Secret::new("short")];
    let opened = Sessions::with(
        bare,
        bench.keys.clone(),
        bench.clock.clone(),
        Arc::new(crate::fixture::SeededRandomness::default()),
    );
    assert!(matches!(opened.await.err(), Some(StoreError::NoSecret(_))));
}

#[tokio::test]
async fn nobody_who_shows_no_cookie_for_too_long_is_in() {
    let server = Server::redis(&[]).await;
    let idle = Duration::from_secs(600);
    let replicas = Replicas::on(&server, |settings| settings.idle = Some(idle)).await;
    let (here, there) = (&replicas.here, &replicas.there);
    let mut browser = Browser::default();
    replicas.bench.sign_in(&mut browser, "/").await;
    assert!(replicas.read(there, &browser).await.is_ok());
    // Used here alone for long; elsewhere that is known.
    for _ in 0..4 {
        replicas.bench.clock.advance(Duration::from_secs(400));
        replicas.heard().await;
        assert!(replicas.holds(here, &browser));
    }
    let headers = browser.headers();
    let name = here.names(&headers, &replicas.bench.login).next().unwrap();
    let now = replicas.bench.clock.now();
    loop {
        let stored = here.stored(&name).await.unwrap().unwrap();
        if stored.seen == now {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(replicas.read(there, &browser).await.is_ok());
    // Then used by nobody.
    replicas.bench.clock.advance(Duration::from_secs(661));
    for sessions in [here, there] {
        let read = replicas.read(sessions, &browser).await;
        assert_eq!(read.unwrap_err(), NoSession::Expired);
    }
}

#[tokio::test]
async fn no_session_is_longer_than_the_lifetime() {
    let server = Server::redis(&[]).await;
    let lifetime = Duration::from_secs(600);
    let replicas = Replicas::on(&server, |settings| settings.lifetime = Some(lifetime)).await;
    let mut browser = Browser::default();
    replicas.bench.sign_in(&mut browser, "/").await;
    replicas.bench.clock.advance(Duration::from_secs(599));
    for sessions in [&replicas.here, &replicas.there] {
        let person = replicas.read(sessions, &browser).await.unwrap();
        assert_eq!(person.expires(), NOW.plus(lifetime));
    }
    replicas.bench.clock.advance(Duration::from_secs(1));
    for sessions in [&replicas.here, &replicas.there] {
        let read = replicas.read(sessions, &browser).await;
        assert_eq!(read.unwrap_err(), NoSession::Expired);
    }
}

/// Refresh tokens that are good once, and many requests at once at both processes.
async fn one_process_at_a_time_renews(server: Server) {
    let replicas = Replicas::on(&server, |_| {}).await;
    let bench = &replicas.bench;
    bench
        .issuer
        .misbehave(|quirks| quirks.renewable = Some(100));
    for sessions in [&replicas.here, &replicas.there] {
        tokio::spawn(sessions.clone().renew());
    }
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    for round in 1..=5 {
        bench.clock.advance(Duration::from_secs(101));
        let mut asking = tokio::task::JoinSet::new();
        for number in 0..40 {
            let sessions = match number % 2 {
                0 => replicas.here.clone(),
                _ => replicas.there.clone(),
            };
            let (headers, login) = (browser.headers(), bench.login.clone());
            let now = bench.clock.now();
            asking.spawn(async move { sessions.person(&headers, &login, now).await });
        }
        for read in asking.join_all().await {
            assert!(read.is_ok(), "{round}: {read:?}");
        }
        let renewals = bench.issuer.renewals.load(Ordering::SeqCst);
        assert_eq!(renewals, round, "a refresh token is good once");
    }
}

#[tokio::test]
async fn one_process_at_a_time_renews_on_postgres() {
    one_process_at_a_time_renews(Server::postgres().await).await;
}

#[tokio::test]
async fn one_process_at_a_time_renews_on_redis() {
    one_process_at_a_time_renews(Server::redis(&[]).await).await;
}

#[tokio::test]
async fn secrets_follow_each_other_without_anybody_signing_in_again() {
    let server = Server::redis(&[]).await;
    let mut bench = Bench::new().await;
    let (old, new) = (secret(), model::names::Secret::new([6; 32]));
    let with = |secrets: &[&model::names::Secret]| {
        let mut settings = settings(server.address());
        settings.secrets = secrets.iter().map(|one| (*one).clone()).collect();
        settings
    };
    let before = bench.with_settings(with(&[&old])).await;
    bench.work_with(before.clone());
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    // Who was at the issuer meanwhile comes back, too.
    let waiting = bench.leave(&mut browser, "/tab").await;
    let between = bench.with_settings(with(&[&new, &old])).await;
    bench.work_with(between.clone());
    let read = async |sessions: &Sessions, browser: &Browser| {
        let headers = browser.headers();
        sessions.person(&headers, &bench.login, NOW).await
    };
    assert!(read(&between, &browser).await.is_ok());
    let answer = bench.get(&waiting, &browser).await;
    assert_eq!(crate::fixture::location(&answer), "/tab");
    // What is made now is known to who has the new one only, and what was made before is not.
    let mut later = Browser::default();
    bench.sign_in(&mut later, "/").await;
    let after = bench.with_settings(with(&[&new])).await;
    assert!(read(&after, &later).await.is_ok());
    assert_eq!(
        read(&after, &browser).await.unwrap_err(),
        NoSession::Unknown
    );
    assert_eq!(read(&before, &later).await.unwrap_err(), NoSession::Unknown);
    // Sessions of either are found by their owner.
    let mine = between.list(Some("user@example.com"), "", 10).await;
    assert!(mine.unwrap().sessions.len() >= 2);
}
