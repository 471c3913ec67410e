//! Signing with an issuer's own keys: RS256, PS256, ES256 (RFC 7518 §3.3 to §3.5), EdDSA with
//! Ed25519 (RFC 8037 §3.1).

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::left_half;

/// An algorithm that an issuer may sign with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// RSA, PKCS#1 v1.5.
    Rs256,
    /// RSA, PSS.
    Ps256,
    /// ECDSA on P-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl SigningAlgorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rs256, Self::Ps256, Self::Es256, Self::EdDsa];

    /// `alg`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// From `alg`.
    pub fn parse(alg: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == alg)
    }

    /// `at_hash` and `c_hash` beside this algorithm: the left half of its digest, base64url
    /// (OpenID Connect Core §3.1.3.6). Ed25519 digests with SHA-512.
    pub fn left_half_hash(self, text: &str) -> String {
        match self {
            Self::EdDsa => left_half(&digest::SHA512, text),
            _ => left_half(&digest::SHA256, text),
        }
    }
}

/// A key that signs with the one algorithm that it was made for. Not printable; wiped when dropped.
pub struct SigningKey {
    kid: String,
    algorithm: SigningAlgorithm,
    pair: Pair,
    pkcs8: Zeroizing<Vec<u8>>,
    header: String,
}

enum Pair {
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// Makes a new RS256 key of 2048 bits. Takes tens of milliseconds to a second: not for async
    /// threads.
    ///
    /// # Errors
    /// [`KeyFault::Generation`].
    pub fn generate(kid: String) -> Result<Self, KeyFault> {
        Self::generate_for(SigningAlgorithm::Rs256, kid)
    }

