//! The provider: one configuration on a store.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};
use model::names::Timestamp;
use model::seams::{Clock, Randomness};
use model::snapshot::Provider as Settings;
use oidc::jose::SigningAlgorithm;

use crate::answer;
use crate::claims::random_word;
use crate::connectors::{Documents, Nowhere, Upstream};
use crate::endpoints::Endpoint;
use crate::keys::{self, Loaded, Rhythm};
use crate::notices::Courier;
use crate::refusal::{PageFault, Refusal};
use crate::sealed::Seal;
use crate::storage::{Damaged, Store, StoreError};

/// An OpenID provider that answers for one issuer. Cheap to make: each new configuration gets a new
/// one on the same [`Store`].
#[derive(Clone)]
pub struct Provider {
    pub(crate) settings: Arc<Settings>,
    pub(crate) store: Arc<Store>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    pub(crate) courier: Option<Arc<dyn Courier>>,
    pub(crate) upstream: Arc<dyn Upstream>,
    pub(crate) documents: Documents,
}

/// What an endpoint comes to.
pub(crate) type Answer = Result<Response<Bytes>, Refusal>;

impl Provider {
    /// Plays what `settings` say, on `store`.
    pub fn new(
        settings: Arc<Settings>,
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
    ) -> Self {
        Self {
            settings,
            store,
            clock,
            randomness,
            courier: None,
            upstream: Arc::new(Nowhere),
            documents: Documents::default(),
        }
    }

    /// With somebody who tells clients of ended sign-ins.
    #[must_use]
    pub fn with_courier(self, courier: Arc<dyn Courier>) -> Self {
        Self {
            courier: Some(courier),
            ..self
        }
    }

    /// The same, whose connectors reach their upstreams over `upstream`.
    #[must_use]
    pub fn reaching(self, upstream: Arc<dyn Upstream>) -> Self {
        Self { upstream, ..self }
    }

    /// Makes or loads the keys, so that the first sign-in does not wait for them.
    ///
    /// # Errors
    /// [`StoreError`] when the storage fails or what it holds cannot be read.
    pub async fn prepare(&self) -> Result<(), StoreError> {
        self.keys().await?;
        self.seal().await?;
        self.store.recall_attempts(self.now()).await?;
        Ok(())
    }

    /// Rotates keys that are due and deletes what has expired. To be called every half minute.
    ///
    /// # Errors
    /// [`StoreError`]; the next call tries again.
    pub async fn maintain(&self) -> Result<(), StoreError> {
        let rhythm = Rhythm {
            algorithm: self.algorithm(),
            rotation: self.settings.key_rotation,
            token_lifetime: self.settings.token_lifetime,
        };
        self.store
            .turn_keys(&self.settings.issuer, rhythm, self.randomness(), self.now())
            .await?;
        self.store.sweep(self.now()).await?;
        self.tell().await
    }

    /// Answers a request whose path is below the issuer's, as it arrived. Always answers.
    pub async fn handle(&self, request: Request<Bytes>) -> Response<Bytes> {
        let request_id = self.request_id(&request);
        let endpoint = Endpoint::find(&self.settings.path, request.uri().path());
        let bodiless = request.method() == Method::HEAD;
        let language = endpoint.language();
        let answer = match endpoint {
            Endpoint::Discovery => Ok(self.discovery()),
            Endpoint::Keys => self.published_keys().await,
            Endpoint::Authorize => self.authorize(&request).await,
            Endpoint::Connector(id) => self.begin(&request, &id).await,
            Endpoint::Login(id) => self.login(&request, &id).await,
            Endpoint::NewPassword(id) => self.new_password(&request, &id).await,
            Endpoint::Callback(id) => self.callback(&request, id.as_deref()).await,
            Endpoint::Approval => self.approval(&request).await,
            Endpoint::Token => self.token(&request).await,
            Endpoint::Push => self.push(&request).await,
            Endpoint::DeviceCode => self.device_code(&request).await,
            Endpoint::Device => self.device_page(&request),
            Endpoint::VerifyCode => self.verify_code(&request).await,
            Endpoint::DeviceAnswered => self.device_answered(&request).await,
            Endpoint::Logout => self.logout(&request).await,
            Endpoint::Introspect => self.introspect(&request).await,
            Endpoint::Revoke => self.revoke(&request).await,
            Endpoint::UserInfo => self.user_info(&request).await,
            Endpoint::Health => self.health().await,
            Endpoint::Asset(asset) => Ok(asset.serve(&request)),
            Endpoint::Nothing => Err(PageFault::NotHere.into()),
        };
        let mut response = answer.unwrap_or_else(|refusal| {
            answer::refuse(&self.settings, language, refusal, &request_id)
        });
        if bodiless {
            *response.body_mut() = Bytes::new();
        }
        response
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn randomness(&self) -> &dyn Randomness {
        &*self.randomness
    }

    pub(crate) async fn keys(&self) -> Result<Arc<Loaded>, StoreError> {
        self.store
            .keys(
                &self.settings.issuer,
                self.algorithm(),
                self.randomness(),
                self.now(),
            )
            .await
    }

    fn algorithm(&self) -> SigningAlgorithm {
        keys::algorithm(self.settings.protocol.signature)
    }

    pub(crate) async fn seal(&self) -> Result<Seal, StoreError> {
        let key = self.store.sealing_key(self.randomness()).await?;
        Seal::new(key, &self.settings.issuer).ok_or(StoreError::Damaged(Damaged::SealingKey))
    }

    /// The gateway's name for the request, or a new one.
    fn request_id(&self, request: &Request<Bytes>) -> String {
        let plain = |text: &&str| {
            (1..=64).contains(&text.len())
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        request
            .headers()
            .get("x-request-id")
            .and_then(|value| value.to_str().ok())
            .filter(plain)
            .map_or_else(|| random_word(self.randomness()), str::to_owned)
    }
}

#[cfg(test)]
mod tests;
