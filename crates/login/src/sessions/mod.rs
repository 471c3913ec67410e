//! Who is signed in: sessions live in a store under a random cookie, and in memory while they are in
//! use.
//!
//! A request with a session that is in memory costs a hash and a look-up. A cookie that this store
//! never drew is told by its stamp, without the database; one that it drew but no longer knows is
//! remembered as such.

mod bearer;
mod ending;
mod person;
mod renewal;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "further engines are built on this")
)]
pub(crate) mod store;
mod value;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::HeaderMap;
use model::Snapshot;
use model::names::Timestamp;
use model::seams::{Clock, Randomness};
use model::snapshot::{JwtRule, Login, TokenPlace};
use policy::{NoSession, Person, Session};
use quick_cache::DefaultHashBuilder;
use quick_cache::sync::{Cache, DefaultLifecycle};

#[cfg(any(test, fuzzing))]
pub(crate) use bearer::tokens_found;
use person::{Weight, fitting, vouched};
use store::Record;
pub(crate) use store::Store;
pub use store::StoreError;
pub(crate) use value::CookieValue;
pub use value::Memo;
use value::{Name, Stamp};

use crate::assertion::Asserter;
use crate::cookies;
use crate::flow::attempt::Seal;
use crate::flow::identity::Identity;
use crate::keys::Keys;

/// Memory for sessions in use, bytes by [`Weight`]'s reckoning.
const HELD_BYTES: u64 = 24 << 20;

/// How many sessions are expected to be held at once.
const HELD_SESSIONS: usize = 4096;

/// How many ended sessions are remembered as such.
const ENDED: usize = 16 * 1024;

/// Cookies of one name that are looked at in one request.
const MOST_COOKIES: usize = 4;

/// Everything that tells who sent a request: cookies and tokens.
pub struct Sessions {
    store: Store,
    live: Cache<Name, Arc<Person>, Weight>,
    ended: Cache<Name, ()>,
    /// How many other processes may end sessions too.
    sharers: AtomicUsize,
    stamp: Stamp,
    seal: Seal,
    keys: Arc<Keys>,
    asserter: Asserter,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
}

/// Of a snapshot what tells where proofs of identity lie.
#[derive(Clone, Copy)]
struct Doors<'a> {
    logins: &'a [Arc<Login>],
    rules: &'a [JwtRule],
    /// Where destinations look.
    places: &'a [TokenPlace],
}

impl<'a> Doors<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        Self {
            logins: snapshot.logins(),
            rules: &snapshot.gateway_authentication().rules,
            places: snapshot.token_places(),
        }
    }
}

/// A session to keep.
pub(crate) struct NewSession {
    /// [`Login::key`].
    pub(crate) login: String,
    /// `iss` of the ID token.
    pub(crate) issuer: String,
    /// `sid` of the ID token.
    pub(crate) sid: Option<String>,
    /// Who.
    pub(crate) identity: Identity,
    /// Proven just now.
    pub(crate) id_token: String,
    /// Access token.
    pub(crate) access_token: Option<String>,
    /// Refresh token.
    pub(crate) refresh_token: Option<String>,
    /// Now.
    pub(crate) created: Timestamp,
    /// When it ends.
    pub(crate) expires: Timestamp,
}

/// What one cookie value stands for, as far as memory knows.
enum Known {
    Live(Arc<Person>),
    Not(NoSession),
    AskStore(Name),
}

impl Sessions {
    /// Opens or makes the store at `path`, without what has expired since.
    ///
    /// # Errors
    /// When the file or database cannot be used.
    pub async fn open(
        path: &Path,
        keys: Arc<Keys>,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
    ) -> Result<Self, StoreError> {
        let store = Store::open(path).await?;
        store.sweep(clock.now()).await?;
        let stamp = Stamp::new(&store.key("cookie", &*randomness).await?);
        let seal = store.key("attempt", &*randomness).await?;
        let seal = Seal::new(&seal).ok_or(StoreError::Corrupt)?;
        let asserter = Asserter::open(&store, &*randomness, clock.now()).await?;
        let live = Cache::with(
            HELD_SESSIONS,
            HELD_BYTES,
            Weight,
            DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        );
        let ended = Cache::new(ENDED);
        Ok(Self {
            store,
            live,
            ended,
            sharers: AtomicUsize::new(0),
            stamp,
            seal,
            keys,
            asserter,
            clock,
            randomness,
        })
    }

