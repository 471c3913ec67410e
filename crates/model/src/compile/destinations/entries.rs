//! Hosts outside the cluster: what a `ServiceEntry` says of them.

use std::sync::Arc;

use super::places::entry_endpoints;
use super::spoken::Spoken;
use super::told::port_remedy;
use super::{Destinations, bare, nobody, port_of};
use crate::compile::workload_guards::{self, Labels};
use crate::finding::codes;
use crate::manifest::http_route::EntryDestination;
use crate::manifest::service::{ServicePort, TargetPort};
use crate::manifest::service_entry::ServiceEntry;
use crate::objects::Object;
use crate::snapshot::{Closure, Destination, PlayedBy};

impl<'a> Destinations<'a> {
    /// The destination on a ServiceEntry.
    pub(super) fn of_entry(
        &mut self,
        object: &Object,
        entry: &EntryDestination,
        listener_port: u16,
        (host, found): (Arc<str>, &'a ServiceEntry),
    ) -> Arc<Destination> {
        let number = port_of(entry, &found.ports, listener_port);
        if let Some(closure) = &found.closed {
            return nobody(&host, None, number, Arc::clone(closure));
        }
        let mut ports = found.ports.iter();
        let Some(port) = ports.find(|port| port.number == number) else {
            let fault = format!("`{}` has no port {number}", found.object.reference);
            let remedy = port_remedy(&found.ports);
            let code = codes::PORT_ABSENT;
            let closure = self.say(object, entry, "port.number", code, fault, remedy);
            return nobody(&host, None, number, closure);
        };
        let cached = (Arc::clone(&host), number, entry.subset.clone(), false);
        if let Some(destination) = self.resolved.get(&cached) {
            return Arc::clone(destination);
        }
        let destination = match self.outside((object, entry), &host, (found, port)) {
            Ok(destination) => Arc::new(destination),
            Err(closure) => return nobody(&host, None, number, closure),
        };
        self.resolved.insert(cached, Arc::clone(&destination));
        destination
    }

    fn outside(
        &mut self,
        (object, entry): (&Object, &EntryDestination),
        host: &Arc<str>,
        (found, port): (&'a ServiceEntry, &ServicePort),
    ) -> Result<Destination, Arc<Closure>> {
        let rule = self.rules.of(host, found.object.namespace())?;
        let subset = self.subset(object, entry, rule.as_ref(), host)?;
        let Spoken {
            protocol,
            tls,
            traffic,
        } = self.spoken((object, entry), rule.as_ref(), subset, port)?;
        let none = Labels::new();
        let labels = subset.map_or(&none, |subset| &subset.labels);
        let Some(endpoints) = entry_endpoints(found, port, labels, host) else {
            let fault = format!("no endpoint of `{host}` has the labels of the subset");
            let remedy = "give the endpoints of the `ServiceEntry` these labels";
            let code = codes::SUBSET;
            return Err(self.say(object, entry, "subset", code, fault, remedy.to_owned()));
        };
        let (policies, authentication) =
            workload_guards::of_entry(self.world, self.policies, found);
        Ok(Destination {
            target_port: match port.target {
                TargetPort::Number(target) => target,
                TargetPort::Name(_) => port.number,
            },
            protocol,
            tls,
            traffic,
            endpoints,
            policies,
            authentication,
            ..bare(host, None, port.number, PlayedBy::Upstream)
        })
    }
}
