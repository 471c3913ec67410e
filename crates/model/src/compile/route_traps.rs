//! Routes that are served as written and probably not as meant.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::delegates::text_contains;
use super::routes::is_catch_all;
use crate::finding::{Finding, Severity, codes};
use crate::manifest::http_route::EntryAction;
use crate::manifest::virtual_service::VirtualService;
use crate::names::{HostPattern, Place};
use crate::snapshot::{Listener, PathRewrite, Route, RouteAction, RouteMatch, TextMatch, UriMatch};

/// Rewrites that make two slashes of one.
pub(super) fn rewrites(services: &[VirtualService], findings: &mut Vec<Finding>) {
    for entry in services.iter().flat_map(|service| &service.http) {
        let EntryAction::Forward(forward) = &entry.action else {
            continue;
        };
        let path = forward.rewrite.as_ref().and_then(|one| one.path.as_ref());
        let Some(PathRewrite::Matched(with)) = path.filter(|_| !entry.matches.is_empty()) else {
            continue;
        };
        for one in &entry.matches {
            let Some(prefix) = one.conditions.uri.as_ref().and_then(prefix) else {
                continue;
            };
            if prefix.ends_with('/') || prefix.is_empty() || !with.ends_with('/') {
                continue;
            }
            findings.push(entry.scope.finding(
                codes::DOUBLE_SLASH,
                Severity::Warning,
                entry.info.place.line,
                "spec.http.rewrite.uri",
                format!(
                    "the prefix `{prefix}` becomes `{with}`, so `{prefix}/x` becomes `{with}/x`"
                ),
                format!("match `{prefix}/`, and `{prefix}` by `exact` beside it"),
            ));
        }
    }
}

/// Routes of the virtual hosts that no request reaches, or that miss some.
pub(super) fn virtual_hosts(listeners: &BTreeMap<u16, Listener>, findings: &mut Vec<Finding>) {
    let mut said: HashSet<(Place, &str)> = HashSet::new();
    for listener in listeners.values() {
        let hosts: Vec<(HostPattern, &Arc<[Arc<Route>]>)> = listener.virtual_hosts.iter().collect();
        let everywhere = hosts.iter().find(|(host, _)| *host == HostPattern::Any);
        for (host, routes) in &hosts {
            for (index, route) in routes.iter().enumerate() {
                let place = &route.info.place;
                if let Some(earlier) = hiding(&routes[..index], route)
                    && said.insert((place.clone(), "hidden"))
                {
                    findings.push(hidden(route, earlier));
                }
                if let Some(bare) = missed(routes, route)
                    && said.insert((place.clone(), "bare"))
                {
                    findings.push(bare_path(route, bare));
                }
            }
            let hides = everywhere.is_some_and(|(any, shared)| {
                any != host && shared.iter().any(|route| takes_everything(route))
            });
            let open = !routes.iter().any(|route| takes_everything(route));
            if let Some(first) = routes.first().filter(|_| hides && open)
                && said.insert((first.info.place.clone(), "host"))
            {
                findings.push(hidden_host(first, host));
            }
        }
    }
}

fn prefix(uri: &UriMatch) -> Option<&str> {
    match &uri.text {
        TextMatch::Prefix(prefix) if !uri.whole_segments => Some(prefix),
        _ => None,
    }
}

fn takes_everything(route: &Route) -> bool {
    let any = |one: &RouteMatch| {
        let mut rest = one.clone();
        if let Some(UriMatch {
            text: TextMatch::Regex(regex),
            ..
        }) = &one.uri
            && matches!(regex.source(), "/.*" | "^/.*" | "^/.*$")
        {
            rest.uri = None;
        }
        is_catch_all(&rest)
    };
    route.matches.is_empty() || route.matches.iter().any(any)
}

/// The earlier route that takes every request of this one.
fn hiding<'r>(earlier: &'r [Arc<Route>], route: &Route) -> Option<&'r Arc<Route>> {
    // What closes a door says so itself.
    let closed = |route: &Route| matches!(route.action, RouteAction::Closed(_));
    if closed(route) {
        return None;
    }
    let open = |other: &&Arc<Route>| !closed(other);
    earlier.iter().filter(open).find(|other| {
        other.matches.is_empty()
            || !route.matches.is_empty()
                && route
                    .matches
                    .iter()
                    .all(|one| other.matches.iter().any(|over| covers(over, one)))
    })
}

