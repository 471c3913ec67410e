//! Which of the hosts that are made can be served, and which contradict each other.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::super::identity::key;
use super::{Made, Proposal, Sources};
use crate::finding::{Finding, Severity, codes};
use crate::manifest::gateway::Gateway;
use crate::manifest::inference_service::IngressConfig;
use crate::manifest::service::is_subset;
use crate::manifest::virtual_service::VirtualService;
use crate::names::{Host, HostPattern, ObjectRef};
use crate::objects::Object;
use crate::snapshot::{Closure, ComputedHost, Identity};
use crate::world::Key;

/// What hosts are held against.
pub(super) struct Hosts<'a> {
    written: &'a [VirtualService],
    gateways: HashMap<Key, &'a Gateway>,
    identity: &'a Identity,
    sources: &'a Sources<'a>,
    ingress: Option<&'a IngressConfig>,
}

impl<'a> Hosts<'a> {
    pub(super) fn new(
        written: &'a [VirtualService],
        gateways: &'a [Gateway],
        identity: &'a Identity,
        sources: &'a Sources<'a>,
        ingress: Option<&'a IngressConfig>,
    ) -> Self {
        Self {
            written,
            gateways: gateways.iter().map(|one| (key(one), one)).collect(),
            identity,
            sources,
            ingress,
        }
    }

    /// Turns what is proposed into routes.
    pub(super) fn serve(&self, proposals: Vec<Proposal>, findings: &mut Vec<Finding>) -> Made {
        let mut made = Made::default();
        let contested = contested(&proposals);
        let taken = self.taken(&proposals);
        let mut absent: BTreeSet<Key> = BTreeSet::new();
        let mut told: HashSet<(ObjectRef, Host)> = HashSet::new();
        for mut proposal in proposals {
            let host = Host::new(&proposal.host);
            // A VirtualService that names it says what happens there.
            if !proposal.is_shared && taken.contains(&host) {
                continue;
            }
            let gateways = self.own_gateways(&proposal, &mut absent, findings);
            if gateways.is_empty() {
                continue;
            }
            let object = &proposal.object;
            let is_new = told.insert((object.reference.clone(), host.clone()));
            if !self.is_served(&gateways, object, &host) {
                if is_new {
                    findings.push(unserved(object, &host, &gateways));
                }
                continue;
            }
            if let Some(others) = contested
                .get(&proposal.host)
                .filter(|_| !proposal.is_shared)
            {
                let finding = ambiguous(object, &host, others);
                let closure = Arc::new(Closure::of(&finding));
                findings.push(finding);
                proposal.closed.get_or_insert(closure);
            }
            if is_new {
                made.hosts.push(ComputedHost {
                    host: host.clone(),
                    object: object.reference.clone(),
                    place: object.place.clone(),
                });
            }
            made.services.push(proposal.into_service(host, gateways));
        }
        made
    }

    /// Hosts that VirtualServices name on Gateways that are meant here, and those of documents that
    /// cannot be read.
    fn taken(&self, proposals: &[Proposal]) -> HashSet<Host> {
        let gateways: HashSet<&Key> = proposals.iter().flat_map(|one| &one.gateways).collect();
        let bound = self.written.iter().filter(|service| {
            service.gateways_unreadable || service.gateways.iter().any(|one| gateways.contains(one))
        });
        let exact = |pattern: &HostPattern| match pattern {
            HostPattern::Exact(host) => Some(host.clone()),
            HostPattern::Any | HostPattern::Suffix(_) => None,
        };
        let mut taken: HashSet<Host> = bound
            .flat_map(|service| service.hosts.iter().filter_map(exact))
            .collect();
        let broken = self.sources.world.broken.iter();
        taken.extend(broken.flat_map(|one| one.hosts.iter().map(|host| Host::new(host))));
        taken
    }

