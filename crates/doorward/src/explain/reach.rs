//! What somebody can reach: every route of a tree, with what becomes of a request of theirs.

mod print;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Arc;

use http::{HeaderMap, Method};
use model::Snapshot;
use model::names::Timestamp;
use model::snapshot::{Route, RouteAction, RouteInfo};
use policy::Session;

use super::named::Named;
use super::places::{self, Place, What};
use super::verdict::{Passes, Verdict};
use super::{ExplainArgs, Fault, Format, session, who};

/// So many paths and methods that policies name are tried on one route.
const TRIED: usize = 64;

/// A part of a route of which one thing becomes.
struct Row {
    host: String,
    path: String,
    conditions: Vec<String>,
    /// Methods and paths that stand for it; empty for the route as a whole.
    only: Vec<(Method, String)>,
    namespace: Option<String>,
    service: Option<String>,
    route: Option<Arc<RouteInfo>>,
    answer: Answer,
}

/// What becomes of it.
enum Answer {
    /// This.
    Verdict(Verdict),
    /// Another route takes it, or none does.
    Elsewhere(Option<Arc<RouteInfo>>),
}

/// Everything that somebody can and cannot reach.
struct Reach {
    who: String,
    rows: Vec<Row>,
    notes: Vec<String>,
}

/// Tells it.
pub(super) fn run(
    args: &ExplainArgs,
    snapshot: &Snapshot,
    now: Timestamp,
    out: &mut dyn Write,
) -> Result<io::Result<()>, Fault> {
    let mut headers = HeaderMap::new();
    for (name, value) in &args.headers {
        headers.append(name, value.clone());
    }
    policy::request::FoldedNames::of(snapshot.identity_headers()).remove_from(&mut headers);
    let told = session::of(args, (&mut headers, "/"), snapshot, now)?;
    let asker = Asker {
        snapshot,
        session: told.session,
        headers,
        now,
    };
    let mut at_gateway = Named::default();
    at_gateway.add(snapshot.gateway_policies(), snapshot.user_header());
    let places = places::of(snapshot, args.host.as_deref());
    let reach = Reach {
        who: who(args),
        rows: places
            .into_iter()
            .flat_map(|place| asker.rows(place, &at_gateway))
            .collect(),
        notes: told.notes,
    };
    Ok(match args.format {
        Format::Text => print::text(&reach, out),
        Format::Json => writeln!(out, "{:#}", print::json(&reach)),
    })
}

struct Asker<'s> {
    snapshot: &'s Snapshot,
    session: Session,
    /// What every request of theirs has.
    headers: HeaderMap,
    now: Timestamp,
}

impl Asker<'_> {
    /// One row for the place; and one more for every other thing that becomes of a part of it,
    /// because a policy names a path or a method.
    fn rows(&self, mut place: Place<'_>, at_gateway: &Named) -> Vec<Row> {
        for (name, value) in &self.headers {
            place.probe.headers.append(name, value.clone());
        }
        let whole = self.answer(&place, &place.probe.method, &place.probe.path);
        let What::Route(route) = place.what else {
            return vec![row(&place, whole, Vec::new())];
        };
        let verdict = match &whole {
            Answer::Verdict(verdict) => verdict.clone(),
            Answer::Elsewhere(_) => return vec![row(&place, whole, Vec::new())],
        };
        let mut others: BTreeMap<Verdict, Vec<(Method, String)>> = BTreeMap::new();
        for (method, path) in variants(&place, &named(route, at_gateway, self.snapshot)) {
            match self.answer(&place, &method, &path) {
                Answer::Verdict(other) if other != verdict => {
                    others.entry(other).or_default().push((method, path));
                }
                Answer::Verdict(_) | Answer::Elsewhere(_) => {}
            }
        }
        let others = others
            .into_iter()
            .map(|(verdict, only)| row(&place, Answer::Verdict(verdict), only));
        let mut rows = vec![row(&place, whole, Vec::new())];
        rows.extend(others);
        rows
    }

    fn answer(&self, place: &Place<'_>, method: &Method, path: &str) -> Answer {
        let mut probe = place.probe.clone();
        probe.method.clone_from(method);
        path.clone_into(&mut probe.path);
        let result = probe.decide(self.snapshot, &self.session, self.now);
        let taken = result
            .as_ref()
            .ok()
            .and_then(|decision| decision.route.clone());
        match place.what {
            What::Route(route) if taken.as_ref() != Some(&route.info) => Answer::Elsewhere(taken),
            What::Route(_) | What::Closed | What::Upgrade => Answer::Verdict(Verdict::of(&result)),
        }
    }
}

/// What the policies in the way of a route name.
fn named(route: &Route, at_gateway: &Named, snapshot: &Snapshot) -> Named {
    let names = snapshot.user_header();
    let mut named = at_gateway.clone();
    if let Some(guard) = &route.guard {
        named.add(&guard.gateway, names);
        named.add(&guard.attached, names);
    }
    if let RouteAction::Forward(forward) = &route.action {
        for one in &forward.destinations {
            named.add(&one.destination.policies, names);
        }
    }
    named
}

/// The other methods and paths that are worth asking about. Policies of a destination name paths
/// as they are when the route has rewritten them, so both are tried.
fn variants(place: &Place<'_>, named: &Named) -> Vec<(Method, String)> {
    let own = (&place.probe.method, place.probe.path.as_str());
    let base = own.1.split('?').next().unwrap_or_default();
    let mut paths = BTreeSet::from([own.1.to_owned()]);
    for path in named.paths.iter().take(TRIED) {
        paths.insert(path.clone());
        let below = path.trim_start_matches('/');
        paths.insert(format!("{}/{below}", base.trim_end_matches('/')));
    }
    let named_methods = named.methods.iter().take(TRIED);
    let mut methods: Vec<Method> = named_methods
        .filter_map(|method| Method::from_bytes(method.as_bytes()).ok())
        .collect();
    methods.push(own.0.clone());
    methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    methods.dedup();
    let pairs = paths
        .iter()
        .flat_map(|path| methods.iter().map(move |method| (method, path)));
    pairs
        .filter(|(method, path)| (*method, path.as_str()) != own)
        .map(|(method, path)| (method.clone(), path.clone()))
        .collect()
}

fn row(place: &Place<'_>, answer: Answer, only: Vec<(Method, String)>) -> Row {
    let service = place.service();
    Row {
        host: place.host.clone(),
        path: place.path.clone(),
        conditions: place.conditions.clone(),
        only,
        namespace: service.map(|service| service.namespace.to_string()),
        service: service.map(ToString::to_string),
        route: match place.what {
            What::Route(route) => Some(route.info.clone()),
            What::Closed | What::Upgrade => None,
        },
        answer,
    }
}

impl Reach {
    /// Of each namespace how many routes let this visitor in, ask for a sign-in, and refuse.
    fn namespaces(&self) -> BTreeMap<&str, [usize; 3]> {
        let mut counts = BTreeMap::<_, [usize; 3]>::new();
        for row in &self.rows {
            if let (Some(namespace), Answer::Verdict(verdict), []) =
                (row.namespace.as_deref(), &row.answer, &*row.only)
            {
                let count = counts.entry(namespace).or_default();
                count[match verdict.passes {
                    Passes::Allowed => 0,
                    Passes::SignIn => 1,
                    Passes::Refused => 2,
                }] += 1;
            }
        }
        counts
    }
}
