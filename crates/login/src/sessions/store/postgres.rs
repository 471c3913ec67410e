//! PostgreSQL, shared by every process that is given its address and secret.

use std::sync::atomic::{AtomicBool, Ordering};

use model::names::Duration;
use sqlx::Postgres;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::StoreError;
use super::sql::Sql;

/// Connections at most. Requests ask memory, so few are enough.
const CONNECTIONS: u32 = 8;

/// The database, which may not be there yet.
pub(super) struct PostgresStore {
    sql: Sql<Postgres>,
    /// Whether the tables have this version's form.
    is_ready: AtomicBool,
}

impl PostgresStore {
    /// Without connecting.
    pub(super) fn new(options: PgConnectOptions) -> Self {
        let options = options.application_name("doorward");
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(Duration::from_secs(3))
            .connect_lazy_with(options);
        Self {
            sql: Sql {
                writer: pool.clone(),
                readers: pool,
            },
            is_ready: AtomicBool::new(false),
        }
    }

    /// The database with its tables.
    pub(super) async fn ready(&self) -> Result<&Sql<Postgres>, StoreError> {
        if !self.is_ready.load(Ordering::Acquire) {
            // One process at a time: the migrator takes an advisory lock.
            sqlx::migrate!("migrations/postgres")
                .run(&self.sql.writer)
                .await
                .map_err(StoreError::Migration)?;
            self.is_ready.store(true, Ordering::Release);
        }
        Ok(&self.sql)
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) async fn close(&self) {
        self.sql.close().await;
    }
}
