//! Sessions that are rewritten, and ended by others than their owners.

use sqlx::sqlite::SqlitePool;

use super::*;
use crate::sessions::store::{Record, Stored, Whose};

impl Bench {
    fn name(&self, browser: &Browser) -> Name {
        let headers = browser.headers();
        let mut names = self.sessions.names(&headers, &self.login);
        names.next().unwrap()
    }

    async fn stored(&self, browser: &Browser) -> Stored {
        let name = self.name(browser);
        self.sessions.stored(&name).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_rewritten_session_keeps_its_cookie_and_shows_the_new_tokens() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    let headers = browser.headers();
    let name = bench.name(&browser);
    let Stored {
        mut record,
        version,
        ..
    } = bench.stored(&browser).await;
    assert_eq!(record.issuer, ISSUER);

    let lock = bench.sessions.renewal_lock(&name, NOW).await.unwrap();
    let again = bench.sessions.renewal_lock(&name, NOW).await.unwrap();
    assert!(again.is_none(), "one at a time");
    record.groups = vec!["renewed".into()];
    record.expires = record.expires.plus(Duration::from_secs(3600));
    let written = bench.sessions.replace(&name, version, record.clone(), NOW);
    let person = written.await.unwrap().unwrap();
    assert_eq!(&*person.groups()[0], "renewed");
    bench.sessions.renewal_unlock(lock.unwrap()).await.unwrap();

    let read = bench.sessions.person(&headers, &bench.login, NOW).await;
    let read = read.unwrap();
    assert_eq!(&*read.groups()[0], "renewed");
    assert_eq!(read.expires(), person.expires());
    assert!(bench.now(&headers).unwrap().is_ok(), "in memory again");
    // Who read the version before comes too late.
    record.groups.clear();
    let late = bench.sessions.replace(&name, version, record, NOW);
    assert!(late.await.unwrap().is_none());
    let read = bench.sessions.person(&headers, &bench.login, NOW).await;
    assert_eq!(&*read.unwrap().groups()[0], "renewed");
}

#[tokio::test]
async fn a_session_that_ends_while_it_is_renewed_stays_ended() {
    let bench = Bench::new().await;
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    let headers = browser.headers();
    let name = bench.name(&browser);
    let stored = bench.stored(&browser).await;
    bench.sessions.end(&headers, &bench.login).await.unwrap();
    let late = bench
        .sessions
        .replace(&name, stored.version, stored.record, NOW);
    assert!(late.await.unwrap().is_none());
    let absence = bench.now(&headers).unwrap().unwrap_err();
    assert_eq!(absence, NoSession::Unknown);
}

#[tokio::test]
async fn an_issuer_ends_a_session_or_all_of_a_person() {
    let bench = Bench::new().await;
    let sid = json!({"sid": "s1"});
    bench
        .issuer
        .misbehave(|quirks| quirks.claims = sid.as_object().unwrap().clone());
    let (mut one, mut two) = (Browser::default(), Browser::default());
    bench.sign_in(&mut one, "/").await;
    bench.issuer.misbehave(|quirks| quirks.claims.clear());
    bench.sign_in(&mut two, "/").await;
    let user = bench.stored(&two).await.record.user;
    let by_sid = |issuer: &str| Whose::Sid {
        issuer: issuer.into(),
        sid: "s1".into(),
    };
    let end = |whose: Whose| {
        let bench = &bench;
        async move { bench.sessions.end_whose(&whose).await.unwrap() }
    };
    let is_in = |browser: &Browser| bench.now(&browser.headers()).unwrap().is_ok();
    assert_eq!(end(by_sid("https://other.example")).await, 0);
    assert!(is_in(&one) && is_in(&two));
    assert_eq!(end(by_sid(ISSUER)).await, 1);
    assert!(!is_in(&one) && is_in(&two));
    let subject = Whose::Subject {
        issuer: ISSUER.into(),
        subject: user,
    };
    assert_eq!(end(subject).await, 1);
    assert!(!is_in(&two));

    bench.sign_in(&mut two, "/").await;
    assert!(is_in(&two));
    assert_eq!(bench.sessions.end_all().await.unwrap(), 1);
    let headers = two.headers();
    let read = bench.sessions.person(&headers, &bench.login, NOW);
    assert_eq!(read.await.unwrap_err(), NoSession::Unknown);
}

#[tokio::test]
async fn sessions_of_the_form_before_are_kept() {
    let mut bench = Bench::new().await;
    let mut browser = Browser::default();
    bench.sign_in(&mut browser, "/").await;
    let name = bench.name(&browser);
    let stored = bench.stored(&browser).await.record;
    bench.sessions.close().await;
    // The tables as they were, with the keys of now.
    let path = bench.directory.path().join("sessions.db");
    let pool = SqlitePool::connect(path.to_str().unwrap()).await.unwrap();
    let former = include_str!("../../../migrations/sqlite/0001_sessions.sql");
    let (session, _) = former.split_once("-- Secrets").unwrap();
    for statement in [
        "DROP TABLE session; DROP TABLE change; DROP TABLE change_count; DROP TABLE renewal;
         DELETE FROM _sqlx_migrations WHERE version > 1",
        session,
    ] {
        sqlx::raw_sql(statement).execute(&pool).await.unwrap();
    }
    sqlx::query("INSERT INTO session VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)")
        .bind(name.as_slice())
        .bind(&stored.login)
        .bind(&stored.user)
        .bind(&stored.email)
        .bind(serde_json::to_string(&stored.groups).unwrap())
        .bind(&stored.preferred_username)
        .bind(&stored.id_token)
        .bind(&stored.access_token)
        .bind(&stored.refresh_token)
        .bind(stored.created.seconds())
        .bind(stored.expires.seconds())
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    bench.reopen().await;
    let read = bench.stored(&browser).await;
    let expected = Record {
        issuer: String::new(),
        ..stored
    };
    assert_eq!(read.record, expected);
    let person = bench
        .sessions
        .person(&browser.headers(), &bench.login, NOW)
        .await;
    assert!(person.is_ok());
    let mine = Whose::Email(expected.email);
    assert_eq!(bench.sessions.end_whose(&mine).await.unwrap(), 1);
}

#[tokio::test]
async fn administrators_see_sessions_without_what_opens_them_and_end_them() {
    let bench = Bench::new().await;
    let (mut one, mut two) = (Browser::default(), Browser::default());
    bench.sign_in(&mut one, "/").await;
    bench.sign_in(&mut two, "/").await;
    let all = bench.sessions.list(None, "", 10).await.unwrap().sessions;
    assert_eq!(all.len(), 2);
    assert!(all[0].id < all[1].id);
    let shown = format!("{all:?}");
    let cookie = one.cookie(NAME).unwrap();
    assert!(!shown.contains(cookie) && !shown.contains("eyJ"), "{shown}");
    assert_eq!(all[0].created, NOW);
    let first = bench.sessions.list(None, "", 1).await.unwrap();
    assert_eq!(first.sessions, all[..1]);
    assert_eq!(first.next.as_ref(), Some(&all[0].id));
    let rest = bench.sessions.list(None, &all[0].id, 10).await.unwrap();
    assert_eq!((&*rest.sessions, rest.next), (&all[1..], None));
    let mail = all[0].email.to_uppercase();
    let mine = bench.sessions.list(Some(&mail), "", 10).await.unwrap();
    assert_eq!(mine.sessions.len(), 2);
    let nobodys = bench.sessions.list(Some("nobody@example.com"), "", 10);
    assert!(nobodys.await.unwrap().sessions.is_empty());

    for none in ["", "xyz", "00", "0000000000000000"] {
        assert!(!bench.sessions.end_listed(none).await.unwrap(), "{none}");
    }
    assert!(bench.sessions.end_listed(&all[0].id).await.unwrap());
    assert!(!bench.sessions.end_listed(&all[0].id).await.unwrap());
    let is_in = |browser: &Browser| bench.now(&browser.headers()).unwrap().is_ok();
    assert!(is_in(&one) ^ is_in(&two));
    assert_eq!(bench.sessions.end_of(&mail).await.unwrap(), 1);
    assert!(!is_in(&one) && !is_in(&two));
    // What is over is not listed.
    bench.sign_in(&mut one, "/").await;
    bench.clock.advance(Duration::from_secs(30 * 86_400));
    let all = bench.sessions.list(None, "", 10).await.unwrap();
    assert!(all.sessions.is_empty());
}
