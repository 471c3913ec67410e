//! Signing out: here, at the issuer (RP-Initiated Logout 1.0), and because the issuer says so
//! (Front-Channel and Back-Channel Logout 1.0).

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use model::snapshot::Login;
use oidc::jose;
use serde_json::Value;

use super::{LoginProxy, form};
use crate::flow::logout::{end_session_url, order};
use crate::flow::renewal;
use crate::flow::target::{Target, parameter};
use crate::flow::token::takes_algorithm;
use crate::keys::Source;
use crate::pages::{self, Again, Answer, Trouble};
use crate::sessions::StoreError;
use crate::sessions::store::{Record, Whose};
use crate::site::Site;

const JSON: &str = "application/json";

impl LoginProxy {
    /// Ends the session; with `at_issuer` there too, where that is offered.
    pub(super) async fn sign_out(
        &self,
        parts: &Parts,
        body: &Bytes,
        site: &Site,
        at_issuer: bool,
    ) -> Answer {
        // Read before they are ended: the issuer wants to know which session is meant.
        let record = self.sessions.kept(&parts.headers, &self.settings).await;
        if let Some(record) = &record {
            self.tell_backend(record).await;
        }
        let target = self.target(parts, body);
        let answer = match self.sessions.end(&parts.headers, &self.settings).await {
            Ok(()) => {
                let leads = match &record {
                    Some(record) if at_issuer => self.end_at_issuer(record, site, &target).await,
                    _ => None,
                };
                pages::redirect(leads.unwrap_or_else(|| target.location()))
            }
            Err(error) => {
                tracing::error!(%error, "a session cannot be ended");
                self.trouble(Trouble::NOT_SIGNED_OUT, &parts.headers, None)
            }
        };
        pages::with_cookies(answer, self.deletions(&parts.headers, site, true))
    }

    /// Where the session of `record` is ended at its issuer; `None` when it does not offer that.
    async fn end_at_issuer(
        &self,
        record: &Record,
        site: &Site,
        target: &Target,
    ) -> Option<HeaderValue> {
        let choice = renewal::choice(&self.settings, record)?;
        let endpoint = match (&choice.end_session_url, &choice.login_url) {
            (Some(url), _) => url.to_string(),
            (None, Some(_)) => return None,
            (None, None) => {
                let metadata = self.sessions.keys().metadata(&choice.issuer).await.ok()?;
                metadata.end_session_endpoint.clone()?
            }
        };
        let state = match target.as_str() {
            "/" => "",
            target => target,
        };
        let url = end_session_url(choice, &endpoint, &record.id_token, site, state);
        HeaderValue::from_str(&url).ok()
    }

    /// `backend_logout_url`: asked, and not waited for to be of use.
    async fn tell_backend(&self, record: &Record) {
        let Some(url) = &self.settings.backend_logout_url else {
            return;
        };
        let url = url.replace("{id_token}", &record.id_token);
        let request = http::Request::get(url).body(Bytes::new());
        let Ok(request) = request else {
            tracing::warn!("`backend_logout_url` is no address");
            return;
        };
        match self.sessions.clients().issuer().ask(request).await {
            Ok(answer) if answer.status().is_success() => {}
            Ok(answer) => {
                tracing::warn!(
                    status = answer.status().as_u16(),
                    "the back end did not sign out"
                );
            }
            Err(fault) => tracing::warn!(%fault, "the back end did not sign out"),
        }
    }

    /// Back from the issuer, signed out: on to where they wanted, or a page that says so.
    pub(super) fn signed_out(&self, parts: &Parts, site: &Site) -> Answer {
        let state = parameter(parts.uri.query().unwrap_or_default(), "state");
        let target =
            state.and_then(|state| Target::parse(&state, &self.settings.whitelist_domains));
        if let Some(target) = target {
            return pages::redirect(target.location());
        }
        let again = Again {
            address: format!("{}/sign_in", self.settings.prefix),
            label: "Sign in again",
        };
        pages::signed_out(&self.settings.prefix, &site.authority, again)
    }

