//! `ReferenceGrant`: which objects of other namespaces may name objects of this one.

use std::sync::Arc;

use super::{Reference, coded};
use crate::finding::Finding;
use crate::objects::{Fault, Object};

/// A ReferenceGrant.
#[derive(Clone, Debug)]
pub(crate) struct ReferenceGrant {
    /// Namespace of what may be named.
    namespace: Arc<str>,
    from: Vec<From>,
    to: Vec<To>,
}

#[derive(Clone, Debug)]
struct From {
    group: Arc<str>,
    kind: Arc<str>,
    namespace: Arc<str>,
}

#[derive(Clone, Debug)]
struct To {
    group: Arc<str>,
    kind: Arc<str>,
    /// Every object of the kind where none is named.
    name: Option<Arc<str>>,
}

impl ReferenceGrant {
    /// Reads a ReferenceGrant. One that cannot be relied on grants nothing.
    pub(crate) fn read(object: &Arc<Object>, findings: &mut Vec<Finding>) -> Option<Self> {
        if object.closed.is_some() {
            return None;
        }
        convert(object)
            .map_err(|fault| findings.push(*coded(fault)))
            .ok()
    }

    /// Whether an object of this group, kind and namespace may name `target`.
    pub(crate) fn allows(&self, from: (&str, &str, &str), target: &Reference) -> bool {
        self.namespace == target.namespace
            && self
                .from
                .iter()
                .any(|one| (&*one.group, &*one.kind, &*one.namespace) == from)
            && self.to.iter().any(|one| {
                one.group == target.group
                    && one.kind == target.kind
                    && one.name.as_ref().is_none_or(|name| *name == target.name)
            })
    }
}

fn convert(object: &Arc<Object>) -> Result<ReferenceGrant, Fault> {
    let spec = object.top().required("spec")?;
    let mut grant = ReferenceGrant {
        namespace: Arc::clone(object.namespace()),
        from: Vec::new(),
        to: Vec::new(),
    };
    for item in spec.required("from")?.items()? {
        item.only(&["group", "kind", "namespace"])?;
        grant.from.push(From {
            group: item.required("group")?.text()?.into(),
            kind: item.required("kind")?.text()?.into(),
            namespace: item.required("namespace")?.text()?.into(),
        });
    }
    for item in spec.required("to")?.items()? {
        // A misspelled `name` would grant every object of the kind.
        item.only(&["group", "kind", "name"])?;
        grant.to.push(To {
            group: item.required("group")?.text()?.into(),
            kind: item.required("kind")?.text()?.into(),
            name: item.child_text("name")?.filter(|name| !name.is_empty()),
        });
    }
    Ok(grant)
}
