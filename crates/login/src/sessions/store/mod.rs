//! Sessions at rest: one seam, and behind it the engines.

mod address;
#[cfg(test)]
pub(crate) mod conformance;
mod engine;
mod error;
mod finding;
mod postgres;
mod record;
mod redis;
#[cfg(test)]
pub(crate) mod servers;
mod sql;
mod sqlite;
mod vault;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use model::names::{Duration, Secret, Timestamp};
use model::seams::Randomness;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

pub use address::{AddressFault, RedisAddress, RedisKind, StoreAddress};
use engine::Engine;
pub use error::StoreError;
pub(crate) use record::{Record, Stored, Tokens, Whose};
pub use vault::Sealing;
use vault::Vault;
pub(crate) use vault::derive;

use super::value::Name;

/// A store elsewhere that takes longer has failed.
const ANSWERS: Duration = Duration::from_secs(if cfg!(test) { 40 } else { 4 });

/// The same for what goes through many sessions.
const ANSWERS_LONG: Duration = Duration::from_secs(300);

/// So many sessions tell under which secrets they are sealed.
const SAMPLE: usize = 32;

/// Bytes of a secret at least.
pub(super) const SECRET: usize = 32;

/// Where sessions are kept.
pub(crate) struct Store {
    engine: Arc<Engine>,
    vault: Vault,
    home: Home,
    /// How often in a row it did not answer who asks regularly.
    silences: AtomicU32,
    /// How many may wait for it to be back.
    waiting: Semaphore,
}

/// What a store's own keys come of, and where it is asked.
enum Home {
    /// This process, in a thread of the engine's: the file has the keys.
    Here,
    /// Elsewhere: connections live in this runtime, whoever asks, and keys come of the secrets that
    /// every process has, the first one for what is made, all for what is found.
    Elsewhere {
        runtime: Handle,
        secrets: Vec<Secret>,
    },
}

/// A session as an engine gets it.
struct Row {
    name: Name,
    version: i64,
    record: Vec<u8>,
    email: String,
    subject: String,
    sid: Option<String>,
    seen: Timestamp,
    /// When it is over unless somebody shows its cookie.
    expires: Timestamp,
    /// When it is over, whatever happens.
    ends: Timestamp,
}

/// A session as an engine gives it.
struct Place {
    name: Name,
    version: i64,
    record: Vec<u8>,
    seen: Timestamp,
    expires: Timestamp,
}

/// What sessions are found by; beside it stands the value.
#[derive(Clone, Copy, Debug)]
enum Index {
    Email,
    Subject,
    Sid,
}

/// How far the record of changes was read. Later is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cursor(u64, u64);

/// What other processes changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Changes {
    /// These sessions were ended or rewritten.
    Of(Vec<Name>, Cursor),
    /// Any may have been.
    Unknown(Cursor),
}

/// The right to renew the tokens of one session: nobody else has it until it is given back or its
/// time is over.
#[derive(Debug)]
pub(crate) struct RenewalLock {
    name: Name,
    holder: [u8; 16],
}

/// One session among those listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: Name,
    pub(crate) stored: Stored,
    /// When it is over unless somebody shows its cookie.
    pub(crate) expires: Timestamp,
}

