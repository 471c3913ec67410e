//! `GET|POST /logout`: ends the remembered sign-in and tells the clients that it let in (OpenID Connect
//! RP-Initiated Logout 1.0 §2).

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use model::snapshot::ProviderClient;
use oidc::jose;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::introspect::audiences;
use super::{get_or_post, own_address};
use crate::authorize::{SignIn, location};
use crate::form::Form;
use crate::provider::{Answer, Provider};
use crate::refusal::{PageFault, Refusal};
use crate::sealed::{Purpose, Sealed};
use crate::subject::subject;
use crate::{answer, pages};

/// What a request to sign out says, checked.
struct Leaving {
    /// Where the browser goes afterwards, with `state`.
    target: Option<String>,
    /// Whom the hint names: `sub`, and `sid` where it is in the token.
    hint: Option<(String, Option<String>)>,
}

/// Proof that the person was shown the question: bound to their sign-in.
#[derive(Serialize, Deserialize)]
struct Question {
    sid: String,
}

impl Provider {
    pub(crate) async fn logout(&self, request: &Request<Bytes>) -> Answer {
        get_or_post(request)?;
        let form = Form::of_both(request).map_err(PageFault::from)?;
        let leaving = self.leaving(&form).await?;
        let Some(sign_in) = self.remembered(request).await? else {
            return self.left(leaving, &[]);
        };
        let person = &sign_in.person;
        let meant = leaving.hint.as_ref().is_some_and(|(sub, sid)| {
            *sub == subject(&person.user_id, &person.connector)
                && sid.as_ref().is_none_or(|sid| *sid == sign_in.sid)
        });
        // Without proof that it is the client's own person who leaves, they are asked (§2, §6).
        if !meant && !self.was_asked(request, &form, &sign_in).await? {
            let question = Question {
                sid: sign_in.sid.clone(),
            };
            let sealed = self
                .seal()
                .await?
                .seal(Purpose::SignOut, &question, self.randomness())
                .map_err(|_| PageFault::Broken)?;
            let (action, email) = (own_address(request), &*person.email);
            let html = pages::sign_out(&self.settings, action, email, &sealed.joined());
            return Ok(answer::page(StatusCode::OK, html, "'self'"));
        }
        let frames = self.end_sign_in(&sign_in).await?;
        tracing::info!(user_id = person.user_id, "signed out");
        self.left(leaving, &frames)
    }

    /// Reads and checks the request. Nothing wrong is ever redirected.
    async fn leaving(&self, form: &Form) -> Result<Leaving, Refusal> {
        let mut hint = None;
        let mut named = form.find("client_id").map(str::to_owned);
        if let Some(token) = form.find("id_token_hint") {
            let keys = self.keys().await?;
            // It may have expired (§2).
            let claims = jose::verify(token, &keys.verifiers).map_err(|_| PageFault::WrongHint)?;
            let text = |name: &str| claims.get(name).and_then(Value::as_str);
            if text("iss") != Some(&self.settings.issuer) {
                return Err(PageFault::WrongHint.into());
            }
            let audiences = audiences(&claims);
            match &named {
                Some(id) if !audiences.contains(&id.as_str()) => {
                    return Err(PageFault::WrongHint.into());
                }
                Some(_) => {}
                None => {
                    let party = text("azp").or_else(|| audiences.first().copied());
                    named = party.map(str::to_owned);
                }
            }
            let sub = text("sub").ok_or(PageFault::WrongHint)?;
            hint = Some((sub.to_owned(), text("sid").map(str::to_owned)));
        }
        let target = match form.find("post_logout_redirect_uri") {
            None => None,
            Some(uri) => {
                let id = named.ok_or(PageFault::UnregisteredRedirect)?;
                let client = self.client_named(&id).await?;
                let client = client.ok_or(PageFault::UnknownClient)?;
                if !client.rules.after_logout.iter().any(|one| **one == *uri) {
                    return Err(PageFault::UnregisteredRedirect.into());
                }
                Some(match form.find("state") {
                    Some(state) => location(uri, &[("state", state)]),
                    None => uri.to_owned(),
                })
            }
        };
        Ok(Leaving { target, hint })
    }

    async fn was_asked(
        &self,
        request: &Request<Bytes>,
        form: &Form,
        sign_in: &SignIn,
    ) -> Result<bool, Refusal> {
        let Some(answer) = form
            .find("sign_out")
            .filter(|_| request.method() == Method::POST)
        else {
            return Ok(false);
        };
        let opened = self
            .seal()
            .await?
            .open::<Question>(Purpose::SignOut, &Sealed::split(answer));
        Ok(opened.is_ok_and(|question| question.sid == sign_in.sid))
    }

    /// Ends a sign-in and writes down whom to tell. Gives the pages that have to be shown for it
    /// (Front-Channel Logout 1.0 §2).
    pub(super) async fn end_sign_in(&self, sign_in: &SignIn) -> Result<Vec<String>, Refusal> {
        let mut told = Vec::new();
        let mut frames = Vec::new();
        let mut ended = Vec::new();
        for id in self.store.clients_of(&sign_in.sid).await? {
            let Some(client) = self.client_named(&id).await? else {
                continue;
            };
            if client.rules.back_channel_logout.is_some() {
                told.push(id.clone());
            }
            if client.refresh_ends_with_session {
                ended.push(id);
            }
            frames.extend(self.frame(&client, &sign_in.sid));
        }
        let notices = told
            .iter()
            .map(|client| (client.as_str(), self.random_secret()));
        let notices: Vec<_> = notices.collect();
        let issuer = &*self.settings.issuer;
        self.store
            .end_sign_in(issuer, sign_in, &notices, &ended, self.now())
            .await?;
        self.tell_soon();
        Ok(frames)
    }

    /// Ends the sign-in that a browser had before another person signed in there.
    pub(super) async fn end_browsers_sign_in(&self, sid: &str) -> Result<(), Refusal> {
        if let Some(sign_in) = self.store.sign_in_of(sid).await? {
            self.end_sign_in(&sign_in).await?;
        }
        Ok(())
    }

    fn frame(&self, client: &ProviderClient, sid: &str) -> Option<String> {
        let page = client.rules.front_channel_logout.as_deref()?;
        Some(location(
            page,
            &[("iss", &self.settings.issuer), ("sid", sid)],
        ))
    }

    /// The last answer, without the cookie.
    fn left(&self, leaving: Leaving, frames: &[String]) -> Answer {
        let mut response = match leaving.target {
            Some(target) if frames.is_empty() => answer::redirect_to(StatusCode::FOUND, &target),
            target => {
                let html = pages::signed_out(&self.settings, target.as_deref(), frames);
                let origins: Vec<String> = frames
                    .iter()
                    .filter_map(|frame| {
                        Some(url::Url::parse(frame).ok()?.origin().ascii_serialization())
                    })
                    .collect();
                let further = match origins.is_empty() {
                    true => String::new(),
                    false => format!("frame-src {}; ", origins.join(" ")),
                };
                answer::page_with(StatusCode::OK, html, "'none'", &further)
            }
        };
        if let Some(cookie) = self.no_sign_in_cookie() {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        Ok(response)
    }
}
