//! Words that may come once: identifiers of client assertions and of proofs of possession.

use model::names::Timestamp;

use super::{Store, StoreError, hashed, sql};
use crate::clients::Once;

impl Store {
    /// Whether the word comes for the first time. Of several callers one hears yes.
    pub(crate) async fn first_time(&self, once: &Once, now: Timestamp) -> Result<bool, StoreError> {
        // One that expired and was not swept yet counts as never seen.
        let insert = sql(
            "INSERT INTO seen_words (word_hash, expires_at) VALUES ($1, $2) \
             ON CONFLICT (word_hash) DO UPDATE SET expires_at = $2 \
             WHERE seen_words.expires_at <= $3",
        )
        .bind(hashed(&once.word))
        .bind(once.expires_at)
        .bind(now.seconds());
        Ok(self.engine.run(insert).await? == 1)
    }
}
