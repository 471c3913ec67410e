//! The Gateway API (gateway.networking.k8s.io): one file per kind, and what their kinds share.

pub(crate) mod backend_ref;
pub(crate) mod backend_tls_policy;
mod cors;
pub(crate) mod filters;
pub(crate) mod gateway;
pub(crate) mod gateway_class;
mod grpc_match;
mod http_match;
pub(crate) mod http_route;
pub(crate) mod label_selector;
pub(crate) mod listener;
pub(crate) mod parent;
pub(crate) mod reference_grant;

use std::sync::Arc;

use crate::finding::codes;
use crate::objects::{Fault, Field};

/// The API group of all of them.
pub(crate) const GROUP: &str = "gateway.networking.k8s.io";

/// An object that another one names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) group: Arc<str>,
    pub(crate) kind: Arc<str>,
    /// The one of the object that names it, unless given.
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
    /// Such as `spec.rules[0].backendRefs[1]`.
    pub(crate) path: String,
    pub(crate) line: u32,
}

impl Reference {
    /// Reads `group`, `kind`, `namespace` and `name` below `field`. What the field does not say is
    /// of this group and kind.
    pub(crate) fn read(field: &Field<'_>, group: &str, kind: &str) -> Result<Self, Fault> {
        let or = |text: Option<Arc<str>>, usual: &str| text.unwrap_or_else(|| usual.into());
        Ok(Self {
            group: or(field.child_text("group")?, group),
            kind: or(field.child_text("kind")?, kind),
            namespace: or(field.child_text("namespace")?, field.object.namespace()),
            name: field.required("name")?.text()?.into(),
            path: field.path.clone(),
            line: field.line(),
        })
    }
}

/// The fault as one of an object of this API.
fn coded(mut fault: Fault) -> Fault {
    if fault.code == codes::FIELD || fault.code == codes::UNKNOWN_FIELD {
        fault.code = codes::GATEWAY_API_INVALID;
    }
    fault
}
