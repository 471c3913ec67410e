//! The command line: one entry per subcommand, each in its own file.

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{completions, doctor, explain, up};

/// The front door for Kubeflow and for every other web application in a cluster.
#[derive(Debug, Parser)]
#[command(name = "doorward", version, about, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every role in one process until SIGTERM or SIGINT.
    Up(Box<up::UpArgs>),
    /// Report everything that is wrong with the manifests, or with a running site.
    Doctor(Box<doctor::DoctorArgs>),
    /// Say what would happen to a request, and why; what somebody reaches; what a change changes.
    Explain(Box<explain::ExplainArgs>),
    /// Print a completion script for a shell.
    Completions(completions::CompletionsArgs),
    /// Print the version.
    Version,
}

/// Bad usage or configuration.
pub(crate) const USAGE: u8 = 2;

pub(crate) fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = anstream::stdout();
    match arguments.command {
        Command::Up(args) => up::run(*args),
        Command::Doctor(args) => doctor::run(&args, &mut out),
        Command::Explain(args) => explain::run(&args, &mut out),
        Command::Completions(args) => completions::run::<Arguments>(&args, &mut out),
        Command::Version => version(&mut out),
    }
}

fn version(out: &mut dyn io::Write) -> ExitCode {
    match writeln!(out, "doorward {}", env!("CARGO_PKG_VERSION")) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader went away, as `head` does.
        Err(_) => ExitCode::FAILURE,
    }
}
