//! AuthService's shape: a callback at a path of its own, and a sign-out for scripts.

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use model::snapshot::AuthServiceShape;
use policy::NoSession;
use serde_json::json;
use url::form_urlencoded::byte_serialize;

use super::LoginProxy;
use crate::flow::target::parameter;
use crate::issuer::IssuerFault;
use crate::pages::{self, Answer};
use crate::site::Site;

/// What a browser says of where a request comes from (Fetch Metadata).
const FETCH_SITE: &str = "sec-fetch-site";

impl LoginProxy {
    /// The callback, a file that pages load, or else a sign-out: nothing else gets here.
    pub(super) async fn auth_service(
        &self,
        shape: &AuthServiceShape,
        parts: &Parts,
        body: &Bytes,
        site: &Site,
    ) -> Answer {
        if let Some(page) = parts.uri.path().strip_prefix(&*self.settings.prefix)
            && let Some(name) = page.strip_prefix("/static/")
        {
            return within_check(pages::file(name, &parts.headers));
        }
        if parts.uri.path() != &*shape.callback {
            return self.end_session(shape, parts, site).await;
        }
        let query = parts.uri.query().unwrap_or_default();
        if parameter(query, "code").is_none() && parameter(query, "error").is_none() {
            return to(&shape.homepage);
        }
        self.callback(parts, body, site).await
    }

    /// 201 with the address to go to. Any 200 would be taken for leave to pass by an Envoy that asks.
    async fn end_session(&self, shape: &AuthServiceShape, parts: &Parts, site: &Site) -> Answer {
        let (headers, now) = (&parts.headers, self.clock.now());
        let named = shape
            .session_headers
            .iter()
            .find(|name| headers.contains_key(*name));
        let by_get = parts.method == Method::GET;
        if !by_get && named.is_none() && !is_from_here(headers, site) {
            return empty(StatusCode::UNAUTHORIZED);
        }
        // A session that is named is the one that ends, whatever the cookie says.
        let mut proof = HeaderMap::new();
        let source = named.filter(|_| !by_get).unwrap_or(&COOKIE);
        for value in headers.get_all(source) {
            proof.append(source, value.clone());
        }
        let mut known = self.sessions.person(&proof, &self.settings, now).await;
        if known.is_err() && named.is_some() && is_from_here(headers, site) {
            // A page that cannot read the cookie sends what it does not know.
            proof = HeaderMap::new();
            for value in headers.get_all(COOKIE) {
                proof.append(COOKIE, value.clone());
            }
            known = self.sessions.person(&proof, &self.settings, now).await;
        }
        if known.is_ok()
            && let Err(status) = self.revoke(&proof).await
        {
            return empty(status);
        }
        let answer = match known {
            Err(NoSession::StoreUnavailable) => {
                return empty(StatusCode::INTERNAL_SERVER_ERROR);
            }
            Err(_) if by_get => see_other(),
            Err(_) => return empty(StatusCode::UNAUTHORIZED),
            Ok(_) => match self.sessions.end(&proof, &self.settings).await {
                Ok(()) if by_get => see_other(),
                Ok(()) => {
                    let told = json!({ "afterLogoutURL": &*shape.after_logout }).to_string();
                    pages::text(StatusCode::CREATED, "application/json", told)
                }
                Err(error) => {
                    tracing::error!(%error, "a session cannot be ended");
                    return empty(StatusCode::INTERNAL_SERVER_ERROR);
                }
            },
        };
        let deletions = self.deletions(headers, site, true);
        pages::uncached(pages::with_cookies(answer, deletions))
    }
}

impl LoginProxy {
    /// Revokes the tokens of a session. Where the issuer does not, the session stays, so that it can
    /// be tried again.
    async fn revoke(&self, proof: &HeaderMap) -> Result<(), StatusCode> {
        let revoked = self.sessions.revoke_tokens(proof, &self.settings).await;
        revoked.map_err(|fault| {
            tracing::warn!(%fault, "the issuer does not revoke the tokens of a session");
            match fault {
                IssuerFault::Status(StatusCode::SERVICE_UNAVAILABLE) => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            }
        })
    }
}

/// Where somebody goes who signed in: what they wanted, or the landing page that is set, which is
/// told what they wanted.
pub(super) fn landing(shape: &AuthServiceShape, wanted: &HeaderValue) -> HeaderValue {
    let Some((landing, is_told)) = &shape.after_login else {
        return wanted.clone();
    };
    if !is_told {
        return HeaderValue::try_from(&**landing).unwrap_or_else(|_| wanted.clone());
    }
    let next: String = byte_serialize(wanted.as_bytes()).collect();
    let join = if landing.contains('?') { '&' } else { '?' };
    let url = format!("{landing}{join}next={next}");
    HeaderValue::try_from(url).unwrap_or_else(|_| wanted.clone())
}

/// Whether a page of this site sent it, or no page at all.
fn is_from_here(headers: &HeaderMap, site: &Site) -> bool {
    if let Some(from) = headers.get(FETCH_SITE) {
        return matches!(from.as_bytes(), b"same-origin" | b"none");
    }
    match headers.get(ORIGIN) {
        None => true,
        Some(origin) => {
            let own = format!("{}://{}", site.scheme(), site.authority);
            origin.as_bytes().eq_ignore_ascii_case(own.as_bytes())
        }
    }
}

/// A file, or 404. Any 200 would be taken for leave to pass by an Envoy that asks; browsers treat 203
/// (RFC 9110 §15.3.4) alike.
fn within_check(file: Option<Answer>) -> Answer {
    let Some(mut file) = file else {
        return empty(StatusCode::NOT_FOUND);
    };
    if file.status() == StatusCode::OK {
        *file.status_mut() = StatusCode::NON_AUTHORITATIVE_INFORMATION;
    }
    file
}

fn to(place: &str) -> Answer {
    match HeaderValue::try_from(place) {
        Ok(place) => pages::redirect(place),
        Err(_) => pages::redirect(HeaderValue::from_static("/")),
    }
}

fn see_other() -> Answer {
    let mut answer = to("/");
    *answer.status_mut() = StatusCode::SEE_OTHER;
    answer
}

pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Answer::new(Bytes::new());
    *answer.status_mut() = status;
    answer
}

/// The values of sessions that headers name: as a bearer, or bare.
pub(crate) fn named_sessions<'a>(
    headers: &'a HeaderMap,
    shape: &'a AuthServiceShape,
) -> impl Iterator<Item = &'a [u8]> {
    shape.session_headers.iter().filter_map(|name| {
        let value = headers.get(name)?.as_bytes();
        match value.strip_prefix(b"Bearer ") {
            Some(bare) => Some(bare.trim_ascii()),
            None if name == AUTHORIZATION && value.contains(&b' ') => None,
            None => Some(value.trim_ascii()),
        }
    })
}
