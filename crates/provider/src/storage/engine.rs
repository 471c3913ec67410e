//! The engines behind the one seam: SQLite in the state directory, or PostgreSQL that several
//! processes share.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use model::names::Duration;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, Postgres};
use sqlx::sqlite::{
    Sqlite, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use tokio::sync::OnceCell;

use super::StoreError;
use super::statement::{Row, Statement};

/// Connections to PostgreSQL at most.
const CONNECTIONS: u32 = 8;

/// So long a question waits for the file's lock.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 30 } else { 5 });

/// So long a question waits for a connection.
const REACHED: Duration = Duration::from_secs(5);

/// Where rows are.
pub(super) enum Engine {
    Sqlite {
        /// One connection: writers queue here and not on the file's lock.
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres(Box<Shared>),
}

/// A PostgreSQL database, which may not be there yet.
pub(super) struct Shared {
    pool: PgPool,
    options: PgConnectOptions,
    /// Set once the tables have this version's form.
    migrated: OnceCell<()>,
}

/// Statements that come into force together, when [`Transaction::commit`] returns, or not at all.
pub(crate) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

impl Engine {
    /// Opens or makes the file at `path`, readable for its owner alone, and brings its tables up to
    /// date.
    pub(super) async fn file(path: &Path) -> Result<Self, StoreError> {
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
            .pragma("secure_delete", "on")
            .busy_timeout(PATIENCE);
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(PATIENCE)
                .idle_timeout(None)
                .max_lifetime(None)
        };
        let writer = pool(1).connect_with(options.clone()).await?;
        sqlx::migrate!("./migrations/sqlite").run(&writer).await?;
        let readers = pool(3).connect_with(options.read_only(true)).await?;
        Ok(Self::Sqlite { writer, readers })
    }

    /// The database at `options`, without connecting.
    pub(super) fn shared(options: PgConnectOptions) -> Self {
        let options = options.application_name("doorward");
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(REACHED)
            .connect_lazy_with(options.clone());
        Self::Postgres(Box::new(Shared {
            pool,
            options,
            migrated: OnceCell::new(),
        }))
    }

    /// Whether it answers now.
    pub(super) async fn ready(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite { .. } => Ok(()),
            Self::Postgres(shared) => shared.ready().await.map(|_| ()),
        }
    }

    /// Does something; gives the number of rows that it changed. On disk when this returns.
    pub(super) async fn run(&self, statement: Statement) -> Result<u64, StoreError> {
        Ok(match self {
            Self::Sqlite { writer, .. } => {
                let done = statement.for_sqlite().execute(writer).await?;
                done.rows_affected()
            }
            Self::Postgres(shared) => {
                let pool = shared.ready().await?;
                let done = statement.for_postgres().execute(pool).await?;
                done.rows_affected()
            }
        })
    }

    /// The first row that a question finds.
    pub(super) async fn find(&self, question: Statement) -> Result<Option<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => {
                let row = question.for_sqlite().fetch_optional(readers).await?;
                row.map(Row::Sqlite)
            }
            Self::Postgres(shared) => {
                let pool = shared.ready().await?;
                let row = question.for_postgres().fetch_optional(pool).await?;
                row.map(Row::Postgres)
            }
        })
    }

    /// All rows that a question finds.
    pub(super) async fn list(&self, question: Statement) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => {
                let rows = question.for_sqlite().fetch_all(readers).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Self::Postgres(shared) => {
                let pool = shared.ready().await?;
                let rows = question.for_postgres().fetch_all(pool).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Begins a transaction that writes: of several on SQLite, in whatever process, one is at work.
    pub(super) async fn begin(&self) -> Result<Transaction, StoreError> {
        Ok(match self {
            Self::Sqlite { writer, .. } => {
                // A deferred one that reads first could not write after another's commit.
                Transaction::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?)
            }
            Self::Postgres(shared) => {
                let pool = shared.ready().await?;
                Transaction::Postgres(pool.begin().await?)
            }
        })
    }

    /// Takes what was overwritten out of free pages and out of the log.
    pub(super) async fn shred(&self) -> Result<(), StoreError> {
        if let Self::Sqlite { writer, .. } = self {
            sqlx::query("VACUUM").execute(writer).await?;
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
                .execute(writer)
                .await?;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                writer.close().await;
                readers.close().await;
            }
            Self::Postgres(shared) => shared.pool.close().await,
        }
    }
}

impl Shared {
    /// The database with its tables.
    async fn ready(&self) -> Result<&PgPool, StoreError> {
        self.migrated
            .get_or_try_init(|| async {
                // One process at a time: the migrator takes an advisory lock of its connection. One
                // from the pool would keep it for ever if nobody waits for the end of this.
                let once = PgPoolOptions::new()
                    .max_connections(1)
                    .acquire_timeout(REACHED)
                    .connect_with(self.options.clone())
                    .await?;
                let migrated = migrator().run(&once).await;
                once.close().await;
                migrated.map_err(StoreError::Migration)
            })
            .await?;
        Ok(&self.pool)
    }
}

/// Sessions may be kept in the same database, with a record of their own.
fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("./migrations/postgres");
    migrator.dangerous_set_table_name("provider_migrations");
    migrator
}

impl Transaction {
    /// Does something; gives the number of rows that it changed.
    pub(crate) async fn run(&mut self, statement: Statement) -> Result<u64, StoreError> {
        Ok(match self {
            Self::Sqlite(transaction) => {
                let done = statement.for_sqlite().execute(&mut **transaction).await?;
                done.rows_affected()
            }
            Self::Postgres(transaction) => {
                let done = statement.for_postgres().execute(&mut **transaction).await?;
                done.rows_affected()
            }
        })
    }

    /// The first row that a question finds.
    pub(crate) async fn find(&mut self, question: Statement) -> Result<Option<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite(transaction) => {
                let query = question.for_sqlite();
                let row = query.fetch_optional(&mut **transaction).await?;
                row.map(Row::Sqlite)
            }
            Self::Postgres(transaction) => {
                let query = question.for_postgres();
                let row = query.fetch_optional(&mut **transaction).await?;
                row.map(Row::Postgres)
            }
        })
    }

    /// Brings it into force; on disk when this returns. Dropped instead, it never was.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await?,
            Self::Postgres(transaction) => transaction.commit().await?,
        }
        Ok(())
    }
}
