//! Sessions that an OAuth2 Proxy with the same cookie secret began, for as long as it would have
//! honoured them. They are in the cookie, whole: nothing of them is stored here.

mod format;

use std::sync::Arc;

use aws_lc_rs::digest;
use http::HeaderMap;
use model::names::{Duration, Timestamp};
use model::snapshot::{Login, LoginShape};
use policy::{NoSession, Person};
use quick_cache::sync::Cache;

use super::person::vouched;
use super::store::Record;
use super::value::Name;
use super::{Sessions, cookies};
use format::Content;
#[cfg(test)]
pub(super) use format::tests::sealed;

/// How many are remembered, so that they are not opened for each request.
const REMEMBERED: usize = 1024;

/// More parts than any session has.
const MOST_PARTS: usize = 16;

/// The clock of another replica may be so much ahead.
const AHEAD: Duration = Duration::from_secs(300);

/// Those that were opened, by the SHA-256 of their cookies.
pub(super) struct Inherited(Cache<Name, Arc<Person>>);

impl Default for Inherited {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl Sessions {
    /// The person whom an OAuth2 Proxy signed in. `None` where there is no such cookie.
    pub(super) fn inherited(
        &self,
        headers: &HeaderMap,
        login: &Login,
        now: Timestamp,
    ) -> Option<Result<Arc<Person>, NoSession>> {
        let value = joined(headers, login)?;
        let name = name_of(&value);
        if self.ended.get(&name).is_some() {
            return Some(Err(NoSession::Unknown));
        }
        if let Some(person) = self.inherited.0.get(&name) {
            let is_mine = person.login() == login.key();
            return Some(match person.expires() > now {
                true if is_mine => Ok(person),
                true => Err(NoSession::Unknown),
                false => Err(NoSession::Expired),
            });
        }
        let opened = format::open(login.cookie_secret.expose(), &login.cookie_name, &value);
        let Ok((created, content)) = opened else {
            return Some(Err(NoSession::Unknown));
        };
        let expires = created.plus(login.cookie_expire);
        if created > now.plus(AHEAD) {
            return Some(Err(NoSession::Unknown));
        }
        if expires <= now {
            return Some(Err(NoSession::Expired));
        }
        let person = Arc::new(vouched(record(login, content, created, expires)));
        self.inherited.0.insert(name, Arc::clone(&person));
        Some(Ok(person))
    }

    /// From now on this process does not honour what the request brought. Nothing else can: the
    /// cookie itself is the session, and is deleted in the browser.
    pub(super) fn disinherit(&self, headers: &HeaderMap, login: &Login) {
        if let Some(value) = joined(headers, login) {
            let name = name_of(&value);
            self.ended.insert(name, ());
            self.inherited.0.remove(&name);
        }
    }
}

fn name_of(value: &str) -> Name {
    let mut name = Name::default();
    name.copy_from_slice(digest::digest(&digest::SHA256, value.as_bytes()).as_ref());
    name
}

/// The cookie, put together from its parts: the undivided one wins when it is there.
fn joined(headers: &HeaderMap, login: &Login) -> Option<String> {
    if login.cookie_secret.is_empty() || login.shape != LoginShape::OAuth2Proxy {
        return None;
    }
    let one = |name: &str| -> Option<String> {
        // A session of doorward's own has the same name, and no bars.
        let is_whole = name.len() == login.cookie_name.len();
        let mut values = cookies::named(headers, name);
        let value = values.find(|value| !is_whole || value.contains(&b'|'))?;
        String::from_utf8(value.to_vec()).ok()
    };
    if let Some(whole) = one(&login.cookie_name) {
        return Some(whole);
    }
    let mut all = one(&format!("{}_0", login.cookie_name))?;
    for number in 1..MOST_PARTS {
        match one(&format!("{}_{number}", login.cookie_name)) {
            Some(part) => all.push_str(&part),
            None => break,
        }
    }
    Some(all)
}

fn record(login: &Login, content: Content, created: Timestamp, expires: Timestamp) -> Record {
    let Content {
        access_token,
        id_token,
        refresh_token,
        email,
        user,
        groups,
        preferred_username,
    } = content;
    Record {
        login: login.key(),
        issuer: login.issuer.to_string(),
        user,
        sid: None,
        email,
        groups,
        preferred_username: Some(preferred_username).filter(|name| !name.is_empty()),
        id_token,
        access_token: Some(access_token).filter(|token| !token.is_empty()),
        refresh_token: Some(refresh_token).filter(|token| !token.is_empty()),
        tokens: None,
        created,
        expires,
    }
}
