//! The command line: one entry per subcommand, each in its own file.

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{completions, doctor, explain, key, program, session, up, user};

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
    /// Turn the keys that a provider signs with.
    Key(Box<key::KeyArgs>),
    /// List sessions, and end them.
    Session(Box<session::SessionArgs>),
    /// List, add, change and remove people.
    User(Box<user::UserArgs>),
    /// Stand in for OAuth2 Proxy: the same flags, environment and files.
    #[command(
        name = "oauth2-proxy",
        disable_help_flag = true,
        disable_version_flag = true
    )]
    OAuth2Proxy(Words),
    /// Stand in for Arrikto's OIDC AuthService: the same environment.
    #[command(name = "authservice")]
    AuthService,
    /// Stand in for Dex: the same configuration, flags and environment.
    #[command(name = "dex", disable_help_flag = true, disable_version_flag = true)]
    Dex(Words),
    /// Print a completion script for a shell.
    Completions(completions::CompletionsArgs),
    /// Print the version.
    Version,
}

/// Words that a program which is stood in for reads by itself.
#[derive(Debug, clap::Args)]
struct Words {
    /// Its flags.
    #[arg(
        value_name = "FLAG",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    words: Vec<String>,
}

/// Bad usage or configuration.
pub(crate) const USAGE: u8 = 2;

pub(crate) fn run() -> ExitCode {
    let arguments = Arguments::parse_from(words());
    let mut out = anstream::stdout();
    match arguments.command {
        Command::Up(args) => up::run(*args),
        Command::Doctor(args) => doctor::run(&args, &mut out),
        Command::Explain(args) => explain::run(&args, &mut out),
        Command::Key(args) => key::run(*args, &mut out),
        Command::Session(args) => session::run(*args, &mut out),
        Command::User(args) => user::run(*args, &mut out),
        Command::OAuth2Proxy(args) => program::oauth2_proxy::run(&args.words, &mut out),
        Command::AuthService => program::auth_service::run(),
        Command::Dex(args) => program::dex::run(&args.words, &mut out),
        Command::Completions(args) => completions::run::<Arguments>(&args, &mut out),
        Command::Version => version(&mut out),
    }
}

/// The command line; the file's name may say which program this stands in for.
fn words() -> Vec<std::ffi::OsString> {
    let mut words: Vec<_> = std::env::args_os().collect();
    let name = words.first().and_then(|name| name.to_str());
    if let Some(program) = name.and_then(program::by_name) {
        words.insert(1, program.into());
    }
    words
}

fn version(out: &mut dyn io::Write) -> ExitCode {
    match writeln!(out, "doorward {}", env!("CARGO_PKG_VERSION")) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader went away, as `head` does.
        Err(_) => ExitCode::FAILURE,
    }
}
