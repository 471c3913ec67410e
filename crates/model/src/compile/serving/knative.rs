//! Hosts and routes of Knative Routes.

use std::sync::Arc;

use super::backing::{Changes, entry, split, splits};
use super::{Proposal, Sources};
use crate::finding::{Finding, Severity, codes};
use crate::manifest::knative::{
    CLUSTER_DOMAIN, Serving, VISIBILITY, Values, check_host, is_cluster_local,
};
use crate::names::Place;
use crate::objects::Object;

/// The domain that stands in every example.
pub(in crate::compile) const EXAMPLE_DOMAIN: &str = "example.com";

/// Makes hosts, one after the other.
pub(super) struct Maker<'a> {
    pub(super) sources: &'a Sources<'a>,
    pub(super) proposals: Vec<Proposal>,
    /// Routes for which there is no domain.
    homeless: Vec<Arc<Object>>,
    uses_example: bool,
}

impl<'a> Maker<'a> {
    pub(super) fn new(sources: &'a Sources<'a>) -> Self {
        Self {
            sources,
            proposals: Vec::new(),
            homeless: Vec::new(),
            uses_example: false,
        }
    }

    /// The host of a Route and those of its tags.
    pub(super) fn route(&mut self, serving: &Serving, findings: &mut Vec<Finding>) {
        let sources = self.sources;
        let Some(host) = self.host(serving, &serving.name, findings) else {
            return;
        };
        let gateways = sources.knative.gateways.of(&serving.labels);
        let object = &serving.object;
        let mut propose = |host: String, name: &str, destinations| {
            let http = vec![entry(
                object,
                name,
                Vec::new(),
                destinations,
                Changes::default(),
            )];
            self.proposals.push(Proposal {
                object: Arc::clone(object),
                host,
                gateways: gateways.clone(),
                http,
                is_shared: false,
                closed: serving.closed.clone(),
            });
        };
        let shares = splits(sources, serving);
        if !shares.is_empty() || serving.closed.is_some() {
            propose(host, "route", shares);
        }
        for target in &serving.traffic {
            let (Some(tag), Some(template)) = (&target.tag, &sources.knative.network.tag_template)
            else {
                continue;
            };
            let name = template.render(&Values {
                name: &serving.name,
                tag,
                ..Values::default()
            });
            let Some(host) = host_of(sources, serving, &name, findings) else {
                continue;
            };
            // A placeholder Service of this name leads there, too.
            let name: Arc<str> = name.into();
            let there = sources.world.service(&serving.namespace, &name).is_some();
            let only = serving.traffic.len() == 1;
            let whole = match (there, only) {
                (true, _) => Some(&name),
                (false, true) => Some(&serving.name),
                (false, false) if target.revision.is_none() => Some(&name),
                (false, false) => None,
            };
            let mut destination = split(sources, serving, target, whole);
            destination.weight = 100;
            propose(host, &format!("tag {tag}"), vec![destination]);
        }
    }

    /// The host of a Route under another name; `None` where nobody outside reaches it.
    pub(super) fn host(
        &mut self,
        serving: &Serving,
        name: &str,
        findings: &mut Vec<Finding>,
    ) -> Option<String> {
        if is_cluster_local(&serving.labels) {
            return None;
        }
        let domain = self.sources.knative.domains.of(&serving.labels);
        if domain == CLUSTER_DOMAIN {
            let last = self.homeless.last();
            if last.is_none_or(|last| last.reference != serving.object.reference) {
                self.homeless.push(Arc::clone(&serving.object));
            }
            return None;
        }
        self.uses_example |= domain == EXAMPLE_DOMAIN;
        host_of(self.sources, serving, name, findings)
    }

    /// Says what is odd about the domains, and hands over the hosts.
    pub(super) fn finish(self, findings: &mut Vec<Finding>) -> Vec<Proposal> {
        let domains = &self.sources.knative.domains;
        if let Some(first) = self.homeless.first() {
            let count = self.homeless.len();
            let others = match count {
                1 => String::new(),
                _ => format!(" and {} more", count - 1),
            };
            let (object, place) = match &domains.object {
                Some(config) => (config, config.place.clone()),
                None => (first, first.place.clone()),
            };
            findings.push(about(
                object,
                place,
                "data",
                codes::NO_DOMAIN,
                format!(
                    "no domain is for `{}`{others}, so nobody outside reaches it",
                    first.reference
                ),
                &format!(
                    "add a domain with the value `\"\"` to ConfigMap knative-serving/config-domain, or label it `{VISIBILITY}: cluster-local`"
                ),
            ));
        }
        if let Some(config) = domains.object.as_ref().filter(|_| self.uses_example) {
            let line = domains.line(EXAMPLE_DOMAIN).unwrap_or(config.place.line);
            findings.push(about(
                config,
                config.at(line),
                &format!("data[{EXAMPLE_DOMAIN}]"),
                codes::EXAMPLE_DOMAIN,
                format!("hosts of models end with `{EXAMPLE_DOMAIN}`, which is nobody's"),
                "write the domain that your DNS sends to the gateway in its place",
            ));
        }
        self.proposals
    }
}

fn about(
    object: &Object,
    place: Place,
    field: &str,
    code: crate::finding::Code,
    fault: String,
    remedy: &str,
) -> Finding {
    object.finding(code, Severity::Warning, place.line, field, fault, remedy)
}

fn host_of(
    sources: &Sources<'_>,
    serving: &Serving,
    name: &str,
    findings: &mut Vec<Finding>,
) -> Option<String> {
    let template = sources.knative.network.domain_template.as_ref()?;
    let host = template.render(&Values {
        name,
        namespace: &serving.namespace,
        domain: sources.knative.domains.of(&serving.labels),
        annotations: Some(&serving.annotations),
        labels: Some(&serving.labels),
        ..Values::default()
    });
    usable(&serving.object, host, findings)
}

/// The host, unless it is none.
pub(super) fn usable(object: &Object, host: String, findings: &mut Vec<Finding>) -> Option<String> {
    let Err(fault) = check_host(&host) else {
        return Some(host);
    };
    findings.push(object.finding(
        codes::HOST_INVALID,
        Severity::Error,
        object.place.line,
        "metadata.name",
        format!("the host `{host}` that is made for it is none: {fault}"),
        "shorten its name, or change the template of hosts",
    ));
    None
}
