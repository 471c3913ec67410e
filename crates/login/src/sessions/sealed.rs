//! Sessions that are in their cookies, whole: nothing of them is stored here.
//!
//! What that costs: nobody can list them, or end those of somebody else; a sign-out takes the cookie
//! from the browser and is remembered by this process alone.
//!
//! New tokens need a new cookie, so a request that finds tokens due waits for them, and its answer
//! carries them. This process remembers what came of each cookie: requests that were under way with
//! the former one get the new one, too, and nobody asks the issuer twice. Other processes cannot
//! know. Where an issuer takes a refresh token once only, one of them is refused; as long as the
//! tokens of its cookie are good it goes on with them, and the browser has the newer cookie by then.

mod format;

use std::collections::HashSet;
use std::sync::Arc;

use aws_lc_rs::digest;
use http::{HeaderMap, HeaderValue, Uri};
use model::Snapshot;
use model::names::{Duration, Secret, Timestamp};
use model::seams::Randomness;
use model::snapshot::Login;
use policy::{NoSession, Person};
use quick_cache::sync::Cache;

use super::person::{fitting, vouched};
use super::renewing::End;
use super::store::{Record, StoreError};
use super::value::Name;
use super::{Sessions, cookies};
use crate::cookies::Attributes;
use crate::flow::renewal::{RenewalFault, Renewed};
use crate::site::Site;
pub(crate) use format::LONGEST;
use format::{CookieSeal, divided, joined};

/// How many are remembered, so that they are not opened for each request.
const OPENED: usize = 4096;

/// How many renewed cookies are remembered.
const REMEMBERED: usize = 16 * 1024;

/// A cookie that was renewed more often since is too old.
const MOST_HOPS: usize = 32;

/// Keys of cookies, and what this process made of which.
pub(super) struct SealedCookies {
    seal: CookieSeal,
    /// Those that were opened, by the SHA-256 of their bodies.
    people: Cache<Name, Opened>,
    renewed: Cache<Name, Arc<Successor>>,
}

/// A cookie that was opened.
#[derive(Clone)]
struct Opened {
    person: Arc<Person>,
    ends: Timestamp,
}

/// The cookie that took the place of another.
struct Successor {
    name: Name,
    body: Arc<str>,
}

/// What the cookies of a request are.
enum Shown {
    /// None of this form.
    Nothing,
    Person(Arc<Person>),
    /// New tokens are needed, soon or at once.
    Due {
        name: Name,
        body: Arc<str>,
        person: Result<Arc<Person>, NoSession>,
    },
    Not(NoSession),
}

impl SealedCookies {
    pub(super) fn new(secrets: &[Secret]) -> Option<Self> {
        Some(Self {
            seal: CookieSeal::new(secrets)?,
            people: Cache::new(OPENED),
            renewed: Cache::new(REMEMBERED),
        })
    }

    /// What the cookie `name` carries for a session.
    pub(super) fn body(
        &self,
        name: &str,
        record: &Record,
        randomness: &dyn Randomness,
    ) -> Result<Arc<str>, StoreError> {
        Ok(self.seal.seal(name, record, randomness)?.into())
    }
}

/// `Set-Cookie` for a session with this body, for `lasts`; what else the browser has under its names
/// goes.
pub(super) fn set_cookies(
    login: &Login,
    site: &Site,
    headers: &HeaderMap,
    body: &str,
    lasts: Duration,
) -> Vec<HeaderValue> {
    let attributes = Attributes::session(login, site);
    let empty = attributes.set("", "", lasts);
    let besides = empty.map_or(0, |empty| empty.len());
    let made = divided(&login.cookie_name, body, besides);
    let names: HashSet<&str> = made.iter().map(|(name, _)| name.as_str()).collect();
    let stale = cookies::belonging(headers, login, true, false);
    let stale = stale
        .iter()
        .filter(|name| !names.contains(name.as_str()))
        .filter_map(|name| attributes.delete(name));
    made.iter()
        .filter_map(|(name, value)| attributes.set(name, value, lasts))
        .chain(stale)
        .collect()
}

