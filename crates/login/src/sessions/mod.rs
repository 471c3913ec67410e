//! Who is signed in: sessions live in a store under a random cookie, and in memory while they are in
//! use.
//!
//! A request with a session that is in memory costs a hash and a look-up, or two: many sessions are
//! there in packed form, and those that are in constant use as they are needed. A cookie that this store
//! never drew is told by its stamp, without the database; one that it drew but no longer knows is
//! remembered as such.

mod asking;
mod bearer;
mod beginning;
mod cookie;
mod ending;
mod following;
mod held;
mod inherited;
mod listing;
mod memory;
mod packed;
mod person;
mod renewal;
mod renewing;
mod sealed;
mod settings;
pub(crate) mod store;
mod value;
mod vouching;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::HeaderMap;
use model::Snapshot;
use model::names::{Duration, Timestamp};
use model::seams::{Clock, Randomness};
use model::snapshot::{JwtRule, Login, LoginShape, TokenPlace};
use policy::{Bearer, NoSession, Person, Session};
use quick_cache::DefaultHashBuilder;
use quick_cache::sync::{Cache, DefaultLifecycle};

#[cfg(any(test, fuzzing))]
pub(crate) use bearer::tokens_found;
pub(crate) use cookie::SessionCookie;
use following::Hearing;
use held::Lifetimes;
use inherited::Inherited;
pub use listing::{Listed, Page};
use memory::Known;
use person::Ready;
use renewing::Renewals;
pub(crate) use sealed::LONGEST as LONGEST_COOKIE;
use sealed::SealedCookies;
pub use settings::{SessionSettings, session_secret};
pub(crate) use store::Store;
pub use store::{AddressFault, RedisAddress, RedisKind, Sealing, StoreAddress, StoreError};
pub(crate) use value::CookieValue;
pub use value::Memo;
use value::{Name, Stamp};
use vouching::{Vouched, Vouching};

use crate::assertion::Asserter;
use crate::client::Clients;
use crate::cookies;
use crate::flow::attempt::Seal;
use crate::flow::identity::Identity;
use crate::keys::Keys;
use crate::proxy::auth_service::named_sessions;

/// Memory for packed sessions, bytes by [`held::Weight`]'s reckoning.
const HELD_BYTES: u64 = 16 << 20;

/// How many sessions are expected to be held at once.
const HELD_SESSIONS: usize = 16 * 1024;

/// Memory for those in constant use, bytes by [`person::Weight`]'s reckoning.
const READY_BYTES: u64 = 8 << 20;

/// How many those are expected to be.
const READY_SESSIONS: usize = 2048;

/// How many ended sessions are remembered as such.
const ENDED: usize = 16 * 1024;

/// Cookies of one name that are looked at in one request.
const MOST_COOKIES: usize = 4;

/// Everything that tells who sent a request: cookies and tokens.
pub struct Sessions {
    store: Store,
    live: Cache<Name, Arc<held::Held>, held::Weight>,
    /// Of those in `live`, some unpacked. Never looked at alone: only `live` says who is signed in.
    ready: Cache<Name, Ready, person::Weight>,
    ended: Cache<Name, ()>,
    inherited: Inherited,
    /// Where sessions are in cookies instead of the store.
    sealed: Option<SealedCookies>,
    lifetimes: Lifetimes,
    hearing: Hearing,
    grace: Duration,
    /// It was looked whether its secret is that of the sessions in the store.
    is_secret_checked: AtomicBool,
    /// How many other processes may end sessions too.
    sharers: AtomicUsize,
    stamp: Stamp,
    seal: Seal,
    keys: Arc<Keys>,
    clients: Clients,
    renewals: Renewals,
    /// Until when orders of issuers to end sessions are remembered.
    orders: Cache<[u8; 32], Timestamp>,
    asserter: Asserter,
    vouching: Vouching,
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
    /// [`Login::pass_access_token`].
    pub(crate) shows_access_token: bool,
    /// Refresh token.
    pub(crate) refresh_token: Option<String>,
    /// How long the tokens are good, where they can be renewed.
    pub(crate) tokens: Option<store::Tokens>,
    /// Now.
    pub(crate) created: Timestamp,
    /// When it ends.
    pub(crate) expires: Timestamp,
}

