//! `oauth`: an upstream with authorization codes that is no OpenID provider; who somebody is stands
//! in a document of its own.

use data_encoding::BASE64URL_NOPAD;
use model::snapshot::OAuthConnector;
use serde_json::{Map, Value};

use super::code_flow::{self, Proof};
use super::{Answered, ConnectorFault, Context, Identity, Move, Purpose, Question, Turn, wire};

/// Where a conversation stands.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Tokens for the code.
    Tokens,
    /// Who it is; the access token may tell of groups, too.
    Person(String),
}

pub(super) fn begin(
    settings: &OAuthConnector,
    context: &Context,
    purpose: &Purpose<'_>,
) -> Turn<Stage> {
    let client = &settings.client;
    match purpose {
        Purpose::Depart { state, .. } => Ok(Move::Depart(code_flow::departure(
            &settings.authorization_url,
            client,
            (&context.callback, state),
            &settings.scopes.join(" "),
            &[],
        )?)),
        Purpose::Return { query, .. } => {
            let code = code_flow::code(query)?;
            let request =
                code_flow::redeem(&settings.token_url, client, Proof::Form, (code, None))?;
            Ok(Move::Ask(Question::Http(request), Stage::Tokens))
        }
        Purpose::Password { .. } | Purpose::Again { .. } => Err(ConnectorFault::NotForThis),
    }
}

impl Stage {
    pub(super) fn next(
        self,
        settings: &OAuthConnector,
        context: &Context,
        answered: Answered,
    ) -> Turn<Self> {
        match self {
            Self::Tokens => {
                let token = code_flow::tokens(answered)?.access_token;
                let request = wire::get(&settings.user_info_url, Some(&token))?;
                Ok(Move::Ask(Question::Http(request), Self::Person(token)))
            }
            Self::Person(token) => {
                let told = wire::json(answered)?;
                let told = told
                    .as_object()
                    .ok_or(ConnectorFault::Answer("the user info is no object"))?;
                Ok(Move::Known(identity(settings, context, told, &token)?))
            }
        }
    }
}

fn identity(
    settings: &OAuthConnector,
    context: &Context,
    told: &Map<String, Value>,
    token: &str,
) -> Result<Identity, ConnectorFault> {
    let text = |key: &str| match told.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let user_id = text(&settings.user_id_key);
    if user_id.is_empty() {
        return Err(ConnectorFault::Claim("userIDKey"));
    }
    let mut groups = Vec::new();
    if context.wanted.groups {
        named(told.get(&*settings.groups_key), &mut groups);
        // Of a token that came straight from the upstream the signature proves nothing more.
        let claims = payload(token);
        named(claims.get(&*settings.groups_key), &mut groups);
    }
    Ok(Identity {
        user_id,
        name: text(&settings.user_name_key),
        preferred_username: text(&settings.preferred_username_key),
        email: text(&settings.email_key),
        email_verified: told.get(&*settings.email_verified_key) == Some(&Value::Bool(true)),
        groups,
        held: None,
    })
}

fn payload(token: &str) -> Map<String, Value> {
    let claims = token.split('.').nth(1).unwrap_or_default();
    let claims = BASE64URL_NOPAD.decode(claims.as_bytes()).ok();
    claims
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

/// Texts, or objects with a name.
fn named(told: Option<&Value>, groups: &mut Vec<String>) {
    for one in told.and_then(Value::as_array).into_iter().flatten() {
        let name = one
            .as_str()
            .or_else(|| one.get("name").and_then(Value::as_str));
        if let Some(name) = name
            && !groups.iter().any(|known| known == name)
        {
            groups.push(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use model::names::Secret;
    use model::snapshot::{IssuerTls, UpstreamClient};
    use serde_json::json;

    use super::*;
    use crate::connectors::played::{Script, context, depart, play};

    fn settings() -> OAuthConnector {
        OAuthConnector {
            client: UpstreamClient {
                id: "us".into(),
                secret: Secret::new("s"),
                redirect_uri: "https://us/dex/callback".into(),
            },
            token_url: "https://up/token".into(),
            authorization_url: "https://up/auth".into(),
            user_info_url: "https://up/me".into(),
            scopes: vec!["a".into(), "b".into()],
            tls: IssuerTls::default(),
            user_id_key: "id".into(),
            user_name_key: "user_name".into(),
            preferred_username_key: "preferred_username".into(),
            groups_key: "groups".into(),
            email_key: "email".into(),
            email_verified_key: "email_verified".into(),
        }
    }

    #[test]
    fn people_are_sent_with_the_scopes_of_the_settings() {
        let sent = begin(&settings(), &context(), &depart()).unwrap();
        let Move::Depart(address) = sent else {
            panic!("{sent:?}")
        };
        let wanted = "https://up/auth?client_id=us&redirect_uri=https%3A%2F%2Fus%2Fdex%2Fcallback&response_type=code&scope=a+b&state=s";
        assert_eq!(address, wanted);
    }

    #[test]
    fn who_it_is_stands_in_the_document_and_groups_in_the_token_too() {
        let claims = BASE64URL_NOPAD.encode(br#"{"groups":["b",{"name":"c"},7]}"#);
        let token = format!("x.{claims}.y");
        let told = json!({"id": 7, "user_name": "N", "email": "n@e", "email_verified": true,
                          "groups": ["a", "b"]});
        let mut script = Script::new([
            ("POST https://up/token", json!({"access_token": token})),
            ("GET https://up/me", told),
        ]);
        let settings = settings();
        let begun = |purpose: &Purpose<'_>| begin(&settings, &context(), purpose);
        let known = play(&mut script, begun, |stage: Stage, answered| {
            stage.next(&settings, &context(), answered)
        });
        let known = known.unwrap();
        assert_eq!(
            (&*known.user_id, &*known.name, &*known.email),
            ("7", "N", "n@e")
        );
        assert!(known.email_verified);
        assert_eq!(known.groups, ["a", "b", "c"]);
        assert!(script.bodies[0].ends_with("&client_id=us&client_secret=s"));
        assert_eq!(script.bearers[1], format!("Bearer {token}"));
    }
}
