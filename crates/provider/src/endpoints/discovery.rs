//! What clients and verifiers read first: discovery, keys, health.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use model::snapshot::{Conformance, FrontChannel, GrantType};
use oidc::discovery::ProviderMetadata;

use crate::authorize::ONE_FACTOR;
use crate::keys::{self, CACHED};
use crate::provider::{Answer, Provider};
use crate::{answer, grants};

/// What client assertions may be signed with: HS256 with the secret, the others with a key.
const CLIENT_ALGORITHMS: [&str; 10] = [
    "HS256", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
];

impl Provider {
    /// OpenID Connect Discovery §4. Says what is built and nothing else.
    pub(crate) fn discovery(&self) -> Response<Bytes> {
        let protocol = &self.settings.protocol;
        // What a request may want of a sign-in counts where sign-ins are remembered.
        let asks = protocol.sessions.is_some() || protocol.conformance == Conformance::Strict;
        let below = |path: &str| format!("{}{path}", self.settings.issuer);
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        answer::json(&ProviderMetadata {
            issuer: self.settings.issuer.to_string(),
            authorization_endpoint: below("/auth"),
            token_endpoint: below("/token"),
            jwks_uri: below("/keys"),
            userinfo_endpoint: Some(below("/userinfo")),
            grant_types_supported: grants::BUILT
                .iter()
                .filter(|grant| protocol.grants.contains(grant))
                .map(|grant| grants::name(*grant).to_owned())
                // Dex names it when tokens come without a code.
                .chain((protocol.responses == FrontChannel::Tokens).then(|| "implicit".to_owned()))
                .collect(),
            device_authorization_endpoint: protocol
                .grants
                .contains(&GrantType::DeviceCode)
                .then(|| below("/device/code")),
            pushed_authorization_request_endpoint: Some(below("/par")),
            end_session_endpoint: protocol.sessions.as_ref().map(|_| below("/logout")),
            backchannel_logout_supported: protocol.sessions.as_ref().map(|_| true),
            backchannel_logout_session_supported: protocol.sessions.as_ref().map(|_| true),
            frontchannel_logout_supported: protocol.sessions.as_ref().map(|_| true),
            frontchannel_logout_session_supported: protocol.sessions.as_ref().map(|_| true),
            dpop_signing_alg_values_supported: list(&CLIENT_ALGORITHMS[1..]),
            request_object_signing_alg_values_supported: list(&CLIENT_ALGORITHMS),
            introspection_endpoint: Some(below("/token/introspect")),
            revocation_endpoint: Some(below("/token/revoke")),
            response_types_supported: list(match protocol.responses {
                FrontChannel::Code => &["code"],
                FrontChannel::IdToken => &["code", "code id_token", "id_token"],
                FrontChannel::Tokens => &[
                    "code",
                    "code id_token",
                    "code id_token token",
                    "code token",
                    "id_token",
                    "id_token token",
                ],
            }),
            response_modes_supported: list(&["query", "fragment", "form_post"]),
            subject_types_supported: list(&["public"]),
            id_token_signing_alg_values_supported: list(&[
                keys::algorithm(protocol.signature).as_str()
            ]),
            code_challenge_methods_supported: match protocol.conformance {
                Conformance::Strict => list(&["S256"]),
                Conformance::Compatible => self
                    .settings
                    .pkce
                    .methods
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
            },
            acr_values_supported: match asks {
                true => list(&[ONE_FACTOR]),
                false => Vec::new(),
            },
            authorization_response_iss_parameter_supported: Some(true),
            scopes_supported: list(&["openid", "email", "groups", "profile", "offline_access"]),
            token_endpoint_auth_methods_supported: list(&[
                "client_secret_basic",
                "client_secret_post",
                "client_secret_jwt",
                "private_key_jwt",
                "none",
            ]),
            token_endpoint_auth_signing_alg_values_supported: list(&CLIENT_ALGORITHMS),
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
            claims_parameter_supported: Some(asks),
            request_parameter_supported: Some(true),
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
