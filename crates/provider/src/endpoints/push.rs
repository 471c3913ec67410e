//! `POST /par`: a client pushes an authorization request and gets a name for it (RFC 9126); and what
//! such a name, or a request object, stands for.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use model::names::Duration;
use model::snapshot::ProviderClient;
use oidc::wire::ErrorCode;
use serde_json::json;

use crate::answer;
use crate::authorize::{Arrival, CheckFault, Delivery, may_answer_at, opened};
use crate::form::Form;
use crate::provider::{Answer, Provider};
use crate::refusal::{PageFault, Refusal, TokenFault};

/// How `request_uri`s begin (RFC 9126 §2.2).
const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

/// How long a pushed request waits for its browser.
const LIFETIME: Duration = Duration::from_secs(90);

/// An authorization request with its parameters gathered.
pub(super) struct Gathered {
    pub(super) form: Form,
    pub(super) arrival: Arrival,
    /// What names the request, when it may be answered once only.
    pub(super) id: Option<String>,
}

impl Provider {
    pub(crate) async fn push(&self, request: &Request<Bytes>) -> Answer {
        if request.method() != Method::POST {
            return Err(TokenFault::NotPost.into());
        }
        let form = Form::of_body(request).map_err(TokenFault::from)?;
        let client = self.proven_client(request, &form).await?;
        // RFC 9126 §2.1.
        if form.find("request_uri").is_some() {
            return Err(TokenFault::Push(
                ErrorCode::InvalidRequest,
                "`request_uri` cannot be pushed",
            )
            .into());
        }
        let proven = self.proof_of_possession(request, None).await?;
        let issuer = &*self.settings.issuer;
        let opened = opened(&form, &client, issuer, self.now())
            .map_err(|(code, reason)| TokenFault::Push(code, reason))?;
        let hint = opened.find("dpop_jkt");
        if hint.is_some() && proven.is_some() && hint != proven.as_deref() {
            return Err(TokenFault::WrongKey.into());
        }
        let secrets = ["client_secret", "client_assertion", "client_assertion_type"];
        let mut kept = secrets
            .iter()
            .fold(opened, |form, secret| form.without(secret))
            .overridden([("client_id".to_owned(), client.id.to_string())]);
        if let Some(key) = proven {
            kept = kept.overridden([("dpop_jkt".to_owned(), key)]);
        }
        let keys = self.keys().await?;
        let facts = self.facts(&client, &keys.verifiers, Arrival::Pushed);
        match facts.check(&kept, "", String::new()) {
            Ok(_) => {}
            Err(CheckFault::UnregisteredRedirect) => {
                let reason = "`redirect_uri` is not registered";
                return Err(TokenFault::Push(ErrorCode::InvalidRequest, reason).into());
            }
            Err(CheckFault::Redirected { code, reason, .. }) => {
                return Err(TokenFault::Push(code, reason).into());
            }
        }
        let uri = format!("{PREFIX}{}", self.random_secret());
        let until = self.now().plus(LIFETIME);
        let text = kept.query_without("");
        self.store
            .push(issuer, &client.id, &uri, &text, until)
            .await?;
        let told = json!({ "request_uri": uri, "expires_in": LIFETIME.as_secs() });
        let mut response = answer::secret_json(&told);
        *response.status_mut() = StatusCode::CREATED;
        Ok(response)
    }

    /// The parameters of a request of `client`: its own, those of its object, or those it pushed.
    pub(super) async fn gathered(
        &self,
        form: &Form,
        client: &ProviderClient,
    ) -> Result<Gathered, Refusal> {
        let issuer = &*self.settings.issuer;
        if let Some(uri) = form
            .find("request_uri")
            .filter(|uri| uri.starts_with(PREFIX))
        {
            let pushed = self.store.pushed(issuer, &client.id, uri, self.now());
            // Nobody knows where an error would go.
            let pushed = pushed.await?.ok_or(PageFault::UnknownRequest)?;
            // A name of its own makes it good for one answer.
            let id = format!("pushed {}", uri.trim_start_matches(PREFIX));
            if self.store.is_answered(&id).await? {
                return Err(PageFault::AlreadyAnswered.into());
            }
            return Ok(Gathered {
                form: Form::parse(pushed.as_bytes()).map_err(PageFault::from)?,
                arrival: Arrival::Pushed,
                id: Some(id),
            });
        }
        let form = opened(form, client, issuer, self.now()).map_err(|(code, reason)| {
            // Where the request says it may go, as far as that is the client's.
            let redirect = form.text("redirect_uri");
            match may_answer_at(&self.settings, client, redirect) {
                true => Refusal::Client {
                    delivery: Delivery::of(form),
                    code,
                    reason,
                },
                false => PageFault::UnregisteredRedirect.into(),
            }
        })?;
        Ok(Gathered {
            form,
            arrival: Arrival::Plain,
            id: None,
        })
    }
}