    /// The issuer tells, server to server, that somebody signed out (Back-Channel Logout 1.0 §2.5).
    pub(super) async fn backchannel_logout(&self, parts: &Parts, body: &Bytes) -> Answer {
        let answer = |status: StatusCode, body: String| {
            let mut answer = pages::text(status, JSON, body);
            let never = HeaderValue::from_static("no-store");
            answer.headers_mut().insert(CACHE_CONTROL, never);
            answer
        };
        if parts.method != Method::POST {
            return answer(StatusCode::METHOD_NOT_ALLOWED, String::new());
        }
        let token = form(parts, body).and_then(|form| parameter(form, "logout_token"));
        let refuse = |why: &str| {
            tracing::warn!(
                login = self.settings.key(),
                why,
                "a logout token ends nothing"
            );
            let body = serde_json::json!({"error": "invalid_request"}).to_string();
            answer(StatusCode::BAD_REQUEST, body)
        };
        let Some(token) = token else {
            return refuse("there is none");
        };
        let claims = jose::peek(&token).unwrap_or_default();
        let mut fault = "it is from no issuer of this login".to_owned();
        for choice in self.named_by(claims.get("iss")) {
            if !takes_algorithm(choice, &token) {
                fault = "its algorithm is not taken".to_owned();
                continue;
            }
            let source = Source::of_login(choice);
            let proven = match self.sessions.keys().prove(&token, &source).await {
                Ok(proven) => proven,
                Err(unproven) => {
                    fault = format!("{unproven:?}");
                    continue;
                }
            };
            match order(choice, proven.claims(), self.clock.now()) {
                Ok(order) => {
                    if !self.sessions.take_order(&order, self.clock.now()) {
                        return refuse("it was taken before");
                    }
                    return match self.sessions.end_whose(&order.whose).await {
                        Ok(ended) => {
                            tracing::info!(ended, "the issuer signed somebody out");
                            answer(StatusCode::OK, String::new())
                        }
                        Err(error) => {
                            self.sessions.give_order_back(&order);
                            tracing::error!(%error, "sessions cannot be ended");
                            let status = match error {
                                StoreError::InCookies => StatusCode::NOT_IMPLEMENTED,
                                _ => StatusCode::SERVICE_UNAVAILABLE,
                            };
                            answer(status, String::new())
                        }
                    };
                }
                Err(wrong) => fault = format!("{wrong:?}"),
            }
        }
        refuse(&fault)
    }

    /// The issuer shows, in a frame of its own page, that somebody signed out (Front-Channel
    /// Logout 1.0 §2). Browsers send no cookie into a frame, so the session is told by its name.
    pub(super) async fn frontchannel_logout(&self, parts: &Parts) -> Answer {
        let query = parts.uri.query().unwrap_or_default();
        let issuer = parameter(query, "iss").map(Value::from);
        let sid = parameter(query, "sid").filter(|sid| !sid.is_empty());
        let choices: Vec<&Login> = self.named_by(issuer.as_ref()).collect();
        if let (Some(choice), Some(sid)) = (choices.first(), sid) {
            let whose = Whose::Sid {
                issuer: choice.issuer.to_string(),
                sid,
            };
            match self.sessions.end_whose(&whose).await {
                Ok(ended) => tracing::info!(ended, "the issuer signed somebody out"),
                Err(error) => tracing::error!(%error, "sessions cannot be ended"),
            }
        }
        // The frame may stand in pages of our issuers only.
        let origins: Vec<String> = self.settings.choices().filter_map(origin).collect();
        let policy = format!("default-src 'none'; frame-ancestors {}", origins.join(" "));
        let mut answer =
            pages::uncached(pages::text(StatusCode::OK, "text/html; charset=utf-8", ""));
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
        }
        answer
    }

    fn named_by(&self, issuer: Option<&Value>) -> impl Iterator<Item = &Login> {
        let issuer = issuer.and_then(Value::as_str).map(str::to_owned);
        self.settings
            .choices()
            .filter(move |choice| issuer.as_deref() == Some(&*choice.issuer))
    }
}

fn origin(choice: &Login) -> Option<String> {
    let url = url::Url::parse(&choice.issuer).ok()?;
    Some(url.origin().ascii_serialization())
}
