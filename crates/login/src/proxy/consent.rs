//! Asking another program whether somebody may pass (`EXTERNAL_AUTHZ_URL` of AuthService). One that
//! does not answer as expected lets nobody through.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use model::snapshot::{LoginShape, RouteAction};
use policy::decision::Consent;
use serde_json::json;

use super::LoginProxy;
use super::auth_service::empty;
use crate::pages::{self, Again, Answer};
use crate::site::Site;

/// The longest reason that is shown.
const LONGEST_REASON: usize = 500;

impl LoginProxy {
    /// Asks, and answers what the decision has for somebody who may pass, or 403. Whoever is refused
    /// loses the session.
    pub async fn consent(&self, consent: &Consent, request: Request<Bytes>) -> Answer {
        let (parts, _) = request.into_parts();
        let answer = match self.ask(consent).await {
            Some(answer) => answer,
            None => return empty(StatusCode::FORBIDDEN),
        };
        match answer.status() {
            status if status.is_success() => granted(consent),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let reason = String::from_utf8_lossy(answer.body());
                let reason: String = reason.trim().chars().take(LONGEST_REASON).collect();
                self.refused(
                    &reason,
                    &parts.headers,
                    Site::of(&parts.uri, &parts.headers),
                )
                .await
            }
            status => {
                tracing::warn!(url = %consent.url, status = status.as_u16(), "the authorizer does not say whether somebody may pass");
                empty(StatusCode::FORBIDDEN)
            }
        }
    }

    async fn ask(&self, consent: &Consent) -> Option<http::Response<Bytes>> {
        let Consent {
            user,
            groups,
            method_of_proof,
            claims,
            host,
            port,
            path,
            method,
            ..
        } = consent;
        let now = jiff::Timestamp::from_second(self.clock.now().seconds()).unwrap_or_default();
        let question = json!({
            "timestamp": now.to_string(),
            "user": {
                "name": user,
                "id": user,
                "groups": groups,
                "extra": { "auth-method": [method_of_proof] },
                "claims": claims,
            },
            "request": { "host": host, "port": port, "path": path, "method": method },
        });
        let request = Request::post(&*consent.url)
            .header(CONTENT_TYPE, "application/json")
            .body(Bytes::from(question.to_string()))
            .ok()?;
        let answer = self.sessions.clients().issuer().ask(request).await;
        answer
            .inspect_err(|fault| {
                tracing::warn!(url = %consent.url, %fault, "the authorizer does not say whether somebody may pass");
            })
            .ok()
    }

    async fn refused(&self, reason: &str, headers: &HeaderMap, site: Option<Site>) -> Answer {
        if let Err(error) = self.sessions.end(headers, &self.settings).await {
            tracing::error!(%error, "a session cannot be ended");
        }
        let home = match &self.settings.shape {
            LoginShape::AuthService(shape) => shape.homepage.to_string(),
            LoginShape::OAuth2Proxy => "/".to_owned(),
        };
        let again = Again {
            address: home,
            label: "Go to the home page",
        };
        let page = pages::not_allowed(reason, &self.settings.prefix, again, headers);
        match site {
            Some(site) => pages::with_cookies(page, self.deletions(headers, &site, false)),
            None => page,
        }
    }
}

fn granted(consent: &Consent) -> Answer {
    let RouteAction::Respond(respond) = &consent.route.action else {
        return empty(StatusCode::FORBIDDEN);
    };
    let mut answer = Answer::new(Bytes::copy_from_slice(&respond.body));
    *answer.status_mut() = StatusCode::from_u16(respond.status).unwrap_or(StatusCode::FORBIDDEN);
    if !respond.body.is_empty() {
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        answer.headers_mut().insert(CONTENT_TYPE, plain);
    }
    answer
}
