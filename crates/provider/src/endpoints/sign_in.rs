//! The cookie of a remembered sign-in: sealed, so that nothing is looked up for one that is not
//! ours.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, header};
use serde::{Deserialize, Serialize};

use crate::authorize::SignIn;
use crate::provider::Provider;
use crate::sealed::{Purpose, Sealed};
use crate::storage::{Lifetimes, StoreError};

/// What the cookie holds.
#[derive(Serialize, Deserialize)]
struct Cookie {
    secret: String,
}

impl Provider {
    /// How long sign-ins are remembered; nothing when they are not.
    pub(super) fn lifetimes(&self) -> Option<Lifetimes> {
        let rules = self.settings.protocol.sessions.as_ref()?;
        Some(Lifetimes {
            absolute: rules.absolute,
            idle: rules.idle,
        })
    }

    /// What is remembered of the browser that sent `request`.
    pub(super) async fn remembered(
        &self,
        request: &Request<Bytes>,
    ) -> Result<Option<SignIn>, StoreError> {
        let (Some(lifetimes), Some(rules)) =
            (self.lifetimes(), self.settings.protocol.sessions.as_ref())
        else {
            return Ok(None);
        };
        let seal = self.seal().await?;
        for value in cookies(request.headers(), &rules.cookie) {
            let Ok(cookie) = seal.open::<Cookie>(Purpose::SignIn, &Sealed::split(value)) else {
                continue;
            };
            let issuer = &*self.settings.issuer;
            let found = self
                .store
                .sign_in(issuer, &cookie.secret, lifetimes, self.now());
            if let Some(found) = found.await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The cookie that holds `secret`.
    pub(super) async fn sign_in_cookie(
        &self,
        secret: &str,
    ) -> Result<Option<HeaderValue>, StoreError> {
        let Some(rules) = self.settings.protocol.sessions.as_ref() else {
            return Ok(None);
        };
        let cookie = Cookie {
            secret: secret.to_owned(),
        };
        let sealed = self.seal().await?;
        let Ok(sealed) = sealed.seal(Purpose::SignIn, &cookie, self.randomness()) else {
            return Ok(None);
        };
        let age = rules.absolute.as_secs();
        let text = format!(
            "{}={}; Max-Age={age}; {}",
            rules.cookie,
            sealed.joined(),
            self.cookie_place()
        );
        Ok(HeaderValue::try_from(text).ok())
    }

    /// Takes the cookie back.
    pub(super) fn no_sign_in_cookie(&self) -> Option<HeaderValue> {
        let rules = self.settings.protocol.sessions.as_ref()?;
        let text = format!("{}=; Max-Age=0; {}", rules.cookie, self.cookie_place());
        HeaderValue::try_from(text).ok()
    }

    fn cookie_place(&self) -> String {
        let path = match &*self.settings.path {
            "" => "/",
            path => path,
        };
        let secure = match self.settings.issuer.starts_with("https:") {
            true => "; Secure",
            false => "",
        };
        format!("Path={path}; HttpOnly; SameSite=Lax{secure}")
    }
}

/// All cookies of this name.
fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(move |(known, _)| *known == name)
        .map(|(_, value)| value)
}
