//! A session in memory, and how long it lasts.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use model::names::{Duration, Timestamp};
use policy::{NoSession, Person};
use quick_cache::Weighter;

use super::packed::Packed;
use super::person::vouched;
use super::store::{Record, Stored};
use super::value::Name;

/// A session in memory.
pub(super) struct Held {
    packed: Packed,
    /// Whether an access token was left out that somebody may come to ask for.
    lacks_access_token: bool,
    /// When the session is over, whatever happens; its proof may be over before, and be renewed.
    pub(super) ends: Timestamp,
    /// When its cookie was shown last, as far as the store was told or will be.
    seen: AtomicI64,
}

impl Held {
    pub(super) fn new(
        record: &Record,
        shows_access_token: bool,
        seen: Timestamp,
        ends: Timestamp,
    ) -> Self {
        Self {
            packed: Packed::new(record, shows_access_token),
            lacks_access_token: record.access_token.is_some() && !shows_access_token,
            ends,
            seen: AtomicI64::new(seen.seconds()),
        }
    }

    /// Whether it has what somebody is shown who is shown access tokens, or is not.
    pub(super) fn suffices(&self, shows_access_token: bool) -> bool {
        !(self.lacks_access_token && shows_access_token)
    }

    /// Who it stands for.
    pub(super) fn person(&self) -> Option<Person> {
        self.packed.record().map(vouched)
    }
}

/// Reckons what a session in memory takes, with its places in the cache.
#[derive(Clone)]
pub(super) struct Weight;

impl Weighter<Name, Arc<Held>> for Weight {
    fn weight(&self, _: &Name, held: &Arc<Held>) -> u64 {
        (OVERHEAD + held.packed.len()) as u64
    }
}

/// [`Held`] with what counts its users, its place in the cache, and what allocators round up.
const OVERHEAD: usize = 224;

/// How long sessions last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetimes {
    pub(super) idle: Option<Duration>,
    pub(super) lifetime: Option<Duration>,
}

/// The store hears of a session that is used this often at most.
const TOLD: Duration = Duration::from_secs(60);

/// And this often where nothing depends on it but what a listing shows.
const TOLD_IDLY: Duration = Duration::from_secs(900);

impl Lifetimes {
    /// When a session that begins now is over, whatever happens.
    pub(super) fn ends(self, created: Timestamp, wanted: Timestamp) -> Timestamp {
        match self.lifetime {
            Some(lifetime) => wanted.min(created.plus(lifetime)),
            None => wanted,
        }
    }

    /// When a session that was shown at `seen` is over unless it is shown again.
    pub(super) fn idle_until(self, seen: Timestamp, ends: Timestamp) -> Timestamp {
        match self.idle {
            Some(idle) => ends.min(seen.plus(idle).plus(self.told())),
            None => ends,
        }
    }

    /// Until when the store keeps a session that was shown at `seen`. It may not have heard of the
    /// last time yet.
    pub(super) fn kept(self, seen: Timestamp, ends: Timestamp) -> Timestamp {
        match self.idle {
            Some(idle) => ends.min(seen.plus(idle).plus(self.told()).plus(TOLD)),
            None => ends,
        }
    }

    /// Whether nobody has shown it for too long; who did last may not have been told of yet.
    fn is_idle(self, seen: Timestamp, now: Timestamp) -> bool {
        self.idle
            .is_some_and(|idle| seen.plus(idle).plus(self.told()) <= now)
    }

    fn told(self) -> Duration {
        self.idle.map_or(TOLD_IDLY, |idle| TOLD.min(idle / 4))
    }

    /// Somebody shows the session. Whether the store shall hear of it, `None` when nobody has shown
    /// it here for so long that the store must be asked whether anybody has elsewhere.
    pub(super) fn shown(self, held: &Held, now: Timestamp) -> Option<bool> {
        let seen = held.seen.load(Ordering::Relaxed);
        let before = Timestamp::from_seconds(seen);
        if self.is_idle(before, now) {
            return None;
        }
        if now < before.plus(self.told()) {
            return Some(false);
        }
        // Of many requests at once one tells.
        let order = Ordering::Relaxed;
        let won = held
            .seen
            .compare_exchange(seen, now.seconds(), order, order);
        Some(won.is_ok())
    }

    /// Whether a session that was found is still one.
    pub(super) fn found(self, stored: &Stored, now: Timestamp) -> Result<(), NoSession> {
        let ends = self.ends(stored.record.created, stored.record.expires);
        match self.is_idle(stored.seen, now) || ends <= now {
            true => Err(NoSession::Expired),
            false => Ok(()),
        }
    }
}
