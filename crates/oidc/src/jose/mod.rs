//! Signed tokens: JWS compact serialisation (RFC 7515), JWK sets (RFC 7517), algorithms (RFC 7518,
//! RFC 8037). `none` does not exist here; HS256 does for `client_secret_jwt` alone, behind a door of
//! its own.

mod algorithm;
mod ed25519;
mod keys;
mod private;
mod proof;
mod secret;
mod signing;

use std::fmt;

use aws_lc_rs::digest;
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use algorithm::Algorithm;
pub use ed25519::Ed25519Key;
pub use keys::{KeySet, KeySetFault};
pub use private::PrivateKey;
pub use proof::{Embedded, thumbprint, verify_embedded};
pub use secret::{sign_with_secret, verify_with_secret};
pub use signing::{KeyFault, SigningAlgorithm, SigningKey};

/// The claims of `compact`, **unchecked**: good only for learning which issuer to ask for keys.
///
/// # Errors
/// [`VerifyFault::Malformed`] when it is no JWS compact serialisation of a JSON object.
pub fn peek(compact: &str) -> Result<Map<String, Value>, VerifyFault> {
    Parts::split(compact)?.claims()
}

/// Checks the signature of `compact` against `keys` and gives back its claims. Nothing but the
/// signature is checked; [`crate::id_token::check`] reads the claims.
///
/// A token with a `kid` is tried against the keys of that `kid`, one without against every key that
/// fits its algorithm.
///
/// # Errors
/// See [`VerifyFault`]. [`VerifyFault::UnknownKey`] is the one that newer keys may cure.
pub fn verify(compact: &str, keys: &KeySet) -> Result<Map<String, Value>, VerifyFault> {
    let parts = Parts::split(compact)?;
    let header = parts.header()?;
    let algorithm = Algorithm::parse(&header.alg).ok_or(VerifyFault::AlgorithmRefused)?;
    let signature = decode(parts.signature)?;
    let mut tried = 0_usize;
    for key in keys.candidates(algorithm, header.kid.as_deref())? {
        tried += 1;
        if key.verify_sig(parts.signed.as_bytes(), &signature).is_ok() {
            return parts.claims();
        }
    }
    match tried {
        0 => Err(VerifyFault::UnknownKey),
        _ => Err(VerifyFault::BadSignature),
    }
}

/// `alg` and `typ` of `compact`, **unchecked**: good only for refusing, and for telling which keys to
/// ask for.
///
/// # Errors
/// [`VerifyFault::Malformed`].
pub fn peek_header(compact: &str) -> Result<(String, Option<String>), VerifyFault> {
    let header = Parts::split(compact)?.header()?;
    Ok((header.alg, header.typ))
}

/// `at_hash` and `c_hash` for tokens signed with a SHA-256 algorithm: the left half of the digest,
/// base64url (OpenID Connect Core §3.1.3.6).
pub fn left_half_hash(text: &str) -> String {
    left_half(&digest::SHA256, text)
}

fn left_half(algorithm: &'static digest::Algorithm, text: &str) -> String {
    let digest = digest::digest(algorithm, text.as_bytes());
    let bytes = digest.as_ref();
    BASE64URL_NOPAD.encode(&bytes[..bytes.len() / 2])
}

/// Why a token's signature was not accepted. All but [`Self::UnknownKey`] are the bearer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyFault {
    /// Not three base64url parts with a JSON header and a JSON object of claims, or the header
    /// demands an extension (`crit`).
    Malformed,
    /// `none`, a symmetric algorithm, one that is not implemented, or one the named key is not for.
    AlgorithmRefused,
    /// No key in the set fits: the issuer may have rotated since the set was read.
    UnknownKey,
    /// A key fits and says no.
    BadSignature,
}

impl fmt::Display for VerifyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the token is not a signed JSON web token",
            Self::AlgorithmRefused => "the token's signature algorithm is not accepted",
            Self::UnknownKey => "no key of the issuer fits the token",
            Self::BadSignature => "the token's signature is wrong",
        })
    }
}

impl std::error::Error for VerifyFault {}

/// The members of a JOSE header that decide anything. A repeated member does not parse.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    jwk: Option<Value>,
    crit: Option<Value>,
}

/// A compact serialisation, cut but not decoded.
struct Parts<'a> {
    signed: &'a str,
    header: &'a str,
    claims: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    fn split(compact: &'a str) -> Result<Self, VerifyFault> {
        let (signed, signature) = compact.rsplit_once('.').ok_or(VerifyFault::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(VerifyFault::Malformed)?;
        if claims.contains('.') {
            return Err(VerifyFault::Malformed);
        }
        Ok(Self {
            signed,
            header,
            claims,
            signature,
        })
    }

    fn header(&self) -> Result<Header, VerifyFault> {
        let header: Header =
            serde_json::from_slice(&decode(self.header)?).map_err(|_| VerifyFault::Malformed)?;
        // RFC 7515 §4.1.11: an extension that is not understood makes the token invalid.
        match header.crit {
            None => Ok(header),
            Some(_) => Err(VerifyFault::Malformed),
        }
    }

    fn claims(&self) -> Result<Map<String, Value>, VerifyFault> {
        serde_json::from_slice(&decode(self.claims)?).map_err(|_| VerifyFault::Malformed)
    }
}

fn decode(text: &str) -> Result<Vec<u8>, VerifyFault> {
    BASE64URL_NOPAD
        .decode(text.as_bytes())
        .map_err(|_| VerifyFault::Malformed)
}

#[cfg(test)]
mod tests;
