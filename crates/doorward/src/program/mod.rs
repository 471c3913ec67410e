//! Drop-in personalities: `doorward oauth2-proxy`, `doorward authservice` and `doorward dex` stand in
//! for the programs of those names, with the same flags, environment and files.

pub(crate) mod auth_service;
mod beside;
pub(crate) mod dex;
pub(crate) mod files;
mod listen;
pub(crate) mod oauth2_proxy;
mod reviews;
mod serve;
mod sessions;
mod state;
mod tls;
mod trust;

use std::process::ExitCode;

use crate::up::fail;

/// The program that a file name stands for: a container whose command is `/bin/oauth2-proxy` needs
/// no other one.
pub(crate) fn by_name(name: &str) -> Option<&'static str> {
    match name.rsplit('/').next()? {
        "oauth2-proxy" => Some("oauth2-proxy"),
        "authservice" | "oidc-authservice" => Some("authservice"),
        "dex" => Some("dex"),
        _ => None,
    }
}

/// Runs `serving` on the control plane's runtime.
fn run(serving: impl Future<Output = Result<(), serve::Fault>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format!("no runtime: {error}")),
    };
    match runtime.block_on(serving) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => fail(1, &fault.to_string()),
    }
}

/// A variable of the environment, unless it is empty.
#[expect(
    clippy::disallowed_methods,
    reason = "settings come from the environment here"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The whole environment, without what is no text.
fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
