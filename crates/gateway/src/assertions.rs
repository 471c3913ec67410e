//! Statements of who sent a request, kept for the next request of the same person to the same
//! Service: signing each would cost as much as forwarding it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderValue;
use login::{Asserter, Assertion};
use model::Snapshot;
use model::names::Timestamp;
use model::snapshot::Destination;
use policy::{Identified, Permit};

/// How many statements one worker keeps.
const MOST: usize = 4096;

/// The statements of one worker.
#[derive(Default)]
pub(crate) struct Assertions {
    held: RefCell<HashMap<(usize, usize), Held>>,
    /// Those for a host whose Service is not known, by host.
    for_hosts: RefCell<HashMap<Box<str>, HashMap<usize, HeldForHost>>>,
}

/// One of them. As long as it is here nothing else can live at the addresses that it is found by.
struct Held {
    _identified: Identified,
    _destination: Arc<Destination>,
    assertion: Assertion,
}

/// One of them, as [`Held`].
struct HeldForHost {
    _identified: Identified,
    assertion: Assertion,
}

/// For how many hosts one worker keeps any. Hosts are what clients say.
const MOST_HOSTS: usize = 64;

impl Assertions {
    /// The statement for the destination of `permit`; `None` where nobody had to tell who they are.
    pub(crate) fn of(
        &self,
        permit: &Permit,
        asserter: &Asserter,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Option<HeaderValue> {
        let identified = permit.identified()?;
        self.to(identified, permit.destination(), asserter, snapshot, now)
    }

    /// The statement of who `identified` is, for a Service.
    pub(crate) fn to(
        &self,
        identified: &Identified,
        destination: &Arc<Destination>,
        asserter: &Asserter,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Option<HeaderValue> {
        let key = (address(identified), Arc::as_ptr(destination).addr());
        let mut held = self.held.borrow_mut();
        if let Some(one) = held.get(&key).filter(|one| now < one.assertion.until) {
            return Some(one.assertion.value.clone());
        }
        let assertion = asserter.assert(identified, &issuer(snapshot), &destination.host, now)?;
        let value = assertion.value.clone();
        if held.len() >= MOST {
            held.retain(|_, one| now < one.assertion.until);
        }
        // Or many who come once would keep out those who come again.
        if held.len() >= MOST {
            held.clear();
        }
        let one = Held {
            _identified: identified.clone(),
            _destination: Arc::clone(destination),
            assertion,
        };
        held.insert(key, one);
        Some(value)
    }

    /// The same for whatever a proxy has behind a host, which is in normal form.
    pub(crate) fn to_host(
        &self,
        identified: &Identified,
        host: &str,
        asserter: &Asserter,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Option<HeaderValue> {
        let key = address(identified);
        let mut hosts = self.for_hosts.borrow_mut();
        let one = hosts.get(host).and_then(|held| held.get(&key));
        if let Some(one) = one.filter(|one| now < one.assertion.until) {
            return Some(one.assertion.value.clone());
        }
        let assertion = asserter.assert(identified, &issuer(snapshot), host, now)?;
        let value = assertion.value.clone();
        if hosts.len() < MOST_HOSTS || hosts.contains_key(host) {
            let held = hosts.entry(host.into()).or_default();
            if held.len() >= MOST {
                held.clear();
            }
            let one = HeldForHost {
                _identified: identified.clone(),
                assertion,
            };
            held.insert(key, one);
        }
        Some(value)
    }

    /// Forgets what is not handed out any more, and with it the worlds that it came of.
    pub(crate) fn tidy(&self, now: Timestamp) {
        let mut held = self.held.borrow_mut();
        held.retain(|_, one| now < one.assertion.until);
        self.for_hosts.borrow_mut().retain(|_, held| {
            held.retain(|_, one| now < one.assertion.until);
            !held.is_empty()
        });
    }
}

fn issuer(snapshot: &Snapshot) -> String {
    format!("spiffe://{}", snapshot.identity().principal)
}

fn address(identified: &Identified) -> usize {
    match identified {
        Identified::Person(person) => Arc::as_ptr(person).addr(),
        Identified::Bearer(token) => Arc::as_ptr(token).addr(),
    }
}
