//! Signing keys: one row an issuer, replaced as a whole by whoever read it last.

use std::sync::{Arc, PoisonError};

use model::names::Timestamp;
use model::seams::Randomness;
use oidc::jose::KeyFault;

use super::{Damaged, Store, StoreError, sql};
use crate::keys::{Kept, Loaded, Rhythm, Ring, new_kid};

impl Store {
    /// The keys of `issuer`, made if there are none.
    pub(crate) async fn keys(
        &self,
        issuer: &str,
        randomness: &dyn Randomness,
        now: Timestamp,
    ) -> Result<Arc<Loaded>, StoreError> {
        if let Some(loaded) = self.remembered(issuer) {
            return Ok(loaded);
        }
        let (version, ring) = match self.ring(issuer).await? {
            Some(stored) => stored,
            None => {
                let first = Ring::new(generate(randomness, now).await?);
                self.create_ring(issuer, &first).await?;
                // Another process may have been first: what is stored counts.
                self.ring(issuer)
                    .await?
                    .ok_or(StoreError::Damaged(Damaged::Ring))?
            }
        };
        self.remember(issuer, version, &ring, now)
    }

    /// Brings the keys of `issuer` up to date: a next key, a rotation. Of several processes one does
    /// it.
    pub(crate) async fn turn_keys(
        &self,
        issuer: &str,
        rhythm: Rhythm,
        randomness: &dyn Randomness,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.keys(issuer, randomness, now).await?;
        let (version, ring) = self
            .ring(issuer)
            .await?
            .ok_or(StoreError::Damaged(Damaged::Ring))?;
        if !ring.is_due(rhythm, now) {
            self.remember(issuer, version, &ring, now)?;
            return Ok(());
        }
        let fresh = generate(randomness, now).await?;
        self.replace_ring(issuer, version, &ring.with(fresh, rhythm, now))
            .await?;
        let (version, ring) = self
            .ring(issuer)
            .await?
            .ok_or(StoreError::Damaged(Damaged::Ring))?;
        tracing::info!(issuer, version, "signing keys changed");
        self.remember(issuer, version, &ring, now)?;
        Ok(())
    }

    fn remembered(&self, issuer: &str) -> Option<Arc<Loaded>> {
        self.rings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(issuer)
            .cloned()
    }

    fn remember(
        &self,
        issuer: &str,
        version: i64,
        ring: &Ring,
        now: Timestamp,
    ) -> Result<Arc<Loaded>, StoreError> {
        let loaded = Arc::new(ring.load(version, now)?);
        let mut rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        // A slow reader must not bring older keys back.
        match rings.get(issuer) {
            Some(newer) if newer.version > version => Ok(Arc::clone(newer)),
            _ => {
                rings.insert(issuer.to_owned(), Arc::clone(&loaded));
                Ok(loaded)
            }
        }
    }

    /// Forgets parsed keys, as another process would not have them.
    #[cfg(test)]
    pub(crate) fn forget_keys(&self) {
        self.rings.lock().unwrap().clear();
    }

    pub(super) async fn ring(&self, issuer: &str) -> Result<Option<(i64, Ring)>, StoreError> {
        let question = sql("SELECT version, ring FROM key_rings WHERE issuer = $1").bind(issuer);
        let Some(row) = self.engine.find(question).await? else {
            return Ok(None);
        };
        let (version, text) = (row.integer(0)?, row.text(1)?);
        let ring = serde_json::from_str(&text).map_err(|_| StoreError::Damaged(Damaged::Ring))?;
        Ok(Some((version, ring)))
    }

    pub(super) async fn create_ring(&self, issuer: &str, ring: &Ring) -> Result<bool, StoreError> {
        let insert = sql(
            "INSERT INTO key_rings (issuer, version, ring) VALUES ($1, 1, $2) \
                          ON CONFLICT (issuer) DO NOTHING",
        );
        let insert = insert.bind(issuer).bind(text(ring)?);
        Ok(self.engine.run(insert).await? == 1)
    }

    /// Stores `ring` if `version` is still the stored one.
    pub(super) async fn replace_ring(
        &self,
        issuer: &str,
        version: i64,
        ring: &Ring,
    ) -> Result<bool, StoreError> {
        let update = sql("UPDATE key_rings SET version = version + 1, ring = $1 \
                          WHERE issuer = $2 AND version = $3");
        let update = update.bind(text(ring)?).bind(issuer).bind(version);
        Ok(self.engine.run(update).await? == 1)
    }
}

fn text(ring: &Ring) -> Result<String, StoreError> {
    serde_json::to_string(ring).map_err(|_| StoreError::Damaged(Damaged::Ring))
}

async fn generate(randomness: &dyn Randomness, now: Timestamp) -> Result<Kept, StoreError> {
    let kid = new_kid(randomness);
    let made = tokio::task::spawn_blocking(move || Kept::generate(kid, now)).await;
    Ok(made.map_err(|_| KeyFault::Generation)??)
}
