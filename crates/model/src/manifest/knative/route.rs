//! Knative `Service` and `Route`: a name, and the revisions that requests are split over.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::finding::{Finding, codes};
use crate::objects::{Fault, Field, Node, Object, string_map};
use crate::snapshot::Closure;

type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// The label that keeps a Route inside the cluster.
pub(crate) const VISIBILITY: &str = "networking.knative.dev/visibility";

/// A Knative `Service` or `Route`, or what KServe would make.
#[derive(Clone, Debug)]
pub(crate) struct Serving {
    pub(crate) object: Arc<Object>,
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
    /// Labels and annotations of the Route, which templates and selectors look at.
    pub(crate) labels: Labels,
    pub(crate) annotations: Labels,
    /// What its pods carry.
    pub(crate) pods: Pods,
    pub(crate) traffic: Vec<Target>,
    /// Set when it cannot be read: its hosts are closed.
    pub(crate) closed: Option<Arc<Closure>>,
}

/// Labels and annotations of pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pods {
    pub(crate) labels: Labels,
    pub(crate) annotations: Labels,
}

/// One of `traffic`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// `revisionName`, where it is known.
    pub(crate) revision: Option<Arc<str>>,
    pub(crate) percent: u32,
    pub(crate) tag: Option<Arc<str>>,
}

impl Target {
    /// All requests to the latest revision.
    pub(crate) fn latest() -> Self {
        Self {
            revision: None,
            percent: 100,
            tag: None,
        }
    }
}

/// Whether labels say that nobody outside may reach it.
pub(crate) fn is_cluster_local(labels: &Labels) -> bool {
    labels
        .get(VISIBILITY)
        .is_some_and(|value| &**value == "cluster-local")
}

impl Serving {
    /// Reads a `Service` or `Route`. What cannot be read is closed.
    pub(crate) fn read(object: &Arc<Object>, findings: &mut Vec<Finding>) -> Self {
        let metadata = |name| string_map(object.root.path(&["metadata", name]));
        let template = |name| string_map(object.root.path(&["spec", "template", "metadata", name]));
        let name = object.name();
        let mut pods = Pods {
            labels: template("labels"),
            annotations: template("annotations"),
        };
        pods.labels
            .insert("serving.knative.dev/service".into(), Arc::clone(name));
        pods.labels
            .insert("serving.knative.dev/configuration".into(), Arc::clone(name));
        let mut serving = Self {
            object: Arc::clone(object),
            namespace: Arc::clone(object.namespace()),
            name: Arc::clone(name),
            labels: metadata("labels"),
            annotations: metadata("annotations"),
            pods,
            traffic: Vec::new(),
            closed: object.closed.clone(),
        };
        match traffic(object) {
            Ok(traffic) => serving.traffic = traffic,
            Err(mut fault) => {
                fault.code = codes::SERVING_INVALID;
                serving.closed = Some(Arc::new(Closure::of(&fault)));
                findings.push(*fault);
            }
        }
        serving
    }
}

/// What `status` says is in effect, else what `spec` asks for.
fn traffic(object: &Object) -> Result<Vec<Target>, Fault> {
    let below = |name: &str| {
        object
            .top()
            .child(name)
            .and_then(|all| all.child("traffic"))
    };
    let in_effect = below("status").filter(|list| !list.node.items().is_none_or(<[_]>::is_empty));
    let ready = object
        .root
        .path(&["status", "latestReadyRevisionName"])
        .and_then(Node::text);
    let mut targets = Vec::new();
    if let Some(list) = in_effect.or_else(|| below("spec")) {
        for item in list.items()? {
            targets.push(target(&item, ready)?);
        }
    }
    if targets.is_empty() {
        targets.push(Target {
            revision: ready.map(Arc::from),
            ..Target::latest()
        });
    }
    Ok(targets)
}

fn target(item: &Field<'_>, ready: Option<&str>) -> Result<Target, Fault> {
    let named = item.child_text("revisionName")?;
    let percent = match item.child("percent") {
        None => 0,
        Some(percent) => match percent.number()? {
            share @ 0..=100 => u32::try_from(share).unwrap_or(100),
            other => {
                let fault = format!("`{}` cannot be {other}", percent.path);
                return Err(percent.fault(fault, "write 0 to 100"));
            }
        },
    };
    Ok(Target {
        revision: named.or_else(|| ready.map(Arc::from)),
        percent,
        tag: item.child_text("tag")?.filter(|tag| !tag.is_empty()),
    })
}
