//! Refresh tokens: a family a sign-in; its token changes with each use.

use model::names::{Duration, Timestamp};

use super::{Damaged, Store, StoreError, Transaction, hashed, sql};
use crate::authorize::Grant;

/// Two uses of one token this close together are a client that asked twice, not a thief: the second
/// is refused, and the family lives.
const TOGETHER: Duration = Duration::from_secs(10);

/// A family as it is stored; of its token the digest is.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) client: String,
    /// The token that is good now.
    pub(crate) token: String,
    pub(crate) grant: Grant,
    pub(crate) rotated_at: i64,
    pub(crate) expires_at: i64,
}

/// How a rotation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rotated {
    /// The new token is good, the old one is not.
    Done,
    /// The old token was not the good one. If it had been used long ago, the family is gone now
    /// (RFC 9700 §4.14.2).
    Refused,
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
         rotated_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&family.name)
    .bind(issuer)
    .bind(&family.client)
    .bind(hashed(&family.token))
    .bind(hashed(code))
    .bind(details)
    .bind(family.rotated_at)
    .bind(family.expires_at);
    transaction.run(insert).await?;
    Ok(())
}

impl Store {
    /// Whose family this is and what it stands for, if it is alive.
    pub(crate) async fn family(
        &self,
        issuer: &str,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<(String, Grant)>, StoreError> {
        let question = sql("SELECT client_id, details FROM refresh_families \
                            WHERE family = $1 AND issuer = $2 AND expires_at > $3");
        let question = question.bind(name).bind(issuer).bind(now.seconds());
        let Some(row) = self.engine.find(question).await? else {
            return Ok(None);
        };
        let grant = serde_json::from_str(&row.text(1)?)
            .map_err(|_| StoreError::Damaged(Damaged::Refresh))?;
        Ok(Some((row.text(0)?, grant)))
    }

    /// Replaces the token `old` of a family by `new`.
    pub(crate) async fn rotate(
        &self,
        issuer: &str,
        family: &str,
        (old, new): (&str, &str),
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Rotated, StoreError> {
        let replace = sql(
            "UPDATE refresh_families SET token_hash = $1, rotated_at = $2, expires_at = $3 \
             WHERE family = $4 AND issuer = $5 AND token_hash = $6 AND expires_at > $2",
        )
        .bind(hashed(new))
        .bind(now.seconds())
        .bind(expires_at.seconds())
        .bind(family)
        .bind(issuer)
        .bind(hashed(old));
        if self.engine.run(replace).await? == 1 {
            return Ok(Rotated::Done);
        }
        let end = sql("DELETE FROM refresh_families \
             WHERE family = $1 AND issuer = $2 AND token_hash <> $3 AND rotated_at < $4")
        .bind(family)
        .bind(issuer)
        .bind(hashed(old))
        .bind(now.minus(TOGETHER).seconds());
        self.engine.run(end).await?;
        Ok(Rotated::Refused)
    }

    /// Ends a family.
    pub(crate) async fn end_family(&self, issuer: &str, family: &str) -> Result<(), StoreError> {
        let end = sql("DELETE FROM refresh_families WHERE family = $1 AND issuer = $2");
        self.engine.run(end.bind(family).bind(issuer)).await?;
        Ok(())
    }

    /// Ends the family that began with `code`, which has been presented again (RFC 6749 §4.1.2).
    /// Gives how many there were.
    pub(crate) async fn end_family_of_code(
        &self,
        issuer: &str,
        code: &str,
    ) -> Result<u64, StoreError> {
        let end = sql("DELETE FROM refresh_families WHERE code_hash = $1 AND issuer = $2");
        self.engine.run(end.bind(hashed(code)).bind(issuer)).await
    }
}
