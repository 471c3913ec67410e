//! `doorward oauth2-proxy`: flags, environment and file of OAuth2 Proxy.

use std::fs;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use model::names::Secret;
use model::oauth2_proxy::{Alone, CommandLine, Standing, Surroundings, Tls, options};
use model::{Finding, Severity};

use super::listen::address;
use super::serve::{Fault, Program, serve};
use super::sessions::kept;
use super::{environment, trust, variable};
use crate::up::{fail, start_log};

/// The version that is stood in for.
const VERSION: &str = "v7.15";

/// Any fault: as the original, which has one code only.
const FAILED: u8 = 1;

/// Runs `doorward oauth2-proxy` with the words after it.
pub(crate) fn run(words: &[String], out: &mut dyn Write) -> ExitCode {
    let command_line = CommandLine::read(words);
    if command_line.version {
        return say(
            out,
            &format!(
                "oauth2-proxy {VERSION} (doorward {})\n",
                env!("CARGO_PKG_VERSION")
            ),
        );
    }
    if command_line.help {
        return say(out, &help());
    }
    if let Some(path) = &command_line.alpha_config {
        return fail(
            FAILED,
            &format!(
                "`--alpha-config {path}`: the alpha configuration is not read\nhelp: say the same with the configuration file, variables or flags: docs/oauth2-proxy.md lists them"
            ),
        );
    }
    if command_line.convert {
        return fail(
            FAILED,
            "`--convert-config-to-alpha`: the alpha configuration is not written\nhelp: keep the configuration as it is",
        );
    }
    let log = variable("DOORWARD_LOG").unwrap_or_else(|| "info".to_owned());
    if let Err(words) = start_log(&log) {
        return fail(FAILED, &words);
    }
    let command_line = Arc::new(command_line);
    let standing = match stand_in(&command_line) {
        Ok(standing) => standing,
        Err(words) => return fail(FAILED, &words),
    };
    for finding in &standing.findings {
        tracing::warn!(code = %finding.code, help = finding.remedy, "{}", finding.fault);
    }
    let is_test = command_line.config_test;
    match program(command_line, standing) {
        Ok(_) if is_test => say(out, "Configuration is valid\n"),
        Ok(program) => super::run(serve(program)),
        Err(words) => fail(FAILED, &words),
    }
}

fn say(out: &mut dyn Write, words: &str) -> ExitCode {
    match out.write_all(words.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader went away, as `head` does.
        Err(_) => ExitCode::FAILURE,
    }
}

/// Reads everything; the error is everything that is wrong.
fn stand_in(command_line: &CommandLine) -> Result<Standing, String> {
    let config = command_line.config.clone();
    let config = config.or_else(|| variable("OAUTH2_PROXY_CONFIG"));
    let text = match &config {
        None => None,
        Some(path) => Some(fs::read_to_string(path).map_err(|error| {
            format!("`{path}` cannot be read: {error}\nhelp: name the file with `--config`")
        })?),
    };
    let environment: Vec<_> = environment()
        .into_iter()
        .filter(|(name, _)| name.starts_with("OAUTH2_PROXY_") && name != "OAUTH2_PROXY_CONFIG")
        .collect();
    let around = Surroundings {
        environment: &environment,
        file: config.as_deref().zip(text.as_deref()),
        read: &|path| fs::read(path).ok().map(Secret::new),
    };
    command_line
        .stand_in(&around)
        .map_err(|findings| invalid(&findings))
}

/// Everything that is wrong, in the original's form.
fn invalid(findings: &[Finding]) -> String {
    let mut words = "invalid configuration:".to_owned();
    for finding in findings {
        if finding.severity != Severity::Error {
            continue;
        }
        let place = finding.place.as_ref().filter(|place| place.line > 0);
        words.push_str("\n  ");
        if let Some(place) = place {
            words.push_str(&format!("{}:{}: ", place.file, place.line));
        }
        words.push_str(&format!("{}\n  help: {}", finding.fault, finding.remedy));
    }
    words
}

fn program(command_line: Arc<CommandLine>, standing: Standing) -> Result<Program, String> {
    let Standing {
        snapshot,
        listens,
        sessions,
        trust,
        watched,
        findings: _,
    } = standing;
    let read = |text: &Arc<str>| address(text).map_err(|fault| Fault::Address(fault).to_string());
    let http = listens.http.as_ref().map(read).transpose()?;
    let https = match listens.https {
        None => None,
        Some(Tls {
            address,
            chain,
            key,
        }) => Some((read(&address)?, chain, key)),
    };
    if http.is_none() && https.is_none() {
        return Err("nothing is listened at\nhelp: set `http_address`".to_owned());
    }
    let secret = snapshot.logins().first().map(|login| &login.cookie_secret);
    let kept = kept(&sessions, secret).map_err(|fault| fault.to_string())?;
    Ok(Program {
        name: "oauth2-proxy",
        snapshot,
        http,
        https,
        metrics: listens.metrics.as_ref().map(read).transpose()?,
        sessions: kept,
        issuer: trust::client(&trust)?,
        watched,
        beside: None,
        reviewer: None,
        again: Box::new(move || match stand_in(&command_line) {
            Ok(standing) => Some(standing.snapshot),
            Err(words) => {
                tracing::error!("{words}");
                None
            }
        }),
    })
}

/// Every flag, and what becomes of it.
fn help() -> String {
    let mut words = "usage: doorward oauth2-proxy [--config FILE] [FLAG…]\n\n\
        The flags of OAuth2 Proxy; each is also a variable `OAUTH2_PROXY_…` and a key of the file.\n\
        --version, --config-test (or --check-config) end at once.\n\n"
        .to_owned();
    for (_, flag, becomes) in options() {
        let note = match becomes {
            Alone::Acts => String::new(),
            Alone::Warns(_, why) => format!("  no effect: {why}"),
            Alone::Refuses(_, why) => format!("  refused: {why}"),
        };
        words.push_str(&format!("  --{flag}{note}\n"));
    }
    words
}
