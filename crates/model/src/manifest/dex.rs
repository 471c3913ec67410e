//! Dex: an OpenID provider, found by what runs or by what its configuration looks like.

pub(crate) mod alone;
mod clients;
mod config;
mod connectors;
mod expand;
mod passwords;
mod section;
mod settings;
pub(crate) mod table;
mod walk;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::environment::{ConfigFile, Environment, file, services};
use super::workload::{Container, FileSource, Workload};
use crate::finding::{Finding, Severity, codes};
use crate::objects::{Fault, Node};
use crate::snapshot::{Closure, Provider};
use crate::world::{Key, World};
use config::Surroundings;

/// An OpenID provider and the Services that lead to it.
pub(crate) struct FoundProvider {
    /// The provider, or why it signs nobody in.
    pub(crate) provider: Result<Provider, Arc<Closure>>,
    /// Namespace and name; a Service may be named that is not in the manifests.
    pub(crate) services: Vec<Key>,
}

/// Keys under which charts and manifests keep the file.
const KEYS: [&str; 2] = ["config.yaml", "dex.yaml"];

/// Finds every Dex: each workload that runs it, and in a namespace without one each ConfigMap or
/// Secret that holds its configuration.
pub(crate) fn find_providers(world: &World, findings: &mut Vec<Finding>) -> Vec<FoundProvider> {
    let mut found = Vec::new();
    let mut namespaces = BTreeSet::new();
    for workload in &world.workloads {
        let Some(container) = workload
            .containers
            .iter()
            .find(|container| is_dex(container))
        else {
            continue;
        };
        namespaces.insert(Arc::clone(&workload.namespace));
        let provider = run(world, workload, container, findings);
        found.push(FoundProvider {
            provider,
            services: services(world, workload),
        });
    }
    let config_maps = world.config_maps.values().filter_map(|config_map| {
        let namespace = config_map.object.namespace();
        let file = KEYS
            .iter()
            .find_map(|key| ConfigFile::of_config_map(config_map, key))?;
        (!namespaces.contains(namespace)).then_some(file)
    });
    let secrets = world.secrets.values().filter_map(|secret| {
        let file = KEYS
            .iter()
            .find_map(|key| ConfigFile::of_secret(secret, key))?;
        (!namespaces.contains(secret.object.namespace())).then_some(file)
    });
    for file in config_maps.chain(secrets).filter(is_configuration) {
        let around = Surroundings {
            environment: &Environment::default(),
            read: &|_| None,
            alone: false,
        };
        let provider = config::provider(&file, &around, findings);
        let services = named_services(&file, provider.as_ref().ok());
        found.push(FoundProvider { provider, services });
    }
    found
}

/// Without a workload: the Service of the configuration's own name, and the one that the issuer
/// names.
fn named_services(file: &ConfigFile, provider: Option<&Provider>) -> Vec<Key> {
    let namespace = file.object.namespace();
    let mut keys = vec![(Arc::clone(namespace), Arc::clone(file.object.name()))];
    let host = provider.and_then(|provider| {
        let url = url::Url::parse(&provider.issuer).ok()?;
        url.host_str().map(str::to_owned)
    });
    let mut labels = host.iter().flat_map(|host| host.split('.'));
    if let (Some(name), Some(namespace), Some("svc")) =
        (labels.next(), labels.next(), labels.next())
    {
        let key: Key = (namespace.into(), name.into());
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

fn is_dex(container: &Container) -> bool {
    let image = container.image.split(['@']).next().unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    let name = last.split(':').next().unwrap_or_default();
    let words = words(container);
    let serves = words
        .windows(2)
        .any(|pair| pair[0].rsplit('/').next() == Some("dex") && pair[1] == "serve");
    serves || (name == "dex" && image.contains("dex"))
}

/// Command and arguments, a shell's script taken apart too.
fn words(container: &Container) -> Vec<&str> {
    let all = container.command.iter().chain(&container.args);
    all.flat_map(|word| word.split_whitespace()).collect()
}

/// The file after `serve` and its flags.
fn file_argument<'a>(words: &[&'a str]) -> Option<&'a str> {
    let serve = words.iter().position(|word| *word == "serve")?;
    let mut rest = words[serve + 1..].iter();
    while let Some(word) = rest.next() {
        if !word.starts_with('-') {
            return Some(word);
        }
        if !word.contains('=') {
            rest.next();
        }
    }
    None
}

fn run(
    world: &World,
    workload: &Workload,
    container: &Container,
    findings: &mut Vec<Finding>,
) -> Result<Provider, Arc<Closure>> {
    let mut close = |fault: Fault| {
        let closure = Arc::new(Closure::of(&fault));
        findings.push(*fault);
        closure
    };
    if let Some(closure) = &workload.object.closed {
        return Err(Arc::clone(closure));
    }
    let found = configuration_file(world, workload, container).map_err(&mut close)?;
    if container.command.is_empty() && found.text().contains("{{") {
        // The image's entry point runs a template engine over the file.
        return Err(close(Box::new(found.object.finding(
            codes::PROVIDER_CONFIG,
            Severity::Error,
            found.line(0),
            found.field(),
            "templates in the configuration of Dex are not supported yet",
            "write the values out, or use `hashFromEnv`, `secretEnv` and `idEnv`",
        ))));
    }
    let environment = Environment::of(world, workload, container, findings);
    let around = Surroundings {
        environment: &environment,
        read: &|path| {
            let found = file(world, workload, container, path).ok()?;
            Some(found.value().clone())
        },
        alone: false,
    };
    config::provider(&found, &around, findings)
}

fn configuration_file(
    world: &World,
    workload: &Workload,
    container: &Container,
) -> Result<ConfigFile, Fault> {
    let words = words(container);
    let path = file_argument(&words);
    let named = path.map(|path| file(world, workload, container, path));
    if let Some(Ok(file)) = named {
        return Ok(file);
    }
    let sources = workload.volumes.iter().flat_map(|volume| &volume.sources);
    let mut files = sources.filter_map(|source| {
        let namespace = &workload.namespace;
        KEYS.iter().find_map(|key| match source {
            FileSource::ConfigMap { name, .. } => {
                ConfigFile::of_config_map(world.config_map(namespace, name)?, key)
            }
            FileSource::Secret { name, .. } => {
                ConfigFile::of_secret(world.secret(namespace, name)?, key)
            }
        })
    });
    if let Some(file) = files.find(is_configuration) {
        return Ok(file);
    }
    named.and_then(Result::err).map_or_else(
        || {
            let fault = "no configuration of Dex is mounted into this container";
            let remedy = "mount the ConfigMap or Secret that holds `config.yaml`";
            let (code, error) = (codes::FILE_ABSENT, Severity::Error);
            let line = container.line;
            Err(Box::new(
                workload
                    .object
                    .finding(code, error, line, "args", fault, remedy),
            ))
        },
        Err,
    )
}

/// Whether a text says what only Dex asks for.
fn is_configuration(file: &ConfigFile) -> bool {
    let Ok(root) = file.yaml() else {
        return false;
    };
    let has = |name: &str| {
        let entries = root.entries().unwrap_or_default();
        entries
            .iter()
            .any(|(key, _): &(Arc<str>, Node)| key.eq_ignore_ascii_case(name))
    };
    let ways = ["staticClients", "connectors", "enablePasswordDB"];
    has("issuer") && ways.iter().any(|name| has(name))
}

#[cfg(test)]
mod tests;
