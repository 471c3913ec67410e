//! Tokens that bring their own key: proofs of possession (RFC 9449 §4.2), and the name of such a key
//! (RFC 7638).

use aws_lc_rs::digest;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value, json};

use super::{KeySet, Parts, VerifyFault, verify};

/// A token that the key in its own header signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// `alg`.
    pub algorithm: String,
    /// `typ`.
    pub kind: Option<String>,
    /// The thumbprint of the key (RFC 7638 §3), SHA-256, base64url.
    pub thumbprint: String,
    /// The claims.
    pub claims: Map<String, Value>,
}

/// Checks `compact` against the public key in its header. That proves possession of the key, and
/// nothing about whose it is.
///
/// # Errors
/// See [`VerifyFault`]; [`VerifyFault::Malformed`] also for a key that is private, symmetric or of an
/// unknown kind.
pub fn verify_embedded(compact: &str) -> Result<Embedded, VerifyFault> {
    let header = Parts::split(compact)?.header()?;
    let jwk = header.jwk.ok_or(VerifyFault::Malformed)?;
    // RFC 9449 §4.3: not a private key.
    if ["d", "p", "q", "k"]
        .iter()
        .any(|name| jwk.get(name).is_some())
    {
        return Err(VerifyFault::Malformed);
    }
    let thumbprint = thumbprint(&jwk).ok_or(VerifyFault::Malformed)?;
    let mut public = jwk;
    if let Some(members) = public.as_object_mut() {
        // The header has no `kid` to find it by, or one that says nothing.
        match header.kid {
            Some(kid) => members.insert("kid".to_owned(), kid.into()),
            None => members.shift_remove("kid"),
        };
    }
    let keys = KeySet::from_json(&json!({ "keys": [public] }).to_string())
        .map_err(|_| VerifyFault::Malformed)?;
    Ok(Embedded {
        claims: verify(compact, &keys)?,
        algorithm: header.alg,
        kind: header.typ,
        thumbprint,
    })
}

/// The thumbprint of a public JWK (RFC 7638 §3.2, RFC 8037 §2): SHA-256, base64url.
pub fn thumbprint(jwk: &Value) -> Option<String> {
    let text = |name: &str| jwk.get(name)?.as_str();
    // Members in the order of their names.
    let members: &[&str] = match text("kty")? {
        "RSA" => &["e", "kty", "n"],
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        _ => return None,
    };
    let parts: Option<Vec<String>> = members
        .iter()
        .map(|name| Some(format!("{}:{}", json!(name), json!(text(name)?))))
        .collect();
    let canonical = format!("{{{}}}", parts?.join(","));
    let digest = digest::digest(&digest::SHA256, canonical.as_bytes());
    Some(BASE64URL_NOPAD.encode(digest.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7638_holds() {
        let jwk = json!({
            "kty": "RSA", "alg": "RS256", "kid": "2011-04-29", "e": "AQAB",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        });
        assert_eq!(
            thumbprint(&jwk).as_deref(),
            Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs")
        );
        assert_eq!(thumbprint(&json!({"kty": "oct", "k": "AAAA"})), None);
        assert_eq!(thumbprint(&json!({"kty": "RSA", "n": "AAAA"})), None);
    }
}
