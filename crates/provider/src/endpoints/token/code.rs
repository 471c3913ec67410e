//! `grant_type=authorization_code`.

use super::Asking;
use crate::answer;
use crate::authorize::Grant;
use crate::claims::random_word;
use crate::grants;
use crate::provider::{Answer, Provider};
use crate::refusal::TokenFault;
use crate::storage::{Family, Redeemed};

impl Provider {
    pub(super) async fn redeem_code(&self, asking: Asking<'_>) -> Answer {
        let Asking { client, form, key } = asking;
        let issuer = &*self.settings.issuer;
        let secret = form.find("code").ok_or(TokenFault::NoCode)?;
        let Some(mut code) = self.store.code(issuer, secret).await? else {
            // A code that comes twice may have been stolen: what it brought is taken back.
            if self.store.take_back(issuer, secret).await? {
                let client = &*client.id;
                tracing::warn!(client, "a used code came again; its tokens end");
            }
            return Err(TokenFault::UnknownCode.into());
        };
        grants::code::check(&code, &client.id, form, key, self.now().seconds())?;
        code.grant.key = key.map(str::to_owned);
        let scopes = &code.grant.scopes;
        let family = scopes.offline_access.then(|| self.new_family(&code.grant));
        let mut tokens = self
            .both_tokens(client, &code.grant, scopes, Some(secret))
            .await?;
        tokens.refresh_token = family.as_ref().map(Family::presented);
        let now = self.now();
        let keep = now.plus(self.settings.token_lifetime);
        let redeemed = self
            .store
            .redeem(issuer, secret, &code, family.as_ref(), (now, keep));
        match redeemed.await? {
            Redeemed::Spent => Ok(answer::secret_json(&tokens)),
            Redeemed::Gone => {
                // Somebody else was quicker with the same code.
                self.store.take_back(issuer, secret).await?;
                Err(TokenFault::UnknownCode.into())
            }
        }
    }

    /// A family of refresh tokens for `grant`.
    pub(super) fn new_family(&self, grant: &Grant) -> Family {
        let now = self.now();
        let rules = self.settings.protocol.refresh;
        Family {
            name: random_word(self.randomness()),
            client: grant.client.clone(),
            token: self.random_secret(),
            grant: Grant {
                challenge: None,
                ..grant.clone()
            },
            rotated_at: now.seconds(),
            expires_at: grants::refresh::ends(now.seconds(), rules, now),
        }
    }
}
