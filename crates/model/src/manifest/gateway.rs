//! Istio `Gateway` (networking.istio.io): ports, hosts and TLS of an ingress workload.

mod tls;
mod versions;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::finding::{Finding, Severity, codes};
use crate::names::HostPattern;
use crate::objects::{Fault, Field, Object, string_map};
use crate::snapshot::Closure;
use tls::coded;
pub(crate) use tls::{
    AuthoritySource, ClientSettings, Inside, PairSource, TlsSettings, TrustSettings,
};

/// A Gateway.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    pub(crate) object: Arc<Object>,
    /// Labels of the workload it configures; empty means every one.
    pub(crate) selector: BTreeMap<Arc<str>, Arc<str>>,
    /// Whether Service ports are translated to ports of the pod.
    pub(crate) translates_ports: bool,
    /// In the order of the file, without those whose port or list of hosts cannot be read.
    pub(crate) servers: Vec<Server>,
}

/// One of `spec.servers`.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Such as `spec.servers[0]`.
    pub(crate) path: String,
    pub(crate) line: u32,
    pub(crate) port: u16,
    /// `port.name`; empty where it has none.
    pub(crate) port_name: Arc<str>,
    pub(crate) speaks: Speaks,
    pub(crate) hosts: Vec<ServerHost>,
    /// Set when it cannot be served as written: its hosts are closed.
    pub(crate) closed: Option<Arc<Closure>>,
}

/// What a server speaks, as far as servers of one port have to agree on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http { https_redirect: bool },
    Tls(TlsSettings),
    Stream,
}

/// One of `hosts`: `[namespace/]name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerHost {
    /// Namespace of the VirtualServices that may use it; `None` for any.
    pub(crate) namespace: Option<Arc<str>>,
    pub(crate) pattern: HostPattern,
}

impl Gateway {
    /// Reads a Gateway. One that cannot be read has no servers.
    pub(crate) fn read(object: &Arc<Object>, findings: &mut Vec<Finding>) -> Self {
        let mut gateway = Self {
            object: Arc::clone(object),
            selector: string_map(object.root.path(&["spec", "selector"])),
            translates_ports: !disables_translation(object),
            servers: Vec::new(),
        };
        match servers(object, findings) {
            Ok(servers) => gateway.servers = servers,
            Err(mut fault) => {
                if fault.code == codes::FIELD {
                    fault.code = codes::GATEWAY_INVALID;
                }
                findings.push(*fault);
            }
        }
        for server in &mut gateway.servers {
            server.closed = server.closed.take().or_else(|| object.closed.clone());
        }
        gateway
    }
}

fn disables_translation(object: &Object) -> bool {
    let label = "experimental.istio.io/disable-gateway-port-translation";
    object
        .labels()
        .get(label)
        .is_some_and(|value| &**value == "true")
}

fn servers(object: &Object, findings: &mut Vec<Finding>) -> Result<Vec<Server>, Fault> {
    let spec = object.top().required("spec")?;
    let list = spec.required("servers")?.items()?;
    if list.is_empty() {
        return Err(spec.fault("this `Gateway` has no `servers`", "add one"));
    }
    let mut names = HashSet::new();
    let mut servers: Vec<Server> = Vec::new();
    let mut refusals: Vec<Fault> = Vec::new();
    for field in &list {
        if let Some(name) = field
            .node
            .path(&["port", "name"])
            .and_then(|name| name.text())
            && !names.insert(name)
        {
            let fault = format!("two servers of this `Gateway` name their port `{name}`");
            refusals.push(field.fault(fault, "give every port its own name"));
        }
        match server(field, object, findings) {
            Ok((server, faults)) => {
                servers.push(server);
                refusals.extend(faults);
            }
            Err(fault) => refusals.push(fault),
        }
    }
    for fault in &mut refusals {
        fault.code = codes::GATEWAY_INVALID;
    }
    // Istio would not take the object: nothing of it is served. A wider server might otherwise
    // let in whom the one that cannot be read would have asked for a certificate.
    if let Some(first) = refusals.first() {
        let refused = Arc::new(Closure::of(first));
        for server in &mut servers {
            server.closed.get_or_insert_with(|| Arc::clone(&refused));
        }
    }
    findings.extend(refusals.into_iter().map(|fault| *fault));
    Ok(servers)
}

