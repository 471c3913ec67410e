//! Services behind routes: who answers, on which port, guarded by which policies.

mod absent;
mod entries;
mod places;
mod spoken;
mod subsets;
mod told;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::destination_rules::Rules;
use super::policies::Policies;
use super::upstream_tls::Certificates;
use super::workload_guards;
use crate::finding::{Finding, codes};
use crate::manifest::http_route::EntryDestination;
use crate::manifest::service::{Service, ServicePort, TargetPort};
use crate::manifest::traffic_policy::Shared;
use crate::names::Place;
use crate::objects::Object;
use crate::snapshot::{
    Authentication, Closure, Destination, Endpoints, Identity, PlayedBy, PolicySet, Retries,
    ServiceRef, UpstreamProtocol,
};
use crate::world::{Key, World};
use spoken::Spoken;
use told::port_remedy;

const CLUSTER_DOMAIN: &str = ".svc.cluster.local";

/// Unknown Services for which a near name is looked for.
const SUGGESTIONS: usize = 50;

/// The demo application that is built in.
const WHOAMI: (&str, &str) = ("doorward", "whoami");

/// Host, port and subset.
type Asked = (Arc<str>, u16, Option<Arc<str>>, bool);

/// Resolves destinations, each Service, port and subset once.
pub(super) struct Destinations<'a> {
    pub(super) world: &'a World,
    pub(super) policies: &'a Policies,
    identity: &'a Identity,
    /// Services that this process answers for.
    pub(super) played: HashMap<Key, PlayedBy>,
    /// Retries of a route that says nothing of them.
    pub(super) retries: Option<Arc<Retries>>,
    pub(super) rules: Rules<'a>,
    pub(super) certificates: Certificates<'a>,
    shared: Shared,
    /// How many names may still be looked for: with thousands of unknown Services it would take
    /// longer than everything else.
    suggestions: usize,
    resolved: HashMap<Asked, Arc<Destination>>,
    said: HashSet<(Place, String)>,
    pub(super) findings: Vec<Finding>,
}

impl<'a> Destinations<'a> {
    pub(super) fn new(
        world: &'a World,
        (policies, identity): (&'a Policies, &'a Identity),
        mut played: HashMap<Key, PlayedBy>,
        retries: Option<Arc<Retries>>,
        (rules, certificates): (Rules<'a>, Certificates<'a>),
    ) -> Self {
        let (namespace, name) = WHOAMI;
        played.insert((namespace.into(), name.into()), PlayedBy::Whoami);
        Self {
            world,
            policies,
            identity,
            played,
            retries,
            rules,
            certificates,
            shared: Shared::default(),
            suggestions: SUGGESTIONS,
            resolved: HashMap::new(),
            said: HashSet::new(),
            findings: Vec::new(),
        }
    }

    /// The destination that a route of `object` names, as seen from a listener.
    pub(super) fn resolve(
        &mut self,
        object: &Object,
        entry: &EntryDestination,
        listener_port: u16,
    ) -> Arc<Destination> {
        let host = full_host(&entry.host, object.namespace());
        let key = service_key(&host);
        let world = self.world;
        let service = key
            .as_ref()
            .and_then(|(namespace, name)| world.service(namespace, name));
        let played = key.as_ref().and_then(|key| self.played.get(key)).cloned();
        let backing = entry.backing.as_deref();
        // A Service without ports is only another name.
        let service = service.filter(|one| backing.is_none() || !one.ports.is_empty());
        if let Some(service) = service {
            return self.of_service(object, entry, listener_port, (host, service), played);
        }
        if let Some(backing) = backing {
            let port = entry.port.unwrap_or(listener_port);
            return self.by_name((object, entry), (host, key, port), backing);
        }
        if let Some(played_by) = played {
            let port = entry.port.unwrap_or(listener_port);
            return self.without_service(&host, key, port, played_by);
        }
        let namespace = &self.certificates.namespace;
        let mut entries = world.service_entries.iter();
        let found =
            entries.find(|one| one.hosts.contains(&host) && one.visibility.covers(namespace));
        if let Some(found) = found {
            return self.of_entry(object, entry, listener_port, (host, found));
        }
        let port = entry.port.unwrap_or(listener_port);
        let fault =
            format!("`{host}` is no Service in the manifests, so nobody answers on port {port}");
        let remedy = self.near_service(&host);
        let closure = self.say(object, entry, "host", codes::UNKNOWN_SERVICE, fault, remedy);
        nobody(&host, key, port, closure)
    }

