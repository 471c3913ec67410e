//! VirtualServices that cannot be read: each closes its own part of the hosts that it shares with
//! others, and the whole of a host that nobody else serves.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::host_tables::HostTables;
use super::identity::key;
use super::listeners::{Seated, common_hosts, hosts_on};
use crate::finding::Finding;
use crate::manifest::virtual_service::VirtualService;
use crate::names::{HostPattern, ObjectRef, Place};
use crate::objects::{Broken, VIRTUAL_SERVICE};
use crate::snapshot::{
    Closure, Identity, Route, RouteAction, RouteInfo, RouteMatch, TextMatch, UriMatch,
};
use crate::world::World;

/// A VirtualService that cannot be read, and what came of it.
pub(super) struct Unread<'a> {
    source: Source<'a>,
    object: ObjectRef,
    place: Place,
    closure: Arc<Closure>,
    /// What can still be read of its paths.
    paths: Vec<TextMatch>,
    /// Virtual hosts that are closed whole, with their ports.
    whole: Ports,
    /// Virtual hosts that others serve too.
    shared: Ports,
}

type Ports = BTreeMap<HostPattern, BTreeSet<u16>>;

/// Where hosts and gateways are read from.
enum Source<'a> {
    /// A document that is no YAML: it is taken to name every gateway.
    Text {
        hosts: Vec<HostPattern>,
        namespace: Option<&'a str>,
    },
    /// An object with a field that cannot be read.
    Object(&'a VirtualService),
}

/// All of them.
pub(super) fn all<'a>(world: &'a World, services: &'a [VirtualService]) -> Vec<Unread<'a>> {
    let documents = world
        .broken
        .iter()
        .filter(|broken| &*broken.object.kind == VIRTUAL_SERVICE)
        .map(Unread::document);
    documents
        .chain(services.iter().filter_map(Unread::object))
        .collect()
}