/// A server, and what cannot be read of its hosts.
fn server(
    field: &Field<'_>,
    object: &Object,
    findings: &mut Vec<Finding>,
) -> Result<(Server, Vec<Fault>), Fault> {
    let port = field.required("port")?;
    let number = port.required("number")?.port()?;
    let port_name = port.child_text("name")?;
    let (mut hosts, mut faults) = (Vec::new(), Vec::new());
    for host in field.required("hosts")?.items()? {
        match server_host(&host, object) {
            Ok(host) => hosts.push(host),
            Err(fault) => faults.push(fault),
        }
    }
    for ignored in ["bind", "defaultEndpoint"] {
        if let Some(field) = field.child(ignored) {
            findings.push(field.finding(
                codes::FIELD,
                Severity::Warning,
                format!("`{}` has no effect here", field.path),
                "choose addresses with `--https` and `--http`",
            ));
        }
    }
    let (speaks, fault) = speaks(field, &port, findings);
    let closed = fault.map(|fault| {
        let closure = Arc::new(Closure::of(&fault));
        findings.push(*fault);
        closure
    });
    let (path, line) = (field.path.clone(), field.line());
    let server = Server {
        path,
        line,
        port: number,
        port_name: port_name.unwrap_or_default(),
        speaks,
        hosts,
        closed,
    };
    Ok((server, faults))
}

fn server_host(field: &Field<'_>, object: &Object) -> Result<ServerHost, Fault> {
    let text = field.text()?;
    let (namespace, name) = match text.split_once('/') {
        None | Some(("*", _)) => (None, text.rsplit('/').next().unwrap_or(text)),
        Some((".", name)) => (Some(Arc::clone(object.namespace())), name),
        Some((namespace, name)) => (Some(namespace.into()), name),
    };
    let pattern = HostPattern::parse(name).ok_or_else(|| {
        field.fault(
            format!("`{text}` is no host: `*` may only stand alone or as the first label"),
            "write a name, `*.` and a name, or `*`",
        )
    })?;
    Ok(ServerHost { namespace, pattern })
}

/// What the server speaks, and the fault that closes it.
fn speaks(
    field: &Field<'_>,
    port: &Field<'_>,
    findings: &mut Vec<Finding>,
) -> (Speaks, Option<Fault>) {
    let protocol = port
        .child("protocol")
        .and_then(|protocol| protocol.text().ok());
    let protocol = protocol.unwrap_or_default().to_ascii_uppercase();
    let tls = field.child("tls");
    match protocol.as_str() {
        "HTTP" | "HTTP2" | "GRPC" | "GRPC-WEB" => plain(tls.as_ref()),
        "HTTPS" => ended(field, tls.as_ref(), Inside::Http, findings),
        "TLS" => ended(field, tls.as_ref(), Inside::Stream, findings),
        "TCP" | "MONGO" => {
            let fault = tls.map(|tls| {
                let fault = format!("`{}` has no effect with `{protocol}`", tls.path);
                let fault = tls.fault(fault, "write `TLS`, or remove `tls`");
                coded(codes::GATEWAY_INVALID, fault)
            });
            (Speaks::Stream, fault)
        }
        _ => {
            let fault = format!("`{}.protocol` is no protocol: `{protocol}`", port.path);
            let fault = port.fault(fault, "write `HTTP`, `HTTPS`, `TLS` or `TCP`");
            (Speaks::Stream, Some(coded(codes::GATEWAY_INVALID, fault)))
        }
    }
}

fn plain(tls: Option<&Field<'_>>) -> (Speaks, Option<Fault>) {
    match tls.map_or(Ok(false), |tls| tls.flag("httpsRedirect")) {
        Ok(https_redirect) => (Speaks::Http { https_redirect }, None),
        Err(fault) => (
            Speaks::Http {
                https_redirect: false,
            },
            Some(coded(codes::GATEWAY_INVALID, fault)),
        ),
    }
}

/// A server with TLS.
fn ended(
    field: &Field<'_>,
    tls: Option<&Field<'_>>,
    inside: Inside,
    findings: &mut Vec<Finding>,
) -> (Speaks, Option<Fault>) {
    let (settings, fault) = match tls {
        Some(tls) => tls::read(tls, inside, findings),
        None => {
            let fault = format!("`{}` has no `tls`", field.path);
            let fault = field.fault(fault, "add `tls` with a mode");
            (TlsSettings::plain(inside), Some(fault))
        }
    };
    let fault = fault.map(|fault| match fault.code {
        codes::TLS_MODE | codes::UNSUPPORTED_SERVER => fault,
        _ => coded(codes::GATEWAY_INVALID, fault),
    });
    (Speaks::Tls(settings), fault)
}
