//! `POST /token`. Facts first, then the rules (`grants`), then one write; tokens leave only after the
//! write has succeeded.

mod code;
mod credentials;
mod device;
mod exchange;
mod refresh;

use bytes::Bytes;
use http::{Method, Request};
use model::snapshot::{GrantType, ProviderClient, TokenBinding};

use crate::clients::may_use;
use crate::form::Form;
use crate::grants;
use crate::provider::{Answer, Provider};
use crate::refusal::TokenFault;

/// A request of a client that has proven who it is.
pub(super) struct Asking<'a> {
    pub(super) client: &'a ProviderClient,
    pub(super) form: &'a Form,
    /// The key that it proved to hold (RFC 9449).
    pub(super) key: Option<&'a str>,
}

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
        let client = match grant {
            GrantType::DeviceCode => self.device_client(request, &form).await?,
            _ => self.proven_client(request, &form).await?,
        };
        may_use(&client, grant)?;
        let key = self.proof_of_possession(request, None).await?;
        if client.rules.binding == TokenBinding::Demanded && key.is_none() {
            return Err(TokenFault::Proof.into());
        }
        let asking = Asking {
            client: &client,
            form: &form,
            key: key.as_deref(),
        };
        match grant {
            GrantType::AuthorizationCode => self.redeem_code(asking).await,
            GrantType::RefreshToken => self.refresh(asking).await,
            GrantType::DeviceCode => self.device_tokens(asking).await,
            GrantType::ClientCredentials => self.own_tokens(asking).await,
            GrantType::TokenExchange => self.exchange(asking).await,
            GrantType::JwtBearer => Err(TokenFault::UnsupportedGrantType.into()),
        }
    }
}
