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
}

/// One of them. As long as it is here nothing else can live at the addresses that it is found by.
struct Held {
    _identified: Identified,
    _destination: Arc<Destination>,
    assertion: Assertion,
}

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
        let destination = permit.destination();
        let key = (address(identified), Arc::as_ptr(destination).addr());
        let mut held = self.held.borrow_mut();
        if let Some(one) = held.get(&key).filter(|one| now < one.assertion.until) {
            return Some(one.assertion.value.clone());
        }
        let issuer = format!("spiffe://{}", snapshot.identity().principal);
        let assertion = asserter.assert(identified, &issuer, &destination.host, now)?;
        let value = assertion.value.clone();
        if held.len() >= MOST {
            held.retain(|_, one| now < one.assertion.until);
        }
        if held.len() < MOST {
            let one = Held {
                _identified: identified.clone(),
                _destination: Arc::clone(destination),
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
    }
}

fn address(identified: &Identified) -> usize {
    match identified {
        Identified::Person(person) => Arc::as_ptr(person).addr(),
        Identified::Bearer(token) => Arc::as_ptr(token).addr(),
    }
}