    /// Who sent a request with these headers and this query, when that needs no waiting. `None`
    /// means: ask [`Self::read`]. `memo` is the connection's own.
    pub fn read_now(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        snapshot: &Snapshot,
        memo: &Memo,
        now: Timestamp,
    ) -> Option<Session> {
        self.look_now(headers, query, Doors::of(snapshot), memo, now)
    }

    fn look_now(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        doors: Doors<'_>,
        memo: &Memo,
        now: Timestamp,
    ) -> Option<Session> {
        let bearer = self.bearer_now(headers, query, doors, now)?;
        let elsewhere = self.elsewhere_now(headers, query, doors, &bearer)?;
        let mut absence = NoSession::NoCookie;
        for login in doors.logins {
            for value in offered(headers, login) {
                match self.known(value, login, |value| memo.name(value), now) {
                    Known::Live(person) => {
                        return Some(Session {
                            person: Ok(person),
                            bearer,
                            elsewhere,
                        });
                    }
                    Known::Not(reason) => absence = stronger(absence, reason),
                    Known::AskStore(_) => return None,
                }
            }
        }
        Some(Session {
            person: Err(absence),
            bearer,
            elsewhere,
        })
    }

    /// Who sent a request with these headers and this query.
    pub async fn read(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Session {
        self.look(headers, query, Doors::of(snapshot), now).await
    }

    async fn look(
        &self,
        headers: &HeaderMap,
        query: Option<&str>,
        doors: Doors<'_>,
        now: Timestamp,
    ) -> Session {
        let bearer = self.bearer(headers, query, doors, now).await;
        let elsewhere = self.elsewhere(headers, query, doors, &bearer).await;
        let mut absence = NoSession::NoCookie;
        for login in doors.logins {
            match self.person(headers, login, now).await {
                Ok(person) => {
                    return Session {
                        person: Ok(person),
                        bearer,
                        elsewhere,
                    };
                }
                Err(reason) => absence = stronger(absence, reason),
            }
        }
        Session {
            person: Err(absence),
            bearer,
            elsewhere,
        }
    }

    /// Another process works with the same store from now on. While one does, it may end a session
    /// that is in memory here, so every request asks the store.
    pub fn share(&self) {
        self.sharers.fetch_add(1, Ordering::SeqCst);
    }

    /// A process of those that [`Self::share`] told of does no more.
    pub fn unshare(&self) {
        // Remembered before; the other process may have ended it since.
        self.live.clear();
        self.sharers.fetch_sub(1, Ordering::SeqCst);
    }

    fn is_shared(&self) -> bool {
        self.sharers.load(Ordering::SeqCst) > 0
    }

    /// States to applications who sent a request.
    pub fn asserter(&self) -> &Asserter {
        &self.asserter
    }

    /// Forgets sessions that have expired, in bounded steps; says how many. Goes on to new keys
    /// when it is their time.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.asserter
            .turn(&self.store, &*self.randomness, now)
            .await?;
        self.store.sweep(now).await
    }

    /// Who is signed in through `login`.
    pub(crate) async fn person(
        &self,
        headers: &HeaderMap,
        login: &Login,
        now: Timestamp,
    ) -> Result<Arc<Person>, NoSession> {
        let mut absence = NoSession::NoCookie;
        for value in offered(headers, login) {
            let outcome = match self.known(value, login, CookieValue::name, now) {
                Known::Live(person) => Ok(person),
                Known::Not(reason) => Err(reason),
                Known::AskStore(name) => {
                    let loaded = self.load(&name).await;
                    loaded.and_then(|person| fitting(person, login, now))
                }
            };
            match outcome {
                Ok(person) => return Ok(person),
                Err(reason) => absence = stronger(absence, reason),
            }
        }
        Err(absence)
    }

