//! `Ingress`es: which are ours, and what they serve on ports 80 and 443.

mod secured;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::destinations::{Destinations, nobody};
use super::host_tables::HostTables;
use super::ports::{ChainDraft, Ports, ServesDraft, add_tls_chain, plain_table};
use super::routes::{Placed, Rank};
use crate::finding::{Finding, Severity, codes};
use crate::manifest::header_edits::Edits;
use crate::manifest::http_route::EntryDestination;
use crate::manifest::ingress::{BackendPort, Ingress, IngressBackend};
use crate::manifest::ingress_class::IngressClass;
use crate::manifest::mesh::IngressRule;
use crate::names::HostPattern;
use crate::snapshot::{
    Closure, Destination, Forward, HeaderEdits, Regex, Route, RouteAction, RouteInfo, RouteMatch,
    ServedCertificate, TextMatch, UriMatch, Weighted,
};
use crate::world::World;
use secured::{key_pair, secured_hosts};

/// The class that is always ours.
const CLASS: &str = "doorward";

/// The Ingresses that are ours.
pub(super) struct Ingresses {
    all: Vec<Ingress>,
}

/// Where a path stands among those of a host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    /// Longest first.
    length: std::cmp::Reverse<usize>,
    /// `Exact` before `Prefix`.
    is_prefix: bool,
    /// A backend for what nothing else takes.
    is_default: bool,
    number: usize,
}

type Rows = BTreeMap<HostPattern, Vec<(Order, Arc<Route>)>>;

impl Ingresses {
    /// Reads all of them and keeps those that are ours.
    pub(super) fn read(world: &World, rule: &IngressRule, findings: &mut Vec<Finding>) -> Self {
        let classes = world.of_kind("IngressClass").iter();
        let classes: Vec<IngressClass> = classes.map(|object| IngressClass::read(object)).collect();
        let mut all = Vec::new();
        for object in world.of_kind("Ingress") {
            let mut own = Vec::new();
            let ingress = Ingress::read(object, &mut own);
            if is_ours(ingress.class.as_deref(), &classes, rule) {
                findings.append(&mut own);
                all.push(ingress);
                continue;
            }
            let class = match &ingress.class {
                Some(class) => format!("the class `{class}` belongs to another controller"),
                None => "it has no class, and none of ours is the default".to_owned(),
            };
            findings.push(object.finding(
                codes::INGRESS_ELSEWHERE,
                Severity::Note,
                object.place.line,
                "spec.ingressClassName",
                format!("{class}, so this `Ingress` is not served here"),
                "nothing to do, unless it was meant for doorward: then write `ingressClassName: doorward`",
            ));
        }
        Self { all }
    }

    /// Whether none is ours.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Opens the ports: 80 for all of them, 443 for hosts with TLS.
    pub(super) fn link(
        &self,
        destinations: &mut Destinations<'_>,
        ports: &mut Ports,
        certificates: &mut Vec<ServedCertificate>,
        findings: &mut Vec<Finding>,
    ) {
        let mut rows = Rows::new();
        for ingress in &self.all {
            routes(ingress, destinations, &mut rows, findings);
        }
        for routes in rows.values_mut() {
            routes.sort_by(|a, b| a.0.cmp(&b.0));
        }
        if rows.is_empty() {
            return;
        }
        let hosts: Vec<HostPattern> = rows.keys().cloned().collect();
        let mut crossed = Vec::new();
        match plain_table(ports, 80, &hosts) {
            Some(tables) => rows
                .iter()
                .for_each(|(host, rows)| fill(tables, host, rows)),
            None => crossed.push(80),
        }
        let mut secured: BTreeSet<&HostPattern> = BTreeSet::new();
        for ingress in &self.all {
            for tls in &ingress.tls {
                let own = secured_hosts(ingress, tls);
                key_pair(
                    ingress,
                    tls,
                    &own,
                    destinations.world,
                    certificates,
                    findings,
                );
                let covers = |host: &&HostPattern| {
                    own.iter()
                        .any(|wide| wide.intersection(host).as_ref() == Some(*host))
                };
                secured.extend(hosts.iter().filter(covers));
            }
        }
        for host in secured {
            let mut tables = HostTables::default();
            fill(&mut tables, host, &rows[host]);
            let chain = ChainDraft {
                name: format!("ingress.443.{host}").into(),
                hosts: vec![host.clone()],
                tls: Some(Arc::default()),
                serves: ServesDraft::Http(tables),
            };
            if !add_tls_chain(ports, 443, chain) && !crossed.contains(&443) {
                crossed.push(443);
            }
        }
        let first = self.all.first().map(|ingress| &ingress.object);
        findings.extend(crossed.into_iter().map(|port| Finding {
            code: codes::INGRESS_INVALID,
            severity: Severity::Error,
            place: first.map(|object| object.place.clone()),
            object: first.map(|object| object.reference.clone()),
            field: "spec.rules".to_owned(),
            fault: format!("a `Gateway` already speaks another protocol on port {port}"),
            remedy: "give the `Gateway` another port; no `Ingress` is served there".to_owned(),
        }));
    }
}

