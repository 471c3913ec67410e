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
    options: PgConnectOptions,
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
            .connect_lazy_with(options.clone());
        Self {
            sql: Sql {
                writer: pool.clone(),
                readers: pool,
            },
            options,
            is_ready: AtomicBool::new(false),
        }
    }

    /// The database with its tables.
    pub(super) async fn ready(&self) -> Result<&Sql<Postgres>, StoreError> {
        if !self.is_ready.load(Ordering::Acquire) {
            // One process at a time: the migrator takes an advisory lock of its connection. One from
            // the pool would keep it for ever if nobody waits for the end of this.
            let once = PgPoolOptions::new()
                .max_connections(1)
                .acquire_timeout(Duration::from_secs(3))
                .connect_with(self.options.clone())
                .await?;
            let migrated = sqlx::migrate!("migrations/postgres").run(&once).await;
            once.close().await;
            migrated.map_err(StoreError::Migration)?;
            self.is_ready.store(true, Ordering::Release);
        }
        Ok(&self.sql)
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) async fn close(&self) {
        self.sql.close().await;
    }
}
