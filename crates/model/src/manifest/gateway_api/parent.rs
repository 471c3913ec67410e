//! What the head of every kind of route says: its parents and its hosts.

use std::sync::Arc;

use super::GROUP;
use crate::names::HostPattern;
use crate::objects::{Fault, Field, Object};

/// The head of a route.
#[derive(Clone, Debug)]
pub(crate) struct RouteHead {
    pub(crate) object: Arc<Object>,
    pub(crate) parents: Vec<Parent>,
    /// Empty takes those of the listener.
    pub(crate) hostnames: Vec<HostPattern>,
    /// `metadata.creationTimestamp`; a file has none, which counts as younger than any.
    pub(crate) created: Option<Arc<str>>,
}

/// One of `parentRefs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) group: Arc<str>,
    pub(crate) kind: Arc<str>,
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) section: Option<Arc<str>>,
    pub(crate) port: Option<u16>,
    pub(crate) path: String,
    pub(crate) line: u32,
}

impl RouteHead {
    /// A route with nothing in it.
    pub(super) fn new(object: &Arc<Object>) -> Self {
        let created = object.root.path(&["metadata", "creationTimestamp"]);
        Self {
            object: Arc::clone(object),
            parents: Vec::new(),
            hostnames: Vec::new(),
            created: created
                .and_then(|created| created.text())
                .map(|text| text.into()),
        }
    }

    /// Reads `parentRefs` and `hostnames`.
    pub(super) fn fill(&mut self, spec: &Field<'_>) -> Result<(), Fault> {
        for item in spec.child_items("parentRefs")? {
            item.only(&["group", "kind", "namespace", "name", "sectionName", "port"])?;
            let or = |text: Option<Arc<str>>, usual: &str| text.unwrap_or_else(|| usual.into());
            self.parents.push(Parent {
                group: or(item.child_text("group")?, GROUP),
                kind: or(item.child_text("kind")?, "Gateway"),
                namespace: or(item.child_text("namespace")?, self.object.namespace()),
                name: item.required("name")?.text()?.into(),
                section: item.child_text("sectionName")?,
                port: item.child("port").map(|port| port.port()).transpose()?,
                path: item.path.clone(),
                line: item.line(),
            });
        }
        for item in spec.child_items("hostnames")? {
            self.hostnames.push(hostname(&item)?);
        }
        Ok(())
    }
}

/// A name, or `*.` and a name; `*` alone is none.
pub(super) fn hostname(field: &Field<'_>) -> Result<HostPattern, Fault> {
    let text = field.text()?;
    HostPattern::parse(text)
        .filter(|pattern| *pattern != HostPattern::Any)
        .ok_or_else(|| {
            let fault = format!("`{}` is no host: `{text}`", field.path);
            field.fault(
                fault,
                "write a name, or `*.` and a name; leave it out for every host",
            )
        })
}
