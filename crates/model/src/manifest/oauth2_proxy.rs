//! OAuth2 Proxy: a login proxy, found by what runs or by its configuration file.

pub(crate) mod alone;
mod login;
pub(crate) mod options;
mod rules;
mod settings;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::environment::{ConfigFile, Environment, Variable, file, services};
use super::secret::SecretData;
use super::workload::{Container, Workload};
use crate::finding::{Finding, codes};
use crate::objects::Node;
use crate::snapshot::{Closure, Login};
use crate::world::{Key, World};
use options::{Kind, Known};
use settings::{Origin, Settings, suggestion};

/// A login proxy and the Services that lead to it.
pub(crate) struct FoundLogin {
    /// The login proxy, or why it lets nobody in.
    pub(crate) login: Result<Login, Arc<Closure>>,
    /// Namespace and name; a Service may be named that is not in the manifests.
    pub(crate) services: Vec<Key>,
}

const PROGRAM: &str = "oauth2-proxy";
const KEY: &str = "oauth2_proxy.cfg";

/// The keys of the chart's Secret, and the variables that its Deployment makes of them.
const SECRETS: [(&str, &str); 3] = [
    ("client-id", "OAUTH2_PROXY_CLIENT_ID"),
    ("client-secret", "OAUTH2_PROXY_CLIENT_SECRET"),
    ("cookie-secret", "OAUTH2_PROXY_COOKIE_SECRET"),
];

/// Finds every OAuth2 Proxy: each workload that runs it, and in a namespace without one each
/// ConfigMap that holds its configuration file.
pub(crate) fn find_logins(world: &World, findings: &mut Vec<Finding>) -> Vec<FoundLogin> {
    let mut found = Vec::new();
    let mut namespaces = BTreeSet::new();
    for workload in &world.workloads {
        let Some(container) = workload.containers.iter().find(|one| is_oauth2_proxy(one)) else {
            continue;
        };
        namespaces.insert(Arc::clone(&workload.namespace));
        let login = run(world, workload, container, findings);
        found.push(FoundLogin {
            login,
            services: services(world, workload),
        });
    }
    for config_map in world.config_maps.values() {
        let namespace = config_map.object.namespace();
        let Some(file) = ConfigFile::of_config_map(config_map, KEY) else {
            continue;
        };
        if !namespaces.contains(namespace) {
            found.push(alone(world, &file, findings));
        }
    }
    found
}

fn program(word: &str) -> bool {
    word.rsplit('/').next() == Some(PROGRAM)
}

fn is_oauth2_proxy(container: &Container) -> bool {
    let image = container.image.split('@').next().unwrap_or_default();
    let name = image
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .split(':')
        .next();
    let mut words = container.command.iter().chain(&container.args);
    name == Some(PROGRAM) || words.any(|word| program(word))
}

fn run(
    world: &World,
    workload: &Workload,
    container: &Container,
    findings: &mut Vec<Finding>,
) -> Result<Login, Arc<Closure>> {
    if let Some(closure) = &workload.object.closed {
        return Err(Arc::clone(closure));
    }
    let environment = Environment::of(world, workload, container, findings);
    let mut settings = Settings::new(Arc::clone(&workload.object), container.line, findings);
    let words = words(workload, container, &environment);
    if let Some((path, at)) = config_argument(&words) {
        match file(world, workload, container, path) {
            Ok(file) => settings.read_file(&file),
            Err(finding) => {
                settings.unresolved = true;
                settings.close(at, codes::FILE_ABSENT, finding.fault, finding.remedy);
            }
        }
    }
    settings.read_environment(&environment);
    read_arguments(&mut settings, &words);
    let files = |path: &str| {
        let found = file(world, workload, container, path).ok()?;
        found.object.closed.is_none().then(|| found.value().clone())
    };
    login::login(settings, &files)
}

/// A configuration file that nothing runs: its secrets come from where the chart keeps them.
fn alone(world: &World, file: &ConfigFile, findings: &mut Vec<Finding>) -> FoundLogin {
    let (namespace, name) = (file.object.namespace(), file.object.name());
    let mut environment = Environment::default();
    if let Some(secret) = chart_secret(world, namespace, name) {
        for (key, variable) in SECRETS {
            let value = secret.data.get(key).cloned();
            let line = secret
                .lines
                .get(key)
                .copied()
                .unwrap_or(secret.object.place.line);
            environment.insert(
                variable,
                value.map(|value| Variable {
                    value,
                    object: Arc::clone(&secret.object),
                    line,
                    field: format!("data[{key}]"),
                }),
            );
        }
    }
    let mut settings = Settings::new(Arc::clone(&file.object), file.line(0), findings);
    settings.read_file(file);
    settings.read_environment(&environment);
    let login = login::login(settings, &|_| None);
    FoundLogin {
        login,
        services: vec![(Arc::clone(namespace), without_hash(name).into())],
    }
}

