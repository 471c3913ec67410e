//! Signing out at the issuer, and being told by it that somebody signed out there.

use model::names::{Duration, Timestamp};
use model::snapshot::Login;
use serde_json::{Map, Value};
use url::form_urlencoded::Serializer;

use super::token::{expiry_of, leeway_seconds};
use crate::keys::sha256;
use crate::sessions::store::Whose;
use crate::site::Site;

/// OpenID Connect Back-Channel Logout 1.0 §2.4.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A logout token that was made longer ago is none that is just being sent.
const OLDEST: Duration = Duration::from_secs(10 * 60);

/// The URL that ends the session at the issuer (RP-Initiated Logout 1.0 §2). `state` comes back.
pub(crate) fn end_session_url(
    login: &Login,
    endpoint: &str,
    id_token: &str,
    site: &Site,
    state: &str,
) -> String {
    let endpoint = endpoint.split('#').next().unwrap_or_default();
    let mut url = endpoint.to_owned();
    url.push(if endpoint.contains('?') { '&' } else { '?' });
    let start = url.len();
    let mut query = Serializer::for_suffix(url, start);
    query
        .append_pair("id_token_hint", id_token)
        .append_pair("client_id", &login.client_id)
        .append_pair("post_logout_redirect_uri", &signed_out_uri(login, site));
    if !state.is_empty() {
        query.append_pair("state", state);
    }
    query.finish()
}

/// `post_logout_redirect_uri`: registered at the issuer, as the callback is.
pub(crate) fn signed_out_uri(login: &Login, site: &Site) -> String {
    let scheme = match login.cookie_secure {
        true => "https",
        false => site.scheme(),
    };
    format!("{scheme}://{}{}/signed_out", site.authority, login.prefix)
}

/// Whose sessions an issuer ends, and what the order is called so that it is not taken twice.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) whose: Whose,
    pub(crate) id: String,
    pub(crate) until: Timestamp,
}

impl Order {
    /// What tells it from all others.
    pub(crate) fn tag(&self) -> [u8; 32] {
        let (Whose::Sid { issuer, .. } | Whose::Subject { issuer, .. }) = &self.whose else {
            return sha256(&[self.id.as_bytes()]);
        };
        sha256(&[issuer.as_bytes(), b"\0", self.id.as_bytes()])
    }
}

/// Why a logout token ends nothing. The sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrderFault {
    /// `iss` is another.
    WrongIssuer,
    /// `aud` names somebody else.
    WrongAudience,
    /// `iat` or `exp` is missing, over, or lies ahead.
    WrongTime,
    /// `events` does not say that it is a logout token.
    NoEvent,
    /// A `nonce`: it is an ID token that somebody passes off.
    HasNonce,
    /// No `jti`.
    NoId,
    /// Neither `sub` nor `sid`.
    Nobody,
}

