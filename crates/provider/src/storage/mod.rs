//! `provider.db`: what outlives the process, and beside it what outlives a configuration but not
//! the process (parsed keys, failed sign-ins, the hashing pool).

mod codes;
mod refresh;
mod rings;

use std::collections::HashMap;
use std::fmt;
use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest;
use model::names::{Duration, Timestamp};
use model::seams::Randomness;
use oidc::jose::KeyFault;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

pub(crate) use codes::{Code, Redeemed};
pub(crate) use refresh::{Family, Rotated};

use crate::attempts::Attempts;
use crate::keys::Loaded;
use crate::passwords::Pool;
use crate::sealed::KEY_LENGTH;

/// The provider's storage: one SQLite file, shared by every [`crate::Provider`] made on it. Write
/// statements commit to disk before they return; a killed process loses nothing it had answered.
pub struct Store {
    /// One connection: writers queue here and not on the file's lock.
    writer: SqlitePool,
    readers: SqlitePool,
    rings: Mutex<HashMap<String, Arc<Loaded>>>,
    sealing_key: tokio::sync::OnceCell<[u8; KEY_LENGTH]>,
    pub(crate) attempts: Attempts,
    pub(crate) hashing: Pool,
}

/// Expired rows deleted in one statement, so that no writer waits long.
const STEP: i64 = 500;

impl Store {
    /// Opens or makes the file at `path`, readable for its owner alone, and brings its tables up to
    /// date.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be made, is no database, or is a newer version's.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        // Made here and not by SQLite, which would obey the umask; its side files take this mode.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        drop(file);
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5));
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone())
            .await?;
        sqlx::migrate!("./migrations").run(&writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(3)
            .connect_with(options.read_only(true))
            .await?;
        Ok(Self {
            writer,
            readers,
            rings: Mutex::default(),
            sealing_key: tokio::sync::OnceCell::new(),
            attempts: Attempts::default(),
            hashing: Pool::default(),
        })
    }

    /// The key that seals state in browsers; made at its first use.
    pub(crate) async fn sealing_key(
        &self,
        randomness: &dyn Randomness,
    ) -> Result<&[u8; KEY_LENGTH], StoreError> {
        self.sealing_key
            .get_or_try_init(|| async {
                let mut fresh = [0_u8; KEY_LENGTH];
                randomness.fill(&mut fresh);
                // Of several processes one makes the key and all read it.
                sqlx::query(
                    "INSERT INTO own_secrets (name, bytes) VALUES ($1, $2) \
                     ON CONFLICT (name) DO NOTHING",
                )
                .bind("sealing-key")
                .bind(&fresh[..])
                .execute(&self.writer)
                .await?;
                let (bytes,): (Vec<u8>,) =
                    sqlx::query_as("SELECT bytes FROM own_secrets WHERE name = $1")
                        .bind("sealing-key")
                        .fetch_one(&self.writer)
                        .await?;
                bytes
                    .try_into()
                    .map_err(|_| StoreError::Damaged(Damaged::SealingKey))
            })
            .await
    }

    /// Deletes what has expired, in bounded steps.
    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut deleted = 0;
        for statement in [
            "DELETE FROM codes WHERE code_hash IN \
             (SELECT code_hash FROM codes WHERE expires_at <= $1 LIMIT $2)",
            "DELETE FROM answered_requests WHERE id IN \
             (SELECT id FROM answered_requests WHERE expires_at <= $1 LIMIT $2)",
            "DELETE FROM refresh_families WHERE family IN \
             (SELECT family FROM refresh_families WHERE expires_at <= $1 LIMIT $2)",
        ] {
            loop {
                let step = sqlx::query(statement)
                    .bind(now.seconds())
                    .bind(STEP)
                    .execute(&self.writer)
                    .await?
                    .rows_affected();
                deleted += step;
                if step < STEP.unsigned_abs() {
                    break;
                }
            }
        }
        Ok(deleted)
    }

    /// Breaks it, for tests of what happens then.
    #[cfg(test)]
    pub(crate) async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }

    /// Whether the file answers.
    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.readers).await?;
        Ok(())
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// How secrets from outside are kept.
fn hashed(secret: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, secret.as_bytes())
        .as_ref()
        .to_vec()
}

/// What can go wrong with the storage. The operator's fault or ours, never a client's.
#[derive(Debug)]
pub enum StoreError {
    /// The file cannot be made or its mode not set.
    File(io::Error),
    /// The tables cannot be brought up to date.
    Migration(sqlx::migrate::MigrateError),
    /// The database did not do what was asked.
    Database(sqlx::Error),
    /// Something stored cannot be read.
    Damaged(Damaged),
    /// No key could be made, or the task that made it died.
    Key(KeyFault),
}

/// What is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damaged {
    /// The sealing key.
    SealingKey,
    /// A ring of signing keys.
    Ring,
    /// What a code stands for.
    Code,
    /// What a refresh token stands for.
    Refresh,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => {
                write!(f, "the provider's database file cannot be opened: {error}")
            }
            Self::Migration(error) => {
                write!(
                    f,
                    "the provider's tables cannot be brought up to date: {error}"
                )
            }
            Self::Database(error) => write!(f, "the provider's database failed: {error}"),
            Self::Damaged(what) => {
                let what = match what {
                    Damaged::SealingKey => "sealing key",
                    Damaged::Ring => "ring of signing keys",
                    Damaged::Code => "code",
                    Damaged::Refresh => "refresh token",
                };
                write!(f, "a stored {what} cannot be read")
            }
            Self::Key(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(error) => Some(error),
            Self::Migration(error) => Some(error),
            Self::Database(error) => Some(error),
            Self::Damaged(_) => None,
            Self::Key(fault) => Some(fault),
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        Self::Migration(error)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<KeyFault> for StoreError {
    fn from(fault: KeyFault) -> Self {
        Self::Key(fault)
    }
}

#[cfg(test)]
mod tests;
