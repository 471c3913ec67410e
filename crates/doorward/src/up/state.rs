//! The state directory: made at first start, private, held by one process at a time.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// An open state directory; the lock goes when this is dropped, unless another process was given
/// it too.
#[derive(Debug)]
pub(crate) struct StateDirectory {
    path: PathBuf,
    lock: File,
}

/// A state directory that a predecessor holds.
#[derive(Debug)]
pub(crate) struct Beside {
    path: PathBuf,
}

/// Why the state directory cannot be used.
#[derive(Debug)]
pub(crate) enum StateFault {
    /// It cannot be made or opened.
    Unusable(PathBuf, io::Error),
    /// Other people can read it.
    NotPrivate(PathBuf, u32),
    /// Another process holds it.
    Held(PathBuf),
}

impl fmt::Display for StateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable(path, error) => write!(
                f,
                "state directory `{}` cannot be used: {error}\nhelp: name another with `--state DIR`",
                path.display()
            ),
            Self::NotPrivate(path, mode) => write!(
                f,
                "state directory `{0}` can be entered by others (mode {mode:o})\nhelp: `chmod 700 {0}`; it holds private keys",
                path.display()
            ),
            Self::Held(path) => write!(
                f,
                "state directory `{}` is held by another doorward\nhelp: stop that one, take over from it with `--take-over`, or name another directory with `--state DIR`",
                path.display()
            ),
        }
    }
}

impl StateDirectory {
    /// Opens `path`, making it first (mode 0700) if it is not there.
    pub(crate) fn open(path: &Path) -> Result<Self, StateFault> {
        make(path)?;
        let unusable = |error| StateFault::Unusable(path.to_owned(), error);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                lock,
            }),
            Err(TryLockError::WouldBlock) => Err(StateFault::Held(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }

    /// The lock, to be passed on.
    pub(crate) fn lock(&self) -> &File {
        &self.lock
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Beside {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The predecessor has passed on its lock.
    pub(crate) fn with(self, lock: File) -> StateDirectory {
        StateDirectory {
            path: self.path,
            lock,
        }
    }
}

/// How a process that may take over finds its state directory.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nobody held it.
    Free(StateDirectory),
    /// Somebody holds it.
    Held(Beside),
}

impl Found {
    /// Opens `path`; one that is held is no fault.
    pub(crate) fn open(path: &Path) -> Result<Self, StateFault> {
        match StateDirectory::open(path) {
            Ok(state) => Ok(Self::Free(state)),
            Err(StateFault::Held(path)) => Ok(Self::Held(Beside { path })),
            Err(fault) => Err(fault),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Free(state) => state.path(),
            Self::Held(beside) => beside.path(),
        }
    }
}

fn make(path: &Path) -> Result<(), StateFault> {
    let unusable = |error| StateFault::Unusable(path.to_owned(), error);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(unusable)?;
    let mode = fs::metadata(path).map_err(unusable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(StateFault::NotPrivate(path.to_owned(), mode));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_directory_is_private_and_held_once() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        let first = StateDirectory::open(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert!(matches!(
            StateDirectory::open(&path),
            Err(StateFault::Held(_))
        ));
        drop(first);
        StateDirectory::open(&path).unwrap();
    }

    #[test]
    fn a_lock_that_was_passed_on_is_held_until_both_have_let_go() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a");
        let first = StateDirectory::open(&path).unwrap();
        let Found::Held(beside) = Found::open(&path).unwrap() else {
            panic!("held twice");
        };
        // As a descriptor that came over a socket: another number for the same open file.
        let second = beside.with(first.lock().try_clone().unwrap());
        drop(first);
        assert!(matches!(
            StateDirectory::open(&path),
            Err(StateFault::Held(_))
        ));
        drop(second);
        assert!(matches!(Found::open(&path), Ok(Found::Free(_))));
    }

    #[test]
    fn a_directory_that_others_can_enter_is_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let refused = StateDirectory::open(root.path());
        assert!(
            matches!(refused, Err(StateFault::NotPrivate(_, 0o755))),
            "{refused:?}"
        );
    }
}
