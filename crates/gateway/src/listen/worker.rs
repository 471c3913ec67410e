//! One worker: a thread with its own runtime, sockets, upstream pool and records. Requests share
//! nothing with other workers but the world and the sessions.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::{Arc, mpsc};

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;
use http::HeaderValue;
use login::Sessions;
use model::names::{Duration, Timestamp};
use model::snapshot::ListenerProtocol;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

use super::connection;
use super::pulse::{Order, Switch, Ticks};
use super::wire::{Closer, Closing, Slot};
use super::{HTTP, HTTPS, Shared, Stage};
use crate::assertions::Assertions;
use crate::authorizer::Health;
use crate::facts::{Identifiers, View};
use crate::proxy::Pool;
use crate::record::{Recorder, Shard, Writer};
use crate::settings::{AuthorizerSettings, Limits, Purpose};
use crate::tls::Tls;
use crate::world::World;

/// Requests of one worker that are answered however little memory there is. What the allocator does
/// not give back would otherwise close the door for good.
const SPARED: u64 = 16;

/// Once another process accepts, clients that keep a connection have this long to use it once more.
const PATIENCE: Duration = Duration::from_secs(5);

/// What one worker is given.
pub(super) struct Seat {
    pub(super) shared: Arc<Shared>,
    /// Which of the workers.
    pub(super) number: usize,
    pub(super) shard: Arc<Shard>,
    pub(super) writer: Option<Writer>,
}

/// The world as this worker last saw it.
struct Seen {
    cache: Cache<Arc<ArcSwap<World>>, Arc<World>>,
    view: Rc<View>,
}

/// What the requests of one worker share.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    seen: RefCell<Seen>,
    /// Upstream connections.
    pub(crate) pool: Pool,
    /// Log lines and counters.
    pub(crate) recorder: Rc<Recorder>,
    /// Request ids and draws.
    pub(crate) identifiers: RefCell<Identifiers>,
    /// Statements of who sent a request.
    pub(crate) assertions: Assertions,
    /// What is told to those who ask over gRPC whether anybody is here.
    pub(crate) health: Health,
    /// Takes connections that end without a word.
    pub(super) closer: Closer,
    hsts: Option<HeaderValue>,
    connections: RefCell<Vec<Weak<Switch>>>,
    number: usize,
    /// Acceptors of further Gateway ports.
    further: RefCell<BTreeMap<u16, Vec<JoinHandle<()>>>>,
}

impl Worker {
    /// The world as it is now. A request asks once.
    pub(crate) fn view(&self) -> Rc<View> {
        let mut seen = self.seen.borrow_mut();
        let Seen { cache, view } = &mut *seen;
        let world = cache.load();
        if !Arc::ptr_eq(world, &view.world) {
            *view = Rc::new(View::new(
                Arc::clone(world),
                self.shared.settings.https_upgrade,
            ));
        }
        Rc::clone(view)
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// The sessions.
    pub(crate) fn sessions(&self) -> &Arc<Sessions> {
        &self.shared.sessions
    }

    /// The limits.
    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.settings.limits
    }

    /// Whether there is more to do than can be done: too many requests in the whole process, or too
    /// little memory. While this worker has less than half of its share, it asks nobody.
    pub(crate) fn is_overloaded(&self) -> bool {
        let shared = &self.shared;
        let limit = shared.settings.limits.requests as u64;
        let here = self.recorder.shard.in_flight();
        (here > SPARED && shared.pressure.is_high())
            || (here > limit / (2 * shared.workers as u64) && shared.metrics.in_flight() > limit)
    }

    /// What other proxies ask, and who of them is believed.
    pub(crate) fn authorizer(&self) -> &AuthorizerSettings {
        &self.shared.settings.authorizer
    }

    /// The runtime that local services run on.
    pub(crate) fn control(&self) -> &Handle {
        &self.shared.control
    }

    /// Whether plain HTTP is sent to HTTPS.
    pub(crate) fn https_upgrade(&self) -> bool {
        self.shared.settings.https_upgrade
    }

    /// Port of the HTTPS socket.
    pub(crate) fn https_port(&self) -> u16 {
        self.shared.https.map_or(443, |address| address.port())
    }

    /// For how long browsers are told to come over HTTPS only.
    pub(crate) fn hsts(&self) -> Option<&HeaderValue> {
        self.hsts.as_ref()
    }

    /// How TLS is ended.
    pub(super) fn tls(&self) -> &Tls {
        &self.shared.tls
    }

    /// Whether connections to a port begin with a PROXY protocol header.
    pub(super) fn speaks_proxy(&self, port: u16, view: &View) -> bool {
        let said = self.shared.settings.listen.get(&port);
        said.and_then(|at| at.proxy_protocol)
            .unwrap_or_else(|| view.world.snapshot.proxy_protocol())
    }

