//! HS256 (RFC 7518 §3.2): only for `client_secret_jwt` (OpenID Connect Core §9), where both sides
//! hold the secret anyway. Nothing that verifies with public keys takes it.

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value, json};

use super::{KeyFault, Parts, VerifyFault, decode};

/// Checks an HS256 signature of `compact` and gives back its claims.
///
/// # Errors
/// See [`VerifyFault`]; every other algorithm is refused.
pub fn verify_with_secret(compact: &str, secret: &[u8]) -> Result<Map<String, Value>, VerifyFault> {
    let parts = Parts::split(compact)?;
    if parts.header()?.alg != "HS256" {
        return Err(VerifyFault::AlgorithmRefused);
    }
    // A client without a secret must not be open to everybody.
    if secret.is_empty() {
        return Err(VerifyFault::UnknownKey);
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hmac::verify(&key, parts.signed.as_bytes(), &decode(parts.signature)?)
        .map_err(|_| VerifyFault::BadSignature)?;
    parts.claims()
}

/// Signs `claims` with HS256.
///
/// # Errors
/// [`KeyFault::Signature`].
pub fn sign_with_secret(claims: &Map<String, Value>, secret: &[u8]) -> Result<String, KeyFault> {
    let header = json!({ "alg": "HS256", "typ": "JWT" }).to_string();
    let payload = serde_json::to_vec(claims).map_err(|_| KeyFault::Signature)?;
    let mut token = BASE64URL_NOPAD.encode(header.as_bytes());
    token.push('.');
    BASE64URL_NOPAD.encode_append(&payload, &mut token);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), token.as_bytes());
    token.push('.');
    BASE64URL_NOPAD.encode_append(tag.as_ref(), &mut token);
    Ok(token)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken as other;

    use super::*;
    use crate::jose::SigningKey;

    const SECRET: &[u8] = b"a secret of a client, of thirty-two bytes";

    #[test]
    fn both_implementations_read_each_other() {
        let claims = json!({"iss": "c", "n": 1}).as_object().unwrap().clone();
        let ours = sign_with_secret(&claims, SECRET).unwrap();
        let mut rules = other::Validation::new(other::Algorithm::HS256);
        rules.required_spec_claims.clear();
        rules.validate_exp = false;
        let key = other::DecodingKey::from_secret(SECRET);
        let read = other::decode::<Map<String, Value>>(&ours, &key, &rules).unwrap();
        assert_eq!(read.claims, claims);

        let key = other::EncodingKey::from_secret(SECRET);
        let theirs = other::encode(&other::Header::default(), &claims, &key).unwrap();
        assert_eq!(verify_with_secret(&theirs, SECRET), Ok(claims.clone()));
        assert_eq!(
            verify_with_secret(&theirs, b"other"),
            Err(VerifyFault::BadSignature)
        );
        assert_eq!(
            verify_with_secret(&theirs, b""),
            Err(VerifyFault::UnknownKey)
        );

        let key = other::EncodingKey::from_secret(SECRET);
        let longer = other::Header::new(other::Algorithm::HS512);
        let longer = other::encode(&longer, &claims, &key).unwrap();
        let signed = SigningKey::generate("k".into()).unwrap().sign(&claims);
        for refused in [longer, signed.unwrap()] {
            assert_eq!(
                verify_with_secret(&refused, SECRET),
                Err(VerifyFault::AlgorithmRefused)
            );
        }
    }
}
