//! The front door, in one binary: wiring, words and exit codes.

mod command;
mod completions;
mod config;
mod doctor;
mod explain;
mod key;
mod program;
mod session;
mod up;
mod user;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::run()
}
