//! Slows down guessing, and locks nobody out: what strangers do to an account costs strangers only.
//!
//! Failures are counted in budgets. A browser that has signed in to the account before has a budget of
//! its own, by a sealed cookie (`device`), and no other counts for it. A stranger has one for the
//! account at their address and one for their address, whatever the account. When many addresses
//! fail at one account, each of them has fewer tries: a newcomer always has the first one.

mod count;
mod device;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest;
use model::names::{Duration, Timestamp};

pub(crate) use count::{Ended, SignIns};
pub(crate) use device::Devices;

/// Failures that cost nothing: people mistype, and scripts of the platform's own tests retry.
const FREE: u32 = 10;
/// The same while many fail at the account.
const FREE_UNDER_ATTACK: u32 = 2;
/// Failures of strangers at one account that are an attack.
const ATTACK: u32 = 50;
/// Failures at any accounts that cost an address nothing: offices share one.
const FREE_OF_ADDRESS: u32 = 100;
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(300);
/// Failures older than this are forgotten.
pub(crate) const MEMORY: Duration = Duration::from_secs(900);
/// Budgets remembered at once: about a megabyte.
const CAPACITY: usize = 10_000;

/// Who tries to sign in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'a> {
    /// As it was typed.
    pub(crate) account: &'a str,
    /// Where from; nothing when the gateway does not say.
    pub(crate) address: &'a str,
    /// The browser, when it has signed in to this account before.
    pub(crate) device: Option<&'a str>,
}

/// A budget that has been overdrawn, for the storage: a restart does not forgive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overdrawn {
    pub(crate) budget: Budget,
    pub(crate) count: u32,
    pub(crate) last: Timestamp,
}

/// Digest of what a budget is of: names that people type stay out of memory dumps.
pub(crate) type Budget = [u8; 32];

/// Failed sign-ins by budget.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<HashMap<Budget, Failures>>);

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Timestamp,
}

impl Failures {
    /// When the next try is heard.
    fn open_at(self, free: u32) -> Timestamp {
        let wait = match self.count.checked_sub(free) {
            None => Duration::ZERO,
            Some(over) => Duration::from_secs(1 << over.min(16)).min(LONGEST),
        };
        self.last.plus(wait)
    }
}

/// The budgets of an attempt.
enum Budgets {
    Known(Budget),
    Stranger {
        pair: Budget,
        account: Budget,
        /// Nothing when the address is not known.
        address: Option<Budget>,
    },
}

impl Attempts {
    /// How long nothing is heard of this attempt; nothing when it is heard now.
    pub(crate) fn closed_for(&self, attempt: Attempt<'_>, now: Timestamp) -> Option<Duration> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |budget: &Budget| {
            let failures = table.get(budget).copied();
            failures.filter(|failures| failures.last > now.minus(MEMORY))
        };
        let open_at = match budgets(attempt) {
            Budgets::Known(device) => fresh(&device)?.open_at(FREE),
            Budgets::Stranger {
                pair,
                account,
                address,
            } => {
                let attack = fresh(&account).is_some_and(|failures| failures.count >= ATTACK);
                let free = if attack { FREE_UNDER_ATTACK } else { FREE };
                let pair = fresh(&pair).map(|failures| failures.open_at(free));
                let address = address.and_then(|address| fresh(&address));
                let address = address.map(|failures| failures.open_at(FREE_OF_ADDRESS));
                pair.max(address)?
            }
        };
        let left = open_at.seconds() - now.seconds();
        (left > 0).then(|| Duration::from_secs(left.unsigned_abs()))
    }

    /// Remembers a failure; gives the budgets that are overdrawn by it.
    pub(crate) fn failed(&self, attempt: Attempt<'_>, now: Timestamp) -> Vec<Overdrawn> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let drawn: Vec<(Budget, u32)> = match budgets(attempt) {
            Budgets::Known(device) => vec![(device, FREE)],
            Budgets::Stranger {
                pair,
                account,
                address,
            } => {
                let own = [(pair, FREE), (account, ATTACK)];
                let address = address.map(|address| (address, FREE_OF_ADDRESS));
                own.into_iter().chain(address).collect()
            }
        };
        let draw = |(budget, free): (Budget, u32)| {
            let failures = count(&mut table, budget, now);
            (failures.count >= free).then_some(Overdrawn {
                budget,
                count: failures.count,
                last: failures.last,
            })
        };
        drawn.into_iter().filter_map(draw).collect()
    }

    /// Forgets the failures of who has signed in; gives the budget that is whole again, if it was
    /// overdrawn. What others did to the account stays.
    pub(crate) fn succeeded(&self, attempt: Attempt<'_>) -> Option<Budget> {
        let (Budgets::Known(own) | Budgets::Stranger { pair: own, .. }) = budgets(attempt);
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = table.remove(&own)?;
        (failures.count >= FREE).then_some(own)
    }

    /// Remembers what the storage has; what is known here already counts.
    pub(crate) fn recall(&self, overdrawn: Vec<Overdrawn>) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for Overdrawn {
            budget,
            count,
            last,
        } in overdrawn.into_iter().take(CAPACITY)
        {
            table.entry(budget).or_insert(Failures { count, last });
        }
    }
}

