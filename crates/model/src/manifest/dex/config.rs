//! Dex's configuration file as a provider.

use std::sync::Arc;

use url::Url;

use super::section::Section;
use super::walk::{Terms, compare};
use super::{clients, connectors, passwords, settings};
use crate::finding::{Finding, Severity, codes};
use crate::manifest::environment::{ConfigFile, Environment};
use crate::names::Secret;
use crate::objects::{Fault, Node};
use crate::snapshot::{Closure, Conformance, ConnectorKind, Provider};

/// What a configuration is read with.
pub(super) struct Surroundings<'a> {
    /// Variables of the process or the container.
    pub(super) environment: &'a Environment,
    /// Reads a file that the configuration names.
    pub(super) read: &'a dyn Fn(&str) -> Option<Secret>,
    /// `doorward dex serve` reads, and nothing but this file says how it serves.
    pub(super) alone: bool,
}

impl Surroundings<'_> {
    /// A feature flag of Dex, `DEX_…`.
    pub(super) fn is_set(&self, name: &str, usual: bool) -> bool {
        let found = self.environment.variable(name);
        match found.and_then(|found| found.value.expose_str()) {
            // As Go's `strconv.ParseBool`.
            Some("1" | "t" | "T" | "TRUE" | "true" | "True") => true,
            Some("0" | "f" | "F" | "FALSE" | "false" | "False") => false,
            _ => usual,
        }
    }
}

/// Reads the file. What is wrong with one client, user or connector leaves that one out; what is
/// wrong with the rest closes the provider, as Dex refuses to start.
pub(super) fn provider(
    file: &ConfigFile,
    around: &Surroundings<'_>,
    findings: &mut Vec<Finding>,
) -> Result<Provider, Arc<Closure>> {
    if let Some(closure) = &file.object.closed {
        return Err(Arc::clone(closure));
    }
    let read = root(file).and_then(|node| read(file, &node, around, findings));
    read.map_err(|mut fault| {
        if fault.code == codes::FIELD {
            fault.code = codes::PROVIDER_CONFIG;
        }
        let closure = Arc::new(Closure::of(&fault));
        findings.push(*fault);
        closure
    })
}

pub(super) fn root(file: &ConfigFile) -> Result<Node, Fault> {
    file.yaml().map_err(|fault| {
        Box::new(file.object.finding(
            codes::PROVIDER_CONFIG,
            Severity::Error,
            fault.line,
            file.field(),
            format!("the configuration of Dex is no YAML: {}", fault.message),
            "correct the text",
        ))
    })
}

fn read(
    file: &ConfigFile,
    node: &Node,
    around: &Surroundings<'_>,
    findings: &mut Vec<Finding>,
) -> Result<Provider, Fault> {
    let top = Section::of(file.top(node))?;
    let ours = top.section("doorward")?;
    let strict = match &ours {
        Some(section) => section.flag("strict")?.unwrap_or(false),
        None => false,
    };
    let terms = Terms {
        alone: around.alone,
        strict: strict || around.is_set("DEX_CONFIG_DISALLOW_UNKNOWN_FIELDS", false),
    };
    compare(&top.field, terms, findings)?;
    let (issuer, path) = issuer(&top)?;
    let mut provider = Provider::with_defaults(
        file.object.reference.clone(),
        file.object.at(file.line(0)),
        &issuer,
        &path,
    );
    if strict {
        provider.protocol.conformance = Conformance::Strict;
    }
    settings::oauth2(&top, &mut provider)?;
    settings::expiry(&top, &mut provider, findings)?;
    settings::frontend(&top, &mut provider)?;
    settings::web(&top, &mut provider)?;
    settings::sessions(&top, &mut provider, around, findings)?;
    provider.connectors = connectors::connectors(&top, &issuer, around, findings)?;
    provider.clients = clients::clients(&top, around, findings)?;
    let local = |kind: &ConnectorKind| matches!(kind, ConnectorKind::Local);
    if provider.connectors.iter().any(|one| local(&one.kind)) {
        provider.passwords = passwords::passwords(&top, around.environment, findings)?;
    }
    Ok(provider)
}

/// The issuer as it is written, and its path without a slash at the end.
fn issuer(top: &Section<'_>) -> Result<(Arc<str>, Arc<str>), Fault> {
    let missing = || {
        top.field
            .fault("`issuer` is missing", "add the URL that tokens name")
    };
    let field = top.child("issuer").ok_or_else(missing)?;
    let text = field.text()?;
    if text.contains("${") || text.contains('<') {
        let mut fault = field.fault(
            format!("the placeholder in the issuer `{text}` was never filled in"),
            "write the address that browsers use",
        );
        fault.code = codes::PLACEHOLDER;
        return Err(fault);
    }
    let refuse = |fault: String| field.fault(fault, "write it as `https://example.com/dex`");
    let url = Url::parse(text).map_err(|_| refuse(format!("the issuer `{text}` is no URL")))?;
    let web = matches!(url.scheme(), "http" | "https") && url.has_host();
    if !web {
        return Err(refuse(format!("the issuer `{text}` is no web address")));
    }
    let bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !bare {
        return Err(refuse(
            "the issuer has more than scheme, host, port and path".to_owned(),
        ));
    }
    Ok((text.into(), url.path().trim_end_matches('/').into()))
}