impl Store {
    /// Opens or makes the database at `path`, readable by its owner only.
    pub(crate) async fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            engine: Arc::new(Engine::Sqlite(sqlite::open(path).await?)),
            vault: Vault::Plain,
            home: Home::Here,
            silences: AtomicU32::new(0),
            waiting: Semaphore::new(finding::MOST_WAITING),
        })
    }

    /// The store at `address`, or the database at `path`. A store elsewhere need not be there yet.
    pub(crate) async fn at(
        address: &StoreAddress,
        path: &Path,
        secrets: Vec<Secret>,
    ) -> Result<Self, StoreError> {
        let engine = match address {
            StoreAddress::Sqlite => return Self::open(path).await,
            StoreAddress::Cookie => {
                tracing::warn!(
                    "sessions are in their cookies: nobody can list them or end those of others, an issuer cannot end one, and a sign-out is known to the browser and to this process alone"
                );
                Engine::Cookies
            }
            StoreAddress::Postgres(options) => {
                Engine::Postgres(Box::new(postgres::PostgresStore::new((**options).clone())))
            }
            StoreAddress::Redis(address) => {
                Engine::Redis(Box::new(redis::RedisStore::new(address)?))
            }
        };
        if secrets.iter().any(|secret| secret.expose().len() < SECRET) {
            return Err(StoreError::NoSecret(SECRET));
        }
        let vault = Vault::sealed(secrets.iter().map(Secret::expose));
        let store = Self {
            engine: Arc::new(engine),
            vault: vault.ok_or(StoreError::NoSecret(SECRET))?,
            home: Home::Elsewhere {
                runtime: Handle::current(),
                secrets,
            },
            silences: AtomicU32::new(0),
            waiting: Semaphore::new(finding::MOST_WAITING),
        };
        match store.ready().await {
            Err(error) if error.is_outage() => {
                tracing::error!(%error, store = %address, "sessions cannot be reached yet");
                store.silences.store(1, Ordering::Relaxed);
            }
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        Ok(store)
    }

    /// Asks, whatever it answered before, whether it can be used; what was asked after that is told
    /// by it.
    pub(crate) async fn ready(&self) -> Result<(), StoreError> {
        let ready = self
            .ask_always(|engine| async move { engine.ready().await })
            .await;
        self.answered(&ready);
        ready
    }

    /// The secrets for `purpose`, the same in every process on this store: the first one for what is
    /// made, all for what is found.
    pub(crate) async fn keys(
        &self,
        purpose: &str,
        randomness: &dyn Randomness,
    ) -> Result<Vec<[u8; 32]>, StoreError> {
        match (&self.home, &*self.engine) {
            (Home::Elsewhere { secrets, .. }, _) => Ok(secrets
                .iter()
                .map(|secret| derive(secret.expose(), purpose))
                .collect()),
            (Home::Here, Engine::Sqlite(sql)) => {
                let mut fresh = [0; 32];
                randomness.fill(&mut fresh);
                let secret = sql.key(purpose, &fresh).await?;
                Ok(vec![secret.try_into().map_err(|_| StoreError::Corrupt)?])
            }
            (Home::Here, Engine::Postgres(_) | Engine::Redis(_) | Engine::Cookies) => {
                Err(StoreError::NoSecret(SECRET))
            }
        }
    }

    /// Keeps a session until `expires`. When this returns, it survives a crash.
    pub(crate) async fn insert(
        &self,
        name: &Name,
        record: &Record,
        expires: Timestamp,
        randomness: &dyn Randomness,
    ) -> Result<(), StoreError> {
        let row = self.row(name, 1, record, record.created, expires, randomness)?;
        self.ask(|engine| async move { engine.insert(&row).await })
            .await
    }

    /// The session with this name.
    pub(crate) async fn find(&self, name: &Name) -> Result<Option<Stored>, StoreError> {
        let name = *name;
        let place = self
            .ask(move |engine| async move { engine.find(&name).await })
            .await?;
        Ok(place
            .map(|place| self.entry(place))
            .transpose()?
            .map(|entry| entry.stored))
    }

    /// Rewrites a session that still has the version `before`, and tells other processes; gives its
    /// version then, `None` when it was ended or rewritten since.
    pub(crate) async fn replace(
        &self,
        name: &Name,
        before: i64,
        record: &Record,
        (now, expires): (Timestamp, Timestamp),
        randomness: &dyn Randomness,
    ) -> Result<Option<i64>, StoreError> {
        let version = before + 1;
        let row = self.row(name, version, record, now, expires, randomness)?;
        let replaced = self
            .ask(move |engine| async move { engine.replace(before, &row).await })
            .await?;
        Ok(replaced.then_some(version))
    }

    /// Somebody showed the cookie at `seen`: the session stays until `expires`.
    pub(crate) async fn touch(
        &self,
        name: &Name,
        seen: Timestamp,
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        let name = *name;
        self.ask(move |engine| async move { engine.touch(&name, seen, expires).await })
            .await
    }

    /// Forgets a session; says whether there was one. When this returns, it stays forgotten after a
    /// crash, and other processes are told.
    pub(crate) async fn delete(&self, name: &Name, now: Timestamp) -> Result<bool, StoreError> {
        let name = *name;
        self.ask(move |engine| async move { engine.delete(&name, now).await })
            .await
    }

    /// Forgets the sessions of `whose`, as [`Self::delete`] does; gives their names.
    pub(crate) async fn delete_by(
        &self,
        whose: &Whose,
        now: Timestamp,
    ) -> Result<Vec<Name>, StoreError> {
        let index = index(whose);
        let mut names = Vec::new();
        for tag in self.vault.tags(whose) {
            let step = self
                .ask_long(move |engine| async move { engine.delete_by(index, &tag, now).await })
                .await?;
            names.extend(step);
        }
        Ok(names)
    }

    /// Forgets every session, as [`Self::delete`] does; says how many.
    pub(crate) async fn delete_all(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.ask_long(move |engine| async move { engine.delete_all(now).await })
            .await
    }

    /// At most so many sessions after `after`, in the order of their names.
    pub(crate) async fn list(
        &self,
        after: &[u8],
        at_most: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let after = after.to_vec();
        let places = self
            .ask_long(move |engine| async move { engine.list(&after, at_most).await })
            .await?;
        places.into_iter().map(|place| self.entry(place)).collect()
    }

    /// Whether some of the sessions that are kept open with the secrets that are known here.
    pub(crate) async fn sealing(&self) -> Result<Sealing, StoreError> {
        if matches!(*self.engine, Engine::Cookies) {
            return Ok(Sealing::default());
        }
        let places = self
            .ask_long(|engine| async move { engine.list(&[], SAMPLE).await })
            .await?;
        let mut sealing = Sealing::default();
        for place in places {
            match self.entry(place) {
                Err(StoreError::Foreign) => sealing.foreign += 1,
                Ok(_) | Err(_) => sealing.known += 1,
            }
        }
        Ok(sealing)
    }

    /// The sessions of `whose`.
    pub(crate) async fn list_by(&self, whose: &Whose) -> Result<Vec<Entry>, StoreError> {
        let index = index(whose);
        let mut entries = Vec::new();
        for tag in self.vault.tags(whose) {
            let places = self
                .ask_long(move |engine| async move { engine.list_by(index, &tag).await })
                .await?;
            for place in places {
                entries.push(self.entry(place)?);
            }
        }
        Ok(entries)
    }

    /// Forgets sessions that are over, in bounded steps; says how many.
    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.ask_long(move |engine| async move { engine.sweep(now).await })
            .await
    }

    /// The right to renew the tokens of a session for `span`; `None` when somebody has it.
    pub(crate) async fn lock(
        &self,
        name: &Name,
        now: Timestamp,
        span: Duration,
        randomness: &dyn Randomness,
    ) -> Result<Option<RenewalLock>, StoreError> {
        let (name, mut holder) = (*name, [0; 16]);
        randomness.fill(&mut holder);
        let taken = self
            .ask(move |engine| async move { engine.lock(&name, &holder, now, span).await })
            .await?;
        Ok(taken.then_some(RenewalLock { name, holder }))
    }

    /// Gives the right back. One that was lost meanwhile is not taken from who has it.
    pub(crate) async fn unlock(&self, lock: RenewalLock) -> Result<(), StoreError> {
        let RenewalLock { name, holder } = lock;
        self.ask(move |engine| async move { engine.unlock(&name, &holder).await })
            .await
    }

    /// Where the record of changes stands. Asks whatever it answered before.
    pub(crate) async fn cursor(&self) -> Result<Cursor, StoreError> {
        let cursor = self
            .ask_always(|engine| async move { engine.cursor().await })
            .await;
        self.answered(&cursor);
        cursor
    }

    /// What has changed since `cursor`. Asks whatever it answered before.
    pub(crate) async fn changes(&self, cursor: Cursor) -> Result<Changes, StoreError> {
        let changes = self
            .ask_always(move |engine| async move { engine.changes(cursor).await })
            .await;
        self.answered(&changes);
        changes
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) async fn close(&self) {
        self.engine.close().await;
    }

    /// Asks the engine; not at all while it is known to be down, so that nobody waits in vain.
    async fn ask<T, F>(&self, question: impl FnOnce(Arc<Engine>) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        if self.silences.load(Ordering::Relaxed) > 0 {
            return Err(StoreError::Down);
        }
        self.ask_always(question).await
    }

    async fn ask_always<T, F>(
        &self,
        question: impl FnOnce(Arc<Engine>) -> F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let question = question(Arc::clone(&self.engine));
        match &self.home {
            Home::Here => question.await,
            Home::Elsewhere { runtime, .. } => {
                let answer = runtime.spawn(tokio::time::timeout(ANSWERS, question));
                match answer.await {
                    Ok(Ok(answer)) => answer,
                    // The runtime ends, or it took too long.
                    Ok(Err(_)) | Err(_) => Err(StoreError::TimedOut),
                }
            }
        }
    }

    /// As [`Self::ask`], however long it takes.
    async fn ask_long<T, F>(&self, question: impl FnOnce(Arc<Engine>) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        if self.silences.load(Ordering::Relaxed) > 0 {
            return Err(StoreError::Down);
        }
        let question = question(Arc::clone(&self.engine));
        match &self.home {
            Home::Here => question.await,
            Home::Elsewhere { runtime, .. } => {
                let answer = runtime.spawn(tokio::time::timeout(ANSWERS_LONG, question));
                match answer.await {
                    Ok(Ok(answer)) => answer,
                    Ok(Err(_)) | Err(_) => Err(StoreError::TimedOut),
                }
            }
        }
    }

    fn answered<T>(&self, answer: &Result<T, StoreError>) {
        match answer {
            Err(error) if error.is_outage() => {
                let more = |silences: u32| Some(silences.saturating_add(1));
                let _ = self
                    .silences
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
            }
            _ => self.silences.store(0, Ordering::Relaxed),
        }
    }

    fn row(
        &self,
        name: &Name,
        version: i64,
        record: &Record,
        seen: Timestamp,
        expires: Timestamp,
        randomness: &dyn Randomness,
    ) -> Result<Row, StoreError> {
        Ok(Row {
            name: *name,
            version,
            record: self.vault.seal(name, version, record, randomness)?,
            email: self.vault.tag(&record.by_email()),
            subject: self.vault.tag(&record.by_subject()),
            sid: record.by_sid().map(|sid| self.vault.tag(&sid)),
            seen,
            expires,
            ends: record.expires,
        })
    }

    fn entry(&self, place: Place) -> Result<Entry, StoreError> {
        let Place {
            name,
            version,
            record,
            seen,
            expires,
        } = place;
        let record = self.vault.open(&name, version, record)?;
        let stored = Stored {
            record,
            version,
            seen,
        };
        Ok(Entry {
            name,
            stored,
            expires,
        })
    }
}

fn index(whose: &Whose) -> Index {
    match whose {
        Whose::Email(_) => Index::Email,
        Whose::Subject { .. } => Index::Subject,
        Whose::Sid { .. } => Index::Sid,
    }
}
