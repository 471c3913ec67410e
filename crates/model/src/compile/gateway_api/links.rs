//! Routes on listeners.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::GatewayApi;
use super::backends::Backends;
use super::listeners::{Denial, Seat, Verdict};
use super::rules::{self, Built};
use crate::finding::{Finding, Severity, codes};
use crate::manifest::gateway_api::GROUP;
use crate::manifest::gateway_api::gateway::Gateway;
use crate::manifest::gateway_api::http_route::HttpRoute;
use crate::manifest::gateway_api::listener::From;
use crate::manifest::gateway_api::parent::Parent;
use crate::names::HostPattern;
use crate::world::World;

/// A route, and what it hangs on.
pub(super) struct Link<'a> {
    pub(super) route: &'a HttpRoute,
    pub(super) built: Built,
    /// Its parents that are ours.
    pub(super) parents: Vec<Bound<'a>>,
    /// Parents that are not there.
    pub(super) lost: Vec<&'a Parent>,
}

/// A route at one of its parents.
pub(super) struct Bound<'a> {
    pub(super) parent: &'a Parent,
    pub(super) gateway: &'a Gateway,
    pub(super) accepted: Verdict,
    /// Listeners by number, and the hosts that both have.
    pub(super) seats: Vec<(usize, Vec<HostPattern>)>,
}

/// Attaches every route.
pub(super) fn attach<'a>(
    api: &'a GatewayApi,
    world: &World,
    seats: &mut [Seat<'_>],
    backends: &mut Backends<'_, '_, '_>,
) -> Vec<Link<'a>> {
    let mut links = Vec::new();
    for route in &api.routes {
        let mut parents = Vec::new();
        let mut lost = Vec::new();
        for parent in &route.head.parents {
            if &*parent.group != GROUP || &*parent.kind != "Gateway" {
                // Sidecars, and kinds of other controllers.
                continue;
            }
            let named = |gateway: &&Gateway| {
                let object = &gateway.object;
                *object.namespace() == parent.namespace && *object.name() == parent.name
            };
            match api.gateways.iter().find(named) {
                Some(gateway) => parents.push(bind(route, parent, gateway, world, seats)),
                None => {
                    let known = api.elsewhere.iter();
                    let mut known = known.map(|(namespace, name)| (namespace, name));
                    if !known.any(|key| key == (&parent.namespace, &parent.name)) {
                        lost.push(parent);
                    }
                }
            }
        }
        let mut counted: Vec<usize> = parents
            .iter()
            .flat_map(|bound: &Bound<'_>| bound.seats.iter().map(|(seat, _)| *seat))
            .collect();
        counted.sort_unstable();
        counted.dedup();
        for seat in counted {
            seats[seat].attached += 1;
        }
        if parents.is_empty() && lost.is_empty() {
            continue;
        }
        let gateways: Vec<&Gateway> = parents.iter().map(|bound| bound.gateway).collect();
        let built = rules::build(route, &gateways, backends);
        if let Some(denial) = &built.refused {
            for bound in parents.iter_mut().filter(|bound| bound.accepted.is_ok()) {
                bound.accepted = Err(denial.clone());
            }
        }
        links.push(Link {
            route,
            built,
            parents,
            lost,
        });
    }
    links
}

/// The listeners of one parent that take the route; else which of the conditions none of them
/// meets, in the order in which they are asked.
fn bind<'a>(
    route: &HttpRoute,
    parent: &'a Parent,
    gateway: &'a Gateway,
    world: &World,
    seats: &[Seat<'_>],
) -> Bound<'a> {
    let kind = &route.head.object.reference.kind;
    let namespace = route.head.object.namespace();
    let reference = &gateway.object.reference;
    let mut denial = Denial::new(
        "NoMatchingParent",
        format!("`{reference}` has no listener of the name or port that is asked for"),
    );
    let mut taken = Vec::new();
    let own = seats.iter().enumerate();
    let named = own.filter(|(_, seat)| {
        let listener = seat.listener;
        std::ptr::eq(seat.gateway, gateway)
            && parent
                .section
                .as_ref()
                .is_none_or(|section| *section == listener.name)
            && parent.port.is_none_or(|port| port == listener.port)
    });
    for (number, seat) in named {
        let may = seat.kinds.contains(&&**kind) && lets_in(seat, namespace, world);
        if !may {
            if denial.reason == "NoMatchingParent" {
                denial = Denial::new(
                    "NotAllowedByListeners",
                    format!("no listener of `{reference}` lets a `{kind}` of `{namespace}` in"),
                );
            }
            continue;
        }
        let hosts = common(&seat.listener.hostname, &route.head.hostnames);
        if hosts.is_empty() {
            denial = Denial::new(
                "NoMatchingListenerHostname",
                format!("the route and the listeners of `{reference}` have no host in common"),
            );
        } else if seat.is_programmed() {
            taken.push((number, hosts));
        }
    }
    Bound {
        parent,
        gateway,
        accepted: if taken.is_empty() {
            Err(denial)
        } else {
            Ok(())
        },
        seats: taken,
    }
}

fn lets_in(seat: &Seat<'_>, namespace: &str, world: &World) -> bool {
    match &seat.listener.allowed.from {
        From::All => true,
        From::None => false,
        From::Same => **seat.gateway.object.namespace() == *namespace,
        From::Selector(selector) => selector.selects(&labels(world, namespace)),
    }
}

/// The labels of a namespace; the API server gives each its own name.
fn labels(world: &World, namespace: &str) -> BTreeMap<Arc<str>, Arc<str>> {
    let mut all = world.of_kind("Namespace").iter();
    let object = all.find(|object| **object.name() == *namespace && object.closed.is_none());
    let mut labels = object.map(|object| object.labels()).unwrap_or_default();
    labels
        .entry("kubernetes.io/metadata.name".into())
        .or_insert_with(|| namespace.into());
    labels
}

fn common(listener: &HostPattern, route: &[HostPattern]) -> Vec<HostPattern> {
    if route.is_empty() {
        return vec![listener.clone()];
    }
    let mut hosts: Vec<HostPattern> = Vec::new();
    for host in route.iter().filter_map(|host| host.intersection(listener)) {
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}

/// Findings about a route that hangs on nothing.
pub(super) fn tell(link: &Link<'_>, findings: &mut Vec<Finding>) {
    let object = &link.route.head.object;
    for parent in &link.lost {
        findings.push(object.finding(
            codes::ROUTE_PARENT,
            Severity::Error,
            parent.line,
            parent.path.clone(),
            format!(
                "the `Gateway` `{}/{}` does not exist",
                parent.namespace, parent.name
            ),
            "add it, or name another",
        ));
    }
    for bound in &link.parents {
        let Err(denial) = &bound.accepted else {
            continue;
        };
        let remedy = match denial.reason {
            "NoMatchingParent" => "name a listener that the Gateway has",
            "NotAllowedByListeners" => "let it in with `allowedRoutes` of a listener",
            "NoMatchingListenerHostname" => "make `hostnames` and the listener's `hostname` agree",
            // The rules have findings of their own.
            _ => continue,
        };
        findings.push(object.finding(
            codes::ROUTE_NOT_ATTACHED,
            Severity::Error,
            bound.parent.line,
            bound.parent.path.clone(),
            denial.message.clone(),
            remedy,
        ));
    }
}
