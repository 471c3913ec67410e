//! Request objects (RFC 9101, OpenID Connect Core §6): an authorization request that its client
//! signed.

use model::names::Timestamp;
use model::snapshot::ProviderClient;
use oidc::jose::{KeySet, verify, verify_with_secret};
use oidc::wire::ErrorCode;
use serde_json::Value;

use super::check::Reason;
use crate::form::Form;

/// How far a client's clock may be off, seconds.
const LEEWAY: i64 = 60;

/// Members of the object that are about the object and not about the request.
const ABOUT_OBJECT: [&str; 7] = ["iss", "aud", "exp", "nbf", "iat", "jti", "sub"];

/// The request that `form` makes with its object opened: what the object says counts, what it does
/// not say is the query's word (OpenID Connect Core §6.1).
pub(crate) fn opened(
    form: &Form,
    client: &ProviderClient,
    issuer: &str,
    now: Timestamp,
) -> Result<Form, Reason> {
    let Some(object) = form.find("request") else {
        return Ok(form.clone());
    };
    let unsupported = (
        ErrorCode::RequestNotSupported,
        "the client has no key for request objects",
    );
    let bad = |reason| (ErrorCode::InvalidRequestObject, reason);
    let wrong = bad("the request object is not signed by the client");
    let claims = match &client.rules.keys {
        Some(keys) => {
            let keys = KeySet::from_json(keys).map_err(|_| unsupported)?;
            verify(object, &keys).map_err(|_| wrong)?
        }
        None if client.rules.requests == model::snapshot::RequestRule::Any
            && !client.public
            && oidc::jose::peek_header(object).is_ok_and(|(alg, _)| alg == "HS256") =>
        {
            verify_with_secret(object, client.secret.expose()).map_err(|_| wrong)?
        }
        None => return Err(unsupported),
    };
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let seconds = |name: &str| claims.get(name).map(Value::as_i64);
    // RFC 9101 §10.8: made for another purpose, by somebody else, or for somebody else.
    let foreign = text("iss").is_some_and(|iss| iss != &*client.id)
        || text("client_id").is_some_and(|id| id != &*client.id)
        || claims.contains_key("sub");
    let aimed = match claims.get("aud") {
        None => true,
        Some(Value::Array(several)) => several.iter().any(|one| one == issuer),
        Some(one) => one == issuer,
    };
    if foreign || !aimed {
        return Err(bad("the request object is not for this request"));
    }
    let early = |value: Option<i64>| value.is_none_or(|start| start > now.seconds() + LEEWAY);
    let late = |value: Option<i64>| value.is_none_or(|end| end <= now.seconds() - LEEWAY);
    if seconds("exp").is_some_and(late) || seconds("nbf").is_some_and(early) {
        return Err(bad("the request object is not valid now"));
    }
    if claims.contains_key("request") || claims.contains_key("request_uri") {
        return Err(bad("a request object cannot hold another"));
    }
    for same in ["response_type", "client_id"] {
        let differ =
            text(same).is_some_and(|inner| form.find(same).is_some_and(|outer| outer != inner));
        if differ {
            return Err(bad(
                "the request object says something else than the request",
            ));
        }
    }
    let inner = claims
        .iter()
        .filter(|(name, _)| !ABOUT_OBJECT.contains(&name.as_str()))
        .map(|(name, value)| {
            let value = match value {
                Value::String(text) => text.clone(),
                // `claims` is an object there, `max_age` a number.
                other => other.to_string(),
            };
            (name.clone(), value)
        });
    Ok(form.clone().without("request").overridden(inner))
}

#[cfg(test)]
mod tests {
    use model::names::Secret;
    use oidc::jose::{SigningAlgorithm, SigningKey, sign_with_secret};
    use serde_json::json;

    use super::*;
    use crate::fixture::{self, SECRET};

    const NOW: i64 = 1_700_000_000;

    fn run(client: &ProviderClient, object: &str, more: &str) -> Result<Form, ErrorCode> {
        let query = format!("client_id=kubeflow&state=outer&request={object}{more}");
        let form = Form::parse(query.as_bytes()).unwrap();
        let now = Timestamp::from_seconds(NOW);
        opened(&form, client, fixture::ISSUER, now).map_err(|(code, _)| code)
    }

    #[test]
    fn the_object_counts_and_the_query_fills_in() {
        let key = SigningKey::generate_for(SigningAlgorithm::Es256, "k".into()).unwrap();
        let mut client = fixture::client("kubeflow", &["/cb"]);
        client.rules.keys = Some(json!({ "keys": [key.jwk()] }).to_string().into());
        let sign = |claims: Value| key.sign(claims.as_object().unwrap()).unwrap();
        let object = sign(json!({
            "iss": "kubeflow", "aud": fixture::ISSUER, "exp": NOW + 60, "client_id": "kubeflow",
            "redirect_uri": "/inner", "max_age": 7, "claims": {"userinfo": {"name": null}},
        }));
        let form = run(&client, &object, "&redirect_uri=/outer&scope=openid").unwrap();
        assert_eq!(form.text("redirect_uri"), "/inner");
        assert_eq!(
            (form.text("scope"), form.text("state")),
            ("openid", "outer")
        );
        assert_eq!(form.text("max_age"), "7");
        assert_eq!(form.text("claims"), r#"{"userinfo":{"name":null}}"#);
        assert_eq!(form.find("request"), None);
        assert_eq!(form.find("iss"), None);
        for bad in [
            json!({"iss": "other"}),
            json!({"client_id": "other"}),
            json!({"aud": "https://elsewhere"}),
            json!({"exp": NOW - 60}),
            json!({"exp": "x"}),
            json!({"nbf": NOW + 61}),
            json!({"request": "x"}),
            json!({"request_uri": "x"}),
            json!({"sub": "kubeflow"}),
            json!({"response_type": "id_token"}),
        ] {
            let seen = run(&client, &sign(bad.clone()), "&response_type=code");
            assert_eq!(seen, Err(ErrorCode::InvalidRequestObject), "{bad}");
        }
        let stranger = SigningKey::generate_for(SigningAlgorithm::Es256, "k".into()).unwrap();
        let forged = stranger.sign(json!({}).as_object().unwrap()).unwrap();
        for bad in [forged.as_str(), "x", "eyJhbGciOiJub25lIn0.e30."] {
            assert_eq!(run(&client, bad, ""), Err(ErrorCode::InvalidRequestObject));
        }
    }

    #[test]
    fn a_secret_signs_too_and_without_a_key_there_is_no_object() {
        let client = fixture::client("kubeflow", &["/cb"]);
        let claims = json!({"redirect_uri": "/inner"})
            .as_object()
            .unwrap()
            .clone();
        let good = sign_with_secret(&claims, SECRET.as_bytes()).unwrap();
        assert_eq!(
            run(&client, &good, "").unwrap().text("redirect_uri"),
            "/inner"
        );
        let forged = sign_with_secret(&claims, b"guess").unwrap();
        assert_eq!(
            run(&client, &forged, ""),
            Err(ErrorCode::InvalidRequestObject)
        );
        assert_eq!(run(&client, "x", ""), Err(ErrorCode::RequestNotSupported));
        let mut public = client;
        public.public = true;
        public.secret = Secret::new("");
        let empty = sign_with_secret(&claims, b"x").unwrap();
        assert_eq!(
            run(&public, &empty, ""),
            Err(ErrorCode::RequestNotSupported)
        );
    }
}
