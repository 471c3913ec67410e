//! Manifests as the commands read them: once, and as `up` would.

use std::path::PathBuf;

use kubernetes::Directory;
use kubernetes::directory::SourceFault;
use model::Compiled;
use model::objects::ObjectSet;

use crate::config::beside;

/// A tree of manifests, read and compiled.
pub(crate) struct Tree {
    /// What was read.
    pub(crate) objects: ObjectSet,
    /// What came of it.
    pub(crate) compiled: Compiled,
}

impl Tree {
    /// Reads and compiles; the settings file that `up` would take from beside the manifests is
    /// none of them.
    pub(crate) fn read(paths: &[PathBuf]) -> Result<Self, SourceFault> {
        let mut directory = Directory::new(paths.to_vec());
        if let Some(file) = beside(paths) {
            directory = directory.without(file);
        }
        let objects = directory.read()?;
        let compiled = model::compile(&objects);
        Ok(Self { objects, compiled })
    }
}
