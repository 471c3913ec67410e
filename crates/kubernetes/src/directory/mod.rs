//! Files and directories as a source.

mod listing;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use model::objects::{self, ObjectSet};

use crate::watch::Watch;

pub use crate::fault::SourceFault;
pub(crate) use listing::{Listing, Stamp};

/// Largest file, in bytes: 16 MiB.
pub const FILE_LIMIT: u64 = 16 << 20;
/// Largest sum of all files, in bytes: 256 MiB.
pub const TOTAL_LIMIT: u64 = 256 << 20;

/// How often a reading is begun again because a file changed meanwhile.
const ATTEMPTS: usize = 5;

/// Files and directories of manifests.
///
/// A directory is read recursively: files that end in `.yaml`, `.yml` or `.json`, in order of their
/// names. Entries whose name begins with a dot are left out, which is also how a mounted ConfigMap
/// hides its versions; symbolic links are followed, and each real file is read once whatever leads
/// to it. A file that is named itself is read whatever its name. Files are called what they were
/// given as: a relative path stays relative.
#[derive(Clone, Debug)]
pub struct Directory {
    paths: Vec<PathBuf>,
    without: Vec<PathBuf>,
}

/// One reading: the texts, and the state of the disk they belong to.
pub(crate) struct Reading {
    pub(crate) objects: ObjectSet,
    pub(crate) listing: Listing,
}

impl Directory {
    /// Files and directories, read in this order.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self {
            paths,
            without: Vec::new(),
        }
    }

    /// Leaves out a file, however it is reached: settings that lie beside the manifests.
    #[must_use]
    pub fn without(mut self, file: impl Into<PathBuf>) -> Self {
        self.without.push(file.into());
        self
    }

    /// Reads everything, of one piece: when a file changes meanwhile, it begins again.
    ///
    /// # Errors
    /// When any part cannot be read. There is no partial answer.
    pub fn read(&self) -> Result<ObjectSet, SourceFault> {
        self.reading().map(|reading| reading.objects)
    }

    /// Reads, and goes on to tell changes.
    ///
    /// # Errors
    /// [`SourceFault::NoPaths`]; anything else is the first answer of [`Watch::next`].
    pub fn watch(self) -> Result<Watch, SourceFault> {
        if self.paths.is_empty() {
            return Err(SourceFault::NoPaths);
        }
        Ok(Watch::new(self))
    }

    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    pub(crate) fn listing(&self) -> Result<Listing, SourceFault> {
        if self.paths.is_empty() {
            return Err(SourceFault::NoPaths);
        }
        Listing::of(&self.paths, &self.without)
    }

    pub(crate) fn reading(&self) -> Result<Reading, SourceFault> {
        let mut fault = SourceFault::Restless;
        for _ in 0..ATTEMPTS {
            match self.attempt() {
                Ok(Some(reading)) => return Ok(reading),
                Ok(None) => fault = SourceFault::Restless,
                // Listed and gone again: somebody is at work there.
                Err(missing @ SourceFault::Missing { .. }) => fault = missing,
                Err(other) => return Err(other),
            }
        }
        Err(fault)
    }

    /// `None` when the disk changed between the first look and the last.
    fn attempt(&self) -> Result<Option<Reading>, SourceFault> {
        let listing = self.listing()?;
        let mut files = Vec::with_capacity(listing.files.len());
        let mut total = 0;
        for found in &listing.files {
            let text = read_text(&found.path)?;
            total += text.len() as u64;
            if total > TOTAL_LIMIT {
                return Err(SourceFault::TooLarge {
                    path: found.path.clone(),
                });
            }
            let name = found.path.to_string_lossy().into();
            files.push(objects::File { name, text });
        }
        let unchanged = self.listing()?.stamps().eq(listing.stamps());
        let objects = ObjectSet { files };
        Ok(unchanged.then_some(Reading { objects, listing }))
    }
}

fn read_text(path: &Path) -> Result<String, SourceFault> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_LIMIT + 1).read_to_end(&mut bytes))
        .map_err(|error| fault_at(path, &error))?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(SourceFault::FileTooLarge { path: path.into() });
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let breaks = good.iter().filter(|byte| **byte == b'\n').count();
        let line = u32::try_from(breaks).unwrap_or(u32::MAX).saturating_add(1);
        SourceFault::NotText {
            path: path.into(),
            line,
        }
    })
}

fn fault_at(path: &Path, error: &io::Error) -> SourceFault {
    match error.kind() {
        io::ErrorKind::NotFound => SourceFault::Missing { path: path.into() },
        kind => SourceFault::Unreadable {
            path: path.into(),
            kind,
        },
    }
}
