//! Devices that wait for a person (RFC 8628).

use model::names::Timestamp;

use super::{Damaged, Family, Store, StoreError, hashed, sql};
use crate::grants::device::{Answer, PAUSE, Waiting, Wish};

impl Store {
    /// Writes down a device; `false` when the user code is taken.
    pub(crate) async fn add_device(
        &self,
        issuer: &str,
        (device, user): (&str, &str),
        client: &str,
        wish: &Wish,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let details =
            serde_json::to_string(wish).map_err(|_| StoreError::Damaged(Damaged::Device))?;
        let insert = sql(
            "INSERT INTO devices (device_hash, user_hash, issuer, client_id, details, answer, pause, \
             polled_at, expires_at) VALUES ($1, $2, $3, $4, $5, '', $6, 0, $7) \
             ON CONFLICT (issuer, user_hash) DO NOTHING",
        )
        .bind(hashed(device))
        .bind(hashed(user))
        .bind(issuer)
        .bind(client)
        .bind(details)
        .bind(PAUSE)
        .bind(expires_at.seconds());
        Ok(self.engine.run(insert).await? == 1)
    }

    /// The device of a device code.
    pub(crate) async fn device(
        &self,
        issuer: &str,
        device: &str,
    ) -> Result<Option<Waiting>, StoreError> {
        let question = sql(
            "SELECT client_id, details, answer, pause, polled_at, expires_at FROM devices \
             WHERE device_hash = $1 AND issuer = $2",
        );
        let row = self.engine.find(question.bind(hashed(device)).bind(issuer));
        row.await?.map(|row| read(&row)).transpose()
    }

    /// The device of a user code, while it waits.
    pub(crate) async fn device_of_user_code(
        &self,
        issuer: &str,
        user: &str,
        now: Timestamp,
    ) -> Result<Option<Waiting>, StoreError> {
        let question = sql(
            "SELECT client_id, details, answer, pause, polled_at, expires_at FROM devices \
             WHERE user_hash = $1 AND issuer = $2 AND answer = '' AND expires_at > $3",
        );
        let question = question.bind(hashed(user)).bind(issuer).bind(now.seconds());
        let row = self.engine.find(question).await?;
        row.map(|row| read(&row)).transpose()
    }

    /// Answers a device once.
    pub(crate) async fn answer_device(
        &self,
        issuer: &str,
        user: &str,
        answer: &Answer,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let text =
            serde_json::to_string(answer).map_err(|_| StoreError::Damaged(Damaged::Device))?;
        let update = sql("UPDATE devices SET answer = $1 \
             WHERE user_hash = $2 AND issuer = $3 AND answer = '' AND expires_at > $4")
        .bind(text)
        .bind(hashed(user))
        .bind(issuer)
        .bind(now.seconds());
        Ok(self.engine.run(update).await? == 1)
    }

    /// Writes down a question of a device.
    pub(crate) async fn device_polled(
        &self,
        issuer: &str,
        device: &str,
        pause: i64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let update = sql(
            "UPDATE devices SET pause = $1, polled_at = $2 WHERE device_hash = $3 AND issuer = $4",
        )
        .bind(pause)
        .bind(now.seconds())
        .bind(hashed(device))
        .bind(issuer);
        self.engine.run(update).await?;
        Ok(())
    }

    /// Takes the answer of a device away and writes `family` with it; of several callers one does.
    pub(crate) async fn redeem_device(
        &self,
        issuer: &str,
        device: &str,
        family: Option<&Family>,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.engine.begin().await?;
        let row =
            sql("DELETE FROM devices WHERE device_hash = $1 AND issuer = $2 AND answer <> ''");
        let row = row.bind(hashed(device)).bind(issuer);
        if transaction.run(row).await? == 0 {
            return Ok(false);
        }
        if let Some(family) = family {
            super::refresh::insert(&mut transaction, issuer, family, device).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }
}

fn read(row: &super::statement::Row) -> Result<Waiting, StoreError> {
    let damaged = |_| StoreError::Damaged(Damaged::Device);
    let answer = row.text(2)?;
    Ok(Waiting {
        client: row.text(0)?,
        wish: serde_json::from_str(&row.text(1)?).map_err(damaged)?,
        answer: match answer.as_str() {
            "" => None,
            text => Some(serde_json::from_str(text).map_err(damaged)?),
        },
        pause: row.integer(3)?,
        polled_at: row.integer(4)?,
        expires_at: row.integer(5)?,
    })
}
