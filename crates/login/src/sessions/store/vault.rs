//! Records sealed for a store that others may read.
//!
//! A store on another machine learns neither tokens nor people: records are sealed under keys that
//! come of a secret which the store never sees, and what records are found by are keyed hashes. The
//! file in the state directory lies beside everything that would open it, so it has them plain.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use model::seams::Randomness;

use super::StoreError;
use super::record::{Record, Whose};
use crate::sessions::value::Name;

/// First byte of a sealed record; a plain one begins with `{`.
const SEALED: u8 = 1;

/// Which secret sealed a record.
const KEY_ID: usize = 4;

/// Bytes of a keyed hash that stand for a person.
const TAG: usize = 24;

/// How records are at rest.
pub(crate) enum Vault {
    /// As they are.
    Plain,
    /// Sealed: the first key seals, all open.
    Sealed(Vec<VaultKey>),
}

/// Of some sessions in a store, how many were sealed under secrets that are known here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sealing {
    /// Those.
    pub known: usize,
    /// The others: whoever has one of them has to sign in again.
    pub foreign: usize,
}

/// What comes of one secret.
pub(crate) struct VaultKey {
    id: [u8; KEY_ID],
    seal: LessSafeKey,
    tag: hmac::Key,
}

impl VaultKey {
    /// From a secret of at least 32 random bytes.
    fn of(secret: &[u8]) -> Option<Self> {
        let mut id = [0; KEY_ID];
        id.copy_from_slice(&derive(secret, "record id")[..KEY_ID]);
        let seal = UnboundKey::new(&AES_256_GCM_SIV, &derive(secret, "record seal")).ok()?;
        Some(Self {
            id,
            seal: LessSafeKey::new(seal),
            tag: hmac::Key::new(hmac::HMAC_SHA256, &derive(secret, "record tag")),
        })
    }

    fn tag(&self, text: &str) -> String {
        BASE64URL_NOPAD.encode(&hmac::sign(&self.tag, text.as_bytes()).as_ref()[..TAG])
    }
}

/// The key for `purpose` that comes of `secret`.
pub(crate) fn derive(secret: &[u8], purpose: &str) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let text = format!("doorward sessions: {purpose}");
    let mut derived = [0; 32];
    derived.copy_from_slice(hmac::sign(&key, text.as_bytes()).as_ref());
    derived
}

impl Vault {
    /// With keys that come of `secrets`, the one that seals first. `None` without any.
    pub(crate) fn sealed<'a>(secrets: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let keys: Option<Vec<_>> = secrets.map(VaultKey::of).collect();
        keys.filter(|keys| !keys.is_empty()).map(Self::Sealed)
    }

    /// As the store gets it. It opens under this name and version only.
    pub(super) fn seal(
        &self,
        name: &Name,
        version: i64,
        record: &Record,
        randomness: &dyn Randomness,
    ) -> Result<Vec<u8>, StoreError> {
        let mut text = serde_json::to_vec(record).map_err(|_| StoreError::Corrupt)?;
        let key = match self {
            Self::Plain => return Ok(text),
            Self::Sealed(keys) => keys.first().ok_or(StoreError::Foreign)?,
        };
        let mut nonce = [0; NONCE_LEN];
        randomness.fill(&mut nonce);
        let unique = Nonce::assume_unique_for_key(nonce);
        key.seal
            .seal_in_place_append_tag(unique, context(name, version), &mut text)
            .map_err(|_| StoreError::Corrupt)?;
        let mut sealed = Vec::with_capacity(1 + KEY_ID + NONCE_LEN + text.len());
        sealed.push(SEALED);
        sealed.extend_from_slice(&key.id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&text);
        Ok(sealed)
    }

    /// What [`Self::seal`] sealed.
    pub(super) fn open(
        &self,
        name: &Name,
        version: i64,
        mut bytes: Vec<u8>,
    ) -> Result<Record, StoreError> {
        let text = match self {
            Self::Plain => &bytes[..],
            Self::Sealed(keys) => open(keys, context(name, version), &mut bytes)?,
        };
        serde_json::from_slice(text).map_err(|_| StoreError::Corrupt)
    }

    /// What sessions of `whose` are stored by from now on.
    pub(super) fn tag(&self, whose: &Whose) -> String {
        let text = said(whose);
        match self {
            Self::Plain => text,
            Self::Sealed(keys) => keys.first().map_or(text.clone(), |key| key.tag(&text)),
        }
    }

    /// All that sessions of `whose` may be stored by.
    pub(super) fn tags(&self, whose: &Whose) -> Vec<String> {
        let text = said(whose);
        match self {
            Self::Plain => vec![text],
            Self::Sealed(keys) => keys.iter().map(|key| key.tag(&text)).collect(),
        }
    }
}