/// Says in the finding that closes each of them what is closed.
pub(super) fn tell(all: &[Unread<'_>], findings: &mut [Finding]) {
    let mut waiting: HashMap<&str, Vec<&Unread<'_>>> = HashMap::new();
    for one in all {
        waiting.entry(&one.closure.fault).or_default().push(one);
    }
    for finding in findings {
        let Some(same) = waiting.get_mut(finding.fault.as_str()) else {
            continue;
        };
        let closure = Closure::of(finding);
        let (own, others) = same.drain(..).partition(|one| *one.closure == closure);
        *same = others;
        let own: Vec<&Unread<'_>> = own;
        own.iter().for_each(|one| one.tell(finding));
    }
}

impl<'a> Unread<'a> {
    fn document(broken: &'a Broken) -> Self {
        let hosts = broken.hosts.iter();
        let source = Source::Text {
            hosts: hosts.filter_map(|host| HostPattern::parse(host)).collect(),
            namespace: broken.namespace_known.then_some(&*broken.object.namespace),
        };
        let closure = Arc::clone(&broken.closure);
        let (object, place) = (broken.object.clone(), broken.place.clone());
        Self::new(source, object, place, closure, broken.paths.clone())
    }

    fn object(service: &'a VirtualService) -> Option<Self> {
        let closure = Arc::clone(service.closed.as_ref()?);
        let (object, place) = (
            service.object.reference.clone(),
            service.object.place.clone(),
        );
        let paths = service.readable_paths();
        Some(Self::new(
            Source::Object(service),
            object,
            place,
            closure,
            paths,
        ))
    }

    fn new(
        source: Source<'a>,
        object: ObjectRef,
        place: Place,
        closure: Arc<Closure>,
        mut paths: Vec<TextMatch>,
    ) -> Self {
        // On a host that others share, it would close everything.
        paths.retain(|path| match path {
            TextMatch::Exact(path) | TextMatch::Prefix(path) => !matches!(&**path, "" | "/"),
            TextMatch::Regex(_) => false,
        });
        Self {
            source,
            object,
            place,
            closure,
            paths,
            whole: Ports::new(),
            shared: Ports::new(),
        }
    }

    /// Closes its part of the virtual hosts of a listener, which hold what others serve.
    pub(super) fn close(
        &mut self,
        port: u16,
        servers: &[Seated<'_>],
        identity: &Identity,
        tables: &mut HostTables,
    ) {
        let mut patterns = BTreeSet::new();
        for one in servers {
            patterns.extend(self.hosts_on(one, identity));
        }
        for pattern in patterns {
            let ports = if tables.serves(&pattern) {
                if let Some(route) = self.route() {
                    tables.close_paths(&pattern, route);
                }
                &mut self.shared
            } else {
                tables.close(&pattern, &self.closure);
                &mut self.whole
            };
            ports.entry(pattern).or_default().insert(port);
        }
    }

    fn hosts_on(&self, seated: &Seated<'_>, identity: &Identity) -> Vec<HostPattern> {
        let server = &seated.server.hosts;
        match &self.source {
            Source::Text { hosts, namespace } => hosts_on(hosts, *namespace, server),
            Source::Object(service) => {
                let bound = service.binds_to(&key(seated.gateway))
                    && service.rank_in(&identity.namespace).is_some();
                if bound {
                    common_hosts(service, server)
                } else {
                    Vec::new()
                }
            }
        }
    }

    fn route(&self) -> Option<Arc<Route>> {
        let matches = self.paths.iter().map(|path| RouteMatch {
            uri: Some(UriMatch {
                text: path.clone(),
                ignore_case: false,
                whole_segments: false,
            }),
            ..RouteMatch::default()
        });
        let info = RouteInfo {
            object: self.object.clone(),
            place: self.place.clone(),
            name: "unread".into(),
        };
        (!self.paths.is_empty()).then(|| {
            Arc::new(Route {
                info: Arc::new(info),
                matches: matches.collect(),
                cors: None,
                guard: None,
                action: RouteAction::Closed(Arc::clone(&self.closure)),
            })
        })
    }

    fn tell(&self, finding: &mut Finding) {
        let end = if finding.remedy.ends_with('?') {
            ""
        } else {
            ";"
        };
        let effect = self.effect();
        finding
            .remedy
            .push_str(&format!("{end} until then {effect}"));
    }

    fn effect(&self) -> String {
        let mut effects = Vec::new();
        if !self.whole.is_empty() {
            let verb = if self.whole.len() > 1 { "are" } else { "is" };
            effects.push(format!("{} {verb} closed", hosts(&self.whole)));
        }
        if !self.shared.is_empty() {
            let on = hosts(&self.shared);
            effects.push(if self.paths.is_empty() {
                format!("its routes on {on} are missing, and other VirtualServices serve there")
            } else {
                let closed: Vec<String> = self.paths.iter().map(path).collect();
                let verb = if closed.len() > 1 { "are" } else { "is" };
                let closed = closed.join(", ");
                format!("only {closed} {verb} closed on {on}, where other VirtualServices serve the rest")
            });
        }
        if effects.is_empty() {
            return "its routes are missing: no server here has a host that it still names"
                .to_owned();
        }
        effects.join("; ")
    }
}

/// Such as ``the host `*` (port 80)``.
fn hosts(ports: &Ports) -> String {
    let one = |(pattern, ports): (&HostPattern, &BTreeSet<u16>)| {
        let numbers: Vec<String> = ports.iter().map(u16::to_string).collect();
        let word = if numbers.len() > 1 { "ports" } else { "port" };
        format!("`{pattern}` ({word} {})", numbers.join(", "))
    };
    let all: Vec<String> = ports.iter().map(one).collect();
    let word = if all.len() > 1 { "hosts" } else { "host" };
    format!("the {word} {}", all.join(", "))
}

/// A path, with a star where more may follow.
fn path(path: &TextMatch) -> String {
    match path {
        TextMatch::Prefix(prefix) => format!("`{prefix}*`"),
        TextMatch::Exact(path) => format!("`{path}`"),
        TextMatch::Regex(regex) => format!("`{}`", regex.source()),
    }
}
