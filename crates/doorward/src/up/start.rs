//! Opens everything in order, serves, and closes it again.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use certificates::{Authority, AuthorityFault, Held};
use gateway::{Gateway, LogSink, StartFault};
use kubernetes::DirectoryWriter;
use kubernetes::directory::{Directory, SourceFault};
use login::{Keys, Sessions};
use model::objects::ObjectSet;
use model::seams::{Clock, Randomness};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::activation::{self, Activated, ActivationFault};
use super::admin::{self, Admin};
use super::announce::{Addresses, ShownDemo, announce};
use super::demo::{Demo, DemoFault};
use super::handover::{Giver, HandOverFault, Held as Holding, Successor};
use super::heritage::{Heritage, HeritageFault};
use super::kfam::Contributors;
use super::reload::{CompilerEnded, Maker, Reload};
use super::sealing::check_secret;
use super::seams::{SystemClock, SystemRandomness};
use super::state::{Found, StateDirectory, StateFault};
use super::transport::IssuerTransport;
use crate::config::Settings;

/// Requests in flight get this long when the process stops.
const DRAIN: Duration = Duration::from_secs(20);

/// Why nothing serves.
#[derive(Debug)]
pub(crate) enum Fault {
    State(StateFault),
    Activation(ActivationFault),
    HandOver(HandOverFault),
    Authority(AuthorityFault),
    Demo(DemoFault),
    Manifests(SourceFault),
    Compiler(CompilerEnded),
    Sessions(login::StoreError),
    Provider(provider::StoreError),
    Admin(SocketAddr, io::Error),
    Gateway(StartFault),
    Signals(io::Error),
    ReadyFile(PathBuf, io::Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(fault) => fault.fmt(f),
            Self::Activation(fault) => fault.fmt(f),
            Self::HandOver(fault) => fault.fmt(f),
            Self::Authority(fault) => fault.fmt(f),
            Self::Demo(fault) => fault.fmt(f),
            Self::Manifests(fault) => fault.fmt(f),
            Self::Compiler(fault) => fault.fmt(f),
            Self::Sessions(fault) => write!(f, "sessions: {fault}"),
            Self::Provider(fault) => write!(f, "provider: {fault}"),
            Self::Admin(address, error) => {
                write!(
                    f,
                    "`{address}` cannot be bound: {error}\nhelp: name another with `--admin ADDR`"
                )
            }
            Self::Gateway(fault) => fault.fmt(f),
            Self::Signals(error) => write!(f, "signals: {error}"),
            Self::ReadyFile(path, error) => write!(f, "`{}`: {error}", path.display()),
        }
    }
}

impl From<HeritageFault> for Fault {
    fn from(fault: HeritageFault) -> Self {
        match fault {
            HeritageFault::State(fault) => Self::State(fault),
            HeritageFault::HandOver(fault) => Self::HandOver(fault),
        }
    }
}

