//! Manifests as the commands read them: once, and as `up` would.

use std::path::PathBuf;

use std::fmt;

use kubernetes::Directory;
use kubernetes::directory::SourceFault;
use model::Compiled;
use model::objects::ObjectSet;

use crate::config::{FileConfig, FileFault, beside};

/// A tree of manifests, read and compiled.
pub(crate) struct Tree {
    /// What was read.
    pub(crate) objects: ObjectSet,
    /// What came of it.
    pub(crate) compiled: Compiled,
}

/// Why there is no tree. The user of the command is at fault, or the disk.
#[derive(Debug)]
pub(crate) enum TreeFault {
    /// The manifests cannot be read.
    Manifests(SourceFault),
    /// The settings beside them cannot be read.
    Settings(FileFault),
}

impl fmt::Display for TreeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifests(fault) => write!(f, "{fault}\nhelp: {}", fault.remedy()),
            Self::Settings(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for TreeFault {}

impl Tree {
    /// Reads and compiles as `up` would, with the settings file that it would take from beside the
    /// manifests, which is none of them.
    pub(crate) fn read(paths: &[PathBuf]) -> Result<Self, TreeFault> {
        let mut directory = Directory::new(paths.to_vec());
        let mut settings = FileConfig::default();
        let mut own = PathBuf::new();
        if let Some(file) = beside(paths) {
            settings = FileConfig::read(&file).map_err(TreeFault::Settings)?;
            own.clone_from(&file);
            directory = directory.without(file);
        }
        let role = settings.role(&own).map_err(TreeFault::Settings)?;
        let objects = directory.read().map_err(TreeFault::Manifests)?;
        let compiled = model::compile_as(&objects, &role);
        Ok(Self { objects, compiled })
    }
}