/// Reads the claims of a logout token whose signature is proven (Back-Channel Logout 1.0 §2.6).
pub(crate) fn order(
    login: &Login,
    claims: &Map<String, Value>,
    now: Timestamp,
) -> Result<Order, OrderFault> {
    let text = |name: &str| {
        let value = claims.get(name).and_then(Value::as_str);
        value.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    if text("iss").as_deref() != Some(&*login.issuer) {
        return Err(OrderFault::WrongIssuer);
    }
    let is_us = |audience: &Value| audience.as_str() == Some(&*login.client_id);
    let for_us = match claims.get("aud") {
        Some(Value::Array(many)) => many.iter().any(is_us),
        Some(one) => is_us(one),
        None => false,
    };
    if !for_us {
        return Err(OrderFault::WrongAudience);
    }
    let leeway = Duration::from_secs(leeway_seconds(login).unsigned_abs());
    let issued = claims.get("iat").and_then(Value::as_f64);
    #[allow(clippy::cast_possible_truncation)] // RFC 7519 §2 allows fractions
    let issued = issued.map(|time| Timestamp::from_seconds(time as i64));
    let issued = issued.ok_or(OrderFault::WrongTime)?;
    let until = expiry_of(claims).unwrap_or_else(|| issued.plus(OLDEST));
    let is_over = until.plus(leeway) <= now || issued.plus(OLDEST).plus(leeway) <= now;
    if is_over || issued > now.plus(leeway) {
        return Err(OrderFault::WrongTime);
    }
    let events = claims.get("events").and_then(Value::as_object);
    if !events
        .and_then(|events| events.get(EVENT))
        .is_some_and(Value::is_object)
    {
        return Err(OrderFault::NoEvent);
    }
    if claims.contains_key("nonce") {
        return Err(OrderFault::HasNonce);
    }
    let id = text("jti").ok_or(OrderFault::NoId)?;
    let issuer = login.issuer.to_string();
    // With both, the one session is meant.
    let whose = match (text("sid"), text("sub")) {
        (Some(sid), _) => Whose::Sid { issuer, sid },
        (None, Some(subject)) => Whose::Subject { issuer, subject },
        (None, None) => return Err(OrderFault::Nobody),
    };
    let until = until.min(issued.plus(OLDEST)).plus(leeway);
    Ok(Order { whose, id, until })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::{self, ISSUER, NOW};

    fn read(changes: Value) -> Result<Order, OrderFault> {
        let now = NOW.seconds();
        let mut claims = json!({
            "iss": ISSUER, "aud": "kubeflow-oidc-authservice", "iat": now, "exp": now + 120,
            "jti": "j1", "sid": "s1", "sub": "u1", "events": {EVENT: {}},
        });
        let claims = claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => claims.remove(name),
                value => claims.insert(name.clone(), value.clone()),
            };
        }
        order(&fixture::login(), claims, NOW)
    }

    #[test]
    fn an_order_ends_one_session_or_all_of_a_person() {
        let sid = read(json!({})).unwrap();
        let issuer = ISSUER.to_owned();
        assert_eq!(
            sid.whose,
            Whose::Sid {
                issuer: issuer.clone(),
                sid: "s1".into()
            }
        );
        assert_eq!(sid.id, "j1");
        let all = read(json!({"sid": null, "aud": ["x", "kubeflow-oidc-authservice"]})).unwrap();
        let subject = "u1".into();
        assert_eq!(all.whose, Whose::Subject { issuer, subject });
        assert!(read(json!({"exp": null, "sub": null})).is_ok());
    }

    #[test]
    fn each_rule_has_its_own_fault() {
        let now = NOW.seconds();
        for (changes, fault) in [
            (json!({"iss": "https://other"}), OrderFault::WrongIssuer),
            (json!({"iss": null}), OrderFault::WrongIssuer),
            (json!({"aud": "other"}), OrderFault::WrongAudience),
            (json!({"aud": null}), OrderFault::WrongAudience),
            (json!({"aud": []}), OrderFault::WrongAudience),
            (json!({"iat": null}), OrderFault::WrongTime),
            (json!({"iat": "now"}), OrderFault::WrongTime),
            (json!({"iat": now + 61}), OrderFault::WrongTime),
            (
                json!({"iat": now - 661, "exp": now + 9}),
                OrderFault::WrongTime,
            ),
            (json!({"exp": now - 60}), OrderFault::WrongTime),
            (json!({"events": null}), OrderFault::NoEvent),
            (json!({"events": {}}), OrderFault::NoEvent),
            (json!({"events": {EVENT: true}}), OrderFault::NoEvent),
            (json!({"events": [EVENT]}), OrderFault::NoEvent),
            (json!({"events": {"other": {}}}), OrderFault::NoEvent),
            (json!({"nonce": "n"}), OrderFault::HasNonce),
            (json!({"nonce": ""}), OrderFault::HasNonce),
            (json!({"jti": null}), OrderFault::NoId),
            (json!({"jti": ""}), OrderFault::NoId),
            (json!({"sid": null, "sub": null}), OrderFault::Nobody),
            (json!({"sid": 1, "sub": ""}), OrderFault::Nobody),
        ] {
            assert_eq!(read(changes.clone()), Err(fault), "{changes}");
        }
    }

    #[test]
    fn the_issuer_is_told_who_signs_out_and_where_to_send_them() {
        let mut login = fixture::login();
        let site = fixture::site();
        let url = end_session_url(&login, "https://i/end?x=1#f", "e.p.s", &site, "");
        assert_eq!(
            url,
            "https://i/end?x=1&id_token_hint=e.p.s&client_id=kubeflow-oidc-authservice\
             &post_logout_redirect_uri=http%3A%2F%2Fkubeflow.example%3A8080%2Foauth2%2Fsigned_out"
        );
        login.cookie_secure = true;
        let url = end_session_url(&login, "https://i/end", "t", &site, "/a");
        assert!(url.contains("https%3A%2F%2Fkubeflow.example"), "{url}");
        assert!(url.ends_with("&state=%2Fa"), "{url}");
    }
}
