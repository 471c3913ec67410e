//! `grant_type=refresh_token`.

use model::snapshot::Rotation;

use super::Asking;
use crate::answer;
use crate::authorize::Scopes;
use crate::grants::refresh::{Use, ends, judge};
use crate::provider::{Answer, Provider};
use crate::refusal::{PageFault, TokenFault};
use crate::sealed::{Purpose, Sealed};
use crate::storage::Follows;

impl Provider {
    /// The person is read anew: who is no longer configured gets nothing.
    pub(super) async fn refresh(&self, asking: Asking<'_>) -> Answer {
        let Asking { client, form, key } = asking;
        let issuer = &*self.settings.issuer;
        let presented = form
            .find("refresh_token")
            .ok_or(TokenFault::NoRefreshToken)?;
        let (name, old) = presented
            .split_once('.')
            .ok_or(TokenFault::UnknownRefreshToken)?;
        let kept = self
            .store
            .family(issuer, name, self.now())
            .await?
            .filter(|kept| *kept.client == *client.id)
            .ok_or(TokenFault::UnknownRefreshToken)?;
        let now = self.now();
        let rules = self.settings.protocol.refresh;
        let until = now.plus(self.settings.token_lifetime);
        let verdict = judge(&kept, old, rules, now);
        let mut grant = kept.grant.clone();
        match verdict {
            Use::Rotate | Use::Stay | Use::Again | Use::Follow => {}
            Use::Refused => {
                tracing::warn!(client = &*client.id, "a refresh token was refused");
                return Err(TokenFault::UnknownRefreshToken.into());
            }
            Use::Over => return Err(TokenFault::UnknownRefreshToken.into()),
            Use::Theft => {
                tracing::warn!(
                    client = &*client.id,
                    "a used refresh token came again; its family ends"
                );
                self.store
                    .end_family(issuer, name, &grant.id, until)
                    .await?;
                return Err(TokenFault::UnknownRefreshToken.into());
            }
        }
        // A public client's refresh tokens are bound to its key (RFC 9449 §5).
        if client.public && grant.key.as_deref() != key {
            return Err(TokenFault::WrongKey.into());
        }
        grant.key = key.map(str::to_owned);
        let scopes = match form.find("scope") {
            None => grant.scopes.clone(),
            Some(text) => Scopes::parse(text)
                .filter(|wanted| wanted.is_within(&grant.scopes))
                .ok_or(TokenFault::WiderScope)?,
        };
        let person = self.person_by_now(&grant.person, &grant.scopes).await?;
        let Some(person) = person else {
            self.store
                .end_family(issuer, name, &grant.id, until)
                .await?;
            return Err(TokenFault::UnknownRefreshToken.into());
        };
        if person.held != grant.person.held {
            // The upstream has changed its token: the one before may be worth nothing by now.
            let mut changed = kept.grant.clone();
            changed.person.held.clone_from(&person.held);
            self.store.hold(issuer, name, &changed).await?;
        }
        grant.person = person;
        let mut tokens = self.both_tokens(client, &grant, &scopes, None).await?;
        let expires_at = ends(kept.created_at, rules, now);
        let (token, written) = match verdict {
            Use::Follow => {
                let sealed = Sealed::split(&kept.sealed);
                let opened: Result<String, _> = self.seal().await?.open(Purpose::Refresh, &sealed);
                (opened.map_err(|_| TokenFault::UnknownRefreshToken)?, true)
            }
            Use::Stay => {
                let used = self.store.use_family(issuer, name, old, expires_at, now);
                (old.to_owned(), used.await?)
            }
            Use::Rotate => {
                let token = self.random_secret();
                let next = Follows {
                    token: &token,
                    sealed: &self.sealed_refresh(rules.rotation, &token).await?,
                    expires_at,
                };
                let done = self.store.rotate(issuer, name, old, next, now).await?;
                (token, done)
            }
            _ => (old.to_owned(), true),
        };
        if !written {
            // Another request with the same token was quicker.
            return Err(TokenFault::UnknownRefreshToken.into());
        }
        tokens.refresh_token = Some(format!("{name}.{token}"));
        Ok(answer::secret_json(&tokens))
    }

    /// What the token is kept as, so that it can be given out again; nothing where it never is.
    async fn sealed_refresh(
        &self,
        rotation: Rotation,
        token: &str,
    ) -> Result<String, crate::refusal::Refusal> {
        match rotation {
            Rotation::Each { reuse } if !reuse.is_zero() => {
                let seal = self.seal().await?;
                let sealed = seal.seal(Purpose::Refresh, &token, self.randomness());
                Ok(sealed.map_err(|_| PageFault::Broken)?.joined())
            }
            _ => Ok(String::new()),
        }
    }
}
