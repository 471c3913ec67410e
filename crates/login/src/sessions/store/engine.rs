//! The engines behind the one seam.

use model::names::{Duration, Timestamp};
use sqlx::Sqlite;

use super::postgres::PostgresStore;
use super::redis::RedisStore;
use super::sql::Sql;
use super::{Changes, Cursor, Index, Place, Row, StoreError};
use crate::sessions::value::Name;

/// How long changes are told: another process that heard nothing for longer forgets everything.
const TOLD: Duration = Duration::from_secs(3600);

/// Every engine.
pub(super) enum Engine {
    Sqlite(Sql<Sqlite>),
    Postgres(Box<PostgresStore>),
    Redis(Box<RedisStore>),
    /// None: sessions are in their cookies. What there is none of can be asked for all the same.
    Cookies,
}

impl Engine {
    /// Whether it can be used now.
    pub(super) async fn ready(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(postgres) => postgres.ready().await.map(|_| ()),
            Self::Redis(redis) => redis.ready().await,
            Self::Cookies => Ok(()),
        }
    }

    pub(super) async fn insert(&self, row: &Row) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sql) => sql.insert(row).await,
            Self::Postgres(postgres) => postgres.ready().await?.insert(row).await,
            Self::Redis(redis) => redis.insert(row).await,
            Self::Cookies => Ok(()),
        }
    }

    pub(super) async fn replace(&self, before: i64, row: &Row) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(sql) => sql.replace(before, row).await,
            Self::Postgres(postgres) => postgres.ready().await?.replace(before, row).await,
            Self::Redis(redis) => redis.replace(before, row).await,
            Self::Cookies => Ok(false),
        }
    }

    pub(super) async fn find(&self, name: &Name) -> Result<Option<Place>, StoreError> {
        match self {
            Self::Sqlite(sql) => sql.find(name).await,
            Self::Postgres(postgres) => postgres.ready().await?.find(name).await,
            Self::Redis(redis) => redis.find(name).await,
            Self::Cookies => Ok(None),
        }
    }

    pub(super) async fn touch(
        &self,
        name: &Name,
        seen: Timestamp,
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sql) => sql.touch(name, seen, expires).await,
            Self::Postgres(postgres) => postgres.ready().await?.touch(name, seen, expires).await,
            Self::Redis(redis) => redis.touch(name, seen, expires).await,
            Self::Cookies => Ok(()),
        }
    }

    pub(super) async fn delete(&self, name: &Name, now: Timestamp) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(sql) => sql.delete(name, now).await,
            Self::Postgres(postgres) => postgres.ready().await?.delete(name, now).await,
            Self::Redis(redis) => redis.delete(name).await,
            Self::Cookies => Ok(false),
        }
    }

    pub(super) async fn delete_by(
        &self,
        index: Index,
        tag: &str,
        now: Timestamp,
    ) -> Result<Vec<Name>, StoreError> {
        match self {
            Self::Sqlite(sql) => sql.delete_by(index, tag, now).await,
            Self::Postgres(postgres) => postgres.ready().await?.delete_by(index, tag, now).await,
            Self::Redis(redis) => redis.delete_by(index, tag).await,
            Self::Cookies => Err(StoreError::InCookies),
        }
    }

    pub(super) async fn delete_all(&self, now: Timestamp) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(sql) => sql.delete_all(now).await,
            Self::Postgres(postgres) => postgres.ready().await?.delete_all(now).await,
            Self::Redis(redis) => redis.delete_all().await,
            Self::Cookies => Err(StoreError::InCookies),
        }
    }

    pub(super) async fn list(
        &self,
        after: &[u8],
        at_most: usize,
    ) -> Result<Vec<Place>, StoreError> {
        match self {
            Self::Sqlite(sql) => sql.list(after, at_most).await,
            Self::Postgres(postgres) => postgres.ready().await?.list(after, at_most).await,
            Self::Redis(redis) => redis.list(after, at_most).await,
            Self::Cookies => Err(StoreError::InCookies),
        }
    }

    pub(super) async fn list_by(&self, index: Index, tag: &str) -> Result<Vec<Place>, StoreError> {
        match self {
            Self::Sqlite(sql) => sql.list_by(index, tag).await,
            Self::Postgres(postgres) => postgres.ready().await?.list_by(index, tag).await,
            Self::Redis(redis) => redis.list_by(index, tag).await,
            Self::Cookies => Err(StoreError::InCookies),
        }
    }

    pub(super) async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let told = now.minus(TOLD);
        match self {
            Self::Sqlite(sql) => sql.sweep(now, told).await,
            Self::Postgres(postgres) => postgres.ready().await?.sweep(now, told).await,
            Self::Redis(redis) => redis.sweep(now, TOLD.as_secs()).await,
            Self::Cookies => Ok(0),
        }
    }

    pub(super) async fn lock(
        &self,
        name: &Name,
        holder: &[u8],
        now: Timestamp,
        span: Duration,
    ) -> Result<bool, StoreError> {
        let until = now.plus(span);
        match self {
            Self::Sqlite(sql) => sql.lock(name, holder, now, until).await,
            Self::Postgres(postgres) => {
                let sql = postgres.ready().await?;
                sql.lock(name, holder, now, until).await
            }
            Self::Redis(redis) => redis.lock(name, holder, span.as_secs()).await,
            Self::Cookies => Ok(true),
        }
    }

    pub(super) async fn unlock(&self, name: &Name, holder: &[u8]) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sql) => sql.unlock(name, holder).await,
            Self::Postgres(postgres) => postgres.ready().await?.unlock(name, holder).await,
            Self::Redis(redis) => redis.unlock(name, holder).await,
            Self::Cookies => Ok(()),
        }
    }

    pub(super) async fn cursor(&self) -> Result<Cursor, StoreError> {
        match self {
            Self::Sqlite(sql) => sql.cursor().await,
            Self::Postgres(postgres) => postgres.ready().await?.cursor().await,
            Self::Redis(redis) => redis.cursor().await,
            Self::Cookies => Ok(Cursor(0, 0)),
        }
    }

    pub(super) async fn changes(&self, cursor: Cursor) -> Result<Changes, StoreError> {
        match self {
            Self::Sqlite(sql) => sql.changes(cursor).await,
            Self::Postgres(postgres) => postgres.ready().await?.changes(cursor).await,
            Self::Redis(redis) => redis.changes(cursor).await,
            Self::Cookies => Ok(Changes::Of(Vec::new(), cursor)),
        }
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(sql) => sql.close().await,
            Self::Postgres(postgres) => postgres.close().await,
            Self::Redis(redis) => redis.close().await,
            Self::Cookies => {}
        }
    }
}
