//! Sessions at rest: one seam, and behind it the engines.

#[cfg(test)]
pub(crate) mod conformance;
mod error;
mod record;
mod sql;
mod sqlite;
mod vault;

use std::path::Path;

use model::names::{Duration, Timestamp};
use model::seams::Randomness;
use sqlx::Sqlite;

pub use error::StoreError;
pub(crate) use record::{Record, Stored, Whose};
use sql::Sql;
use vault::Vault;

use super::value::Name;

/// How long changes are told: another process that heard nothing for longer forgets everything.
const TOLD: Duration = Duration::from_secs(3600);

/// Where sessions are kept.
pub(crate) struct Store {
    engine: Engine,
    vault: Vault,
}

enum Engine {
    Sqlite(Sql<Sqlite>),
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
    expires: Timestamp,
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
            engine: Engine::Sqlite(sqlite::open(path).await?),
            vault: Vault::Plain,
        })
    }

    /// The secret for `purpose`, made the first time it is asked for.
    pub(crate) async fn key(
        &self,
        purpose: &str,
        randomness: &dyn Randomness,
    ) -> Result<[u8; 32], StoreError> {
        let mut fresh = [0; 32];
        randomness.fill(&mut fresh);
        let secret = match &self.engine {
            Engine::Sqlite(sql) => sql.key(purpose, &fresh).await,
        };
        secret?.try_into().map_err(|_| StoreError::Corrupt)
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
        match &self.engine {
            Engine::Sqlite(sql) => sql.insert(&row).await,
        }
    }

    /// The session with this name.
    pub(crate) async fn find(&self, name: &Name) -> Result<Option<Stored>, StoreError> {
        let place = match &self.engine {
            Engine::Sqlite(sql) => sql.find(name).await?,
        };
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
        let replaced = match &self.engine {
            Engine::Sqlite(sql) => sql.replace(before, &row, now).await?,
        };
        Ok(replaced.then_some(version))
    }

    /// Somebody showed the cookie at `seen`: the session stays until `expires`.
    pub(crate) async fn touch(
        &self,
        name: &Name,
        seen: Timestamp,
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        match &self.engine {
            Engine::Sqlite(sql) => sql.touch(name, seen, expires).await,
        }
    }

    /// Forgets a session; says whether there was one. When this returns, it stays forgotten after a
    /// crash, and other processes are told.
    pub(crate) async fn delete(&self, name: &Name, now: Timestamp) -> Result<bool, StoreError> {
        match &self.engine {
            Engine::Sqlite(sql) => sql.delete(name, now).await,
        }
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
            names.extend(match &self.engine {
                Engine::Sqlite(sql) => sql.delete_by(index, &tag, now).await?,
            });
        }
        Ok(names)
    }

    /// Forgets every session, as [`Self::delete`] does; says how many.
    pub(crate) async fn delete_all(&self, now: Timestamp) -> Result<u64, StoreError> {
        match &self.engine {
            Engine::Sqlite(sql) => sql.delete_all(now).await,
        }
    }

    /// At most so many sessions after `after`, in the order of their names.
    pub(crate) async fn list(
        &self,
        after: Option<&Name>,
        at_most: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let after = after.map(Name::as_slice).unwrap_or_default();
        let places = match &self.engine {
            Engine::Sqlite(sql) => sql.list(after, at_most).await?,
        };
        places.into_iter().map(|place| self.entry(place)).collect()
    }

    /// The sessions of `whose`.
    pub(crate) async fn list_by(&self, whose: &Whose) -> Result<Vec<Entry>, StoreError> {
        let index = index(whose);
        let mut entries = Vec::new();
        for tag in self.vault.tags(whose) {
            let places = match &self.engine {
                Engine::Sqlite(sql) => sql.list_by(index, &tag).await?,
            };
            for place in places {
                entries.push(self.entry(place)?);
            }
        }
        Ok(entries)
    }

    /// Forgets sessions that are over, in bounded steps; says how many.
    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        match &self.engine {
            Engine::Sqlite(sql) => sql.sweep(now, now.minus(TOLD)).await,
        }
    }

    /// The right to renew the tokens of a session for `span`; `None` when somebody has it.
    pub(crate) async fn lock(
        &self,
        name: &Name,
        now: Timestamp,
        span: Duration,
        randomness: &dyn Randomness,
    ) -> Result<Option<RenewalLock>, StoreError> {
        let mut holder = [0; 16];
        randomness.fill(&mut holder);
        let taken = match &self.engine {
            Engine::Sqlite(sql) => sql.lock(name, &holder, now, now.plus(span)).await?,
        };
        let name = *name;
        Ok(taken.then_some(RenewalLock { name, holder }))
    }

    /// Gives the right back. One that was lost meanwhile is not taken from who has it.
    pub(crate) async fn unlock(&self, lock: RenewalLock) -> Result<(), StoreError> {
        let RenewalLock { name, holder } = lock;
        match &self.engine {
            Engine::Sqlite(sql) => sql.unlock(&name, &holder).await,
        }
    }

    /// Where the record of changes stands.
    pub(crate) async fn cursor(&self) -> Result<Cursor, StoreError> {
        match &self.engine {
            Engine::Sqlite(sql) => sql.cursor().await,
        }
    }

    /// What has changed since `cursor`.
    pub(crate) async fn changes(&self, cursor: Cursor) -> Result<Changes, StoreError> {
        match &self.engine {
            Engine::Sqlite(sql) => sql.changes(cursor).await,
        }
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) async fn close(&self) {
        match &self.engine {
            Engine::Sqlite(sql) => sql.close().await,
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
