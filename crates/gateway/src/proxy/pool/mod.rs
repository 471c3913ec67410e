//! Upstream connections of one worker. A destination with its protocol, TLS and limits is a
//! *cluster*; a cluster has *places*; a place has connections.

mod balance;
mod cluster;
mod connection;
mod health;
mod place;
mod stream;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use model::names::Duration;
use model::snapshot::{Destination, ServiceRef};
use tokio::net::TcpStream;

pub(super) use balance::Choice;
pub(super) use cluster::{Cluster, Places};
pub(super) use connection::Connection;
pub(super) use health::Sign;
pub(crate) use place::Lease;
pub(super) use place::{InFlight, Place};

use super::UpstreamFault;
use super::resolve;
use super::tls::TlsConfigs;
use crate::record::{Shard, UpstreamFailure};
use crate::settings::{Limits, ResolveRule};

/// One complaint about a Service in this time.
const BURST: Duration = Duration::from_secs(10);

/// What all clusters of a worker share.
pub(super) struct Setup {
    rules: Vec<ResolveRule>,
    connect: Duration,
    idle: Duration,
    kept: usize,
    head_bytes: usize,
    // Time since the start, in the sweeper's ticks.
    clock: Cell<Duration>,
    complaints: RefCell<HashMap<ServiceRef, Duration>>,
    tls: Arc<TlsConfigs>,
    /// Copies of requests in flight.
    pub(super) mirrors: Cell<u32>,
    /// Counters.
    pub(super) shard: Arc<Shard>,
}

impl Setup {
    /// Whether it is time to say again that something is wrong with a Service.
    fn may_complain(&self, service: &ServiceRef) -> bool {
        let now = self.clock.get();
        let mut complaints = self.complaints.borrow_mut();
        if complaints.get(service).is_some_and(|until| *until > now) {
            return false;
        }
        complaints.insert(service.clone(), now + BURST);
        true
    }

    /// Says once in a while why TLS to a Service fails.
    fn complain_of_tls(&self, service: &ServiceRef, why: &dyn fmt::Display) {
        if self.may_complain(service) {
            tracing::warn!(%service, "TLS to the service failed: {why}");
        }
    }
}

type Known = (Weak<Destination>, Rc<Cluster>);

/// All upstream connections of one worker.
pub(crate) struct Pool {
    /// What the clusters share.
    pub(super) setup: Rc<Setup>,
    // By the address of the destination, which the weak pointer keeps from being used again.
    known: RefCell<HashMap<usize, Known>>,
    // Equal destinations of different worlds share their connections.
    clusters: RefCell<HashMap<ServiceRef, Vec<Rc<Cluster>>>>,
}

impl Pool {
    /// An empty pool.
    pub(crate) fn new(
        limits: &Limits,
        rules: Vec<ResolveRule>,
        tls: Arc<TlsConfigs>,
        shard: Arc<Shard>,
    ) -> Self {
        let setup = Setup {
            rules,
            connect: limits.connect,
            idle: limits.upstream_idle,
            kept: limits.upstream_kept,
            head_bytes: limits.head_bytes,
            clock: Cell::default(),
            complaints: RefCell::default(),
            tls,
            mirrors: Cell::default(),
            shard,
        };
        Self {
            setup: Rc::new(setup),
            known: RefCell::default(),
            clusters: RefCell::default(),
        }
    }

    /// `length` has passed: closes connections that nobody used for too long, forgets what no world
    /// speaks of any more.
    pub(crate) fn tick(&self, length: Duration) {
        let clock = &self.setup.clock;
        clock.set(clock.get() + length);
        let mut known = self.known.borrow_mut();
        known.retain(|_, (destination, _)| destination.strong_count() > 0);
        self.clusters.borrow_mut().retain(|_, clusters| {
            clusters.retain(|cluster| {
                let is_empty = cluster.tick();
                Rc::strong_count(cluster) > 1 || !is_empty
            });
            !clusters.is_empty()
        });
        let now = clock.get();
        self.setup
            .complaints
            .borrow_mut()
            .retain(|_, until| *until > now);
    }

