//! Rules of a route as routes of the snapshot.

use std::sync::Arc;

use super::backends::Backends;
use super::listeners::{Denial, Verdict};
use super::rank::Rank;
use crate::finding::{Finding, Severity, codes};
use crate::manifest::gateway_api::gateway::Gateway;
use crate::manifest::gateway_api::http_route::{HttpRoute, RouteKind, Rule, RuleAct, RuleWork};
use crate::names::Duration;
use crate::snapshot::{
    Closure, Forward, Mirror, Retries, Route, RouteAction, StreamDestination, StreamRoute, Weighted,
};

/// The rules of a route.
pub(super) struct Built {
    /// One for each match.
    pub(super) routes: Vec<(Rank, Arc<Route>)>,
    /// One for each rule of a `TLSRoute`, which has no `routes`; their names are those of a listener.
    pub(super) streams: Vec<(Rank, StreamRoute)>,
    /// Whether everything that the rules name is there and may be named.
    pub(super) resolved: Verdict,
    /// Set when no rule can be served as written.
    pub(super) refused: Option<Denial>,
    /// Set when some cannot.
    pub(super) partly: Option<Denial>,
}

/// Builds the rules of a route that hangs on these Gateways.
pub(super) fn build(
    route: &HttpRoute,
    gateways: &[&Gateway],
    backends: &mut Backends<'_, '_, '_>,
) -> Built {
    let mut built = Built {
        routes: Vec::new(),
        streams: Vec::new(),
        resolved: Ok(()),
        refused: None,
        partly: None,
    };
    if route.kind == RouteKind::Tls {
        streams(route, gateways, backends, &mut built);
        return built;
    }
    let mut refused = 0;
    for (number, rule) in route.rules.iter().enumerate() {
        let action = match &rule.work {
            RuleWork::Closed(closure) => {
                refused += 1;
                let denial = Denial::new("UnsupportedValue", &*closure.fault);
                built.partly.get_or_insert(denial);
                RouteAction::Closed(Arc::clone(closure))
            }
            RuleWork::Act(act) => {
                let mut resolved = Ok(());
                let action = action(route, rule, act, gateways, backends, &mut resolved);
                if built.resolved.is_ok() {
                    built.resolved = resolved;
                }
                action
            }
        };
        let cors = match &rule.work {
            RuleWork::Act(act) => act.filters.cors.clone(),
            RuleWork::Closed(_) => None,
        };
        for (index, one) in rule.matches.iter().enumerate() {
            let head = &route.head;
            let rank = Rank::of(one, &head.object, head.created.as_ref(), (number, index));
            let made = Route {
                info: Arc::clone(&rule.info),
                matches: vec![one.clone()],
                cors: cors.clone(),
                guard: None,
                action: action.clone(),
            };
            built.routes.push((rank, Arc::new(made)));
        }
    }
    if refused == route.rules.len() {
        built.refused = built.partly.take();
    }
    built
}

/// The rules of a `TLSRoute`.
fn streams(
    route: &HttpRoute,
    gateways: &[&Gateway],
    backends: &mut Backends<'_, '_, '_>,
    built: &mut Built,
) {
    for (number, rule) in route.rules.iter().enumerate() {
        let mut stream = StreamRoute {
            info: Arc::clone(&rule.info),
            server_names: Vec::new(),
            destination_networks: Vec::new(),
            destinations: Vec::new(),
            guard: None,
            closed: None,
        };
        match &rule.work {
            RuleWork::Closed(closure) => {
                built.refused = Some(Denial::new("UnsupportedValue", &*closure.fault));
                stream.closed = Some(Arc::clone(closure));
            }
            RuleWork::Act(act) => {
                for backend in &act.backends {
                    let resolved = &mut built.resolved;
                    let destination = backends.destination(route, backend, gateways, resolved);
                    stream.destinations.push(StreamDestination {
                        weight: backend.weight,
                        destination,
                    });
                }
                if stream.destinations.iter().all(|one| one.weight == 0) {
                    stream.destinations.clear();
                    stream.closed = Some(without_backends(route, rule, backends));
                }
            }
        }
        let head = &route.head;
        for (index, one) in rule.matches.iter().enumerate() {
            let rank = Rank::of(one, &head.object, head.created.as_ref(), (number, index));
            built.streams.push((rank, stream.clone()));
        }
    }
}

