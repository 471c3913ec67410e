//! From a known person to the answer: the approval page if it is wanted, then a code.

use data_encoding::BASE64URL_NOPAD;
use http::StatusCode;
use model::names::Duration;

use crate::authorize::{OUT_OF_BAND, SignedIn, location};
use crate::form::query;
use crate::provider::{Answer, Provider};
use crate::refusal::PageFault;
use crate::sealed::Purpose;
use crate::storage::Code;
use crate::{answer, pages};

/// RFC 6749 §4.1.2 advises no more; Dex grants half an hour.
const CODE_LIFETIME: Duration = Duration::from_secs(600);

impl Provider {
    /// Goes on after the sign-in.
    pub(super) async fn person_known(&self, signed_in: SignedIn) -> Answer {
        if self.settings.skip_approval && !signed_in.asked.ask_approval {
            return self.finish(signed_in).await;
        }
        let sealed = self
            .seal()
            .await?
            .seal(Purpose::Approval, &signed_in, self.randomness())
            .map_err(|_| PageFault::Broken)?;
        let query = query(&[("req", &sealed.body), ("hmac", &sealed.proof)]);
        let address = format!("{}/approval?{query}", self.settings.path);
        Ok(answer::redirect_to(StatusCode::SEE_OTHER, &address))
    }

    /// Stores a code and sends it to the client.
    pub(super) async fn finish(&self, signed_in: SignedIn) -> Answer {
        let mut secret = [0; 32];
        self.randomness().fill(&mut secret);
        let secret = BASE64URL_NOPAD.encode(&secret);
        let asked = signed_in.asked.clone();
        let code = Code {
            client: asked.client,
            redirect: asked.redirect,
            expires_at: self.now().plus(CODE_LIFETIME).seconds(),
            grant: signed_in.grant(),
        };
        let issuer = &self.settings.issuer;
        let first = self
            .store
            .answer_with_code(issuer, &asked.id, asked.expires_at, &secret, &code)
            .await?;
        if !first {
            return Err(PageFault::AlreadyAnswered.into());
        }
        if code.redirect == OUT_OF_BAND {
            let page = pages::code(&self.settings, &secret);
            return Ok(answer::page(StatusCode::OK, page, "'none'"));
        }
        let parameters = [("code", secret.as_str()), ("state", &asked.state)];
        Ok(answer::redirect_to(
            StatusCode::SEE_OTHER,
            &location(&code.redirect, &parameters),
        ))
    }
}
