//! Who the gateway is: the workload that doorward stands in for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::finding::{Finding, Severity, codes};
use crate::manifest::gateway::Gateway;
use crate::manifest::service::{TargetPort, is_subset};
use crate::manifest::virtual_service::VirtualService;
use crate::manifest::workload::{Container, Workload};
use crate::snapshot::Identity;
use crate::world::{Key, World};

type Labels = BTreeMap<Arc<str>, Arc<str>>;

const USUAL_NAMESPACE: &str = "istio-system";
const USUAL_LABELS: [(&str, &str); 2] =
    [("app", "istio-ingressgateway"), ("istio", "ingressgateway")];

/// The workload that doorward stands in for. Of several gateway workloads it is the one whose
/// `Gateway`s most `VirtualService`s use.
pub(super) fn gateway_workload<'a>(
    world: &'a World,
    gateways: &[Gateway],
    routes: &[VirtualService],
) -> Option<&'a Workload> {
    let uses = uses(routes);
    let found = world
        .workloads
        .iter()
        .filter(|workload| workload.containers.iter().any(is_proxy))
        .filter_map(|workload| {
            let selecting = gateways
                .iter()
                .filter(|gateway| is_subset(&gateway.selector, &workload.labels));
            let used: Vec<usize> = selecting.map(|gateway| weight(gateway, &uses)).collect();
            // Used Gateways first, then uses; the first workload in order wins a tie.
            let score = (
                used.iter().filter(|uses| **uses > 0).count(),
                used.iter().sum::<usize>(),
            );
            (!used.is_empty()).then_some((score, workload))
        })
        .reduce(|best, next| if next.0 > best.0 { next } else { best });
    found.map(|(_, workload)| workload)
}

/// The usual identity, for manifests without a gateway workload.
pub(super) fn assume(
    world: &World,
    gateways: &[Gateway],
    routes: &[VirtualService],
    trust_domain: &str,
    findings: &mut Vec<Finding>,
) -> Identity {
    let uses = uses(routes);
    let most_used = gateways.iter().reduce(|a, b| {
        if weight(b, &uses) > weight(a, &uses) {
            b
        } else {
            a
        }
    });
    let identity = assumed(world, most_used, trust_domain);
    if let Some(gateway) = most_used {
        findings.push(gateway.object.finding(
            codes::ASSUMED_IDENTITY,
            Severity::Note,
            gateway.object.place.line,
            "spec.selector",
            format!(
                "the workload behind this `Gateway` is not in the manifests; doorward takes itself for `{}`",
                identity.principal
            ),
            "add the Deployment of the ingress gateway to the manifests",
        ));
    }
    identity
}

fn weight(gateway: &Gateway, uses: &HashMap<Key, usize>) -> usize {
    uses.get(&key(gateway)).copied().unwrap_or(0)
}

pub(super) fn key(gateway: &Gateway) -> Key {
    (
        Arc::clone(gateway.object.namespace()),
        Arc::clone(gateway.object.name()),
    )
}

fn uses(routes: &[VirtualService]) -> HashMap<Key, usize> {
    let mut uses = HashMap::new();
    for gateway in routes.iter().flat_map(|route| &route.gateways) {
        *uses.entry(gateway.clone()).or_default() += 1;
    }
    uses
}

/// A gateway proxy, not a sidecar.
fn is_proxy(container: &Container) -> bool {
    let words: Vec<&str> = container
        .command
        .iter()
        .chain(&container.args)
        .map(|word| &**word)
        .collect();
    if words.windows(2).any(|pair| pair == ["proxy", "router"]) {
        return true;
    }
    let image = container.image.rsplit('/').next().unwrap_or_default();
    let name = image.split([':', '@']).next().unwrap_or_default();
    name == "proxyv2" && !words.contains(&"sidecar")
}

/// The identity of a workload's pods.
pub(super) fn of_workload(workload: &Workload, trust_domain: &str) -> Identity {
    identity(
        Arc::clone(&workload.namespace),
        workload.labels.clone(),
        Arc::clone(&workload.service_account),
        trust_domain,
    )
}

fn identity(
    namespace: Arc<str>,
    labels: Labels,
    account: Arc<str>,
    trust_domain: &str,
) -> Identity {
    let principal = format!("{trust_domain}/ns/{namespace}/sa/{account}").into();
    Identity {
        namespace,
        labels,
        service_account: account,
        principal,
    }
}

fn usual_labels() -> Labels {
    USUAL_LABELS
        .iter()
        .map(|(key, value)| (Arc::from(*key), Arc::from(*value)))
        .collect()
}

/// The usual identity of an installation whose gateway is not in the manifests. Policies that
/// select a gateway's labels tell its namespace: they would have no effect in any other.
fn assumed(world: &World, gateway: Option<&Gateway>, trust_domain: &str) -> Identity {
    let usual = usual_labels();
    let labels = match gateway {
        Some(gateway) if !is_subset(&gateway.selector, &usual) => gateway.selector.clone(),
        _ => usual,
    };
    let mut namespaces = BTreeSet::new();
    for kind in ["AuthorizationPolicy", "RequestAuthentication"] {
        for object in world.of_kind(kind) {
            let selector = object.root.path(&["spec", "selector", "matchLabels"]);
            let selector = crate::objects::string_map(selector);
            if !selector.is_empty() && is_subset(&selector, &labels) {
                namespaces.insert(Arc::clone(object.namespace()));
            }
        }
    }
    let namespace = match namespaces.iter().next() {
        Some(only) if namespaces.len() == 1 => Arc::clone(only),
        _ => USUAL_NAMESPACE.into(),
    };
    // The older chart lives in the usual namespace; the newer one names the account as the app.
    let account = if &*namespace == USUAL_NAMESPACE {
        "istio-ingressgateway-service-account".into()
    } else {
        labels
            .get("app")
            .cloned()
            .unwrap_or_else(|| "istio-ingressgateway".into())
    };
    identity(namespace, labels, account, trust_domain)
}

/// The port of the gateway's own pods that a `Gateway` port stands for, which policies name.
pub(super) fn workload_port(world: &World, identity: &Identity, port: u16) -> u16 {
    let own = world.services.values().filter(|service| {
        service.namespace == identity.namespace && service.selects(&identity.labels)
    });
    let mut in_tree = false;
    for service in own {
        in_tree = true;
        match service.port(port).map(|port| &port.target) {
            Some(TargetPort::Number(number)) => return *number,
            Some(TargetPort::Name(name)) => {
                let mut workloads = world.workloads_of(service);
                if let Some(number) = workloads.find_map(|workload| workload.port_named(name)) {
                    return number;
                }
            }
            None => {}
        }
    }
    match port {
        // The older chart, whose Service is not in the manifests.
        80 | 443 if !in_tree && &*identity.namespace == USUAL_NAMESPACE => port + 8000,
        other => other,
    }
}
