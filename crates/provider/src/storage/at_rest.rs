//! What private the database holds, sealed under the key file; and the sealing of what earlier
//! versions kept plain.

use std::path::Path;

use model::seams::Randomness;

use super::engine::Engine;
use super::{Damaged, StoreError, sql};
use crate::keys::{KeyFileFault, Vault};
use crate::sealed::KEY_LENGTH;

/// What the ring of `issuer` is sealed for.
pub(super) fn ring_purpose(issuer: &str) -> String {
    format!("signing keys\n{issuer}")
}

const SEALING_KEY: &str = "sealing key";

/// The vault of a file in the state directory, and all that is plain in it sealed. Stopped anywhere
/// in between, the next start goes on: each row is either plain or sealed, and the key file is whole
/// before the first row is.
pub(super) async fn open(
    file: &Path,
    engine: &Engine,
    randomness: &dyn Randomness,
) -> Result<Vault, StoreError> {
    let rings = engine.list(sql("SELECT issuer, version, ring FROM key_rings"));
    let rings = rings.await?;
    let own = sql("SELECT bytes FROM own_secrets WHERE name = $1").bind("sealing-key");
    let own = match engine.find(own).await? {
        Some(row) => Some(row.bytes(0)?),
        None => None,
    };
    let mut sealed = own.as_ref().is_some_and(|own| own.len() != KEY_LENGTH);
    for row in &rings {
        sealed |= Vault::is_sealed(&row.text(2)?);
    }
    let vault = match Vault::read(file)? {
        Some(vault) => vault,
        // A new key would open nothing: the operator has to know.
        None if sealed => return Err(KeyFileFault::Missing(file.to_owned()).into()),
        None => Vault::read_or_create(file, randomness)?,
    };
    let mut changed = false;
    for row in rings {
        let (issuer, version, ring) = (row.text(0)?, row.integer(1)?, row.text(2)?);
        if Vault::is_sealed(&ring) {
            let opened = vault.open(&ring_purpose(&issuer), &ring);
            opened.ok_or(KeyFileFault::Another)?;
            continue;
        }
        changed = true;
        let sealed = vault
            .seal(&ring_purpose(&issuer), ring.as_bytes(), randomness)
            .ok_or(StoreError::Damaged(Damaged::Ring))?;
        let replace =
            sql("UPDATE key_rings SET ring = $1 WHERE issuer = $2 AND version = $3 AND ring = $4");
        let replace = replace.bind(sealed).bind(issuer).bind(version).bind(ring);
        engine.run(replace).await?;
    }
    if let Some(plain) = own.filter(|own| own.len() == KEY_LENGTH) {
        changed = true;
        let replace = sql("UPDATE own_secrets SET bytes = $1 WHERE name = $2 AND bytes = $3")
            .bind(seal_own(&vault, &plain, randomness)?)
            .bind("sealing-key")
            .bind(plain);
        engine.run(replace).await?;
    }
    if changed {
        engine.shred().await?;
        tracing::info!(file = %file.display(), "private keys are sealed now; keep the key file with the database");
    }
    Ok(vault)
}

/// The sealing key as it is stored.
pub(super) fn seal_own(
    vault: &Vault,
    bytes: &[u8],
    randomness: &dyn Randomness,
) -> Result<Vec<u8>, StoreError> {
    let sealed = vault.seal(SEALING_KEY, bytes, randomness);
    let sealed = sealed.ok_or(StoreError::Damaged(Damaged::SealingKey))?;
    Ok(sealed.into_bytes())
}

/// What [`seal_own`] made, or what an earlier version stored.
pub(super) fn open_own(vault: &Vault, stored: &[u8]) -> Result<[u8; KEY_LENGTH], StoreError> {
    if let Ok(plain) = stored.try_into() {
        return Ok(plain);
    }
    let text = std::str::from_utf8(stored).ok();
    let bytes = text.and_then(|text| vault.open(SEALING_KEY, text));
    bytes
        .ok_or(KeyFileFault::Another)?
        .as_slice()
        .try_into()
        .map_err(|_| StoreError::Damaged(Damaged::SealingKey))
}