fn action(
    route: &HttpRoute,
    rule: &Rule,
    act: &RuleAct,
    gateways: &[&Gateway],
    backends: &mut Backends<'_, '_, '_>,
    resolved: &mut Verdict,
) -> RouteAction {
    if let Some(redirect) = &act.filters.redirect {
        return RouteAction::Redirect(redirect.clone());
    }
    let mut destinations = Vec::new();
    for backend in &act.backends {
        let destination = backends.destination(route, backend, gateways, resolved);
        let filters = &backend.filters;
        destinations.push(Weighted {
            weight: backend.weight,
            destination: match &filters.redirect {
                Some(redirect) => backends.redirecting(&destination, redirect),
                None => destination,
            },
            request_headers: filters.request.clone(),
            response_headers: filters.response.clone(),
            rewrite: filters.rewrite.clone(),
        });
    }
    if destinations.iter().all(|one| one.weight == 0) {
        return nowhere(route, rule, backends);
    }
    let mut mirrors = Vec::new();
    let own = act.backends.iter().flat_map(|one| &one.filters.mirrors);
    for mirror in act.filters.mirrors.iter().chain(own) {
        // One that leads nowhere is left out; the request itself is served.
        if let Some(destination) = backends.mirror(route, &mirror.backend, gateways, resolved) {
            mirrors.push(Mirror {
                destination,
                share: mirror.share,
            });
        }
    }
    let (timeout, retries) = patience(act, backends.usual_retries());
    RouteAction::Forward(Forward {
        destinations,
        rewrite: act.filters.rewrite.clone(),
        request_headers: act.filters.request.clone(),
        response_headers: act.filters.response.clone(),
        timeout,
        retries,
        mirrors,
        fault: None,
    })
}

/// How long a request may take, and how often it is sent. Where nothing asks for retries, those of
/// the mesh repeat nothing that is slow, so the time of an attempt is the time of the request.
fn patience(
    act: &RuleAct,
    usual: Option<Arc<Retries>>,
) -> (Option<Duration>, Option<Arc<Retries>>) {
    let span = |span: Option<Duration>| span.filter(|span| !span.is_zero());
    let (whole, attempt) = (span(act.timeout), span(act.attempt_timeout));
    match &act.retry {
        Some(retry) => {
            let retries = Retries {
                attempt_timeout: attempt,
                ..retry.clone()
            };
            (whole, Some(Arc::new(retries)))
        }
        None => {
            let timeout = match (whole, attempt) {
                (Some(whole), Some(attempt)) => Some(whole.min(attempt)),
                (one, other) => one.or(other),
            };
            (timeout, usual)
        }
    }
}

/// A rule that leads nowhere.
fn nowhere(route: &HttpRoute, rule: &Rule, backends: &mut Backends<'_, '_, '_>) -> RouteAction {
    RouteAction::Closed(without_backends(route, rule, backends))
}

fn without_backends(
    route: &HttpRoute,
    rule: &Rule,
    backends: &mut Backends<'_, '_, '_>,
) -> Arc<Closure> {
    let finding: Finding = route.head.object.finding(
        codes::RULE_WITHOUT_BACKENDS,
        Severity::Warning,
        rule.info.place.line,
        rule.path.clone(),
        format!("`{}` leads to no backend, so it answers 500", rule.path),
        "add `backendRefs` with a weight, or a `RequestRedirect`",
    );
    let closure = Arc::new(Closure::of(&finding));
    backends.findings.push(finding);
    closure
}
