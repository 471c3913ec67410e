//! RS256 signing (RFC 7518 §3.3).

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

/// An RSA key of 2048 bits or more that signs with RS256. Not printable; wiped when dropped.
pub struct SigningKey {
    kid: String,
    pair: RsaKeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
    header: String,
}

impl SigningKey {
    /// Makes a new key of 2048 bits. Takes tens of milliseconds to a second: not for async threads.
    ///
    /// # Errors
    /// [`KeyFault::Generation`].
    pub fn generate(kid: String) -> Result<Self, KeyFault> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyFault::Generation)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyFault::Generation)?;
        let pkcs8 = Zeroizing::new(der.as_ref().to_vec());
        Ok(Self::assemble(kid, pair, pkcs8))
    }

    /// Reads a key that [`Self::pkcs8`] gave.
    ///
    /// # Errors
    /// [`KeyFault::Unreadable`] when `der` is not PKCS#8 of an RSA key that RS256 may use.
    pub fn from_pkcs8(kid: String, der: &[u8]) -> Result<Self, KeyFault> {
        let pair = RsaKeyPair::from_pkcs8(der).map_err(|_| KeyFault::Unreadable)?;
        Ok(Self::assemble(kid, pair, Zeroizing::new(der.to_vec())))
    }

    fn assemble(kid: String, pair: RsaKeyPair, pkcs8: Zeroizing<Vec<u8>>) -> Self {
        let header = json!({ "alg": "RS256", "kid": kid }).to_string();
        Self {
            header: BASE64URL_NOPAD.encode(header.as_bytes()),
            kid,
            pair,
            pkcs8,
        }
    }

    /// The private key, PKCS#8 DER in the clear: for storage only.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The name under which the public half is published.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half as a JWK.
    pub fn jwk(&self) -> Value {
        let public = self.pair.public_key();
        json!({
            "use": "sig",
            "kty": "RSA",
            "kid": self.kid,
            "alg": "RS256",
            "n": BASE64URL_NOPAD.encode(public.modulus().big_endian_without_leading_zero()),
            "e": BASE64URL_NOPAD.encode(public.exponent().big_endian_without_leading_zero()),
        })
    }

    /// Signs `claims` into a compact serialisation with the header members `alg` and `kid`.
    /// About 0.7 ms.
    ///
    /// # Errors
    /// [`KeyFault::Signature`].
    pub fn sign(&self, claims: &Map<String, Value>) -> Result<String, KeyFault> {
        let payload = serde_json::to_vec(claims).map_err(|_| KeyFault::Signature)?;
        let mut token = self.header.clone();
        token.push('.');
        BASE64URL_NOPAD.encode_append(&payload, &mut token);
        let mut signature = vec![0; self.pair.public_modulus_len()];
        // The generator is part of the signature of `sign` only: PKCS#1 v1.5 uses no randomness.
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                token.as_bytes(),
                &mut signature,
            )
            .map_err(|_| KeyFault::Signature)?;
        token.push('.');
        BASE64URL_NOPAD.encode_append(&signature, &mut token);
        Ok(token)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// What can go wrong with a private key. Ours or the operator's fault, never a client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// No key could be made.
    Generation,
    /// A stored key does not parse.
    Unreadable,
    /// The key did not sign.
    Signature,
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Generation => "no signing key could be made",
            Self::Unreadable => "a stored signing key cannot be read",
            Self::Signature => "the signing key did not sign",
        })
    }
}

impl std::error::Error for KeyFault {}