impl Sessions {
    /// Opens or makes the store in the file `path`, without what has expired since.
    ///
    /// # Errors
    /// When the file or database cannot be used.
    pub async fn open(
        path: &Path,
        keys: Arc<Keys>,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
    ) -> Result<Self, StoreError> {
        Self::with(SessionSettings::in_file(path), keys, clock, randomness).await
    }

    /// Opens the store that `settings` name, without what has expired since. One elsewhere need not
    /// answer yet: until it does, nobody has a session. Call it in the runtime that lasts.
    ///
    /// # Errors
    /// When it cannot be used as it is set up.
    pub async fn with(
        settings: SessionSettings,
        keys: Arc<Keys>,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
    ) -> Result<Self, StoreError> {
        let SessionSettings {
            store,
            file,
            secrets,
            grace,
            idle,
            lifetime,
        } = settings;
        let sealed = match store {
            StoreAddress::Cookie => {
                let none = || StoreError::NoSecret(store::SECRET);
                Some(SealedCookies::new(&secrets).ok_or_else(none)?)
            }
            _ => None,
        };
        let store = Store::at(&store, &file, secrets).await?;
        match store.sweep(clock.now()).await {
            Err(error) if !error.is_outage() => return Err(error),
            Ok(_) | Err(_) => {}
        }
        let keys_of = |purpose| store.keys(purpose, &*randomness);
        let stamp = Stamp::new(&keys_of("cookie").await?).ok_or(StoreError::Corrupt)?;
        let seal = Seal::new(&keys_of("attempt").await?).ok_or(StoreError::Corrupt)?;
        let asserter = Asserter::open(&store, &*randomness, clock.now()).await?;
        let live = Cache::with(
            HELD_SESSIONS,
            HELD_BYTES,
            held::Weight,
            DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        );
        let ready = Cache::with(
            READY_SESSIONS,
            READY_BYTES,
            person::Weight,
            DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        );
        let ended = Cache::new(ENDED);
        Ok(Self {
            store,
            live,
            ready,
            ended,
            inherited: Inherited::default(),
            sealed,
            lifetimes: Lifetimes { idle, lifetime },
            hearing: Hearing::new(),
            grace,
            is_secret_checked: AtomicBool::new(false),
            sharers: AtomicUsize::new(0),
            stamp,
            seal,
            clients: Clients::new(
                Arc::clone(&keys),
                Arc::clone(&clock),
                Arc::clone(&randomness),
            ),
            renewals: Renewals::new(),
            orders: Cache::new(ENDED),
            keys,
            asserter,
            vouching: Vouching::new(),
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
        if self.has_to_ask(headers, doors.logins) {
            return None;
        }
        let bearer = self.bearer_now(headers, query, doors, now)?;
        let elsewhere = self.elsewhere_now(headers, query, doors, &bearer)?;
        let mut absence = NoSession::NoCookie;
        for login in doors.logins {
            if let Some(sealed) = &self.sealed {
                match self.sealed_now(sealed, headers, login, now)? {
                    Some(Ok(person)) => {
                        return Some(Session {
                            person: Ok(person),
                            bearer,
                            elsewhere,
                        });
                    }
                    Some(Err(reason)) => absence = stronger(absence, reason),
                    None => {}
                }
            }
            for value in self.offered(headers, login) {
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
            match self.inherited(headers, login, now) {
                Some(Ok(person)) => {
                    return Some(Session {
                        person: Ok(person),
                        bearer,
                        elsewhere,
                    });
                }
                Some(Err(reason)) => absence = stronger(absence, reason),
                None => {}
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
        let told = |person, bearer| Session {
            person,
            bearer,
            elsewhere: Vec::new(),
        };
        match self.vouched(headers, doors.logins, now).await {
            Vouched::For(person) => return told(Ok(person), Bearer::None),
            Vouched::Stops(fault) => {
                return told(Err(NoSession::NoCookie), Bearer::Invalid(fault));
            }
            Vouched::Not => {}
        }
        let bearer = self.bearer(headers, query, doors, now).await;
        let elsewhere = self.elsewhere(headers, query, doors, &bearer).await;
        let mut absence = NoSession::NoCookie;
        for login in doors.logins {
            let person = match self.person(headers, login, now).await {
                Ok(person) => self.confirmed(person, headers, login).await,
                absent => absent,
            };
            match person {
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

    /// Whether the sessions in the store were sealed under the secrets that this process has. It is
    /// asked at the start: with another secret everybody would have to sign in again, and nobody
    /// would know why.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sealing(&self) -> Result<Sealing, StoreError> {
        let sealing = self.store.sealing().await?;
        self.is_secret_checked.store(true, Ordering::Relaxed);
        Ok(sealing)
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
        if !self.is_secret_checked.load(Ordering::Relaxed) {
            // The store did not answer when this process began.
            let Sealing { known, foreign } = self.sealing().await?;
            if foreign > 0 {
                tracing::error!(
                    known,
                    foreign,
                    "sessions in the store were sealed under a secret that is not known here: these people have to sign in again"
                );
            }
        }
        self.store.sweep(now).await
    }

    /// Who is signed in through `login`.
    pub(crate) async fn person(
        &self,
        headers: &HeaderMap,
        login: &Arc<Login>,
        now: Timestamp,
    ) -> Result<Arc<Person>, NoSession> {
        let mut absence = NoSession::NoCookie;
        if let Some(sealed) = &self.sealed {
            match self.sealed_person(sealed, headers, login, now).await {
                Some(Ok(person)) => return Ok(person),
                Some(Err(reason)) => absence = stronger(absence, reason),
                None => {}
            }
        }
        for value in self.offered(headers, login) {
            let outcome = match self.known(value, login, CookieValue::name, now) {
                Known::Live(person) => Ok(person),
                Known::Not(reason) => Err(reason),
                Known::AskStore(name) => {
                    let loaded = self.load(&name, login, now).await;
                    self.current(loaded, &name, login, now).await
                }
            };
            match outcome {
                Ok(person) => return Ok(person),
                Err(reason) => absence = stronger(absence, reason),
            }
        }
        match self.inherited(headers, login, now) {
            Some(Ok(person)) => Ok(person),
            Some(Err(reason)) => Err(stronger(absence, reason)),
            None => Err(absence),
        }
    }

    /// The session cookies of a store that a request offers to `login`.
    fn offered<'a>(
        &self,
        headers: &'a HeaderMap,
        login: &'a Login,
    ) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let most = match &self.sealed {
            // Sessions of a store are over when it is left.
            Some(_) => 0,
            None => MOST_COOKIES,
        };
        offered(headers, login).take(most)
    }

    /// The session that a request brought to `login`, as it is kept.
    pub(crate) async fn kept(&self, headers: &HeaderMap, login: &Login) -> Option<store::Record> {
        if let Some(sealed) = &self.sealed {
            return self.sealed_record(sealed, headers, login);
        }
        let names: Vec<_> = self.names(headers, login).collect();
        for name in names {
            match self.stored(&name).await {
                Ok(Some(stored)) if stored.record.login == login.key() => {
                    return Some(stored.record);
                }
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "a session cannot be read"),
            }
        }
        None
    }

    /// How many sessions are in memory.
    pub fn in_memory(&self) -> usize {
        self.live.len()
    }

    /// Whether the store answers.
    pub(crate) async fn is_reachable(&self) -> bool {
        self.store.find(&Name::default()).await.is_ok()
    }

    /// How issuers are asked.
    pub(crate) fn clients(&self) -> &Clients {
        &self.clients
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
    let named = match &login.shape {
        LoginShape::OAuth2Proxy => None,
        LoginShape::AuthService(shape) => Some(named_sessions(headers, shape)),
    };
    let cookies = cookies::named(headers, &login.cookie_name);
    let named = named.into_iter().flatten();
    named.chain(cookies).take(MOST_COOKIES)
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
