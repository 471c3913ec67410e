//! `selector` and `targetRefs`: what a policy is about.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::gateway_api::GROUP;
use super::service::is_subset;
use crate::objects::{Broken, Fault, Field, Object};

/// What an `AuthorizationPolicy` or `RequestAuthentication` applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Namespace of the object.
    pub(crate) namespace: Arc<str>,
    /// `selector.matchLabels`; empty selects every workload of the namespace.
    pub(crate) labels: BTreeMap<Arc<str>, Arc<str>>,
    /// `targetRef` or `targetRefs`.
    pub(crate) targets: Targets,
    /// Whether it is about its own namespace alone, even if that is the root namespace: access
    /// rules of old know none.
    pub(crate) is_local: bool,
}

/// What a policy attaches to by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Targets {
    /// Nothing: it selects workloads.
    Absent,
    /// These, and no workload.
    Named(Vec<Target>),
    /// Something that cannot be told, so it may be anything that the namespace has.
    Unreadable,
}

/// One object that a policy attaches to. All but a class are of the policy's own namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) kind: TargetKind,
    pub(crate) name: Arc<str>,
    pub(crate) line: u32,
}

/// Kinds that a policy may attach to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetKind {
    /// `Gateway` of the Gateway API.
    Gateway,
    /// `GatewayClass`: every Gateway of the class, from the root namespace.
    GatewayClass,
    /// `Service`.
    Service,
    /// `ServiceEntry`.
    ServiceEntry,
}

const MOST_TARGETS: usize = 16;

impl Target {
    fn read(field: &Field<'_>, namespace: &str) -> Result<Self, Fault> {
        field.strict(&["group", "kind", "name", "namespace"])?;
        let group = match field.child("group") {
            Some(group) => group.text()?.to_owned(),
            None => String::new(),
        };
        let kind = field.required("kind")?;
        let kind = match (group.as_str(), kind.text()?) {
            (GROUP, "Gateway") => TargetKind::Gateway,
            (GROUP, "GatewayClass") => TargetKind::GatewayClass,
            ("" | "core", "Service") => TargetKind::Service,
            ("networking.istio.io", "ServiceEntry") => TargetKind::ServiceEntry,
            (group, other) => {
                let fault = format!("a policy cannot attach to `{other}` of the group `{group}`");
                let remedy = "name a `Gateway` of `gateway.networking.k8s.io`, a `Service` or a `ServiceEntry`";
                return Err(kind.fault(fault, remedy));
            }
        };
        if let Some(other) = field.child("namespace")
            && other.text()? != namespace
        {
            let fault = format!("`{}` is not the namespace of the policy", other.path);
            let remedy = "put the policy into the namespace of what it attaches to";
            return Err(other.fault(fault, remedy));
        }
        let name = field.required("name")?;
        Ok(Self {
            kind,
            name: name.text()?.into(),
            line: name.line(),
        })
    }

    /// As people write it.
    pub(crate) fn title(&self) -> String {
        let kind = match self.kind {
            TargetKind::Gateway => "Gateway",
            TargetKind::GatewayClass => "GatewayClass",
            TargetKind::Service => "Service",
            TargetKind::ServiceEntry => "ServiceEntry",
        };
        format!("{kind} {}", self.name)
    }
}

impl Selection {
    /// Every workload of the namespace, or of the mesh when it is the root namespace.
    pub(crate) fn whole(namespace: &Arc<str>) -> Self {
        Self {
            namespace: Arc::clone(namespace),
            labels: BTreeMap::new(),
            targets: Targets::Absent,
            is_local: false,
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
        let mut refs: Vec<Field<'_>> = spec.child("targetRef").into_iter().collect();
        refs.extend(spec.child_items("targetRefs")?);
        if let Some(beyond) = refs.get(MOST_TARGETS) {
            let fault = format!("a policy attaches to {MOST_TARGETS} objects at most");
            return Err(beyond.fault(fault, "write another policy for the rest"));
        }
        if !refs.is_empty() {
            let read = refs
                .iter()
                .map(|field| Target::read(field, object.namespace()));
            selection.targets = Targets::Named(read.collect::<Result<_, _>>()?);
        }
        if let Some(selector) = spec.child("selector") {
            selector.strict(&["matchLabels"])?;
            if selection.targets != Targets::Absent {
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
        let is_root = *self.namespace == *root_namespace && !self.is_local;
        let near = is_root || *self.namespace == *namespace;
        match self.targets {
            Targets::Absent => near && is_subset(&self.labels, labels),
            Targets::Named(_) => false,
            Targets::Unreadable => near,
        }
    }

    /// Whether it attaches to an object of this kind, namespace and name, or may do so.
    pub(crate) fn names(
        &self,
        root_namespace: &str,
        kind: TargetKind,
        namespace: &str,
        name: &str,
    ) -> bool {
        let is_root = *self.namespace == *root_namespace;
        match &self.targets {
            Targets::Absent => false,
            Targets::Named(targets) => {
                let near = match kind {
                    TargetKind::GatewayClass => is_root,
                    _ => *self.namespace == *namespace,
                };
                let mut targets = targets.iter();
                near && targets.any(|target| target.kind == kind && *target.name == *name)
            }
            Targets::Unreadable => is_root || *self.namespace == *namespace,
        }
    }

    /// Takes it that references that could not be read mean anything of the namespace.
    pub(crate) fn doubt(&mut self, object: &Object) {
        let mut all = ["targetRef", "targetRefs"].iter();
        let is_there = |name| object.root.path(&["spec", name]).is_some();
        if self.targets == Targets::Absent && all.any(|name| is_there(name)) {
            self.targets = Targets::Unreadable;
        }
    }
}
