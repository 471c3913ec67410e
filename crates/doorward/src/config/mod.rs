//! Settings of `doorward up`: defaults, then the file, then environment and flags.

mod authorizer;
mod file;
mod login;
mod provider;
mod sessions;

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use gateway::{AuthorizerSettings, ListenAt, ResolveRule, ResolveRuleFault};

use self::login::LoginConfig;
use ::login::SessionSettings;
pub(crate) use authorizer::{AuthorizerConfig, AuthorizerFault, SchemeConfig};
pub(crate) use file::{FileConfig, FileFault};
use file::{Hsts, Listen, ListenMore};
use provider::ProviderFault;
pub(crate) use provider::{ProviderFlags, ProviderSettings};
pub(crate) use sessions::{SessionFlags, SessionsConfig, SessionsFault};

/// Flags of `doorward up`. Each has an environment variable, and those that are not about one start
/// a key in the configuration file.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Flags {
    /// File or directory of Kubernetes manifests, read recursively and watched. Repeatable. None:
    /// the built-in demo.
    #[arg(
        long,
        value_name = "PATH",
        env = "DOORWARD_MANIFESTS",
        value_delimiter = ':'
    )]
    pub(crate) manifests: Vec<PathBuf>,

    /// Settings; `doorward.yaml` beside the manifests is read when it is there.
    #[arg(long, value_name = "FILE", env = "DOORWARD_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// Directory for databases, keys and the certificate authority: the only thing to back up.
    #[arg(long, value_name = "DIR", env = "DOORWARD_STATE")]
    pub(crate) state: Option<PathBuf>,

    /// Where `Gateway` port 443 is bound [default: 127.0.0.1:8443]
    #[arg(long, value_name = "ADDR", env = "DOORWARD_HTTPS")]
    pub(crate) https: Option<SocketAddr>,

    /// Where `Gateway` port 80 is bound [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "DOORWARD_HTTP")]
    pub(crate) http: Option<SocketAddr>,

    /// Where health, metrics and administration are bound; never on the public port
    /// [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR", env = "DOORWARD_ADMIN")]
    pub(crate) admin: Option<SocketAddr>,

    /// Where other proxies ask whether a request may pass, over HTTP: `ext_authz` of Envoy
    /// [default: nowhere]
    #[arg(long, value_name = "ADDR", env = "DOORWARD_AUTHORIZER_HTTP")]
    pub(crate) authorizer_http: Option<SocketAddr>,

    /// The same over gRPC [default: nowhere]
    #[arg(long, value_name = "ADDR", env = "DOORWARD_AUTHORIZER_GRPC")]
    pub(crate) authorizer_grpc: Option<SocketAddr>,

    /// An address or network of proxies that are believed when they say for whom they ask
    /// (`x-forwarded-*`). Repeatable [default: this machine]
    #[arg(
        long = "authorizer-trusted-peer",
        value_name = "CIDR",
        env = "DOORWARD_AUTHORIZER_TRUSTED_PEERS",
        value_delimiter = ','
    )]
    pub(crate) authorizer_trusted_peers: Vec<String>,

    /// Where a Service host lives when there is no cluster DNS: `HOST[:PORT]=ADDR:PORT`. HOST may be
    /// `name.namespace`; `*` is the fallback. Repeatable.
    #[arg(
        long,
        value_name = "HOST[:PORT]=ADDR",
        env = "DOORWARD_RESOLVE",
        value_delimiter = ','
    )]
    pub(crate) resolve: Vec<String>,

    #[command(flatten)]
    pub(crate) sessions: SessionFlags,

    #[command(flatten)]
    pub(crate) provider: ProviderFlags,

    /// Serve a plain-HTTP `Gateway` over HTTPS too and redirect there [default: on]
    #[arg(long, value_name = "on|off", env = "DOORWARD_HTTPS_UPGRADE")]
    pub(crate) https_upgrade: Option<Switch>,

    /// A name or address that the default certificate covers. Repeatable.
    #[arg(
        long = "name",
        value_name = "HOST",
        env = "DOORWARD_NAMES",
        value_delimiter = ','
    )]
    pub(crate) names: Vec<String>,

    /// Worker threads of the data plane [default: one for each core]
    #[arg(long, value_name = "N", env = "DOORWARD_WORKERS")]
    pub(crate) workers: Option<usize>,

    /// Take over from the doorward that runs with the same `--state`: accept on its sockets, let it
    /// finish its requests and end, so that no request fails. Starts as usual when none runs
    /// [default: off]
    #[arg(
        long,
        value_name = "on|off",
        env = "DOORWARD_TAKE_OVER",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "on"
    )]
    pub(crate) take_over: Option<Switch>,

    /// Write the bound addresses and the CA file as JSON to FILE once everything serves.
    #[arg(long, value_name = "FILE", env = "DOORWARD_READY_FILE")]
    pub(crate) ready_file: Option<PathBuf>,
}

