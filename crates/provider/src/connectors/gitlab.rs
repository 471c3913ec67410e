//! `gitlab`: OAuth 2.0 and the REST API v4.

use model::snapshot::GitLabConnector;
use serde_json::{Value, json};

use super::code_flow::{self, Proof};
use super::{Answered, ConnectorFault, Context, Identity, Move, Purpose, Question, Turn, wire};

/// Where a conversation stands.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Tokens for a code, or for the refresh token of somebody.
    Tokens { before: Option<String> },
    /// Who it is.
    Person {
        before: Option<String>,
        token: String,
        refresh: Option<String>,
    },
    /// The groups.
    Groups(Box<Identity>),
}

pub(super) fn begin(
    settings: &GitLabConnector,
    context: &Context,
    purpose: &Purpose<'_>,
) -> Turn<Stage> {
    let client = &settings.client;
    let endpoint = format!("{}/oauth/token", settings.base_url);
    match purpose {
        Purpose::Depart { state, .. } => {
            let scopes = match asks_groups(settings, context) {
                true => "read_user openid",
                false => "read_user",
            };
            let address = code_flow::departure(
                &format!("{}/oauth/authorize", settings.base_url),
                client,
                (&context.callback, state),
                scopes,
                &[],
            )?;
            Ok(Move::Depart(address))
        }
        Purpose::Return { query, .. } => {
            let code = code_flow::code(query)?;
            let request = code_flow::redeem(&endpoint, client, Proof::Form, (code, None))?;
            let stage = Stage::Tokens { before: None };
            Ok(Move::Ask(Question::Http(request), stage))
        }
        Purpose::Again { before } => {
            let held = before
                .held
                .as_ref()
                .and_then(|held| held.get("refresh_token"));
            let token = held.and_then(Value::as_str).ok_or(ConnectorFault::Gone)?;
            let request = code_flow::renew(&endpoint, client, Proof::Form, token)?;
            let before = Some(before.user_id.clone());
            Ok(Move::Ask(Question::Http(request), Stage::Tokens { before }))
        }
        Purpose::Password { .. } => Err(ConnectorFault::NotForThis),
    }
}

fn asks_groups(settings: &GitLabConnector, context: &Context) -> bool {
    context.wanted.groups || !settings.groups.is_empty()
}

impl Stage {
    pub(super) fn next(
        self,
        settings: &GitLabConnector,
        context: &Context,
        answered: Answered,
    ) -> Turn<Self> {
        match self {
            Self::Tokens { before } => {
                let tokens = match code_flow::tokens(answered) {
                    Err(ConnectorFault::Status(400 | 401)) if before.is_some() => {
                        return Err(ConnectorFault::Gone);
                    }
                    other => other?,
                };
                let url = format!("{}/api/v4/user", settings.base_url);
                let request = wire::get(&url, Some(&tokens.access_token))?;
                let stage = Self::Person {
                    before,
                    token: tokens.access_token,
                    refresh: tokens.refresh_token,
                };
                Ok(Move::Ask(Question::Http(request), stage))
            }
            Self::Person {
                before,
                token,
                refresh,
            } => {
                let identity = person(settings, &wire::json(answered)?, refresh)?;
                if before.is_some_and(|before| before != identity.user_id) {
                    return Err(ConnectorFault::Gone);
                }
                if !asks_groups(settings, context) {
                    return Ok(Move::Known(identity));
                }
                let url = format!("{}/oauth/userinfo", settings.base_url);
                let request = wire::get(&url, Some(&token))?;
                let stage = Self::Groups(Box::new(identity));
                Ok(Move::Ask(Question::Http(request), stage))
            }
            Self::Groups(mut identity) => {
                let told = wire::json(answered)?;
                let groups = texts(&told, "groups");
                let wanted = &settings.groups;
                if !wanted.is_empty()
                    && !groups
                        .iter()
                        .any(|group| wanted.iter().any(|one| **one == **group))
                {
                    return Err(ConnectorFault::NotAMember);
                }
                identity.groups = groups.clone();
                if settings.permissions {
                    for role in ["owner", "maintainer", "developer"] {
                        let with =
                            texts(&told, &format!("https://gitlab.org/claims/groups/{role}"));
                        identity
                            .groups
                            .extend(with.iter().map(|group| format!("{group}:{role}")));
                    }
                }
                Ok(Move::Known(*identity))
            }
        }
    }
}