    /// The cluster of a destination.
    pub(super) fn cluster(&self, destination: &Arc<Destination>) -> Rc<Cluster> {
        let key = Arc::as_ptr(destination).addr();
        if let Some((_, cluster)) = self.known.borrow().get(&key) {
            return Rc::clone(cluster);
        }
        let cluster = self.cluster_like(destination);
        let entry = (Arc::downgrade(destination), Rc::clone(&cluster));
        self.known.borrow_mut().insert(key, entry);
        cluster
    }

    fn cluster_like(&self, destination: &Destination) -> Rc<Cluster> {
        let mut clusters = self.clusters.borrow_mut();
        let alike = clusters.entry(destination.service.clone()).or_default();
        if let Some(cluster) = alike.iter().find(|cluster| cluster.serves(destination)) {
            return Rc::clone(cluster);
        }
        let cluster = Rc::new(Cluster::new(destination, Rc::clone(&self.setup)));
        alike.push(Rc::clone(&cluster));
        cluster
    }

    /// A connection of its own for bytes that are passed on: to one of the addresses, the others
    /// where that takes none.
    pub(crate) async fn open_stream(
        &self,
        destination: &Destination,
        draw: u32,
    ) -> Option<TcpStream> {
        let setup = &self.setup;
        if destination.tls.is_some() {
            // Plain bytes must not go where TLS is asked for.
            let service = &destination.service;
            if setup.may_complain(service) {
                tracing::warn!(%service, "streams are not passed on over TLS");
            }
            return None;
        }
        let mut addresses = Vec::new();
        for (endpoint, _) in resolve::endpoints(destination, &setup.rules) {
            addresses.extend(resolve::addresses(&endpoint, setup.connect).await);
        }
        let fault = if addresses.is_empty() {
            UpstreamFault::Unresolvable
        } else {
            UpstreamFault::Unreachable
        };
        let first = usize::try_from(draw).unwrap_or(0) % addresses.len().max(1);
        addresses.rotate_left(first);
        let limit = destination.traffic.connect_timeout;
        for address in addresses {
            let stream = TcpStream::connect(address);
            let limit = limit.unwrap_or(setup.connect);
            if let Ok(Ok(stream)) = tokio::time::timeout(limit, stream).await {
                // Nagle only ever delays; a socket that refuses the option still works.
                let _ = stream.set_nodelay(true);
                setup.shard.upstream_connected();
                return Some(stream);
            }
        }
        setup.shard.upstream_failed(UpstreamFailure::Unreachable);
        self.complain(fault, &destination.service);
        None
    }

    /// Says once in a while that a Service does not answer, and how to help.
    pub(super) fn complain(&self, fault: UpstreamFault, service: &ServiceRef) {
        let said = match fault {
            UpstreamFault::Unresolvable => "the service has no known address",
            UpstreamFault::Unreachable => "the service takes no connections",
            UpstreamFault::BrokeOff | UpstreamFault::Refused => {
                "the service broke off before it answered"
            }
            UpstreamFault::Garbled => "what the service answered is no HTTP",
            UpstreamFault::Overflow => "the service has as many requests as its limits allow",
            UpstreamFault::NoneHealthy => "every place of the service is left out: all failed",
            UpstreamFault::Rewrite => "the route's rewrite makes no path",
            // Said with its reason when it happens.
            UpstreamFault::Untrusted
            | UpstreamFault::Timeout
            | UpstreamFault::AttemptTimeout
            | UpstreamFault::ClientStalled
            | UpstreamFault::ClientBroke => return,
        };
        if !self.setup.may_complain(service) {
            return;
        }
        if matches!(
            fault,
            UpstreamFault::Unresolvable | UpstreamFault::Unreachable
        ) {
            let (name, namespace) = (&service.name, &service.namespace);
            let help = format_args!("--resolve {name}.{namespace}=ADDR");
            tracing::warn!(%service, %help, "{said}");
        } else {
            tracing::warn!(%service, "{said}");
        }
    }
}