/// One failure more in `budget`.
fn count(table: &mut HashMap<Budget, Failures>, budget: Budget, now: Timestamp) -> Failures {
    let forgotten = now.minus(MEMORY);
    if table.len() >= CAPACITY && !table.contains_key(&budget) {
        table.retain(|_, failures| failures.last > forgotten);
        // Still full: an attack with many names. The lightest records give way to it.
        if table.len() >= CAPACITY {
            table.retain(|_, failures| failures.count >= FREE);
        }
        if table.len() >= CAPACITY {
            table.clear();
        }
    }
    let failures = table.entry(budget).or_insert(Failures {
        count: 0,
        last: now,
    });
    if failures.last <= forgotten {
        failures.count = 0;
    }
    failures.count = failures.count.saturating_add(1);
    failures.last = now;
    *failures
}

fn budgets(attempt: Attempt<'_>) -> Budgets {
    let account = attempt.account.to_lowercase();
    if let Some(device) = attempt.device {
        return Budgets::Known(budget("device", &account, device));
    }
    let address = network(attempt.address);
    Budgets::Stranger {
        pair: budget("pair", &account, &address),
        account: budget("account", &account, ""),
        address: (!address.is_empty()).then(|| budget("address", "", &address)),
    }
}

fn budget(kind: &str, account: &str, rest: &str) -> Budget {
    let text = format!("{kind}\n{account}\n{rest}");
    let mut budget = [0; 32];
    budget.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    budget
}

