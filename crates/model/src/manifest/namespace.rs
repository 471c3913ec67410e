//! `Namespace`: whether its pods get a sidecar.

use crate::objects::Object;

/// A Namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Namespace {
    /// Label `istio-injection: enabled` or `istio.io/rev`; `disabled` wins.
    pub(crate) injected: bool,
}

impl Namespace {
    /// Reads a Namespace.
    pub(crate) fn read(object: &Object) -> Self {
        let labels = object.labels();
        let injected = match labels.get("istio-injection").map(|value| &**value) {
            Some("enabled") => true,
            Some("disabled") => false,
            _ => labels
                .get("istio.io/rev")
                .is_some_and(|revision| !revision.is_empty()),
        };
        Self { injected }
    }
}
