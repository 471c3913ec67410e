//! Istio `ServiceEntry` (networking.istio.io): hosts outside the cluster, and where they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::service::{ServicePort, TargetPort};
use super::visibility::Visibility;
use crate::finding::{Finding, Severity, codes};
use crate::objects::{Fault, Field, Object};
use crate::snapshot::Closure;

/// A ServiceEntry.
#[derive(Clone, Debug)]
pub(crate) struct ServiceEntry {
    pub(crate) object: Arc<Object>,
    /// Lower case; a wildcard is no destination and is left out.
    pub(crate) hosts: Vec<Arc<str>>,
    pub(crate) ports: Vec<ServicePort>,
    /// Where it is found; empty: by the host's own name.
    pub(crate) endpoints: Vec<EntryEndpoint>,
    /// `MESH_INTERNAL`: its workloads have sidecars.
    pub(crate) in_mesh: bool,
    pub(crate) visibility: Visibility,
    /// Set when it cannot be used.
    pub(crate) closed: Option<Arc<Closure>>,
}

/// One of `endpoints`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryEndpoint {
    pub(crate) address: Arc<str>,
    /// By the name of the entry's port.
    pub(crate) ports: BTreeMap<Arc<str>, u16>,
    pub(crate) labels: BTreeMap<Arc<str>, Arc<str>>,
    pub(crate) weight: u32,
}

impl ServiceEntry {
    /// Reads a ServiceEntry. One that cannot be used closes the destinations of its hosts.
    pub(crate) fn read(object: &Arc<Object>, findings: &mut Vec<Finding>) -> Self {
        let mut entry = Self {
            object: Arc::clone(object),
            hosts: Vec::new(),
            ports: Vec::new(),
            endpoints: Vec::new(),
            in_mesh: false,
            visibility: Visibility::Everywhere,
            closed: object.closed.clone(),
        };
        if let Err(mut fault) = entry.fill(object, findings) {
            fault.code = codes::SERVICE_ENTRY;
            entry.closed = Some(Arc::new(Closure::of(&fault)));
            findings.push(*fault);
        }
        entry
    }

    fn fill(&mut self, object: &Arc<Object>, findings: &mut Vec<Finding>) -> Result<(), Fault> {
        let spec = object.top().required("spec")?;
        // First, so that a fault further down closes them.
        for host in spec.required("hosts")?.items()? {
            let host = host.text()?.to_ascii_lowercase();
            if !host.contains('*') {
                self.hosts.push(host.trim_end_matches('.').into());
            }
        }
        spec.only(&[
            "hosts",
            "addresses",
            "ports",
            "location",
            "resolution",
            "endpoints",
            "workloadSelector",
            "exportTo",
            "subjectAltNames",
        ])?;
        self.visibility = Visibility::of(&spec.texts("exportTo")?, object.namespace());
        self.in_mesh = match spec.child_text("location")?.as_deref() {
            None | Some("MESH_EXTERNAL") => false,
            Some("MESH_INTERNAL") => true,
            Some(other) => {
                let fault = format!("`spec.location` knows no `{other}`");
                return Err(spec.fault(fault, "write `MESH_EXTERNAL` or `MESH_INTERNAL`"));
            }
        };
        for port in spec.child_items("ports")? {
            self.ports.push(entry_port(&port)?);
        }
        if let Some(selector) = spec.child("workloadSelector") {
            let fault = "pods and virtual machines that `spec.workloadSelector` selects are not \
                         looked up here";
            return Err(selector.fault(fault, "write their addresses as `endpoints`"));
        }
        if let Some(names) = spec.child("subjectAltNames") {
            findings.push(names.finding(
                codes::TRAFFIC_SETTING,
                Severity::Warning,
                format!("`{}` has no effect here", names.path),
                "write them in `trafficPolicy.tls` of a `DestinationRule`",
            ));
        }
        for endpoint in spec.child_items("endpoints")? {
            self.endpoints.push(self::endpoint(&endpoint)?);
        }
        let resolution = spec.child_text("resolution")?;
        match resolution.as_deref() {
            Some("STATIC") if self.endpoints.is_empty() => {
                let fault = "`spec.resolution` is `STATIC` and there are no `endpoints`";
                Err(spec.fault(fault, "add `endpoints`, or write `resolution: DNS`"))
            }
            Some("STATIC" | "DNS" | "DNS_ROUND_ROBIN") => Ok(()),
            None | Some("NONE") if self.endpoints.is_empty() => Ok(()),
            None | Some("NONE") => {
                let fault = "`spec.endpoints` needs a `resolution`";
                Err(spec.fault(fault, "write `resolution: STATIC` or `DNS`"))
            }
            Some(other) => {
                let fault = format!("`spec.resolution` knows no `{other}`");
                Err(spec.fault(fault, "write `STATIC`, `DNS` or `NONE`"))
            }
        }
    }
}

fn entry_port(field: &Field<'_>) -> Result<ServicePort, Fault> {
    field.only(&["number", "protocol", "name", "targetPort"])?;
    let number = field.required("number")?.port()?;
    let target = match field.child("targetPort") {
        None => number,
        Some(target) => target.port()?,
    };
    Ok(ServicePort {
        name: field.child_text("name")?,
        number,
        target: TargetPort::Number(target),
        app_protocol: field.child_text("protocol")?,
    })
}

fn endpoint(field: &Field<'_>) -> Result<EntryEndpoint, Fault> {
    field.only(&[
        "address",
        "ports",
        "labels",
        "network",
        "locality",
        "weight",
        "serviceAccount",
    ])?;
    let address = field.required("address")?;
    let text = address.text()?;
    if text.is_empty() || text.starts_with("unix:") {
        let fault = format!("`{}` is no address that is connected to here", address.path);
        return Err(address.fault(fault, "write an IP address or a name"));
    }
    let mut endpoint = EntryEndpoint {
        address: text.into(),
        ports: BTreeMap::new(),
        labels: BTreeMap::new(),
        weight: match field.child("weight") {
            Some(weight) => u32::try_from(weight.number()?).unwrap_or(u32::MAX),
            None => 0,
        },
    };
    if let Some(ports) = field.child("ports") {
        for (name, port) in ports.entries()? {
            endpoint.ports.insert(name, port.port()?);
        }
    }
    if let Some(labels) = field.child("labels") {
        for (name, value) in labels.entries()? {
            endpoint.labels.insert(name, value.text()?.into());
        }
    }
    Ok(endpoint)
}
