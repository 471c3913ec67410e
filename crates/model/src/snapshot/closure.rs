//! A door that is closed because a manifest cannot be read.

use std::sync::Arc;

use crate::finding::{Code, Finding};
use crate::names::{ObjectRef, Place};

/// Why something is closed: the finding that closes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closure {
    /// Code of the finding.
    pub code: Code,
    /// The object that could not be read, when it has a name.
    pub object: Option<ObjectRef>,
    /// Where it stands.
    pub place: Option<Place>,
    /// The fault, as the finding words it.
    pub fault: Arc<str>,
}

impl Closure {
    /// The door that `finding` closes.
    pub fn of(finding: &Finding) -> Self {
        Self {
            code: finding.code,
            object: finding.object.clone(),
            place: finding.place.clone(),
            fault: finding.fault.as_str().into(),
        }
    }
}
