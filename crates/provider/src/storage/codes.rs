//! Authorization codes: written with their request's answer, spent once.

use model::names::Timestamp;

use super::{Damaged, Family, Store, StoreError, hashed, sql};
use crate::authorize::Grant;

/// A code as it is stored; the code itself is not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) client: String,
    pub(crate) redirect: String,
    pub(crate) expires_at: i64,
    pub(crate) grant: Grant,
}

/// How a redemption ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redeemed {
    /// This call spent it.
    Spent,
    /// Somebody else did, or it expired meanwhile.
    Gone,
}

impl Store {
    /// Whether a request has had its answer.
    pub(crate) async fn is_answered(&self, request: &str) -> Result<bool, StoreError> {
        let question = sql("SELECT expires_at FROM answered_requests WHERE id = $1").bind(request);
        Ok(self.engine.find(question).await?.is_some())
    }

    /// Answers a request without a code; `false` when it has had its answer.
    pub(crate) async fn answer(&self, request: &str, expires_at: i64) -> Result<bool, StoreError> {
        let written = sql(ANSWER).bind(request).bind(expires_at);
        Ok(self.engine.run(written).await? == 1)
    }

    /// Answers a request with `code`; `false`, and no code, when it has had its answer.
    pub(crate) async fn answer_with_code(
        &self,
        issuer: &str,
        request: &str,
        request_expires_at: i64,
        secret: &str,
        code: &Code,
    ) -> Result<bool, StoreError> {
        let details =
            serde_json::to_string(&code.grant).map_err(|_| StoreError::Damaged(Damaged::Code))?;
        let mut transaction = self.engine.begin().await?;
        let answer = sql(ANSWER).bind(request).bind(request_expires_at);
        if transaction.run(answer).await? == 0 {
            return Ok(false);
        }
        let insert = sql(
            "INSERT INTO codes (code_hash, issuer, client_id, redirect_uri, details, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(hashed(secret))
        .bind(issuer)
        .bind(&code.client)
        .bind(&code.redirect)
        .bind(details)
        .bind(code.expires_at);
        transaction.run(insert).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// What `secret` stands for, spent or not yet expired being for the caller to see.
    pub(crate) async fn code(
        &self,
        issuer: &str,
        secret: &str,
    ) -> Result<Option<Code>, StoreError> {
        let question = sql(
            "SELECT client_id, redirect_uri, expires_at, details FROM codes \
             WHERE code_hash = $1 AND issuer = $2",
        )
        .bind(hashed(secret))
        .bind(issuer);
        let Some(row) = self.engine.find(question).await? else {
            return Ok(None);
        };
        let grant =
            serde_json::from_str(&row.text(3)?).map_err(|_| StoreError::Damaged(Damaged::Code))?;
        Ok(Some(Code {
            client: row.text(0)?,
            redirect: row.text(1)?,
            expires_at: row.integer(2)?,
            grant,
        }))
    }

    /// Spends `secret` if it is still what `code` says, and writes `family` with it. The deletion is
    /// the proof: of several callers one deletes the row.
    pub(crate) async fn redeem(
        &self,
        issuer: &str,
        secret: &str,
        code: &Code,
        family: Option<&Family>,
        now: Timestamp,
    ) -> Result<Redeemed, StoreError> {
        let mut transaction = self.engine.begin().await?;
        let delete = sql(
            "DELETE FROM codes WHERE code_hash = $1 AND issuer = $2 AND client_id = $3 \
             AND redirect_uri = $4 AND expires_at > $5",
        )
        .bind(hashed(secret))
        .bind(issuer)
        .bind(&code.client)
        .bind(&code.redirect)
        .bind(now.seconds());
        if transaction.run(delete).await? == 0 {
            return Ok(Redeemed::Gone);
        }
        if let Some(family) = family {
            super::refresh::insert(&mut transaction, issuer, family, secret).await?;
        }
        transaction.commit().await?;
        Ok(Redeemed::Spent)
    }
}

const ANSWER: &str = "INSERT INTO answered_requests (id, expires_at) VALUES ($1, $2) \
                      ON CONFLICT (id) DO NOTHING";
