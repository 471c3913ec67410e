//! Pushed authorization requests (RFC 9126).

use model::names::Timestamp;

use super::{Store, StoreError, hashed, sql};

impl Store {
    /// Keeps the parameters of `client` under `uri`.
    pub(crate) async fn push(
        &self,
        issuer: &str,
        client: &str,
        uri: &str,
        parameters: &str,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let insert = sql(
            "INSERT INTO pushed_requests (uri_hash, issuer, client_id, parameters, expires_at) \
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(hashed(uri))
        .bind(issuer)
        .bind(client)
        .bind(parameters)
        .bind(expires_at.seconds());
        self.engine.run(insert).await?;
        Ok(())
    }

    /// What `client` pushed under `uri`, as a query.
    pub(crate) async fn pushed(
        &self,
        issuer: &str,
        client: &str,
        uri: &str,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        let question = sql("SELECT parameters FROM pushed_requests \
             WHERE uri_hash = $1 AND issuer = $2 AND client_id = $3 AND expires_at > $4")
        .bind(hashed(uri))
        .bind(issuer)
        .bind(client)
        .bind(now.seconds());
        let row = self.engine.find(question).await?;
        row.map(|row| row.text(0)).transpose()
    }
}
