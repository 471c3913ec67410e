//! What is said of destinations, each once.

use std::sync::Arc;

use super::{CLUSTER_DOMAIN, Destinations};
use crate::finding::{Code, Severity, codes};
use crate::manifest::http_route::{EntryDelegate, EntryDestination};
use crate::manifest::service::{Service, ServicePort};
use crate::objects::{Object, closest};
use crate::snapshot::{Closure, Destination, PlayedBy, Policy};

impl Destinations<'_> {
    /// The door that a delegate closes which nobody could put in its place.
    pub(in crate::compile) fn undelegated(
        &mut self,
        object: &Object,
        delegate: &EntryDelegate,
    ) -> Arc<Closure> {
        let finding = object.finding(
            codes::DELEGATE,
            Severity::Error,
            delegate.line,
            delegate.path.clone(),
            format!("`{}` leads nowhere", delegate.path),
            "name a `VirtualService` without `hosts`",
        );
        let closure = Arc::new(Closure::of(&finding));
        self.findings.push(finding);
        closure
    }

    /// Records an error once per place and returns the door that it closes.
    pub(super) fn say(
        &mut self,
        object: &Object,
        entry: &EntryDestination,
        field: &str,
        code: Code,
        fault: String,
        remedy: String,
    ) -> Arc<Closure> {
        let path = format!("{}.{field}", entry.path);
        let finding = object.finding(code, Severity::Error, entry.line, path, fault, remedy);
        let closure = Arc::new(Closure::of(&finding));
        if self
            .said
            .insert((object.at(entry.line), finding.field.clone()))
        {
            self.findings.push(finding);
        }
        closure
    }

    /// ALLOW policies apply and none of them lets anything in.
    pub(super) fn check_refusal(
        &mut self,
        object: &Object,
        entry: &EntryDestination,
        service: &Service,
        destination: &Destination,
    ) {
        let Destination {
            policies,
            played_by,
            ..
        } = destination;
        let empty = |policy: &Arc<Policy>| policy.rules.is_empty();
        let refuses = !policies.allow.is_empty() && policies.allow.iter().all(empty);
        if !refuses || *played_by != PlayedBy::Upstream {
            return;
        }
        let by = &policies.allow[0].info.object;
        let remedy = if self.world.workloads_of(service).next().is_some() {
            format!(
                "add an ALLOW `AuthorizationPolicy` in `{}`",
                service.namespace
            )
        } else {
            "add its Deployment to the manifests if it has no sidecar; else add an ALLOW policy"
                .to_owned()
        };
        let path = format!("{}.host", entry.path);
        if self.said.insert((object.at(entry.line), path.clone())) {
            self.findings.push(object.finding(
                codes::DESTINATION_REFUSES,
                Severity::Warning,
                entry.line,
                path,
                format!(
                    "`{}` refuses every request: `{by}` allows nothing",
                    service.object.reference
                ),
                remedy,
            ));
        }
    }

    pub(super) fn near_service(&mut self, host: &str) -> String {
        let Some(left) = self.suggestions.checked_sub(1) else {
            return "add the Service to the manifests, or mend the name".to_owned();
        };
        self.suggestions = left;
        let services = self.world.services.values();
        let short = |service: &Service| format!("{}.{}", service.name, service.namespace);
        let wanted = host.strip_suffix(CLUSTER_DOMAIN).unwrap_or(host);
        let name = wanted.split('.').next().unwrap_or(wanted);
        let same_name = services
            .clone()
            .find(|service| *service.name == *name)
            .map(short);
        let names: Vec<String> = services.map(short).collect();
        let closest = || closest(wanted, names.iter().map(String::as_str)).map(str::to_owned);
        match same_name.or_else(closest) {
            Some(near) => format!("did you mean `{near}{CLUSTER_DOMAIN}`?"),
            None => "add the Service to the manifests, or mend the name".to_owned(),
        }
    }
}

pub(super) fn port_remedy(ports: &[ServicePort]) -> String {
    match ports {
        [] => "give it a port".to_owned(),
        [only] => format!("write {}, its only port", only.number),
        many => {
            let numbers: Vec<String> = many.iter().map(|port| port.number.to_string()).collect();
            format!("it has the ports {}", numbers.join(", "))
        }
    }
}
