//! `Gateway`: listeners of a data plane.

use std::sync::Arc;

use super::listener::Listener;
use super::{GROUP, Reference, coded};
use crate::finding::Finding;
use crate::objects::{Fault, Field, Object};
use crate::snapshot::Closure;
use crate::world::Key;

/// A Gateway of the Gateway API.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    pub(crate) object: Arc<Object>,
    /// `spec.gatewayClassName`; empty where it cannot be read.
    pub(crate) class: Arc<str>,
    /// In the order of the file, without those that cannot be read.
    pub(crate) listeners: Vec<Listener>,
    /// `spec.infrastructure.parametersRef`.
    pub(crate) parameters: Option<Reference>,
    /// `spec.addresses`.
    pub(crate) addresses: Vec<Address>,
    /// `spec.tls.backend.clientCertificateRef`.
    pub(crate) client_certificate: Option<Reference>,
    /// `spec.tls.frontend.default`: whether clients show a certificate.
    pub(crate) clients: Option<ClientValidation>,
    /// `spec.tls.frontend.perPort`, which goes before it.
    pub(crate) clients_by_port: Vec<(u16, Option<ClientValidation>)>,
    /// Set when a part beside the listeners cannot be read: it might ask clients for certificates.
    pub(crate) closed: Option<Arc<Closure>>,
}

/// One of `spec.addresses`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// `IPAddress` unless given.
    pub(crate) kind: Arc<str>,
    pub(crate) value: Option<Arc<str>>,
    pub(crate) path: String,
    pub(crate) line: u32,
}

/// `validation` of client certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientValidation {
    pub(crate) authorities: Vec<Reference>,
    /// `mode: AllowInsecureFallback`.
    pub(crate) insecure: bool,
    pub(crate) path: String,
    pub(crate) line: u32,
}

fn validation(tls: Option<&Field<'_>>) -> Result<Option<ClientValidation>, Fault> {
    let Some(tls) = tls else {
        return Ok(None);
    };
    tls.only(&["validation"])?;
    let Some(field) = tls.child("validation") else {
        return Ok(None);
    };
    field.only(&["caCertificateRefs", "mode"])?;
    let authorities = field.required("caCertificateRefs")?.items()?;
    let authorities = authorities
        .iter()
        .map(|item| Reference::read(item, "", "ConfigMap"));
    let insecure = match field.child("mode") {
        None => false,
        Some(mode) => match mode.text()? {
            "AllowValidOnly" => false,
            "AllowInsecureFallback" => true,
            other => {
                let fault = format!("`{}` cannot be `{other}`", mode.path);
                return Err(mode.fault(fault, "write `AllowValidOnly`"));
            }
        },
    };
    Ok(Some(ClientValidation {
        authorities: authorities.collect::<Result<_, _>>()?,
        insecure,
        path: field.path.clone(),
        line: field.line(),
    }))
}

impl Gateway {
    /// Whether clients show a certificate on a port.
    pub(crate) fn clients_on(&self, port: u16) -> Option<&ClientValidation> {
        let own = self.clients_by_port.iter().find(|(own, _)| *own == port);
        own.map_or(self.clients.as_ref(), |(_, validation)| validation.as_ref())
    }

    /// Reads a Gateway. A listener that cannot be read is not there; a fault elsewhere closes all of
    /// them.
    pub(crate) fn read(object: &Arc<Object>, findings: &mut Vec<Finding>) -> Self {
        let mut gateway = Self {
            object: Arc::clone(object),
            class: "".into(),
            listeners: Vec::new(),
            parameters: None,
            addresses: Vec::new(),
            client_certificate: None,
            clients: None,
            clients_by_port: Vec::new(),
            closed: object.closed.clone(),
        };
        if let Err(fault) = gateway.fill(object, findings) {
            let fault = coded(fault);
            gateway
                .closed
                .get_or_insert_with(|| Arc::new(Closure::of(&fault)));
            findings.push(*fault);
        }
        gateway
    }

    fn fill(&mut self, object: &Arc<Object>, findings: &mut Vec<Finding>) -> Result<(), Fault> {
        let spec = object.top().required("spec")?;
        self.class = spec.required("gatewayClassName")?.text()?.into();
        for item in spec.child_items("listeners")? {
            match Listener::read(&item) {
                Ok(listener) => self.listeners.push(listener),
                Err(fault) => findings.push(*coded(fault)),
            }
        }
        spec.only(&[
            "gatewayClassName",
            "listeners",
            "addresses",
            "infrastructure",
            "allowedListeners",
            "tls",
            "defaultScope",
        ])?;
        if let Some(infrastructure) = spec.child("infrastructure") {
            let parameters = infrastructure.child("parametersRef");
            self.parameters = parameters
                .map(|parameters| Reference::read(&parameters, GROUP, ""))
                .transpose()?;
        }
        for item in spec.child_items("addresses")? {
            self.addresses.push(Address {
                kind: item
                    .child_text("type")?
                    .unwrap_or_else(|| "IPAddress".into()),
                value: item.child_text("value")?,
                path: item.path.clone(),
                line: item.line(),
            });
        }
        let Some(tls) = spec.child("tls") else {
            return Ok(());
        };
        tls.only(&["frontend", "backend"])?;
        if let Some(frontend) = tls.child("frontend") {
            frontend.only(&["default", "perPort"])?;
            self.clients = validation(frontend.child("default").as_ref())?;
            for item in frontend.child_items("perPort")? {
                item.only(&["port", "tls"])?;
                let port = item.required("port")?.port()?;
                self.clients_by_port
                    .push((port, validation(item.child("tls").as_ref())?));
            }
        }
        let certificate = tls
            .child("backend")
            .and_then(|backend| backend.child("clientCertificateRef"));
        self.client_certificate = certificate
            .map(|certificate| Reference::read(&certificate, "", "Secret"))
            .transpose()?;
        Ok(())
    }

    /// Namespace and name.
    pub(crate) fn key(&self) -> Key {
        (
            Arc::clone(self.object.namespace()),
            Arc::clone(self.object.name()),
        )
    }
}
