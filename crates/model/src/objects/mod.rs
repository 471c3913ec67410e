//! Raw objects with provenance: what a source of manifests hands to [`crate::compile()`].

mod documents;
mod edit;
mod field;
mod node;
mod object;
mod placeholder;
mod read;
mod remains;
mod yaml;

use std::sync::Arc;

pub use edit::{EditFault, without};
pub(crate) use field::{Fault, Field, closest, duration, nearest};
pub(crate) use node::{Node, Value};
pub(crate) use object::{Object, string_map};
pub(crate) use placeholder::placeholders;
pub(crate) use read::{Broken, HELM, VIRTUAL_SERVICE, read};
pub(crate) use yaml::{YamlFault, parse};

/// The text of one file, as a source read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// How messages name it.
    pub name: Arc<str>,
    /// YAML or JSON, any number of documents.
    pub text: String,
}

/// The full set of what a source sees, in no particular order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectSet {
    /// Files; a cluster source renders each object as one file named after it.
    pub files: Vec<File>,
}
