//! `VirtualService` `tls[]` and `tcp[]`: routes of connections whose bytes are passed on.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::http_route::EntryDestination;
use super::virtual_service::gateway_name;
use crate::finding::{Finding, codes};
use crate::names::HostPattern;
use crate::objects::{Fault, Field, string_map};
use crate::snapshot::{Closure, RouteInfo};
use crate::world::Key;

/// Which of the two lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    /// `tls`: by server name.
    Tls,
    /// `tcp`.
    Tcp,
}

/// One entry.
#[derive(Clone, Debug)]
pub(crate) struct StreamEntry {
    pub(crate) kind: StreamKind,
    pub(crate) info: Arc<RouteInfo>,
    /// Alternatives; none takes every connection.
    pub(crate) matches: Vec<StreamMatch>,
    pub(crate) destinations: Vec<EntryDestination>,
    /// Set when it cannot be read: connections that it takes are refused.
    pub(crate) closed: Option<Arc<Closure>>,
}

/// One of `match`.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamMatch {
    /// `sniHosts`; none for `tcp`.
    pub(crate) server_names: Vec<HostPattern>,
    pub(crate) port: Option<u16>,
    /// `gateways`: only there.
    pub(crate) gateways: Vec<Key>,
    pub(crate) destination_networks: Vec<IpNet>,
    /// `sourceLabels` of the gateway.
    pub(crate) source_labels: BTreeMap<Arc<str>, Arc<str>>,
    /// `sourceNamespace` of the gateway.
    pub(crate) source_namespace: Option<Arc<str>>,
}

const TLS_FIELDS: [&str; 6] = [
    "sniHosts",
    "destinationSubnets",
    "port",
    "sourceLabels",
    "gateways",
    "sourceNamespace",
];

const TCP_FIELDS: [&str; 6] = [
    "destinationSubnets",
    "port",
    "sourceSubnet",
    "sourceLabels",
    "gateways",
    "sourceNamespace",
];

/// Reads both lists of a `VirtualService` for `hosts`.
pub(super) fn read(
    spec: &Field<'_>,
    hosts: &[HostPattern],
    namespace: &Arc<str>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<StreamEntry>, Fault> {
    let mut entries = Vec::new();
    for (list, kind) in [("tls", StreamKind::Tls), ("tcp", StreamKind::Tcp)] {
        for (index, field) in spec.child_items(list)?.iter().enumerate() {
            let info = Arc::new(RouteInfo {
                object: field.object.reference.clone(),
                place: field.object.at(field.line()),
                name: format!("{list}[{index}]").into(),
            });
            let mut entry = StreamEntry {
                kind,
                info,
                matches: Vec::new(),
                destinations: Vec::new(),
                closed: None,
            };
            // The matches that can be read say which connections to refuse.
            if let Err(mut fault) = fill(&mut entry, field, hosts, namespace) {
                fault.code = codes::STREAM_CLOSED;
                entry.closed = Some(Arc::new(Closure::of(&fault)));
                findings.push(*fault);
            }
            entries.push(entry);
        }
    }
    Ok(entries)
}

fn fill(
    entry: &mut StreamEntry,
    field: &Field<'_>,
    hosts: &[HostPattern],
    namespace: &Arc<str>,
) -> Result<(), Fault> {
    let mut first = field.only(&["match", "route"]);
    let mut note = |result: Result<(), Fault>| {
        if first.is_ok() {
            first = result;
        }
    };
    match field.child_items("match") {
        Ok(items) => {
            for item in items {
                let mut one = StreamMatch::default();
                note(read_match(&mut one, &item, entry.kind, hosts, namespace));
                entry.matches.push(one);
            }
        }
        Err(fault) => note(Err(fault)),
    }
    if entry.kind == StreamKind::Tls && entry.matches.is_empty() {
        let fault = format!("`{}` has no `match` with `sniHosts`", field.path);
        note(Err(field.fault(fault, "name the server names")));
    }
    match super::http_route::destinations(field) {
        Ok(destinations) => entry.destinations = destinations,
        Err(fault) => note(Err(fault)),
    }
    first
}

fn read_match(
    one: &mut StreamMatch,
    field: &Field<'_>,
    kind: StreamKind,
    hosts: &[HostPattern],
    namespace: &Arc<str>,
) -> Result<(), Fault> {
    if kind == StreamKind::Tls {
        for name in field.required("sniHosts")?.items()? {
            let text = name.text()?;
            let Some(pattern) = HostPattern::parse(text) else {
                let fault = format!("`{text}` is no host: `*` may only be the first label");
                return Err(name.fault(fault, "write a name, or `*.` and a name"));
            };
            let covered =
                |host: &HostPattern| host.intersection(&pattern).as_ref() == Some(&pattern);
            if !hosts.iter().any(covered) {
                let fault = format!("`{text}` is none of the `hosts` of this `VirtualService`");
                return Err(name.fault(fault, "add it to `hosts`"));
            }
            one.server_names.push(pattern);
        }
        field.only(&TLS_FIELDS)?;
    } else {
        field.only(&TCP_FIELDS)?;
    }
    for item in field.child_items("destinationSubnets")? {
        one.destination_networks.push(network(&item)?);
    }
    if let Some(item) = field.child("sourceSubnet") {
        let fault = format!("`{}` is not looked at by gateways", item.path);
        return Err(item.fault(fault, "decide by `ipBlocks` in an `AuthorizationPolicy`"));
    }
    one.port = field.child("port").map(|port| port.port()).transpose()?;
    for gateway in field.texts("gateways")? {
        one.gateways.extend(gateway_name(&gateway, namespace));
    }
    one.source_labels = string_map(field.node.field("sourceLabels"));
    one.source_namespace = field.child_text("sourceNamespace")?;
    Ok(())
}

/// An address, with or without the length of its network.
fn network(field: &Field<'_>) -> Result<IpNet, Fault> {
    let text = field.text()?;
    let address = || {
        text.parse()
            .ok()
            .map(|address: std::net::IpAddr| address.into())
    };
    text.parse().ok().or_else(address).ok_or_else(|| {
        let fault = format!("`{text}` is no network");
        field.fault(fault, "write it such as `10.0.0.0/8`")
    })
}