    /// Those of its Gateways that configure this workload. One that does not exist is said once.
    fn own_gateways(
        &self,
        proposal: &Proposal,
        absent: &mut BTreeSet<Key>,
        findings: &mut Vec<Finding>,
    ) -> Vec<Key> {
        let mut own = Vec::new();
        for name in &proposal.gateways {
            match self.gateways.get(name) {
                Some(gateway) if is_subset(&gateway.selector, &self.identity.labels) => {
                    own.push(name.clone());
                }
                Some(_) => {}
                None if absent.insert(name.clone()) => {
                    findings.push(self.absent(proposal, name));
                }
                None => {}
            }
        }
        own
    }

    fn absent(&self, proposal: &Proposal, name: &Key) -> Finding {
        let ingress = self.ingress.filter(|ingress| ingress.gateway == *name);
        let config = match ingress {
            Some(ingress) => ingress.object.as_ref(),
            None => self.sources.knative.gateways.object.as_ref(),
        };
        let object = config.unwrap_or(&proposal.object);
        let line = match ingress {
            Some(ingress) if config.is_some() => ingress.line,
            _ => object.place.line,
        };
        let remedy = match ingress {
            Some(_) => "name a `Gateway` in `ingressGateway` of ConfigMap inferenceservice-config",
            None => "name a `Gateway` in ConfigMap knative-serving/config-istio",
        };
        object.finding(
            codes::SERVING_GATEWAY,
            Severity::Error,
            line,
            "data",
            format!(
                "the `Gateway` `{}/{}` for models does not exist, so `{}` is not served",
                name.0, name.1, proposal.host
            ),
            remedy,
        )
    }

    fn is_served(&self, gateways: &[Key], object: &Object, host: &Host) -> bool {
        let servers = gateways
            .iter()
            .filter_map(|name| self.gateways.get(name))
            .flat_map(|gateway| &gateway.servers);
        let mut hosts = servers.flat_map(|server| &server.hosts);
        hosts.any(|one| {
            let namespace = one.namespace.as_ref();
            namespace.is_none_or(|only| only == object.namespace())
                && one.pattern.covers(host.as_str())
        })
    }
}

/// Hosts that several objects claim.
fn contested(proposals: &[Proposal]) -> BTreeMap<String, Vec<ObjectRef>> {
    let mut claims: BTreeMap<&str, Vec<&ObjectRef>> = BTreeMap::new();
    for one in proposals.iter().filter(|one| !one.is_shared) {
        let claimants = claims.entry(&one.host).or_default();
        if !claimants.contains(&&one.object.reference) {
            claimants.push(&one.object.reference);
        }
    }
    claims
        .into_iter()
        .filter(|(_, claimants)| claimants.len() > 1)
        .map(|(host, claimants)| (host.to_owned(), claimants.into_iter().cloned().collect()))
        .collect()
}

fn ambiguous(object: &Object, host: &Host, claimants: &[ObjectRef]) -> Finding {
    let others: Vec<String> = claimants
        .iter()
        .filter(|other| **other != object.reference)
        .map(|other| format!("`{other}`"))
        .collect();
    object.finding(
        codes::HOST_AMBIGUOUS,
        Severity::Error,
        object.place.line,
        "metadata.name",
        format!("the host `{host}` is made for {} too", others.join(", ")),
        "rename one of them, or put a dot between name and namespace in the template of hosts",
    )
}

fn unserved(object: &Object, host: &Host, gateways: &[Key]) -> Finding {
    let names: Vec<String> = gateways
        .iter()
        .map(|(namespace, name)| format!("`Gateway {namespace}/{name}`"))
        .collect();
    let domain = host.as_str().split_once('.').map_or("", |(_, rest)| rest);
    object.finding(
        codes::HOST_UNSERVED,
        Severity::Error,
        object.place.line,
        "metadata.name",
        format!("no server of {} has the host `{host}`", names.join(", ")),
        format!("add `*.{domain}` to `hosts` of a server"),
    )
}
