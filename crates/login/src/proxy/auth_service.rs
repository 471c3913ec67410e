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
use crate::pages::{self, Answer};
use crate::site::Site;

/// What a browser says of where a request comes from (Fetch Metadata).
const FETCH_SITE: &str = "sec-fetch-site";

impl LoginProxy {
    /// The callback, or else a sign-out: nothing else gets here.
    pub(super) async fn auth_service(
        &self,
        shape: &AuthServiceShape,
        parts: &Parts,
        body: &Bytes,
        site: &Site,
    ) -> Answer {
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
        let named = headers.contains_key(&shape.session_header);
        let by_get = parts.method == Method::GET;
        if !by_get && !named && !is_from_here(headers, site) {
            return empty(StatusCode::UNAUTHORIZED);
        }
        // A session that is named is the one that ends, whatever the cookie says.
        let mut proof = HeaderMap::new();
        let source = if named && !by_get {
            &shape.session_header
        } else {
            &COOKIE
        };
        for value in headers.get_all(source) {
            proof.append(source, value.clone());
        }
        let mut known = self.sessions.person(&proof, &self.settings, now).await;
        if known.is_err() && named && is_from_here(headers, site) {
            // A page that cannot read the cookie sends what it does not know.
            proof = HeaderMap::new();
            for value in headers.get_all(COOKIE) {
                proof.append(COOKIE, value.clone());
            }
            known = self.sessions.person(&proof, &self.settings, now).await;
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

fn empty(status: StatusCode) -> Answer {
    let mut answer = Answer::new(Bytes::new());
    *answer.status_mut() = status;
    answer
}

/// The value of a session that a header names: as a bearer, or bare.
pub(crate) fn named_session<'a>(
    headers: &'a HeaderMap,
    shape: &AuthServiceShape,
) -> Option<&'a [u8]> {
    let value = headers.get(&shape.session_header)?.as_bytes();
    let bare = value.strip_prefix(b"Bearer ");
    match bare {
        Some(bare) => Some(bare.trim_ascii()),
        None if shape.session_header == AUTHORIZATION && value.contains(&b' ') => None,
        None => Some(value.trim_ascii()),
    }
}
