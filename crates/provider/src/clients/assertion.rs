//! Client assertions (RFC 7523 §2.2 and §3, OpenID Connect Core §9).

use model::names::{Duration, Timestamp};
use serde_json::{Map, Value};

/// `client_assertion_type`.
pub(super) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How far a client's clock may be off.
const LEEWAY: Duration = Duration::from_secs(60);

/// How far ahead an assertion may expire: its `jti` is remembered as long.
const LONGEST: Duration = Duration::from_secs(3600);

/// A word that may come once, until it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Once {
    /// Unique over all kinds of such words.
    pub(crate) word: String,
    /// Unix seconds.
    pub(crate) expires_at: i64,
}

/// Whether `claims`, whose signature is good, are an assertion of `client` for one of `audiences`.
pub(super) fn check(
    claims: &Map<String, Value>,
    client: &str,
    audiences: &[String],
    now: Timestamp,
) -> Option<Once> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(client) || text("sub") != Some(client) {
        return None;
    }
    let ours = |value: &Value| {
        let name = value.as_str();
        name.is_some_and(|name| audiences.iter().any(|one| one == name))
    };
    let addressed = match claims.get("aud")? {
        Value::Array(several) => several.iter().any(ours),
        one => ours(one),
    };
    let expires_at = seconds(claims.get("exp")?)?;
    let latest = now.plus(LEEWAY).seconds();
    let begun = ["nbf", "iat"].iter().all(|name| match claims.get(*name) {
        None => true,
        Some(value) => seconds(value).is_some_and(|start| start <= latest),
    });
    let timely =
        expires_at > now.seconds() && expires_at <= now.plus(LONGEST).plus(LEEWAY).seconds();
    let id = text("jti").filter(|id| !id.is_empty())?;
    (addressed && begun && timely).then(|| Once {
        word: format!("assertion\n{client}\n{id}"),
        expires_at,
    })
}

/// A NumericDate (RFC 7519 §2), which may have a fraction.
fn seconds(value: &Value) -> Option<i64> {
    let fraction = || value.as_f64().map(|number| number as i64);
    value.as_i64().or_else(fraction)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn run(changes: &Value) -> Option<i64> {
        let mut claims = json!({
            "iss": "c", "sub": "c", "aud": "https://h/dex", "jti": "j", "exp": NOW + 60, "iat": NOW,
        });
        let claims = claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => claims.shift_remove(name),
                value => claims.insert(name.clone(), value.clone()),
            };
        }
        let audiences = ["https://h/dex".to_owned(), "https://h/dex/token".to_owned()];
        let now = Timestamp::from_seconds(NOW);
        check(claims, "c", &audiences, now).map(|once| once.expires_at)
    }

    #[test]
    fn a_good_assertion_is_remembered_until_it_expires() {
        for good in [
            json!({}),
            json!({"aud": "https://h/dex/token"}),
            json!({"aud": ["https://other", "https://h/dex"]}),
            json!({"iat": null, "nbf": NOW + 60}),
            json!({"exp": NOW as f64 + 60.5}),
        ] {
            assert_eq!(run(&good), Some(NOW + 60), "{good}");
        }
    }

    #[test]
    fn everything_else_proves_nothing() {
        for bad in [
            json!({"iss": "d"}),
            json!({"sub": "d"}),
            json!({"sub": null}),
            json!({"iss": 7}),
            json!({"aud": null}),
            json!({"aud": "https://h"}),
            json!({"aud": []}),
            json!({"aud": {"a": "https://h/dex"}}),
            json!({"jti": null}),
            json!({"jti": ""}),
            json!({"jti": 7}),
            json!({"exp": null}),
            json!({"exp": "soon"}),
            json!({"exp": NOW}),
            json!({"exp": NOW + 3661}),
            json!({"iat": NOW + 61}),
            json!({"nbf": NOW + 61}),
            json!({"nbf": "x"}),
        ] {
            assert_eq!(run(&bad), None, "{bad}");
        }
    }
}
