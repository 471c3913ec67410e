//! Refresh tokens: a family a sign-in; its token changes with each use. Several families of one
//! person and client live side by side.

use model::names::{Duration, Timestamp};

use super::{Damaged, Store, StoreError, Transaction, hashed, sql};
use crate::authorize::Grant;

/// A new family.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) client: String,
    /// The token that is good now; its digest is stored.
    pub(crate) token: String,
    pub(crate) grant: Grant,
    pub(crate) rotated_at: i64,
    pub(crate) expires_at: i64,
}

/// A family as it is stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) client: String,
    pub(crate) grant: Grant,
    pub(crate) created_at: i64,
    pub(crate) rotated_at: i64,
    token_hash: Vec<u8>,
    previous_hash: Option<Vec<u8>>,
    /// The good token, sealed; empty where nobody may ask for it again.
    pub(crate) sealed: String,
}

/// Which of a family's tokens one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The good one.
    Current,
    /// The one before it.
    Previous,
    /// One from longer ago, or none of this family.
    Other,
}

/// The token that follows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Follows<'a> {
    pub(crate) token: &'a str,
    pub(crate) sealed: &'a str,
    pub(crate) expires_at: i64,
}

impl Family {
    /// The token as the client gets it.
    pub(crate) fn presented(&self) -> String {
        format!("{}.{}", self.name, self.token)
    }
}

impl Kept {
    /// Which one `token` is.
    pub(crate) fn place(&self, token: &str) -> Place {
        let hash = hashed(token);
        if self.token_hash == hash {
            Place::Current
        } else if self.previous_hash.as_ref() == Some(&hash) {
            Place::Previous
        } else {
            Place::Other
        }
    }

    #[cfg(test)]
    pub(crate) fn new(grant: Grant, tokens: (&str, Option<&str>), rotated_at: i64) -> Self {
        Self {
            client: grant.client.clone(),
            grant,
            created_at: rotated_at,
            rotated_at,
            token_hash: hashed(tokens.0),
            previous_hash: tokens.1.map(hashed),
            sealed: "sealed".into(),
        }
    }
}

pub(super) async fn insert(
    transaction: &mut Transaction,
    issuer: &str,
    family: &Family,
    code: &str,
) -> Result<(), StoreError> {
    let details =
        serde_json::to_string(&family.grant).map_err(|_| StoreError::Damaged(Damaged::Refresh))?;
    let insert = sql(
        "INSERT INTO refresh_families (family, issuer, client_id, token_hash, code_hash, details, \
         rotated_at, created_at, expires_at, grant_id, session) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9, $10)",
    )
    .bind(&family.name)
    .bind(issuer)
    .bind(&family.client)
    .bind(hashed(&family.token))
    .bind(hashed(code))
    .bind(details)
    .bind(family.rotated_at)
    .bind(family.expires_at)
    .bind(&family.grant.id)
    .bind(family.grant.session.as_deref().unwrap_or_default());
    transaction.run(insert).await?;
    Ok(())
}

impl Store {
    /// A family that is alive.
    pub(crate) async fn family(
        &self,
        issuer: &str,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<Kept>, StoreError> {
        let question = sql(
            "SELECT client_id, details, created_at, rotated_at, token_hash, \
             COALESCE(previous_hash, token_hash), sealed_token FROM refresh_families \
             WHERE family = $1 AND issuer = $2 AND expires_at > $3",
        )
        .bind(name)
        .bind(issuer)
        .bind(now.seconds());
        let Some(row) = self.engine.find(question).await? else {
            return Ok(None);
        };
        let grant = serde_json::from_str(&row.text(1)?)
            .map_err(|_| StoreError::Damaged(Damaged::Refresh))?;
        Ok(Some(Kept {
            client: row.text(0)?,
            grant,
            created_at: row.integer(2)?,
            rotated_at: row.integer(3)?,
            token_hash: row.bytes(4)?,
            previous_hash: Some(row.bytes(5)?),
            sealed: row.text(6)?,
        }))
    }

    /// Puts `next` in the place of the token `old`, if that is still the good one.
    pub(crate) async fn rotate(
        &self,
        issuer: &str,
        family: &str,
        old: &str,
        next: Follows<'_>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let replace = sql(
            "UPDATE refresh_families SET token_hash = $1, previous_hash = $2, sealed_token = $3, \
             rotated_at = $4, expires_at = $5 \
             WHERE family = $6 AND issuer = $7 AND token_hash = $2 AND expires_at > $4",
        )
        .bind(hashed(next.token))
        .bind(hashed(old))
        .bind(next.sealed)
        .bind(now.seconds())
        .bind(next.expires_at)
        .bind(family)
        .bind(issuer);
        Ok(self.engine.run(replace).await? == 1)
    }

    /// Writes down that the good token was used and stays.
    pub(crate) async fn use_family(
        &self,
        issuer: &str,
        family: &str,
        token: &str,
        expires_at: i64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let touch = sql(
            "UPDATE refresh_families SET rotated_at = $1, expires_at = $2 \
             WHERE family = $3 AND issuer = $4 AND token_hash = $5 AND expires_at > $1",
        )
        .bind(now.seconds())
        .bind(expires_at)
        .bind(family)
        .bind(issuer)
        .bind(hashed(token));
        Ok(self.engine.run(touch).await? == 1)
    }

    /// Ends a family, and with it every other token of its grant until `until`.
    pub(crate) async fn end_family(
        &self,
        issuer: &str,
        family: &str,
        grant: &str,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.engine.begin().await?;
        let end = sql("DELETE FROM refresh_families WHERE family = $1 AND issuer = $2");
        transaction.run(end.bind(family).bind(issuer)).await?;
        super::revoked::insert(&mut transaction, issuer, grant, until.seconds()).await?;
        transaction.commit().await
    }
}

/// Two uses of one token this close together are a client that asked twice, not a thief: the second
/// is refused, and the family lives.
pub(crate) const TOGETHER: Duration = Duration::from_secs(10);
