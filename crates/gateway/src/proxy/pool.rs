//! Upstream connections of one worker: kept open, used by one request at a time.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use model::names::Duration;
use model::snapshot::{Destination, ServiceRef};
use tokio::net::TcpStream;

use super::UpstreamFault;
use super::resolve::{self, Endpoint};
use crate::body::{ClientBody, Upload};
use crate::record::Shard;
use crate::settings::{Limits, ResolveRule};

/// How long a name's addresses are believed.
const FRESH: Duration = Duration::from_secs(5);
/// How long it is believed that a name has none.
const FAILED: Duration = Duration::from_secs(1);
/// One complaint about a Service in this time.
const BURST: Duration = Duration::from_secs(10);

/// The sending half of an upstream connection.
pub(super) type Sender = SendRequest<ClientBody>;

/// One address, and the connections to it that nobody uses.
pub(crate) struct Upstream {
    address: SocketAddr,
    idle: RefCell<Vec<(Sender, Duration)>>,
    kept: usize,
    clock: Rc<Cell<Duration>>,
}

/// The addresses of one destination.
pub(super) struct Upstreams {
    all: Box<[Rc<Upstream>]>,
    next: Cell<usize>,
}

impl Upstreams {
    fn in_turn(&self) -> impl Iterator<Item = &Rc<Upstream>> {
        let first = self.next.get();
        self.next.set(first.wrapping_add(1));
        let count = self.all.len();
        (0..count).map(move |step| &self.all[first.wrapping_add(step) % count])
    }

    /// A connection that is open and free.
    pub(super) fn take_idle(&self) -> Option<(Rc<Upstream>, Sender)> {
        self.in_turn()
            .find_map(|upstream| Some((Rc::clone(upstream), upstream.take()?)))
    }
}

impl Upstream {
    fn take(&self) -> Option<Sender> {
        let mut idle = self.idle.borrow_mut();
        // Last in, first out: what is used least grows old and goes.
        let free = idle.iter().rposition(|(sender, _)| sender.is_ready())?;
        Some(idle.swap_remove(free).0)
    }

    fn keep(&self, sender: Sender) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.kept && !sender.is_closed() {
            idle.push((sender, self.clock.get()));
        }
    }
}

/// A connection that an answer still comes over.
pub(crate) struct Lease {
    upstream: Rc<Upstream>,
    sender: Sender,
    upload: Option<Rc<Cell<Upload>>>,
}

impl Lease {
    /// `upload` tells whether the request's body is through; `None` when it had none.
    pub(super) fn new(
        upstream: Rc<Upstream>,
        sender: Sender,
        upload: Option<Rc<Cell<Upload>>>,
    ) -> Self {
        Self {
            upstream,
            sender,
            upload,
        }
    }

    /// The answer was read to its end: the connection may serve the next request, unless this one
    /// is still being sent.
    pub(crate) fn give_back(self) {
        if self
            .upload
            .is_none_or(|upload| upload.get() == Upload::Done)
        {
            self.upstream.keep(self.sender);
        }
    }
}

/// What is known of where a Service lives.
enum Known {
    At(Rc<Upstreams>),
    Nowhere,
}

struct Place {
    known: Known,
    // `None`: for ever.
    until: Option<Duration>,
}

/// All upstream connections of one worker.
pub(crate) struct Pool {
    rules: Vec<ResolveRule>,
    places: RefCell<HashMap<ServiceRef, Place>>,
    upstreams: RefCell<HashMap<SocketAddr, Rc<Upstream>>>,
    complaints: RefCell<HashMap<ServiceRef, Duration>>,
    // Time since the start, in the sweeper's ticks.
    clock: Rc<Cell<Duration>>,
    connect: Duration,
    idle: Duration,
    kept: usize,
    builder: Builder,
    shard: Arc<Shard>,
}

impl Pool {
    /// An empty pool.
    pub(crate) fn new(limits: &Limits, rules: Vec<ResolveRule>, shard: Arc<Shard>) -> Self {
        Self {
            rules,
            places: RefCell::default(),
            upstreams: RefCell::default(),
            complaints: RefCell::default(),
            clock: Rc::default(),
            connect: limits.connect,
            idle: limits.upstream_idle,
            kept: limits.upstream_kept,
            builder: Builder::new(),
            shard,
        }
    }

