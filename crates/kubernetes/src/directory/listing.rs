//! Which files there are, without reading them.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::fault_at;
use crate::fault::SourceFault;

/// What tells that a file is another one or has another content. The change time covers what
/// leaves size and modification time alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// A file to read.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    stamp: Stamp,
}

/// A directory whose entries matter, and which directory it really is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    pub(crate) identity: (u64, u64),
}

/// Which files there are, in reading order, and which directories they were found in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    pub(crate) files: Vec<Found>,
    pub(crate) folders: Vec<Folder>,
}

impl Listing {
    pub(super) fn of(paths: &[PathBuf], without: &[PathBuf]) -> Result<Self, SourceFault> {
        // What is left out counts as read already. A file that is not there needs no leaving out.
        let taken = without
            .iter()
            .filter_map(|path| fs::canonicalize(path).ok())
            .collect();
        let mut walk = Walk {
            listing: Self::default(),
            taken,
        };
        for path in paths {
            walk.given(path)?;
        }
        Ok(walk.listing)
    }

    /// Every file with its state, in reading order.
    pub(crate) fn stamps(&self) -> impl Iterator<Item = (&Path, Stamp)> {
        self.files.iter().map(|found| (&*found.path, found.stamp))
    }
}

struct Walk {
    listing: Listing,
    /// Real paths already taken: a file is read once, and a link to a parent ends the walk.
    taken: HashSet<PathBuf>,
}

impl Walk {
    /// A path that the user named: it must be there, whatever its name.
    fn given(&mut self, path: &Path) -> Result<(), SourceFault> {
        let metadata = fs::metadata(path).map_err(|error| fault_at(path, &error))?;
        let real = fs::canonicalize(path).map_err(|error| fault_at(path, &error))?;
        if metadata.is_dir() {
            self.folder(path, real, &metadata)
        } else {
            self.file(path.into(), real, &metadata);
            Ok(())
        }
    }

    fn file(&mut self, path: PathBuf, real: PathBuf, metadata: &Metadata) {
        if self.taken.insert(real) {
            let stamp = Stamp::of(metadata);
            self.listing.files.push(Found { path, stamp });
        }
    }

    fn folder(
        &mut self,
        path: &Path,
        real: PathBuf,
        metadata: &Metadata,
    ) -> Result<(), SourceFault> {
        if !self.taken.insert(real.clone()) {
            return Ok(());
        }
        let identity = (metadata.dev(), metadata.ino());
        self.listing.folders.push(Folder {
            path: path.into(),
            identity,
        });
        let mut names = fs::read_dir(path)
            .and_then(|entries| {
                entries
                    .map(|entry| entry.map(|entry| entry.file_name()))
                    .collect::<Result<Vec<_>, _>>()
            })
            .map_err(|error| fault_at(path, &error))?;
        names.sort();
        for name in names {
            if name.as_bytes().starts_with(b".") {
                continue;
            }
            self.entry(path.join(&name), real.join(&name))?;
        }
        Ok(())
    }

    fn entry(&mut self, path: PathBuf, mut real: PathBuf) -> Result<(), SourceFault> {
        let wanted = is_manifest(&path);
        let itself = fs::symlink_metadata(&path).map_err(|error| fault_at(&path, &error))?;
        let mut metadata = itself;
        if metadata.is_symlink() {
            let followed = fs::metadata(&path)
                .and_then(|metadata| fs::canonicalize(&path).map(|real| (metadata, real)));
            (metadata, real) = match followed {
                Ok(followed) => followed,
                Err(error) if wanted => return Err(fault_at(&path, &error)),
                // A link that leads nowhere and would not be read anyway.
                Err(_) => return Ok(()),
            };
        }
        if metadata.is_dir() {
            self.folder(&path, real, &metadata)?;
        } else if wanted && metadata.is_file() {
            self.file(path, real, &metadata);
        }
        Ok(())
    }
}

fn is_manifest(path: &Path) -> bool {
    path.extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| matches!(extension, "yaml" | "yml" | "json"))
}
