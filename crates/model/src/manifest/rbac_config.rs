//! `ClusterRbacConfig` and the older `RbacConfig` (rbac.istio.io): where early versions of Istio
//! refuse what no role allows.

use std::sync::Arc;

use crate::finding::{Finding, codes};
use crate::objects::{Fault, Field, Object};
use crate::snapshot::Closure;

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RbacConfig {
    pub(crate) mode: Mode,
    /// Whether it is enforced, not only logged.
    pub(crate) enforced: bool,
}

/// Where roles are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nowhere.
    Off,
    /// Everywhere.
    On,
    /// In these.
    Inclusion(Targets),
    /// Everywhere but in these.
    Exclusion(Targets),
}

/// Namespaces and full names of Services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Targets {
    pub(crate) namespaces: Vec<Arc<str>>,
    pub(crate) services: Vec<Arc<str>>,
}

impl Mode {
    /// Whether roles are asked for in all of a namespace.
    pub(crate) fn asks(&self, namespace: &Arc<str>) -> bool {
        match self {
            Self::Off => false,
            Self::On => true,
            Self::Inclusion(targets) => targets.namespaces.contains(namespace),
            Self::Exclusion(targets) => {
                // One of its Services may be excluded, too.
                !targets.namespaces.contains(namespace) && targets.services.is_empty()
            }
        }
    }
}

/// The only name that counts.
const NAME: &str = "default";

/// Reads one. Of one that cannot be read nobody can say where it was meant.
pub(crate) fn read(
    object: &Object,
    findings: &mut Vec<Finding>,
) -> Result<RbacConfig, Arc<Closure>> {
    if let Some(closure) = &object.closed {
        return Err(Arc::clone(closure));
    }
    convert(object).map_err(|mut fault| {
        fault.code = codes::LEGACY_RBAC_INVALID;
        let closure = Arc::new(Closure::of(&fault));
        findings.push(*fault);
        closure
    })
}

fn convert(object: &Object) -> Result<RbacConfig, Fault> {
    let top = object.top();
    if &**object.name() != NAME {
        let fault = format!("only one that is named `{NAME}` counts");
        return Err(top.fault(fault, format!("name it `{NAME}`")));
    }
    let spec = top.required("spec")?;
    spec.only(&["mode", "inclusion", "exclusion", "enforcementMode"])?;
    let mode = spec.required("mode")?;
    let mode = match mode.text()? {
        "OFF" => Mode::Off,
        "ON" => Mode::On,
        "ON_WITH_INCLUSION" => Mode::Inclusion(targets(&spec.required("inclusion")?)?),
        "ON_WITH_EXCLUSION" => Mode::Exclusion(targets(&spec.required("exclusion")?)?),
        other => {
            let fault = format!("`{other}` is no mode");
            let remedy = "write OFF, ON, ON_WITH_INCLUSION or ON_WITH_EXCLUSION";
            return Err(mode.fault(fault, remedy));
        }
    };
    let enforced = is_enforced(&spec, "enforcementMode")?;
    Ok(RbacConfig { mode, enforced })
}

fn targets(field: &Field<'_>) -> Result<Targets, Fault> {
    field.only(&["namespaces", "services"])?;
    Ok(Targets {
        namespaces: field.texts("namespaces")?,
        services: field.texts("services")?,
    })
}

/// Reads a role or a binding; one that cannot be read is a finding and gives nothing.
pub(super) fn read_grant<T>(
    object: &Object,
    convert: impl FnOnce(&Object) -> Result<T, Fault>,
    findings: &mut Vec<Finding>,
) -> Option<T> {
    if object.closed.is_some() {
        return None;
    }
    let read = convert(object).map_err(|mut fault| {
        fault.code = codes::LEGACY_RBAC_INVALID;
        findings.push(*fault);
    });
    read.ok()
}

/// Whether a mode of enforcement means more than a line in the log.
pub(super) fn is_enforced(field: &Field<'_>, name: &str) -> Result<bool, Fault> {
    let Some(mode) = field.child(name) else {
        return Ok(true);
    };
    match mode.text()? {
        "ENFORCED" => Ok(true),
        "PERMISSIVE" => Ok(false),
        other => {
            let fault = format!("`{other}` is no mode of enforcement");
            Err(mode.fault(fault, "write ENFORCED or PERMISSIVE"))
        }
    }
}
