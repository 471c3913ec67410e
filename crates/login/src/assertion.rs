//! What an application can check for itself: a short-lived signed statement of who sent a request.
//!
//! Signing keys follow each other by the calendar. Each comes of a secret that the store keeps, so
//! processes on one store sign with the same keys and a crash loses none. The key before and the
//! key after the present one are published too: nobody meets a key that they could not have known.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::HeaderValue;
use model::names::{Duration, Timestamp};
use model::seams::Randomness;
use oidc::jose::{Ed25519Key, KeyFault};
use policy::Identified;
use serde_json::{Map, Value, json};

use crate::sessions::{Store, StoreError};

/// How long one key signs.
const PERIOD: i64 = 30 * 24 * 3600;
/// How long a statement is good.
const LIFETIME: Duration = Duration::from_secs(300);
/// How long one is handed out again: it stays good for long enough to be checked.
const REUSED: Duration = Duration::from_secs(120);

/// Signs statements of who sent a request.
pub struct Asserter {
    ring: ArcSwap<Ring>,
}

/// The keys of one moment.
struct Ring {
    period: i64,
    present: Ed25519Key,
    published: Bytes,
}

/// A statement, ready as a header value.
#[derive(Clone, Debug)]
pub struct Assertion {
    /// Compact serialisation of the JWT.
    pub value: HeaderValue,
    /// Until when it may be handed out.
    pub until: Timestamp,
}

impl Asserter {
    /// With the keys of `now`.
    pub(crate) async fn open(
        store: &Store,
        randomness: &dyn Randomness,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let ring = Ring::load(store, randomness, now).await?;
        Ok(Self {
            ring: ArcSwap::from_pointee(ring),
        })
    }

    /// Goes on to the keys of `now`.
    pub(crate) async fn turn(
        &self,
        store: &Store,
        randomness: &dyn Randomness,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if self.ring.load().period != period(now) {
            let ring = Ring::load(store, randomness, now).await?;
            self.ring.store(Arc::new(ring));
        }
        Ok(())
    }

    /// States to `audience`, the host of a Service, who is `identified`. `issuer` is the origin
    /// under which [`Self::key_set`] is served. `None` when no header can hold it.
    pub fn assert(
        &self,
        identified: &Identified,
        issuer: &str,
        audience: &str,
        now: Timestamp,
    ) -> Option<Assertion> {
        // A statement never outlives the proof that it stands on.
        let end = now.plus(LIFETIME);
        let end = identified.expires().map_or(end, |proof| proof.min(end));
        let mut claims = Map::new();
        let mut say = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        say("iss", issuer.into());
        say("aud", audience.into());
        say("sub", identified.subject().into());
        say("idp", identified.source().into());
        if let Some(email) = identified.email() {
            say("email", email.into());
        }
        let groups = identified.groups();
        if !groups.is_empty() {
            say("groups", groups.into());
        }
        if let Some(name) = identified.preferred_username() {
            say("preferred_username", name.into());
        }
        say("iat", now.seconds().into());
        say("nbf", now.seconds().into());
        say("exp", end.seconds().into());
        let token = self.ring.load().present.sign(&claims).ok()?;
        let mut value = HeaderValue::try_from(token).ok()?;
        value.set_sensitive(true);
        let until = now.plus(REUSED).min(end);
        Some(Assertion { value, until })
    }

    /// The JWK set (RFC 7517 §5) that statements are checked with, as JSON.
    pub fn key_set(&self) -> Bytes {
        self.ring.load().published.clone()
    }
}

impl Ring {
    async fn load(
        store: &Store,
        randomness: &dyn Randomness,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let period = period(now);
        let mut jwks = Vec::new();
        for near in [period - 1, period, period + 1] {
            jwks.extend(
                keys(store, randomness, near)
                    .await?
                    .iter()
                    .map(|key| key.jwk()),
            );
        }
        let published = json!({ "keys": jwks }).to_string();
        let present = keys(store, randomness, period).await?;
        Ok(Self {
            period,
            present: present.into_iter().next().ok_or(StoreError::Corrupt)?,
            published: published.into(),
        })
    }
}

/// The key that signs in a period, and those of a process that has not heard of its secret yet.
async fn keys(
    store: &Store,
    randomness: &dyn Randomness,
    period: i64,
) -> Result<Vec<Ed25519Key>, StoreError> {
    let seeds = store
        .keys(&format!("assertion-{period}"), randomness)
        .await?;
    let keys = seeds.iter().map(Ed25519Key::from_seed);
    keys.collect::<Result<_, _>>()
        .map_err(|_: KeyFault| StoreError::Corrupt)
}

fn period(now: Timestamp) -> i64 {
    now.seconds().div_euclid(PERIOD)
}

#[cfg(test)]
mod tests {
    use oidc::jose::{KeySet, peek, verify};

    use super::*;
    use crate::fixture::SeededRandomness;
    use crate::sessions::Store;

    const DAY: i64 = 24 * 3600;

    fn somebody(expires: Timestamp) -> Identified {
        let parts = policy::session::PersonParts {
            login: "auth/proxy".into(),
            user: "u1".into(),
            email: Some("a@example.com".into()),
            groups: vec!["x".into(), "y".into()],
            preferred_username: None,
            token: None,
            access_token: None,
            expires,
        };
        Identified::Person(Arc::new(policy::Person::assert_signed_in(parts)))
    }

    fn at(days: i64) -> Timestamp {
        Timestamp::from_seconds(days * DAY)
    }

    #[tokio::test]
    async fn statements_verify_with_keys_that_were_published_before_and_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sessions.db");
        let store = Store::open(&path).await.unwrap();
        let random = SeededRandomness::default();
        let asserter = Asserter::open(&store, &random, at(600)).await.unwrap();
        let published = KeySet::from_json(std::str::from_utf8(&asserter.key_set()).unwrap());
        let published = published.unwrap();
        let who = somebody(at(1000));
        let say = |asserter: &Asserter, now| {
            let said = asserter
                .assert(&who, "spiffe://d", "web.apps", now)
                .unwrap();
            said.value.to_str().unwrap().to_owned()
        };
        let claims = verify(&say(&asserter, at(600)), &published).unwrap();
        assert_eq!(claims["aud"], "web.apps");
        assert_eq!(claims["sub"], "u1");
        assert_eq!(claims["idp"], "auth/proxy");
        assert_eq!(claims["groups"], serde_json::json!(["x", "y"]));
        assert_eq!(claims["exp"].as_i64(), Some(600 * DAY + 300));

        // Another process on the same store, and the next key when its time comes.
        let again = Store::open(&path).await.unwrap();
        let restarted = Asserter::open(&again, &random, at(601)).await.unwrap();
        assert!(verify(&say(&restarted, at(601)), &published).is_ok());
        restarted.turn(&again, &random, at(631)).await.unwrap();
        assert!(verify(&say(&restarted, at(631)), &published).is_ok());
        restarted.turn(&again, &random, at(661)).await.unwrap();
        assert!(verify(&say(&restarted, at(661)), &published).is_err());
    }

    #[tokio::test]
    async fn a_statement_ends_with_the_session() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("s.db")).await.unwrap();
        let asserter = Asserter::open(&store, &SeededRandomness::default(), at(1))
            .await
            .unwrap();
        let end = at(1).plus(Duration::from_secs(20));
        let said = asserter.assert(&somebody(end), "i", "a", at(1)).unwrap();
        assert_eq!(said.until, end);
        let claims = peek(said.value.to_str().unwrap()).unwrap();
        assert_eq!(claims["exp"].as_i64(), Some(end.seconds()));
    }
}
