//! `exportTo`: in which namespaces an object is seen.

use std::sync::Arc;

/// `exportTo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Visibility {
    Everywhere,
    /// These namespaces; none for `~`.
    Only(Vec<Arc<str>>),
}

impl Visibility {
    /// Reads the list of an object in the namespace `own`; an empty one means everywhere.
    pub(crate) fn of(export_to: &[Arc<str>], own: &Arc<str>) -> Self {
        if export_to.is_empty() || export_to.iter().any(|name| &**name == "*") {
            return Self::Everywhere;
        }
        let names = export_to.iter().filter(|name| &***name != "~");
        Self::Only(
            names
                .map(|name| if &**name == "." { own } else { name })
                .cloned()
                .collect(),
        )
    }

    /// Whether the object is seen from `namespace`.
    pub(crate) fn covers(&self, namespace: &str) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Only(names) => names.iter().any(|name| **name == *namespace),
        }
    }
}
