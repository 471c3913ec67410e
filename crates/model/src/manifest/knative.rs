//! Knative Serving: its ConfigMaps, `Service` and `Route` (serving.knative.dev).

mod domains;
mod gateways;
mod network;
mod route;
mod template;

use std::sync::Arc;

use crate::finding::{Code, Finding, Severity};
use crate::manifest::config_map::ConfigMap;
use crate::world::World;

pub(crate) use domains::{CLUSTER_DOMAIN, Domains, check_host};
pub(crate) use gateways::ExternalGateways;
pub(crate) use network::Network;
pub(crate) use route::{Pods, Serving, Target, VISIBILITY, is_cluster_local};
pub(crate) use template::{Template, Values, Variable, Vocabulary};

/// The namespace of Knative's own ConfigMaps.
const NAMESPACE: &str = "knative-serving";

/// What the ConfigMaps of Knative say about hosts.
pub(crate) struct Knative {
    pub(crate) domains: Domains,
    pub(crate) network: Network,
    pub(crate) gateways: ExternalGateways,
}

impl Knative {
    /// Reads all of them; a ConfigMap that is not there says nothing.
    pub(crate) fn read(world: &World, findings: &mut Vec<Finding>) -> Self {
        let config = |name| {
            let found = world.config_map(NAMESPACE, name);
            found.filter(|found| found.object.closed.is_none())
        };
        Self {
            domains: Domains::read(config("config-domain"), findings),
            network: Network::read(config("config-network"), findings),
            gateways: ExternalGateways::read(config("config-istio"), findings),
        }
    }
}

/// A finding about one entry of a ConfigMap.
pub(super) fn about_entry(
    config_map: &ConfigMap,
    key: &str,
    code: Code,
    severity: Severity,
    fault: impl Into<String>,
    remedy: impl Into<String>,
) -> Finding {
    let object = &config_map.object;
    let line = config_map
        .data
        .get(key)
        .map_or(object.place.line, |text| text.line);
    object.finding(code, severity, line, format!("data[{key}]"), fault, remedy)
}

/// The keys that count: `_example` is documentation.
pub(super) fn keys(config_map: &ConfigMap) -> impl Iterator<Item = &Arc<str>> {
    config_map.data.keys().filter(|key| &***key != "_example")
}
