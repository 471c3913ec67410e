//! RFC 6749 §4.4: a client for itself.

use model::names::Timestamp;
use model::snapshot::{Provider, ProviderClient};

use crate::authorize::{Grant, Person, Scopes, WantedClaims, trusts};
use crate::form::Form;
use crate::refusal::TokenFault;

/// What a client is granted for itself, and whether it asked for an ID token.
pub(crate) fn grant(
    settings: &Provider,
    client: &ProviderClient,
    form: &Form,
    now: Timestamp,
) -> Result<(Grant, bool), TokenFault> {
    if client.public {
        return Err(TokenFault::ForbiddenGrant);
    }
    let (scopes, openid) = Scopes::read(form.text("scope"));
    if scopes.offline_access || scopes.federated_id {
        return Err(TokenFault::WrongScope);
    }
    let trusted = |peer: &String| trusts(settings, peer, client);
    if !scopes.audiences.iter().all(trusted) {
        return Err(TokenFault::WrongScope);
    }
    let grant = Grant {
        id: String::new(),
        client: client.id.to_string(),
        nonce: String::new(),
        scopes,
        // Dex's `sub` of a client: its id, without a connector.
        person: Person {
            user_id: client.id.to_string(),
            connector: String::new(),
            email: String::new(),
            email_verified: false,
            name: client.name.to_string(),
            preferred_username: String::new(),
            groups: client.own_groups.iter().map(ToString::to_string).collect(),
            signed_in_at: now.seconds(),
            held: None,
        },
        challenge: None,
        session: None,
        claims: WantedClaims::default(),
        key: None,
    };
    Ok((grant, openid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_confidential_client_gets_what_is_its_own() {
        let settings = fixture::settings();
        let run = |client: usize, scope: &str| {
            let form = Form::parse(format!("scope={scope}").as_bytes()).unwrap();
            let now = Timestamp::from_seconds(1);
            grant(&settings, &settings.clients[client], &form, now)
        };
        let (found, openid) = run(0, "").unwrap();
        assert_eq!((found.person.user_id.as_str(), openid), ("kubeflow", false));
        assert!(run(0, "openid+audience:server:client_id:peer").unwrap().1);
        for (client, scope, fault) in [
            (3, "", TokenFault::ForbiddenGrant),
            (0, "offline_access", TokenFault::WrongScope),
            (0, "federated:id", TokenFault::WrongScope),
            (0, "audience:server:client_id:other", TokenFault::WrongScope),
        ] {
            assert_eq!(run(client, scope).unwrap_err(), fault, "{scope}");
        }
    }
}
