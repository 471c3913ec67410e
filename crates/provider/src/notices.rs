//! Telling clients that a sign-in has ended (OpenID Connect Back-Channel Logout 1.0 §2.5): written
//! down with the end itself, sent, and sent again for a while where a client does not take it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::claims::random_word;
use crate::form::query;
use crate::provider::Provider;
use crate::storage::{Notice, StoreError};

/// `typ` (§2.4).
const LOGOUT_TOKEN: &str = "logout+jwt";

/// How long a logout token is good, seconds.
const LIFETIME: i64 = 120;

/// Sent in one go.
const AT_ONCE: i64 = 100;

/// Whether a client took what was sent to it.
pub type Taken<'a> = Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

/// Carries forms to clients. Implemented at the rim.
pub trait Courier: Send + Sync {
    /// Sends `form` to `address`: a POST without following redirects, given up after some seconds.
    fn post(&self, address: &str, form: String) -> Taken<'_>;
}

impl Provider {
    /// Starts telling clients, behind the answer that is on its way.
    pub(crate) fn tell_soon(&self) {
        if self.courier.is_none() {
            return;
        }
        let provider = self.clone();
        tokio::spawn(async move {
            if let Err(error) = provider.tell().await {
                tracing::error!(%error, "clients are not told of a sign-out yet");
            }
        });
    }

    /// Sends what is due. Of several processes one sends each.
    pub(crate) async fn tell(&self) -> Result<(), StoreError> {
        let Some(courier) = self.courier.clone() else {
            return Ok(());
        };
        let issuer = &*self.settings.issuer;
        for notice in self.store.due_notices(issuer, AT_ONCE, self.now()).await? {
            if self.store.take_notice(&notice, self.now()).await? {
                self.tell_one(&courier, &notice).await?;
            }
        }
        Ok(())
    }

    async fn tell_one(
        &self,
        courier: &Arc<dyn Courier>,
        notice: &Notice,
    ) -> Result<(), StoreError> {
        let client = self.client_named(&notice.client).await?;
        let address = client.and_then(|client| client.rules.back_channel_logout.clone());
        let taken = match address {
            // Nobody is to be told any more.
            None => true,
            Some(address) => {
                let token = self.sign_as(LOGOUT_TOKEN, self.logout_claims(notice));
                let form = query(&[("logout_token", &token.await?)]);
                courier.post(&address, form).await
            }
        };
        if taken {
            return self.store.drop_notice(&notice.id).await;
        }
        let client = &*notice.client;
        tracing::warn!(client, "a client did not take the word of a sign-out");
        Ok(())
    }

    /// §2.4.
    fn logout_claims(&self, notice: &Notice) -> Map<String, Value> {
        let now = self.now().seconds();
        let claims = json!({
            "iss": &*self.settings.issuer,
            "sub": notice.subject,
            "aud": notice.client,
            "iat": now,
            "exp": now + LIFETIME,
            "jti": random_word(self.randomness()),
            "sid": notice.sid,
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        claims.as_object().cloned().unwrap_or_default()
    }
}
