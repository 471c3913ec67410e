//! The live table that the TLS acceptor reads.

#[cfg(test)]
mod tests;
mod wishes;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use model::names::Timestamp;
use model::seams::Clock;
use model::{Finding, Snapshot};
use quick_cache::sync::Cache;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::authority::{Authority, Issued};
use crate::names::Names;
use crate::table::{Choice, Table, usable};
use wishes::Wishes;

/// How many certificates that were issued on demand are kept.
const ON_DEMAND: usize = 1024;

/// Answers every handshake: exact name, wildcard over one label, a certificate issued on demand
/// for a served name, else the default certificate for this machine's own names.
///
/// The table is swapped whole; open connections keep what they have.
pub struct Held {
    authority: Arc<Authority>,
    clock: Arc<dyn Clock>,
    table: ArcSwap<Table>,
    asked: Cache<Box<str>, Arc<Issued>>,
    wishes: Mutex<Wishes>,
}

impl Held {
    /// Holds the default certificate only, until [`Self::apply`].
    pub fn new(authority: Arc<Authority>, clock: Arc<dyn Clock>) -> Self {
        let held = Self {
            authority,
            clock,
            table: ArcSwap::default(),
            asked: Cache::new(ON_DEMAND),
            wishes: Mutex::default(),
        };
        held.renew(held.clock.now());
        held
    }

    /// Brings the table in line with a snapshot. `own_names` are further names and addresses of
    /// this machine for the default certificate, beside `localhost`, `127.0.0.1` and `::1`.
    ///
    /// Returns what is wrong with the key pairs that the manifests bring.
    pub fn apply(&self, snapshot: &Snapshot, own_names: &[String]) -> Vec<Finding> {
        let mut wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        wishes.take(snapshot, own_names);
        self.fulfil(&mut wishes, self.clock.now())
    }

    /// Issues anew what is close to its end, and looks again at what the manifests brought: it may
    /// have expired since. Call it every hour or more often; it is cheap when there is nothing to
    /// do. Returns what [`Self::apply`] returns.
    pub fn renew(&self, now: Timestamp) -> Vec<Finding> {
        let mut wishes = self.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        self.fulfil(&mut wishes, now)
    }

    fn fulfil(&self, wishes: &mut Wishes, now: Timestamp) -> Vec<Finding> {
        let (table, findings) = wishes.fulfil(&self.authority, now);
        if **self.table.load() != table {
            self.table.store(Arc::new(table));
        }
        findings
    }

    /// A certificate for exactly this name: kept from an earlier handshake, or issued.
    fn demand(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let now = self.clock.now();
        let fresh = |issued: &Arc<Issued>| now < issued.validity.renewal();
        let kept = self.asked.get(name);
        if let Some(issued) = kept.as_ref().filter(|issued| fresh(issued)) {
            return Some(issued.key.clone());
        }
        let names = Names::of(name).ok()?;
        match self.authority.issue(&names, now) {
            Ok(issued) => {
                let key = issued.key.clone();
                self.asked.insert(name.into(), Arc::new(issued));
                Some(key)
            }
            Err(fault) => {
                tracing::error!(%fault, "no certificate could be issued for a handshake");
                kept.map(|issued| issued.key.clone())
            }
        }
    }
}

impl ResolvesServerCert for Held {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // RFC 8737 §4: such a connection is a challenge and nothing else; none is open here.
        if client_hello
            .alpn()
            .is_some_and(|protocols| protocols.eq([b"acme-tls/1"]))
        {
            return None;
        }
        let table = self.table.load();
        match table.choose(client_hello.server_name()) {
            Choice::Demand(name) => self.demand(name),
            Choice::Pairs(pairs) => {
                usable(pairs, client_hello.signature_schemes()).map(|pair| pair.key.clone())
            }
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("asked", &self.asked.len())
            .finish_non_exhaustive()
    }
}
