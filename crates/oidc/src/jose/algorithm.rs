//! The signature algorithms that exist for us (RFC 7518 §3.1, RFC 8037 §3.1).

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
};

/// A signature algorithm that may be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// RSA, of one kind of padding and digest.
    Rsa(Rsa),
    /// ES256.
    P256,
    /// ES384.
    P384,
    /// EdDSA with Ed25519.
    Ed25519,
}

/// The RSA algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rsa {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
}

impl Algorithm {
    /// From the `alg` of a header or a key; nothing for `none` and HMAC.
    pub(super) fn parse(alg: &str) -> Option<Self> {
        Some(match alg {
            "RS256" => Self::Rsa(Rsa::Rs256),
            "RS384" => Self::Rsa(Rsa::Rs384),
            "RS512" => Self::Rsa(Rsa::Rs512),
            "PS256" => Self::Rsa(Rsa::Ps256),
            "PS384" => Self::Rsa(Rsa::Ps384),
            "PS512" => Self::Rsa(Rsa::Ps512),
            "ES256" => Self::P256,
            "ES384" => Self::P384,
            // RFC 9864 names the curve as well.
            "EdDSA" | "Ed25519" => Self::Ed25519,
            _ => return None,
        })
    }
}

impl Rsa {
    pub(super) const ALL: [Self; 6] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
    ];

    pub(super) fn parameters(self) -> &'static RsaParameters {
        match self {
            Self::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
            Self::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
            Self::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &RSA_PSS_2048_8192_SHA512,
        }
    }
}
