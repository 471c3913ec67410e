//! `backendRefs`: who answers.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::GatewayApi;
use super::certificates::pair;
use super::listeners::{Denial, Verdict};
use super::tls_policies::TlsPolicies;
use crate::compile::destinations::{Destinations, nobody};
use crate::finding::{Finding, Severity, codes};
use crate::manifest::gateway_api::backend_ref::BackendRef;
use crate::manifest::gateway_api::gateway::Gateway;
use crate::manifest::gateway_api::http_route::{HttpRoute, RouteKind};
use crate::manifest::header_edits::Edits;
use crate::manifest::http_route::EntryDestination;
use crate::names::Place;
use crate::snapshot::{
    Authentication, Closure, Destination, KeyPair, PlayedBy, PolicySet, Redirect, Retries,
    UpstreamProtocol,
};
use crate::status::RouteStatus;

/// Resolves backends.
pub(super) struct Backends<'a, 'd, 'w> {
    api: &'a GatewayApi,
    destinations: &'d mut Destinations<'w>,
    policies: TlsPolicies<'a>,
    /// Destinations that are reached in another way than the Service alone says.
    special: HashMap<Special, Arc<Destination>>,
    said: BTreeSet<(Place, String)>,
    pub(super) findings: Vec<Finding>,
}

/// What makes such a destination: host, port, HTTP/2, and the Gateway whose client certificate is
/// shown.
#[derive(PartialEq, Eq, Hash)]
struct Special {
    host: Arc<str>,
    port: u16,
    http2: bool,
    gateway: Option<(Arc<str>, Arc<str>)>,
}

impl<'a, 'd, 'w> Backends<'a, 'd, 'w> {
    pub(super) fn new(api: &'a GatewayApi, destinations: &'d mut Destinations<'w>) -> Self {
        let mut findings = Vec::new();
        let policies = TlsPolicies::read(&api.policies, destinations.world, &mut findings);
        Self {
            api,
            destinations,
            policies,
            special: HashMap::new(),
            said: BTreeSet::new(),
            findings,
        }
    }

    /// The destination of a backend; one that cannot be resolved answers 500 for its share.
    pub(super) fn destination(
        &mut self,
        route: &HttpRoute,
        backend: &BackendRef,
        gateways: &[&Gateway],
        resolved: &mut Verdict,
    ) -> Arc<Destination> {
        match self.resolve(route, backend, gateways) {
            Ok(destination) => destination,
            Err(denial) => {
                let closure = self.say(route, backend, &denial);
                if resolved.is_ok() {
                    *resolved = Err(denial);
                }
                let reference = &backend.reference;
                let host = host(reference);
                let key = Some((
                    Arc::clone(&reference.namespace),
                    Arc::clone(&reference.name),
                ));
                nobody(&host, key, backend.port.unwrap_or(0), closure)
            }
        }
    }

    /// The destination of a mirror, if it has one.
    pub(super) fn mirror(
        &mut self,
        route: &HttpRoute,
        backend: &BackendRef,
        gateways: &[&Gateway],
        resolved: &mut Verdict,
    ) -> Option<Arc<Destination>> {
        let denial = match self.resolve(route, backend, gateways) {
            Ok(destination) => return Some(destination),
            Err(denial) => denial,
        };
        self.say(route, backend, &denial);
        if resolved.is_ok() {
            *resolved = Err(denial);
        }
        None
    }

    /// The share of a destination that is sent elsewhere instead: the backend is never asked.
    pub(super) fn redirecting(
        &self,
        destination: &Destination,
        redirect: &Redirect,
    ) -> Arc<Destination> {
        Arc::new(Destination {
            played_by: PlayedBy::Redirect(Arc::new(redirect.clone())),
            policies: PolicySet::default(),
            authentication: Authentication::default(),
            ..destination.clone()
        })
    }

    /// Retries of a rule that says nothing of them.
    pub(super) fn usual_retries(&self) -> Option<Arc<Retries>> {
        self.destinations.retries.clone()
    }

    /// The conditions of every `BackendTLSPolicy`.
    pub(super) fn policy_statuses(&self) -> Vec<RouteStatus> {
        self.policies.statuses()
    }

