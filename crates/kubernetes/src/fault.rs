//! Why a source cannot be read.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a source cannot be read as a whole. The operator is at fault, or the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceFault {
    /// No path was given.
    NoPaths,
    /// There is nothing at this path, or its symbolic link leads nowhere.
    Missing {
        /// As it was given, or as it was found below what was given.
        path: PathBuf,
    },
    /// The operating system refuses.
    Unreadable {
        /// As it was given, or as it was found below what was given.
        path: PathBuf,
        /// What it says.
        kind: io::ErrorKind,
    },
    /// The file is not UTF-8.
    NotText {
        /// The file.
        path: PathBuf,
        /// Line of the first byte that is no text, from 1.
        line: u32,
    },
    /// The file is larger than [`crate::directory::FILE_LIMIT`].
    FileTooLarge {
        /// The file.
        path: PathBuf,
    },
    /// All files together are larger than [`crate::directory::TOTAL_LIMIT`].
    TooLarge {
        /// The file with which the limit was passed.
        path: PathBuf,
    },
    /// Files kept changing while they were read, so no reading was of one piece.
    Restless,
}

impl SourceFault {
    /// What to do, one sentence.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoPaths => "name a file or a directory of manifests",
            Self::Missing { .. } => "check the path, or remove the link that leads nowhere",
            Self::Unreadable { .. } => "let the user that runs doorward read it",
            Self::NotText { .. } => "save the file as UTF-8",
            Self::FileTooLarge { .. } => "split the file, or keep what is no manifest elsewhere",
            Self::TooLarge { .. } => "point doorward at the manifests only",
            Self::Restless => "keep files that are written all the time out of the manifests",
        }
    }
}

impl fmt::Display for SourceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPaths => f.write_str("there is no manifest to read"),
            Self::Missing { path } => write!(f, "`{}` is not there", path.display()),
            Self::Unreadable { path, kind } => {
                write!(f, "`{}` cannot be read: {kind}", path.display())
            }
            Self::NotText { path, line } => {
                write!(f, "`{}` is not UTF-8 text in line {line}", path.display())
            }
            Self::FileTooLarge { path } => {
                write!(f, "`{}` is larger than 16 MiB", path.display())
            }
            Self::TooLarge { path } => {
                write!(
                    f,
                    "with `{}` the manifests are larger than 256 MiB",
                    path.display()
                )
            }
            Self::Restless => f.write_str("the manifests change faster than they can be read"),
        }
    }
}

impl std::error::Error for SourceFault {}
