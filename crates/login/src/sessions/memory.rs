//! Sessions in memory: what one request finds there, and what comes there from the store.

use std::sync::Arc;

use model::names::Timestamp;
use model::snapshot::Login;
use policy::{NoSession, Person};

use super::Sessions;
use super::held::Held;
use super::person::{Ready, fitting};
use super::store::{Record, StoreError, Stored};
use super::value::{CookieValue, Name};
/// What one cookie value stands for, as far as memory knows.
pub(super) enum Known {
    Live(Arc<Person>),
    Not(NoSession),
    AskStore(Name),
}

impl Sessions {
    pub(super) fn known(
        &self,
        value: &[u8],
        login: &Arc<Login>,
        name_of: impl FnOnce(&CookieValue) -> Name,
        now: Timestamp,
    ) -> Known {
        let Some(value) = CookieValue::read(value) else {
            return Known::Not(NoSession::Unknown);
        };
        let name = name_of(&value);
        if self.trusts_memory(now)
            && let Some(held) = self.live.get(&name)
        {
            let ready = self.ready(&name, &held, login);
            let fitting = ready.and_then(|person| {
                let fitting = self.fitting(&name, &held, &person, login, now)?;
                Some((fitting, person))
            });
            match fitting {
                Some((Ok(()), person)) => {
                    self.note_due(&name, &person, login, now);
                    return Known::Live(person);
                }
                Some((Err(NoSession::Expired), person)) if person.due().is_some() => {
                    return Known::AskStore(name);
                }
                Some((Err(reason), _)) => return Known::Not(reason),
                None => {
                    self.live.remove(&name);
                }
            }
        }
        if !self.stamp.is_mine(&value) || self.ended.get(&name).is_some() {
            return Known::Not(NoSession::Unknown);
        }
        Known::AskStore(name)
    }

    /// Whether memory alone may tell who somebody is.
    pub(super) fn trusts_memory(&self, now: Timestamp) -> bool {
        !self.is_shared() && self.hearing.is_recent(now, self.grace)
    }

    /// The person of a session in memory; `None` when the store has to be asked.
    pub(super) fn ready(
        &self,
        name: &Name,
        held: &Arc<Held>,
        login: &Login,
    ) -> Option<Arc<Person>> {
        if !held.suffices(login.pass_access_token) {
            return None;
        }
        if let Some(Ready { of, person }) = self.ready.get(name)
            && Arc::ptr_eq(&of, held)
        {
            return Some(person);
        }
        let person = Arc::new(held.person()?);
        let ready = Ready {
            of: Arc::clone(held),
            person: Arc::clone(&person),
        };
        self.ready.insert(*name, ready);
        Some(person)
    }

    /// Whether the session in memory that stands for `person` is one of `login`'s and not over;
    /// `None` when the store has to be asked whether it is.
    pub(super) fn fitting(
        &self,
        name: &Name,
        held: &Held,
        person: &Person,
        login: &Login,
        now: Timestamp,
    ) -> Option<Result<(), NoSession>> {
        let fitting = fitting(person, login, now);
        if fitting.is_ok() && self.lifetimes.shown(held, now)? {
            let kept = self.lifetimes.kept(now, held.ends);
            self.hearing.tell(*name, now, kept);
        }
        Some(fitting)
    }

    /// Takes a session from the store into memory. Ending it meanwhile wins: then the guard finds
    /// its place gone and nothing is kept.
    pub(super) async fn load(
        &self,
        name: &Name,
        login: &Login,
        now: Timestamp,
    ) -> Result<Arc<Held>, NoSession> {
        if !self.trusts_memory(now) {
            return self.find(name, login, now).await;
        }
        let guard = match self.live.get_value_or_guard_async(name).await {
            Ok(held) if held.suffices(login.pass_access_token) => return Ok(held),
            Ok(_) => return self.find(name, login, now).await,
            Err(guard) => guard,
        };
        // Whoever held the place before may have found it out.
        if self.ended.get(name).is_some() {
            return Err(NoSession::Unknown);
        }
        let held = self.find(name, login, now).await?;
        // Its place may be gone because the session was ended since it was found.
        match guard.insert(Arc::clone(&held)) {
            Err(_) if self.ended.get(name).is_some() => Err(NoSession::Unknown),
            Ok(()) | Err(_) => Ok(held),
        }
    }

    async fn find(
        &self,
        name: &Name,
        login: &Login,
        now: Timestamp,
    ) -> Result<Arc<Held>, NoSession> {
        match self.store.find_patiently(name).await {
            Ok(Some(stored)) => {
                self.lifetimes.found(&stored, now)?;
                let Stored { record, seen, .. } = stored;
                Ok(self.held(record, login.pass_access_token, seen))
            }
            Ok(None) => {
                self.ended.insert(*name, ());
                Err(NoSession::Unknown)
            }
            Err(StoreError::Down) => Err(NoSession::StoreUnavailable),
            Err(error) => {
                tracing::error!(%error, "a session cannot be read");
                Err(NoSession::StoreUnavailable)
            }
        }
    }

    pub(super) fn held(
        &self,
        record: Record,
        shows_access_token: bool,
        seen: Timestamp,
    ) -> Arc<Held> {
        let ends = self.lifetimes.ends(record.created, record.expires);
        let record = Record {
            expires: ends,
            ..record
        };
        Arc::new(Held::new(&record, shows_access_token, seen, ends))
    }
}
