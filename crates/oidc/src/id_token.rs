//! Whether a proven ID token was meant for us, now (OpenID Connect Core §3.1.3.7).

use std::fmt;

use serde_json::{Map, Value};

/// What a relying party expects of an ID token.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// `iss`, byte for byte.
    pub issuer: &'a str,
    /// Our client id.
    pub client_id: &'a str,
    /// Other audiences that count as ours.
    pub extra_audiences: &'a [&'a str],
    /// The `nonce` that was sent, if one was.
    pub nonce: Option<&'a str>,
    /// Unix seconds.
    pub now: i64,
    /// How far the issuer's clock may be off, seconds.
    pub leeway_seconds: i64,
}

/// Checks the claims of a token whose signature has been verified.
///
/// # Errors
/// The first rule of §3.1.3.7 that does not hold, in its order.
pub fn check(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), IdTokenFault> {
    if claims.get("iss").and_then(Value::as_str) != Some(expected.issuer) {
        return Err(IdTokenFault::WrongIssuer);
    }
    check_audience(claims, expected)?;
    check_time(claims, expected)?;
    if let Some(nonce) = expected.nonce
        && claims.get("nonce").and_then(Value::as_str) != Some(nonce)
    {
        return Err(IdTokenFault::WrongNonce);
    }
    match claims.get("sub").and_then(Value::as_str) {
        None | Some("") => Err(IdTokenFault::NoSubject),
        Some(_) => Ok(()),
    }
}

fn check_audience(
    claims: &Map<String, Value>,
    expected: &Expected<'_>,
) -> Result<(), IdTokenFault> {
    let audiences: Vec<&str> = match claims.get("aud") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => return Err(IdTokenFault::WrongAudience),
    };
    let ours = |name: &str| name == expected.client_id || expected.extra_audiences.contains(&name);
    if !audiences.iter().any(|name| ours(name)) {
        return Err(IdTokenFault::WrongAudience);
    }
    match claims.get("azp") {
        Some(party) if !party.as_str().is_some_and(ours) => Err(IdTokenFault::WrongParty),
        // The issuer names us as the one it was issued to: the others are ours to pass it on to.
        Some(_) => Ok(()),
        None if audiences.iter().all(|name| ours(name)) => Ok(()),
        None => Err(IdTokenFault::UntrustedAudience),
    }
}

fn check_time(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), IdTokenFault> {
    let expiry = seconds(claims, "exp").ok_or(IdTokenFault::NoExpiry)?;
    if expiry <= expected.now.saturating_sub(expected.leeway_seconds) {
        return Err(IdTokenFault::Expired);
    }
    let latest = expected.now.saturating_add(expected.leeway_seconds);
    let issued = seconds(claims, "iat").ok_or(IdTokenFault::NoIssueTime)?;
    if issued > latest {
        return Err(IdTokenFault::NotYetValid);
    }
    match claims.get("nbf") {
        None => Ok(()),
        Some(_) => match seconds(claims, "nbf") {
            Some(start) if start <= latest => Ok(()),
            _ => Err(IdTokenFault::NotYetValid),
        },
    }
}

/// A NumericDate (RFC 7519 §2), which may have a fraction.
fn seconds(claims: &Map<String, Value>, name: &str) -> Option<i64> {
    let value = claims.get(name)?;
    value
        .as_i64()
        .or_else(|| value.as_f64().map(|number| number as i64))
}

/// Why an ID token is not for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdTokenFault {
    /// `iss` is not the issuer's.
    WrongIssuer,
    /// `aud` names neither our client nor an audience that counts as ours.
    WrongAudience,
    /// `aud` names strangers beside us, and `azp` does not say that it was issued to us.
    UntrustedAudience,
    /// `azp` names somebody else.
    WrongParty,
    /// No `exp`.
    NoExpiry,
    /// `exp` has passed.
    Expired,
    /// No `iat`.
    NoIssueTime,
    /// `iat` or `nbf` lies ahead.
    NotYetValid,
    /// `nonce` is not the one that was sent.
    WrongNonce,
    /// No `sub`.
    NoSubject,
}

