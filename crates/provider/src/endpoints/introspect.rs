//! `POST /token/introspect` (RFC 7662), in the shape of Dex's answers.

use bytes::Bytes;
use http::{Method, Request};
use model::snapshot::{Introspection, ProviderClient};
use serde_json::{Map, Value, json};

use crate::answer;
use crate::form::Form;
use crate::grants::refresh::{Use, judge};
use crate::provider::{Answer, Provider};
use crate::refusal::{Refusal, TokenFault};
use crate::subject::subject;

/// Members that Dex puts below `ext`.
const EXTRA: [&str; 8] = [
    "azp",
    "email",
    "email_verified",
    "groups",
    "name",
    "preferred_username",
    "federated_claims",
    "sid",
];

impl Provider {
    pub(crate) async fn introspect(&self, request: &Request<Bytes>) -> Answer {
        if request.method() != Method::POST {
            return Err(TokenFault::NotPost.into());
        }
        let form = Form::of_body(request).map_err(TokenFault::from)?;
        let asker = match self.settings.protocol.introspection {
            Introspection::Authenticated => Some(self.proven_client(request, &form).await?),
            Introspection::Open => None,
        };
        let token = form.find("token").ok_or(TokenFault::NoToken)?;
        let found = self.describe(token, asker.as_ref()).await?;
        let inactive = || Map::from_iter([("active".to_owned(), false.into())]);
        Ok(answer::secret_json(&found.unwrap_or_else(inactive)))
    }

    /// What a token is; nothing when it is no live token, or none that `asker` may know of.
    async fn describe(
        &self,
        token: &str,
        asker: Option<&ProviderClient>,
    ) -> Result<Option<Map<String, Value>>, Refusal> {
        if let Some(claims) = self.live_claims(token).await? {
            let audiences = audiences(&claims);
            let client = claims
                .get("client_id")
                .or_else(|| claims.get("azp"))
                .and_then(Value::as_str)
                .or_else(|| audiences.first().copied())
                .unwrap_or_default();
            // RFC 7662 §4: a token is told of to those whom it is for.
            let may = asker.is_none_or(|asker| {
                *asker.id == *client || audiences.iter().any(|one| *one == &*asker.id)
            });
            return Ok(may.then(|| told(&claims, client)));
        }
        self.describe_refresh(token, asker).await
    }

    async fn describe_refresh(
        &self,
        token: &str,
        asker: Option<&ProviderClient>,
    ) -> Result<Option<Map<String, Value>>, Refusal> {
        let Some((name, secret)) = token.split_once('.') else {
            return Ok(None);
        };
        let issuer = &*self.settings.issuer;
        let Some(kept) = self.store.family(issuer, name, self.now()).await? else {
            return Ok(None);
        };
        let rules = self.settings.protocol.refresh;
        let verdict = judge(&kept, secret, rules, self.now());
        let live = matches!(verdict, Use::Rotate | Use::Stay | Use::Again | Use::Follow);
        if !live || asker.is_some_and(|asker| *asker.id != *kept.client) {
            return Ok(None);
        }
        let person = &kept.grant.person;
        let answer = json!({
            "active": true,
            "client_id": kept.client,
            "sub": subject(&person.user_id, &person.connector),
            "iat": kept.created_at,
            "nbf": kept.created_at,
            "username": person.preferred_username,
            "aud": kept.client,
            "iss": issuer,
            "token_type": "Bearer",
            "token_use": "refresh_token",
            "ext": {
                "email": person.email,
                "email_verified": person.email_verified,
                "groups": person.groups,
                "name": person.name,
                "preferred_username": person.preferred_username,
            },
        });
        Ok(answer.as_object().cloned())
    }
}

/// The audiences of a token.
pub(super) fn audiences(claims: &Map<String, Value>) -> Vec<&str> {
    match claims.get("aud") {
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(one)) => vec![one],
        _ => Vec::new(),
    }
}

fn told(claims: &Map<String, Value>, client: &str) -> Map<String, Value> {
    let mut told = Map::new();
    told.insert("active".into(), true.into());
    told.insert("client_id".into(), client.into());
    for name in [
        "sub",
        "exp",
        "iat",
        "aud",
        "iss",
        "jti",
        "scope",
        "acr",
        "auth_time",
        "cnf",
    ] {
        if let Some(value) = claims.get(name) {
            told.insert(name.into(), value.clone());
        }
    }
    if let Some(value) = claims.get("iat") {
        told.insert("nbf".into(), value.clone());
    }
    if let Some(value) = claims.get("preferred_username") {
        told.insert("username".into(), value.clone());
    }
    let kind = match claims.contains_key("cnf") {
        true => "DPoP",
        false => "Bearer",
    };
    told.insert("token_type".into(), kind.into());
    told.insert("token_use".into(), "access_token".into());
    let extra: Map<String, Value> = EXTRA
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), claims.get(*name)?.clone())))
        .collect();
    if !extra.is_empty() {
        told.insert("ext".into(), extra.into());
    }
    told
}
