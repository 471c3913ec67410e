//! Opens everything in order, serves, and closes it again.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use certificates::{Authority, AuthorityFault, Held};
use gateway::{Gateway, LogSink, StartFault};
use kubernetes::directory::{Directory, SourceFault};
use login::{Keys, Sessions};
use model::names::Secret;
use model::objects::ObjectSet;
use model::seams::{Clock, Randomness};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::admin::{self, Admin};
use super::demo::{self, Demo, DemoFault};
use super::reload::{CompilerEnded, Maker, Reload};
use super::seams::{SystemClock, SystemRandomness};
use super::state::{StateDirectory, StateFault};
use super::transport::IssuerTransport;
use crate::config::Settings;

/// Requests in flight get this long when the process stops.
const DRAIN: Duration = Duration::from_secs(20);

/// Why nothing serves.
#[derive(Debug)]
pub(crate) enum Fault {
    State(StateFault),
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

/// Runs every role until SIGTERM or SIGINT.
pub(crate) async fn serve(settings: Settings) -> Result<(), Fault> {
    let Settings {
        manifests,
        config_file,
        state,
        https,
        http,
        admin: admin_address,
        resolve,
        https_upgrade,
        names,
        workers,
        listen,
        hsts,
        ready_file,
    } = settings;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let randomness: Arc<dyn Randomness> = Arc::new(SystemRandomness);
    let mut terminate = signal(SignalKind::terminate()).map_err(Fault::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Fault::Signals)?;

    let state = StateDirectory::open(&state).map_err(Fault::State)?;
    let authority = Authority::load_or_create(state.path(), &*clock, &*randomness);
    let authority = Arc::new(authority.map_err(Fault::Authority)?);

    let source = Source::open(
        &manifests,
        config_file.as_deref(),
        state.path(),
        &*randomness,
    )?;
    let transport = Arc::new(IssuerTransport::new());
    let keys = Arc::new(Keys::new(
        Arc::<IssuerTransport>::clone(&transport),
        Arc::clone(&clock),
    ));
    let sessions = Sessions::open(
        &state.path().join("sessions.db"),
        keys,
        Arc::clone(&clock),
        Arc::clone(&randomness),
    )
    .await;
    let sessions = Arc::new(sessions.map_err(Fault::Sessions)?);
    let store = provider::Store::open(&state.path().join("provider.db")).await;
    let store = Arc::new(store.map_err(Fault::Provider)?);
    let held = Arc::new(Held::new(Arc::clone(&authority), Arc::clone(&clock)));

    let maker = Maker {
        names,
        bound: [443, 80]
            .into_iter()
            .chain(listen.keys().copied())
            .collect(),
        held: Arc::clone(&held),
        transport,
        sessions: Arc::clone(&sessions),
        store,
        clock: Arc::clone(&clock),
        randomness: Arc::clone(&randomness),
    };
    let made = maker.make(source.first).await.map_err(Fault::Compiler)?;
    let world = Arc::new(ArcSwap::from_pointee(made.world));
    let condition = Arc::new(ArcSwap::from_pointee(made.condition));

    let further: Vec<u16> = listen
        .keys()
        .copied()
        .filter(|port| ![443, 80].contains(port))
        .collect();
    let gateway_settings = gateway::Settings {
        https,
        http: Some(http),
        listen,
        hsts,
        https_upgrade,
        workers,
        limits: gateway::Limits::default(),
        resolve,
    };
    let (listener, admin_address) = admin::bind(admin_address)
        .await
        .map_err(|error| Fault::Admin(admin_address, error))?;
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
    let admin = Arc::new(Admin {
        world: Arc::clone(&world),
        metrics: gateway.metrics(),
        condition: Arc::clone(&condition),
        draining: Arc::clone(&draining),
    });
    tokio::spawn(admin.serve(listener));

    let reload = Reload {
        maker,
        world,
        condition,
    };
    tokio::spawn(reload.run(source.watch));

    let addresses = Addresses {
        https: gateway.https_address(),
        http: gateway.http_address(),
        further: further
            .into_iter()
            .filter_map(|port| Some((port, gateway.address(port)?)))
            .collect(),
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

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: requests in flight finish first");
    draining.store(true, Ordering::Relaxed);
    gateway.drain(DRAIN).await;
    tracing::info!("stopped");
    Ok(())
}

/// Where manifests come from: the first listing, then changes.
struct Source {
    first: ObjectSet,
    watch: Option<kubernetes::Watch>,
    demo: Option<ShownDemo>,
}

/// What the first start tells about the demo.
struct ShownDemo {
    password: Option<Secret>,
    file: PathBuf,
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

/// What is bound.
struct Addresses {
    https: SocketAddr,
    http: Option<SocketAddr>,
    /// Further `Gateway` ports: open while a `Gateway` has them.
    further: BTreeMap<u16, SocketAddr>,
    admin: SocketAddr,
}

impl Addresses {
    /// Written whole or not at all, so that a reader never sees half of it.
    fn write(&self, file: &Path, authority: &Path) -> io::Result<()> {
        let body = json!({
            "https": self.https.to_string(),
            "http": self.http.map(|address| address.to_string()),
            "listen": self.further.iter().map(|(port, address)| (port.to_string(), json!(address.to_string()))).collect::<serde_json::Map<_, _>>(),
            "admin": self.admin.to_string(),
            "ca": authority,
            "pid": std::process::id(),
        });
        let draft = file.with_extension("new");
        fs::write(&draft, format!("{body:#}\n"))?;
        fs::rename(&draft, file)
    }
}

/// Tells a person where to go. Standard error, because the access log has standard output.
fn announce(addresses: &Addresses, authority: &Path, demo: Option<&ShownDemo>) {
    let Addresses {
        https,
        http,
        further,
        admin,
    } = addresses;
    anstream::eprintln!("doorward serves");
    anstream::eprintln!("  https://{https}/");
    if let Some(http) = http {
        anstream::eprintln!("  http://{http}/");
    }
    for (port, address) in further {
        anstream::eprintln!("  Gateway port {port} at {address}, while a Gateway has it");
    }
    anstream::eprintln!("  admin  http://{admin}/readyz");
    anstream::eprintln!("  CA to trust  {}", authority.display());
    let Some(ShownDemo { password, file }) = demo else {
        return;
    };
    anstream::eprintln!("demo, because no manifests are named (`--manifests PATH`):");
    anstream::eprintln!("  user      {}", demo::USER);
    match password.as_ref().and_then(Secret::expose_str) {
        Some(password) => anstream::eprintln!("  password  {password}  (shown this once)"),
        None => anstream::eprintln!(
            "  password  shown at first start; remove {} for a new one",
            file.display()
        ),
    }
}
