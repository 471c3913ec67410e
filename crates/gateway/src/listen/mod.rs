//! Sockets, workers and how they end.

mod connection;
mod frame_guard;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod head_guard;
mod hello;
mod preface;
mod pressure;
mod proxy_header;
mod pulse;
mod socket;
mod sockets;
mod stream;
mod wire;
mod worker;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use login::Sessions;
use model::names::Duration;
use model::seams::{Clock, Randomness};
use rustls::server::ResolvesServerCert;
use tokio::runtime::Handle;
use tokio::sync::watch;

pub(crate) use connection::{OnThisThread, Peer};
pub(crate) use pulse::{Busy, Pulse};
pub(crate) use worker::Worker;

use self::pressure::Pressure;
use self::sockets::Sockets;
use crate::proxy::TlsConfigs;
use crate::record::{LogSink, Metrics};
use crate::settings::{Listening, Purpose, Settings};
use crate::tls::Tls;
use crate::world::World;

/// Why the data plane did not start.
#[derive(Debug)]
pub enum StartFault {
    /// An address cannot be listened on.
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The TLS provider refused the configuration.
    Tls(rustls::Error),
    /// A thread or its runtime cannot be made.
    Thread(io::Error),
    /// The caller is on no tokio runtime, so local services have nowhere to run.
    NoRuntime,
}

impl fmt::Display for StartFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { address, source } => write!(f, "cannot listen on `{address}`: {source}"),
            Self::Tls(error) => write!(f, "cannot set up TLS: {error}"),
            Self::Thread(error) => write!(f, "cannot start a worker: {error}"),
            Self::NoRuntime => f.write_str("the gateway was started outside of a runtime"),
        }
    }
}

impl std::error::Error for StartFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind { source, .. } | Self::Thread(source) => Some(source),
            Self::Tls(error) => Some(error),
            Self::NoRuntime => None,
        }
    }
}

/// `Gateway` port that is bound by [`Settings::https`].
const HTTPS: Purpose = Purpose::Gateway(443);

/// `Gateway` port that is bound by [`Settings::http`].
const HTTP: Purpose = Purpose::Gateway(80);

/// Where the process stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Serving,
    /// Another process accepts on the same sockets.
    Yielding,
    Draining,
    Stopping,
}

/// What all workers share.
struct Shared {
    settings: Settings,
    https: Option<SocketAddr>,
    http: Option<SocketAddr>,
    world: Arc<ArcSwap<World>>,
    sessions: Arc<Sessions>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    sockets: Arc<Sockets>,
    tls: Tls,
    open: Arc<AtomicUsize>,
    upstream_tls: Arc<TlsConfigs>,
    metrics: Arc<Metrics>,
    workers: usize,
    pressure: Pressure,
    control: Handle,
    stage: watch::Receiver<Stage>,
}

/// The running data plane. Dropping it cuts every connection; [`Self::drain`] is the kind way.
pub struct Gateway {
    https: Option<SocketAddr>,
    http: Option<SocketAddr>,
    sockets: Arc<Sockets>,
    metrics: Arc<Metrics>,
    stage: watch::Sender<Stage>,
    threads: Vec<JoinHandle<()>>,
}

impl Gateway {
    /// Opens the sockets and starts the workers. Call it on the runtime that local services are to
    /// run on; it returns once every worker accepts.
    ///
    /// # Errors
    /// When an address is taken, TLS cannot be set up, or a thread cannot be made.
    pub fn start(
        mut settings: Settings,
        world: Arc<ArcSwap<World>>,
        sessions: Arc<Sessions>,
        certificates: Arc<dyn ResolvesServerCert>,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
        log: LogSink,
    ) -> Result<Self, StartFault> {
        let control = Handle::try_current().map_err(|_| StartFault::NoRuntime)?;
        let workers = match settings.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        let given = std::mem::take(&mut settings.given);
        let sockets = Arc::new(Sockets::open(&settings, given, workers)?);
        let https = sockets.address(HTTPS);
        let http = sockets.address(HTTP);
        let tls = Tls::new(certificates).map_err(StartFault::Tls)?;
        let (writer, log_thread) = log.open().map_err(StartFault::Thread)?.unzip();
        let metrics = Arc::new(Metrics::new(workers));
        let (stage, stage_seen) = watch::channel(Stage::Serving);
        let pressure = Pressure::new(&settings.limits);
        let shared = Arc::new(Shared {
            settings,
            https,
            http,
            world,
            sessions,
            clock,
            randomness,
            sockets: Arc::clone(&sockets),
            tls,
            open: Arc::default(),
            upstream_tls: Arc::default(),
            metrics: Arc::clone(&metrics),
            workers,
            pressure,
            control,
            stage: stage_seen,
        });
        let (ready, started) = mpsc::channel();
        let mut threads = Vec::with_capacity(workers + 1);
        for number in 0..workers {
            let seat = worker::Seat {
                shared: Arc::clone(&shared),
                number,
                shard: metrics.shard(number),
                writer: writer.clone(),
            };
            let ready = ready.clone();
            let thread = std::thread::Builder::new()
                .name(format!("doorward-{number}"))
                .spawn(move || worker::run(seat, ready))
                .map_err(StartFault::Thread)?;
            threads.push(thread);
        }
        drop(ready);
        for result in started {
            result.map_err(StartFault::Thread)?;
        }
        threads.extend(log_thread);
        Ok(Self {
            https,
            http,
            sockets,
            metrics,
            stage,
            threads,
        })
    }

    /// Where HTTPS is served.
    pub fn https_address(&self) -> Option<SocketAddr> {
        self.https
    }

    /// Where plain HTTP is served.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where other proxies ask over gRPC.
    pub fn authorizer_grpc_address(&self) -> Option<SocketAddr> {
        self.sockets.address(Purpose::AuthorizerGrpc)
    }

    /// Where a further Gateway port is served while a Gateway has it.
    pub fn address(&self, port: u16) -> Option<SocketAddr> {
        self.sockets.address(Purpose::Gateway(port))
    }

    /// Where other proxies ask over HTTP.
    pub fn authorizer_http_address(&self) -> Option<SocketAddr> {
        self.sockets.address(Purpose::AuthorizerHttp)
    }

    /// Every listening socket that is open now, for another process to accept on.
    ///
    /// # Errors
    /// When there are too many file descriptors.
    pub fn sockets(&self) -> io::Result<Vec<Listening>> {
        self.sockets.all()
    }

    /// The counters.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Stops accepting, lets requests in flight finish for at most `limit`, then stops. HTTP/2
    /// clients get GOAWAY, HTTP/1.1 clients `connection: close`.
    pub async fn drain(self, limit: Duration) {
        self.end(Stage::Draining, limit).await;
    }

    /// As [`Self::drain`], for when another process accepts on [`Self::sockets`] already, so that
    /// nothing hurries. A client that keeps a connection to send its next request on it is answered
    /// once more, with `connection: close`: closing under its hands would lose that request.
    pub async fn hand_over(self, limit: Duration) {
        self.end(Stage::Yielding, limit).await;
    }

    async fn end(self, how: Stage, limit: Duration) {
        let Self {
            stage,
            threads,
            sockets,
            ..
        } = self;
        stage.send_replace(how);
        sockets.close_all();
        let ended = tokio::task::spawn_blocking(move || {
            for thread in threads {
                // A worker that panicked has said so already.
                let _ = thread.join();
            }
        });
        let mut ended = std::pin::pin!(ended);
        if tokio::time::timeout(limit, &mut ended).await.is_err() {
            stage.send_replace(Stage::Stopping);
            let _ = ended.await;
        }
    }
}
