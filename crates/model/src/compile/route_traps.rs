//! Routes that are served as written and probably not as meant.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::check::is_made_of;
use super::delegates::text_contains;
use super::routes::is_catch_all;
use crate::finding::{Finding, Severity, codes};
use crate::manifest::http_route::EntryAction;
use crate::manifest::virtual_service::VirtualService;
use crate::names::{HostPattern, Place};
use crate::snapshot::{
    Listener, PathRewrite, Route, RouteAction, RouteInfo, RouteMatch, RouteTable, TextMatch,
    UriMatch,
};

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
    for tables in listeners.values().flat_map(Listener::virtual_hosts) {
        let hosts: Vec<(HostPattern, &Arc<RouteTable>)> = tables.iter().collect();
        let everywhere = hosts.iter().find(|(host, _)| *host == HostPattern::Any);
        for (host, routes) in &hosts {
            let hidden = hidden_routes(routes);
            let paths = Paths::of(routes);
            for (index, route) in routes.iter().enumerate() {
                let place = &route.info.place;
                if let Some(earlier) = hidden.get(&index)
                    && said.insert((place.clone(), "hidden"))
                {
                    findings.push(hidden_route(route, earlier));
                }
                if let Some(bare) = paths.missed(route)
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
                && !is_made_of(&first.info.object.kind)
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

type Match<'r> = (&'r Arc<Route>, &'r RouteMatch);

/// Matches by their path, so that thousands are not compared each with each.
#[derive(Default)]
struct Paths<'r> {
    exact: HashMap<&'r str, Vec<Match<'r>>>,
    prefix: HashMap<&'r str, Vec<Match<'r>>>,
    regex: HashMap<&'r str, Vec<Match<'r>>>,
    /// Without a condition on the path.
    any: Vec<Match<'r>>,
    /// Without any condition.
    everything: Option<&'r Arc<Route>>,
}

impl<'r> Paths<'r> {
    fn of(routes: &'r [Arc<Route>]) -> Self {
        let mut paths = Self::default();
        routes.iter().for_each(|route| paths.add(route));
        paths
    }

    fn add(&mut self, route: &'r Arc<Route>) {
        if route.matches.is_empty() {
            self.everything.get_or_insert(route);
        }
        for one in &route.matches {
            let list = match one.uri.as_ref().map(|uri| &uri.text) {
                None => &mut self.any,
                Some(TextMatch::Exact(text)) => self.exact.entry(&**text).or_default(),
                Some(TextMatch::Prefix(text)) => self.prefix.entry(&**text).or_default(),
                Some(TextMatch::Regex(regex)) => self.regex.entry(regex.source()).or_default(),
            };
            list.push((route, one));
        }
    }

    /// Those whose prefix `path` begins with.
    fn above(&self, path: &str) -> impl Iterator<Item = &Match<'r>> {
        let ends = (0..=path.len()).filter(|end| path.is_char_boundary(*end));
        let lists = ends.filter_map(|end| self.prefix.get(&path[..end]));
        lists.flatten()
    }

    /// A route with a match that takes every request of `one`.
    fn covering(&self, one: &RouteMatch) -> Option<&'r Arc<Route>> {
        let hit = |list: Option<&Vec<Match<'r>>>| {
            let mut list = list.into_iter().flatten();
            list.find(|(_, over)| covers(over, one)).copied()
        };
        let above = |text| {
            let mut above = self.above(text);
            above.find(|(_, over)| covers(over, one)).copied()
        };
        let by_path = match one.uri.as_ref().map(|uri| &uri.text) {
            None => hit(self.prefix.get("/")),
            Some(TextMatch::Exact(text)) => above(text).or_else(|| hit(self.exact.get(&**text))),
            Some(TextMatch::Prefix(text)) => above(text),
            Some(TextMatch::Regex(regex)) => hit(self.regex.get(regex.source())),
        };
        let covering = by_path.or_else(|| hit(Some(&self.any)));
        covering.map(|(route, _)| route).or(self.everything)
    }

    /// The path without its slash, when a prefix with one is all that leads there.
    fn missed(&self, route: &'r Route) -> Option<&'r str> {
        let prefixes = route
            .matches
            .iter()
            .filter_map(|one| prefix(one.uri.as_ref()?));
        let mut bare = prefixes.filter_map(|prefix| prefix.strip_suffix('/'));
        bare.find(|bare| !bare.is_empty() && !self.takes(bare))
    }

    fn takes(&self, path: &str) -> bool {
        let with_slash = format!("{path}/");
        let by_segments = self.prefix.get(&*with_slash).into_iter().flatten();
        self.everything.is_some()
            || !self.any.is_empty()
            || self.exact.contains_key(path)
            || self.above(path).next().is_some()
            || by_segments
                .filter_map(|(_, one)| one.uri.as_ref())
                .any(|uri| uri.whole_segments)
            || self
                .regex
                .values()
                .flatten()
                .filter_map(|(_, one)| one.uri.as_ref())
                .any(|uri| matches!(&uri.text, TextMatch::Regex(regex) if regex.is_match(path)))
    }
}

/// Routes whose every request an earlier one takes: by number, with the earlier one.
fn hidden_routes(routes: &[Arc<Route>]) -> HashMap<usize, &Arc<Route>> {
    let mut earlier = Paths::default();
    let mut hidden = HashMap::new();
    // An entry may stand in several pieces; it is hidden when all of them are.
    let mut open: HashSet<&RouteInfo> = HashSet::new();
    for (index, route) in routes.iter().enumerate() {
        // What closes a door says so itself.
        if matches!(route.action, RouteAction::Closed(_)) {
            continue;
        }
        let by = if route.matches.is_empty() {
            earlier.covering(&RouteMatch::default())
        } else {
            let mut all = route.matches.iter().map(|one| earlier.covering(one));
            all.try_fold(None, |first, by| Some(first.or(Some(by?))))
                .flatten()
        };
        match by {
            Some(by) => {
                hidden.insert(index, by);
            }
            None => {
                open.insert(&route.info);
            }
        }
        earlier.add(route);
    }
    hidden.retain(|index, _| !open.contains(&*routes[*index].info));
    hidden
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

fn hidden_route(route: &Route, by: &Route) -> Finding {
    let by = &by.info;
    // Which goes first, and so what helps, differs by kind.
    let (field, remedy) = match &*route.info.object.kind {
        "HTTPRoute" | "GRPCRoute" => (
            "spec.rules",
            "of rules that match alike the older object's goes first, wherever they are written: add a condition to this one, or remove it",
        ),
        "Ingress" => (
            "spec.rules",
            "of equal paths the older `Ingress` goes first, and `defaultBackend` comes last: give it a path or host of its own, or remove it",
        ),
        "VirtualService" => (
            "spec.http",
            "VirtualServices are tried by age, then by name: move it into that one, in front, or remove it",
        ),
        _ => (
            "",
            "nobody needs it as it is: remove it, or make the other route narrower",
        ),
    };
    Finding {
        code: codes::HIDDEN_ROUTE,
        severity: Severity::Warning,
        place: Some(route.info.place.clone()),
        object: Some(route.info.object.clone()),
        field: field.to_owned(),
        fault: format!(
            "`{}` is never reached: `{}` of `{}` takes all of its requests before",
            route.info.name, by.name, by.object
        ),
        remedy: remedy.to_owned(),
    }
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
