//! Two files that are written once, whole, and never overwritten.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::AuthorityFault;

/// The state directory, held by one process at a time.
pub(super) struct Keeping {
    path: PathBuf,
    /// Locked until dropped: two first starts at once make one authority, not two.
    directory: File,
}

/// One of the two files.
#[derive(Clone, Copy)]
pub(super) enum Kept {
    Certificate,
    Key,
}

impl Kept {
    fn name(self) -> &'static str {
        match self {
            Self::Certificate => "ca.crt",
            Self::Key => "ca.key",
        }
    }

    /// Where it is written before it gets its name.
    fn draft(self) -> &'static str {
        match self {
            Self::Certificate => ".ca.crt.new",
            Self::Key => ".ca.key.new",
        }
    }

    fn mode(self) -> u32 {
        match self {
            Self::Certificate => 0o644,
            Self::Key => 0o600,
        }
    }
}

impl Keeping {
    pub(super) fn open(path: &Path) -> Result<Self, AuthorityFault> {
        let fault = |error: io::Error| AuthorityFault::Directory {
            path: path.into(),
            kind: error.kind(),
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(fault)?;
        let directory = File::open(path).map_err(fault)?;
        match directory.lock() {
            Ok(()) => {}
            // Some network file systems have no locks; there, one process must be enough.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(error) => return Err(fault(error)),
        }
        Ok(Self {
            path: path.into(),
            directory,
        })
    }

    pub(super) fn path(&self, kept: Kept) -> PathBuf {
        self.path.join(kept.name())
    }

    /// The text, `None` when there is no such file.
    pub(super) fn read(&self, kept: Kept) -> Result<Option<Zeroizing<String>>, AuthorityFault> {
        let path = self.path(kept);
        match fs::read(&path).map(Zeroizing::new) {
            // Bytes that are no text are no PEM either: the parser says so.
            Ok(bytes) => Ok(Some(Zeroizing::new(
                String::from_utf8_lossy(&bytes).into_owned(),
            ))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(AuthorityFault::Read {
                path,
                kind: error.kind(),
            }),
        }
    }

    /// Writes a file that is not there yet, so that a crash at any moment leaves either all of it
    /// or nothing under its name.
    pub(super) fn write(&self, kept: Kept, text: &str) -> Result<(), AuthorityFault> {
        let path = self.path(kept);
        self.publish(kept, &path, text)
            .map_err(|error| AuthorityFault::Write {
                path,
                kind: error.kind(),
            })
    }

    fn publish(&self, kept: Kept, path: &Path, text: &str) -> io::Result<()> {
        let draft = self.path.join(kept.draft());
        // What an earlier crash left.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(Permissions::from_mode(kept.mode()))?;
        file.sync_all()?;
        if fs::exists(path)? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(&draft, path)?;
        self.directory.sync_all()
    }

    /// Whether anybody but the owner may read the key.
    pub(super) fn is_key_open(&self) -> bool {
        fs::metadata(self.path(Kept::Key))
            .is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
    }
}
