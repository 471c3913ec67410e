//! Public keys as issuers publish them (RFC 7517), parsed once.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RsaPublicKeyComponents, VerificationAlgorithm,
};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::Value;

use super::VerifyFault;
use super::algorithm::{Algorithm, Rsa};

/// An issuer's public signing keys. Keys of unknown types, for encryption, or that do not parse are
/// left out: one odd key must not take the others with it.
pub struct KeySet {
    keys: Vec<Key>,
}

struct Key {
    kid: Option<String>,
    /// The key, made ready for each algorithm it may be used with.
    ready: Vec<(Algorithm, ParsedPublicKey)>,
}

impl KeySet {
    /// Reads a JWK set document.
    ///
    /// # Errors
    /// [`KeySetFault`] when it is no JWK set at all; a set without any usable key is not a fault.
    pub fn from_json(text: &str) -> Result<Self, KeySetFault> {
        let document: Value = serde_json::from_str(text).map_err(|_| KeySetFault::NotJson)?;
        let Some(Value::Array(keys)) = document.get("keys") else {
            return Err(KeySetFault::NoKeys);
        };
        Ok(Self {
            keys: keys.iter().filter_map(Key::read).collect(),
        })
    }

    /// Whether nothing can be verified with it.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys to try for a token with this header.
    pub(super) fn candidates(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
    ) -> Result<impl Iterator<Item = &ParsedPublicKey>, VerifyFault> {
        let named = move |key: &&Key| kid.is_none() || key.kid.as_deref() == kid;
        let mut named_keys = self.keys.iter().filter(named).peekable();
        let any_named = named_keys.peek().is_some();
        let any_fits = named_keys.any(|key| key.ready.iter().any(|(one, _)| *one == algorithm));
        // A named key of another algorithm is a forgery attempt, not a rotation.
        if kid.is_some() && any_named && !any_fits {
            return Err(VerifyFault::AlgorithmRefused);
        }
        Ok(self
            .keys
            .iter()
            .filter(named)
            .flat_map(|key| &key.ready)
            .filter(move |(one, _)| *one == algorithm)
            .map(|(_, key)| key))
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keys.iter().map(|key| &key.kid))
            .finish()
    }
}

/// Why a document is no JWK set. The issuer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySetFault {
    /// It is not JSON.
    NotJson,
    /// It has no list `keys`.
    NoKeys,
}

impl fmt::Display for KeySetFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotJson => "the key set is not JSON",
            Self::NoKeys => "the key set has no list `keys`",
        })
    }
}

impl std::error::Error for KeySetFault {}

/// The members of a JWK that we read.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Key {
    fn read(value: &Value) -> Option<Self> {
        let jwk = Jwk::deserialize(value).ok()?;
        let signs = jwk.usage.as_deref().is_none_or(|usage| usage == "sig");
        let verifies = jwk
            .key_ops
            .as_ref()
            .is_none_or(|operations| operations.iter().any(|one| one == "verify"));
        if !signs || !verifies {
            return None;
        }
        let bound = match jwk.alg.as_deref() {
            Some(alg) => Some(Algorithm::parse(alg)?),
            None => None,
        };
        let mut ready = match jwk.kty.as_str() {
            "RSA" => jwk.rsa(bound)?,
            "EC" => vec![jwk.elliptic()?],
            "OKP" => vec![jwk.edwards()?],
            _ => return None,
        };
        ready.retain(|(algorithm, _)| bound.is_none_or(|bound| bound == *algorithm));
        (!ready.is_empty()).then_some(Self {
            kid: jwk.kid,
            ready,
        })
    }
}

impl Jwk {
    fn rsa(&self, bound: Option<Algorithm>) -> Option<Vec<(Algorithm, ParsedPublicKey)>> {
        let components = RsaPublicKeyComponents {
            n: unsigned(self.n.as_deref()?)?,
            e: unsigned(self.e.as_deref()?)?,
        };
        Rsa::ALL
            .into_iter()
            .map(|rsa| (Algorithm::Rsa(rsa), rsa))
            .filter(|(algorithm, _)| bound.is_none_or(|bound| bound == *algorithm))
            .map(|(algorithm, rsa)| {
                Some((
                    algorithm,
                    components.to_parsed_public_key(rsa.parameters()).ok()?,
                ))
            })
            .collect()
    }

    fn elliptic(&self) -> Option<(Algorithm, ParsedPublicKey)> {
        let (algorithm, verification, length): (_, &'static dyn VerificationAlgorithm, _) =
            match self.crv.as_deref()? {
                "P-256" => (Algorithm::P256, &ECDSA_P256_SHA256_FIXED, 32),
                "P-384" => (Algorithm::P384, &ECDSA_P384_SHA384_FIXED, 48),
                _ => return None,
            };
        let (x, y) = (bytes(self.x.as_deref()?)?, bytes(self.y.as_deref()?)?);
        if x.len() != length || y.len() != length {
            return None;
        }
        // SEC 1 §2.3.3: an uncompressed point.
        let point = [&[4_u8][..], &x, &y].concat();
        Some((algorithm, ParsedPublicKey::new(verification, point).ok()?))
    }

    fn edwards(&self) -> Option<(Algorithm, ParsedPublicKey)> {
        if self.crv.as_deref()? != "Ed25519" {
            return None;
        }
        let point = bytes(self.x.as_deref()?)?;
        Some((
            Algorithm::Ed25519,
            ParsedPublicKey::new(&ED25519, point).ok()?,
        ))
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    // Some issuers pad (RFC 7515 §2 forbids it); the value is the same.
    BASE64URL_NOPAD
        .decode(text.trim_end_matches('=').as_bytes())
        .ok()
}

/// A big-endian number without the leading zeros that RFC 7518 §2 forbids and some issuers write.
fn unsigned(text: &str) -> Option<Vec<u8>> {
    let bytes = bytes(text)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Some(bytes[zeros..].to_vec())
}
