//! Hosts that nobody wrote down.

use crate::names::{Host, ObjectRef, Place};

/// A host that Knative or KServe makes of the name of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComputedHost {
    /// The host.
    pub host: Host,
    /// The object it is for.
    pub object: ObjectRef,
    /// Where that stands.
    pub place: Place,
}
