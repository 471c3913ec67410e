//! Telling the steps of a decision to whoever listens, at no cost when nobody does.

use crate::decision::{Record, Step};

/// A [`Record`], or nobody.
pub(crate) struct Recorder<'r>(Option<&'r mut dyn Record>);

impl<'r> Recorder<'r> {
    pub(crate) fn nobody() -> Self {
        Self(None)
    }

    pub(crate) fn to(record: &'r mut dyn Record) -> Self {
        Self(Some(record))
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Makes and tells a step, when somebody listens.
    pub(crate) fn step(&mut self, step: impl FnOnce() -> Step) {
        if let Some(record) = &mut self.0 {
            record.step(step());
        }
    }
}
