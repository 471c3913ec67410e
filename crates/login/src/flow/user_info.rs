//! The userinfo endpoint (OpenID Connect Core §5.3): when it is asked, and what of its answer counts.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use model::snapshot::{Login, LoginClientAuth, UserInfo};
use oidc::discovery::ProviderMetadata;
use serde_json::{Map, Value};

use super::identity::{find, find_text};
use crate::issuer::IssuerFault;

/// Why its answer is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserInfoFault {
    /// It could not be asked, or its answer cannot be read.
    Issuer(IssuerFault),
    /// It speaks of somebody else than the ID token (§5.3.4), or, signed, for somebody else.
    AnotherPerson,
    /// It is signed, and the signature is not proven.
    Unproven,
}

/// What it answered.
pub(crate) enum Said {
    /// Claims as they stand.
    Claims(Map<String, Value>),
    /// A signed statement of them, whose signature has to be proven.
    Signed(String),
}

/// Whether it is asked about whom an ID token with these claims describes.
pub(crate) fn is_wanted(login: &Login, claims: &Map<String, Value>) -> bool {
    match login.user_info {
        UserInfo::Always => true,
        UserInfo::Never => false,
        UserInfo::WhenMissing => {
            find_text(claims, &login.user_claim).is_none()
                || find_text(claims, &login.email_claim).is_none()
                || find(claims, &login.groups_claim).is_none()
        }
    }
}

/// Where it is; `None` when the issuer has none.
pub(crate) fn endpoint<'a>(
    login: &'a Login,
    metadata: Option<&'a ProviderMetadata>,
) -> Option<&'a str> {
    if let Some(url) = &login.user_info_url {
        return Some(url);
    }
    let metadata = metadata?;
    let alias = metadata.mtls_endpoint_aliases.get("userinfo_endpoint");
    match &login.client_auth {
        LoginClientAuth::Tls => alias.map(String::as_str),
        _ => None,
    }
    .or(metadata.userinfo_endpoint.as_deref())
}

/// What is asked (RFC 6750 §2.1: the token is in the header, never in the address).
pub(crate) fn request(endpoint: &str, access_token: &str) -> Result<Request<Bytes>, IssuerFault> {
    let value = format!("Bearer {access_token}");
    let mut value = HeaderValue::from_str(&value).map_err(|_| IssuerFault::Unreadable)?;
    value.set_sensitive(true);
    Request::builder()
        .method(Method::GET)
        .uri(endpoint)
        .header(ACCEPT, "application/json, application/jwt")
        .header(AUTHORIZATION, value)
        .body(Bytes::new())
        .map_err(|_| IssuerFault::BadAddress)
}

/// Reads the answer (§5.3.2).
pub(crate) fn answered(answer: &Response<Bytes>) -> Result<Said, UserInfoFault> {
    if answer.status() != StatusCode::OK {
        return Err(UserInfoFault::Issuer(IssuerFault::Status(answer.status())));
    }
    let kind = answer.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let unreadable = || UserInfoFault::Issuer(IssuerFault::Unreadable);
    if kind.eq_ignore_ascii_case("application/jwt") {
        let text = std::str::from_utf8(answer.body()).map_err(|_| unreadable())?;
        return Ok(Said::Signed(text.trim().to_owned()));
    }
    serde_json::from_slice(answer.body())
        .map(Said::Claims)
        .map_err(|_| unreadable())
}

/// A signed answer is for us, by the issuer (§5.3.2).
pub(crate) fn is_for(login: &Login, info: &Map<String, Value>) -> Result<(), UserInfoFault> {
    let issuer = info.get("iss").and_then(Value::as_str);
    let audience = match info.get("aud") {
        Some(Value::String(one)) => *one == *login.client_id,
        Some(Value::Array(many)) => many.iter().any(|one| *one == *login.client_id),
        _ => false,
    };
    match issuer == Some(&login.issuer) && audience {
        true => Ok(()),
        false => Err(UserInfoFault::AnotherPerson),
    }
}