    fn of_service(
        &mut self,
        object: &Object,
        entry: &EntryDestination,
        listener_port: u16,
        (host, service): (Arc<str>, &'a Service),
        played: Option<PlayedBy>,
    ) -> Arc<Destination> {
        let key = Some((Arc::clone(&service.namespace), Arc::clone(&service.name)));
        let number = port_of(entry, &service.ports, listener_port);
        if let Some(closure) = &service.closed {
            return nobody(&host, key, number, Arc::clone(closure));
        }
        // A name outside has the ports that it has, listed or not.
        let anywhere = service.external_name.is_some() && service.ports.is_empty();
        let unlisted = anywhere.then(|| ServicePort::plain(number));
        let Some(port) = service.port(number).cloned().or(unlisted) else {
            let fault = format!(
                "the Service `{}` has no port {number}",
                service.object.reference
            );
            let remedy = port_remedy(&service.ports);
            let code = codes::PORT_ABSENT;
            let closure = self.say(object, entry, "port.number", code, fault, remedy);
            return nobody(&host, key, number, closure);
        };
        let cached = (
            Arc::clone(&host),
            number,
            entry.subset.clone(),
            entry.backing.is_some(),
        );
        if let Some(destination) = self.resolved.get(&cached) {
            return Arc::clone(destination);
        }
        let played_by = played.unwrap_or(PlayedBy::Upstream);
        let built = if played_by == PlayedBy::Upstream {
            self.upstream((object, entry), &host, (service, port))
        } else {
            // What is played here is asked without a connection.
            let plain = bare(&host, key.clone(), number, played_by.clone());
            let mut guarded = self.guarded(plain, entry, service, &port);
            if played_by == PlayedBy::Kfam {
                let gateway = &self.identity.principal;
                workload_guards::without_callers(&mut guarded.policies, gateway);
            }
            Ok(guarded)
        };
        let destination = match built {
            Ok(destination) => destination,
            Err(closure) => return nobody(&host, key, number, closure),
        };
        self.check_refusal(object, entry, service, &destination);
        let destination = Arc::new(destination);
        self.resolved.insert(cached, Arc::clone(&destination));
        destination
    }

    /// A destination that is connected to. A subset with a Service of its own is asked there.
    fn upstream(
        &mut self,
        (object, entry): (&Object, &EntryDestination),
        host: &str,
        (service, port): (&'a Service, ServicePort),
    ) -> Result<Destination, Arc<Closure>> {
        let rule = self.rules.of(host, &service.namespace)?;
        let subset = self.subset(object, entry, rule.as_ref(), host)?;
        let Spoken {
            protocol,
            tls,
            traffic,
        } = self.spoken((object, entry), rule.as_ref(), subset, &port)?;
        let (service, port) = self.place_of(object, entry, (service, port), subset)?;
        let key = (Arc::clone(&service.namespace), Arc::clone(&service.name));
        let place = bare(
            &service_host(service),
            Some(key),
            port.number,
            PlayedBy::Upstream,
        );
        Ok(Destination {
            protocol,
            tls,
            traffic,
            endpoints: self.endpoints(service, &port)?,
            ..self.guarded(place, entry, service, &port)
        })
    }

    /// The destination with the rules of its workloads.
    fn guarded(
        &self,
        place: Destination,
        entry: &EntryDestination,
        service: &Service,
        port: &ServicePort,
    ) -> Destination {
        let known = entry.backing.as_deref();
        let (policies, authentication) =
            workload_guards::of_service(self.world, self.policies, service, known);
        Destination {
            policies,
            authentication,
            target_port: self.target_port(service, port),
            ..place
        }
    }

    fn target_port(&self, service: &Service, port: &ServicePort) -> u16 {
        match &port.target {
            TargetPort::Number(number) => *number,
            TargetPort::Name(name) => {
                let mut workloads = self.world.workloads_of(service);
                workloads
                    .find_map(|workload| workload.port_named(name))
                    .unwrap_or(port.number)
            }
        }
    }
}

/// A short name is one of the namespace of the route.
pub(super) fn full_host(host: &str, namespace: &str) -> Arc<str> {
    if host.contains('.') {
        host.trim_end_matches('.').into()
    } else {
        format!("{host}.{namespace}{CLUSTER_DOMAIN}").into()
    }
}

/// Namespace and name of a Service host.
pub(super) fn service_key(host: &str) -> Option<Key> {
    let (name, namespace) = host.strip_suffix(CLUSTER_DOMAIN)?.split_once('.')?;
    (!namespace.contains('.')).then(|| (namespace.into(), name.into()))
}

/// The port that a route means: the one it names, else the only one, else the listener's.
fn port_of(entry: &EntryDestination, ports: &[ServicePort], listener_port: u16) -> u16 {
    entry.port.unwrap_or(match ports {
        [only] => only.number,
        _ => listener_port,
    })
}

fn service_host(service: &Service) -> Arc<str> {
    format!("{}.{}{CLUSTER_DOMAIN}", service.name, service.namespace).into()
}

/// A destination that answers with a closed door.
pub(super) fn nobody(
    host: &Arc<str>,
    key: Option<Key>,
    port: u16,
    closure: Arc<Closure>,
) -> Arc<Destination> {
    Arc::new(bare(host, key, port, PlayedBy::Nobody(closure)))
}

fn bare(host: &Arc<str>, key: Option<Key>, port: u16, played_by: PlayedBy) -> Destination {
    let (namespace, name) = key.unwrap_or_else(|| ("".into(), Arc::clone(host)));
    Destination {
        service: ServiceRef {
            namespace,
            name,
            port,
        },
        host: Arc::clone(host),
        target_port: port,
        played_by,
        protocol: UpstreamProtocol::default(),
        tls: None,
        endpoints: Endpoints::default(),
        traffic: Arc::default(),
        policies: PolicySet::default(),
        authentication: Authentication::default(),
    }
}
