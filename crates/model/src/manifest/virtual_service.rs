//! Istio `VirtualService` (networking.istio.io): hosts, gateways and HTTP routes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::http_match;
use super::http_route::{self, EntryAction};
use super::knative::Pods;
use super::stream_route::{self, StreamEntry};
use super::visibility::Visibility;
use crate::finding::{Finding, Severity, codes};
use crate::names::HostPattern;
use crate::objects::{Fault, Field, Node, Object};
use crate::snapshot::{Closure, Cors, RouteInfo, RouteMatch, TextMatch};
use crate::world::Key;

/// A VirtualService.
#[derive(Clone, Debug)]
pub(crate) struct VirtualService {
    pub(crate) object: Arc<Object>,
    pub(crate) hosts: Vec<HostPattern>,
    /// Namespace and name; `mesh` is left out.
    pub(crate) gateways: Vec<Key>,
    /// Whether `gateways` is absent, which means sidecars only.
    pub(crate) mesh_only: bool,
    /// Whether `gateways` cannot be read: it might have named any.
    pub(crate) gateways_unreadable: bool,
    pub(crate) visibility: Visibility,
    pub(crate) http: Vec<HttpEntry>,
    /// `tls`, then `tcp`.
    pub(crate) streams: Vec<StreamEntry>,
    /// Set when a field beside the routes cannot be read: its part of its hosts is closed.
    pub(crate) closed: Option<Arc<Closure>>,
}

/// One of `spec.http`.
#[derive(Clone, Debug)]
pub(crate) struct HttpEntry {
    pub(crate) info: Arc<RouteInfo>,
    /// The VirtualService whose namespace completes the names in it: the delegate's for what a
    /// delegate says.
    pub(crate) scope: Arc<Object>,
    /// Alternatives; none matches every request.
    pub(crate) matches: Vec<EntryMatch>,
    /// Which pages of other origins may call.
    pub(crate) cors: Option<Arc<Cors>>,
    pub(crate) action: EntryAction,
}

/// One of `match`.
#[derive(Clone, Debug, Default)]
pub(crate) struct EntryMatch {
    /// Conditions on the request.
    pub(crate) conditions: RouteMatch,
    /// `ignoreUriCase`, whether or not there is a `uri`.
    pub(crate) ignore_uri_case: bool,
    /// `gateways`: only there.
    pub(crate) gateways: Vec<Key>,
    /// `sourceLabels` of the gateway.
    pub(crate) source_labels: BTreeMap<Arc<str>, Arc<str>>,
    /// `sourceNamespace` of the gateway.
    pub(crate) source_namespace: Option<Arc<str>>,
    /// Set when a condition cannot be expressed: `conditions` then match more than was meant, and
    /// what they match is closed.
    pub(crate) closed: Option<Arc<Closure>>,
}

impl VirtualService {
    /// Reads a VirtualService. What cannot be read is closed.
    pub(crate) fn read(object: &Arc<Object>, findings: &mut Vec<Finding>) -> Self {
        let mut service = Self {
            object: Arc::clone(object),
            hosts: Vec::new(),
            gateways: Vec::new(),
            mesh_only: false,
            gateways_unreadable: false,
            visibility: Visibility::Everywhere,
            http: Vec::new(),
            streams: Vec::new(),
            closed: None,
        };
        if let Err(mut fault) = service.fill(object, findings) {
            fault.code = codes::HOSTS_CLOSED;
            service.closed = Some(Arc::new(Closure::of(&fault)));
            findings.push(*fault);
        }
        service
    }

    fn fill(&mut self, object: &Arc<Object>, findings: &mut Vec<Finding>) -> Result<(), Fault> {
        let spec = object.top().required("spec")?;
        let namespace = object.namespace();
        // The API server drops what it does not know, and so does this; but it was meant.
        let unknown = spec.only(&["hosts", "gateways", "http", "tls", "tcp", "exportTo"]);
        if let Err(mut fault) = unknown
            && fault.code == codes::UNKNOWN_FIELD
        {
            fault.severity = Severity::Warning;
            findings.push(*fault);
        }
        // All hosts and gateways that are readable, before any fault: they say what to close.
        let hosts = self.read_hosts(&spec, namespace);
        let gateways = self.read_gateways(&spec, namespace);
        self.gateways_unreadable = gateways.is_err();
        hosts.and(gateways)?;
        let export_to = spec.texts("exportTo")?;
        self.visibility = Visibility::of(&export_to, namespace);
        for (index, entry) in spec.child_items("http")?.iter().enumerate() {
            let matches = entry_matches(entry, namespace, findings);
            self.http
                .push(http_entry(object, entry, index, matches, findings));
        }
        self.streams = stream_route::read(&spec, &self.hosts, namespace, findings)?;
        Ok(())
    }

    fn read_hosts(&mut self, spec: &Field<'_>, namespace: &str) -> Result<(), Fault> {
        let mut first_fault = Ok(());
        for host in spec.child_items("hosts")? {
            match virtual_host(&host, namespace) {
                Ok(host) => self.hosts.push(host),
                Err(fault) => first_fault = first_fault.and(Err(fault)),
            }
        }
        first_fault
    }

    fn read_gateways(&mut self, spec: &Field<'_>, namespace: &Arc<str>) -> Result<(), Fault> {
        let Some(gateways) = spec.child("gateways") else {
            self.mesh_only = true;
            return Ok(());
        };
        for gateway in gateways.items()? {
            self.gateways
                .extend(gateway_name(gateway.text()?, namespace));
        }
        Ok(())
    }