    fn say(&mut self, route: &HttpRoute, backend: &BackendRef, denial: &Denial) -> Arc<Closure> {
        let reference = &backend.reference;
        let remedy = match denial.reason {
            "InvalidKind" => "name a `Service`",
            "RefNotPermitted" => "add a `ReferenceGrant` to the namespace of the Service",
            _ => "add the Service to the manifests, or mend the name and port",
        };
        let finding = route.head.object.finding(
            codes::BACKEND_UNRESOLVED,
            Severity::Error,
            reference.line,
            reference.path.clone(),
            denial.message.clone(),
            remedy,
        );
        let closure = Arc::new(Closure::of(&finding));
        let place = route.head.object.at(reference.line);
        if self.said.insert((place, reference.path.clone())) {
            self.findings.push(finding);
        }
        closure
    }

    fn resolve(
        &mut self,
        route: &HttpRoute,
        backend: &BackendRef,
        gateways: &[&Gateway],
    ) -> Result<Arc<Destination>, Denial> {
        let object = &route.head.object;
        let reference = &backend.reference;
        let (namespace, name) = (&reference.namespace, &reference.name);
        if !reference.group.is_empty() || &*reference.kind != "Service" {
            let message = format!(
                "a `{}` of `{}` is no backend that is served here",
                reference.kind, reference.group
            );
            return Err(Denial::new("InvalidKind", message));
        }
        let kind = &object.reference.kind;
        if !self.api.permits(kind, object.namespace(), reference) {
            let message = format!(
                "no `ReferenceGrant` lets a `{kind}` of `{}` lead to `Service {namespace}/{name}`",
                object.namespace()
            );
            return Err(Denial::new("RefNotPermitted", message));
        }
        let lost = |message: String| Err(Denial::new("BackendNotFound", message));
        let Some(port) = backend.port else {
            return lost(format!(
                "`{}` names no port of `Service {namespace}/{name}`",
                reference.path
            ));
        };
        let key = (Arc::clone(namespace), Arc::clone(name));
        let world = self.destinations.world;
        let mut port_name = None;
        match world.service(namespace, name) {
            Some(service) => {
                let found = service.port(port);
                if found.is_none() && service.closed.is_none() {
                    return lost(format!("`Service {namespace}/{name}` has no port {port}"));
                }
                port_name = found.and_then(|port| port.name.clone());
            }
            None if self.destinations.played.contains_key(&key) => {}
            None => return lost(format!("`Service {namespace}/{name}` is not here")),
        }
        let host = host(reference);
        let entry = EntryDestination {
            weight: backend.weight,
            edits: Edits::default(),
            subset: None,
            backing: None,
            host: Arc::clone(&host),
            port: Some(port),
            path: reference.path.clone(),
            line: reference.line,
        };
        let plain = self.destinations.resolve(object, &entry, port);
        // Bytes are passed on as they are.
        if plain.played_by != PlayedBy::Upstream || route.kind == RouteKind::Tls {
            return Ok(plain);
        }
        let is_grpc = route.kind == RouteKind::Grpc;
        let policy = self
            .policies
            .of(namespace, name, port_name.as_deref(), gateways);
        let http2 = is_grpc && plain.protocol != UpstreamProtocol::Http2;
        if policy.is_none() && !http2 {
            return Ok(plain);
        }
        let policy = match policy.transpose() {
            Ok(policy) => policy,
            Err(closure) => return Ok(nobody(&host, Some(key), port, closure)),
        };
        let shows = gateways
            .iter()
            .find(|gateway| policy.is_some() && gateway.client_certificate.is_some());
        let special = Special {
            host,
            port,
            http2: is_grpc,
            gateway: shows.map(|gateway| gateway.key()),
        };
        if let Some(known) = self.special.get(&special) {
            return Ok(Arc::clone(known));
        }
        let mut destination = (*plain).clone();
        if is_grpc {
            destination.protocol = UpstreamProtocol::Http2;
        }
        if let Some(mut tls) = policy {
            tls.client = shows.and_then(|gateway| self.client(gateway));
            destination.tls = Some(Arc::new(tls));
        }
        let destination = Arc::new(destination);
        self.special.insert(special, Arc::clone(&destination));
        Ok(destination)
    }

    /// The certificate that a Gateway shows to its backends.
    fn client(&self, gateway: &Gateway) -> Option<KeyPair> {
        let reference = gateway.client_certificate.as_ref()?;
        let from = ("Gateway", &**gateway.object.namespace());
        let found = pair(self.api, self.destinations.world, from, reference);
        let (_, chain, key) = found.ok()?;
        Some(KeyPair { chain, key })
    }
}

fn host(reference: &crate::manifest::gateway_api::Reference) -> Arc<str> {
    format!(
        "{}.{}.svc.cluster.local",
        reference.name, reference.namespace
    )
    .into()
}