/// A switch that is said in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// What `doorward up` works with; every value is decided.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) manifests: Vec<PathBuf>,
    pub(crate) config_file: Option<PathBuf>,
    pub(crate) state: PathBuf,
    pub(crate) https: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) authorizer: AuthorizerSettings,
    pub(crate) resolve: Vec<ResolveRule>,
    pub(crate) https_upgrade: bool,
    pub(crate) names: Vec<String>,
    pub(crate) workers: usize,
    pub(crate) listen: BTreeMap<u16, ListenAt>,
    pub(crate) hsts: Option<Duration>,
    pub(crate) take_over: bool,
    pub(crate) ready_file: Option<PathBuf>,
    pub(crate) sessions: SessionSettings,
    pub(crate) provider: ProviderSettings,
    pub(crate) role: model::Role,
    /// Where a part of `role` comes from files that may change.
    pub(crate) followed: Option<Followed>,
}

/// Settings whose files are looked at again while the process runs.
#[derive(Debug)]
pub(crate) struct Followed {
    login: LoginConfig,
    policy: file::PolicyConfig,
    path: PathBuf,
}

impl Followed {
    /// What the files say now.
    pub(crate) fn role(&self) -> Result<model::Role, FileFault> {
        let file = FileConfig {
            login: Some(self.login.clone()),
            policy: self.policy,
            ..FileConfig::default()
        };
        file.role(&self.path)
    }
}

/// What Mozilla recommends: two years.
const HSTS: Duration = Duration::from_secs(63_072_000);

/// Why there are no settings. The operator is at fault.
#[derive(Debug)]
pub(crate) enum SettingsFault {
    /// The file.
    File(FileFault),
    /// A `--resolve` rule.
    Resolve(String, ResolveRuleFault),
    /// `authorizer`.
    Authorizer(AuthorizerFault),
    /// `sessions`.
    Sessions(SessionsFault),
    /// `provider`.
    Provider(ProviderFault),
    /// No directory for state is known.
    NoStateDirectory,
    /// `--workers 0`.
    NoWorkers,
    /// `listen` has an address for a port that has one already.
    ListenTwice(u16),
    /// `listen` has no address for a port.
    ListenNowhere(u16),
}

impl fmt::Display for SettingsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(fault) => fault.fmt(f),
            Self::Resolve(rule, fault) => {
                write!(f, "`--resolve {rule}`: {fault}\nhelp: write it such as `*=127.0.0.1:9000`")
            }
            Self::Authorizer(fault) => fault.fmt(f),
            Self::Sessions(fault) => fault.fmt(f),
            Self::Provider(fault) => fault.fmt(f),
            Self::NoStateDirectory => f.write_str(
                "no directory for state is known: neither `XDG_STATE_HOME` nor `HOME` is set\nhelp: name one with `--state DIR`",
            ),
            Self::ListenTwice(port) => write!(
                f,
                "`listen` gives port {port} an address, which `{}` does\nhelp: keep `proxyProtocol` only",
                if *port == 443 { "https" } else { "http" }
            ),
            Self::ListenNowhere(port) => write!(
                f,
                "`listen` gives port {port} no address\nhelp: add `address`, such as `0.0.0.0:{port}`"
            ),
            Self::NoWorkers => f.write_str("`--workers 0` serves nothing\nhelp: leave it out for one a core"),
        }
    }
}

