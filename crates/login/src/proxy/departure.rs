//! Leaving for the issuer: as a plain redirect, with a signed request (RFC 9101), or with one that was
//! pushed before (RFC 9126).

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode};
use model::snapshot::{Login, WhenOffered};
use oidc::discovery::ProviderMetadata;
use serde_json::Value;

use super::{LoginProxy, named};
use crate::client::error_code;
use crate::cookies::Attributes;
use crate::flow::attempt::Attempt;
use crate::flow::begin::{authorization_parameters, authorization_url, outside};
use crate::flow::target::Target;
use crate::issuer::IssuerFault;
use crate::pages::{self, Again, Answer, Trouble};
use crate::site::Site;

impl LoginProxy {
    /// To the issuer of `choice`, once it is known where its sign-in is.
    pub(super) async fn depart(
        &self,
        choice: &Login,
        headers: &HeaderMap,
        site: &Site,
        target: Target,
    ) -> Answer {
        let login = &*self.settings;
        let now = self.clock.now();
        let attempt = Attempt::new(choice, &*self.randomness, now, target);
        let url = match self.way(choice, site, &attempt).await {
            Ok(url) => url,
            Err(fault) => {
                tracing::warn!(issuer = %choice.issuer, %fault, "nobody can sign in");
                let again = Again {
                    address: self.start_address(choice, attempt.target()),
                    label: "Try again",
                };
                return self.trouble(Trouble::of_issuer(fault), headers, Some(again));
            }
        };
        let seal = self.sessions.seal();
        let Some(value) = seal.seal(login, &attempt, &*self.randomness) else {
            return self.trouble(Trouble::of_issuer(IssuerFault::Unreadable), headers, None);
        };
        let name = attempt.cookie_name(login);
        let attributes = Attributes::attempt(login, site);
        let surplus = seal.surplus(login, headers, name.len() + value.len(), now);
        let cookies = surplus
            .iter()
            .filter_map(|name| attributes.delete(name))
            .chain(attributes.set(&name, &value, login.attempt_lifetime));
        pages::with_cookies(pages::redirect(url), cookies)
    }

    /// The URL that begins `attempt` at the issuer of `choice`.
    async fn way(
        &self,
        choice: &Login,
        site: &Site,
        attempt: &Attempt,
    ) -> Result<HeaderValue, IssuerFault> {
        let metadata = match &choice.login_url {
            Some(_) => None,
            None => Some(self.sessions.keys().metadata(&choice.issuer).await?),
        };
        let metadata = metadata.as_deref();
        let endpoint: Arc<str> = match (&choice.login_url, metadata) {
            (Some(url), _) => url.clone(),
            (None, Some(metadata)) => named(&metadata.authorization_endpoint)?,
            (None, None) => return Err(IssuerFault::Unreadable),
        };
        let mut parameters = authorization_parameters(choice, site, attempt);
        if self.signs(choice, metadata)? {
            let signed = self
                .sessions
                .clients()
                .request_object(choice, &parameters)?;
            let names = ["client_id", "response_type", "scope"];
            parameters = outside(&parameters, &names, ("request", signed));
        }
        if let Some(push) = pushes(choice, metadata)? {
            match self.push(choice, push, &parameters).await {
                Ok(uri) => {
                    parameters = outside(&parameters, &["client_id"], ("request_uri", uri));
                }
                // Nothing is lost where the issuer takes both.
                Err(fault)
                    if choice.pushed_requests == WhenOffered::Auto && !must_push(metadata) =>
                {
                    tracing::warn!(issuer = %choice.issuer, %fault, "the issuer took no pushed request");
                }
                Err(fault) => return Err(fault),
            }
        }
        let url = authorization_url(&endpoint, &parameters);
        HeaderValue::from_str(&url).map_err(|_| IssuerFault::BadAddress)
    }

    fn signs(
        &self,
        choice: &Login,
        metadata: Option<&ProviderMetadata>,
    ) -> Result<bool, IssuerFault> {
        let clients = self.sessions.clients();
        let must =
            metadata.is_some_and(|metadata| metadata.require_signed_request_object == Some(true));
        match choice.signed_requests {
            WhenOffered::Always => Ok(true),
            WhenOffered::Never if must => Err(IssuerFault::NotOffered),
            WhenOffered::Never => Ok(false),
            WhenOffered::Auto => {
                Ok(metadata.is_some_and(|metadata| clients.may_sign(choice, metadata)))
            }
        }
    }

    /// Pushes `parameters`; gives what stands for them.
    async fn push(
        &self,
        choice: &Login,
        endpoint: &str,
        parameters: &[(String, String)],
    ) -> Result<String, IssuerFault> {
        let form: Vec<(&str, &str)> = parameters
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let answer = self
            .sessions
            .clients()
            .post(choice, endpoint, &form)
            .await?;
        if !matches!(answer.status(), StatusCode::CREATED | StatusCode::OK) {
            tracing::warn!(issuer = %choice.issuer, error = ?error_code(&answer), "a pushed request was refused");
            return Err(IssuerFault::Status(answer.status()));
        }
        let body: Value =
            serde_json::from_slice(answer.body()).map_err(|_| IssuerFault::Unreadable)?;
        let uri = body.get("request_uri").and_then(Value::as_str);
        uri.map(str::to_owned).ok_or(IssuerFault::Unreadable)
    }
}

/// Where requests are pushed to, if they are.
fn pushes<'a>(
    choice: &Login,
    metadata: Option<&'a ProviderMetadata>,
) -> Result<Option<&'a str>, IssuerFault> {
    let endpoint = metadata
        .and_then(|metadata| metadata.pushed_authorization_request_endpoint.as_deref())
        .filter(|endpoint| !endpoint.is_empty());
    match choice.pushed_requests {
        WhenOffered::Always => endpoint.map(Some).ok_or(IssuerFault::NotOffered),
        WhenOffered::Never if must_push(metadata) => Err(IssuerFault::NotOffered),
        WhenOffered::Never => Ok(None),
        WhenOffered::Auto => Ok(endpoint),
    }
}

fn must_push(metadata: Option<&ProviderMetadata>) -> bool {
    metadata.is_some_and(|metadata| metadata.require_pushed_authorization_requests == Some(true))
}