    /// `length` has passed: closes connections that nobody used for too long.
    pub(crate) fn tick(&self, length: Duration) {
        let now = self.clock.get() + length;
        self.clock.set(now);
        self.upstreams.borrow_mut().retain(|_, upstream| {
            let mut idle = upstream.idle.borrow_mut();
            idle.retain(|(sender, since)| !sender.is_closed() && now - *since < self.idle);
            !idle.is_empty() || Rc::strong_count(upstream) > 1
        });
    }

    /// The addresses of a destination, when they are known.
    pub(super) fn at_hand(&self, destination: &Destination) -> Option<Rc<Upstreams>> {
        let places = self.places.borrow();
        let place = places.get(&destination.service)?;
        if place.until.is_some_and(|until| until <= self.clock.get()) {
            return None;
        }
        match &place.known {
            Known::At(upstreams) => Some(Rc::clone(upstreams)),
            Known::Nowhere => None,
        }
    }

    /// Finds the addresses of a destination.
    pub(super) async fn look_up(
        &self,
        destination: &Destination,
    ) -> Result<Rc<Upstreams>, UpstreamFault> {
        let service = &destination.service;
        if let Some(Place {
            known: Known::Nowhere,
            until,
        }) = self.places.borrow().get(service)
            && until.is_none_or(|until| until > self.clock.get())
        {
            return Err(UpstreamFault::Unresolvable);
        }
        let endpoint = Endpoint::of(destination, &self.rules);
        let fixed = matches!(endpoint, Endpoint::Address(_));
        let addresses = resolve::addresses(&endpoint, self.connect).await;
        let all: Box<[_]> = addresses
            .into_iter()
            .map(|address| self.upstream(address))
            .collect();
        let found = !all.is_empty();
        let upstreams = Rc::new(Upstreams {
            all,
            next: Cell::new(0),
        });
        let lasts = if found { FRESH } else { FAILED };
        let place = Place {
            known: if found {
                Known::At(Rc::clone(&upstreams))
            } else {
                Known::Nowhere
            },
            until: (!fixed).then(|| self.clock.get() + lasts),
        };
        self.places.borrow_mut().insert(service.clone(), place);
        if found {
            Ok(upstreams)
        } else {
            Err(UpstreamFault::Unresolvable)
        }
    }

    fn upstream(&self, address: SocketAddr) -> Rc<Upstream> {
        let mut upstreams = self.upstreams.borrow_mut();
        let upstream = upstreams.entry(address).or_insert_with(|| {
            Rc::new(Upstream {
                address,
                idle: RefCell::default(),
                kept: self.kept,
                clock: Rc::clone(&self.clock),
            })
        });
        Rc::clone(upstream)
    }

    /// Opens a connection to the first address that takes one.
    pub(super) async fn connect(
        &self,
        upstreams: &Upstreams,
    ) -> Result<(Rc<Upstream>, Sender), UpstreamFault> {
        for upstream in upstreams.in_turn() {
            let address = upstream.address;
            let stream = tokio::time::timeout(self.connect, TcpStream::connect(address)).await;
            let Ok(Ok(stream)) = stream else { continue };
            // Nagle only ever delays requests; a socket that refuses the option still works.
            let _ = stream.set_nodelay(true);
            let io = TokioIo::new(stream);
            let Ok((sender, connection)) = self.builder.handshake(io).await else {
                continue;
            };
            self.shard.upstream_connected();
            // How it ends is told to the request that uses it.
            tokio::task::spawn_local(async move {
                let _ = connection.with_upgrades().await;
            });
            return Ok((Rc::clone(upstream), sender));
        }
        Err(UpstreamFault::Unreachable)
    }

    /// Says once in a while that a Service does not answer, and how to help.
    pub(super) fn complain(&self, fault: UpstreamFault, service: &ServiceRef) {
        let said = match fault {
            UpstreamFault::Unresolvable => "the service has no known address",
            UpstreamFault::Unreachable => "the service takes no connections",
            UpstreamFault::BrokeOff => "the service broke off before it answered",
            UpstreamFault::Rewrite => "the route's rewrite makes no path",
            UpstreamFault::Timeout | UpstreamFault::ClientStalled | UpstreamFault::ClientBroke => {
                return;
            }
        };
        let now = self.clock.get();
        let mut complaints = self.complaints.borrow_mut();
        if complaints.get(service).is_some_and(|until| *until > now) {
            return;
        }
        complaints.insert(service.clone(), now + BURST);
        let (name, namespace) = (&service.name, &service.namespace);
        tracing::warn!(%service, help = %format_args!("--resolve {name}.{namespace}=ADDR"), "{said}");
    }
}
