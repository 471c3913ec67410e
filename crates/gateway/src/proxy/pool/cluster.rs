//! A destination as the pool sees it: its places, its limits, its health.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use model::names::Duration;
use model::snapshot::{Destination, Endpoints, ServiceRef, Traffic, UpstreamProtocol, UpstreamTls};

use super::super::UpstreamFault;
use super::super::resolve::{self, Endpoint};
use super::super::tls::Tls;
use super::balance::{self, Choice};
use super::health::{self, Sign};
use super::{Place, Setup};

/// How long a name's addresses are believed.
const FRESH: Duration = Duration::from_secs(5);
/// How much longer they are used while somebody asks again.
const STALE: Duration = Duration::from_secs(10);
/// How long it is believed that a name has none.
const FAILED: Duration = Duration::from_secs(1);

/// What a cluster has in flight.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Requests.
    pub(super) requests: Cell<u32>,
    /// Requests that wait for a connection.
    pub(super) pending: Cell<u32>,
    /// Connections.
    pub(super) connections: Arc<AtomicU32>,
    retries: Cell<u32>,
}

/// A destination with its protocol, TLS, places and limits.
pub(crate) struct Cluster {
    /// The Service.
    pub(crate) service: ServiceRef,
    host: Arc<str>,
    /// What it speaks.
    pub(super) protocol: UpstreamProtocol,
    tls_wanted: Option<Arc<UpstreamTls>>,
    // `Err` when it cannot be made; why was said when that was found out.
    tls: Option<Result<Tls, ()>>,
    endpoints: Endpoints,
    /// Limits, balance and health.
    pub(crate) traffic: Arc<Traffic>,
    wanted: Vec<(Endpoint, u32)>,
    known: RefCell<Known>,
    refreshing: Cell<bool>,
    looking: tokio::sync::Mutex<()>,
    turn: Cell<usize>,
    load: Rc<Load>,
    setup: Rc<Setup>,
}

/// The places of a cluster.
pub(crate) struct Places(Box<[Rc<Place>]>);

/// What is known of where a Service lives.
enum Known {
    Nothing,
    // `None`: for ever.
    At(Rc<Places>, Option<Duration>),
    Nowhere(Duration),
}

impl Cluster {
    pub(super) fn new(destination: &Destination, setup: Rc<Setup>) -> Self {
        let Destination {
            service,
            host,
            protocol,
            tls,
            endpoints,
            traffic,
            target_port: _,
            played_by: _,
            policies: _,
            authentication: _,
        } = destination;
        let made = tls.as_ref().map(|wanted| {
            let made = Tls::new(&setup.tls, wanted, host);
            made.map_err(|fault| setup.complain_of_tls(service, &fault))
        });
        Self {
            service: service.clone(),
            host: Arc::clone(host),
            protocol: *protocol,
            tls_wanted: tls.clone(),
            tls: made,
            endpoints: endpoints.clone(),
            traffic: Arc::clone(traffic),
            wanted: resolve::endpoints(destination, &setup.rules),
            known: RefCell::new(Known::Nothing),
            refreshing: Cell::new(false),
            looking: tokio::sync::Mutex::default(),
            turn: Cell::new(0),
            load: Rc::default(),
            setup,
        }
    }

    /// Whether requests for `destination` belong here.
    pub(super) fn serves(&self, destination: &Destination) -> bool {
        self.service == destination.service
            && self.host == destination.host
            && self.protocol == destination.protocol
            && self.tls_wanted == destination.tls
            && self.endpoints == destination.endpoints
            && self.traffic == destination.traffic
    }

    /// How TLS is made; `None` for plain text.
    pub(super) fn tls(&self) -> Result<Option<&Tls>, UpstreamFault> {
        match &self.tls {
            None => Ok(None),
            Some(Ok(tls)) => Ok(Some(tls)),
            Some(Err(())) => {
                let why = "its certificates or names cannot be used";
                self.setup.complain_of_tls(&self.service, &why);
                Err(UpstreamFault::Untrusted)
            }
        }
    }

    /// Whether it is spoken to over TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether a place that takes no connection stands for another address of the same name, which
    /// is asked instead (RFC 8305): nothing was sent, and nothing is sent again.
    pub(crate) fn fails_over(&self) -> bool {
        matches!(self.wanted.as_slice(), [(Endpoint::Name { .. }, _)])
    }

    fn now(&self) -> Duration {
        self.setup.clock.get()
    }

    /// The places, when they are known. Addresses that were believed long enough are asked for again
    /// meanwhile.
    pub(crate) fn at_hand(self: &Rc<Self>) -> Option<Rc<Places>> {
        let known = self.known.borrow();
        let Known::At(places, until) = &*known else {
            return None;
        };
        let Some(until) = *until else {
            return Some(Rc::clone(places));
        };
        let now = self.now();
        if until <= now {
            if until + STALE <= now {
                return None;
            }
            if !self.refreshing.replace(true) {
                let cluster = Rc::clone(self);
                tokio::task::spawn_local(async move {
                    // The next request that finds none says so.
                    let _ = cluster.look_up().await;
                    cluster.refreshing.set(false);
                });
            }
        }
        Some(Rc::clone(places))
    }

