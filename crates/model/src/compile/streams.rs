//! Routes of connections whose bytes are passed on, as one server of a `Gateway` has them.

use std::sync::Arc;

use super::destinations::Destinations;
use super::listeners::common_hosts;
use super::routes::Seat;
use crate::manifest::gateway::{Inside, Server, Speaks};
use crate::manifest::service::is_subset;
use crate::manifest::stream_route::{StreamEntry, StreamKind, StreamMatch};
use crate::manifest::virtual_service::VirtualService;
use crate::names::HostPattern;
use crate::snapshot::{Closure, RouteInfo, StreamDestination, StreamRoute};

/// The routes of `service` on `server`, in their order.
pub(super) fn build(
    service: &VirtualService,
    server: &Server,
    seat: &Seat<'_>,
    destinations: &mut Destinations<'_>,
) -> Vec<Arc<StreamRoute>> {
    let common = common_hosts(service, &server.hosts);
    if common.is_empty() {
        return Vec::new();
    }
    let by_name = matches!(server.speaks, Speaks::Tls(_));
    let names = if by_name { common.clone() } else { Vec::new() };
    let closed = service.closed.as_ref().or(service.object.closed.as_ref());
    if let Some(closure) = closed {
        // Which of its routes would have come first cannot be told.
        return vec![refusing(service, names, closure)];
    }
    let mut routes = Vec::new();
    for entry in in_order(service, server) {
        let to = |destinations: &mut Destinations<'_>| match entry.closed {
            Some(_) => Vec::new(),
            None => resolve(service, entry, seat, destinations),
        };
        let route = |names: Vec<HostPattern>, networks, to| {
            Arc::new(StreamRoute {
                info: Arc::clone(&entry.info),
                server_names: names,
                destination_networks: networks,
                destinations: to,
                guard: None,
                closed: entry.closed.clone(),
            })
        };
        if entry.matches.is_empty() {
            let to = to(destinations);
            routes.push(route(names.clone(), Vec::new(), to));
            continue;
        }
        let seen: Vec<_> = entry
            .matches
            .iter()
            .filter(|one| is_seen(one, seat))
            .collect();
        if seen.is_empty() {
            continue;
        }
        let to = to(destinations);
        for one in seen {
            let names = match entry.kind {
                StreamKind::Tcp => names.clone(),
                // A match that cannot be read takes all the names that it may.
                StreamKind::Tls if one.server_names.is_empty() => names.clone(),
                StreamKind::Tls => both(&common, &one.server_names),
            };
            if by_name && names.is_empty() {
                continue;
            }
            routes.push(route(names, one.destination_networks.clone(), to.clone()));
        }
    }
    routes
}

/// TLS that is passed on is routed by `tls`, bytes by `tcp`; what was inside TLS by either.
fn in_order<'a>(service: &'a VirtualService, server: &Server) -> Vec<&'a StreamEntry> {
    let of = |kind| {
        service
            .streams
            .iter()
            .filter(move |entry| entry.kind == kind)
    };
    match &server.speaks {
        Speaks::Tls(tls) if tls.inside == Inside::Untouched => of(StreamKind::Tls).collect(),
        Speaks::Tls(_) => of(StreamKind::Tcp).chain(of(StreamKind::Tls)).collect(),
        Speaks::Stream | Speaks::Http { .. } => of(StreamKind::Tcp).collect(),
    }
}

fn refusing(
    service: &VirtualService,
    names: Vec<HostPattern>,
    closure: &Arc<Closure>,
) -> Arc<StreamRoute> {
    let info = RouteInfo {
        object: service.object.reference.clone(),
        place: service.object.place.clone(),
        name: "unread".into(),
    };
    Arc::new(StreamRoute {
        info: Arc::new(info),
        server_names: names,
        destination_networks: Vec::new(),
        destinations: Vec::new(),
        guard: None,
        closed: Some(Arc::clone(closure)),
    })
}

/// The names that both lists have.
fn both(common: &[HostPattern], wanted: &[HostPattern]) -> Vec<HostPattern> {
    let mut names = Vec::new();
    for one in wanted {
        for other in common {
            if let Some(name) = one.intersection(other)
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
    }
    names
}

fn is_seen(one: &StreamMatch, seat: &Seat<'_>) -> bool {
    if one.port.is_some_and(|port| port != seat.port) {
        return false;
    }
    if !one.gateways.is_empty() {
        return one.gateways.contains(seat.gateway);
    }
    let namespace = one.source_namespace.as_ref();
    is_subset(&one.source_labels, &seat.identity.labels)
        && namespace.is_none_or(|namespace| *namespace == seat.identity.namespace)
}

fn resolve(
    service: &VirtualService,
    entry: &StreamEntry,
    seat: &Seat<'_>,
    destinations: &mut Destinations<'_>,
) -> Vec<StreamDestination> {
    let resolved = entry.destinations.iter().map(|one| StreamDestination {
        weight: one.weight,
        destination: destinations.resolve(&service.object, one, seat.port),
    });
    resolved.collect()
}
