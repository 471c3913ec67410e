//! Clients: who they are, and whether they are who they say.

mod assertion;
mod authenticate;

use bytes::Bytes;
use http::Request;
use model::snapshot::{GrantType, ProviderClient};

pub(crate) use assertion::Once;
pub(crate) use authenticate::{presented, prove};

use crate::form::Form;
use crate::provider::Provider;
use crate::refusal::{Refusal, TokenFault};
use crate::storage::StoreError;

impl Provider {
    /// The client of this id.
    pub(crate) async fn client_named(
        &self,
        id: &str,
    ) -> Result<Option<ProviderClient>, StoreError> {
        let known = self.settings.clients.iter().find(|one| *one.id == *id);
        Ok(known.cloned())
    }

    /// The client that sent `request`, proven. A proof that may come once is used up.
    pub(crate) async fn proven_client(
        &self,
        request: &Request<Bytes>,
        form: &Form,
    ) -> Result<ProviderClient, Refusal> {
        let conformance = self.settings.protocol.conformance;
        let presented = presented(request.headers(), form, conformance)?;
        let client = self.client_named(&presented.id).await?;
        let client = client.ok_or_else(|| presented.refused())?;
        let below = request.uri().path().strip_prefix(&*self.settings.path);
        let issuer = &*self.settings.issuer;
        let audiences = [
            issuer.to_owned(),
            format!("{issuer}/token"),
            format!("{issuer}{}", below.unwrap_or_default()),
        ];
        if let Some(once) = prove(&client, &presented, &audiences, self.now())?
            && !self.store.first_time(&once, self.now()).await?
        {
            return Err(presented.refused().into());
        }
        Ok(client)
    }
}

/// Whether `client` may use `grant`, which is offered here.
pub(crate) fn may_use(client: &ProviderClient, grant: GrantType) -> Result<(), TokenFault> {
    match &client.rules.grants {
        Some(grants) if !grants.contains(&grant) => Err(TokenFault::ForbiddenGrant),
        _ => Ok(()),
    }
}