impl Sessions {
    /// Who the request's cookies are, without waiting. `None`: ask [`Self::sealed_person`].
    pub(super) fn sealed_now(
        &self,
        sealed: &SealedCookies,
        headers: &HeaderMap,
        login: &Login,
        now: Timestamp,
    ) -> Option<Option<Result<Arc<Person>, NoSession>>> {
        match self.shown(sealed, headers, login, now) {
            Shown::Nothing => Some(None),
            Shown::Person(person) => Some(Some(Ok(person))),
            Shown::Not(reason) => Some(Some(Err(reason))),
            Shown::Due { .. } => None,
        }
    }

    /// Who the request's cookies are; new tokens are waited for. `None` where it has none.
    pub(super) async fn sealed_person(
        &self,
        sealed: &SealedCookies,
        headers: &HeaderMap,
        login: &Arc<Login>,
        now: Timestamp,
    ) -> Option<Result<Arc<Person>, NoSession>> {
        let (name, body) = match self.shown(sealed, headers, login, now) {
            Shown::Nothing => return None,
            Shown::Person(person) => return Some(Ok(person)),
            Shown::Not(reason) => return Some(Err(reason)),
            Shown::Due { name, body, .. } => (name, body),
        };
        if let Some(end) = self.renewals.ask(name, login, Some(body), now) {
            self.renewals.wait(end).await;
        }
        let now = self.clock.now();
        Some(match self.shown(sealed, headers, login, now) {
            Shown::Nothing => Err(NoSession::Unknown),
            Shown::Person(person) => Ok(person),
            Shown::Not(reason) => Err(reason),
            // It goes on as long as its tokens are good.
            Shown::Due { person, .. } => person,
        })
    }

    fn shown(
        &self,
        sealed: &SealedCookies,
        headers: &HeaderMap,
        login: &Login,
        now: Timestamp,
    ) -> Shown {
        let Some(presented) = joined(headers, login) else {
            return Shown::Nothing;
        };
        let Some((name, body)) = self.latest(sealed, &presented) else {
            return Shown::Not(NoSession::Unknown);
        };
        let body = body.unwrap_or_else(|| presented.into());
        let Some(Opened { person, ends }) = self.opened(sealed, login, name, &body) else {
            return Shown::Not(NoSession::Unknown);
        };
        if ends <= now {
            return Shown::Not(NoSession::Expired);
        }
        let is_due = person.due().is_some_and(|due| due <= now);
        let person = fitting(&person, login, now).map(|()| person);
        match person {
            Err(NoSession::Unknown) => Shown::Not(NoSession::Unknown),
            person if is_due => Shown::Due { name, body, person },
            Ok(person) => Shown::Person(person),
            Err(reason) => Shown::Not(reason),
        }
    }

    fn opened(
        &self,
        sealed: &SealedCookies,
        login: &Login,
        name: Name,
        body: &str,
    ) -> Option<Opened> {
        if let Some(opened) = sealed.people.get(&name) {
            return Some(opened);
        }
        let record = sealed.seal.open(&login.cookie_name, body)?;
        let ends = self.lifetimes.ends(record.created, record.expires);
        let record = Record {
            expires: ends,
            ..record
        };
        let person = Arc::new(vouched(record));
        let opened = Opened { person, ends };
        sealed.people.insert(name, opened.clone());
        Some(opened)
    }

    /// The cookie that stands for a presented one now, with its body when that is another. `None`
    /// when it was ended.
    fn latest(&self, sealed: &SealedCookies, body: &str) -> Option<(Name, Option<Arc<str>>)> {
        let mut name = name_of(body);
        let mut latest = None;
        for _ in 0..MOST_HOPS {
            if self.ended.get(&name).is_some() {
                return None;
            }
            match sealed.renewed.get(&name) {
                Some(successor) => {
                    name = successor.name;
                    latest = Some(Arc::clone(&successor.body));
                }
                None => return Some((name, latest)),
            }
        }
        None
    }

    /// The record in the request's cookies.
    pub(super) fn sealed_record(
        &self,
        sealed: &SealedCookies,
        headers: &HeaderMap,
        login: &Login,
    ) -> Option<Record> {
        let presented = joined(headers, login)?;
        let (_, body) = self.latest(sealed, &presented)?;
        let body = body.as_deref().unwrap_or(&presented);
        sealed.seal.open(&login.cookie_name, body)
    }

