//! Sessions at rest: SQLite in one file that only its owner reads.

use std::fmt;
use std::path::Path;

use model::names::{Duration, Timestamp};
use model::seams::Randomness;
use sqlx::Row as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};

use super::value::Name;

/// Rows deleted in one transaction, so that nobody waits long for the writer.
const SWEEP_STEP: i64 = 500;

/// Transactions in one sweep.
const SWEEP_STEPS: usize = 20;

/// One signed-in person at rest.
pub(crate) struct Record {
    pub(crate) login: String,
    pub(crate) user: String,
    pub(crate) email: String,
    pub(crate) groups: Vec<String>,
    pub(crate) preferred_username: Option<String>,
    pub(crate) id_token: String,
    pub(crate) access_token: Option<String>,
    pub(crate) refresh_token: Option<String>,
    pub(crate) created: Timestamp,
    pub(crate) expires: Timestamp,
}

/// Why the store did not do what it was asked. The operator's fault or ours, never the client's.
#[derive(Debug)]
pub enum StoreError {
    /// The file cannot be made, or its mode not be set.
    File(std::io::Error),
    /// The database refused or broke.
    Database(sqlx::Error),
    /// The tables cannot be brought to this version's form.
    Migration(sqlx::migrate::MigrateError),
    /// A row is not what this version writes.
    Corrupt,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => write!(f, "the session store's file cannot be used: {error}"),
            Self::Database(error) => write!(f, "the session store failed: {error}"),
            Self::Migration(error) => write!(f, "the session store cannot be migrated: {error}"),
            Self::Corrupt => f.write_str("a row of the session store cannot be read"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(error) => Some(error),
            Self::Database(error) => Some(error),
            Self::Migration(error) => Some(error),
            Self::Corrupt => None,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// The database: one connection writes, a few read.
pub(crate) struct Store {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Store {
    /// Opens or makes the database at `path`, readable by its owner only.
    pub(crate) async fn open(path: &Path) -> Result<Self, StoreError> {
        keep_private(path).map_err(StoreError::File)?;
        // A cookie is sent only after its session is on disk: FULL syncs the log at each commit.
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5));
        let pool = |connections: u32| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(Duration::from_secs(5))
                .idle_timeout(None)
                .max_lifetime(None)
        };
        let writer = pool(1).connect_with(options.clone()).await?;
        sqlx::migrate!()
            .run(&writer)
            .await
            .map_err(StoreError::Migration)?;
        let readers = pool(4).connect_lazy_with(options);
        Ok(Self { writer, readers })
    }

    /// The secret for `purpose`, made the first time it is asked for.
    pub(crate) async fn key(
        &self,
        purpose: &str,
        randomness: &dyn Randomness,
    ) -> Result<[u8; 32], StoreError> {
        let mut fresh = [0; 32];
        randomness.fill(&mut fresh);
        sqlx::query(
            "INSERT INTO store_key (purpose, secret) VALUES ($1, $2)
             ON CONFLICT (purpose) DO NOTHING",
        )
        .bind(purpose)
        .bind(fresh.as_slice())
        .execute(&self.writer)
        .await?;
        let secret: Vec<u8> = sqlx::query_scalar("SELECT secret FROM store_key WHERE purpose = $1")
            .bind(purpose)
            .fetch_one(&self.writer)
            .await?;
        secret.try_into().map_err(|_| StoreError::Corrupt)
    }

    /// Keeps a session. When this returns, it survives a crash.
    pub(crate) async fn insert(&self, name: &Name, record: &Record) -> Result<(), StoreError> {
        let groups = serde_json::Value::from(record.groups.clone()).to_string();
        sqlx::query(
            "INSERT INTO session (name, login, subject, email, member_of, preferred_username,
                                  id_token, access_token, refresh_token, created, expires)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(name.as_slice())
        .bind(&record.login)
        .bind(&record.user)
        .bind(&record.email)
        .bind(groups)
        .bind(&record.preferred_username)
        .bind(&record.id_token)
        .bind(&record.access_token)
        .bind(&record.refresh_token)
        .bind(record.created.seconds())
        .bind(record.expires.seconds())
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// The session with this name.
    pub(crate) async fn find(&self, name: &Name) -> Result<Option<Record>, StoreError> {
        let row = sqlx::query(
            "SELECT login, subject, email, member_of, preferred_username, id_token, access_token,
                    refresh_token, created, expires
             FROM session WHERE name = $1",
        )
        .bind(name.as_slice())
        .fetch_optional(&self.readers)
        .await?;
        row.map(|row| read(&row)).transpose()
    }

    /// Forgets a session. When this returns, it stays forgotten after a crash.
    pub(crate) async fn delete(&self, name: &Name) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM session WHERE name = $1")
            .bind(name.as_slice())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Forgets sessions that have expired, in bounded steps; says how many.
    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut deleted = 0;
        for _ in 0..SWEEP_STEPS {
            let step = sqlx::query(
                "DELETE FROM session WHERE name IN
                     (SELECT name FROM session WHERE expires <= $1 LIMIT $2)",
            )
            .bind(now.seconds())
            .bind(SWEEP_STEP)
            .execute(&self.writer)
            .await?
            .rows_affected();
            deleted += step;
            if step < SWEEP_STEP.unsigned_abs() {
                break;
            }
        }
        Ok(deleted)
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }
}

fn read(row: &SqliteRow) -> Result<Record, StoreError> {
    let groups: String = row.try_get("member_of")?;
    Ok(Record {
        login: row.try_get("login")?,
        user: row.try_get("subject")?,
        email: row.try_get("email")?,
        groups: read_groups(&groups).ok_or(StoreError::Corrupt)?,
        preferred_username: row.try_get("preferred_username")?,
        id_token: row.try_get("id_token")?,
        access_token: row.try_get("access_token")?,
        refresh_token: row.try_get("refresh_token")?,
        created: Timestamp::from_seconds(row.try_get("created")?),
        expires: Timestamp::from_seconds(row.try_get("expires")?),
    })
}

fn read_groups(text: &str) -> Option<Vec<String>> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    value
        .as_array()?
        .iter()
        .map(|one| one.as_str().map(str::to_owned))
        .collect()
}

/// Makes the file before the database does, so that there is no moment in which others may read it;
/// SQLite gives its side files the same mode.
#[cfg(unix)]
fn keep_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let mut options = std::fs::OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn keep_private(_path: &Path) -> std::io::Result<()> {
    Ok(())
}
