//! What clients and verifiers read first: discovery, keys, health.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use oidc::discovery::ProviderMetadata;

use crate::answer;
use crate::keys::CACHED;
use crate::provider::{Answer, Provider};

impl Provider {
    /// OpenID Connect Discovery §4. Says what is built and nothing else.
    pub(crate) fn discovery(&self) -> Response<Bytes> {
        let below = |path: &str| format!("{}{path}", self.settings.issuer);
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        answer::json(&ProviderMetadata {
            issuer: self.settings.issuer.to_string(),
            authorization_endpoint: below("/auth"),
            token_endpoint: below("/token"),
            jwks_uri: below("/keys"),
            userinfo_endpoint: Some(below("/userinfo")),
            grant_types_supported: list(&["authorization_code", "refresh_token"]),
            response_types_supported: list(&["code"]),
            response_modes_supported: list(&["query"]),
            subject_types_supported: list(&["public"]),
            id_token_signing_alg_values_supported: list(&["RS256"]),
            code_challenge_methods_supported: list(&["S256", "plain"]),
            scopes_supported: list(&["openid", "email", "groups", "profile", "offline_access"]),
            token_endpoint_auth_methods_supported: list(&[
                "client_secret_basic",
                "client_secret_post",
            ]),
            claims_supported: list(&[
                "iss",
                "sub",
                "aud",
                "iat",
                "exp",
                "auth_time",
                "email",
                "email_verified",
                "groups",
                "name",
                "preferred_username",
                "at_hash",
            ]),
            claims_parameter_supported: Some(false),
            request_parameter_supported: Some(false),
            request_uri_parameter_supported: Some(false),
            ..ProviderMetadata::default()
        })
    }

    /// The JWK set. Verifiers may keep it as long as the rotation allows for.
    pub(crate) async fn published_keys(&self) -> Answer {
        let keys = self.keys().await?;
        let mut response =
            answer::with_type(StatusCode::OK, "application/json", keys.document.clone());
        let cache = format!("max-age={}, must-revalidate", CACHED.as_secs());
        if let Ok(cache) = HeaderValue::try_from(cache) {
            response.headers_mut().insert(header::CACHE_CONTROL, cache);
        }
        Ok(response)
    }

    /// Whether the storage answers. Writes nothing.
    pub(crate) async fn health(&self) -> Answer {
        self.store.check().await?;
        let body = Bytes::from_static(b"Health check passed\n");
        Ok(answer::with_type(
            StatusCode::OK,
            "text/plain; charset=utf-8",
            body,
        ))
    }
}
