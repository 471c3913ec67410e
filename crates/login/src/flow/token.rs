//! What is asked of an ID token beside what OpenID Connect Core §3.1.3.7 asks, at sign-in as at a
//! renewal.

use data_encoding::BASE64URL_NOPAD;
use model::names::Timestamp;
use model::snapshot::Login;
use oidc::jose;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

/// How far the clock of the issuer may be off.
pub(crate) fn leeway_seconds(login: &Login) -> i64 {
    i64::try_from(login.clock_skew.as_secs()).unwrap_or(i64::MAX)
}

/// Whether the settings take the algorithm that a token is signed with.
pub(crate) fn takes_algorithm(login: &Login, id_token: &str) -> bool {
    login.signing_algorithms.is_empty() || {
        let algorithm = algorithm(id_token);
        let mut taken = login.signing_algorithms.iter();
        taken.any(|one| **one == *algorithm)
    }
}

/// `alg` of a token's header.
fn algorithm(id_token: &str) -> String {
    let header = id_token.split('.').next().unwrap_or_default();
    let header: Map<String, Value> = BASE64URL_NOPAD
        .decode(header.as_bytes())
        .ok()
        .and_then(|header| serde_json::from_slice(&header).ok())
        .unwrap_or_default();
    let algorithm = header.get("alg").and_then(Value::as_str);
    algorithm.unwrap_or_default().to_owned()
}

/// Whether `at_hash` is that of the access token, when there is one and its digest is SHA-256
/// (OpenID Connect Core §3.1.3.8).
pub(crate) fn fits_access_token(
    id_token: &str,
    claims: &Map<String, Value>,
    access_token: &str,
) -> bool {
    let Some(stated) = claims.get("at_hash") else {
        return true;
    };
    if !algorithm(id_token).ends_with("256") {
        return true;
    }
    let stated = stated.as_str().unwrap_or_default();
    let hash = jose::left_half_hash(access_token);
    hash.as_bytes().ct_eq(stated.as_bytes()).into()
}

/// `exp`.
pub(crate) fn expiry_of(claims: &Map<String, Value>) -> Option<Timestamp> {
    let stated = claims.get("exp")?;
    #[allow(clippy::cast_possible_truncation)] // RFC 7519 §2 allows fractions
    let seconds = stated
        .as_i64()
        .or_else(|| stated.as_f64().map(|time| time as i64));
    seconds.map(Timestamp::from_seconds)
}