    /// Makes a new key for `algorithm`; RSA keys take as long as [`Self::generate`].
    ///
    /// # Errors
    /// [`KeyFault::Generation`].
    pub fn generate_for(algorithm: SigningAlgorithm, kid: String) -> Result<Self, KeyFault> {
        let fault = |_| KeyFault::Generation;
        let der = match algorithm {
            SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(fault)?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(fault)?;
                Zeroizing::new(der.as_ref().to_vec())
            }
            SigningAlgorithm::Es256 => {
                let pair =
                    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(fault)?;
                Zeroizing::new(pair.to_pkcs8v1().map_err(fault)?.as_ref().to_vec())
            }
            SigningAlgorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate().map_err(fault)?;
                Zeroizing::new(pair.to_pkcs8().map_err(fault)?.as_ref().to_vec())
            }
        };
        Self::read(algorithm, kid, &der)
    }

    /// Reads an RS256 key that [`Self::pkcs8`] gave.
    ///
    /// # Errors
    /// [`KeyFault::Unreadable`] when `der` is not PKCS#8 of an RSA key that RS256 may use.
    pub fn from_pkcs8(kid: String, der: &[u8]) -> Result<Self, KeyFault> {
        Self::read(SigningAlgorithm::Rs256, kid, der)
    }

    /// Reads a key for `algorithm` that [`Self::pkcs8`] gave.
    ///
    /// # Errors
    /// [`KeyFault::Unreadable`] when `der` is not PKCS#8 of a key of that kind.
    pub fn read(algorithm: SigningAlgorithm, kid: String, der: &[u8]) -> Result<Self, KeyFault> {
        let fault = |_| KeyFault::Unreadable;
        let pair = match algorithm {
            SigningAlgorithm::Rs256 => Pair::Rsa(
                RsaKeyPair::from_pkcs8(der).map_err(fault)?,
                &RSA_PKCS1_SHA256,
            ),
            SigningAlgorithm::Ps256 => {
                Pair::Rsa(RsaKeyPair::from_pkcs8(der).map_err(fault)?, &RSA_PSS_SHA256)
            }
            SigningAlgorithm::Es256 => Pair::P256(
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map_err(fault)?,
            ),
            SigningAlgorithm::EdDsa => {
                Pair::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(fault)?)
            }
        };
        let header = json!({ "alg": algorithm.as_str(), "kid": kid }).to_string();
        Ok(Self {
            header: BASE64URL_NOPAD.encode(header.as_bytes()),
            kid,
            algorithm,
            pair,
            pkcs8: Zeroizing::new(der.to_vec()),
        })
    }

    /// The private key, PKCS#8 DER in the clear: for storage only.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The name under which the public half is published.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// What it signs with.
    pub fn algorithm(&self) -> SigningAlgorithm {
        self.algorithm
    }

    /// The public half as a JWK.
    pub fn jwk(&self) -> Value {
        let encode = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let (kid, alg) = (&self.kid, self.algorithm.as_str());
        match &self.pair {
            Pair::Rsa(pair, _) => {
                let public = pair.public_key();
                json!({
                    "use": "sig",
                    "kty": "RSA",
                    "kid": kid,
                    "alg": alg,
                    "n": encode(public.modulus().big_endian_without_leading_zero()),
                    "e": encode(public.exponent().big_endian_without_leading_zero()),
                })
            }
            Pair::P256(pair) => {
                // An uncompressed point (SEC 1 §2.3.3).
                let point = pair.public_key().as_ref();
                json!({
                    "use": "sig",
                    "kty": "EC",
                    "kid": kid,
                    "alg": alg,
                    "crv": "P-256",
                    "x": encode(&point[1..33]),
                    "y": encode(&point[33..]),
                })
            }
            Pair::Ed25519(pair) => json!({
                "use": "sig",
                "kty": "OKP",
                "kid": kid,
                "alg": alg,
                "crv": "Ed25519",
                "x": encode(pair.public_key().as_ref()),
            }),
        }
    }

    /// Signs `claims` into a compact serialisation with the header members `alg` and `kid`.
    /// About 0.7 ms for RSA, some tens of microseconds for the others.
    ///
    /// # Errors
    /// [`KeyFault::Signature`].
    pub fn sign(&self, claims: &Map<String, Value>) -> Result<String, KeyFault> {
        self.sign_below(self.header.clone(), claims)
    }

    /// The same with `kind` as `typ` (RFC 8725 §3.11).
    ///
    /// # Errors
    /// [`KeyFault::Signature`].
    pub fn sign_as(&self, kind: &str, claims: &Map<String, Value>) -> Result<String, KeyFault> {
        let header = json!({ "alg": self.algorithm.as_str(), "kid": self.kid, "typ": kind });
        self.sign_below(
            BASE64URL_NOPAD.encode(header.to_string().as_bytes()),
            claims,
        )
    }

    /// Signs `claims` below `header` as it stands: for proofs that bring their key (RFC 9449 §4.2).
    ///
    /// # Errors
    /// [`KeyFault::Signature`].
    pub fn sign_under(
        &self,
        header: &Value,
        claims: &Map<String, Value>,
    ) -> Result<String, KeyFault> {
        self.sign_below(
            BASE64URL_NOPAD.encode(header.to_string().as_bytes()),
            claims,
        )
    }

    pub(super) fn sign_below(
        &self,
        header: String,
        claims: &Map<String, Value>,
    ) -> Result<String, KeyFault> {
        let payload = serde_json::to_vec(claims).map_err(|_| KeyFault::Signature)?;
        let mut token = header;
        token.push('.');
        BASE64URL_NOPAD.encode_append(&payload, &mut token);
        let signature = self.pair.sign(token.as_bytes())?;
        token.push('.');
        BASE64URL_NOPAD.encode_append(&signature, &mut token);
        Ok(token)
    }
}

impl Pair {
    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, KeyFault> {
        let fault = |_| KeyFault::Signature;
        Ok(match self {
            Self::Rsa(pair, padding) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*padding, &SystemRandom::new(), text, &mut signature)
                    .map_err(fault)?;
                signature
            }
            Self::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), text).map_err(fault)?;
                signature.as_ref().to_vec()
            }
            Self::Ed25519(pair) => pair.try_sign(text).map_err(fault)?.as_ref().to_vec(),
        })
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
