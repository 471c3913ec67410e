//! A door that is closed because a manifest cannot be read.

use std::sync::Arc;

use crate::finding::{Code, Finding, codes};
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
    /// Status of the answer: 500 where the Gateway API asks for it, because a rule leads nowhere;
    /// 503 everywhere else.
    pub fn status(&self) -> u16 {
        match self.code {
            codes::BACKEND_UNRESOLVED
            | codes::RULE_REFUSED
            | codes::RULE_WITHOUT_BACKENDS
            | codes::BACKEND_TLS_POLICY => 500,
            _ => 503,
        }
    }

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
