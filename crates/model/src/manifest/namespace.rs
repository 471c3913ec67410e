//! `Namespace`: whether its pods get a sidecar.

use crate::objects::Object;

/// A Namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Namespace {
    /// Label `istio-injection: enabled` or `istio.io/rev`; `disabled` wins.
    pub(crate) injected: bool,
    /// Label `istio-injection: disabled`: somebody wants none.
    pub(crate) is_exempt: bool,
}

impl Namespace {
    /// One that is not in the manifests and holds what has to be enforced.
    pub(crate) const GUARDED: Self = Self {
        injected: true,
        is_exempt: false,
    };

    /// Reads a Namespace.
    pub(crate) fn read(object: &Object) -> Self {
        let labels = object.labels();
        let label = labels.get("istio-injection").map(|value| &**value);
        let injected = match label {
            Some("enabled") => true,
            Some("disabled") => false,
            _ => labels
                .get("istio.io/rev")
                .is_some_and(|revision| !revision.is_empty()),
        };
        Self {
            injected,
            is_exempt: label == Some("disabled"),
        }
    }
}
