//! `doorward up`: wiring, reload loop, shutdown.

mod activation;
mod admin;
mod admin_sessions;
mod announce;
mod courier;
mod demo;
mod handover;
mod heritage;
pub(crate) mod kfam;
mod listing;
pub(crate) mod local;
mod places;
mod reload;
pub(crate) mod sealing;
pub(crate) mod seams;
mod start;
pub(crate) mod state;
pub(crate) mod transport;
pub(crate) mod upstreams;
mod whoami;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Args;
use tracing_subscriber::EnvFilter;

use crate::command::USAGE;
use crate::config::{Flags, Settings};

pub(crate) use admin_sessions::told as session_as_json;
pub(crate) use listing::finding as finding_as_json;
pub(crate) use seams::{SystemClock, SystemRandomness};
pub(crate) use transport::IssuerTransport;

/// Arguments of `doorward up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    flags: Flags,

    /// What the log tells: error, warn, info, debug or trace, or a filter by module.
    #[arg(
        long,
        value_name = "LEVEL",
        env = "DOORWARD_LOG",
        default_value = "info"
    )]
    log: String,
}

/// Runs every role until a signal comes.
pub(crate) fn run(args: UpArgs) -> ExitCode {
    let UpArgs { flags, log } = args;
    if let Err(words) = start_log(&log) {
        return fail(USAGE, &words);
    }
    let settings = match Settings::gather(flags) {
        Ok(settings) => settings,
        Err(fault) => return fail(USAGE, &fault.to_string()),
    };
    // The control plane: watches, databases, pages. The data plane has its own threads.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format!("no runtime: {error}")),
    };
    match runtime.block_on(start::serve(settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => fail(1, &fault.to_string()),
    }
}

/// The log goes to standard error; the access log has standard output for itself.
pub(crate) fn start_log(filter: &str) -> Result<(), String> {
    start_log_as(filter, None)
}

/// The same, in JSON or not; without a word JSON where nobody looks on.
pub(crate) fn start_log_as(filter: &str, json: Option<bool>) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| format!("`--log {filter}`: {error}\nhelp: try `--log info`"))?;
    let terminal = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(terminal);
    if json.unwrap_or(!terminal) {
        log.json().flatten_event(true).init()
    } else {
        log.compact().init()
    }
    Ok(())
}

pub(crate) fn fail(code: u8, words: &str) -> ExitCode {
    anstream::eprintln!("doorward: {words}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Command;

    use super::{Args as _, UpArgs};

    const PAGE: &str = include_str!("../../../../docs/operate.md");

    #[test]
    fn the_page_for_operators_lists_every_flag_in_one_table() {
        let (_, table) = PAGE.split_once("\n| flag | environment |").unwrap();
        let (table, _) = table.split_once("\n\n").unwrap();
        // A row begins with "| `--name VALUE` | `VARIABLE`".
        let listed: BTreeSet<_> = table
            .lines()
            .filter(|row| row.starts_with("| `--"))
            .map(|row| {
                let codes: Vec<_> = row.split('`').collect();
                let name = codes[1].trim_start_matches("--");
                let end = name.find([' ', '[']).unwrap_or(name.len());
                (name[..end].to_owned(), codes[3].to_owned())
            })
            .collect();
        let command = UpArgs::augment_args(Command::new("up"));
        let flags: BTreeSet<_> = command
            .get_arguments()
            .map(|flag| {
                let text = |name: Option<&str>| name.unwrap_or_default().to_owned();
                let variable = flag.get_env().and_then(|name| name.to_str());
                (text(flag.get_long()), text(variable))
            })
            .collect();
        assert_eq!(listed, flags, "the page, and the flags");
    }
}
