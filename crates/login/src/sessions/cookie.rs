//! The cookie of a session that begins, whatever it carries.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use model::names::Duration;
use model::snapshot::Login;

use super::sealed::set_cookies;
use super::value::CookieValue;
use crate::cookies::{self, Attributes};
use crate::site::Site;

/// The cookie of a session that begins.
pub(crate) enum SessionCookie {
    /// A number that stands for it in the store.
    Drawn(CookieValue),
    /// The session itself.
    Sealed(Arc<str>),
}

impl SessionCookie {
    /// `Set-Cookie` for it, and for what else the browser has under its names, which goes.
    pub(crate) fn set(
        &self,
        login: &Login,
        site: &Site,
        headers: &HeaderMap,
        lasts: Duration,
    ) -> Vec<HeaderValue> {
        let value = match self {
            Self::Drawn(value) => value,
            Self::Sealed(body) => return set_cookies(login, site, headers, body, lasts),
        };
        let attributes = Attributes::session(login, site);
        let set = attributes.set(&login.cookie_name, &value.text(), lasts);
        let stale = cookies::belonging(headers, login, true, false);
        let stale = stale
            .iter()
            .filter(|name| **name != *login.cookie_name)
            .filter_map(|name| attributes.delete(name));
        set.into_iter().chain(stale).collect()
    }
}

#[cfg(any(test, feature = "testing"))]
impl SessionCookie {
    /// The value of a cookie that stands for a session in a store.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Drawn(value) => value.text(),
            Self::Sealed(_) => String::new(),
        }
    }
}
