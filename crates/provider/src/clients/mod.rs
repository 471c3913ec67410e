//! Clients: who they are, and whether they are who they say.

mod assertion;
mod authenticate;
mod possession;

use bytes::Bytes;
use http::Request;
use model::snapshot::{GrantType, ProviderClient};

pub(crate) use assertion::Once;
pub(crate) use authenticate::{presented, prove};
#[cfg(test)]
pub(crate) use possession::tests::proof as possession_proof;

use crate::form::Form;
use crate::provider::Provider;
use crate::refusal::{Refusal, TokenFault};
use crate::storage::StoreError;
use possession::Purpose;

impl Provider {
    /// The client of this id.
    pub(crate) async fn client_named(
        &self,
        id: &str,
    ) -> Result<Option<ProviderClient>, StoreError> {
        let known = self.settings.clients.iter().find(|one| *one.id == *id);
        Ok(known.cloned())
    }

    /// The key that the sender of `request` proves to hold, if it proves one; `token` is the access
    /// token that comes with it. A proof is good once.
    pub(crate) async fn proof_of_possession(
        &self,
        request: &Request<Bytes>,
        token: Option<&str>,
    ) -> Result<Option<String>, Refusal> {
        let mut all = request.headers().get_all("dpop").iter();
        let Some(proof) = all.next() else {
            return Ok(None);
        };
        let proof = proof.to_str().ok().filter(|_| all.next().is_none());
        let below = request.uri().path().strip_prefix(&*self.settings.path);
        let purpose = Purpose {
            method: request.method().as_str(),
            address: &format!("{}{}", self.settings.issuer, below.unwrap_or_default()),
            token,
            now: self.now(),
        };
        let proven = proof.and_then(|proof| possession::prove(proof, purpose));
        let (key, once) = proven.ok_or(TokenFault::Proof)?;
        match self.store.first_time(&once, self.now()).await? {
            true => Ok(Some(key)),
            false => Err(TokenFault::Proof.into()),
        }
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
