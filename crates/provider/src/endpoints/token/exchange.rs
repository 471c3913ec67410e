//! `grant_type=urn:ietf:params:oauth:grant-type:token-exchange` (RFC 8693).

use super::Asking;
use crate::answer;
use crate::claims::random_word;
use crate::grants::exchange::{Wanted, ends, grant, wanted};
use crate::provider::{Answer, Provider};
use crate::refusal::TokenFault;

impl Provider {
    pub(super) async fn exchange(&self, asking: Asking<'_>) -> Answer {
        let Asking { client, form, key } = asking;
        // Dex's own parameter: the connector that would verify a foreign token.
        if form.find("connector_id").is_some() {
            return Err(TokenFault::ConnectorVerifiesNothing.into());
        }
        let wanted = wanted(form)?;
        let claims = self.live_claims(form.text("subject_token")).await?;
        let claims = claims.ok_or(TokenFault::ForeignSubject)?;
        let mut grant = grant(&self.settings, client, form, &claims)?;
        grant.id = random_word(self.randomness());
        grant.key = key.map(str::to_owned);
        let scopes = grant.scopes.clone();
        let until = ends(&claims).unwrap_or_else(|| self.now());
        let mut tokens = self.tokens_until(client, &grant, &scopes, until).await?;
        if wanted == Wanted::IdToken
            && let Some(id_token) = &tokens.id_token
        {
            tokens.access_token = id_token.clone();
            // RFC 8693 §2.2.1: not a token for a resource.
            tokens.token_type = "N_A".to_owned();
        }
        tokens.id_token = None;
        tokens.issued_token_type = Some(wanted.name().to_owned());
        Ok(answer::secret_json(&tokens))
    }
}