/// It must speak of whom the ID token speaks of (§5.3.4: what has another `sub` must not be used).
pub(crate) fn is_about(
    claims: &Map<String, Value>,
    info: &Map<String, Value>,
) -> Result<(), UserInfoFault> {
    let subject = info.get("sub").and_then(Value::as_str);
    match subject.is_some() && subject == claims.get("sub").and_then(Value::as_str) {
        true => Ok(()),
        false => Err(UserInfoFault::AnotherPerson),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn it_is_asked_when_something_is_missing() {
        let mut login = fixture::login();
        let whole = json!({"sub": "s", "email": "a@b.c", "groups": []});
        assert!(!is_wanted(&login, &map(whole.clone())));
        for gone in ["sub", "email", "groups"] {
            let mut claims = map(whole.clone());
            claims.remove(gone);
            assert!(is_wanted(&login, &claims), "{gone}");
            login.user_info = UserInfo::Never;
            assert!(!is_wanted(&login, &claims));
            login.user_info = UserInfo::WhenMissing;
        }
        login.user_info = UserInfo::Always;
        assert!(is_wanted(&login, &map(whole)));
    }

    #[test]
    fn its_address_is_the_configured_one_else_the_issuers() {
        let mut login = fixture::login();
        let metadata = ProviderMetadata {
            userinfo_endpoint: Some("https://i/info".to_owned()),
            mtls_endpoint_aliases: [("userinfo_endpoint".to_owned(), "https://m/info".to_owned())]
                .into(),
            ..ProviderMetadata::default()
        };
        assert_eq!(endpoint(&login, None), None);
        assert_eq!(endpoint(&login, Some(&metadata)), Some("https://i/info"));
        login.client_auth = LoginClientAuth::Tls;
        assert_eq!(endpoint(&login, Some(&metadata)), Some("https://m/info"));
        login.user_info_url = Some("https://own/".into());
        assert_eq!(endpoint(&login, Some(&metadata)), Some("https://own/"));
    }

    #[test]
    fn only_what_speaks_of_the_same_person_counts() {
        let claims = map(json!({"sub": "s"}));
        assert_eq!(is_about(&claims, &map(json!({"sub": "s"}))), Ok(()));
        for other in [
            json!({"sub": "t"}),
            json!({}),
            json!({"sub": ["s"]}),
            json!({"sub": null}),
        ] {
            assert_eq!(
                is_about(&claims, &map(other)),
                Err(UserInfoFault::AnotherPerson)
            );
        }
        assert!(is_about(&Map::new(), &Map::new()).is_err());
        let login = fixture::login();
        let (issuer, client) = (&*login.issuer, &*login.client_id);
        for (info, fits) in [
            (json!({"iss": issuer, "aud": client}), true),
            (json!({"iss": issuer, "aud": ["x", client]}), true),
            (json!({"iss": issuer}), false),
            (json!({"aud": client}), false),
            (json!({"iss": "https://other", "aud": client}), false),
            (json!({"iss": issuer, "aud": "other"}), false),
        ] {
            assert_eq!(is_for(&login, &map(info.clone())).is_ok(), fits, "{info}");
        }
    }

    #[test]
    fn answers_are_json_or_signed() {
        let answer = |status: u16, kind: &str, body: &'static str| {
            let answer = Response::builder()
                .status(status)
                .header(CONTENT_TYPE, kind);
            answered(&answer.body(Bytes::from(body)).unwrap())
        };
        assert!(matches!(
            answer(200, "application/json", r#"{"sub":"s"}"#),
            Ok(Said::Claims(_))
        ));
        assert!(matches!(
            answer(200, "application/jwt; charset=utf-8", "a.b.c"),
            Ok(Said::Signed(_))
        ));
        for (status, body) in [
            (200, "[]"),
            (200, ""),
            (200, "a.b.c"),
            (401, "{}"),
            (302, "{}"),
        ] {
            assert!(matches!(
                answer(status, "application/json", body),
                Err(UserInfoFault::Issuer(_))
            ));
        }
        let request = request("https://i/info", "token").unwrap();
        assert!(request.headers()[AUTHORIZATION].is_sensitive());
        assert!(super::request("https://i/info", "line\nbreak").is_err());
    }
}
