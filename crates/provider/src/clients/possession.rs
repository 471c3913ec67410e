//! Proofs that a client holds a key (RFC 9449).

use aws_lc_rs::digest;
use data_encoding::BASE64URL_NOPAD;
use model::names::{Duration, Timestamp};
use oidc::jose::{Embedded, verify_embedded};
use serde_json::Value;

use super::Once;

/// How old a proof may be, and how far ahead its clock.
const AGE: Duration = Duration::from_secs(300);

/// Longer proofs are not looked at.
const LONGEST: usize = 8 * 1024;

/// What a proof has to be for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purpose<'a> {
    /// `htm`.
    pub(crate) method: &'a str,
    /// `htu`: without query and fragment.
    pub(crate) address: &'a str,
    /// The access token that it comes with (`ath`).
    pub(crate) token: Option<&'a str>,
    pub(crate) now: Timestamp,
}

/// Checks `proof`: the thumbprint of its key, and its `jti`, which may come once (§4.3).
pub(crate) fn prove(proof: &str, purpose: Purpose<'_>) -> Option<(String, Once)> {
    if proof.len() > LONGEST {
        return None;
    }
    let Embedded {
        kind,
        thumbprint,
        claims,
        ..
    } = verify_embedded(proof).ok()?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let address = text("htu")?;
    // RFC 9449 §4.3: compared without query and fragment.
    let bare = address.split(['?', '#']).next().unwrap_or_default();
    let issued = claims.get("iat").and_then(Value::as_i64)?;
    let now = purpose.now;
    let timely = issued > now.minus(AGE).seconds() && issued < now.plus(AGE).seconds();
    let hash = purpose.token.map(|token| {
        let digest = digest::digest(&digest::SHA256, token.as_bytes());
        BASE64URL_NOPAD.encode(digest.as_ref())
    });
    let id = text("jti").filter(|id| !id.is_empty())?;
    let good = kind.as_deref() == Some("dpop+jwt")
        && text("htm") == Some(purpose.method)
        && bare == purpose.address
        && timely
        && (hash.is_none() || text("ath") == hash.as_deref());
    good.then(|| {
        let once = Once {
            word: format!("possession\n{thumbprint}\n{id}"),
            expires_at: Timestamp::from_seconds(issued).plus(AGE).seconds() + 1,
        };
        (thumbprint, once)
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use oidc::jose::{SigningAlgorithm, SigningKey, thumbprint};
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    /// A proof by `key`.
    pub(crate) fn proof(key: &SigningKey, kind: &str, claims: &Value) -> String {
        let header = json!({"typ": kind, "alg": key.algorithm().as_str(), "jwk": key.jwk()});
        key.sign_under(&header, claims.as_object().unwrap())
            .unwrap()
    }

    #[test]
    fn a_proof_is_for_one_request_and_token_at_its_time() {
        let key = SigningKey::generate_for(SigningAlgorithm::Es256, "k".into()).unwrap();
        let purpose = Purpose {
            method: "POST",
            address: "https://h/token",
            token: None,
            now: NOW,
        };
        let run = |kind: &str, changes: Value, purpose: Purpose<'_>| {
            let mut claims =
                json!({"htm": "POST", "htu": "https://h/token", "iat": NOW.seconds(), "jti": "1"});
            for (name, value) in changes.as_object().unwrap() {
                match value {
                    Value::Null => claims.as_object_mut().unwrap().shift_remove(name),
                    value => claims
                        .as_object_mut()
                        .unwrap()
                        .insert(name.clone(), value.clone()),
                };
            }
            prove(&proof(&key, kind, &claims), purpose)
        };
        let (name, once) = run("dpop+jwt", json!({}), purpose).unwrap();
        assert_eq!(Some(name), thumbprint(&key.jwk()));
        assert!(once.expires_at > NOW.seconds());
        assert!(run("dpop+jwt", json!({"htu": "https://h/token?x#y"}), purpose).is_some());
        for bad in [
            json!({"htm": "GET"}),
            json!({"htm": null}),
            json!({"htu": "https://h/other"}),
            json!({"htu": 7}),
            json!({"iat": NOW.seconds() - 300}),
            json!({"iat": NOW.seconds() + 300}),
            json!({"iat": "x"}),
            json!({"jti": null}),
            json!({"jti": ""}),
        ] {
            assert!(run("dpop+jwt", bad.clone(), purpose).is_none(), "{bad}");
        }
        assert!(run("JWT", json!({}), purpose).is_none());
        assert!(prove("a.b.c", purpose).is_none());
        let with_token = Purpose {
            token: Some("access"),
            ..purpose
        };
        assert!(run("dpop+jwt", json!({}), with_token).is_none());
        let digest = digest::digest(&digest::SHA256, b"access");
        let ath = json!({"ath": BASE64URL_NOPAD.encode(digest.as_ref())});
        assert!(run("dpop+jwt", ath, with_token).is_some());
    }
}
