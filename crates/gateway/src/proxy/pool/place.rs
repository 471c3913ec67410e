//! One address of a cluster: its connections, and the requests that use them.

mod lease;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use model::names::Duration;
use model::snapshot::{Traffic, UpstreamProtocol};
use tokio::net::TcpStream;

use super::super::UpstreamFault;
use super::balance::Candidate;
use super::cluster::{Cluster, Load};
use super::connection::{self, Connection, Made, Shared, Single, Speech};
use super::health::Health;
use super::stream::Openings;
use super::{Setup, Sign};

pub(crate) use lease::{InFlight, Lease};

/// Between two looks at a place that took no connection.
const PAUSE: Duration = Duration::from_secs(2);

/// A place, as one cluster sees it.
pub(crate) struct Place {
    /// Where it is.
    pub(super) address: SocketAddr,
    weight: u32,
    idle: RefCell<Vec<Idle>>,
    shared: RefCell<Vec<Rc<Shared>>>,
    // What the upstream spoke when it had the choice (ALPN).
    spoke: Cell<Option<Speech>>,
    in_flight: Cell<u32>,
    openings: Arc<Openings>,
    // Requests that wait for a connection here, and whether one is being made for all of them.
    waiting: Cell<u32>,
    connecting: Cell<bool>,
    // How often none could be made, and why the last time.
    failures: Cell<u32>,
    failure: Cell<UpstreamFault>,
    /// How its requests went.
    pub(super) health: Health,
    watched: Cell<bool>,
    me: Weak<Place>,
    load: Rc<Load>,
    traffic: Arc<Traffic>,
    setup: Rc<Setup>,
}

/// A connection that nobody uses.
struct Idle {
    connection: Single,
    since: Duration,
}

impl Candidate for Rc<Place> {
    fn in_flight(&self) -> u32 {
        self.in_flight.get()
    }