    /// Port of the HTTP socket; 80 where there is none.
    pub(crate) fn http_port(&self) -> u16 {
        self.shared.http.map_or(80, |address| address.port())
    }

    /// Watches over a connection until it is gone.
    pub(super) fn watch(&self, switch: &Rc<Switch>) {
        self.connections.borrow_mut().push(Rc::downgrade(switch));
    }

    fn each_connection(&self, mut act: impl FnMut(&Switch)) {
        self.connections.borrow_mut().retain(|switch| {
            let switch = switch.upgrade();
            switch.inspect(|switch| act(switch)).is_some()
        });
    }
}

/// Runs a worker until the gateway is drained. Tells `ready` once whether it could begin, and lets
/// go of it: the starter waits until every worker has.
pub(super) fn run(seat: Seat, ready: mpsc::Sender<io::Result<()>>) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            // Nobody listens only when the starter has given up.
            let _ = ready.send(Err(error));
            return;
        }
    };
    runtime.block_on(async move {
        match begin(seat) {
            Ok((worker, listeners, closings)) => {
                let _ = ready.send(Ok(()));
                drop(ready);
                tokio::task::spawn_local(close(closings));
                serve(worker, listeners).await;
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        }
    });
}

type Listeners = Vec<(TcpListener, Purpose)>;

type Closings = UnboundedReceiver<Closing>;

fn begin(seat: Seat) -> io::Result<(Rc<Worker>, Listeners, Closings)> {
    let Seat {
        shared,
        number,
        shard,
        writer,
    } = seat;
    let mut listeners = Vec::new();
    let asked = [Purpose::AuthorizerHttp, Purpose::AuthorizerGrpc];
    for purpose in [HTTPS, HTTP].into_iter().chain(asked) {
        if shared.sockets.address(purpose).is_some() {
            let opened = shared.sockets.take(purpose, number)?;
            listeners.extend(opened.into_iter().map(|listener| (listener, purpose)));
        }
    }
    let mut cache = Cache::new(Arc::clone(&shared.world));
    let view = View::new(Arc::clone(cache.load()), shared.settings.https_upgrade);
    let settings = &shared.settings;
    let (closer, closings) = unbounded_channel();
    let worker = Worker {
        seen: RefCell::new(Seen {
            cache,
            view: Rc::new(view),
        }),
        pool: Pool::new(
            &settings.limits,
            settings.resolve.clone(),
            Arc::clone(&shared.upstream_tls),
            Arc::clone(&shard),
        ),
        recorder: Rc::new(Recorder::new(shard, writer)),
        identifiers: RefCell::new(Identifiers::new(Arc::clone(&shared.randomness))),
        assertions: Assertions::default(),
        health: Health::default(),
        closer,
        hsts: settings
            .hsts
            .and_then(|span| HeaderValue::try_from(format!("max-age={}", span.as_secs())).ok()),
        connections: RefCell::new(Vec::new()),
        number,
        further: RefCell::default(),
        shared,
    };
    let worker = Rc::new(worker);
    open_further(&worker);
    Ok((worker, listeners, closings))
}

/// Says the last words of connections.
async fn close(mut closings: Closings) {
    while let Some(closing) = closings.recv().await {
        tokio::task::spawn_local(closing.run());
    }
}

/// Opens what a Gateway has and closes what none has any more; connections go on.
fn open_further(worker: &Rc<Worker>) {
    let view = worker.view();
    let sockets = &worker.shared.sockets;
    let mut further = worker.further.borrow_mut();
    for port in sockets.further() {
        let wanted = view.world.snapshot.listener(port).is_some();
        match further.entry(port) {
            Entry::Vacant(seat) if wanted => {
                match sockets.take(Purpose::Gateway(port), worker.number) {
                    Ok(listeners) => {
                        let acceptors = listeners.into_iter().map(|listener| {
                            let purpose = Purpose::Gateway(port);
                            let acceptor = accept(Rc::clone(worker), listener, purpose);
                            tokio::task::spawn_local(acceptor)
                        });
                        seat.insert(acceptors.collect());
                    }
                    // Tried again with the next tick.
                    Err(error) => {
                        tracing::error!(%error, port, "a Gateway port cannot be opened")
                    }
                }
            }
            Entry::Occupied(acceptors) if !wanted => {
                for acceptor in acceptors.remove() {
                    acceptor.abort();
                }
            }
            Entry::Vacant(_) | Entry::Occupied(_) => {}
        }
        if !wanted {
            // One that was given to this process may be open although nobody accepted on it.
            sockets.close(port, worker.number);
        }
    }
}

