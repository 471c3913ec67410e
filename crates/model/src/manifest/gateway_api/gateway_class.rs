//! `GatewayClass`: which controller a `Gateway` is for.

use std::sync::Arc;

use super::coded;
use crate::finding::Finding;
use crate::objects::{Fault, Object};

/// The controller name of doorward.
pub(crate) const CONTROLLER: &str = "doorward.dev/gateway";

/// Controllers whose Gateways are ours: doorward's own, and the one that doorward stands in for.
const OURS: [&str; 2] = [CONTROLLER, "istio.io/gateway-controller"];

/// A GatewayClass.
#[derive(Clone, Debug)]
pub(crate) struct GatewayClass {
    pub(crate) object: Arc<Object>,
    /// `spec.controllerName`; empty where it cannot be read.
    pub(crate) controller: Arc<str>,
    /// Whether `spec.parametersRef` names settings; doorward has none there.
    pub(crate) has_parameters: bool,
}

impl GatewayClass {
    /// Reads a GatewayClass; one that cannot be read is nobody's.
    pub(crate) fn read(object: &Arc<Object>, findings: &mut Vec<Finding>) -> Self {
        let mut class = Self {
            object: Arc::clone(object),
            controller: "".into(),
            has_parameters: false,
        };
        if let Err(fault) = class.fill(object) {
            findings.push(*coded(fault));
        }
        class
    }

    fn fill(&mut self, object: &Arc<Object>) -> Result<(), Fault> {
        let spec = object.top().required("spec")?;
        self.has_parameters = spec.child("parametersRef").is_some();
        self.controller = spec.required("controllerName")?.text()?.into();
        Ok(())
    }

    /// Whether Gateways of this class are served here.
    pub(crate) fn is_ours(&self) -> bool {
        OURS.contains(&&*self.controller)
    }
}
