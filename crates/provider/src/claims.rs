//! What stands in tokens.

use data_encoding::BASE64URL_NOPAD;
use model::names::{Duration, Timestamp};
use model::seams::Randomness;
use oidc::jose::SigningAlgorithm;
use serde_json::{Map, Value, json};

use crate::authorize::{Grant, Scopes};
use crate::subject::subject;

/// The part that both tokens of an answer share. Access tokens have Dex's shape: the same as ID
/// tokens, `aud` the client.
pub(crate) struct Claims<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) grant: &'a Grant,
    /// The scopes of this answer: the grant's, or fewer.
    pub(crate) scopes: &'a Scopes,
    pub(crate) now: Timestamp,
    pub(crate) lifetime: Duration,
    /// What the tokens are signed with.
    pub(crate) algorithm: SigningAlgorithm,
}

impl Claims<'_> {
    /// Claims of an access token.
    pub(crate) fn access_token(&self, randomness: &dyn Randomness) -> Map<String, Value> {
        // Dex puts an `at_hash` here too, of a value that nobody ever sees.
        let hash = self.algorithm.left_half_hash(&random_word(randomness));
        self.shared(&hash, randomness)
    }

    /// Claims of the ID token that is given out with `access_token`, and with `code` at the first
    /// time.
    pub(crate) fn id_token(
        &self,
        access_token: &str,
        code: Option<&str>,
        randomness: &dyn Randomness,
    ) -> Map<String, Value> {
        let mut claims = self.shared(&self.algorithm.left_half_hash(access_token), randomness);
        if let Some(code) = code {
            let hash = self.algorithm.left_half_hash(code);
            claims.insert("c_hash".into(), hash.into());
        }
        claims
    }

    fn shared(&self, at_hash: &str, randomness: &dyn Randomness) -> Map<String, Value> {
        let Self {
            issuer,
            grant,
            scopes,
            now,
            lifetime,
            algorithm: _,
        } = self;
        let person = &grant.person;
        let mut claims = Map::new();
        let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        put("iss", (*issuer).into());
        put("sub", subject(&person.user_id, &person.connector).into());
        let mut audiences = scopes.audiences.clone();
        if !audiences.contains(&grant.client) {
            audiences.push(grant.client.clone());
        }
        if let [only] = audiences.as_slice() {
            put("aud", only.as_str().into());
        } else {
            put("aud", audiences.into());
            put("azp", grant.client.as_str().into());
        }
        put("exp", now.plus(*lifetime).seconds().into());
        put("iat", now.seconds().into());
        put("auth_time", person.signed_in_at.into());
        put("jti", random_word(randomness).into());
        if !grant.nonce.is_empty() {
            put("nonce", grant.nonce.as_str().into());
        }
        put("at_hash", at_hash.into());
        if scopes.email {
            put("email", person.email.as_str().into());
            put("email_verified", person.email_verified.into());
        }
        if scopes.groups && !person.groups.is_empty() {
            put("groups", person.groups.clone().into());
        }
        if scopes.profile && !person.name.is_empty() {
            put("name", person.name.as_str().into());
        }
        if scopes.profile && !person.preferred_username.is_empty() {
            put(
                "preferred_username",
                person.preferred_username.as_str().into(),
            );
        }
        if scopes.federated_id {
            let origin = json!({ "connector_id": person.connector, "user_id": person.user_id });
            put("federated_claims", origin);
        }
        claims
    }
}

/// 128 unpredictable bits as text.
pub(crate) fn random_word(randomness: &dyn Randomness) -> String {
    let mut bytes = [0; 16];
    randomness.fill(&mut bytes);
    BASE64URL_NOPAD.encode(&bytes)
}

#[cfg(test)]
mod tests {
    use oidc::jose::left_half_hash;

    use super::*;
    use crate::authorize::Person;
    use crate::fixture::SeededRandomness;

    fn grant() -> Grant {
        Grant {
            client: "kubeflow".into(),
            nonce: "n".into(),
            scopes: Scopes::default(),
            person: Person {
                user_id: "15841185641784".into(),
                connector: "local".into(),
                email: "user@example.com".into(),
                email_verified: false,
                name: "user".into(),
                preferred_username: String::new(),
                groups: vec!["a".into()],
                signed_in_at: 90,
            },
            challenge: None,
        }
    }

    /// The claims without those that are random.
    fn claims(grant: &Grant, scope: &str) -> Value {
        let scopes = Scopes::parse(scope).unwrap();
        let claims = Claims {
            issuer: "https://h/dex",
            grant,
            scopes: &scopes,
            now: Timestamp::from_seconds(100),
            lifetime: Duration::from_secs(60),
            algorithm: SigningAlgorithm::Rs256,
        };
        let mut map = claims.id_token(
            "example-access-token",
            Some("c"),
            &SeededRandomness::default(),
        );
        assert_eq!(map.remove("jti").unwrap().as_str().unwrap().len(), 22);
        Value::Object(map)
    }

    #[test]
    fn without_scopes_nothing_personal_is_told() {
        assert_eq!(
            claims(&grant(), "openid"),
            json!({
                "iss": "https://h/dex", "sub": "Cg4xNTg0MTE4NTY0MTc4NBIFbG9jYWw", "aud": "kubeflow",
                "exp": 160, "iat": 100, "auth_time": 90, "nonce": "n",
                "at_hash": "Z1P3Ll-e0JrOBqzfbrTXjQ", "c_hash": left_half_hash("c"),
            })
        );
    }

    #[test]
    fn each_scope_adds_its_claims_and_empty_ones_are_left_out() {
        let told = claims(&grant(), "openid email groups profile federated:id");
        assert_eq!(told["email"], "user@example.com");
        assert_eq!(told["email_verified"], false);
        assert_eq!(told["groups"], json!(["a"]));
        assert_eq!(told["name"], "user");
        assert_eq!(told.get("preferred_username"), None);
        assert_eq!(
            told["federated_claims"],
            json!({"connector_id": "local", "user_id": "15841185641784"})
        );
        let mut nobody = grant();
        nobody.person.groups.clear();
        nobody.nonce.clear();
        let told = claims(&nobody, "openid groups");
        assert_eq!((told.get("groups"), told.get("nonce")), (None, None));
    }

    #[test]
    fn several_audiences_are_a_list_with_the_client_as_party() {
        let told = claims(&grant(), "openid audience:server:client_id:peer");
        assert_eq!(told["aud"], json!(["peer", "kubeflow"]));
        assert_eq!(told["azp"], "kubeflow");
        let told = claims(&grant(), "openid audience:server:client_id:kubeflow");
        assert_eq!(told["aud"], "kubeflow");
        assert_eq!(told.get("azp"), None);
    }
}
