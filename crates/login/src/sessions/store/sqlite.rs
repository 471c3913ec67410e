//! SQLite in one file that only its owner reads.

use std::path::Path;

use model::names::Duration;
use sqlx::Sqlite;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::StoreError;
use super::sql::Sql;

/// Opens or makes the database at `path`, readable by its owner only. One connection writes, a few
/// read.
pub(super) async fn open(path: &Path) -> Result<Sql<Sqlite>, StoreError> {
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
    sqlx::migrate!("migrations/sqlite")
        .run(&writer)
        .await
        .map_err(StoreError::Migration)?;
    let readers = pool(4).connect_lazy_with(options);
    Ok(Sql { writer, readers })
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
