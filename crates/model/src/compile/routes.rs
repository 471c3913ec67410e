//! The routes of one `VirtualService` as one gateway sees them.

use std::sync::Arc;

use super::destinations::Destinations;
use crate::manifest::http_route::{EntryAction, EntryForward};
use crate::manifest::service::is_subset;
use crate::manifest::virtual_service::{EntryMatch, HttpEntry, VirtualService};
use crate::snapshot::{
    Closure, Forward, Identity, Route, RouteAction, RouteMatch, TextMatch, UriMatch, Weighted,
};
use crate::world::Key;

/// A route and whether it takes every request, so that it moves behind all others.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) route: Arc<Route>,
    pub(super) catch_all: bool,
}

/// What the routes are made for.
pub(super) struct Seat<'a> {
    pub(super) gateway: &'a Key,
    pub(super) port: u16,
    pub(super) identity: &'a Identity,
}

/// The routes of `service` on one gateway port, in their order. Nothing stands behind a
/// catch-all: it could never be reached.
pub(super) fn build(
    service: &VirtualService,
    seat: &Seat<'_>,
    destinations: &mut Destinations<'_>,
) -> Vec<Placed> {
    let mut routes = Vec::new();
    for entry in &service.http {
        let Some(matches) = seen_from(entry, seat) else {
            continue;
        };
        let action = match &service.object.closed {
            Some(closure) => RouteAction::Closed(Arc::clone(closure)),
            None => action(service, entry, seat, destinations),
        };
        let ends = push(entry, matches, &action, &mut routes);
        if ends {
            break;
        }
    }
    routes
}

/// The matches that can be met at this gateway; `None` when there are some and none can.
fn seen_from<'a>(entry: &'a HttpEntry, seat: &Seat<'_>) -> Option<Vec<&'a EntryMatch>> {
    let seen: Vec<_> = entry
        .matches
        .iter()
        .filter(|one| is_seen(one, seat))
        .collect();
    (entry.matches.is_empty() || !seen.is_empty()).then_some(seen)
}

fn is_seen(entry: &EntryMatch, seat: &Seat<'_>) -> bool {
    if entry.conditions.port.is_some_and(|port| port != seat.port) {
        return false;
    }
    if !entry.gateways.is_empty() {
        // The source is not looked at where gateways are named.
        return entry.gateways.contains(seat.gateway);
    }
    let namespace = entry.source_namespace.as_ref();
    is_subset(&entry.source_labels, &seat.identity.labels)
        && namespace.is_none_or(|namespace| *namespace == seat.identity.namespace)
}

/// Adds the routes of one entry; whether it takes every request. Istio has one route for each
/// match, so a catch-all among the matches moves to the end without the others.
fn push(
    entry: &HttpEntry,
    matches: Vec<&EntryMatch>,
    action: &RouteAction,
    routes: &mut Vec<Placed>,
) -> bool {
    let route = |matches: Vec<RouteMatch>, action: RouteAction, catch_all| Placed {
        route: Arc::new(Route {
            info: Arc::clone(&entry.info),
            matches,
            action,
        }),
        catch_all,
    };
    if entry.matches.is_empty() {
        routes.push(route(Vec::new(), action.clone(), true));
        return true;
    }
    let mut plain = Vec::new();
    for one in matches {
        let closed: Option<&Arc<Closure>> = one.closed.as_ref();
        if closed.is_none() && !is_catch_all(&one.conditions) {
            plain.push(one.conditions.clone());
            continue;
        }
        if !plain.is_empty() {
            routes.push(route(std::mem::take(&mut plain), action.clone(), false));
        }
        match closed {
            // It matches more than was meant, so it stays where it is and hides what follows.
            Some(closure) => {
                let action = RouteAction::Closed(Arc::clone(closure));
                routes.push(route(vec![one.conditions.clone()], action, false));
            }
            None => {
                routes.push(route(vec![one.conditions.clone()], action.clone(), true));
                return true;
            }
        }
    }
    if !plain.is_empty() {
        routes.push(route(plain, action.clone(), false));
    }
    false
}

/// `prefix: /`, `regex: .*` or no path, and no other condition.
pub(super) fn is_catch_all(one: &RouteMatch) -> bool {
    let RouteMatch {
        uri,
        scheme,
        method,
        authority,
        headers,
        query,
        port: _,
    } = one;
    let any_path = match uri {
        None => true,
        Some(UriMatch {
            text: TextMatch::Prefix(prefix),
            ..
        }) => &**prefix == "/" || prefix.is_empty(),
        Some(UriMatch {
            text: TextMatch::Regex(regex),
            ..
        }) => regex.source() == ".*",
        Some(UriMatch {
            text: TextMatch::Exact(_),
            ..
        }) => false,
    };
    any_path
        && scheme.is_none()
        && method.is_none()
        && authority.is_none()
        && headers.is_empty()
        && query.is_empty()
}

fn action(
    service: &VirtualService,
    entry: &HttpEntry,
    seat: &Seat<'_>,
    destinations: &mut Destinations<'_>,
) -> RouteAction {
    match &entry.action {
        EntryAction::Closed(closure) => RouteAction::Closed(Arc::clone(closure)),
        EntryAction::Redirect(redirect) => RouteAction::Redirect(redirect.clone()),
        EntryAction::Respond(respond) => RouteAction::Respond(respond.clone()),
        EntryAction::Forward(forward) => {
            RouteAction::Forward(self::forward(service, forward, seat, destinations))
        }
    }
}

fn forward(
    service: &VirtualService,
    forward: &EntryForward,
    seat: &Seat<'_>,
    destinations: &mut Destinations<'_>,
) -> Forward {
    let EntryForward {
        destinations: named,
        rewrite,
        request_headers,
        response_headers,
        timeout,
    } = forward;
    let resolved = named.iter().map(|entry| Weighted {
        weight: entry.weight,
        destination: destinations.resolve(&service.object, entry, seat.port),
    });
    Forward {
        destinations: resolved.collect(),
        rewrite: rewrite.clone(),
        request_headers: request_headers.clone(),
        response_headers: response_headers.clone(),
        timeout: *timeout,
    }
}
