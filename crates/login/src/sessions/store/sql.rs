//! Sessions in a SQL database: one text of every statement, for SQLite and PostgreSQL.

use model::names::Timestamp;
use sqlx::{
    ColumnIndex, Database, Decode, Encode, Executor, IntoArguments, Pool, Row as _, Transaction,
    Type,
};

use super::{Changes, Cursor, Index, Place, Row, StoreError};
use crate::sessions::value::Name;

/// Rows deleted in one transaction, so that nobody waits long for the writer.
const STEP: i64 = 500;

/// Transactions in one sweep.
const SWEEP_STEPS: usize = 20;

/// Changes that are read at once.
const HEARD: i64 = 4096;

/// A database: who writes, and who reads.
pub(super) struct Sql<DB: Database> {
    pub(super) writer: Pool<DB>,
    pub(super) readers: Pool<DB>,
}

impl<DB> Sql<DB>
where
    DB: Database,
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'t> i64: Encode<'t, DB> + Decode<'t, DB> + Type<DB>,
    for<'t> &'t [u8]: Encode<'t, DB> + Type<DB>,
    for<'t> Vec<u8>: Decode<'t, DB> + Type<DB>,
    for<'t> &'t str: Encode<'t, DB> + Type<DB>,
    for<'t> Option<&'t str>: Encode<'t, DB>,
    usize: ColumnIndex<DB::Row>,
{
    /// The secret for `purpose`; `fresh` becomes it when there is none.
    pub(super) async fn key(&self, purpose: &str, fresh: &[u8]) -> Result<Vec<u8>, StoreError> {
        sqlx::query(
            "INSERT INTO store_key (purpose, secret) VALUES ($1, $2)
             ON CONFLICT (purpose) DO NOTHING",
        )
        .bind(purpose)
        .bind(fresh)
        .execute(&self.writer)
        .await?;
        let row = sqlx::query("SELECT secret FROM store_key WHERE purpose = $1")
            .bind(purpose)
            .fetch_one(&self.writer)
            .await?;
        Ok(row.try_get(0)?)
    }

    /// Keeps a session. When this returns, it survives a crash.
    pub(super) async fn insert(&self, row: &Row) -> Result<(), StoreError> {
        let Row {
            name,
            version,
            record,
            email,
            subject,
            sid,
            seen,
            expires,
            ends: _,
        } = row;
        sqlx::query(
            "INSERT INTO session (name, version, record, email, subject, sid, seen, expires)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(name.as_slice())
        .bind(*version)
        .bind(record.as_slice())
        .bind(email.as_str())
        .bind(subject.as_str())
        .bind(sid.as_deref())
        .bind(seen.seconds())
        .bind(expires.seconds())
        .execute(&self.writer)
        .await?;
        Ok(())
    }

    /// Puts `row` where version `before` stands; says whether it stood there.
    pub(super) async fn replace(&self, before: i64, row: &Row) -> Result<bool, StoreError> {
        let Row {
            name,
            version,
            record,
            email,
            subject,
            sid,
            seen,
            expires,
            ends: _,
        } = row;
        let mut transaction = self.writer.begin().await?;
        let replaced = sqlx::query(
            "UPDATE session SET version = $1, record = $2, email = $3, subject = $4, sid = $5,
                                seen = $6, expires = $7
             WHERE name = $8 AND version = $9 RETURNING version",
        )
        .bind(*version)
        .bind(record.as_slice())
        .bind(email.as_str())
        .bind(subject.as_str())
        .bind(sid.as_deref())
        .bind(seen.seconds())
        .bind(expires.seconds())
        .bind(name.as_slice())
        .bind(before)
        .fetch_all(&mut *transaction)
        .await?;
        if !replaced.is_empty() {
            Self::tell(&mut transaction, &[name.to_vec()], *seen).await?;
        }
        transaction.commit().await?;
        Ok(!replaced.is_empty())
    }

    /// The session with this name.
    pub(super) async fn find(&self, name: &Name) -> Result<Option<Place>, StoreError> {
        let row =
            sqlx::query("SELECT name, version, record, seen, expires FROM session WHERE name = $1")
                .bind(name.as_slice())
                .fetch_optional(&self.readers)
                .await?;
        row.map(|row| place::<DB>(&row)).transpose()
    }

    /// Somebody showed the cookie: the session stays until `expires`.
    pub(super) async fn touch(
        &self,
        name: &Name,
        seen: Timestamp,
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE session SET seen = $1, expires = $2 WHERE name = $3 AND seen < $1")
            .bind(seen.seconds())
            .bind(expires.seconds())
            .bind(name.as_slice())
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Forgets a session; says whether there was one. When this returns, it stays forgotten after a
    /// crash.
    pub(super) async fn delete(&self, name: &Name, now: Timestamp) -> Result<bool, StoreError> {
        let mut transaction = self.writer.begin().await?;
        let deleted = sqlx::query("DELETE FROM session WHERE name = $1 RETURNING name")
            .bind(name.as_slice())
            .fetch_all(&mut *transaction)
            .await?;
        // Another process may still hold it in memory though it is not here any more.
        Self::tell(&mut transaction, &[name.to_vec()], now).await?;
        transaction.commit().await?;
        Ok(!deleted.is_empty())
    }

    /// Forgets the sessions of a person; gives their names.
    pub(super) async fn delete_by(
        &self,
        index: Index,
        tag: &str,
        now: Timestamp,
    ) -> Result<Vec<Name>, StoreError> {
        let statement = match index {
            Index::Email => {
                "DELETE FROM session WHERE name IN
                     (SELECT name FROM session WHERE email = $1 LIMIT $2) RETURNING name"
            }
            Index::Subject => {
                "DELETE FROM session WHERE name IN
                     (SELECT name FROM session WHERE subject = $1 LIMIT $2) RETURNING name"
            }
            Index::Sid => {
                "DELETE FROM session WHERE name IN
                     (SELECT name FROM session WHERE sid = $1 LIMIT $2) RETURNING name"
            }
        };
        let mut names = Vec::new();
        loop {
            let mut transaction = self.writer.begin().await?;
            let rows = sqlx::query(statement)
                .bind(tag)
                .bind(STEP)
                .fetch_all(&mut *transaction)
                .await?;
            let step: Vec<Vec<u8>> = rows
                .iter()
                .map(|row| row.try_get(0))
                .collect::<Result<_, _>>()?;
            Self::tell(&mut transaction, &step, now).await?;
            transaction.commit().await?;
            let is_last = step.is_empty();
            for name in step {
                names.push(name.try_into().map_err(|_| StoreError::Corrupt)?);
            }
            if is_last {
                return Ok(names);
            }
        }
    }

    /// Forgets every session; says how many.
    pub(super) async fn delete_all(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut deleted = 0;
        loop {
            let mut transaction = self.writer.begin().await?;
            let rows = sqlx::query(
                "DELETE FROM session WHERE name IN (SELECT name FROM session LIMIT $1)
                 RETURNING version",
            )
            .bind(STEP)
            .fetch_all(&mut *transaction)
            .await?;
            // An empty name stands for all, and the last to be told may have been begun meanwhile.
            Self::tell(&mut transaction, &[Vec::new()], now).await?;
            transaction.commit().await?;
            if rows.is_empty() {
                return Ok(deleted);
            }
            deleted += rows.len() as u64;
        }
    }

    /// Sessions after `after` in the order of their names.
    pub(super) async fn list(
        &self,
        after: &[u8],
        at_most: usize,
    ) -> Result<Vec<Place>, StoreError> {
        let rows = sqlx::query(
            "SELECT name, version, record, seen, expires FROM session WHERE name > $1
             ORDER BY name LIMIT $2",
        )
        .bind(after)
        .bind(i64::try_from(at_most).unwrap_or(i64::MAX))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(|row| place::<DB>(row)).collect()
    }

    /// The sessions of a person.
    pub(super) async fn list_by(&self, index: Index, tag: &str) -> Result<Vec<Place>, StoreError> {
        let statement = match index {
            Index::Email => {
                "SELECT name, version, record, seen, expires FROM session WHERE email = $1"
            }
            Index::Subject => {
                "SELECT name, version, record, seen, expires FROM session WHERE subject = $1"
            }
            Index::Sid => "SELECT name, version, record, seen, expires FROM session WHERE sid = $1",
        };
        let rows = sqlx::query(statement)
            .bind(tag)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(|row| place::<DB>(row)).collect()
    }

    /// Forgets sessions that were over at `now`, in bounded steps, and changes told before `told`;
    /// says how many sessions.
    pub(super) async fn sweep(&self, now: Timestamp, told: Timestamp) -> Result<u64, StoreError> {
        sqlx::query("DELETE FROM change WHERE at < $1")
            .bind(told.seconds())
            .execute(&self.writer)
            .await?;
        sqlx::query("DELETE FROM renewal WHERE until < $1")
            .bind(now.seconds())
            .execute(&self.writer)
            .await?;
        let mut deleted = 0;
        for _ in 0..SWEEP_STEPS {
            let rows = sqlx::query(
                "DELETE FROM session WHERE name IN
                     (SELECT name FROM session WHERE expires <= $1 LIMIT $2) RETURNING version",
            )
            .bind(now.seconds())
            .bind(STEP)
            .fetch_all(&self.writer)
            .await?;
            deleted += rows.len() as u64;
            if (rows.len() as u64) < STEP.unsigned_abs() {
                break;
            }
        }
        Ok(deleted)
    }

    /// Lets `holder` alone renew a session's tokens until `until`; says whether nobody else does.
    pub(super) async fn lock(
        &self,
        name: &Name,
        holder: &[u8],
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let rows = sqlx::query(
            "INSERT INTO renewal (name, holder, until) VALUES ($1, $2, $3)
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
                 WHERE renewal.until <= $4
             RETURNING until",
        )
        .bind(name.as_slice())
        .bind(holder)
        .bind(until.seconds())
        .bind(now.seconds())
        .fetch_all(&self.writer)
        .await?;
        Ok(!rows.is_empty())
    }

    /// Lets others renew it again.
    pub(super) async fn unlock(&self, name: &Name, holder: &[u8]) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM renewal WHERE name = $1 AND holder = $2")
            .bind(name.as_slice())
            .bind(holder)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    /// Where the record of changes stands.
    pub(super) async fn cursor(&self) -> Result<Cursor, StoreError> {
        let row = sqlx::query("SELECT number FROM change_count WHERE one = 1")
            .fetch_one(&self.readers)
            .await?;
        Ok(Cursor(0, number(row.try_get(0)?)?))
    }

    /// What has changed since `cursor`.
    pub(super) async fn changes(&self, cursor: Cursor) -> Result<Changes, StoreError> {
        let Cursor(_, since) = cursor;
        let present = self.cursor().await?;
        if present.1 == since {
            return Ok(Changes::Of(Vec::new(), cursor));
        }
        let rows = sqlx::query(
            "SELECT number, name FROM change WHERE number > $1 ORDER BY number LIMIT $2",
        )
        .bind(i64::try_from(since).unwrap_or(i64::MAX))
        .bind(HEARD)
        .fetch_all(&self.readers)
        .await?;
        let mut names = Vec::with_capacity(rows.len());
        let mut next = since;
        for row in &rows {
            let this = number(row.try_get(0)?)?;
            if this != next + 1 {
                // Some are forgotten already, or this is another database.
                return Ok(Changes::Unknown(present));
            }
            next = this;
            names.push(row.try_get::<Vec<u8>, _>(1)?);
        }
        if names.is_empty() || present.1 < since {
            return Ok(Changes::Unknown(present));
        }
        let everything = names.iter().any(Vec::is_empty);
        if everything {
            return Ok(Changes::Unknown(Cursor(0, next)));
        }
        let names: Result<Vec<Name>, _> = names.into_iter().map(Name::try_from).collect();
        let names = names.map_err(|_| StoreError::Corrupt)?;
        Ok(Changes::Of(names, Cursor(0, next)))
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }

    /// Tells other processes, when the transaction comes into force, that these sessions changed.
    async fn tell(
        transaction: &mut Transaction<'_, DB>,
        names: &[Vec<u8>],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if names.is_empty() {
            return Ok(());
        }
        let count = i64::try_from(names.len()).unwrap_or(i64::MAX);
        // Its row is locked until the end: numbers come into force in their order.
        let row = sqlx::query(
            "UPDATE change_count SET number = number + $1 WHERE one = 1 RETURNING number",
        )
        .bind(count)
        .fetch_one(&mut **transaction)
        .await?;
        let last: i64 = row.try_get(0)?;
        for (number, name) in (last - count + 1..=last).zip(names) {
            sqlx::query("INSERT INTO change (number, name, at) VALUES ($1, $2, $3)")
                .bind(number)
                .bind(name.as_slice())
                .bind(now.seconds())
                .execute(&mut **transaction)
                .await?;
        }
        Ok(())
    }
}

fn number(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Corrupt)
}

fn place<DB>(row: &DB::Row) -> Result<Place, StoreError>
where
    DB: Database,
    for<'t> i64: Decode<'t, DB> + Type<DB>,
    for<'t> Vec<u8>: Decode<'t, DB> + Type<DB>,
    usize: ColumnIndex<DB::Row>,
{
    let name: Vec<u8> = row.try_get(0)?;
    Ok(Place {
        name: name.try_into().map_err(|_| StoreError::Corrupt)?,
        version: row.try_get(1)?,
        record: row.try_get(2)?,
        seen: Timestamp::from_seconds(row.try_get(3)?),
        expires: Timestamp::from_seconds(row.try_get(4)?),
    })
}
