//! Tokens that are good no more though their signature is: by the grant that they came of, or one by
//! one by `jti`.

use model::names::Timestamp;

use super::{Store, StoreError, Transaction, sql};

pub(super) async fn insert(
    transaction: &mut Transaction,
    issuer: &str,
    id: &str,
    until: i64,
) -> Result<(), StoreError> {
    // Grants from before they had names cannot be revoked by them.
    if id.is_empty() {
        return Ok(());
    }
    let insert = sql(INSERT).bind(issuer).bind(id).bind(until);
    transaction.run(insert).await?;
    Ok(())
}

impl Store {
    /// Revokes a token by its `jti`, or all of a grant by its name, until they would have expired.
    pub(crate) async fn revoke(
        &self,
        issuer: &str,
        id: &str,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let insert = sql(INSERT).bind(issuer).bind(id).bind(until.seconds());
        self.engine.run(insert).await?;
        Ok(())
    }

    /// Whether the token of this `jti`, or the grant that it came of, is revoked.
    pub(crate) async fn is_revoked(&self, issuer: &str, jti: &str) -> Result<bool, StoreError> {
        let grant = jti.split_once('.').map_or(jti, |(grant, _)| grant);
        let question =
            sql("SELECT 1 FROM revoked WHERE issuer = $1 AND (id = $2 OR id = $3) LIMIT 1");
        let question = question.bind(issuer).bind(jti).bind(grant);
        Ok(self.engine.find(question).await?.is_some())
    }
}

const INSERT: &str = "INSERT INTO revoked (issuer, id, expires_at) VALUES ($1, $2, $3) \
                      ON CONFLICT (issuer, id) DO UPDATE SET expires_at = $3 \
                      WHERE revoked.expires_at < $3";
