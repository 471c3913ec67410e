//! What is wrong with the manifests, where, and what to do.

pub mod codes;

use std::fmt;

use crate::names::{ObjectRef, Place};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing is closed.
    Note,
    /// Works, but not as the author probably meant, or not safely.
    Warning,
    /// Does not work; what it selects is closed.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// One fault: code, severity, place, object, field, fault and remedy.
///
/// Wording follows `docs/messages.md`: the fault is one lower-case sentence with names in
/// back-ticks; the remedy is separate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Stable code, such as `DW0107`; the same in `doctor`, `/readyz`, the log and the console.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// Where, when known.
    pub place: Option<Place>,
    /// Which object, when it got far enough to have a name.
    pub object: Option<ObjectRef>,
    /// Path of the field, such as `spec.http[0].route[0].destination.port.number`; empty for the
    /// whole object.
    pub field: String,
    /// What is wrong.
    pub fault: String,
    /// What to do.
    pub remedy: String,
}

/// Stable number of a kind of finding, shown as `DW0107`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub u16);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DW{:04}", self.0)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}[{}]: {}", self.severity, self.code, self.fault)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn every_code_is_its_own_and_says_what_it_is() {
        let table = include_str!("codes.rs");
        let lines: Vec<&str> = table.lines().collect();
        let mut numbers = BTreeSet::new();
        for (index, line) in lines.iter().enumerate() {
            let Some((_, number)) = line.split_once("= Code(") else {
                continue;
            };
            let number: u16 = number.trim_end_matches(");").parse().unwrap();
            assert!(numbers.insert(number), "{number} stands twice");
            assert!(
                lines[index - 1].starts_with("/// "),
                "{number} has no description"
            );
        }
        assert!(numbers.len() > 40);
    }
}
