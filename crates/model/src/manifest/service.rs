//! `Service`: a name, ports, and the pods behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::finding::Finding;
use crate::objects::{Fault, Field, Object, Value};
use crate::snapshot::Closure;

/// A Service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) object: Arc<Object>,
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
    /// `spec.selector`; empty selects nothing.
    pub(crate) selector: BTreeMap<Arc<str>, Arc<str>>,
    pub(crate) ports: Vec<ServicePort>,
    /// `externalName` of a Service of that type.
    pub(crate) external_name: Option<Arc<str>>,
    /// Set when the object cannot be relied on.
    pub(crate) closed: Option<Arc<Closure>>,
}

/// One of `spec.ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServicePort {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) number: u16,
    pub(crate) target: TargetPort,
    /// `appProtocol`; of a `ServiceEntry` its `protocol`.
    pub(crate) app_protocol: Option<Arc<str>>,
}

/// What a port speaks, as its name or `appProtocol` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortProtocol {
    /// HTTP/1.1, or nothing that is known here.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// TLS.
    Tls,
}

/// `targetPort`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TargetPort {
    Number(u16),
    Name(Arc<str>),
}

impl Service {
    /// Reads a Service; one that cannot be read is closed.
    pub(crate) fn read(object: &Arc<Object>, findings: &mut Vec<Finding>) -> Self {
        let mut service = Self {
            object: Arc::clone(object),
            namespace: Arc::clone(object.namespace()),
            name: Arc::clone(object.name()),
            selector: BTreeMap::new(),
            ports: Vec::new(),
            external_name: None,
            closed: object.closed.clone(),
        };
        if let Err(fault) = service.fill(object) {
            service.closed = Some(Arc::new(Closure::of(&fault)));
            findings.push(*fault);
        }
        service
    }

    fn fill(&mut self, object: &Arc<Object>) -> Result<(), Fault> {
        let Some(spec) = object.spec() else {
            return Ok(());
        };
        if let Some(selector) = spec.child("selector") {
            for (key, value) in selector.entries()? {
                self.selector.insert(key, value.text()?.into());
            }
        }
        for port in spec.child_items("ports")? {
            self.ports.push(service_port(&port)?);
        }
        if spec.child_text("type")?.as_deref() == Some("ExternalName") {
            let name = spec.required("externalName")?.text()?.to_ascii_lowercase();
            self.external_name = Some(name.trim_end_matches('.').into());
        }
        Ok(())
    }

    /// Whether pods with these labels stand behind it.
    pub(crate) fn selects(&self, labels: &BTreeMap<Arc<str>, Arc<str>>) -> bool {
        !self.selector.is_empty() && is_subset(&self.selector, labels)
    }

    /// The port of this number.
    pub(crate) fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|port| port.number == number)
    }
}

impl ServicePort {
    /// A port of which nothing but its number is known.
    pub(crate) fn plain(number: u16) -> Self {
        Self {
            name: None,
            number,
            target: TargetPort::Number(number),
            app_protocol: None,
        }
    }

    /// What it speaks: `appProtocol` goes before the name, whose first word counts.
    pub(crate) fn protocol(&self) -> PortProtocol {
        let by_name = || {
            let name = self.name.as_deref()?;
            let word = name.split('-').next().unwrap_or(name);
            Self::word(word)
        };
        let said = self.app_protocol.as_deref().and_then(Self::word);
        said.or_else(by_name).unwrap_or(PortProtocol::Http1)
    }

    fn word(word: &str) -> Option<PortProtocol> {
        match word.to_ascii_lowercase().as_str() {
            "kubernetes.io/h2c" | "http2" | "grpc" | "grpc-web" => Some(PortProtocol::Http2),
            "https" | "tls" | "kubernetes.io/wss" => Some(PortProtocol::Tls),
            "http" | "kubernetes.io/ws" => Some(PortProtocol::Http1),
            _ => None,
        }
    }
}

/// Whether every pair of `selector` is among `labels`.
pub(crate) fn is_subset(
    selector: &BTreeMap<Arc<str>, Arc<str>>,
    labels: &BTreeMap<Arc<str>, Arc<str>>,
) -> bool {
    selector
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}

fn service_port(field: &Field<'_>) -> Result<ServicePort, Fault> {
    let number = field.required("port")?.port()?;
    let target = match field.child("targetPort") {
        None => TargetPort::Number(number),
        Some(target) => match &target.node.value {
            Value::Text(name) => TargetPort::Name(Arc::clone(name)),
            _ => TargetPort::Number(target.port()?),
        },
    };
    Ok(ServicePort {
        name: field.child_text("name")?,
        number,
        target,
        app_protocol: field.child_text("appProtocol")?,
    })
}
