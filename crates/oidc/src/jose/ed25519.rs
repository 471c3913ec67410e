//! EdDSA signing with Ed25519 (RFC 8037 §3.1).

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value, json};

use super::KeyFault;

/// An Ed25519 key that comes of 32 secret bytes. Not printable.
pub struct Ed25519Key {
    kid: String,
    x: String,
    pair: Ed25519KeyPair,
    header: String,
}

impl Ed25519Key {
    /// The key of `seed`. Its `kid` is its thumbprint (RFC 7638).
    ///
    /// # Errors
    /// [`KeyFault::Unreadable`].
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, KeyFault> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyFault::Unreadable)?;
        let x = BASE64URL_NOPAD.encode(pair.public_key().as_ref());
        // Members in the order of their names, as the thumbprint wants them (RFC 8037 §2).
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let kid =
            BASE64URL_NOPAD.encode(digest::digest(&digest::SHA256, members.as_bytes()).as_ref());
        let header = json!({ "alg": "EdDSA", "kid": kid, "typ": "JWT" }).to_string();
        Ok(Self {
            header: BASE64URL_NOPAD.encode(header.as_bytes()),
            kid,
            x,
            pair,
        })
    }

    /// The name under which the public half is published.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half as a JWK.
    pub fn jwk(&self) -> Value {
        json!({
            "use": "sig",
            "kty": "OKP",
            "crv": "Ed25519",
            "alg": "EdDSA",
            "kid": self.kid,
            "x": self.x,
        })
    }

    /// Signs `claims` into a compact serialisation. Some tens of microseconds.
    ///
    /// # Errors
    /// [`KeyFault::Signature`].
    pub fn sign(&self, claims: &Map<String, Value>) -> Result<String, KeyFault> {
        let payload = serde_json::to_vec(claims).map_err(|_| KeyFault::Signature)?;
        let mut token = self.header.clone();
        token.push('.');
        BASE64URL_NOPAD.encode_append(&payload, &mut token);
        let signature = self.pair.sign(token.as_bytes());
        token.push('.');
        BASE64URL_NOPAD.encode_append(signature.as_ref(), &mut token);
        Ok(token)
    }
}

impl fmt::Debug for Ed25519Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ed25519Key")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{KeySet, verify};

    #[test]
    fn the_example_of_rfc_8037_has_its_key_and_thumbprint() {
        // RFC 8037 appendices A.1 to A.3.
        let seed = BASE64URL_NOPAD
            .decode(b"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
            .unwrap();
        let key = Ed25519Key::from_seed(&seed.try_into().unwrap()).unwrap();
        assert_eq!(
            key.jwk()["x"],
            "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
        );
        assert_eq!(key.kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn what_is_signed_verifies_here_and_elsewhere() {
        let key = Ed25519Key::from_seed(&[7; 32]).unwrap();
        let claims = json!({ "sub": "a", "exp": 4_000_000_000_u64, "aud": "b" });
        let token = key.sign(claims.as_object().unwrap()).unwrap();
        let keys = json!({ "keys": [key.jwk()] }).to_string();
        let set = KeySet::from_json(&keys).unwrap();
        assert_eq!(Value::Object(verify(&token, &set).unwrap()), claims);

        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(key.jwk()).unwrap();
        let other = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
        let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
        rules.set_audience(&["b"]);
        let read = jsonwebtoken::decode::<Value>(&token, &other, &rules).unwrap();
        assert_eq!(read.claims, claims);
    }
}
