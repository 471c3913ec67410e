//! RFC 8693: a token of ours for another one of ours, for an audience that trusts the client.

use model::names::Timestamp;
use model::snapshot::{Provider, ProviderClient};
use serde_json::{Map, Value};

use crate::authorize::{Grant, Person, Scopes, WantedClaims, trusts};
use crate::form::Form;
use crate::refusal::TokenFault;
use crate::subject::parse;

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    AccessToken,
    IdToken,
}

impl Wanted {
    /// `issued_token_type`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AccessToken => ACCESS_TOKEN,
            Self::IdToken => ID_TOKEN,
        }
    }
}

/// What the request wants, before the subject's token is looked at (§2.1).
pub(crate) fn wanted(form: &Form) -> Result<Wanted, TokenFault> {
    if form.find("subject_token").is_none() {
        return Err(TokenFault::NoSubjectToken);
    }
    match form.find("subject_token_type") {
        Some(ACCESS_TOKEN | ID_TOKEN | JWT) => {}
        _ => return Err(TokenFault::SubjectTokenType),
    }
    if form.find("actor_token").is_some() {
        return Err(TokenFault::ActorToken);
    }
    match form.find("requested_token_type") {
        None | Some(ACCESS_TOKEN | JWT) => Ok(Wanted::AccessToken),
        Some(ID_TOKEN) => Ok(Wanted::IdToken),
        Some(_) => Err(TokenFault::SubjectTokenType),
    }
}

/// What `client` is granted for the live token of ours that has `claims`. Its audience has to name
/// the client: a token that was stolen from somewhere else is worth nothing here. The new one tells
/// no more of the person than the old one did.
pub(crate) fn grant(
    settings: &Provider,
    client: &ProviderClient,
    form: &Form,
    claims: &Map<String, Value>,
) -> Result<Grant, TokenFault> {
    let addressed = match claims.get("aud") {
        Some(Value::Array(several)) => several.iter().any(|one| *one == *client.id),
        Some(one) => *one == *client.id,
        None => false,
    };
    if !addressed {
        return Err(TokenFault::ForeignSubject);
    }
    // A bound token is exchanged by nobody but its holder, who has not been asked for a proof of it.
    if claims.contains_key("cnf") {
        return Err(TokenFault::ForeignSubject);
    }
    let text = |name: &str| {
        let value = claims.get(name).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let (user_id, connector) = parse(&text("sub")).ok_or(TokenFault::ForeignSubject)?;
    let (asked, _) = Scopes::read(form.text("scope"));
    let mut audiences = asked.audiences.clone();
    audiences.extend(form.find("audience").map(str::to_owned));
    if !audiences.iter().all(|peer| trusts(settings, peer, client)) {
        return Err(TokenFault::UntrustingAudience);
    }
    if asked.offline_access || asked.federated_id {
        return Err(TokenFault::WrongScope);
    }
    let has = |name: &str| claims.contains_key(name);
    let unsaid = form.find("scope").is_none();
    let scopes = Scopes {
        email: (unsaid || asked.email) && has("email"),
        profile: (unsaid || asked.profile) && has("name"),
        groups: (unsaid || asked.groups) && has("groups"),
        audiences,
        ..Scopes::default()
    };
    let groups = claims.get("groups").and_then(Value::as_array);
    let strings = groups.into_iter().flatten().filter_map(Value::as_str);
    let time = |name: &str| claims.get(name).and_then(Value::as_i64);
    Ok(Grant {
        id: String::new(),
        client: client.id.to_string(),
        nonce: String::new(),
        scopes,
        person: Person {
            held: None,
            user_id,
            connector,
            email: text("email"),
            email_verified: claims.get("email_verified") == Some(&Value::Bool(true)),
            name: text("name"),
            preferred_username: text("preferred_username"),
            groups: strings.map(str::to_owned).collect(),
            signed_in_at: time("auth_time")
                .or_else(|| time("iat"))
                .unwrap_or_default(),
        },
        challenge: None,
        session: claims.get("sid").and_then(Value::as_str).map(str::to_owned),
        claims: WantedClaims::default(),
        key: None,
    })
}

/// When the token that is exchanged ends: the new one does not outlive it.
pub(crate) fn ends(claims: &Map<String, Value>) -> Option<Timestamp> {
    let expiry = claims.get("exp").and_then(Value::as_i64)?;
    Some(Timestamp::from_seconds(expiry))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture;

    fn form(more: &str) -> Form {
        Form::parse(more.as_bytes()).unwrap()
    }

    #[test]
    fn a_request_names_known_types() {
        let typed = |kind: &str| {
            let pairs = [("subject_token", "t"), ("subject_token_type", kind)];
            crate::form::query(&pairs)
        };
        assert_eq!(wanted(&form(&typed(ID_TOKEN))), Ok(Wanted::AccessToken));
        let both = format!("{}&requested_token_type={ID_TOKEN}", typed(ACCESS_TOKEN));
        assert_eq!(wanted(&form(&both)), Ok(Wanted::IdToken));
        for (more, fault) in [
            (String::new(), TokenFault::NoSubjectToken),
            ("subject_token=t".into(), TokenFault::SubjectTokenType),
            (typed("urn:x"), TokenFault::SubjectTokenType),
            (
                format!("{}&requested_token_type=urn:x", typed(JWT)),
                TokenFault::SubjectTokenType,
            ),
            (
                format!("{}&actor_token=t", typed(JWT)),
                TokenFault::ActorToken,
            ),
        ] {
            assert_eq!(wanted(&form(&more)), Err(fault), "{more}");
        }
    }

    #[test]
    fn the_new_token_is_for_who_trusts_the_client_and_tells_no_more() {
        let settings = fixture::settings();
        let claims = json!({
            "sub": "Cg4xNTg0MTE4NTY0MTc4NBIFbG9jYWw", "aud": "kubeflow", "email": "a@b",
            "email_verified": true, "auth_time": 7, "exp": 9,
        });
        let claims = claims.as_object().unwrap();
        let run = |claims: &Map<String, Value>, more: &str| {
            grant(&settings, &settings.clients[0], &form(more), claims)
        };
        let found = run(claims, "audience=peer").unwrap();
        assert_eq!(found.scopes.audiences, ["peer"]);
        assert_eq!(found.person.user_id, "15841185641784");
        assert!(found.scopes.email && !found.scopes.groups && !found.scopes.profile);
        let narrow = run(claims, "scope=openid+groups").unwrap();
        assert!(!narrow.scopes.email && !narrow.scopes.groups);
        for (more, fault) in [
            ("audience=other", TokenFault::UntrustingAudience),
            ("audience=nobody", TokenFault::UntrustingAudience),
            (
                "scope=audience:server:client_id:other",
                TokenFault::UntrustingAudience,
            ),
            ("scope=offline_access", TokenFault::WrongScope),
        ] {
            assert_eq!(run(claims, more).unwrap_err(), fault, "{more}");
        }
        for change in [
            json!({"aud": "other"}),
            json!({"aud": ["other", "peer"]}),
            json!({"sub": "not ours"}),
            json!({"cnf": {"jkt": "x"}}),
        ] {
            let mut bad = claims.clone();
            bad.extend(change.as_object().unwrap().clone());
            assert_eq!(run(&bad, "").unwrap_err(), TokenFault::ForeignSubject);
        }
    }
}
