//! `listeners[]` of a `Gateway`.

use std::sync::Arc;

use super::label_selector::LabelSelector;
use super::{GROUP, Reference};
use crate::names::HostPattern;
use crate::objects::{Fault, Field};

/// A listener.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    /// Such as `spec.listeners[0]`.
    pub(crate) path: String,
    pub(crate) line: u32,
    pub(crate) name: Arc<str>,
    /// `*` where none is given.
    pub(crate) hostname: HostPattern,
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
    pub(crate) tls: Option<ListenerTls>,
    pub(crate) allowed: AllowedRoutes,
}

/// `protocol`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Https,
    Tls,
    Other(Arc<str>),
}

/// `tls`.
#[derive(Clone, Debug)]
pub(crate) struct ListenerTls {
    /// `mode: Passthrough`.
    pub(crate) passthrough: bool,
    pub(crate) certificates: Vec<Reference>,
}

/// `allowedRoutes`.
#[derive(Clone, Debug)]
pub(crate) struct AllowedRoutes {
    pub(crate) from: From,
    /// Group and kind; empty allows every kind of the protocol.
    pub(crate) kinds: Vec<(Arc<str>, Arc<str>)>,
}

/// `allowedRoutes.namespaces`.
#[derive(Clone, Debug)]
pub(crate) enum From {
    Same,
    All,
    None,
    Selector(LabelSelector),
}

impl Listener {
    /// Reads a listener.
    pub(super) fn read(field: &Field<'_>) -> Result<Self, Fault> {
        field.only(&[
            "name",
            "hostname",
            "port",
            "protocol",
            "tls",
            "allowedRoutes",
        ])?;
        let hostname = match field.child("hostname") {
            None => HostPattern::Any,
            Some(hostname) if hostname.node.text() == Some("") => HostPattern::Any,
            Some(hostname) => super::parent::hostname(&hostname)?,
        };
        Ok(Self {
            path: field.path.clone(),
            line: field.line(),
            name: field.required("name")?.text()?.into(),
            hostname,
            port: field.required("port")?.port()?,
            protocol: match field.required("protocol")?.text()? {
                "HTTP" => Protocol::Http,
                "HTTPS" => Protocol::Https,
                "TLS" => Protocol::Tls,
                other => Protocol::Other(other.into()),
            },
            tls: field.child("tls").map(|tls| self::tls(&tls)).transpose()?,
            allowed: match field.child("allowedRoutes") {
                Some(allowed) => allowed_routes(&allowed)?,
                None => AllowedRoutes {
                    from: From::Same,
                    kinds: Vec::new(),
                },
            },
        })
    }
}

fn tls(field: &Field<'_>) -> Result<ListenerTls, Fault> {
    let passthrough = match field.child("mode") {
        None => false,
        Some(mode) => match mode.text()? {
            "Terminate" => false,
            "Passthrough" => true,
            other => {
                let fault = format!("`{}` is no mode: `{other}`", mode.path);
                return Err(mode.fault(fault, "write `Terminate` or `Passthrough`"));
            }
        },
    };
    let certificates = field.child_items("certificateRefs")?;
    let certificates = certificates
        .iter()
        .map(|item| Reference::read(item, "", "Secret"));
    Ok(ListenerTls {
        passthrough,
        certificates: certificates.collect::<Result<_, _>>()?,
    })
}

fn allowed_routes(field: &Field<'_>) -> Result<AllowedRoutes, Fault> {
    field.only(&["namespaces", "kinds"])?;
    let from = match field.child("namespaces") {
        None => From::Same,
        Some(namespaces) => match namespaces.child_text("from")?.as_deref() {
            None | Some("Same") => From::Same,
            Some("All") => From::All,
            Some("None") => From::None,
            Some("Selector") => {
                From::Selector(LabelSelector::read(&namespaces.required("selector")?)?)
            }
            Some(other) => {
                let fault = format!("`{}.from` cannot be `{other}`", namespaces.path);
                return Err(namespaces.fault(fault, "write `Same`, `All`, `None` or `Selector`"));
            }
        },
    };
    let mut kinds = Vec::new();
    for item in field.child_items("kinds")? {
        let group = item.child_text("group")?.unwrap_or_else(|| GROUP.into());
        kinds.push((group, item.required("kind")?.text()?.into()));
    }
    Ok(AllowedRoutes { from, kinds })
}
