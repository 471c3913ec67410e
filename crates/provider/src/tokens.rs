//! Tokens: claims, signed.

use std::sync::Arc;

use model::names::{Duration, Timestamp};
use model::snapshot::{AccessTokenForm, Conformance, ProviderClient};
use oidc::jose::{KeyFault, SigningAlgorithm};
use oidc::wire::TokenResponse;
use serde_json::{Map, Value};

use crate::authorize::{Grant, Scopes};
use crate::claims::Claims;
use crate::keys::Loaded;
use crate::provider::Provider;
use crate::storage::StoreError;

/// `typ` of RFC 9068 §2.1.
const ACCESS_TOKEN: &str = "at+jwt";

impl Provider {
    /// An access token of `grant` for `scopes`, in the form that `client` wants.
    pub(crate) async fn access_token(
        &self,
        client: &ProviderClient,
        grant: &Grant,
        scopes: &Scopes,
    ) -> Result<String, StoreError> {
        let lifetime = self.settings.token_lifetime;
        self.access_token_for(client, grant, scopes, lifetime).await
    }

    async fn access_token_for(
        &self,
        client: &ProviderClient,
        grant: &Grant,
        scopes: &Scopes,
        lifetime: Duration,
    ) -> Result<String, StoreError> {
        let keys = self.keys().await?;
        let claims = self.claims(&keys, grant, scopes, lifetime);
        match self.form_of(client) {
            AccessTokenForm::Dex => sign(&keys, None, claims.access_token(self.randomness())).await,
            AccessTokenForm::Rfc9068 => {
                let claims = claims.jwt_access_token(self.randomness());
                sign(&keys, Some(ACCESS_TOKEN), claims).await
            }
        }
    }

    /// An ID token that names what is given out with it.
    pub(crate) async fn id_token(
        &self,
        grant: &Grant,
        scopes: &Scopes,
        access_token: Option<&str>,
        code: Option<&str>,
    ) -> Result<String, StoreError> {
        let lifetime = self.settings.token_lifetime;
        self.id_token_for(grant, scopes, (access_token, code), lifetime)
            .await
    }

    async fn id_token_for(
        &self,
        grant: &Grant,
        scopes: &Scopes,
        (access_token, code): (Option<&str>, Option<&str>),
        lifetime: Duration,
    ) -> Result<String, StoreError> {
        let keys = self.keys().await?;
        let claims = self.claims(&keys, grant, scopes, lifetime);
        let claims = claims.id_token(access_token, code, self.randomness());
        sign(&keys, None, claims).await
    }

    /// The answer of the token endpoint: both tokens, no refresh token yet.
    pub(crate) async fn both_tokens(
        &self,
        client: &ProviderClient,
        grant: &Grant,
        scopes: &Scopes,
        code: Option<&str>,
    ) -> Result<TokenResponse, StoreError> {
        let lifetime = self.settings.token_lifetime;
        self.tokens_for(client, grant, scopes, code, lifetime).await
    }

    /// The same for tokens that do not outlive `until`.
    pub(crate) async fn tokens_until(
        &self,
        client: &ProviderClient,
        grant: &Grant,
        scopes: &Scopes,
        until: Timestamp,
    ) -> Result<TokenResponse, StoreError> {
        let left = until.seconds().saturating_sub(self.now().seconds());
        let left = Duration::from_secs(u64::try_from(left).unwrap_or_default());
        let lifetime = left.min(self.settings.token_lifetime);
        self.tokens_for(client, grant, scopes, None, lifetime).await
    }

    async fn tokens_for(
        &self,
        client: &ProviderClient,
        grant: &Grant,
        scopes: &Scopes,
        code: Option<&str>,
        lifetime: Duration,
    ) -> Result<TokenResponse, StoreError> {
        let access_token = self.access_token_for(client, grant, scopes, lifetime);
        let access_token = access_token.await?;
        let given = (Some(access_token.as_str()), code);
        let id_token = self.id_token_for(grant, scopes, given, lifetime).await?;
        Ok(TokenResponse {
            id_token: Some(id_token),
            access_token,
            token_type: self.token_type(grant).to_owned(),
            expires_in: Some(lifetime.as_secs()),
            refresh_token: None,
            scope: None,
            issued_token_type: None,
        })
    }

    /// `token_type`: Dex writes it small (RFC 6749 §5.1: its case does not count).
    pub(crate) fn token_type(&self, grant: &Grant) -> &'static str {
        match (&grant.key, self.settings.protocol.conformance) {
            (Some(_), _) => "DPoP",
            (None, Conformance::Compatible) => "bearer",
            (None, Conformance::Strict) => "Bearer",
        }
    }

    /// What access tokens of `client` look like. In strict mode none can be taken for an ID token.
    pub(crate) fn form_of(&self, client: &ProviderClient) -> AccessTokenForm {
        match self.settings.protocol.conformance {
            Conformance::Strict => AccessTokenForm::Rfc9068,
            Conformance::Compatible => client.rules.access_tokens,
        }
    }

    fn claims<'a>(
        &'a self,
        keys: &Loaded,
        grant: &'a Grant,
        scopes: &'a Scopes,
        lifetime: Duration,
    ) -> Claims<'a> {
        Claims {
            issuer: &self.settings.issuer,
            grant,
            scopes,
            now: self.now(),
            lifetime,
            algorithm: keys.signer.algorithm(),
            conformance: self.settings.protocol.conformance,
        }
    }

    /// Signs anything else of ours as a token of `kind`.
    pub(crate) async fn sign_as(
        &self,
        kind: &'static str,
        claims: Map<String, Value>,
    ) -> Result<String, StoreError> {
        let keys = self.keys().await?;
        sign(&keys, Some(kind), claims).await
    }
}

/// RSA is most of a millisecond of arithmetic: off the threads that serve.
async fn sign(
    keys: &Arc<Loaded>,
    kind: Option<&'static str>,
    claims: Map<String, Value>,
) -> Result<String, StoreError> {
    let quick = matches!(
        keys.signer.algorithm(),
        SigningAlgorithm::Es256 | SigningAlgorithm::EdDsa
    );
    let keys = Arc::clone(keys);
    let work = move || match kind {
        None => keys.signer.sign(&claims),
        Some(kind) => keys.signer.sign_as(kind, &claims),
    };
    if quick {
        return Ok(work()?);
    }
    let signed = tokio::task::spawn_blocking(work).await;
    Ok(signed.map_err(|_| KeyFault::Signature)??)
}
