//! A client's own private key, as operators keep it: `private_key_jwt` (OpenID Connect Core §9) and
//! signed authorization requests (RFC 9101).

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::KeyFault;

/// A private key that signs with the one algorithm that its kind has here. Not printable.
pub struct PrivateKey {
    pair: Pair,
    key_id: Option<String>,
}

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl PrivateKey {
    /// Reads PEM (RFC 7468): PKCS#8, or the older forms of RSA (PKCS#1) and elliptic keys (SEC 1).
    /// RSA of 2048 bits or more, P-256 or Ed25519.
    ///
    /// # Errors
    /// [`KeyFault::Unreadable`].
    pub fn from_pem(pem: &str, key_id: Option<&str>) -> Result<Self, KeyFault> {
        let (label, der) = first_block(pem).ok_or(KeyFault::Unreadable)?;
        let rsa = match label {
            "RSA PRIVATE KEY" => RsaKeyPair::from_der(&der),
            _ => RsaKeyPair::from_pkcs8(&der),
        };
        let p256 = || match label {
            "EC PRIVATE KEY" => {
                EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &der)
            }
            _ => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der),
        };
        let pair = rsa
            .map(Pair::Rsa)
            .or_else(|_| p256().map(Pair::P256))
            // OpenSSL writes the form without the public half.
            .or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map(Pair::Ed25519))
            .map_err(|_| KeyFault::Unreadable)?;
        let key_id = key_id.map(str::to_owned);
        Ok(Self { pair, key_id })
    }

    /// `alg` of what it signs.
    pub fn algorithm(&self) -> &'static str {
        match &self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    /// Signs `claims` into a compact serialisation whose header says `kind` as `typ`.
    ///
    /// # Errors
    /// [`KeyFault::Signature`].
    pub fn sign(&self, kind: &str, claims: &Map<String, Value>) -> Result<String, KeyFault> {
        let mut header = json!({ "alg": self.algorithm(), "typ": kind });
        if let Some(key_id) = &self.key_id {
            header["kid"] = key_id.as_str().into();
        }
        let payload = serde_json::to_vec(claims).map_err(|_| KeyFault::Signature)?;
        let mut token = BASE64URL_NOPAD.encode(header.to_string().as_bytes());
        token.push('.');
        BASE64URL_NOPAD.encode_append(&payload, &mut token);
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(
                    &RSA_PKCS1_SHA256,
                    &SystemRandom::new(),
                    token.as_bytes(),
                    &mut signature,
                )
                .map_err(|_| KeyFault::Signature)?;
                signature
            }
            Pair::P256(pair) => pair
                .sign(&SystemRandom::new(), token.as_bytes())
                .map_err(|_| KeyFault::Signature)?
                .as_ref()
                .to_vec(),
            Pair::Ed25519(pair) => pair.sign(token.as_bytes()).as_ref().to_vec(),
        };
        token.push('.');
        BASE64URL_NOPAD.encode_append(&signature, &mut token);
        Ok(token)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// Label and bytes of the first block that is a private key.
fn first_block(pem: &str) -> Option<(&str, Zeroizing<Vec<u8>>)> {
    let mut rest = pem;
    loop {
        let (_, after) = rest.split_once("-----BEGIN ")?;
        let (label, after) = after.split_once("-----")?;
        let (body, after) = after.split_once("-----END ")?;
        rest = after;
        if label.ends_with("PRIVATE KEY") {
            let text: Zeroizing<String> = Zeroizing::new(body.split_whitespace().collect());
            let der = BASE64.decode(text.as_bytes()).ok()?;
            return Some((label, Zeroizing::new(der)));
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::KeyPair;

    use super::*;
    use crate::jose::{Ed25519Key, KeySet, SigningKey, verify};

    fn pem(label: &str, der: &[u8]) -> String {
        let text = BASE64.encode(der);
        let lines: Vec<&str> = text
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        format!(
            "# a comment\n-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            lines.join("\n")
        )
    }

    fn signs_for(key: &PrivateKey, jwk: Value) -> Map<String, Value> {
        let claims = json!({"iss": "client", "n": 1});
        let token = key.sign("JWT", claims.as_object().unwrap()).unwrap();
        let header = BASE64URL_NOPAD
            .decode(token.split('.').next().unwrap().as_bytes())
            .unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        assert_eq!(header["kid"], "k");
        assert_eq!(header["alg"], key.algorithm());
        let set = KeySet::from_json(&json!({ "keys": [jwk] }).to_string()).unwrap();
        verify(&token, &set).unwrap()
    }

    #[test]
    fn each_kind_of_key_is_read_and_signs() {
        let rsa = SigningKey::generate("k".to_owned()).unwrap();
        let key = PrivateKey::from_pem(&pem("PRIVATE KEY", rsa.pkcs8()), Some("k")).unwrap();
        assert_eq!(signs_for(&key, rsa.jwk())["n"], 1);

        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let der = pair.to_pkcs8v1().unwrap();
        let key = PrivateKey::from_pem(&pem("PRIVATE KEY", der.as_ref()), Some("k")).unwrap();
        let point = pair.public_key().as_ref().to_vec();
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "kid": "k",
            "x": BASE64URL_NOPAD.encode(&point[1..33]),
            "y": BASE64URL_NOPAD.encode(&point[33..]),
        });
        assert_eq!(signs_for(&key, jwk)["n"], 1);

        // RFC 8410 §10.3.
        let text = "-----BEGIN PRIVATE KEY-----\n\
            MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
            -----END PRIVATE KEY-----\n";
        let key = PrivateKey::from_pem(text, Some("k")).unwrap();
        let der = first_block(text).unwrap().1;
        let seed: [u8; 32] = der[16..].try_into().unwrap();
        let mut jwk = Ed25519Key::from_seed(&seed).unwrap().jwk();
        jwk["kid"] = "k".into();
        assert_eq!(signs_for(&key, jwk)["n"], 1);
    }

    #[test]
    fn what_is_no_key_is_not_read_and_a_key_is_not_printed() {
        let rsa = SigningKey::generate("k".to_owned()).unwrap();
        for bad in [
            "",
            "x",
            "-----BEGIN PRIVATE KEY-----\n!!!\n-----END PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
            &pem("CERTIFICATE", rsa.pkcs8()),
            &pem("PRIVATE KEY", &rsa.pkcs8()[..100]),
        ] {
            assert_eq!(
                PrivateKey::from_pem(bad, None).map(|_| ()),
                Err(KeyFault::Unreadable),
                "{bad}"
            );
        }
        let key = PrivateKey::from_pem(&pem("PRIVATE KEY", rsa.pkcs8()), None).unwrap();
        assert_eq!(format!("{key:?}"), "PrivateKey { key_id: None, .. }");
    }
}
