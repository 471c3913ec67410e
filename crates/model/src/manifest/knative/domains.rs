//! ConfigMap `config-domain`: the domain of a Route.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{about_entry, keys};
use crate::finding::{Finding, Severity, codes};
use crate::manifest::config_map::ConfigMap;
use crate::manifest::environment::ConfigFile;
use crate::manifest::service::is_subset;
use crate::objects::{Fault, Object};

type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// The domain of Routes that are not for the outside.
pub(crate) const CLUSTER_DOMAIN: &str = "svc.cluster.local";

/// Domains and the Routes that they are for.
pub(crate) struct Domains {
    /// By byte order of the domain.
    entries: Vec<(Arc<str>, Labels)>,
    /// `config-domain`, for findings.
    pub(crate) object: Option<Arc<Object>>,
}

impl Domains {
    pub(super) fn read(config: Option<&ConfigMap>, findings: &mut Vec<Finding>) -> Self {
        let mut domains = Self {
            entries: Vec::new(),
            object: config.map(|config| Arc::clone(&config.object)),
        };
        for key in config.into_iter().flat_map(keys) {
            let Some(config) = config else { continue };
            match entry(config, key) {
                Ok(selector) => domains.entries.push((Arc::clone(key), selector)),
                Err(finding) => findings.push(*finding),
            }
        }
        domains
    }

    /// The domain of a Route with these labels: of the selectors that fit the one with most pairs,
    /// then the first by name. None is the domain of the cluster.
    pub(crate) fn of(&self, labels: &Labels) -> &str {
        let mut best: Option<(&str, usize)> = None;
        for (domain, selector) in &self.entries {
            let closer = best.is_none_or(|(_, pairs)| selector.len() > pairs);
            if closer && is_subset(selector, labels) {
                best = Some((domain, selector.len()));
            }
        }
        best.map_or(CLUSTER_DOMAIN, |(domain, _)| domain)
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(domain, _)| &**domain)
    }

    /// The line of a domain in the ConfigMap.
    pub(crate) fn line(&self, domain: &str) -> Option<u32> {
        let data = self.object.as_ref()?.root.field("data")?;
        data.entry(domain).map(|node| node.line)
    }
}

fn entry(config: &ConfigMap, key: &Arc<str>) -> Result<Labels, Fault> {
    let refuse = |fault: String, remedy: &str| {
        let (code, error) = (codes::SERVING_CONFIG, Severity::Error);
        Box::new(about_entry(config, key, code, error, fault, remedy))
    };
    if let Err(fault) = check_host(key) {
        let remedy = "write a domain such as `models.example.com`";
        return Err(refuse(format!("`{key}` is no domain: {fault}"), remedy));
    }
    let mut labels = Labels::new();
    let Some(file) = ConfigFile::of_config_map(config, key) else {
        return Ok(labels);
    };
    if file.text().trim().is_empty() {
        return Ok(labels);
    }
    let remedy = "write `selector:` with labels, or nothing for a default domain";
    let root = file.yaml().map_err(|fault| {
        let fault = format!("the selector of `{key}` is no YAML: {}", fault.message);
        refuse(fault, remedy)
    })?;
    let read = || -> Result<Labels, Fault> {
        let top = file.top(&root);
        top.only(&["selector"])?;
        if let Some(selector) = top.child("selector") {
            for (name, value) in selector.entries()? {
                labels.insert(name, value.text()?.into());
            }
        }
        Ok(labels)
    };
    read().map_err(|mut fault| {
        fault.code = codes::SERVING_CONFIG;
        fault
    })
}

/// Whether a text can be a host.
///
/// # Errors
/// Why it cannot, as half a sentence.
pub(crate) fn check_host(host: &str) -> Result<(), String> {
    const LONGEST: usize = 253;
    const LONGEST_LABEL: usize = 63;
    if host.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} characters"));
    }
    for label in host.split('.') {
        if label.is_empty() {
            return Err("a label is empty".to_owned());
        }
        if label.len() > LONGEST_LABEL {
            return Err(format!(
                "the label `{label}` is longer than {LONGEST_LABEL} characters"
            ));
        }
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if !label.bytes().all(plain) || label.starts_with('-') || label.ends_with('-') {
            return Err(format!("`{label}` is no label"));
        }
    }
    Ok(())
}