impl fmt::Display for IdTokenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongIssuer => "the token's `iss` is another issuer",
            Self::WrongAudience => "the token's `aud` does not name this client",
            Self::UntrustedAudience => "the token's `aud` names audiences that are not trusted",
            Self::WrongParty => "the token's `azp` is another client",
            Self::NoExpiry => "the token has no `exp`",
            Self::Expired => "the token has expired",
            Self::NoIssueTime => "the token has no `iat`",
            Self::NotYetValid => "the token is not valid yet",
            Self::WrongNonce => "the token's `nonce` is not the one that was sent",
            Self::NoSubject => "the token has no `sub`",
        })
    }
}

impl std::error::Error for IdTokenFault {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn expected<'a>() -> Expected<'a> {
        Expected {
            issuer: "https://issuer",
            client_id: "us",
            extra_audiences: &["also-us"],
            nonce: Some("n"),
            now: NOW,
            leeway_seconds: 10,
        }
    }

    /// A good token with some members replaced; `null` removes.
    fn check_with(changes: Value) -> Result<(), IdTokenFault> {
        let mut claims = json!({
            "iss": "https://issuer", "sub": "s", "aud": "us", "nonce": "n",
            "iat": NOW, "exp": NOW + 60,
        });
        let claims = claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => claims.remove(name),
                value => claims.insert(name.clone(), value.clone()),
            };
        }
        check(claims, &expected())
    }

    #[test]
    fn a_good_token_passes() {
        assert_eq!(check_with(json!({})), Ok(()));
        assert_eq!(check_with(json!({"aud": ["us"]})), Ok(()));
        assert_eq!(check_with(json!({"aud": "also-us"})), Ok(()));
        assert_eq!(check_with(json!({"aud": ["us", "also-us"]})), Ok(()));
        assert_eq!(
            check_with(json!({"aud": ["peer", "us"], "azp": "us"})),
            Ok(())
        );
        assert_eq!(check_with(json!({"exp": (NOW + 60) as f64 + 0.5})), Ok(()));
    }

    #[test]
    fn each_rule_has_its_own_fault() {
        use IdTokenFault as F;
        for (changes, fault) in [
            (json!({"iss": "https://issuer/"}), F::WrongIssuer),
            (json!({"iss": null}), F::WrongIssuer),
            (json!({"aud": "them"}), F::WrongAudience),
            (json!({"aud": []}), F::WrongAudience),
            (json!({"aud": null}), F::WrongAudience),
            (json!({"aud": ["us", "them"]}), F::UntrustedAudience),
            (json!({"azp": "them"}), F::WrongParty),
            (json!({"azp": 7}), F::WrongParty),
            (json!({"exp": null}), F::NoExpiry),
            (json!({"exp": "tomorrow"}), F::NoExpiry),
            (json!({"exp": NOW - 10}), F::Expired),
            (json!({"iat": null}), F::NoIssueTime),
            (json!({"iat": NOW + 11}), F::NotYetValid),
            (json!({"nbf": NOW + 11}), F::NotYetValid),
            (json!({"nbf": "x"}), F::NotYetValid),
            (json!({"nonce": "other"}), F::WrongNonce),
            (json!({"nonce": null}), F::WrongNonce),
            (json!({"sub": ""}), F::NoSubject),
            (json!({"sub": null}), F::NoSubject),
        ] {
            assert_eq!(check_with(changes.clone()), Err(fault), "{changes}");
        }
    }

    #[test]
    fn the_leeway_is_granted_and_no_second_more() {
        assert_eq!(check_with(json!({"exp": NOW - 9})), Ok(()));
        assert_eq!(check_with(json!({"iat": NOW + 10})), Ok(()));
    }
}