    fn weight(&self) -> u32 {
        self.weight
    }

    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Place {
    pub(super) fn new(
        address: SocketAddr,
        weight: u32,
        load: Rc<Load>,
        traffic: Arc<Traffic>,
        setup: Rc<Setup>,
    ) -> Rc<Self> {
        Rc::new_cyclic(|me| Self {
            address,
            weight: weight.max(1),
            idle: RefCell::default(),
            shared: RefCell::default(),
            spoke: Cell::new(None),
            in_flight: Cell::new(0),
            openings: Openings::new(Arc::clone(&load.connections)),
            waiting: Cell::new(0),
            connecting: Cell::new(false),
            failures: Cell::new(0),
            failure: Cell::new(UpstreamFault::Unreachable),
            health: Health::default(),
            watched: Cell::new(false),
            me: Weak::clone(me),
            load,
            traffic,
            setup,
        })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn now(&self) -> Duration {
        self.setup.clock.get()
    }

    fn speech(&self, cluster: &Cluster, upgrades: bool) -> Speech {
        match (cluster.protocol, upgrades, self.spoke.get()) {
            (UpstreamProtocol::Http1, ..) | (_, true, _) => Speech::Http1,
            (_, _, Some(Speech::Http1)) => Speech::Http1,
            (UpstreamProtocol::Http2, ..) => Speech::Http2,
        }
    }

    /// A connection with room, unless others wait for one. `upgrades` says that the connection is to
    /// become something else than HTTP, which HTTP/1.1 alone can.
    pub(crate) fn take(&self, cluster: &Cluster, upgrades: bool) -> Option<Connection> {
        let speech = self.speech(cluster, upgrades);
        if speech == Speech::Http1 && self.waiting.get() > 0 {
            return None;
        }
        self.take_next(speech)
    }

    fn take_next(&self, speech: Speech) -> Option<Connection> {
        if speech == Speech::Http2 {
            let requests = self.traffic.requests_per_connection;
            let shared = self.shared.borrow();
            return shared
                .iter()
                .find_map(|one| one.join(requests))
                .map(Connection::Many);
        }
        let mut idle = self.idle.borrow_mut();
        // Last in, first out: what is used least grows old and goes.
        let free = idle.iter().rposition(|idle| idle.connection.is_ready())?;
        Some(Connection::One(idle.swap_remove(free).connection))
    }

    /// A connection with room: one that gets free, or a new one as far as limits allow.
    pub(crate) async fn acquire(
        &self,
        cluster: &Cluster,
        upgrades: bool,
    ) -> Result<Connection, UpstreamFault> {
        let limit = self.traffic.max_pending.unwrap_or(u32::MAX);
        let _pending = Count::below(&self.load.pending, limit).ok_or(UpstreamFault::Overflow)?;
        let mut has_waited = false;
        let failures = self.failures.get();
        loop {
            let speech = self.speech(cluster, upgrades);
            // Who waits for a connection of its own is served in turn; a shared one has room for all
            // who come while it is being made.
            let is_next = has_waited || speech == Speech::Http2 || self.waiting.get() == 0;
            // An idle one was tried already.
            if (speech == Speech::Http2 || has_waited)
                && let Some(connection) = self.take_next(speech)
            {
                return Ok(connection);
            }
            let shares = speech == Speech::Http2 && self.connecting.get();
            let opened = (is_next && !shares)
                .then(|| self.openings.take(self.traffic.max_connections))
                .flatten();
            if let Some(opened) = opened {
                let _connecting = (speech == Speech::Http2).then(|| Connecting::begin(self));
                return self.connect(cluster, speech, opened).await;
            }
            if is_next
                && !shares
                && let Some(connection) = self.take_next(speech)
            {
                return Ok(connection);
            }
            self.make_room(speech);
            let _waiting = Count::up(&self.waiting);
            self.openings.freed.notified().await;
            if shares && self.failures.get() != failures {
                return Err(self.failure.get());
            }
            has_waited = true;
        }
    }

    /// An idle connection of the other kind stands in the way of a new one.
    fn make_room(&self, speech: Speech) {
        if speech == Speech::Http1 {
            self.shared
                .borrow_mut()
                .retain(|shared| !shared.is_over(self.now(), None));
        }
        self.idle
            .borrow_mut()
            .retain_mut(|idle| speech == Speech::Http1 && !idle.connection.is_closed());
    }

    async fn connect(
        &self,
        cluster: &Cluster,
        speech: Speech,
        opened: super::stream::Opened,
    ) -> Result<Connection, UpstreamFault> {
        let tls = cluster.tls()?;
        let complain = |error: &std::io::Error| {
            let why = super::super::tls::Words(error);
            self.setup.complain_of_tls(&cluster.service, &why);
        };
        let limit = self.traffic.connect_timeout.unwrap_or(self.setup.connect);
        let open = connection::open(&self.setup, self.address, tls, speech, opened, complain);
        let made = tokio::time::timeout(limit, open)
            .await
            .unwrap_or(Err(UpstreamFault::Unreachable));
        let made = made.inspect_err(|fault| {
            self.failure.set(*fault);
            self.failures.set(self.failures.get().wrapping_add(1));
            cluster.note(self, Sign::NoConnection);
            if cluster.has_choice() {
                self.watch(limit);
            }
        })?;
        self.setup.shard.upstream_connected();
        match made {
            Made::One(single) => {
                if speech == Speech::Http2 {
                    self.spoke.set(Some(Speech::Http1));
                }
                Ok(Connection::One(single))
            }
            Made::Many(shared) => {
                let seat = shared.join(None).ok_or(UpstreamFault::Unreachable)?;
                let requests = self.traffic.requests_per_connection;
                if requests.is_none_or(|limit| limit > 1) {
                    self.shared.borrow_mut().push(shared);
                }
                Ok(Connection::Many(seat))
            }
        }
    }

    /// Looks again and again whether a place that took no connection takes one now. Until then no
    /// request is risked there that another place can serve.
    fn watch(&self, limit: Duration) {
        if self.watched.replace(true) {
            return;
        }
        let (place, address) = (Weak::clone(&self.me), self.address);
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(PAUSE).await;
                if place.strong_count() == 0 {
                    return;
                }
                let looked = tokio::time::timeout(limit, TcpStream::connect(address)).await;
                let Some(place) = place.upgrade() else {
                    return;
                };
                if matches!(looked, Ok(Ok(_))) {
                    place.health.reached();
                }
                if !place.health.is_shunned() {
                    place.watched.set(false);
                    return;
                }
            }
        });
    }

    /// Takes a connection back that nobody uses any more.
    pub(crate) fn keep(&self, connection: Connection) {
        match connection {
            Connection::One(mut connection) => {
                let is_over = connection.rest(self.traffic.requests_per_connection);
                let mut idle = self.idle.borrow_mut();
                if !is_over && idle.len() < self.setup.kept {
                    let since = self.now();
                    idle.push(Idle { connection, since });
                }
            }
            Connection::Many(_) => {}
        }
    }

    /// Takes a connection back on which nothing was sent after all: whoever waits for one gets it.
    pub(crate) fn put_back(&self, connection: Connection) {
        self.keep(connection);
        self.tell_next();
    }

    /// A connection may be free: the first of those who wait looks.
    fn tell_next(&self) {
        if self.waiting.get() > 0 {
            self.openings.freed.notify_one();
        }
    }

    /// Closes what nobody used for too long; true when nothing is left.
    pub(super) fn tick(&self) -> bool {
        let now = self.now();
        let limit = self.traffic.idle_timeout.unwrap_or(self.setup.idle);
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|idle| now - idle.since < limit && !idle.connection.is_closed());
        let mut shared = self.shared.borrow_mut();
        let requests = self.traffic.requests_per_connection;
        if let Some(since) = now.checked_sub(limit) {
            shared.retain(|shared| !shared.is_over(since, requests));
        }
        let is_unused = self.in_flight.get() == 0 && self.waiting.get() == 0;
        is_unused && idle.is_empty() && shared.is_empty()
    }
}

/// One more of something, until it is dropped.
pub(super) struct Count<'c>(&'c Cell<u32>);

impl<'c> Count<'c> {
    fn up(count: &'c Cell<u32>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }

    fn below(count: &'c Cell<u32>, limit: u32) -> Option<Self> {
        (count.get() < limit).then(|| Self::up(count))
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A connection is being made that all who wait will share.
struct Connecting<'p>(&'p Place);

impl<'p> Connecting<'p> {
    fn begin(place: &'p Place) -> Self {
        place.connecting.set(true);
        Self(place)
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        self.0.connecting.set(false);
        self.0.openings.freed.notify_waiters();
    }
}