fn texts(told: &Value, name: &str) -> Vec<String> {
    let list = told.get(name).and_then(Value::as_array);
    let list = list.into_iter().flatten().filter_map(Value::as_str);
    list.map(str::to_owned).collect()
}

fn person(
    settings: &GitLabConnector,
    told: &Value,
    refresh: Option<String>,
) -> Result<Identity, ConnectorFault> {
    let text = |name: &str| {
        let found = told.get(name).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    // Blocked people keep their tokens for a while.
    if told
        .get("state")
        .and_then(Value::as_str)
        .is_some_and(|state| state != "active")
    {
        return Err(ConnectorFault::Gone);
    }
    let login = text("username");
    let name = text("name");
    let email = text("email");
    let id = told.get("id").and_then(Value::as_i64);
    Ok(Identity {
        user_id: match settings.login_as_id {
            true => login.clone(),
            false => id.ok_or(ConnectorFault::Claim("id"))?.to_string(),
        },
        name: if name.is_empty() { email.clone() } else { name },
        preferred_username: login,
        email,
        email_verified: true,
        groups: Vec::new(),
        held: refresh.map(|token| json!({ "refresh_token": token })),
    })
}

#[cfg(test)]
mod tests {
    use model::names::Secret;
    use model::snapshot::{IssuerTls, UpstreamClient};

    use super::*;
    use crate::connectors::played::{Script, context, play};

    fn settings() -> GitLabConnector {
        GitLabConnector {
            client: UpstreamClient {
                id: "us".into(),
                secret: Secret::new("s"),
                redirect_uri: "https://us/dex/callback".into(),
            },
            base_url: "https://gitlab.com".into(),
            groups: Vec::new(),
            login_as_id: false,
            permissions: false,
            tls: IssuerTls::default(),
        }
    }

    /// Written after GitLab's documentation of `GET /user` and of its OpenID claims; the real one is
    /// a cloud.
    fn run(settings: &GitLabConnector) -> Result<Identity, ConnectorFault> {
        let mut script = Script::new([
            (
                "POST https://gitlab.com/oauth/token",
                json!({"access_token": "at", "refresh_token": "rt", "token_type": "bearer", "expires_in": 7200}),
            ),
            (
                "GET https://gitlab.com/api/v4/user",
                json!({"id": 12, "username": "jsmith", "name": "John Smith", "state": "active", "email": "john@example.com"}),
            ),
            (
                "GET https://gitlab.com/oauth/userinfo",
                json!({"sub": "12", "groups": ["team", "team/sub"], "https://gitlab.org/claims/groups/owner": ["team"]}),
            ),
        ]);
        play(
            &mut script,
            |purpose| begin(settings, &context(), purpose),
            |stage: Stage, answered| stage.next(settings, &context(), answered),
        )
    }

    #[test]
    fn who_it_is_and_the_groups() {
        let known = run(&settings()).unwrap();
        assert_eq!(
            (&*known.user_id, &*known.preferred_username),
            ("12", "jsmith")
        );
        assert_eq!(known.groups, ["team", "team/sub"]);
        assert_eq!(known.held, Some(json!({"refresh_token": "rt"})));
        let mut rules = settings();
        rules.login_as_id = true;
        rules.permissions = true;
        rules.groups = vec!["team/sub".into()];
        let known = run(&rules).unwrap();
        assert_eq!(known.user_id, "jsmith");
        assert_eq!(known.groups, ["team", "team/sub", "team:owner"]);
        rules.groups = vec!["other".into()];
        assert_eq!(run(&rules), Err(ConnectorFault::NotAMember));
    }
}
