//! Sessions in memory: what one request finds there, and what comes there from the store.

use std::sync::Arc;

use model::names::Timestamp;
use model::snapshot::Login;
use policy::{NoSession, Person};

use super::Sessions;
use super::held::Held;
use super::person::{fitting, vouched};
use super::store::{Record, StoreError};
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
            match self.fitting(&name, &held, login, now) {
                Some(Ok(person)) => {
                    self.note_due(&name, &person, login, now);
                    return Known::Live(person);
                }
                Some(Err(NoSession::Expired)) if held.person.due().is_some() => {
                    return Known::AskStore(name);
                }
                Some(Err(reason)) => return Known::Not(reason),
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

    /// The person of a session in memory, when it is one of `login`'s and not over; `None` when the
    /// store has to be asked whether it is.
    pub(super) fn fitting(
        &self,
        name: &Name,
        held: &Held,
        login: &Login,
        now: Timestamp,
    ) -> Option<Result<Arc<Person>, NoSession>> {
        let person = fitting(&held.person, login, now);
        if person.is_ok() && self.lifetimes.shown(held, now)? {
            let kept = self.lifetimes.kept(now, held.ends);
            self.hearing.tell(*name, now, kept);
        }
        Some(person)
    }

    /// Takes a session from the store into memory. Ending it meanwhile wins: then the guard finds
    /// its place gone and nothing is kept.
    pub(super) async fn load(&self, name: &Name, now: Timestamp) -> Result<Arc<Held>, NoSession> {
        if !self.trusts_memory(now) {
            return self.find(name, now).await;
        }
        let guard = match self.live.get_value_or_guard_async(name).await {
            Ok(held) => return Ok(held),
            Err(guard) => guard,
        };
        // Whoever held the place before may have found it out.
        if self.ended.get(name).is_some() {
            return Err(NoSession::Unknown);
        }
        let held = self.find(name, now).await?;
        // Its place may be gone because the session was ended since it was found.
        match guard.insert(Arc::clone(&held)) {
            Err(_) if self.ended.get(name).is_some() => Err(NoSession::Unknown),
            Ok(()) | Err(_) => Ok(held),
        }
    }

    async fn find(&self, name: &Name, now: Timestamp) -> Result<Arc<Held>, NoSession> {
        match self.store.find(name).await {
            Ok(Some(stored)) => {
                self.lifetimes.found(&stored, now)?;
                Ok(self.held(stored.record, stored.seen))
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

    pub(super) fn held(&self, record: Record, seen: Timestamp) -> Arc<Held> {
        let ends = self.lifetimes.ends(record.created, record.expires);
        let record = Record {
            expires: ends,
            ..record
        };
        Arc::new(Held::new(vouched(record), seen, ends))
    }
}
