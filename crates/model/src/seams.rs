//! Ports to the outside that the rim implements: time, randomness, and where objects are kept.

use std::fmt;
use std::io;

use serde_json::Value;

use crate::names::{ObjectRef, Timestamp};
use crate::snapshot::Stands;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Makes unpredictable bytes.
pub trait Randomness: Send + Sync {
    /// Fills `bytes` from a cryptographically secure source.
    fn fill(&self, bytes: &mut [u8]);
}

/// Keeps objects where manifests come from.
///
/// Writers do not wait for each other's snapshots: a change names what it was made from, and one
/// that finds something else is refused.
pub trait ObjectWriter: Send + Sync {
    /// Makes the change: the whole of it, or nothing and a fault. May wait for a disk or a network.
    ///
    /// # Errors
    /// Why nothing was changed.
    fn write(&self, change: &Change) -> Result<(), WriteFault>;
}

/// What is to be changed. Nothing of `create` may be there, all of `remove` must be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// New objects, in the order in which they come to be.
    pub create: Vec<NewObject>,
    /// Objects that go, and where they stood, in the order in which they go.
    pub remove: Vec<Stands>,
}

/// A new object.
#[derive(Clone, Debug, PartialEq)]
pub struct NewObject {
    /// Its name.
    pub reference: ObjectRef,
    /// All of it.
    pub content: Value,
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteFault {
    /// The object is there already, or is no longer what it was: somebody else was quicker.
    Conflict(ObjectRef),
    /// The object cannot be taken out of where it stands without touching others.
    Entangled(Stands),
    /// There is no place to write to: single files were given, or the built-in demo.
    Nowhere,
    /// The place cannot be written to. The operator is at fault, or the disk.
    NotWritable(io::ErrorKind),
}

impl WriteFault {
    /// What to do, one sentence.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "look at what is there now, and try again",
            Self::Entangled(_) => "take it out of the file by hand",
            Self::Nowhere => "give doorward a directory of manifests",
            Self::NotWritable(_) => "let the user that runs doorward write there",
        }
    }
}

impl fmt::Display for WriteFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(object) => write!(f, "`{object}` was changed by somebody else"),
            Self::Entangled(Stands { object, .. }) => {
                write!(f, "`{object}` stands in one document with other objects")
            }
            Self::Nowhere => f.write_str("there is no directory of manifests to write to"),
            Self::NotWritable(kind) => write!(f, "the manifests cannot be written: {kind}"),
        }
    }
}

impl std::error::Error for WriteFault {}