/// The Secret of the same name, else the only one in the namespace with those keys.
fn chart_secret<'a>(world: &'a World, namespace: &str, name: &str) -> Option<&'a SecretData> {
    let complete = |secret: &&SecretData| {
        SECRETS
            .iter()
            .all(|(key, _)| secret.data.contains_key(*key))
            && secret.object.closed.is_none()
    };
    if let Some(secret) = world.secret(namespace, name) {
        return Some(secret).filter(complete);
    }
    let here = world
        .secrets
        .values()
        .filter(|secret| **secret.object.namespace() == *namespace);
    let mut all = here.filter(complete);
    all.next().filter(|_| all.next().is_none())
}

/// A name without the hash that kustomize puts at the end of generated ones.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((stem, hash))
            if hash.len() == 10 && hash.bytes().any(|byte| byte.is_ascii_digit()) =>
        {
            stem
        }
        _ => name,
    }
}

/// Arguments after the program's name, variables filled in, each with its place.
fn words(
    workload: &Workload,
    container: &Container,
    environment: &Environment,
) -> Vec<(String, Origin)> {
    let containers = workload
        .object
        .root
        .path(&["spec", "template", "spec", "containers"]);
    let mut containers = containers.and_then(Node::items).unwrap_or_default().iter();
    let node = containers.find(|node| node.line == container.line);
    let mut all = Vec::new();
    for (name, texts) in [("command", &container.command), ("args", &container.args)] {
        let nodes = node.and_then(|node| node.field(name)).and_then(Node::items);
        let nodes = nodes.unwrap_or_default();
        for (index, text) in texts.iter().enumerate() {
            let line = nodes.get(index).map_or(container.line, |node| node.line);
            let field = format!("{name}[{index}]");
            let at = Origin {
                object: Arc::clone(&workload.object),
                line,
                field,
            };
            all.push((environment.expand(text), at));
        }
    }
    let start = match all.iter().position(|(word, _)| program(word)) {
        Some(at) => at + 1,
        None => container.command.len().min(1),
    };
    all.split_off(start)
}

/// The value of `--config`; the last one counts.
fn config_argument(words: &[(String, Origin)]) -> Option<(&str, &Origin)> {
    let mut found = None;
    for (index, (word, at)) in words.iter().enumerate() {
        if let Some(path) = word.strip_prefix("--config=") {
            found = Some((path, at));
        } else if word == "--config" {
            found = words.get(index + 1).map(|(path, at)| (path.as_str(), at));
        }
    }
    found
}

/// `--flag=value`, `--flag value`, and `--flag` alone for a truth value.
fn read_arguments(settings: &mut Settings<'_>, words: &[(String, Origin)]) {
    let mut given = BTreeSet::new();
    let mut words = words.iter();
    while let Some((word, at)) = words.next() {
        let Some(flag) = word.strip_prefix("--").filter(|flag| !flag.is_empty()) else {
            // It may be a secret that lost its flag, so it is not shown.
            let fault = "an argument is no flag".to_owned();
            let remedy = "begin it with `--`".to_owned();
            settings.close(at, codes::LOGIN_OPTION_UNKNOWN, fault, remedy);
            continue;
        };
        let (name, inline) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag, None),
        };
        if name == "config" {
            if inline.is_none() {
                words.next();
            }
            continue;
        }
        let Some(known) = Known::of_flag(name) else {
            let (fault, remedy) = match name {
                "alpha-config" => (
                    "the alpha configuration is not supported yet".to_owned(),
                    "use the configuration file or flags".to_owned(),
                ),
                _ => {
                    let remedy = suggestion(&name.replace('-', "_"), Known::names());
                    (format!("`--{name}` is no flag of OAuth2 Proxy"), remedy)
                }
            };
            settings.close(at, codes::LOGIN_OPTION_UNKNOWN, fault, remedy);
            if inline.is_none()
                && words
                    .as_slice()
                    .first()
                    .is_some_and(|(next, _)| !next.starts_with("--"))
            {
                words.next();
            }
            continue;
        };
        let value = match inline {
            Some(value) => value,
            None if known.kind == Kind::Flag => "true",
            None => match words.next() {
                Some((value, _)) => value,
                None => {
                    let fault = format!("`--{name}` has no value");
                    let remedy = format!("write `--{name}=VALUE`");
                    settings.close(at, codes::LOGIN_OPTION_VALUE, fault, remedy);
                    continue;
                }
            },
        };
        let again = !given.insert(known.name);
        settings.set_flag(known, value, at.clone(), again);
    }
}

#[cfg(test)]
mod tests;
