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

    /// Answers a request without a grant; `false` when it has had its answer.
    pub(crate) async fn answer(&self, request: &str, expires_at: i64) -> Result<bool, StoreError> {
        let written = sql(ANSWER).bind(request).bind(expires_at);
        Ok(self.engine.run(written).await? == 1)
    }

    /// Answers a request with what `code` says: with a code when there is a `secret`, else with tokens
    /// that need no row. `false`, and nothing written, when it has had its answer.
    pub(crate) async fn answer_request(
        &self,
        issuer: &str,
        (request, request_expires_at): (&str, i64),
        code: &Code,
        secret: Option<&str>,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.engine.begin().await?;
        let answer = sql(ANSWER).bind(request).bind(request_expires_at);
        if transaction.run(answer).await? == 0 {
            return Ok(false);
        }
        if let Some(secret) = secret {
            let details = serde_json::to_string(&code.grant)
                .map_err(|_| StoreError::Damaged(Damaged::Code))?;
            let insert = sql(
                "INSERT INTO codes (code_hash, issuer, client_id, redirect_uri, details, expires_at, \
                 grant_id) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(hashed(secret))
            .bind(issuer)
            .bind(&code.client)
            .bind(&code.redirect)
            .bind(details)
            .bind(code.expires_at)
            .bind(&code.grant.id);
            transaction.run(insert).await?;
        }
        if let Some(session) = &code.grant.session {
            let insert = sql(
                "INSERT INTO sign_in_clients (sid, client_id) VALUES ($1, $2) \
                 ON CONFLICT (sid, client_id) DO NOTHING",
            );
            transaction
                .run(insert.bind(session).bind(&code.client))
                .await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// What `secret` stands for if nobody spent it; whether it has expired is for the caller to see.
    pub(crate) async fn code(
        &self,
        issuer: &str,
        secret: &str,
    ) -> Result<Option<Code>, StoreError> {
        let question = sql(
            "SELECT client_id, redirect_uri, expires_at, details FROM codes \
             WHERE code_hash = $1 AND issuer = $2 AND spent_at IS NULL",
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

    /// Spends `secret` if it is still what `code` says, and writes `family` with it. Of several
    /// callers one changes the row. Until `keep`, the row remembers what to take back.
    pub(crate) async fn redeem(
        &self,
        issuer: &str,
        secret: &str,
        code: &Code,
        family: Option<&Family>,
        (now, keep): (Timestamp, Timestamp),
    ) -> Result<Redeemed, StoreError> {
        let mut transaction = self.engine.begin().await?;
        let spend = sql(
            "UPDATE codes SET spent_at = $5, expires_at = $6, details = '{}' \
             WHERE code_hash = $1 AND issuer = $2 AND client_id = $3 AND redirect_uri = $4 \
             AND expires_at > $5 AND spent_at IS NULL",
        )
        .bind(hashed(secret))
        .bind(issuer)
        .bind(&code.client)
        .bind(&code.redirect)
        .bind(now.seconds())
        .bind(keep.seconds());
        if transaction.run(spend).await? == 0 {
            return Ok(Redeemed::Gone);
        }
        if let Some(family) = family {
            super::refresh::insert(&mut transaction, issuer, family, secret).await?;
        }
        transaction.commit().await?;
        Ok(Redeemed::Spent)
    }

    /// Takes back what a spent code brought, for it has been presented again (RFC 6749 §4.1.2): its
    /// refresh tokens end, and its other tokens count as revoked. Gives whether it was a spent code.
    pub(crate) async fn take_back(&self, issuer: &str, secret: &str) -> Result<bool, StoreError> {
        let mut transaction = self.engine.begin().await?;
        let question = sql("SELECT grant_id, expires_at FROM codes \
             WHERE code_hash = $1 AND issuer = $2 AND spent_at IS NOT NULL");
        let found = transaction.find(question.bind(hashed(secret)).bind(issuer));
        let Some(row) = found.await? else {
            return Ok(false);
        };
        let (grant, until) = (row.text(0)?, row.integer(1)?);
        let end = sql("DELETE FROM refresh_families WHERE code_hash = $1 AND issuer = $2");
        transaction
            .run(end.bind(hashed(secret)).bind(issuer))
            .await?;
        super::revoked::insert(&mut transaction, issuer, &grant, until).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

const ANSWER: &str = "INSERT INTO answered_requests (id, expires_at) VALUES ($1, $2) \
                      ON CONFLICT (id) DO NOTHING";