/// Runs every role until SIGTERM or SIGINT, or until another process has taken over.
pub(crate) async fn serve(mut settings: Settings) -> Result<(), Fault> {
    let activated = Activated::take(&mut settings).map_err(Fault::Activation)?;
    let Settings {
        manifests,
        config_file,
        state,
        https,
        http,
        admin: admin_address,
        authorizer,
        resolve,
        https_upgrade,
        names,
        workers,
        listen,
        hsts,
        take_over,
        ready_file,
        sessions,
        provider: people,
        role,
        followed,
    } = settings;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let randomness: Arc<dyn Randomness> = Arc::new(SystemRandomness);
    let mut terminate = signal(SignalKind::terminate()).map_err(Fault::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Fault::Signals)?;

    let found = if take_over {
        Found::open(&state)
    } else {
        StateDirectory::open(&state).map(Found::Free)
    };
    let found = found.map_err(Fault::State)?;
    let authority = Authority::load_or_create(found.path(), &*clock, &*randomness);
    let authority = Arc::new(authority.map_err(Fault::Authority)?);

    let source = Source::open(
        &manifests,
        config_file.as_deref(),
        found.path(),
        &*randomness,
    )?;
    let transport = Arc::new(IssuerTransport::new());
    let keys = Arc::new(Keys::new(
        Arc::<IssuerTransport>::clone(&transport),
        Arc::clone(&clock),
    ));
    let sessions =
        Sessions::with(sessions, keys, Arc::clone(&clock), Arc::clone(&randomness)).await;
    let sessions = Arc::new(sessions.map_err(Fault::Sessions)?);
    let checked = check_secret(&sessions, false).await;
    checked.map_err(Fault::Sessions)?;
    sessions.follow();
    tokio::spawn(Arc::clone(&sessions).renew());
    let file = found.path().join("provider.db");
    let store = provider::Store::at(&people.store, &file, &*randomness).await;
    let store = store.map_err(Fault::Provider)?;
    let store = Arc::new(store.with_policy(people.passwords));
    let held = Arc::new(Held::new(Arc::clone(&authority), Arc::clone(&clock)));

    let contributors = Arc::new(Contributors::new(DirectoryWriter::new(&manifests)));
    let maker = Maker {
        contributors: Arc::clone(&contributors),
        role: ArcSwap::from_pointee(role),
        names,
        bound: [443, 80]
            .into_iter()
            .chain(listen.keys().copied())
            .collect(),
        held: Arc::clone(&held),
        transport,
        sessions: Arc::clone(&sessions),
        store: Arc::clone(&store),
        upstreams: Arc::default(),
        clock: Arc::clone(&clock),
        randomness: Arc::clone(&randomness),
    };
    let objects = followed.as_ref().map(|_| source.first.clone());
    let made = maker.make(source.first).await.map_err(Fault::Compiler)?;
    contributors.follow(&made.world.snapshot);
    let world = Arc::new(ArcSwap::from_pointee(made.world));
    let condition = Arc::new(ArcSwap::from_pointee(made.condition));

    let further: Vec<u16> = listen
        .keys()
        .copied()
        .filter(|port| ![443, 80].contains(port))
        .collect();
    let Heritage {
        state,
        sockets,
        admin: admin_given,
        predecessor,
    } = Heritage::claim(found, activated, &sessions).await?;
    let gateway_settings = gateway::Settings {
        https: Some(https),
        http: Some(http),
        listen,
        hsts,
        https_upgrade,
        authorizer,
        workers,
        limits: gateway::Limits::default(),
        resolve,
        given: sockets,
    };
    let admin_fault = |error| Fault::Admin(admin_address, error);
    let (admin_socket, admin_address) =
        admin::bind(admin_address, admin_given).map_err(admin_fault)?;
    let listener = admin_socket.try_clone().and_then(TcpListener::from_std);
    let listener = listener.map_err(admin_fault)?;
    let gateway = Gateway::start(
        gateway_settings,
        Arc::clone(&world),
        Arc::clone(&sessions),
        Arc::<Held>::clone(&held),
        clock,
        randomness,
        LogSink::writing(io::stdout()),
    );
    let gateway = gateway.map_err(Fault::Gateway)?;
    let draining = Arc::new(AtomicBool::new(false));
    let succeeded = Arc::new(AtomicBool::new(false));
    let admin = Arc::new(Admin {
        world: Arc::clone(&world),
        sessions: Arc::clone(&sessions),
        store,
        metrics: gateway.metrics(),
        authorizer_http: gateway.authorizer_http_address(),
        authorizer_grpc: gateway.authorizer_grpc_address(),
        condition: Arc::clone(&condition),
        draining: Arc::clone(&draining),
        succeeded: Arc::clone(&succeeded),
    });
    let admin = tokio::spawn(admin.serve(listener));

    let mut overlap = None;
    if let Some(mut predecessor) = predecessor {
        match predecessor.serving().await {
            Ok(()) => {
                let sessions = Arc::clone(&sessions);
                overlap = Some(tokio::spawn(async move {
                    predecessor.ended().await;
                    sessions.unshare();
                    tracing::info!("the doorward that ran before has ended");
                }));
            }
            Err(fault) => {
                // Some requests may be here already, and the other shares sessions until they are
                // done.
                admin.abort();
                gateway.hand_over(DRAIN).await;
                drop(predecessor);
                return Err(Fault::HandOver(fault));
            }
        }
    }
    let giver = Giver::listen(state.path()).inspect_err(|error| {
        tracing::warn!(%error, "no other process can take over from this one");
    });

    let reload = Reload {
        maker,
        followed,
        objects,
        world,
        condition,
    };
    tokio::spawn(reload.run(source.watch));

    let addresses = Addresses {
        https: gateway.https_address().unwrap_or(https),
        http: gateway.http_address(),
        further: further
            .into_iter()
            .filter_map(|port| Some((port, gateway.address(port)?)))
            .collect(),
        authorizer_http: gateway.authorizer_http_address(),
        authorizer_grpc: gateway.authorizer_grpc_address(),
        admin: admin_address,
    };
    announce(
        &addresses,
        authority.certificate_path(),
        source.demo.as_ref(),
    );
    if let Some(file) = ready_file {
        addresses
            .write(&file, authority.certificate_path())
            .map_err(|error| Fault::ReadyFile(file, error))?;
    }

    activation::serves();

    let holding = Holding {
        gateway: &gateway,
        admin: &admin_socket,
        lock: state.lock(),
        sessions: &sessions,
    };
    let mut succession = Box::pin(succession(giver.as_ref().ok(), &holding));
    let successor = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        successor = &mut succession => Some(successor),
    };
    if let Some(successor) = successor {
        drop(succession);
        tracing::info!("another doorward serves now: requests in flight finish first");
        succeeded.store(true, Ordering::Relaxed);
        admin.abort();
        drop((giver, admin_socket));
        gateway.hand_over(DRAIN).await;
        if let Some(overlap) = overlap {
            // As long as it runs the successor must share sessions with it, too.
            let _ = overlap.await;
        }
        // Only the end of the process ends a conversation: a page may still be at the store.
        std::mem::forget(successor);
    } else {
        tracing::info!("stopping: requests in flight finish first");
        activation::stops();
        if let Ok(giver) = &giver {
            giver.withdraw();
        }
        // A successor in the middle of taking over has heard nothing, and hears the end as above.
        std::mem::forget(succession);
        draining.store(true, Ordering::Relaxed);
        gateway.drain(DRAIN).await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Waits until another process has taken over; for ever when none can.
async fn succession(giver: Option<&Giver>, holding: &Holding<'_>) -> Successor {
    match giver {
        Some(giver) => giver.succeeded(holding).await,
        None => std::future::pending().await,
    }
}

/// Where manifests come from: the first listing, then changes.
struct Source {
    first: ObjectSet,
    watch: Option<kubernetes::Watch>,
    demo: Option<ShownDemo>,
}

impl Source {
    fn open(
        manifests: &[PathBuf],
        config_file: Option<&Path>,
        state: &Path,
        randomness: &dyn Randomness,
    ) -> Result<Self, Fault> {
        if manifests.is_empty() {
            let Demo {
                objects,
                password,
                file,
            } = Demo::load_or_create(state, randomness).map_err(Fault::Demo)?;
            let demo = Some(ShownDemo { password, file });
            return Ok(Self {
                first: objects,
                watch: None,
                demo,
            });
        }
        let mut directory = Directory::new(manifests.to_vec());
        if let Some(file) = config_file {
            directory = directory.without(file);
        }
        let first = directory.read().map_err(Fault::Manifests)?;
        let watch = directory.watch().map_err(Fault::Manifests)?;
        Ok(Self {
            first,
            watch: Some(watch),
            demo: None,
        })
    }
}
