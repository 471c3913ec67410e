//! ConfigMap `config-istio`: the `Gateway`s that Routes are bound to.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{about_entry, keys};
use crate::finding::{Finding, Severity, codes};
use crate::manifest::config_map::ConfigMap;
use crate::manifest::environment::ConfigFile;
use crate::objects::{Fault, Field, Object};
use crate::world::Key;

type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// Gateways for the outside.
pub(crate) struct ExternalGateways {
    entries: Vec<External>,
    /// `config-istio`, for findings.
    pub(crate) object: Option<Arc<Object>>,
}

struct External {
    gateway: Key,
    /// Routes that it is for; `None` for all that no other is for.
    selector: Option<Vec<Requirement>>,
}

/// One condition of a `labelSelector`.
enum Requirement {
    In(Arc<str>, Vec<Arc<str>>),
    NotIn(Arc<str>, Vec<Arc<str>>),
    Exists(Arc<str>),
    Absent(Arc<str>),
}

const LIST: &str = "external-gateways";
const LISTS: [&str; 2] = [LIST, "local-gateways"];

impl ExternalGateways {
    pub(super) fn read(config: Option<&ConfigMap>, findings: &mut Vec<Finding>) -> Self {
        let mut gateways = Self {
            entries: Vec::new(),
            object: config.map(|config| Arc::clone(&config.object)),
        };
        if let Some(config) = config {
            let before = findings.len();
            gateways.fill(config, findings);
            if findings.len() > before && gateways.entries.is_empty() {
                // What it names is not known, and the usual one would be a guess.
                return gateways;
            }
        }
        if gateways.entries.is_empty() {
            gateways.entries.push(External {
                gateway: ("knative-serving".into(), "knative-ingress-gateway".into()),
                selector: None,
            });
        }
        gateways
    }

    fn fill(&mut self, config: &ConfigMap, findings: &mut Vec<Finding>) {
        let has_list = LISTS.iter().any(|list| config.data.contains_key(*list));
        for key in keys(config) {
            let old = key.strip_prefix("gateway.");
            let is_old = old.is_some() || key.starts_with("local-gateway.");
            if is_old && has_list {
                let (code, warning) = (codes::SERVING_KEY, Severity::Warning);
                let fault = format!("`{key}` does not count beside `{LIST}` and `local-gateways`");
                let remedy = "remove it";
                findings.push(about_entry(config, key, code, warning, fault, remedy));
            } else if let Some((namespace, name)) = old.and_then(|old| old.split_once('.')) {
                self.entries.push(External {
                    gateway: (namespace.into(), name.into()),
                    selector: None,
                });
            }
        }
        if let Err(mut fault) = self.list(config) {
            fault.code = codes::SERVING_CONFIG;
            findings.push(*fault);
        }
    }

    fn list(&mut self, config: &ConfigMap) -> Result<(), Fault> {
        let Some(file) = ConfigFile::of_config_map(config, LIST) else {
            return Ok(());
        };
        let root = file.yaml().map_err(|fault| {
            let text = format!("`{LIST}` is no YAML: {}", fault.message);
            let (code, error) = (codes::SERVING_CONFIG, Severity::Error);
            let mut finding = about_entry(config, LIST, code, error, text, "correct the text");
            finding.place = Some(config.object.at(fault.line));
            Box::new(finding)
        })?;
        for item in file.top(&root).items()? {
            item.only(&["name", "namespace", "service", "labelSelector"])?;
            let text = |name| item.required(name)?.text().map(Arc::from);
            self.entries.push(External {
                gateway: (text("namespace")?, text("name")?),
                selector: item
                    .child("labelSelector")
                    .map(|selector| requirements(&selector))
                    .transpose()?,
            });
        }
        Ok(())
    }

    /// The Gateways of a Route with these labels.
    pub(crate) fn of(&self, labels: &Labels) -> Vec<Key> {
        let chosen = |one: &&External| {
            one.selector
                .as_ref()
                .is_some_and(|selector| selector.iter().all(|one| one.holds(labels)))
        };
        let mut gateways: Vec<Key> = self
            .entries
            .iter()
            .filter(chosen)
            .map(|one| one.gateway.clone())
            .collect();
        if gateways.is_empty() {
            let rest = self.entries.iter().filter(|one| one.selector.is_none());
            gateways.extend(rest.map(|one| one.gateway.clone()));
        }
        gateways
    }
}

impl Requirement {
    fn holds(&self, labels: &Labels) -> bool {
        match self {
            Self::In(key, values) => labels.get(key).is_some_and(|one| values.contains(one)),
            Self::NotIn(key, values) => !labels.get(key).is_some_and(|one| values.contains(one)),
            Self::Exists(key) => labels.contains_key(key),
            Self::Absent(key) => !labels.contains_key(key),
        }
    }
}

fn requirements(selector: &Field<'_>) -> Result<Vec<Requirement>, Fault> {
    selector.only(&["matchLabels", "matchExpressions"])?;
    let mut all = Vec::new();
    if let Some(labels) = selector.child("matchLabels") {
        for (key, value) in labels.entries()? {
            all.push(Requirement::In(key, vec![value.text()?.into()]));
        }
    }
    for item in selector.child_items("matchExpressions")? {
        item.only(&["key", "operator", "values"])?;
        let key: Arc<str> = item.required("key")?.text()?.into();
        let operator = item.required("operator")?;
        let values = item.texts("values")?;
        all.push(match operator.text()? {
            "In" => Requirement::In(key, values),
            "NotIn" => Requirement::NotIn(key, values),
            "Exists" => Requirement::Exists(key),
            "DoesNotExist" => Requirement::Absent(key),
            other => {
                let fault = format!("`{other}` is no operator of a label selector");
                return Err(
                    operator.fault(fault, "write `In`, `NotIn`, `Exists` or `DoesNotExist`")
                );
            }
        });
    }
    Ok(all)
}
