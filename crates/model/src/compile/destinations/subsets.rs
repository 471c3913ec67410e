//! Subsets: which of a Service's workloads a route means.

use std::sync::Arc;

use super::Destinations;
use crate::compile::destination_rules::Rule;
use crate::finding::codes;
use crate::manifest::destination_rule::Subset;
use crate::manifest::http_route::EntryDestination;
use crate::manifest::service::{Service, ServicePort, is_subset};
use crate::objects::Object;
use crate::snapshot::Closure;

impl<'a> Destinations<'a> {
    /// The subset that a route names; an error when there is none of that name.
    pub(super) fn subset(
        &mut self,
        object: &Object,
        entry: &EntryDestination,
        rule: Option<&Rule<'a>>,
        host: &str,
    ) -> Result<Option<&'a Subset>, Arc<Closure>> {
        let Some(name) = &entry.subset else {
            return Ok(None);
        };
        if let Some(subset) = rule.and_then(|rule| rule.subset(name)) {
            return Ok(Some(subset));
        }
        let fault = format!("no `DestinationRule` gives `{host}` the subset `{name}`");
        let remedy = match rule {
            Some(rule) => format!("add it to `{}`", rule.object.reference),
            None => format!("add a `DestinationRule` for `{host}`"),
        };
        Err(self.say(object, entry, "subset", codes::SUBSET, fault, remedy))
    }

    /// The Service and port where a subset is found: its own, when its labels choose all of it, or
    /// one that leads to just these workloads.
    pub(super) fn place_of(
        &mut self,
        object: &Object,
        entry: &EntryDestination,
        (service, port): (&'a Service, ServicePort),
        subset: Option<&Subset>,
    ) -> Result<(&'a Service, ServicePort), Arc<Closure>> {
        let Some(subset) = subset.filter(|subset| !subset.labels.is_empty()) else {
            return Ok((service, port));
        };
        let world = self.world;
        let all: Vec<_> = world.workloads_of(service).collect();
        let mut chosen = all.clone();
        chosen.retain(|workload| is_subset(&subset.labels, &workload.labels));
        if !chosen.is_empty() && chosen.len() == all.len() {
            return Ok((service, port));
        }
        let target = self.target_port(service, &port);
        let alike = world.services.values().find_map(|other| {
            let is_other = other.namespace == service.namespace && other.name != service.name;
            if chosen.is_empty() || !is_other || other.closed.is_some() {
                return None;
            }
            let led: Vec<_> = world.workloads_of(other).collect();
            let same = led.len() == chosen.len()
                && led.iter().zip(&chosen).all(|(a, b)| std::ptr::eq(*a, *b));
            let port = other
                .ports
                .iter()
                .find(|port| self.target_port(other, port) == target);
            Some((other, port.filter(|_| same)?.clone()))
        });
        if let Some(found) = alike {
            return Ok(found);
        }
        let labels: Vec<String> = subset
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let labels = labels.join(", ");
        let (fault, remedy) = if chosen.is_empty() {
            (
                format!(
                    "no workload of `{}` has the labels of the subset `{}`: {labels}",
                    service.object.reference, subset.name
                ),
                "add its Deployment to the manifests, or correct the labels".to_owned(),
            )
        } else {
            (
                format!(
                    "no Service leads to just the workloads of the subset `{}`",
                    subset.name
                ),
                format!(
                    "add a Service that selects {labels} beside `{}`",
                    service.name
                ),
            )
        };
        Err(self.say(object, entry, "subset", codes::SUBSET, fault, remedy))
    }
}