/// An Ingress of a class that is not in the manifests is ours when it is called so; one without a
/// class when the default class is, or when the mesh says so.
fn is_ours(class: Option<&str>, classes: &[IngressClass], rule: &IngressRule) -> bool {
    let Some(class) = class else {
        let mut defaults = classes.iter().filter(|class| class.is_default);
        return match defaults.next() {
            Some(default) => default.is_ours,
            None => rule.takes_classless && !rule.is_off,
        };
    };
    match classes.iter().find(|known| *known.name == *class) {
        Some(known) => known.is_ours && !(rule.is_off && *class == *rule.class),
        None => class == CLASS || (*class == *rule.class && !rule.is_off),
    }
}

fn fill(tables: &mut HostTables, host: &HostPattern, rows: &[(Order, Arc<Route>)]) {
    for (_, route) in rows {
        let placed = Placed {
            route: Arc::clone(route),
            rank: Rank::InPlace,
        };
        tables.push(host, placed);
    }
}

fn routes(
    ingress: &Ingress,
    destinations: &mut Destinations<'_>,
    rows: &mut Rows,
    findings: &mut Vec<Finding>,
) {
    let object = &ingress.object;
    let mut hosts: Vec<&HostPattern> = Vec::new();
    for rule in &ingress.rules {
        if !hosts.contains(&&rule.host) {
            hosts.push(&rule.host);
        }
        let routes = rows.entry(rule.host.clone()).or_default();
        for path in &rule.paths {
            let order = Order {
                // A `/` at the end counts for nothing.
                length: std::cmp::Reverse(path.path.trim_end_matches('/').len()),
                is_prefix: !path.exact,
                is_default: false,
                number: routes.len(),
            };
            let text: Arc<str> = Arc::clone(&path.path);
            let uri = UriMatch {
                text: if path.exact {
                    TextMatch::Exact(text)
                } else {
                    TextMatch::Prefix(text)
                },
                ignore_case: false,
                whole_segments: !path.exact,
            };
            let conditions = RouteMatch {
                uri: Some(uri),
                authority: one_label(&rule.host),
                ..RouteMatch::default()
            };
            let action = action(ingress, &path.backend, destinations, findings);
            let info = Arc::clone(&path.info);
            routes.push((order, route(info, conditions, action)));
        }
    }
    let Some(backend) = &ingress.default_backend else {
        return;
    };
    // Of an Ingress with rules it takes what their hosts do not; without, every host.
    if hosts.is_empty() {
        hosts.push(&HostPattern::Any);
    }
    let action = action(ingress, backend, destinations, findings);
    for host in hosts {
        let info = RouteInfo {
            object: object.reference.clone(),
            place: object.place.clone(),
            name: "defaultBackend".into(),
        };
        let conditions = RouteMatch {
            authority: one_label(host),
            ..RouteMatch::default()
        };
        let routes = rows.entry(host.clone()).or_default();
        let order = Order {
            length: std::cmp::Reverse(0),
            is_prefix: true,
            is_default: true,
            number: routes.len(),
        };
        routes.push((order, route(Arc::new(info), conditions, action.clone())));
    }
}

