//! `grant_type=client_credentials` (RFC 6749 §4.4).

use super::Asking;
use crate::answer;
use crate::claims::random_word;
use crate::grants::credentials::grant;
use crate::provider::{Answer, Provider};

impl Provider {
    pub(super) async fn own_tokens(&self, asking: Asking<'_>) -> Answer {
        let Asking { client, form, key } = asking;
        let now = self.now();
        let (mut grant, openid) = grant(&self.settings, client, form, now)?;
        grant.id = random_word(self.randomness());
        grant.key = key.map(str::to_owned);
        let scopes = grant.scopes.clone();
        let mut tokens = self.both_tokens(client, &grant, &scopes, None).await?;
        if !openid {
            tokens.id_token = None;
        }
        Ok(answer::secret_json(&tokens))
    }
}
