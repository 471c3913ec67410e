//! `doorward key`: the keys that a provider signs tokens with. Whoever serves the provider on the same
//! storage turns them within half a minute.

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use model::seams::Clock as _;
use provider::{Store, StoreError, Wanted};

use crate::config::{FileConfig, ProviderFlags, SettingsFault, default_state};
use crate::up::{SystemClock, SystemRandomness};

/// Arguments of `doorward key`.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Have the next key sign as soon as every verifier knows it; the one before stays published
    /// until its last token has expired.
    Rotate {
        /// Of this issuer only.
        #[arg(long, value_name = "URL")]
        issuer: Option<String>,

        #[command(flatten)]
        at: At,
    },
}

/// Where they are.
#[derive(Debug, Args)]
struct At {
    /// State directory.
    #[arg(long, value_name = "DIR", env = "DOORWARD_STATE")]
    state: Option<PathBuf>,

    /// Settings.
    #[arg(long, value_name = "FILE", env = "DOORWARD_CONFIG")]
    config: Option<PathBuf>,

    #[command(flatten)]
    provider: ProviderFlags,
}

/// Why no key is turned.
#[derive(Debug)]
enum Fault {
    Runtime(io::Error),
    Settings(SettingsFault),
    /// Nothing was ever kept there.
    NoState(PathBuf),
    Store(StoreError),
    /// There are no keys of this issuer; those that there are.
    NoIssuer(Option<String>, Vec<String>),
    Output(io::Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runtime(error) => write!(f, "no runtime: {error}"),
            Self::Settings(fault) => fault.fmt(f),
            Self::NoState(path) => write!(
                f,
                "`{}` does not exist\nhelp: name the state directory with `--state DIR`, or another storage with `--provider-store URL`",
                path.display()
            ),
            Self::Store(error) => error.fmt(f),
            Self::NoIssuer(Some(issuer), known) => write!(
                f,
                "there are no keys of `{issuer}`\nhelp: there are keys of {}",
                known.join(", ")
            ),
            Self::NoIssuer(None, _) => f.write_str(
                "there are no keys yet\nhelp: start `doorward up` with a provider first",
            ),
            Self::Output(error) => write!(f, "nothing can be written: {error}"),
        }
    }
}

/// Turns keys. Exit codes: 0 done, 1 not.
pub(crate) fn run(args: KeyArgs, out: &mut dyn Write) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let What::Rotate { issuer, at } = args.what;
    let done = runtime
        .map_err(Fault::Runtime)
        .and_then(|runtime| runtime.block_on(rotate(issuer, at, out)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            anstream::eprintln!("doorward: {fault}");
            ExitCode::FAILURE
        }
    }
}

async fn rotate(issuer: Option<String>, at: At, out: &mut dyn Write) -> Result<(), Fault> {
    let store = open(at).await?;
    let known = store.issuers().await.map_err(Fault::Store)?;
    let chosen: Vec<String> = known
        .iter()
        .filter(|one| issuer.as_ref().is_none_or(|issuer| issuer == *one))
        .cloned()
        .collect();
    if chosen.is_empty() {
        return Err(Fault::NoIssuer(issuer, known));
    }
    for issuer in chosen {
        let wanted = store.want_rotation(&issuer, &SystemRandomness).await;
        if let Some(wanted) = wanted.map_err(Fault::Store)? {
            let line = told(&issuer, &wanted);
            writeln!(out, "{line}").map_err(Fault::Output)?;
        }
    }
    Ok(())
}

fn told(issuer: &str, wanted: &Wanted) -> String {
    let Wanted {
        signs,
        follows,
        ready_at,
    } = wanted;
    let now = SystemClock.now();
    let wait = ready_at.map_or(0, |ready| (ready.seconds() - now.seconds()).max(0));
    match follows {
        Some(follows) => {
            format!("{issuer}: {signs} signs; {follows} follows in {wait} s, within half a minute")
        }
        None => format!("{issuer}: {signs} signs; the next key is made first"),
    }
}

async fn open(at: At) -> Result<Store, Fault> {
    let At {
        state,
        config,
        provider,
    } = at;
    let file = match config {
        Some(path) => FileConfig::read(&path).map_err(SettingsFault::File),
        None => Ok(FileConfig::default()),
    };
    let file = file.map_err(Fault::Settings)?;
    let state = state.or(file.state).or_else(default_state);
    let state = state.ok_or(Fault::Settings(SettingsFault::NoStateDirectory))?;
    let settings = provider
        .settings(file.provider)
        .map_err(|fault| Fault::Settings(SettingsFault::Provider(fault)))?;
    let path = state.join("provider.db");
    if !settings.store.is_shared() && !path.exists() {
        return Err(Fault::NoState(path));
    }
    let store = Store::at(&settings.store, &path, &SystemRandomness).await;
    store.map_err(Fault::Store)
}