async fn serve(worker: Rc<Worker>, listeners: Listeners) {
    let mut stage = worker.shared.stage.clone();
    worker.health.serves(true).await;
    let acceptors: Vec<_> = listeners
        .into_iter()
        .map(|(listener, purpose)| {
            tokio::task::spawn_local(accept(Rc::clone(&worker), listener, purpose))
        })
        .collect();
    let sweeper = tokio::task::spawn_local(sweep(Rc::clone(&worker), true));

    // A gateway that was dropped instead of drained stops at once.
    let ended = stage.wait_for(|stage| *stage != Stage::Serving).await;
    let ended = ended.map(|stage| *stage).ok();
    sweeper.abort();
    worker.health.serves(false).await;
    let further = std::mem::take(&mut *worker.further.borrow_mut());
    for acceptor in acceptors.into_iter().chain(further.into_values().flatten()) {
        acceptor.abort();
    }
    let sweeper = tokio::task::spawn_local(sweep(Rc::clone(&worker), false));
    if ended == Some(Stage::Yielding) {
        tokio::select! {
            () = retired(&worker) => {}
            // Those that are quiet for so long are as good as gone.
            () = tokio::time::sleep(PATIENCE) => {}
            _ = stage.wait_for(|stage| *stage == Stage::Stopping) => {}
        }
    }
    worker.each_connection(|switch| switch.give(Order::Drain));
    let stopped = stage.wait_for(|stage| *stage == Stage::Stopping);
    if ended.is_some() {
        tokio::select! {
            () = emptied(&worker) => {}
            _ = stopped => {}
        }
    }
    sweeper.abort();
    worker.recorder.lines.hand_over();
}

/// Waits until no connection is left, each having had one more request if it wants.
async fn retired(worker: &Rc<Worker>) {
    let mut pause = tokio::time::interval(Duration::from_millis(5));
    while worker.recorder.shard.open() > 0 {
        pause.tick().await;
        worker.each_connection(Switch::retire);
    }
}

/// Waits until no connection is left, those inside a handshake and tunnels included.
async fn emptied(worker: &Rc<Worker>) {
    let mut pause = tokio::time::interval(Duration::from_millis(5));
    while worker.recorder.shard.open() > 0 {
        pause.tick().await;
        worker.each_connection(|switch| {
            // One that was in its handshake when all were told was not among them.
            if switch.is_fresh() || !switch.is_told() {
                switch.give(Order::Drain);
            }
        });
    }
}

/// Ticks for every connection of this worker, and for what else grows old.
async fn sweep(worker: Rc<Worker>, opens: bool) {
    let ticks = Ticks::new(worker.limits());
    let mut interval = tokio::time::interval(ticks.length);
    loop {
        interval.tick().await;
        worker.each_connection(|switch| switch.tick(&ticks));
        worker.pool.tick(ticks.length);
        worker.shared.pressure.measure();
        worker.recorder.lines.hand_over();
        worker.assertions.tidy(worker.now());
        if opens {
            open_further(&worker);
        }
    }
}

async fn accept(worker: Rc<Worker>, listener: TcpListener, purpose: Purpose) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // Out of file descriptors, most likely: leave time to close some.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Nagle only ever delays answers; a socket that refuses the option still works.
        let _ = stream.set_nodelay(true);
        let shared = &worker.shared;
        let limit = shared.settings.limits.connections;
        match Slot::take(&shared.open, limit, &worker.recorder.shard) {
            Some(slot) => {
                // On the heap at once: a task's future is moved several times before it stays.
                let task = connection::serve(Rc::clone(&worker), stream, peer, purpose, slot);
                tokio::task::spawn_local(Box::pin(task));
            }
            None => {
                let speaks = match purpose {
                    Purpose::Gateway(port) => worker.view().speaks(port, worker.https_upgrade()),
                    Purpose::AuthorizerHttp => Some(ListenerProtocol::Http),
                    // No word of HTTP/1 says anything there.
                    Purpose::AuthorizerGrpc => None,
                };
                turn_away(stream, peer, speaks).await;
            }
        }
    }
}

/// Tells one client too many to go away, as far as that costs nothing: a plain 503, or the TLS
/// alert `internal_error` in place of a handshake.
async fn turn_away(mut stream: TcpStream, peer: SocketAddr, speaks: Option<ListenerProtocol>) {
    const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n\
        connection: close\r\ncontent-length: 0\r\n\r\n";
    const ALERT: &[u8] = &[21, 3, 1, 0, 2, 2, 80];
    tracing::debug!(%peer, "refused a connection: too many are open");
    let farewell = match speaks {
        Some(ListenerProtocol::Http) => BUSY,
        Some(ListenerProtocol::Tls) => ALERT,
        Some(ListenerProtocol::Tcp) | None => &[],
    };
    // A new socket's buffer takes these few bytes at once.
    let _ = stream.write_all(farewell).await;
    let _ = stream.shutdown().await;
}