    /// The paths of its routes as far as the tree shows them, whatever else is wrong with it.
    pub(crate) fn readable_paths(&self) -> Vec<TextMatch> {
        let mut paths = Vec::new();
        let spec = self.object.root.field("spec");
        let entries = spec.map_or(&[][..], |spec| items(spec, "http"));
        for one in entries.iter().flat_map(|entry| items(entry, "match")) {
            let text = |how| one.path(&["uri", how]).and_then(Node::text);
            let path = text("prefix").map(|path| TextMatch::Prefix(path.into()));
            let path = path.or_else(|| text("exact").map(|path| TextMatch::Exact(path.into())));
            paths.extend(path.filter(|path| !paths.contains(path)));
        }
        paths
    }

    /// What is known of the pods behind its routes.
    pub(crate) fn backings(&self) -> impl Iterator<Item = &Pods> {
        let forwards = self.http.iter().filter_map(|entry| match &entry.action {
            EntryAction::Forward(forward) => Some(forward),
            _ => None,
        });
        let destinations = forwards.flat_map(|forward| &forward.destinations);
        destinations.filter_map(|destination| destination.backing.as_deref())
    }

    /// Whether it names this `Gateway`, or might.
    pub(crate) fn binds_to(&self, gateway: &Key) -> bool {
        self.gateways_unreadable || self.gateways.contains(gateway)
    }

    /// Whether a gateway in this namespace sees it, and in which of the three groups that are
    /// tried one after the other.
    pub(crate) fn rank_in(&self, namespace: &str) -> Option<u8> {
        match &self.visibility {
            Visibility::Everywhere => Some(2),
            Visibility::Only(names) if names.iter().any(|name| **name == *namespace) => {
                let private = names.len() == 1 && **self.object.namespace() == *namespace;
                Some(if private { 0 } else { 1 })
            }
            Visibility::Only(_) => None,
        }
    }
}

fn items<'a>(node: &'a Node, list: &str) -> &'a [Node] {
    node.field(list).and_then(Node::items).unwrap_or_default()
}

/// `ns/name`, `name`, or the legacy `name.ns.svc…`; `None` for `mesh`.
pub(crate) fn gateway_name(text: &str, own: &Arc<str>) -> Option<Key> {
    if text == "mesh" {
        return None;
    }
    if let Some((namespace, name)) = text.split_once('/') {
        let namespace = if namespace == "." {
            Arc::clone(own)
        } else {
            namespace.into()
        };
        return Some((namespace, name.into()));
    }
    let mut labels = text.split('.');
    match (labels.next(), labels.next(), labels.next()) {
        (Some(name), Some(namespace), Some("svc")) => Some((namespace.into(), name.into())),
        _ => Some((Arc::clone(own), text.into())),
    }
}

fn virtual_host(field: &Field<'_>, namespace: &str) -> Result<HostPattern, Fault> {
    let text = field.text()?;
    let full = if text.contains(['.', '*', ':']) || text.is_empty() {
        text.to_owned()
    } else {
        format!("{text}.{namespace}.svc.cluster.local")
    };
    HostPattern::parse(&full).ok_or_else(|| {
        field.fault(
            format!("`{text}` is no host: `*` may only stand alone or as the first label"),
            "write a name, `*.` and a name, or `*`",
        )
    })
}

/// `match` of an entry.
fn entry_matches(
    field: &Field<'_>,
    namespace: &Arc<str>,
    findings: &mut Vec<Finding>,
) -> Vec<EntryMatch> {
    match field.child_items("match") {
        Ok(list) => {
            let read = |item: &Field<'_>| {
                let (mut entry, fault) = http_match::read(item, namespace, findings);
                entry.closed = fault.map(|fault| close(fault, findings));
                entry
            };
            list.iter().map(read).collect()
        }
        Err(fault) => vec![EntryMatch {
            closed: Some(close(fault, findings)),
            ..EntryMatch::default()
        }],
    }
}

/// Reads an entry of `http` under its matches. What cannot be read is closed.
pub(crate) fn http_entry(
    scope: &Arc<Object>,
    field: &Field<'_>,
    index: usize,
    matches: Vec<EntryMatch>,
    findings: &mut Vec<Finding>,
) -> HttpEntry {
    let name = field
        .node
        .field("name")
        .and_then(|name| name.text())
        .filter(|name| !name.is_empty());
    let info = Arc::new(RouteInfo {
        object: field.object.reference.clone(),
        place: field.object.at(field.line()),
        name: name.map_or_else(|| format!("http[{index}]").into(), Arc::from),
    });
    let uris: Vec<_> = matches
        .iter()
        .map(|one| one.conditions.uri.as_ref())
        .collect();
    let read = http_route::cors(field).and_then(|cors| {
        let action = http_route::read(field, &uris, findings)?;
        Ok((cors, action))
    });
    let (cors, action) = match read {
        Ok(read) => read,
        Err(fault) => (None, EntryAction::Closed(close(fault, findings))),
    };
    HttpEntry {
        info,
        scope: Arc::clone(scope),
        matches,
        cors,
        action,
    }
}

/// Reports what closes a route.
fn close(mut fault: Fault, findings: &mut Vec<Finding>) -> Arc<Closure> {
    if fault.code == codes::FIELD || fault.code == codes::UNKNOWN_FIELD {
        fault.code = codes::ROUTE_CLOSED;
    }
    let closure = Arc::new(Closure::of(&fault));
    findings.push(*fault);
    closure
}
