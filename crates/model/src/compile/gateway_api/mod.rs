//! The Gateway API: which Gateways are ours, which routes hang on which listeners, and what comes of
//! them on each port.

mod backends;
mod certificates;
mod clients;
mod conditions;
mod links;
mod listeners;
mod place;
mod rank;
mod rules;
mod tls_policies;

use std::sync::Arc;

use super::Role;
use super::destinations::Destinations;
use super::ports::Ports;
use crate::finding::{Finding, Severity, codes};
use crate::manifest::gateway_api::GROUP;
use crate::manifest::gateway_api::backend_tls_policy::BackendTlsPolicy;
use crate::manifest::gateway_api::gateway::Gateway;
use crate::manifest::gateway_api::gateway_class::GatewayClass;
use crate::manifest::gateway_api::http_route::HttpRoute;
use crate::manifest::gateway_api::reference_grant::ReferenceGrant;
use crate::snapshot::{PolicySet, ServedCertificate};
use crate::status::Statuses;
use crate::world::World;
use backends::Backends;
use place::Guards;

/// Every object of the Gateway API, read.
pub(super) struct GatewayApi {
    classes: Vec<GatewayClass>,
    /// Those that this process serves.
    gateways: Vec<Gateway>,
    /// Namespace and name of those that it does not.
    elsewhere: Vec<(Arc<str>, Arc<str>)>,
    routes: Vec<HttpRoute>,
    grants: Vec<ReferenceGrant>,
    policies: Vec<BackendTlsPolicy>,
}

/// What comes of them.
#[derive(Default)]
pub(super) struct Linked {
    pub(super) certificates: Vec<ServedCertificate>,
    pub(super) statuses: Statuses,
}

impl GatewayApi {
    /// Reads all of them.
    pub(super) fn read(world: &World, role: &Role, findings: &mut Vec<Finding>) -> Self {
        let of_kind = |kind| world.of_group(GROUP, kind).iter();
        let classes: Vec<GatewayClass> = of_kind("GatewayClass")
            .map(|object| GatewayClass::read(object, findings))
            .collect();
        let mut gateways = Vec::new();
        let mut elsewhere = Vec::new();
        for object in of_kind("Gateway") {
            let mut own = Vec::new();
            let gateway = Gateway::read(object, &mut own);
            if is_served(&gateway, &classes, role, &mut own) {
                findings.append(&mut own);
                gateways.push(gateway);
            } else {
                // What is wrong with a Gateway of somebody else is somebody else's matter.
                findings.extend(own.pop().filter(|one| one.code == codes::GATEWAY_ELSEWHERE));
                elsewhere.push(gateway.key());
            }
        }
        let http = of_kind("HTTPRoute");
        let mut routes: Vec<HttpRoute> = http
            .map(|object| HttpRoute::http(object, findings))
            .collect();
        routes.extend(of_kind("GRPCRoute").map(|object| HttpRoute::grpc(object, findings)));
        routes.extend(of_kind("TLSRoute").map(|object| HttpRoute::tls(object, findings)));
        let grants = of_kind("ReferenceGrant");
        let grants = grants.filter_map(|object| ReferenceGrant::read(object, findings));
        let grants = grants.collect();
        let policies = of_kind("BackendTLSPolicy");
        let policies = policies
            .map(|object| BackendTlsPolicy::read(object, findings))
            .collect();
        Self {
            classes,
            gateways,
            elsewhere,
            routes,
            grants,
            policies,
        }
    }

    /// Whether this process serves none of the Gateways.
    pub(super) fn is_empty(&self) -> bool {
        self.gateways.is_empty()
    }

    /// A port that the Istio `Gateway`s already use for another protocol.
    fn crossed(&self, port: u16) -> Finding {
        let mut all = self.gateways.iter();
        let found = all.find_map(|gateway| {
            let mut listeners = gateway.listeners.iter();
            let listener = listeners.find(|listener| listener.port == port)?;
            Some((Some(&gateway.object), listener.line, listener.path.clone()))
        });
        let (object, line, field) = found.unwrap_or((None, 0, String::new()));
        Finding {
            code: codes::LISTENER_REFUSED,
            severity: Severity::Error,
            place: object.map(|object| object.at(line)),
            object: object.map(|object| object.reference.clone()),
            field,
            fault: format!("an Istio `Gateway` already speaks another protocol on port {port}"),
            remedy: "give it another port; it is not served".to_owned(),
        }
    }

    /// Attaches routes to listeners.
    pub(super) fn link(
        &self,
        destinations: &mut Destinations<'_>,
        everywhere: &PolicySet,
        ports: &mut Ports,
        findings: &mut Vec<Finding>,
    ) -> Linked {
        let (world, policies_of) = (destinations.world, destinations.policies);
        let mut seats = listeners::seat(self, world, findings);
        let mut backends = Backends::new(self, destinations);
        let links = links::attach(self, world, &mut seats, &mut backends);
        let policies = backends.policy_statuses();
        findings.append(&mut backends.findings);
        for link in &links {
            links::tell(link, findings);
        }
        let statuses = Statuses {
            classes: conditions::classes(&self.classes),
            gateways: conditions::gateways(self, world, &seats, findings),
            routes: conditions::routes(&links),
            policies,
        };
        let mut certificates: Vec<ServedCertificate> = Vec::new();
        for pair in seats
            .iter_mut()
            .flat_map(|seat| seat.certificates.drain(..))
        {
            crate::manifest::certificate::add_served(&mut certificates, pair);
        }
        let guards = Guards {
            policies: policies_of,
            everywhere,
        };
        for port in place::fill(&seats, &links, &guards, ports) {
            findings.push(self.crossed(port));
        }
        Linked {
            certificates,
            statuses,
        }
    }

    /// Whether an object of this API, kind and namespace may name `target`.
    fn permits(
        &self,
        kind: &str,
        namespace: &str,
        target: &crate::manifest::gateway_api::Reference,
    ) -> bool {
        *target.namespace == *namespace
            || self
                .grants
                .iter()
                .any(|grant| grant.allows((GROUP, kind, namespace), target))
    }
}

/// Whether a Gateway is this process's to serve. One whose class is not in the manifests is: a
/// class is cluster-scoped, so it seldom stands beside the Gateways.
fn is_served(
    gateway: &Gateway,
    classes: &[GatewayClass],
    role: &Role,
    findings: &mut Vec<Finding>,
) -> bool {
    let object = &gateway.object;
    let class = classes
        .iter()
        .find(|class| *class.object.name() == gateway.class);
    let field = "spec.gatewayClassName";
    let line = object
        .root
        .path(&["spec", "gatewayClassName"])
        .map_or(object.place.line, |node| node.line);
    if class.is_some_and(|class| !class.is_ours()) {
        findings.push(object.finding(
            codes::GATEWAY_ELSEWHERE,
            Severity::Note,
            line,
            field,
            format!(
                "the class `{}` belongs to another controller, so this `Gateway` is not served here",
                gateway.class
            ),
            "nothing to do, unless it was meant for doorward",
        ));
        return false;
    }
    if !role.serves(object.namespace(), object.name()) {
        return false;
    }
    if class.is_none() {
        findings.push(object.finding(
            codes::GATEWAY_CLASS_ABSENT,
            Severity::Note,
            line,
            field,
            format!(
                "the class `{}` is not in the manifests; doorward takes this `Gateway` for its own",
                gateway.class
            ),
            "add the `GatewayClass` to the manifests",
        ));
    }
    true
}
