//! KServe `InferenceService` (serving.kserve.io): a model, and the parts that answer for it.

mod ingress;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::knative::{Pods, is_cluster_local};
use crate::finding::{Finding, codes};
use crate::objects::{Fault, Field, Object, string_map};
use crate::snapshot::Closure;

pub(crate) use ingress::{IngressConfig, Mode};

type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// An InferenceService.
#[derive(Clone, Debug)]
pub(crate) struct InferenceService {
    pub(crate) object: Arc<Object>,
    pub(crate) labels: Labels,
    pub(crate) annotations: Labels,
    /// How its parts run, where it says so itself.
    pub(crate) mode: Option<Mode>,
    /// Its parts, the predictor among them.
    pub(crate) components: Vec<Component>,
    /// Set when it cannot be read: its hosts are closed.
    pub(crate) closed: Option<Arc<Closure>>,
}

/// A part that runs.
#[derive(Clone, Debug)]
pub(crate) struct Component {
    pub(crate) role: Role,
    /// What its pods carry.
    pub(crate) pods: Pods,
}

/// What a part does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Predictor,
    Transformer,
    Explainer,
}

impl Role {
    /// As in `spec` and in names of Services.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Predictor => "predictor",
            Self::Transformer => "transformer",
            Self::Explainer => "explainer",
        }
    }
}

impl InferenceService {
    /// Reads an InferenceService. What cannot be read is closed.
    pub(crate) fn read(object: &Arc<Object>, findings: &mut Vec<Finding>) -> Self {
        let metadata = |name| string_map(object.root.path(&["metadata", name]));
        let mut service = Self {
            object: Arc::clone(object),
            labels: metadata("labels"),
            annotations: metadata("annotations"),
            mode: None,
            components: Vec::new(),
            closed: object.closed.clone(),
        };
        if let Err(mut fault) = service.fill(object) {
            fault.code = codes::SERVING_INVALID;
            service.closed = Some(Arc::new(Closure::of(&fault)));
            findings.push(*fault);
        }
        service
    }

    fn fill(&mut self, object: &Object) -> Result<(), Fault> {
        const MODE: &str = "serving.kserve.io/deploymentMode";
        let top = object.top();
        let status = top
            .child("status")
            .and_then(|status| status.child("deploymentMode"));
        self.mode = match (self.annotations.get(MODE), status) {
            (Some(text), _) => Some(Mode::parse(text).ok_or_else(|| {
                top.fault(
                    format!("`{MODE}` cannot be `{text}`"),
                    "write `Serverless` or `RawDeployment`",
                )
            })?),
            (None, Some(status)) => Mode::parse(status.text()?),
            (None, None) => None,
        };
        let spec = top.required("spec")?;
        let predictor = spec.required("predictor")?;
        self.component(Role::Predictor, &predictor)?;
        for role in [Role::Transformer, Role::Explainer] {
            if let Some(part) = spec.child(role.as_str()) {
                self.component(role, &part)?;
            }
        }
        Ok(())
    }

    fn component(&mut self, role: Role, field: &Field<'_>) -> Result<(), Fault> {
        // A part is a mapping, whatever the model in it is.
        field.entries()?;
        let own = |name| string_map(field.node.field(name));
        let mut labels = self.labels.clone();
        labels.extend(own("labels"));
        labels.insert(
            "serving.kserve.io/inferenceservice".into(),
            Arc::clone(self.object.name()),
        );
        labels.insert("component".into(), role.as_str().into());
        let mut annotations = self.annotations.clone();
        annotations.extend(own("annotations"));
        let pods = Pods {
            labels,
            annotations,
        };
        self.components.push(Component { role, pods });
        Ok(())
    }

    /// The part of this role.
    pub(crate) fn component_of(&self, role: Role) -> Option<&Component> {
        self.components.iter().find(|one| one.role == role)
    }

    /// The part that requests come to first. One that cannot be read has a predictor all the same.
    pub(crate) fn entry(&self) -> Role {
        match self.component_of(Role::Transformer) {
            Some(_) => Role::Transformer,
            None => Role::Predictor,
        }
    }

    /// Whether nobody outside may reach it.
    pub(crate) fn is_local(&self) -> bool {
        const OWN: &str = "networking.kserve.io/visibility";
        let own = self.labels.get(OWN);
        is_cluster_local(&self.labels) || own.is_some_and(|value| &**value == "cluster-local")
    }
}