    /// Finds the places; one question at a time.
    pub(crate) async fn look_up(&self) -> Result<Rc<Places>, UpstreamFault> {
        let _looking = self.looking.lock().await;
        let old = match &*self.known.borrow() {
            Known::At(places, until) if until.is_none_or(|until| until > self.now()) => {
                return Ok(Rc::clone(places));
            }
            Known::Nowhere(until) if *until > self.now() => {
                return Err(UpstreamFault::Unresolvable);
            }
            Known::At(places, _) => Some(Rc::clone(places)),
            Known::Nothing | Known::Nowhere(_) => None,
        };
        let mut found: Vec<(SocketAddr, u32)> = Vec::new();
        for (endpoint, weight) in &self.wanted {
            for address in resolve::addresses(endpoint, self.setup.connect).await {
                if !found.iter().any(|(known, _)| *known == address) {
                    found.push((address, *weight));
                }
            }
        }
        if found.is_empty() {
            let is_usable =
                |until: &Option<Duration>| until.is_some_and(|until| until + STALE > self.now());
            // A resolver that stumbles takes nobody's addresses away at once.
            let mut known = self.known.borrow_mut();
            if !matches!(&*known, Known::At(_, until) if is_usable(until)) {
                *known = Known::Nowhere(self.now() + FAILED);
            }
            return Err(UpstreamFault::Unresolvable);
        }
        let all = found.into_iter().map(|(address, weight)| {
            let known = old.as_ref().and_then(|old| old.find(address, weight));
            known.unwrap_or_else(|| self.place(address, weight))
        });
        let places = Rc::new(Places(all.collect()));
        let is_fixed = |(endpoint, _): &(Endpoint, u32)| matches!(endpoint, Endpoint::Address(_));
        let until = (!self.wanted.iter().all(is_fixed)).then(|| self.now() + FRESH);
        *self.known.borrow_mut() = Known::At(Rc::clone(&places), until);
        Ok(places)
    }

    fn place(&self, address: SocketAddr, weight: u32) -> Rc<Place> {
        let traffic = Arc::clone(&self.traffic);
        Place::new(
            address,
            weight,
            Rc::clone(&self.load),
            traffic,
            Rc::clone(&self.setup),
        )
    }

    /// The place that a request goes to: none that is left out, and rather one that was not tried.
    pub(crate) fn choose(
        &self,
        places: &Places,
        tried: &[SocketAddr],
        choice: Choice,
    ) -> Result<Rc<Place>, UpstreamFault> {
        let now = self.now();
        let is_in = |place: &Rc<Place>| !place.health.is_out(now);
        if let [only] = &*places.0 {
            return if is_in(only) {
                Ok(Rc::clone(only))
            } else {
                Err(UpstreamFault::NoneHealthy)
            };
        }
        let turn = self.turn.replace(self.turn.get().wrapping_add(1));
        let balance = &self.traffic.balance;
        let is_new = |place: &Rc<Place>| is_in(place) && !tried.contains(&place.address);
        let pick = |may: &dyn Fn(&Rc<Place>) -> bool| {
            balance::choose(&places.0, balance, choice, turn, may)
        };
        pick(&|place| is_new(place) && !place.health.is_shunned())
            .or_else(|| pick(&is_new))
            .or_else(|| pick(&is_in))
            .map(|index| Rc::clone(&places.0[index]))
            .ok_or(UpstreamFault::NoneHealthy)
    }

    /// Takes a sign of a place's health.
    pub(crate) fn note(&self, place: &Place, sign: Sign) {
        let rules = self.traffic.outliers.as_ref();
        let now = self.now();
        if !place.health.note(sign, rules, now) {
            return;
        }
        let (Some(rules), Known::At(places, _)) = (rules, &*self.known.borrow()) else {
            return;
        };
        let out = places.0.iter().filter(|one| one.health.is_out(now)).count();
        if health::may_eject(rules, out, places.0.len()) {
            place.health.eject(rules, now);
            self.setup.shard.ejected();
            let address = place.address;
            tracing::warn!(service = %self.service, %address, "a place fails and is left out for a while");
        }
    }

    /// Whether a request that one place fails may go to another.
    pub(super) fn has_choice(&self) -> bool {
        matches!(&*self.known.borrow(), Known::At(places, _) if places.count() > 1)
    }

    /// Whether one more retry may run, and that it runs until it is dropped.
    pub(crate) fn begin_retry(&self) -> Option<Retrying> {
        let limit = self.traffic.max_retries.unwrap_or(u32::MAX);
        let retries = &self.load.retries;
        if retries.get() >= limit {
            return None;
        }
        retries.set(retries.get() + 1);
        Some(Retrying(Rc::clone(&self.load)))
    }

    /// Closes what nobody used for too long; true when nothing is left.
    pub(super) fn tick(&self) -> bool {
        match &*self.known.borrow() {
            Known::At(places, _) => {
                // Every one has to look, whatever the others found.
                let left = places.0.iter().filter(|place| !place.tick());
                left.count() == 0
            }
            Known::Nothing | Known::Nowhere(_) => true,
        }
    }
}

impl Places {
    fn find(&self, address: SocketAddr, weight: u32) -> Option<Rc<Place>> {
        let same = |place: &&Rc<Place>| {
            place.address == address && balance::Candidate::weight(*place) == weight.max(1)
        };
        self.0.iter().find(same).cloned()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

/// A retry in flight.
pub(crate) struct Retrying(Rc<Load>);

impl Drop for Retrying {
    fn drop(&mut self) {
        self.0.retries.set(self.0.retries.get() - 1);
    }
}
