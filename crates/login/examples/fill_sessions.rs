//! Fills a session store for `bench/authorizer`, through the code that keeps a session when somebody
//! signs in: nothing here knows how a store keeps them.
//!
//! `fill_sessions STORE FILE SECRET LOGIN ISSUER COUNT TOGETHER > COOKIES` writes COUNT sessions of
//! the login proxy LOGIN, TOGETHER of them at a time, and prints the value of each cookie. FILE is
//! the database where STORE is `sqlite`; SECRET is the file that any other store is sealed under.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use data_encoding::BASE64URL_NOPAD;
use doorward_login::testing::{SignedIn, begin};
use doorward_login::{
    Keys, Sent, SessionSettings, Sessions, StoreAddress, Transport, TransportFault,
};
use model::names::{Duration, Secret, Timestamp};
use model::seams::{Clock, Randomness};
use serde_json::json;
use tokio::task::JoinSet;

/// How long the sessions and their tokens last.
const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [store, file, secret, login, issuer, count, together] = &words[..] else {
        panic!("usage: fill_sessions STORE FILE SECRET LOGIN ISSUER COUNT TOGETHER > COOKIES");
    };
    let number = |text: &String| text.parse().expect("a number");
    let (count, together): (usize, usize) = (number(count), number(together));
    let mut settings = SessionSettings::in_file(Path::new(file));
    settings.store = StoreAddress::parse(store).expect("a store's address");
    if settings.store.is_shared() {
        let secret = std::fs::read(secret).expect("the secret");
        settings.secrets = vec![Secret::new(secret.trim_ascii())];
    }
    let clock: Arc<dyn Clock> = Arc::new(Today);
    let keys = Arc::new(Keys::new(Arc::new(Nobody), Arc::clone(&clock)));
    let sessions = Sessions::with(settings, keys, Arc::clone(&clock), Arc::new(System));
    let sessions = Arc::new(sessions.await.expect("the store"));
    let people = Arc::new(People {
        login: login.clone(),
        issuer: issuer.clone(),
        now: clock.now(),
    });
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut writing = JoinSet::new();
    for first in 0..together {
        let (sessions, people) = (Arc::clone(&sessions), Arc::clone(&people));
        writing.spawn(async move {
            let mut values = Vec::with_capacity(count / together + 1);
            for number in (first..count).step_by(together) {
                let person = people.person(number);
                values.push(begin(&sessions, person).await.expect("it is kept"));
            }
            values
        });
    }
    while let Some(values) = writing.join_next().await {
        for value in values.expect("no task fails") {
            writeln!(out, "{value}").expect("somebody reads");
        }
    }
    out.flush().expect("somebody reads");
}

/// Those who are taken to have signed in, each with a token as Dex makes them (RS256).
struct People {
    login: String,
    issuer: String,
    now: Timestamp,
}

impl People {
    fn person(&self, number: usize) -> SignedIn {
        let (login, issuer) = (self.login.clone(), self.issuer.clone());
        let mut random = [0; 320];
        System.fill(&mut random);
        let [user, signature] = [&random[..36], &random[36..292]];
        let user = BASE64URL_NOPAD.encode(user);
        let email = format!("somebody-{number}@example.com");
        let groups = ["team-a".to_owned(), "team-b".to_owned()];
        let expires = self.now.plus(DAY);
        let head = json!({"alg": "RS256", "kid": "4d6a9f3c2b1e0d8f7a6b5c4d3e2f1a0b9c8d7e6f"});
        let claims = json!({
            "iss": issuer, "sub": user, "aud": "bench",
            "exp": expires.seconds(), "iat": self.now.seconds(),
            "nonce": BASE64URL_NOPAD.encode(&random[292..316]),
            "at_hash": BASE64URL_NOPAD.encode(&random[..16]),
            "email": email, "email_verified": true, "groups": groups, "name": format!("somebody-{number}"),
        });
        let part = |part: &[u8]| BASE64URL_NOPAD.encode(part);
        let parts = [head, claims].map(|value| part(value.to_string().as_bytes()));
        let token = format!("{}.{}.{}", parts[0], parts[1], part(signature));
        SignedIn {
            login,
            issuer,
            user,
            email,
            groups: groups.into(),
            preferred_username: Some(format!("somebody-{number}")),
            // Dex gives both in the same form.
            access_token: Some(token.clone()),
            id_token: token,
            created: self.now,
            expires,
        }
    }
}

struct Today;

impl Clock for Today {
    #[expect(clippy::disallowed_methods, reason = "a program of its own")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since.unwrap_or_default().as_secs();
        Timestamp::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
    }
}

struct System;

impl Randomness for System {
    #[expect(clippy::disallowed_methods, reason = "a program of its own")]
    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("the system has randomness");
    }
}

/// No issuer is asked.
struct Nobody;

impl Transport for Nobody {
    fn send(&self, _: http::Request<bytes::Bytes>) -> Sent<'_> {
        Box::pin(async { Err(TransportFault::Unreachable) })
    }
}