    /// From now on this process does not know the session of the request's cookies.
    pub(super) fn end_sealed(&self, sealed: &SealedCookies, headers: &HeaderMap, login: &Login) {
        let Some(presented) = joined(headers, login) else {
            return;
        };
        if let Some((name, _)) = self.latest(sealed, &presented) {
            self.forget(&name);
        }
        self.forget(&name_of(&presented));
    }

    /// Cookies that the answer to a request must carry: those that took the place of what it brought.
    /// Empty where sessions are in a store.
    pub fn cookies_to_set(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Vec<HeaderValue> {
        match &self.sealed {
            None => Vec::new(),
            Some(sealed) => self.successors(sealed, uri, headers, snapshot.logins(), now),
        }
    }

    pub(super) fn successors(
        &self,
        sealed: &SealedCookies,
        uri: &Uri,
        headers: &HeaderMap,
        logins: &[Arc<Login>],
        now: Timestamp,
    ) -> Vec<HeaderValue> {
        let mut set = Vec::new();
        for login in logins {
            let Some(presented) = joined(headers, login) else {
                continue;
            };
            let newer = self.latest(sealed, &presented);
            let Some((name, Some(body))) = newer else {
                continue;
            };
            let opened = self.opened(sealed, login, name, &body);
            let (Some(held), Some(site)) = (opened, Site::of(uri, headers)) else {
                continue;
            };
            let left = held.ends.seconds().saturating_sub(now.seconds());
            if let Ok(left) = u64::try_from(left) {
                let lasts = Duration::from_secs(left);
                set.extend(set_cookies(login, &site, headers, &body, lasts));
            }
        }
        set
    }

    /// Gets new tokens for a cookie, and remembers what took its place.
    pub(super) async fn renew_sealed(&self, name: &Name, body: &str, login: &Login) -> End {
        let Some(sealed) = &self.sealed else {
            return End::Failed;
        };
        if sealed.renewed.get(name).is_some() {
            return End::Renewed;
        }
        let Some(record) = sealed.seal.open(&login.cookie_name, body) else {
            return End::Ended;
        };
        match self.ask_for(login, &record).await {
            Ok(Renewed::Whole(record)) => match self.succeed(sealed, name, *record, login) {
                Ok(_) => End::Renewed,
                Err(error) => {
                    tracing::error!(%error, "a session cannot be renewed in its cookie");
                    End::Failed
                }
            },
            // What the issuer replaced must not be lost, though the rest is of no use yet.
            Ok(Renewed::TokenOnly(record, fault)) => {
                tracing::warn!(?fault, "a session was renewed in part");
                match self.succeed(sealed, name, *record, login) {
                    Ok(successor) => self.note_failure(successor),
                    Err(error) => {
                        tracing::error!(%error, "a session cannot be renewed in its cookie");
                    }
                }
                End::Failed
            }
            Err(fault) if fault.ends_session(login) => {
                let is_good = record
                    .tokens
                    .is_some_and(|tokens| tokens.until > self.clock.now());
                // Another process may have used the refresh token, and set the newer cookie.
                if fault == RenewalFault::Refused && is_good {
                    tracing::warn!(
                        login = login.key(),
                        "a refresh token is taken no more; the session goes on with the tokens that it has"
                    );
                    return End::Failed;
                }
                tracing::info!(
                    login = login.key(),
                    ?fault,
                    "a session ended with its tokens"
                );
                self.forget(name);
                End::Ended
            }
            Err(fault) => {
                tracing::warn!(
                    login = login.key(),
                    ?fault,
                    "a session cannot be renewed yet"
                );
                End::Failed
            }
        }
    }

    fn succeed(
        &self,
        sealed: &SealedCookies,
        name: &Name,
        record: Record,
        login: &Login,
    ) -> Result<Name, StoreError> {
        let body = sealed.body(&login.cookie_name, &record, &*self.randomness)?;
        let next = name_of(&body);
        let successor = Successor { name: next, body };
        sealed.renewed.insert(*name, Arc::new(successor));
        Ok(next)
    }
}

fn name_of(body: &str) -> Name {
    let mut name = Name::default();
    name.copy_from_slice(digest::digest(&digest::SHA256, body.as_bytes()).as_ref());
    name
}
