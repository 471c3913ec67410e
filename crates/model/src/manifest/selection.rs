//! `selector` and `targetRefs`: which workloads a policy is about.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::service::is_subset;
use crate::objects::{Broken, Fault, Field, Object};

/// Which workloads an `AuthorizationPolicy` or `RequestAuthentication` applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Namespace of the object.
    pub(crate) namespace: Arc<str>,
    /// `selector.matchLabels`; empty selects every workload of the namespace.
    pub(crate) labels: BTreeMap<Arc<str>, Arc<str>>,
    /// Whether it attaches by `targetRef` or `targetRefs`, which gateways and sidecars of this kind
    /// do not look at.
    pub(crate) by_reference: bool,
}

impl Selection {
    /// Every workload of the namespace, or of the mesh when it is the root namespace.
    pub(crate) fn whole(namespace: &Arc<str>) -> Self {
        Self {
            namespace: Arc::clone(namespace),
            labels: BTreeMap::new(),
            by_reference: false,
        }
    }

    /// What a document that is no YAML might have selected.
    pub(crate) fn of_broken(broken: &Broken, root_namespace: &Arc<str>) -> Self {
        Self::whole(if broken.namespace_known {
            &broken.object.namespace
        } else {
            root_namespace
        })
    }

    /// Reads the selection below `spec`.
    pub(crate) fn read(object: &Object, spec: &Field<'_>) -> Result<Self, Fault> {
        let mut selection = Self::whole(object.namespace());
        selection.by_reference = ["targetRef", "targetRefs"]
            .iter()
            .any(|name| spec.child(name).is_some());
        if let Some(selector) = spec.child("selector") {
            selector.strict(&["matchLabels"])?;
            if selection.by_reference {
                let fault = format!("`{}` and `targetRefs` exclude each other", selector.path);
                return Err(selector.fault(fault, "keep one of them"));
            }
            if let Some(labels) = selector.child("matchLabels") {
                for (key, value) in labels.entries()? {
                    let text = value.text()?;
                    if key.is_empty() || key.contains('*') || text.contains('*') {
                        let fault = format!("`{}` cannot hold `*`", labels.path);
                        return Err(value.fault(fault, "write whole labels"));
                    }
                    selection.labels.insert(key, text.into());
                }
            }
        }
        Ok(selection)
    }

    /// Whether pods of this namespace with these labels are meant.
    pub(crate) fn covers(
        &self,
        root_namespace: &str,
        namespace: &str,
        labels: &BTreeMap<Arc<str>, Arc<str>>,
    ) -> bool {
        let near = *self.namespace == *root_namespace || *self.namespace == *namespace;
        near && !self.by_reference && is_subset(&self.labels, labels)
    }
}
