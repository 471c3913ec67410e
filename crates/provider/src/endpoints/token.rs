//! `POST /token`: codes and refresh tokens for tokens. Facts first, then the rules, then one write;
//! tokens leave only after the write has succeeded.

use std::sync::Arc;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::{Method, Request};
use model::names::Duration;
use model::snapshot::{GrantType, ProviderClient};
use oidc::jose::{KeyFault, SigningAlgorithm};
use oidc::wire::TokenResponse;
use serde_json::{Map, Value};

use crate::answer;
use crate::authorize::{Grant, Scopes};
use crate::claims::{Claims, random_word};
use crate::clients::may_use;
use crate::form::Form;
use crate::grants;
use crate::keys::Loaded;
use crate::provider::{Answer, Provider};
use crate::refusal::{Refusal, TokenFault};
use crate::storage::{Code, Family, Redeemed, Rotated, StoreError};

/// How long a refresh token may lie unused. Dex keeps it for ever.
const REFRESH_LIFETIME: Duration = Duration::from_secs(90 * 86_400);

impl Provider {
    pub(crate) async fn token(&self, request: &Request<Bytes>) -> Answer {
        if request.method() != Method::POST {
            return Err(TokenFault::NotPost.into());
        }
        let form = Form::of_body(request).map_err(TokenFault::from)?;
        // The grant type comes before the client: Dex's order.
        let grant = form.find("grant_type").ok_or(TokenFault::NoGrantType)?;
        let grant = grants::named(grant)
            .filter(|grant| self.settings.protocol.grants.contains(grant))
            .ok_or(TokenFault::UnsupportedGrantType)?;
        let client = self.proven_client(request, &form).await?;
        may_use(&client, grant)?;
        match grant {
            GrantType::AuthorizationCode => self.redeem_code(&client, &form).await,
            GrantType::RefreshToken => self.refresh(&client, &form).await,
            _ => Err(TokenFault::UnsupportedGrantType.into()),
        }
    }

    /// RFC 6749 §4.1.3. A failure does not use the code up.
    async fn redeem_code(&self, client: &ProviderClient, form: &Form) -> Answer {
        let issuer = &*self.settings.issuer;
        let secret = form.find("code").ok_or(TokenFault::NoCode)?;
        let Some(code) = self.store.code(issuer, secret).await? else {
            // A code that comes twice may have been stolen: what it brought is taken back.
            if self.store.end_family_of_code(issuer, secret).await? > 0 {
                tracing::warn!(
                    client = &*client.id,
                    "a used code came again; its tokens end"
                );
            }
            return Err(TokenFault::UnknownCode.into());
        };
        check_code(&code, client, form, self.now().seconds())?;
        let token = random_secret(self);
        let family = code.grant.scopes.offline_access.then(|| Family {
            name: random_word(self.randomness()),
            client: code.client.clone(),
            token,
            grant: Grant {
                challenge: None,
                ..code.grant.clone()
            },
            rotated_at: self.now().seconds(),
            expires_at: self.now().plus(REFRESH_LIFETIME).seconds(),
        });
        let scopes = &code.grant.scopes;
        let mut tokens = self.tokens(&code.grant, scopes, Some(secret)).await?;
        tokens.refresh_token = family
            .as_ref()
            .map(|family| format!("{}.{}", family.name, family.token));
        match self
            .store
            .redeem(issuer, secret, &code, family.as_ref(), self.now())
            .await?
        {
            Redeemed::Spent => Ok(answer::secret_json(&tokens)),
            Redeemed::Gone => Err(TokenFault::UnknownCode.into()),
        }
    }

    /// RFC 6749 §6. The person is read anew: who is not known any more gets nothing.
    async fn refresh(&self, client: &ProviderClient, form: &Form) -> Answer {
        let issuer = &*self.settings.issuer;
        let presented = form
            .find("refresh_token")
            .ok_or(TokenFault::NoRefreshToken)?;
        let (name, old) = presented
            .split_once('.')
            .ok_or(TokenFault::UnknownRefreshToken)?;
        let (owner, mut grant) = self
            .store
            .family(issuer, name, self.now())
            .await?
            .filter(|(owner, _)| **owner == *client.id)
            .ok_or(TokenFault::UnknownRefreshToken)?;
        let scopes = match form.find("scope") {
            None => grant.scopes.clone(),
            Some(text) => Scopes::parse(text)
                .filter(|wanted| wanted.is_within(&grant.scopes))
                .ok_or(TokenFault::WiderScope)?,
        };
        let configured = &self.settings.passwords;
        let person = self.store.person_now(configured, &grant.person).await?;
        let Some(person) = person else {
            self.store.end_family(issuer, name).await?;
            return Err(TokenFault::UnknownRefreshToken.into());
        };
        grant.person = person;
        let new = random_secret(self);
        let mut tokens = self.tokens(&grant, &scopes, None).await?;
        tokens.refresh_token = Some(format!("{name}.{new}"));
        let expiry = self.now().plus(REFRESH_LIFETIME);
        match self
            .store
            .rotate(issuer, name, (old, &new), expiry, self.now())
            .await?
        {
            Rotated::Done => Ok(answer::secret_json(&tokens)),
            Rotated::Refused => {
                tracing::warn!(client = owner, "a refresh token was refused");
                Err(TokenFault::UnknownRefreshToken.into())
            }
        }
    }

    async fn tokens(
        &self,
        grant: &Grant,
        scopes: &Scopes,
        code: Option<&str>,
    ) -> Result<TokenResponse, Refusal> {
        let keys = self.keys().await?;
        let lifetime = self.settings.token_lifetime;
        let claims = Claims {
            issuer: &self.settings.issuer,
            grant,
            scopes,
            now: self.now(),
            lifetime,
            algorithm: keys.signer.algorithm(),
        };
        let access_token = sign(&keys, claims.access_token(self.randomness())).await?;
        let id_token = claims.id_token(&access_token, code, self.randomness());
        Ok(TokenResponse {
            id_token: Some(sign(&keys, id_token).await?),
            access_token,
            token_type: "bearer".to_owned(),
            expires_in: Some(lifetime.as_secs()),
            refresh_token: None,
            scope: None,
        })
    }
}

fn check_code(
    code: &Code,
    client: &ProviderClient,
    form: &Form,
    now: i64,
) -> Result<(), TokenFault> {
    if *code.client != *client.id || code.expires_at <= now {
        return Err(TokenFault::UnknownCode);
    }
    if form.text("redirect_uri") != code.redirect {
        return Err(TokenFault::WrongRedirect);
    }
    match (&code.grant.challenge, form.find("code_verifier")) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(TokenFault::UnaskedVerifier),
        (Some(challenge), Some(verifier)) if challenge.matches(verifier) => Ok(()),
        (Some(_), _) => Err(TokenFault::WrongVerifier),
    }
}

fn random_secret(provider: &Provider) -> String {
    let mut bytes = [0; 32];
    provider.randomness().fill(&mut bytes);
    BASE64URL_NOPAD.encode(&bytes)
}

/// RSA is most of a millisecond of arithmetic: off the threads that serve.
async fn sign(keys: &Arc<Loaded>, claims: Map<String, Value>) -> Result<String, StoreError> {
    if let SigningAlgorithm::Es256 | SigningAlgorithm::EdDsa = keys.signer.algorithm() {
        return Ok(keys.signer.sign(&claims)?);
    }
    let keys = Arc::clone(keys);
    let signed = tokio::task::spawn_blocking(move || keys.signer.sign(&claims)).await;
    Ok(signed.map_err(|_| KeyFault::Signature)??)
}
