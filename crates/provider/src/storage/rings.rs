//! Signing keys: one row an issuer, replaced as a whole by whoever read it last.

use std::sync::{Arc, PoisonError};

use model::names::Timestamp;
use model::seams::Randomness;
use oidc::jose::{KeyFault, SigningAlgorithm};
use zeroize::Zeroizing;

use super::at_rest::ring_purpose;
use super::{Damaged, Store, StoreError, sql};
use crate::keys::{Kept, KeyFileFault, Loaded, Rhythm, Ring, Vault, new_kid};

/// What a wanted rotation comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The key that signs now.
    pub signs: String,
    /// The key that will; one is made first where there is none.
    pub follows: Option<String>,
    /// From when on it may.
    pub ready_at: Option<Timestamp>,
}

impl Store {
    /// The keys of `issuer`, made if there are none.
    pub(crate) async fn keys(
        &self,
        issuer: &str,
        algorithm: SigningAlgorithm,
        randomness: &dyn Randomness,
        now: Timestamp,
    ) -> Result<Arc<Loaded>, StoreError> {
        if let Some(loaded) = self.remembered(issuer) {
            return Ok(loaded);
        }
        let (version, ring) = match self.ring(issuer).await? {
            Some(stored) => stored,
            None => {
                let first = Ring::new(generate(algorithm, randomness, now).await?);
                self.create_ring(issuer, &first, randomness).await?;
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
        self.keys(issuer, rhythm.algorithm, randomness, now).await?;
        let (version, ring) = self
            .ring(issuer)
            .await?
            .ok_or(StoreError::Damaged(Damaged::Ring))?;
        if !ring.is_due(rhythm, now) {
            self.remember(issuer, version, &ring, now)?;
            return Ok(());
        }
        let fresh = generate(rhythm.algorithm, randomness, now).await?;
        self.replace_ring(issuer, version, &ring.with(fresh, rhythm, now), randomness)
            .await?;
        let (version, ring) = self
            .ring(issuer)
            .await?
            .ok_or(StoreError::Damaged(Damaged::Ring))?;
        tracing::info!(issuer, version, "signing keys changed");
        self.remember(issuer, version, &ring, now)?;
        Ok(())
    }

    /// Issuers that have keys here.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn issuers(&self) -> Result<Vec<String>, StoreError> {
        let question = sql("SELECT issuer FROM key_rings ORDER BY issuer");
        let rows = self.engine.list(question).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    /// Has the next key of `issuer` sign as soon as every verifier knows it: whoever serves the
    /// issuer turns it within half a minute of that. Nothing without such an issuer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn want_rotation(
        &self,
        issuer: &str,
        randomness: &dyn Randomness,
    ) -> Result<Option<Wanted>, StoreError> {
        // Somebody else may be rotating: then what they made is read again.
        for _ in 0..5 {
            let Some((version, ring)) = self.ring(issuer).await? else {
                return Ok(None);
            };
            let (signs, follows) = ring.names();
            let wanted = Wanted {
                signs: signs.to_owned(),
                follows: follows.map(str::to_owned),
                ready_at: ring.ready_at(),
            };
            let ring = ring.wanting();
            if self
                .replace_ring(issuer, version, &ring, randomness)
                .await?
            {
                return Ok(Some(wanted));
            }
        }
        Err(StoreError::Busy)
    }

    fn sealed_ring(
        &self,
        issuer: &str,
        ring: &Ring,
        randomness: &dyn Randomness,
    ) -> Result<String, StoreError> {
        let damaged = StoreError::Damaged(Damaged::Ring);
        let Ok(text) = serde_json::to_vec(ring).map(Zeroizing::new) else {
            return Err(damaged);
        };
        let sealed = self.vault.seal(&ring_purpose(issuer), &text, randomness);
        sealed.ok_or(damaged)
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
        let plain = if Vault::is_sealed(&text) {
            let opened = self.vault.open(&ring_purpose(issuer), &text);
            opened.ok_or(KeyFileFault::Another)?
        } else {
            // A shared database of an earlier version: the next change seals it.
            Zeroizing::new(text.into_bytes())
        };
        let ring =
            serde_json::from_slice(&plain).map_err(|_| StoreError::Damaged(Damaged::Ring))?;
        Ok(Some((version, ring)))
    }

    pub(super) async fn create_ring(
        &self,
        issuer: &str,
        ring: &Ring,
        randomness: &dyn Randomness,
    ) -> Result<bool, StoreError> {
        let insert = sql(
            "INSERT INTO key_rings (issuer, version, ring) VALUES ($1, 1, $2) \
                          ON CONFLICT (issuer) DO NOTHING",
        );
        let insert = insert
            .bind(issuer)
            .bind(self.sealed_ring(issuer, ring, randomness)?);
        Ok(self.engine.run(insert).await? == 1)
    }

    /// Stores `ring` if `version` is still the stored one.
    pub(super) async fn replace_ring(
        &self,
        issuer: &str,
        version: i64,
        ring: &Ring,
        randomness: &dyn Randomness,
    ) -> Result<bool, StoreError> {
        let update = sql("UPDATE key_rings SET version = version + 1, ring = $1 \
                          WHERE issuer = $2 AND version = $3");
        let update = update
            .bind(self.sealed_ring(issuer, ring, randomness)?)
            .bind(issuer)
            .bind(version);
        Ok(self.engine.run(update).await? == 1)
    }
}

async fn generate(
    algorithm: SigningAlgorithm,
    randomness: &dyn Randomness,
    now: Timestamp,
) -> Result<Kept, StoreError> {
    let kid = new_kid(randomness);
    let made = tokio::task::spawn_blocking(move || Kept::generate(algorithm, kid, now)).await;
    Ok(made.map_err(|_| KeyFault::Generation)??)
}