/// `*.example.com` of an Ingress covers one label, not several.
fn one_label(host: &HostPattern) -> Option<TextMatch> {
    let HostPattern::Suffix(suffix) = host else {
        return None;
    };
    let source = format!("[^.]+{}(?::[0-9]+)?", suffix.replace('.', "\\."));
    Regex::whole(&source).ok().map(TextMatch::Regex)
}

fn route(info: Arc<RouteInfo>, conditions: RouteMatch, action: RouteAction) -> Arc<Route> {
    Arc::new(Route {
        info,
        matches: vec![conditions],
        cors: None,
        guard: None,
        action,
    })
}

fn action(
    ingress: &Ingress,
    backend: &IngressBackend,
    destinations: &mut Destinations<'_>,
    findings: &mut Vec<Finding>,
) -> RouteAction {
    if let Some(closure) = &ingress.closed {
        return RouteAction::Closed(Arc::clone(closure));
    }
    let destination = match backend {
        IngressBackend::Closed(closure) => return RouteAction::Closed(Arc::clone(closure)),
        IngressBackend::Service {
            name,
            port,
            path,
            line,
        } => destination(ingress, (name, port), (path, *line), destinations, findings),
    };
    RouteAction::Forward(Forward {
        destinations: vec![Weighted::plain(1, destination)],
        rewrite: None,
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        timeout: None,
        retries: destinations.retries.clone(),
        mirrors: Vec::new(),
        fault: None,
    })
}

fn destination(
    ingress: &Ingress,
    (name, port): (&Arc<str>, &BackendPort),
    (path, line): (&str, u32),
    destinations: &mut Destinations<'_>,
    findings: &mut Vec<Finding>,
) -> Arc<Destination> {
    let object = &ingress.object;
    let namespace = object.namespace();
    let key = (Arc::clone(namespace), Arc::clone(name));
    let host: Arc<str> = format!("{name}.{namespace}.svc.cluster.local").into();
    let service = destinations.world.service(namespace, name);
    let found = match (service, port) {
        (Some(service), BackendPort::Number(number)) if service.closed.is_none() => {
            service.port(*number).map(|port| port.number)
        }
        (Some(service), BackendPort::Name(wanted)) => service
            .ports
            .iter()
            .find(|port| port.name.as_ref() == Some(wanted))
            .map(|port| port.number),
        (_, BackendPort::Number(number)) => {
            let is_known = service.is_some() || destinations.played.contains_key(&key);
            is_known.then_some(*number)
        }
        (None, BackendPort::Name(_)) => None,
    };
    let Some(number) = found else {
        let fault = match (service, port) {
            (None, _) => format!("`Service {namespace}/{name}` is not here"),
            (_, BackendPort::Number(port)) => {
                format!("`Service {namespace}/{name}` has no port {port}")
            }
            (_, BackendPort::Name(port)) => {
                format!("`Service {namespace}/{name}` has no port `{port}`")
            }
        };
        let finding = object.finding(
            codes::INGRESS_BACKEND,
            Severity::Error,
            line,
            path,
            fault,
            "add the Service to the manifests, or mend the name and port",
        );
        let closure = Arc::new(Closure::of(&finding));
        findings.push(finding);
        return nobody(&host, Some(key), 0, closure);
    };
    let entry = EntryDestination {
        weight: 1,
        edits: Edits::default(),
        subset: None,
        backing: None,
        host,
        port: Some(number),
        path: path.to_owned(),
        line,
    };
    destinations.resolve(object, &entry, number)
}