/// Whether every request that `one` takes is one that `over` takes, as far as it can be told.
fn covers(over: &RouteMatch, one: &RouteMatch) -> bool {
    let RouteMatch {
        uri,
        scheme,
        method,
        authority,
        headers,
        pseudo,
        query,
        claims,
        port,
    } = over;
    let text = |over: &Option<TextMatch>, one: &Option<TextMatch>| match (over, one) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(over), Some(one)) => over == one || text_contains(over, one),
    };
    let path = match (uri, &one.uri) {
        (None, _) => true,
        (Some(over), None) => matches!(&over.text, TextMatch::Prefix(all) if &**all == "/"),
        (Some(over), Some(one)) => {
            over == one
                || over.whole_segments == one.whole_segments
                    && (over.ignore_case || !one.ignore_case)
                    && !over.whole_segments
                    && text_contains(&over.text, &one.text)
        }
    };
    path && text(scheme, &one.scheme)
        && text(method, &one.method)
        && text(authority, &one.authority)
        && headers.iter().all(|test| one.headers.contains(test))
        && pseudo.iter().all(|test| one.pseudo.contains(test))
        && query.iter().all(|test| one.query.contains(test))
        && claims.iter().all(|test| one.claims.contains(test))
        && (port.is_none() || *port == one.port)
}

fn hidden(route: &Route, by: &Route) -> Finding {
    let by = &by.info;
    Finding {
        code: codes::HIDDEN_ROUTE,
        severity: Severity::Warning,
        place: Some(route.info.place.clone()),
        object: Some(route.info.object.clone()),
        field: "spec.http".to_owned(),
        fault: format!(
            "`{}` is never reached: `{}` of `{}` takes all of its requests before",
            route.info.name, by.name, by.object
        ),
        remedy: "VirtualServices are tried by age, then by name: move it into that one, in front, or remove it"
            .to_owned(),
    }
}

/// The path without its slash, when a prefix with one is all that leads there.
fn missed<'r>(routes: &[Arc<Route>], route: &'r Route) -> Option<&'r str> {
    let prefixes = route
        .matches
        .iter()
        .filter_map(|one| prefix(one.uri.as_ref()?));
    let mut bare = prefixes.filter_map(|prefix| prefix.strip_suffix('/'));
    bare.find(|bare| !bare.is_empty() && !routes.iter().any(|other| takes_path(other, bare)))
}

fn takes_path(route: &Route, path: &str) -> bool {
    let takes = |one: &RouteMatch| match &one.uri {
        None => true,
        Some(uri) => match &uri.text {
            TextMatch::Exact(exact) => **exact == *path,
            TextMatch::Prefix(prefix) => {
                path.starts_with(&**prefix)
                    || uri.whole_segments && prefix.trim_end_matches('/') == path
            }
            TextMatch::Regex(regex) => regex.is_match(path),
        },
    };
    route.matches.is_empty() || route.matches.iter().any(takes)
}

fn bare_path(route: &Route, bare: &str) -> Finding {
    Finding {
        code: codes::BARE_PATH,
        severity: Severity::Note,
        place: Some(route.info.place.clone()),
        object: Some(route.info.object.clone()),
        field: "spec.http.match.uri".to_owned(),
        fault: format!("the prefix `{bare}/` does not take `{bare}`, and no other route does"),
        remedy: format!("add a match `exact: {bare}`, or a redirect to `{bare}/`"),
    }
}

fn hidden_host(first: &Route, host: &HostPattern) -> Finding {
    Finding {
        code: codes::HIDDEN_HOST,
        severity: Severity::Error,
        place: Some(first.info.place.clone()),
        object: Some(first.info.object.clone()),
        field: "spec.hosts".to_owned(),
        fault: format!(
            "`{host}` has routes of its own, so those for the host `*` do not serve there, and what no route of its own takes is answered 404"
        ),
        remedy: format!(
            "add `{host}` to the `hosts` of the VirtualServices for `*`, or a route for everything"
        ),
    }
}
