//! Looking for a session in a store that may be back in a moment.

use std::sync::atomic::Ordering;

use model::names::Duration;

use super::super::value::Name;
use super::{Store, StoreError, Stored};

/// How long a request waits for a store that has just stopped answering, and how often it is asked: it
/// was restarted, or another one takes over.
const PATIENCE: Duration = Duration::from_secs(1);
const GLANCE: Duration = Duration::from_millis(50);

/// Nobody waits for one that has been silent this often: that is an outage, which is answered at once.
const SILENCES: u32 = 2;

/// So many wait at once; the others are told right away.
pub(super) const MOST_WAITING: usize = 256;

impl Store {
    /// As [`Self::find`]. Waits a little for a store that does not answer: whoever signed in just now,
    /// at another process, is not sent away because of a connection that has died.
    pub(crate) async fn find_patiently(&self, name: &Name) -> Result<Option<Stored>, StoreError> {
        let mut found = self.find(name).await;
        let is_outage = |found: &Result<_, StoreError>| {
            // One that took its time was waited for already.
            matches!(found, Err(error) if error.is_outage() && !matches!(error, StoreError::TimedOut))
        };
        if !is_outage(&found) {
            return found;
        }
        let Ok(_place) = self.waiting.try_acquire() else {
            return found;
        };
        let mut left = PATIENCE;
        while is_outage(&found)
            && !left.is_zero()
            && self.silences.load(Ordering::Relaxed) < SILENCES
        {
            tokio::time::sleep(GLANCE).await;
            left = left.saturating_sub(GLANCE);
            found = self.find(name).await;
        }
        found
    }
}
