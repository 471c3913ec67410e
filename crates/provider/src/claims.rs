//! What stands in tokens.

use data_encoding::BASE64URL_NOPAD;
use model::names::{Duration, Timestamp};
use model::seams::Randomness;
use model::snapshot::Conformance;
use oidc::jose::SigningAlgorithm;
use serde_json::{Map, Value, json};

use crate::authorize::{Grant, Scopes, class, methods};
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
    pub(crate) conformance: Conformance,
}

impl Claims<'_> {
    /// Claims of an access token.
    pub(crate) fn access_token(&self, randomness: &dyn Randomness) -> Map<String, Value> {
        // Dex puts an `at_hash` here too, of a value that nobody ever sees.
        let hash = self.algorithm.left_half_hash(&random_word(randomness));
        self.shared(Some(hash), &self.grant.claims.user_info, randomness)
    }

    /// Claims of an access token as RFC 9068 §2.2 has them; what the scopes tell of the person is in
    /// it, so that user info needs no row.
    pub(crate) fn jwt_access_token(&self, randomness: &dyn Randomness) -> Map<String, Value> {
        let mut claims = self.shared(None, &self.grant.claims.user_info, randomness);
        claims.shift_remove("nonce");
        claims.insert("client_id".into(), self.grant.client.as_str().into());
        claims.insert("scope".into(), self.scopes.text().into());
        claims
    }

    /// Claims of the ID token that is given out with `access_token`, and with `code` at the first
    /// time.
    pub(crate) fn id_token(
        &self,
        access_token: Option<&str>,
        code: Option<&str>,
        randomness: &dyn Randomness,
    ) -> Map<String, Value> {
        let hash = access_token.map(|token| self.algorithm.left_half_hash(token));
        let mut claims = self.shared(hash, &self.grant.claims.id_token, randomness);
        // The token for the client itself is bound to nothing.
        claims.shift_remove("cnf");
        if let Some(code) = code {
            let hash = self.algorithm.left_half_hash(code);
            claims.insert("c_hash".into(), hash.into());
        }
        claims
    }

    fn shared(
        &self,
        at_hash: Option<String>,
        wanted: &[String],
        randomness: &dyn Randomness,
    ) -> Map<String, Value> {
        let Self {
            issuer,
            grant,
            scopes,
            now,
            lifetime,
            algorithm: _,
            conformance,
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
        let wants = |name: &str| wanted.iter().any(|one| one == name);
        if *conformance == Conformance::Strict || grant.session.is_some() || wants("acr") {
            put("acr", class(person).into());
            put("amr", methods(person).into());
        }
        if let Some(sid) = &grant.session {
            put("sid", sid.as_str().into());
        }
        // Whoever revokes a grant revokes every token whose name begins with its own.
        let word = random_word(randomness);
        let jti = match grant.id.as_str() {
            "" => word,
            grant => format!("{grant}.{word}"),
        };
        put("jti", jti.into());
        if let Some(key) = &grant.key {
            put("cnf", json!({ "jkt": key }));
        }
        if !grant.nonce.is_empty() {
            put("nonce", grant.nonce.as_str().into());
        }
        if let Some(hash) = at_hash {
            put("at_hash", hash.into());
        }
        if scopes.email || wants("email") {
            put("email", person.email.as_str().into());
        }
        if scopes.email || wants("email_verified") {
            put("email_verified", person.email_verified.into());
        }
        if (scopes.groups || wants("groups")) && !person.groups.is_empty() {
            put("groups", person.groups.clone().into());
        }
        if (scopes.profile || wants("name")) && !person.name.is_empty() {
            put("name", person.name.as_str().into());
        }
        let preferred = scopes.profile || wants("preferred_username");
        if preferred && !person.preferred_username.is_empty() {
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
    use crate::fixture::{self, SeededRandomness};

    fn grant() -> Grant {
        let mut grant = fixture::grant();
        grant.person.email_verified = false;
        grant.person.groups = vec!["a".into()];
        grant.person.signed_in_at = 90;
        grant
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
            conformance: Conformance::Compatible,
        };
        let mut map = claims.id_token(
            Some("example-access-token"),
            Some("c"),
            &SeededRandomness::default(),
        );
        let jti = map.remove("jti").unwrap();
        assert_eq!(jti.as_str().unwrap().split_once('.').unwrap().0, "grant");
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
