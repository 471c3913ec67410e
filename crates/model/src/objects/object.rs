//! One Kubernetes object as it stands in a file.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::field::Field;
use super::node::Node;
use crate::finding::{Code, Finding, Severity};
use crate::names::{ObjectRef, Place};
use crate::snapshot::Closure;

/// One object: its name, where it stands, and its tree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object {
    /// Kind, namespace (empty when cluster-scoped, `default` when left out) and name.
    pub(crate) reference: ObjectRef,
    /// API group without version; empty for the core group.
    pub(crate) group: Arc<str>,
    /// Version within the group.
    pub(crate) version: Arc<str>,
    /// Where it begins.
    pub(crate) place: Place,
    /// Everything, `metadata` included.
    pub(crate) root: Node,
    /// Set when its content must not be relied on: it stands in the files twice with different
    /// content, or in a version nobody here can read. Kinds close what it selects.
    pub(crate) closed: Option<Arc<Closure>>,
}

impl Object {
    /// `metadata.name`.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.reference.name
    }

    /// Namespace; empty for cluster-scoped objects.
    pub(crate) fn namespace(&self) -> &Arc<str> {
        &self.reference.namespace
    }

    /// A line of this object.
    pub(crate) fn at(&self, line: u32) -> Place {
        Place {
            file: Arc::clone(&self.place.file),
            line,
        }
    }

    /// The top of the tree, for reading with findings.
    pub(crate) fn top(&self) -> Field<'_> {
        Field {
            object: self,
            node: &self.root,
            path: String::new(),
        }
    }

    /// `spec`, for reading with findings.
    pub(crate) fn spec(&self) -> Option<Field<'_>> {
        self.top().child("spec")
    }

    /// `metadata.labels`.
    pub(crate) fn labels(&self) -> BTreeMap<Arc<str>, Arc<str>> {
        string_map(self.root.path(&["metadata", "labels"]))
    }

    /// One of `metadata.annotations`.
    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.root
            .path(&["metadata", "annotations"])?
            .entry(key)?
            .text()
    }

    /// A finding about this object.
    pub(crate) fn finding(
        &self,
        code: Code,
        severity: Severity,
        line: u32,
        field: impl Into<String>,
        fault: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding {
            code,
            severity,
            place: Some(self.at(line)),
            object: Some(self.reference.clone()),
            field: field.into(),
            fault: fault.into(),
            remedy: remedy.into(),
        }
    }
}

/// A mapping of text to text; entries of any other type are left out.
pub(crate) fn string_map(node: Option<&Node>) -> BTreeMap<Arc<str>, Arc<str>> {
    let entries = node.and_then(Node::entries).unwrap_or_default();
    let texts = entries
        .iter()
        .filter_map(|(key, value)| Some((Arc::clone(key), value.scalar()?.into())));
    texts.collect()
}
