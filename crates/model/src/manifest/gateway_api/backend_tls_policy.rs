//! `BackendTLSPolicy`: how TLS to a backend is made and verified.

use std::sync::Arc;

use super::{Reference, coded};
use crate::finding::Finding;
use crate::objects::{Fault, Field, Object};

/// A BackendTLSPolicy.
#[derive(Clone, Debug)]
pub(crate) struct BackendTlsPolicy {
    pub(crate) object: Arc<Object>,
    /// Services of its own namespace, each with a port name where only that is meant; `None` where
    /// they cannot be read, so it may be about every one.
    pub(crate) targets: Option<Vec<(Reference, Option<Arc<str>>)>>,
    /// `None` where it cannot be read.
    pub(crate) validation: Option<Validation>,
    /// `metadata.creationTimestamp`.
    pub(crate) created: Option<Arc<str>>,
}

/// `validation`.
#[derive(Clone, Debug)]
pub(crate) struct Validation {
    pub(crate) authorities: Vec<Reference>,
    /// `wellKnownCACertificates: System`.
    pub(crate) system: bool,
    pub(crate) hostname: Arc<str>,
    /// Names of which the certificate must have one; empty asks for the host name.
    pub(crate) names: Vec<Arc<str>>,
    pub(crate) line: u32,
}

impl BackendTlsPolicy {
    /// Reads a BackendTLSPolicy. One that cannot be read closes the Services that it is about.
    pub(crate) fn read(object: &Arc<Object>, findings: &mut Vec<Finding>) -> Self {
        let created = object.root.path(&["metadata", "creationTimestamp"]);
        let mut policy = Self {
            object: Arc::clone(object),
            targets: None,
            validation: None,
            created: created
                .and_then(|created| created.text())
                .map(|text| text.into()),
        };
        if let Err(fault) = policy.fill(object) {
            findings.push(*coded(fault));
        }
        policy
    }

    fn fill(&mut self, object: &Arc<Object>) -> Result<(), Fault> {
        let spec = object.top().required("spec")?;
        let mut targets = Vec::new();
        for item in spec.required("targetRefs")?.items()? {
            // Without a namespace: it is always the policy's own.
            item.only(&["group", "kind", "name", "sectionName"])?;
            let target = Reference::read(&item, "", "Service")?;
            targets.push((target, item.child_text("sectionName")?));
        }
        self.targets = Some(targets);
        self.validation = Some(validation(&spec.required("validation")?)?);
        Ok(())
    }
}

fn validation(field: &Field<'_>) -> Result<Validation, Fault> {
    field.only(&[
        "caCertificateRefs",
        "wellKnownCACertificates",
        "hostname",
        "subjectAltNames",
    ])?;
    let authorities = field.child_items("caCertificateRefs")?;
    let authorities = authorities
        .iter()
        .map(|item| Reference::read(item, "", "ConfigMap"))
        .collect::<Result<Vec<_>, _>>()?;
    let system = match field.child("wellKnownCACertificates") {
        None => false,
        Some(known) => match known.text()? {
            "System" => true,
            "" => false,
            other => {
                let fault = format!("`{}` cannot be `{other}`", known.path);
                return Err(known.fault(fault, "write `System`"));
            }
        },
    };
    if system != authorities.is_empty() {
        let fault = format!(
            "`{}` has to name authorities in one of two ways",
            field.path
        );
        let remedy = "write `caCertificateRefs` or `wellKnownCACertificates: System`";
        return Err(field.fault(fault, remedy));
    }
    let mut names = Vec::new();
    for item in field.child_items("subjectAltNames")? {
        let kind = item.required("type")?;
        names.push(match kind.text()? {
            "Hostname" => item.required("hostname")?.text()?.into(),
            "URI" => item.required("uri")?.text()?.into(),
            other => {
                let fault = format!("`{}` cannot be `{other}`", kind.path);
                return Err(kind.fault(fault, "write `Hostname` or `URI`"));
            }
        });
    }
    Ok(Validation {
        authorities,
        system,
        hostname: field.required("hostname")?.text()?.into(),
        names,
        line: field.line(),
    })
}
