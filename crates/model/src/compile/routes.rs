//! The routes of one `VirtualService` as one gateway sees them.

use std::sync::Arc;

use super::destinations::Destinations;
use crate::manifest::http_retries::RetrySetting;
use crate::manifest::http_route::{EntryAction, EntryDestination, EntryForward};
use crate::manifest::service::is_subset;
use crate::manifest::virtual_service::{EntryMatch, HttpEntry, VirtualService};
use crate::objects::Object;
use crate::snapshot::{
    Closure, Destination, Forward, Identity, Mirror, PlayedBy, Rewrite, Route, RouteAction,
    RouteMatch, TextMatch, Weighted,
};
use crate::world::Key;

/// A route and where it stands among those of other VirtualServices.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) route: Arc<Route>,
    pub(super) rank: Rank,
}

/// Groups of routes that are tried one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// In the order of the VirtualServices.
    InPlace,
    /// Takes every request, so it stands behind all that do not.
    CatchAll,
    /// Takes every request and serves none: one that cannot be read must not close what another
    /// VirtualService serves on the same host.
    Closed,
}

impl Rank {
    fn of_catch_all(action: &RouteAction) -> Self {
        match action {
            RouteAction::Closed(_) => Self::Closed,
            _ => Self::CatchAll,
        }
    }
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
    let mut closed = service.object.closed.clone();
    for entry in &service.http {
        let Some(matches) = seen_from(entry, seat) else {
            continue;
        };
        let action = match &closed {
            Some(closure) => RouteAction::Closed(Arc::clone(closure)),
            None => action(entry, seat, destinations),
        };
        match push(entry, matches, action, &mut routes) {
            After::Rest => {}
            After::Closed(closure) => closed = Some(closure),
            After::Nothing => break,
        }
    }
    routes
}

/// What comes of the entries behind one.
enum After {
    /// They stand as they are.
    Rest,
    /// They are closed: what hides them cannot be told.
    Closed(Arc<Closure>),
    /// They could never be reached.
    Nothing,
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

/// Adds the routes of one entry. Istio has one route for each match, so a catch-all among the
/// matches moves to the end without the others.
fn push(
    entry: &HttpEntry,
    matches: Vec<&EntryMatch>,
    mut action: RouteAction,
    routes: &mut Vec<Placed>,
) -> After {
    let route = |matches: Vec<RouteMatch>, action: RouteAction, rank| Placed {
        route: Arc::new(Route {
            info: Arc::clone(&entry.info),
            matches,
            cors: entry.cors.clone(),
            guard: None,
            action,
        }),
        rank,
    };
    if entry.matches.is_empty() {
        let rank = Rank::of_catch_all(&action);
        routes.push(route(Vec::new(), action, rank));
        return After::Nothing;
    }
    let mut after = After::Rest;
    let mut plain = Vec::new();
    for one in matches {
        let conditions = one.conditions.clone();
        if one.closed.is_none() && !is_catch_all(&conditions) {
            plain.push(conditions);
            continue;
        }
        if !plain.is_empty() {
            let before = std::mem::take(&mut plain);
            routes.push(route(before, action.clone(), Rank::InPlace));
        }
        match &one.closed {
            None => {
                let rank = Rank::of_catch_all(&action);
                routes.push(route(vec![conditions], action, rank));
                return After::Nothing;
            }
            Some(closure) => {
                let closed = RouteAction::Closed(Arc::clone(closure));
                if takes_any_path(&conditions) {
                    // It matches more than was meant. In its place it would hide the routes of
                    // others too, so it closes what follows in its own VirtualService instead.
                    action = closed.clone();
                    after = After::Closed(Arc::clone(closure));
                    routes.push(route(vec![conditions], closed, Rank::Closed));
                } else {
                    routes.push(route(vec![conditions], closed, Rank::InPlace));
                }
            }
        }
    }
    if !plain.is_empty() {
        routes.push(route(plain, action, Rank::InPlace));
    }
    after
}

/// Takes any path, and there is no other condition.
pub(super) fn is_catch_all(one: &RouteMatch) -> bool {
    let RouteMatch {
        uri,
        scheme,
        method,
        authority,
        headers,
        pseudo,
        query,
        claims,
        port: _,
    } = one;
    // An empty prefix takes any path too, but Istio leaves it where it stands.
    let is_moved =
        !matches!(uri, Some(uri) if matches!(&uri.text, TextMatch::Prefix(it) if it.is_empty()));
    is_moved
        && takes_any_path(one)
        && scheme.is_none()
        && method.is_none()
        && authority.is_none()
        && headers.is_empty()
        && pseudo.is_empty()
        && query.is_empty()
        && claims.is_empty()
}

/// `prefix: /`, `regex: .*` or no path.
fn takes_any_path(one: &RouteMatch) -> bool {
    match &one.uri {
        None => true,
        Some(uri) => match &uri.text {
            TextMatch::Prefix(prefix) => &**prefix == "/" || prefix.is_empty(),
            TextMatch::Regex(regex) => regex.source() == ".*",
            TextMatch::Exact(_) => false,
        },
    }
}

fn action(entry: &HttpEntry, seat: &Seat<'_>, destinations: &mut Destinations<'_>) -> RouteAction {
    match &entry.action {
        EntryAction::Closed(closure) => RouteAction::Closed(Arc::clone(closure)),
        EntryAction::Redirect(redirect) => RouteAction::Redirect(redirect.clone()),
        EntryAction::Respond(respond) => RouteAction::Respond(respond.clone()),
        EntryAction::Forward(forward) => {
            RouteAction::Forward(self::forward(&entry.scope, forward, seat, destinations))
        }
        // Delegates are put in their place before; one that is still here leads nowhere.
        EntryAction::Delegate(delegate) => {
            RouteAction::Closed(destinations.undelegated(&entry.scope, delegate))
        }
    }
}

fn forward(
    scope: &Object,
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
        retries,
        mirrors,
        fault,
    } = forward;
    let resolved = named.iter().map(|entry| {
        let destination = destinations.resolve(scope, entry, seat.port);
        weighted(entry, rewrite.as_ref(), destination)
    });
    let destinations_by_weight = resolved.collect();
    let copies = mirrors.iter().map(|mirror| Mirror {
        destination: destinations.resolve(scope, &mirror.destination, seat.port),
        share: mirror.share,
    });
    // Nobody gets what would be sent to nobody.
    let copies =
        copies.filter(|mirror| !matches!(mirror.destination.played_by, PlayedBy::Nobody(_)));
    let mirrors = copies.collect();
    Forward {
        destinations: destinations_by_weight,
        rewrite: rewrite.clone(),
        request_headers: request_headers.clone(),
        response_headers: response_headers.clone(),
        timeout: *timeout,
        retries: match retries {
            RetrySetting::Default => destinations.retries.clone(),
            RetrySetting::Off => None,
            RetrySetting::Given(retries) => Some(Arc::clone(retries)),
        },
        mirrors,
        fault: fault.clone(),
    }
}

/// A destination with its own header edits. A host that they set gives way to one of the route.
fn weighted(
    entry: &EntryDestination,
    of_route: Option<&Rewrite>,
    destination: Arc<Destination>,
) -> Weighted {
    let rewrite = entry.edits.authority.as_ref().map(|authority| Rewrite {
        path: of_route.and_then(|rewrite| rewrite.path.clone()),
        authority: Some(Arc::clone(authority)),
    });
    Weighted {
        request_headers: entry.edits.request.clone(),
        response_headers: entry.edits.response.clone(),
        rewrite,
        ..Weighted::plain(entry.weight, destination)
    }
}