impl Settings {
    /// Flags and environment win over the file, the file over the defaults.
    pub(crate) fn gather(flags: Flags) -> Result<Self, SettingsFault> {
        let Flags {
            manifests,
            config,
            state,
            https,
            http,
            admin,
            authorizer_http,
            authorizer_grpc,
            authorizer_trusted_peers,
            resolve,
            sessions,
            provider,
            https_upgrade,
            names,
            workers,
            take_over,
            ready_file,
        } = flags;
        let config_file = config.or_else(|| beside(&manifests));
        let own = config_file.clone().unwrap_or_default();
        let file = match &config_file {
            Some(path) => FileConfig::read(path).map_err(SettingsFault::File)?,
            None => FileConfig::default(),
        };
        let role = file.role(&own).map_err(SettingsFault::File)?;
        let source = file.login.clone().filter(LoginConfig::has_files);
        let FileConfig {
            manifests: file_manifests,
            state: file_state,
            https: file_https,
            http: file_http,
            admin: file_admin,
            authorizer_http: file_authorizer_http,
            authorizer_grpc: file_authorizer_grpc,
            authorizer,
            resolve: file_resolve,
            sessions: file_sessions,
            provider: file_provider,
            https_upgrade: file_upgrade,
            names: file_names,
            workers: file_workers,
            listen,
            hsts,
            take_over: file_take_over,
            policy,
            login: _,
        } = file;

        let rules = if resolve.is_empty() {
            file_resolve
        } else {
            resolve
        };
        let resolve = rules
            .into_iter()
            .map(|rule| {
                rule.parse()
                    .map_err(|fault| SettingsFault::Resolve(rule, fault))
            })
            .collect::<Result<_, _>>()?;
        let state = state
            .or(file_state)
            .or_else(default_state)
            .ok_or(SettingsFault::NoStateDirectory)?;
        let workers = workers.or(file_workers).unwrap_or_else(cores);
        if workers == 0 {
            return Err(SettingsFault::NoWorkers);
        }
        let sessions = sessions
            .settings(file_sessions, &state)
            .map_err(SettingsFault::Sessions)?;
        let provider = provider
            .settings(file_provider)
            .map_err(SettingsFault::Provider)?;
        let upgrade = https_upgrade.or(file_upgrade).unwrap_or(Switch::On);
        Ok(Self {
            manifests: if manifests.is_empty() {
                file_manifests
            } else {
                manifests
            },
            config_file,
            state,
            https: https.or(file_https).unwrap_or_else(|| loopback(8443)),
            http: http.or(file_http).unwrap_or_else(|| loopback(8080)),
            admin: admin.or(file_admin).unwrap_or_else(|| loopback(8081)),
            authorizer: authorizer
                .settings(
                    authorizer_http.or(file_authorizer_http),
                    authorizer_grpc.or(file_authorizer_grpc),
                    authorizer_trusted_peers,
                )
                .map_err(SettingsFault::Authorizer)?,
            resolve,
            https_upgrade: upgrade == Switch::On,
            names: if names.is_empty() { file_names } else { names },
            workers,
            listen: listen
                .into_iter()
                .map(|(port, listen)| Ok((port, listen_at(port, listen)?)))
                .collect::<Result<_, _>>()?,
            hsts: match hsts.unwrap_or(Hsts::Switch(Switch::On)) {
                Hsts::Switch(Switch::On) => Some(HSTS),
                Hsts::Switch(Switch::Off) => None,
                // Nought seconds make browsers forget.
                Hsts::Seconds(seconds) => Some(Duration::from_secs(seconds)),
            },
            take_over: take_over.or(file_take_over) == Some(Switch::On),
            ready_file,
            sessions,
            provider,
            role,
            followed: source.map(|login| Followed {
                login,
                policy,
                path: own,
            }),
        })
    }
}

fn listen_at(port: u16, listen: Listen) -> Result<ListenAt, SettingsFault> {
    let Listen(ListenMore {
        address,
        proxy_protocol,
    }) = listen;
    match (port, address) {
        (443 | 80, Some(_)) => Err(SettingsFault::ListenTwice(port)),
        (443 | 80, None) | (_, Some(_)) => Ok(ListenAt {
            address,
            proxy_protocol: proxy_protocol.map(|switch| switch == Switch::On),
        }),
        (_, None) => Err(SettingsFault::ListenNowhere(port)),
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// `doorward.yaml` in the first manifest directory, or beside the first manifest file.
pub(crate) fn beside(manifests: &[PathBuf]) -> Option<PathBuf> {
    let first = manifests.first()?;
    let directory = if first.is_dir() {
        first
    } else {
        first.parent()?
    };
    let file = directory.join("doorward.yaml");
    file.is_file().then_some(file)
}

/// `$XDG_STATE_HOME/doorward`, else `~/.local/state/doorward` (XDG Base Directory Specification).
#[expect(
    clippy::disallowed_methods,
    reason = "settings come from the environment here"
)]
pub(crate) fn default_state() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = PathBuf::from(env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let base = absolute("XDG_STATE_HOME")
        .or_else(|| Some(absolute("HOME")?.join(Path::new(".local/state"))))?;
    Some(base.join("doorward"))
}
