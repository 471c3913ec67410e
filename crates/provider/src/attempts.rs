//! Slows down guessing: after some failures, an account is closed for an address for a while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest;
use model::names::{Duration, Timestamp};

/// Failures that cost nothing: people mistype, and scripts of the platform's own tests retry.
const FREE: u32 = 10;
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(300);
/// Failures older than this are forgotten.
const MEMORY: Duration = Duration::from_secs(900);
/// Pairs remembered at once: about a megabyte.
const CAPACITY: usize = 10_000;

/// Failed sign-ins by account and address. In memory: a restart forgives.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<HashMap<Pair, Failures>>);

/// Digest of account and address: names that people type stay out of memory dumps.
type Pair = [u8; 32];

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Timestamp,
}

impl Failures {
    fn wait(self) -> Duration {
        match self.count.checked_sub(FREE) {
            None => Duration::ZERO,
            Some(over) => Duration::from_secs(1 << over.min(16)).min(LONGEST),
        }
    }
}

impl Attempts {
    /// How long this account stays closed for this address; nothing when it is open.
    pub(crate) fn closed_for(
        &self,
        account: &str,
        address: &str,
        now: Timestamp,
    ) -> Option<Duration> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = table.get(&pair(account, address))?;
        let left = failures.last.plus(failures.wait()).seconds() - now.seconds();
        (left > 0).then(|| Duration::from_secs(left.unsigned_abs()))
    }

    /// Remembers a failure.
    pub(crate) fn failed(&self, account: &str, address: &str, now: Timestamp) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let forgotten = now.minus(MEMORY);
        let pair = pair(account, address);
        if table.len() >= CAPACITY && !table.contains_key(&pair) {
            table.retain(|_, failures| failures.last > forgotten);
            // Still full: an attack with many names. The lightest records give way to it.
            if table.len() >= CAPACITY {
                table.retain(|_, failures| failures.count >= FREE);
            }
            if table.len() >= CAPACITY {
                table.clear();
            }
        }
        let failures = table.entry(pair).or_insert(Failures {
            count: 0,
            last: now,
        });
        if failures.last <= forgotten {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
    }

    /// Forgets the failures after a success.
    pub(crate) fn succeeded(&self, account: &str, address: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&pair(account, address));
    }
}

fn pair(account: &str, address: &str) -> Pair {
    let text = format!("{}\n{address}", account.to_lowercase());
    let mut pair = [0; 32];
    pair.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    pair
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    fn fail(attempts: &Attempts, times: u32, now: Timestamp) {
        for _ in 0..times {
            attempts.failed("User@example.com", "1.2.3.4", now);
        }
    }

    #[test]
    fn ten_failures_are_free_and_then_the_wait_doubles() {
        let attempts = Attempts::default();
        let closed = |now| attempts.closed_for("user@example.com", "1.2.3.4", now);
        fail(&attempts, 9, NOW);
        assert_eq!(closed(NOW), None);
        fail(&attempts, 1, NOW);
        assert_eq!(closed(NOW), Some(Duration::from_secs(1)));
        assert_eq!(closed(NOW.plus(Duration::from_secs(1))), None);
        fail(&attempts, 3, NOW);
        assert_eq!(closed(NOW), Some(Duration::from_secs(8)));
        fail(&attempts, 100, NOW);
        assert_eq!(closed(NOW), Some(LONGEST));
    }

    #[test]
    fn other_addresses_and_accounts_stay_open() {
        let attempts = Attempts::default();
        fail(&attempts, 20, NOW);
        assert_eq!(
            attempts.closed_for("user@example.com", "1.2.3.5", NOW),
            None
        );
        assert_eq!(
            attempts.closed_for("other@example.com", "1.2.3.4", NOW),
            None
        );
    }

    #[test]
    fn success_and_time_forgive() {
        let attempts = Attempts::default();
        fail(&attempts, 20, NOW);
        let later = NOW.plus(MEMORY);
        fail(&attempts, 1, later);
        assert_eq!(
            attempts.closed_for("user@example.com", "1.2.3.4", later),
            None
        );
        fail(&attempts, 20, later);
        attempts.succeeded("user@example.com", "1.2.3.4");
        assert_eq!(
            attempts.closed_for("user@example.com", "1.2.3.4", later),
            None
        );
    }

    #[test]
    fn the_table_does_not_grow_without_end() {
        let attempts = Attempts::default();
        for number in 0..CAPACITY + 10 {
            attempts.failed(&number.to_string(), "1.2.3.4", NOW);
        }
        assert!(attempts.0.lock().unwrap().len() <= CAPACITY);
    }
}
