//! New tokens for a session that goes on: what the flow that fetches them stands on.
//!
//! Whoever wants to renew takes the right to, which one process has at a time, reads the session,
//! asks the issuer, and puts the new record in the place of the version that they read. The right
//! spares the issuer the same question twice; the version alone decides who writes.

use http::HeaderMap;
use model::names::{Duration, Timestamp};
use model::snapshot::Login;
use policy::Person;

use super::Sessions;
use super::person::vouched;
use super::store::{Record, RenewalLock, StoreError, Stored};
use super::value::{CookieValue, Name};

/// An issuer that takes longer has failed; others may try then.
const RENEWAL: Duration = Duration::from_secs(30);

impl Sessions {
    /// Names of the sessions that the request offers to `login`, as far as this store drew them.
    pub(crate) fn names<'a>(
        &'a self,
        headers: &'a HeaderMap,
        login: &'a Login,
    ) -> impl Iterator<Item = Name> + 'a {
        self.offered(headers, login)
            .filter_map(CookieValue::read)
            .filter(|value| self.stamp.is_mine(value))
            .map(|value| value.name())
    }

    /// A session as the store has it at this moment, tokens and all.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn stored(&self, name: &Name) -> Result<Option<Stored>, StoreError> {
        self.store.find(name).await
    }

    /// The right to renew a session's tokens, over all processes on this store. `None`: somebody
    /// else is at it; wait, and look at the session again. Not given back, it ends by itself.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn renewal_lock(
        &self,
        name: &Name,
        now: Timestamp,
    ) -> Result<Option<RenewalLock>, StoreError> {
        self.store.lock(name, now, RENEWAL, &*self.randomness).await
    }

    /// Gives the right back.
    ///
    /// # Errors
    /// When the store fails; the right then ends by itself.
    pub(crate) async fn renewal_unlock(&self, lock: RenewalLock) -> Result<(), StoreError> {
        self.store.unlock(lock).await
    }

    /// Puts `record` in the place of version `version`, here and in every process. `None`: the
    /// session was ended or rewritten since that was read, and stays as it is. Its cookie stays.
    ///
    /// # Errors
    /// When the store fails. Whether it was written is then not known.
    pub(crate) async fn replace(
        &self,
        name: &Name,
        version: i64,
        record: Record,
        now: Timestamp,
    ) -> Result<Option<Person>, StoreError> {
        let times = (now, self.lifetimes.kept(now, record.expires));
        let written = self
            .store
            .replace(name, version, &record, times, &*self.randomness)
            .await;
        // Whoever read the former record and still wants to remember it loses the place to put it.
        self.live.remove(name);
        Ok(written?.map(|_| vouched(record)))
    }
}
