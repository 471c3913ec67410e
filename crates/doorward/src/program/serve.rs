//! Wiring of a program: sessions, pages, data plane; what it reads again; its end.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use gateway::{Gateway, LogSink, ResolveRule, ResolveRuleFault, StartFault, World};
use kubernetes::DirectoryWriter;
use login::{Keys, LoginProxy, Reviewer, Sessions};
use model::Snapshot;
use model::seams::{Clock, Randomness};
use rustls::ClientConfig;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

use super::listen::AddressFault;
use super::sessions::Kept;
use super::tls::OnePair;
use super::{beside, state, variable};
use crate::up::kfam::Contributors;
use crate::up::local::Pages;
use crate::up::sealing::check_secret;
use crate::up::seams::{SystemClock, SystemRandomness};
use crate::up::state::StateFault;
use crate::up::transport::IssuerTransport;

/// Requests in flight get this long when the process stops.
const DRAIN: Duration = Duration::from_secs(20);
/// Files are looked at this often.
const LOOK: Duration = Duration::from_secs(2);
/// The expired is deleted every so many looks.
const SWEEP: u32 = 15;

/// A program, ready to be run.
pub(super) struct Program {
    /// Its name, for the state directory.
    pub(super) name: &'static str,
    /// What is decided by.
    pub(super) snapshot: Snapshot,
    /// Where plain HTTP is served.
    pub(super) http: Option<SocketAddr>,
    /// Where HTTPS is served, and with which files: chain and key.
    pub(super) https: Option<(SocketAddr, Arc<str>, Arc<str>)>,
    /// Where metrics are served.
    pub(super) metrics: Option<SocketAddr>,
    /// Where sessions are kept.
    pub(super) sessions: Kept,
    /// TLS to the issuer.
    pub(super) issuer: ClientConfig,
    /// Files that are read again.
    pub(super) watched: Vec<Arc<str>>,
    /// What AuthService serves beside.
    pub(super) beside: Option<Beside>,
    /// Who reviews tokens.
    pub(super) reviewer: Option<Arc<dyn Reviewer>>,
    /// Reads everything again; `None` when it is wrong now, which was told.
    pub(super) again: Box<dyn Fn() -> Option<Snapshot> + Send>,
}

/// Listeners of AuthService beside the one where requests are judged.
pub(super) struct Beside {
    /// 200 once the issuer was found, 503 before.
    pub(super) readiness: SocketAddr,
    /// Small pages.
    pub(super) web: SocketAddr,
    /// What the pages call the service.
    pub(super) name: Arc<str>,
}

/// Why nothing serves.
#[derive(Debug)]
pub(super) enum Fault {
    State(StateFault),
    Address(AddressFault),
    Sessions(login::StoreError),
    Pair(String),
    Gateway(StartFault),
    Beside(SocketAddr, io::Error),
    Signals(io::Error),
    ReadyFile(PathBuf, io::Error),
    Place(String, ResolveRuleFault),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(fault) => fault.fmt(f),
            Self::Address(fault) => fault.fmt(f),
            Self::Sessions(fault) => write!(f, "sessions: {fault}"),
            Self::Pair(fault) => write!(f, "{fault}\nhelp: name a chain and its key, both PEM"),
            Self::Gateway(fault) => fault.fmt(f),
            Self::Beside(address, error) => write!(
                f,
                "`{address}` cannot be bound: {error}\nhelp: name another address, or end what listens there"
            ),
            Self::Signals(error) => write!(f, "signals: {error}"),
            Self::Place(rule, fault) => write!(
                f,
                "`DOORWARD_RESOLVE` has `{rule}`: {fault}\nhelp: write it such as `dex.auth=127.0.0.1:5556`"
            ),
            Self::ReadyFile(path, error) => write!(f, "`{}`: {error}", path.display()),
        }
    }
}

