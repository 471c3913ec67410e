//! How a destination is spoken to: protocol, TLS, limits and balance.

use std::sync::Arc;

use super::Destinations;
use crate::compile::destination_rules::Rule;
use crate::finding::{Severity, codes};
use crate::manifest::destination_rule::Subset;
use crate::manifest::http_route::EntryDestination;
use crate::manifest::service::{PortProtocol, ServicePort};
use crate::manifest::traffic_policy::{TlsSettings, TrafficPolicy};
use crate::objects::Object;
use crate::snapshot::{Closure, Traffic, UpstreamProtocol, UpstreamTls};

/// How a destination is spoken to.
pub(super) struct Spoken {
    pub(super) protocol: UpstreamProtocol,
    pub(super) tls: Option<Arc<UpstreamTls>>,
    pub(super) traffic: Arc<Traffic>,
}

impl<'a> Destinations<'a> {
    /// How a destination is spoken to.
    pub(super) fn spoken(
        &mut self,
        (object, entry): (&Object, &EntryDestination),
        rule: Option<&Rule<'a>>,
        subset: Option<&Subset>,
        port: &ServicePort,
    ) -> Result<Spoken, Arc<Closure>> {
        let policy = rule.and_then(|rule| rule.policy);
        let of_subset = subset.and_then(|subset| subset.policy.as_ref());
        let settings = TrafficPolicy::merged(policy, of_subset, port.number);
        let tls = match (&settings.tls, rule) {
            (None | Some(TlsSettings::Disable), _) | (_, None) => None,
            (Some(TlsSettings::Mesh), Some(rule)) => {
                self.warn_of_mesh_tls(rule.object);
                None
            }
            (Some(TlsSettings::Origin(origin)), Some(rule)) => match self.certificates.of(origin) {
                Ok(tls) => Some(Arc::new(tls)),
                Err(fault) => {
                    let finding = rule.object.finding(
                        codes::UPSTREAM_CREDENTIAL,
                        Severity::Error,
                        origin.line,
                        origin.path.clone(),
                        format!("TLS to `{}` cannot be made: {fault}", entry.host),
                        format!(
                            "add it, or a Secret that holds it, to the namespace `{}`",
                            self.certificates.namespace
                        ),
                    );
                    let closure = Arc::new(Closure::of(&finding));
                    let place = rule.object.at(origin.line);
                    if self.said.insert((place, origin.path.clone())) {
                        self.findings.push(finding);
                    }
                    return Err(closure);
                }
            },
        };
        let upgrades = settings
            .connections
            .as_ref()
            .is_some_and(|connections| connections.upgrades);
        let protocol = match port.protocol() {
            PortProtocol::Http2 => UpstreamProtocol::Http2,
            PortProtocol::Http1 | PortProtocol::Tls if upgrades => UpstreamProtocol::Http2,
            PortProtocol::Http1 | PortProtocol::Tls => UpstreamProtocol::Http1,
        };
        if port.protocol() == PortProtocol::Tls && tls.is_none() {
            let path = format!("{}.port", entry.path);
            if self.said.insert((object.at(entry.line), path.clone())) {
                self.findings.push(object.finding(
                    codes::PLAIN_TO_TLS_PORT,
                    Severity::Warning,
                    entry.line,
                    path,
                    format!(
                        "port {} of `{}` speaks TLS by its name, and requests go there in plain text, as Istio sends them",
                        port.number, entry.host
                    ),
                    "add a `DestinationRule` with `tls: {mode: SIMPLE}`, or rename the port",
                ));
            }
        }
        Ok(Spoken {
            protocol,
            tls,
            traffic: self.shared.of(settings.traffic()),
        })
    }

    fn warn_of_mesh_tls(&mut self, object: &Object) {
        const PATH: [&str; 4] = ["spec", "trafficPolicy", "tls", "mode"];
        let line = object
            .root
            .path(&PATH)
            .map_or(object.place.line, |node| node.line);
        let path = PATH.join(".");
        if self.said.insert((object.at(line), path.clone())) {
            self.findings.push(object.finding(
                codes::MESH_TLS,
                Severity::Warning,
                line,
                path,
                "doorward has no identity of the mesh, so requests go there in plain text",
                "nothing to do where the workload takes plain text; under `PeerAuthentication` with mode STRICT it does not",
            ));
        }
    }
}
