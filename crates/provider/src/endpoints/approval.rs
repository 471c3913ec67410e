//! `GET|POST /approval`: does the person agree?

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use oidc::wire::ErrorCode;

use super::{form_targets, get_or_post, own_address};
use crate::authorize::SignedIn;
use crate::form::Form;
use crate::provider::{Answer, Provider};
use crate::refusal::PageFault;
use crate::sealed::{Purpose, Sealed};
use crate::{answer, pages};

impl Provider {
    pub(crate) async fn approval(&self, request: &Request<Bytes>) -> Answer {
        get_or_post(request)?;
        let form = Form::of_both(request).map_err(PageFault::from)?;
        let proof = Form::of_query(request)
            .map_err(PageFault::from)?
            .text("hmac")
            .to_owned();
        let sealed = Sealed {
            body: form.text("req").to_owned(),
            proof,
        };
        let signed_in: SignedIn = self
            .seal()
            .await?
            .open(Purpose::Approval, &sealed)
            .map_err(|_| PageFault::Unproven)?;
        if signed_in.is_expired(self.now()) {
            return Err(PageFault::Expired.into());
        }
        let asked = &signed_in.asked;
        let client = self.client_of(asked).await?;
        if self.store.is_answered(&asked.id).await? {
            return Err(PageFault::AlreadyAnswered.into());
        }
        if request.method() != Method::POST {
            let page = pages::Approval {
                client: &client.name,
                email: &signed_in.person.email,
                action: own_address(request),
                request: &sealed.body,
                scopes: &asked.scopes,
            };
            let html = pages::approval(&self.settings, &page);
            return Ok(answer::page(
                StatusCode::OK,
                html,
                &form_targets(&asked.delivery.redirect),
            ));
        }
        match form.find("approval") {
            None => Err(PageFault::NoDecision.into()),
            Some("approve") => self.finish(signed_in).await,
            Some(_) => self.denied(signed_in).await,
        }
    }

    async fn denied(&self, signed_in: SignedIn) -> Answer {
        let asked = signed_in.asked;
        if !self.store.answer(&asked.id, asked.expires_at).await? {
            return Err(PageFault::AlreadyAnswered.into());
        }
        Err(asked.refused(ErrorCode::AccessDenied, "the person did not agree"))
    }
}