/// Whoever has one IPv6 address has the 64 bits after its network too.
fn network(address: &str) -> String {
    match address.parse() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).to_string()
        }
        Ok(address) => address.to_canonical().to_string(),
        Err(_) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    const ANNA: Attempt<'static> = Attempt {
        account: "User@example.com",
        address: "1.2.3.4",
        device: None,
    };

    fn from(address: &str) -> Attempt<'_> {
        Attempt { address, ..ANNA }
    }

    fn fail(attempts: &Attempts, attempt: Attempt<'_>, times: u32, now: Timestamp) {
        for _ in 0..times {
            attempts.failed(attempt, now);
        }
    }

    fn secs(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn ten_failures_are_free_and_then_the_wait_doubles() {
        let attempts = Attempts::default();
        let lower = Attempt {
            account: "user@example.com",
            ..ANNA
        };
        let closed = |now| attempts.closed_for(lower, now);
        fail(&attempts, ANNA, 9, NOW);
        assert_eq!(closed(NOW), None);
        assert_eq!(attempts.failed(ANNA, NOW).len(), 1);
        assert_eq!(closed(NOW), secs(1));
        assert_eq!(closed(NOW.plus(Duration::from_secs(1))), None);
        fail(&attempts, ANNA, 3, NOW);
        assert_eq!(closed(NOW), secs(8));
        fail(&attempts, ANNA, 100, NOW);
        assert_eq!(closed(NOW), Some(LONGEST));
        assert_eq!(attempts.closed_for(from("1.2.3.5"), NOW), None);
    }

    #[test]
    fn success_and_time_forgive() {
        let attempts = Attempts::default();
        fail(&attempts, ANNA, 20, NOW);
        let later = NOW.plus(MEMORY);
        assert_eq!(attempts.closed_for(ANNA, later), None);
        fail(&attempts, ANNA, 1, later);
        assert_eq!(attempts.closed_for(ANNA, later), None);
        assert_eq!(attempts.succeeded(ANNA), None);
        fail(&attempts, ANNA, 20, later);
        assert!(attempts.succeeded(ANNA).is_some());
        assert_eq!(attempts.closed_for(ANNA, later), None);
    }

    #[test]
    fn an_attack_from_everywhere_slows_strangers_and_locks_nobody_out() {
        let attempts = Attempts::default();
        for number in 0..60 {
            fail(&attempts, from(&format!("10.0.0.{number}")), 1, NOW);
        }
        let newcomer = from("1.2.3.4");
        // The first try is heard, and a mistake more.
        assert_eq!(attempts.closed_for(newcomer, NOW), None);
        fail(&attempts, newcomer, 1, NOW);
        assert_eq!(attempts.closed_for(newcomer, NOW), None);
        fail(&attempts, newcomer, 1, NOW);
        assert_eq!(attempts.closed_for(newcomer, NOW), secs(1));
        fail(&attempts, newcomer, 5, NOW);
        assert_eq!(attempts.closed_for(newcomer, NOW), secs(32));
        // The owner's browser, even at the same address, has its own ten.
        let known = Attempt {
            device: Some("d"),
            ..newcomer
        };
        fail(&attempts, known, 9, NOW);
        assert_eq!(attempts.closed_for(known, NOW), None);
        fail(&attempts, known, 1, NOW);
        assert_eq!(attempts.closed_for(known, NOW), secs(1));
        let other = Attempt {
            account: "other@example.com",
            ..newcomer
        };
        assert_eq!(attempts.closed_for(other, NOW), None);
    }

    #[test]
    fn who_tries_one_password_at_many_accounts_is_slowed_by_address() {
        let attempts = Attempts::default();
        let names: Vec<_> = (0..120).map(|number| format!("{number}@x")).collect();
        for account in &names[..100] {
            let attempt = Attempt { account, ..ANNA };
            assert_eq!(attempts.closed_for(attempt, NOW), None);
            attempts.failed(attempt, NOW);
        }
        let next = Attempt {
            account: &names[110],
            ..ANNA
        };
        assert_eq!(attempts.closed_for(next, NOW), secs(1));
        // Known browsers behind the same address go on.
        let known = Attempt {
            device: Some("d"),
            ..next
        };
        assert_eq!(attempts.closed_for(known, NOW), None);
        // Without an address there is nothing to tell.
        let nowhere = Attempt {
            address: "",
            ..next
        };
        assert_eq!(attempts.closed_for(nowhere, NOW), None);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2::9"));
        assert_ne!(network("2001:db8:1:2::9"), network("2001:db8:1:3::9"));
        assert_eq!(network("::ffff:1.2.3.4"), "1.2.3.4");
    }

    #[test]
    fn what_was_overdrawn_is_recalled() {
        let before = Attempts::default();
        fail(&before, ANNA, 12, NOW);
        let overdrawn = before.failed(ANNA, NOW);
        let after = Attempts::default();
        after.recall(overdrawn);
        assert_eq!(after.closed_for(ANNA, NOW), secs(8));
    }

    #[test]
    fn the_table_does_not_grow_without_end() {
        let attempts = Attempts::default();
        for number in 0..CAPACITY + 10 {
            let account = number.to_string();
            let attempt = Attempt {
                account: &account,
                ..ANNA
            };
            attempts.failed(attempt, NOW);
        }
        assert!(attempts.0.lock().unwrap().len() <= CAPACITY);
    }
}
