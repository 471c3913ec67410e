//! What connectors need to ask about somebody again, kept with their refresh tokens.

use super::{Damaged, Store, StoreError, sql};
use crate::authorize::Grant;

impl Store {
    /// Writes down what `grant` of a family has become.
    pub(crate) async fn hold(
        &self,
        issuer: &str,
        family: &str,
        grant: &Grant,
    ) -> Result<(), StoreError> {
        let details =
            serde_json::to_string(grant).map_err(|_| StoreError::Damaged(Damaged::Refresh))?;
        let keep =
            sql("UPDATE refresh_families SET details = $1 WHERE family = $2 AND issuer = $3");
        let keep = keep.bind(details).bind(family).bind(issuer);
        self.engine.run(keep).await?;
        Ok(())
    }
}