    fn known(
        &self,
        value: &[u8],
        login: &Login,
        name_of: impl FnOnce(&CookieValue) -> Name,
        now: Timestamp,
    ) -> Known {
        let Some(value) = CookieValue::read(value) else {
            return Known::Not(NoSession::Unknown);
        };
        let name = name_of(&value);
        if !self.is_shared()
            && let Some(person) = self.live.get(&name)
        {
            return match fitting(person, login, now) {
                Ok(person) => Known::Live(person),
                Err(reason) => Known::Not(reason),
            };
        }
        if !self.stamp.is_mine(&value) || self.ended.get(&name).is_some() {
            return Known::Not(NoSession::Unknown);
        }
        Known::AskStore(name)
    }

    /// Takes a session from the store into memory. Ending it meanwhile wins: then the guard finds
    /// its place gone and nothing is kept.
    async fn load(&self, name: &Name) -> Result<Arc<Person>, NoSession> {
        if self.is_shared() {
            return self.find(name).await;
        }
        let guard = match self.live.get_value_or_guard_async(name).await {
            Ok(person) => return Ok(person),
            Err(guard) => guard,
        };
        // Whoever held the place before may have found it out.
        if self.ended.get(name).is_some() {
            return Err(NoSession::Unknown);
        }
        let person = self.find(name).await?;
        // Its place may be gone because the session was ended since it was found.
        match guard.insert(Arc::clone(&person)) {
            Err(_) if self.ended.get(name).is_some() => Err(NoSession::Unknown),
            Ok(()) | Err(_) => Ok(person),
        }
    }

    async fn find(&self, name: &Name) -> Result<Arc<Person>, NoSession> {
        match self.store.find(name).await {
            Ok(Some(stored)) => Ok(Arc::new(vouched(stored.record))),
            Ok(None) => {
                self.ended.insert(*name, ());
                Err(NoSession::Unknown)
            }
            Err(error) => {
                tracing::error!(%error, "a session cannot be read");
                Err(NoSession::StoreUnavailable)
            }
        }
    }

    /// Keeps a session under a value that was never used before, and gives that value. It is durable
    /// when this returns.
    pub(crate) async fn begin(&self, session: NewSession) -> Result<CookieValue, StoreError> {
        let value = self.stamp.draw(&*self.randomness);
        let NewSession {
            login,
            issuer,
            sid,
            identity,
            id_token,
            access_token,
            refresh_token,
            created,
            expires,
        } = session;
        let Identity {
            user,
            email,
            groups,
            preferred_username,
        } = identity;
        let record = Record {
            login,
            issuer,
            user,
            sid,
            email,
            groups,
            preferred_username,
            id_token,
            access_token,
            refresh_token,
            created,
            expires,
        };
        let name = value.name();
        // The place to remember it: ended before it is remembered, it is not.
        let place = self.live.get_value_or_guard_async(&name).await.err();
        self.store
            .insert(&name, &record, expires, &*self.randomness)
            .await?;
        if let Some(place) = place.filter(|_| !self.is_shared()) {
            let _ = place.insert(Arc::new(vouched(record)));
        }
        Ok(value)
    }

    /// What issuers publish.
    pub(crate) fn keys(&self) -> &Arc<Keys> {
        &self.keys
    }

    /// Seals sign-in attempts.
    pub(crate) fn seal(&self) -> &Seal {
        &self.seal
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) async fn close(&self) {
        self.store.close().await;
    }
}

/// The session cookies that a request offers to `login`.
fn offered<'a>(headers: &'a HeaderMap, login: &'a Login) -> impl Iterator<Item = &'a [u8]> {
    cookies::named(headers, &login.cookie_name).take(MOST_COOKIES)
}

/// Of two reasons the one that says more.
fn stronger(one: NoSession, other: NoSession) -> NoSession {
    let weight = |reason| match reason {
        NoSession::NoCookie => 0,
        NoSession::Unknown => 1,
        NoSession::Expired => 2,
        NoSession::StoreUnavailable => 3,
    };
    if weight(other) > weight(one) {
        other
    } else {
        one
    }
}
