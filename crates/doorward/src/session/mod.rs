//! `doorward session`: who is signed in, and ending it.

mod place;
mod print;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use url::Url;

use crate::config::SessionFlags;
use place::{Place, PlaceFault, Whose};

/// Arguments of `doorward session`.
#[derive(Debug, Args)]
pub(crate) struct SessionArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List sessions.
    List {
        /// Of this e-mail only.
        #[arg(long, value_name = "EMAIL")]
        user: Option<String>,

        /// How.
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        format: Format,

        #[command(flatten)]
        at: At,
    },
    /// End sessions: in every process on the same store within a second.
    #[command(group = clap::ArgGroup::new("whose").required(true))]
    End {
        /// The one with this id, as `list` shows it.
        #[arg(value_name = "ID", group = "whose")]
        id: Option<String>,

        /// All of this e-mail.
        #[arg(long, value_name = "EMAIL", group = "whose")]
        user: Option<String>,

        /// All of everybody.
        #[arg(long, group = "whose")]
        all: bool,

        #[command(flatten)]
        at: At,
    },
}

/// How sessions are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table.
    Text,
    /// JSON, as the administration listener gives it.
    Json,
}

/// Where they are.
#[derive(Debug, Args)]
struct At {
    /// Ask the doorward whose administration listener is there, instead of the store.
    #[arg(
        long,
        value_name = "URL",
        conflicts_with_all = ["state", "config", "sessions"]
    )]
    admin: Option<Url>,

    /// State directory.
    #[arg(long, value_name = "DIR", env = "DOORWARD_STATE")]
    state: Option<PathBuf>,

    /// Settings.
    #[arg(long, value_name = "FILE", env = "DOORWARD_CONFIG")]
    config: Option<PathBuf>,

    #[command(flatten)]
    sessions: SessionFlags,
}

/// Lists or ends sessions. Exit codes: 0 done, 1 not.
pub(crate) fn run(args: SessionArgs, out: &mut dyn Write) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let done = runtime
        .map_err(PlaceFault::Runtime)
        .and_then(|runtime| runtime.block_on(perform(args.what, out)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            anstream::eprintln!("doorward: {fault}");
            ExitCode::FAILURE
        }
    }
}

async fn perform(what: What, out: &mut dyn Write) -> Result<(), PlaceFault> {
    match what {
        What::List { user, format, at } => {
            let place = Place::open(at).await?;
            let sessions = place.list(user.as_deref()).await?;
            let printed = match format {
                Format::Text => print::text(&sessions, out),
                Format::Json => print::json(sessions, out),
            };
            printed.map_err(PlaceFault::Output)
        }
        What::End { id, user, all, at } => {
            let whose = match (id, user, all) {
                (Some(id), ..) => Whose::Id(id),
                (None, Some(user), _) => Whose::User(user),
                (None, None, _) => Whose::Everybody,
            };
            let place = Place::open(at).await?;
            let ended = place.end(&whose).await?;
            let plural = if ended == 1 { "" } else { "s" };
            writeln!(out, "{ended} session{plural} ended").map_err(PlaceFault::Output)
        }
    }
}