/// Runs until SIGTERM or SIGINT.
pub(super) async fn serve(program: Program) -> Result<(), Fault> {
    let Program {
        name,
        snapshot,
        http,
        https,
        metrics,
        sessions: Kept {
            settings: mut kept,
            is_derived,
        },
        issuer,
        mut watched,
        beside,
        reviewer,
        again,
    } = program;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let randomness: Arc<dyn Randomness> = Arc::new(SystemRandomness);
    let mut terminate = signal(SignalKind::terminate()).map_err(Fault::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Fault::Signals)?;
    let state = match kept.store.is_shared() {
        true => None,
        false => Some(state::open(name).map_err(Fault::State)?),
    };
    if let Some(state) = &state {
        kept.file = state.path().join("sessions.db");
    }
    let places = places()?;
    let pair = Arc::new(OnePair::none());
    if let Some((_, chain, key)) = &https {
        pair.read(chain, key).map_err(Fault::Pair)?;
        watched.extend([Arc::clone(chain), Arc::clone(key)]);
    }
    let transport = Arc::new(IssuerTransport::over(issuer, &places));
    let keys = Arc::new(Keys::new(
        Arc::<IssuerTransport>::clone(&transport),
        Arc::clone(&clock),
    ));
    tracing::info!(store = %kept.store, "sessions are kept there");
    let sessions = Sessions::with(kept, keys, Arc::clone(&clock), Arc::clone(&randomness));
    let sessions = Arc::new(sessions.await.map_err(Fault::Sessions)?);
    let checked = check_secret(&sessions, is_derived).await;
    checked.map_err(Fault::Sessions)?;
    sessions.follow();
    if let Some(reviewer) = reviewer {
        sessions.review_by(reviewer);
    }
    tokio::spawn(Arc::clone(&sessions).renew());
    let maker = Maker {
        sessions: Arc::clone(&sessions),
        clock: Arc::clone(&clock),
        randomness: Arc::clone(&randomness),
    };
    let world = Arc::new(ArcSwap::from_pointee(maker.world(snapshot)));
    let settings = gateway::Settings {
        https: https.as_ref().map(|(address, ..)| *address),
        http,
        listen: BTreeMap::new(),
        hsts: None,
        https_upgrade: false,
        authorizer: gateway::AuthorizerSettings::default(),
        workers: 0,
        limits: gateway::Limits::default(),
        resolve: places,
        given: Vec::new(),
    };
    let gateway = Gateway::start(
        settings,
        Arc::clone(&world),
        Arc::clone(&sessions),
        Arc::<OnePair>::clone(&pair),
        clock,
        randomness,
        LogSink::writing(io::stdout()),
    )
    .map_err(Fault::Gateway)?;
    let metrics = match metrics {
        None => None,
        Some(address) => {
            let bound = beside::metrics(address, gateway.metrics()).await;
            Some(bound.map_err(|error| Fault::Beside(address, error))?)
        }
    };
    let served = match beside {
        None => None,
        Some(Beside {
            readiness,
            web,
            name,
        }) => {
            let login = maker.login(&world.load().snapshot);
            let readiness = beside::readiness(readiness, login)
                .await
                .map_err(|error| Fault::Beside(readiness, error))?;
            let web = beside::pages(web, name)
                .await
                .map_err(|error| Fault::Beside(web, error))?;
            Some((readiness, web))
        }
    };
    let bound = json!({
        "readiness": served.map(|(readiness, _)| readiness.to_string()),
        "web": served.map(|(_, web)| web.to_string()),
        "http": gateway.http_address().map(|address| address.to_string()),
        "https": gateway.https_address().map(|address| address.to_string()),
        "metrics": metrics.map(|address| address.to_string()),
        "pid": std::process::id(),
    });
    tracing::info!(%bound, "{name} serves");
    if let Some(file) = variable("DOORWARD_READY_FILE").map(PathBuf::from) {
        tell(&file, &bound).map_err(|error| Fault::ReadyFile(file, error))?;
    }
    let following = tokio::spawn(async move {
        let mut seen = looks(&watched);
        let mut ticks = tokio::time::interval(LOOK);
        for round in 1_u32.. {
            ticks.tick().await;
            if round.is_multiple_of(SWEEP)
                && let Err(error) = maker.sessions.sweep(maker.clock.now()).await
            {
                tracing::error!(%error, "expired sessions cannot be deleted");
            }
            let now = looks(&watched);
            if now == seen {
                continue;
            }
            seen = now;
            if let Some((_, chain, key)) = &https
                && let Err(fault) = pair.read(chain, key)
            {
                tracing::error!(fault, "the key pair stays as it was");
            }
            if let Some(snapshot) = again() {
                world.store(Arc::new(maker.world(snapshot)));
                tracing::info!("files changed; new requests follow them");
            }
        }
    });
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: requests in flight finish first");
    following.abort();
    gateway.drain(DRAIN).await;
    drop(state);
    Ok(())
}

/// `DOORWARD_RESOLVE`: where hosts live that DNS does not know, `HOST[:PORT]=ADDR` with commas
/// between them, as `--resolve` of `doorward up`.
fn places() -> Result<Vec<ResolveRule>, Fault> {
    let text = variable("DOORWARD_RESOLVE").unwrap_or_default();
    text.split(',')
        .map(str::trim)
        .filter(|rule| !rule.is_empty())
        .map(|rule| {
            rule.parse()
                .map_err(|fault| Fault::Place(rule.to_owned(), fault))
        })
        .collect()
}

/// Makes worlds of snapshots.
struct Maker {
    sessions: Arc<Sessions>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
}

impl Maker {
    /// The login proxy of a program.
    fn login(&self, snapshot: &Snapshot) -> Option<Arc<LoginProxy>> {
        snapshot
            .logins()
            .first()
            .map(|settings| self.proxy(settings))
    }

    fn proxy(&self, settings: &Arc<model::snapshot::Login>) -> Arc<LoginProxy> {
        Arc::new(LoginProxy::new(
            Arc::clone(settings),
            Arc::clone(&self.sessions),
            Arc::clone(&self.clock),
            Arc::clone(&self.randomness),
        ))
    }

    fn world(&self, snapshot: Snapshot) -> World {
        let logins = snapshot
            .logins()
            .iter()
            .map(|settings| self.proxy(settings));
        let nobody = Arc::new(Contributors::new(DirectoryWriter::new(&[])));
        let pages = Pages::new(logins.collect(), Vec::new(), nobody, Handle::current());
        World {
            snapshot: Arc::new(snapshot),
            local: Arc::new(pages),
        }
    }
}

/// Written whole or not at all, so that a reader never sees half of it.
pub(super) fn tell(file: &Path, bound: &serde_json::Value) -> io::Result<()> {
    let draft = file.with_extension("new");
    fs::write(&draft, format!("{bound:#}\n"))?;
    fs::rename(&draft, file)
}

/// When each file changed last, and how long it is.
type Looks = HashMap<Arc<str>, Option<(PathBuf, SystemTime, u64)>>;

/// When each file changed last, through any symbolic links: Kubernetes swaps those.
pub(super) fn looks(files: &[Arc<str>]) -> Looks {
    let look = |file: &Arc<str>| {
        let real = fs::canonicalize(&**file).ok()?;
        let found = fs::metadata(&real).ok()?;
        Some((real, found.modified().ok()?, found.len()))
    };
    files
        .iter()
        .map(|file| (Arc::clone(file), look(file)))
        .collect()
}