fn open<'a>(
    keys: &[VaultKey],
    context: Aad<Vec<u8>>,
    bytes: &'a mut [u8],
) -> Result<&'a [u8], StoreError> {
    let parts = bytes
        .split_first_mut()
        .filter(|(form, _)| **form == SEALED)
        .and_then(|(_, rest)| rest.split_first_chunk_mut::<KEY_ID>())
        .and_then(|(id, rest)| Some((id, rest.split_at_mut_checked(NONCE_LEN)?)));
    let (id, (nonce, sealed)) = parts.ok_or(StoreError::Corrupt)?;
    let key = keys.iter().find(|key| key.id == *id);
    let key = key.ok_or(StoreError::Foreign)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| StoreError::Corrupt)?;
    let text = key.seal.open_in_place(nonce, context, sealed);
    text.map(|text| &*text).map_err(|_| StoreError::Corrupt)
}

fn context(name: &Name, version: i64) -> Aad<Vec<u8>> {
    let mut bytes = Vec::with_capacity(name.len() + 8);
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(&version.to_be_bytes());
    Aad::from(bytes)
}

fn said(whose: &Whose) -> String {
    match whose {
        Whose::Email(email) => email.to_lowercase(),
        // No issuer has a line feed: it is a URL.
        Whose::Subject { issuer, subject } => format!("{issuer}\n{subject}"),
        Whose::Sid { issuer, sid } => format!("{issuer}\n{sid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::SeededRandomness;
    use crate::sessions::store::conformance::record;

    fn vault(secrets: &[&[u8]]) -> Vault {
        Vault::sealed(secrets.iter().copied()).unwrap()
    }

    #[test]
    fn a_sealed_record_tells_nothing_and_opens_in_its_own_place_only() {
        let random = SeededRandomness::default();
        let (old, new) = (&[1; 32][..], &[2; 32][..]);
        let sealer = vault(&[old]);
        let record = record("a@example.com");
        let sealed = sealer.seal(&[7; 32], 3, &record, &random).unwrap();
        let text = String::from_utf8_lossy(&sealed);
        assert!(!text.contains("example") && !text.contains(&record.id_token));

        let rotated = vault(&[new, old]);
        assert_eq!(rotated.open(&[7; 32], 3, sealed.clone()).unwrap(), record);
        for (name, version) in [([8; 32], 3), ([7; 32], 2)] {
            let fault = rotated.open(&name, version, sealed.clone()).unwrap_err();
            assert!(matches!(fault, StoreError::Corrupt), "{fault}");
        }
        let fault = vault(&[new]).open(&[7; 32], 3, sealed.clone()).unwrap_err();
        assert!(matches!(fault, StoreError::Foreign), "{fault}");
        for place in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[place] ^= 1;
            assert!(rotated.open(&[7; 32], 3, bent).is_err(), "{place}");
            let short = sealed[..place].to_vec();
            assert!(rotated.open(&[7; 32], 3, short).is_err(), "{place}");
        }
        assert!(Vault::sealed(std::iter::empty()).is_none());
    }

    #[test]
    fn tags_of_all_secrets_are_looked_for_and_tell_no_name() {
        let (old, new) = (&[1; 32][..], &[2; 32][..]);
        let whose = Whose::Email("A@Example.com".into());
        let before = vault(&[old]).tag(&whose);
        let rotated = vault(&[new, old]);
        assert!(rotated.tags(&whose).contains(&before));
        assert_eq!(rotated.tags(&whose)[0], rotated.tag(&whose));
        assert_ne!(rotated.tag(&whose), before);
        assert!(!before.contains("example"));
        assert_eq!(
            vault(&[old]).tag(&Whose::Email("a@example.com".into())),
            before
        );
        assert_eq!(Vault::Plain.tag(&whose), "a@example.com");
    }
}
