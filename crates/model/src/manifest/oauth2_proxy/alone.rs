//! `doorward oauth2-proxy`: command line, environment and file of the process itself.

mod build;
mod command_line;
mod mounts;
mod sessions;

#[cfg(test)]
mod tests;

use std::sync::Arc;

/// The name by which sessions of this stand-in are told apart.
const PROGRAM: &str = "oauth2-proxy";

pub use command_line::CommandLine;

use super::login;
use super::options::{Alone, Known};
use super::settings::{Origin, Settings};
use crate::finding::{Finding, Severity};
use crate::manifest::environment::{ConfigFile, named, of_process};
use crate::manifest::session_place::SessionPlace;
use crate::names::Secret;
use crate::snapshot::Snapshot;

/// What the process was started with, besides its command line.
pub struct Surroundings<'a> {
    /// The environment; other variables than `OAUTH2_PROXY_…` mean nothing.
    pub environment: &'a [(String, String)],
    /// Name and text of the file that `--config` names.
    pub file: Option<(&'a str, &'a str)>,
    /// Reads a file that an option names.
    pub read: &'a dyn Fn(&str) -> Option<Secret>,
}

/// An OAuth2 Proxy, ready to be run.
#[derive(Debug)]
pub struct Standing {
    /// What is decided by.
    pub snapshot: Snapshot,
    /// Where it listens.
    pub listens: Listens,
    /// Where it keeps sessions.
    pub sessions: SessionPlace,
    /// Whom it trusts to be the issuer.
    pub trust: IssuerTrust,
    /// Files that are read again when they change.
    pub watched: Vec<Arc<str>>,
    /// What is odd, and serves all the same.
    pub findings: Vec<Finding>,
}

/// Addresses as they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listens {
    /// `http_address`, unless TLS is served.
    pub http: Option<Arc<str>>,
    /// `https_address` with `tls_cert_file` and `tls_key_file`.
    pub https: Option<Tls>,
    /// `metrics_address`.
    pub metrics: Option<Arc<str>>,
}

/// Where TLS is served, and with which files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The address.
    pub address: Arc<str>,
    /// Path of the chain, PEM.
    pub chain: Arc<str>,
    /// Path of the key, PEM.
    pub key: Arc<str>,
}

/// How the issuer's certificate is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IssuerTrust {
    /// `provider_ca_files`: paths of PEM files.
    pub authorities: Vec<Arc<str>>,
    /// `use_system_trust_store`, beside those files; without files the system's are trusted anyway.
    pub system: bool,
    /// `ssl_insecure_skip_verify`: not at all.
    pub anybody: bool,
}

impl CommandLine {
    /// Reads everything. Everything that is wrong is told at once.
    ///
    /// # Errors
    /// When the program must not start.
    pub fn stand_in(&self, around: &Surroundings<'_>) -> Result<Standing, Vec<Finding>> {
        let mut findings = Vec::new();
        let flags = named(PROGRAM, "command line");
        let mut settings = Settings::new(Arc::clone(&flags), 0, &mut findings);
        settings.alone = true;
        if let Some((name, text)) = around.file {
            settings.read_file(&ConfigFile::of_text(&named(PROGRAM, name), text));
        }
        settings.read_environment(&of_process(PROGRAM, around.environment));
        self.apply(&mut settings, &flags);
        let standing = build::standing(settings, around.read);
        let is_bad = |finding: &Finding| finding.severity == Severity::Error;
        match standing {
            Some(standing) if !findings.iter().any(is_bad) => Ok(Standing {
                findings,
                ..standing
            }),
            _ => Err(findings),
        }
    }
}

/// Every option as `(name in the file, flag, what becomes of it)`, for the page that lists them.
pub fn options() -> impl Iterator<Item = (&'static str, String, Alone)> {
    Known::all()
        .iter()
        .map(|option| (option.name, option.flag(), option.alone))
}
