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
    /// Stable code, such as `DW0107`; the same in `doctor`, `/readyz` and the log.
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

    use super::Code;

    const SOURCE: &str = include_str!("codes.rs");
    const PAGE: &str = include_str!("../../../../docs/findings.md");
    const TRAPS: &str = include_str!("../../../../docs/traps.md");

    /// Every code of the source, in its order.
    fn table() -> Vec<Code> {
        let numbers = SOURCE.lines().filter_map(|line| {
            let (_, number) = line.split_once("= Code(")?;
            number.strip_suffix(");")
        });
        numbers
            .map(|number| Code(number.parse().unwrap()))
            .collect()
    }

    #[test]
    fn every_code_is_its_own_and_says_what_it_is() {
        let codes = table();
        assert_eq!(codes.len(), SOURCE.matches(": Code = ").count());
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
        let lines: Vec<&str> = SOURCE.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            if line.contains(": Code = ") {
                assert!(lines[index - 1].starts_with("/// "), "{line}");
            }
        }
    }

    #[test]
    fn every_trap_has_its_codes_or_says_why_it_has_none() {
        let rows: Vec<Vec<&str>> = TRAPS
            .lines()
            .filter(|line| line.starts_with("| T-"))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        let numbers: Vec<&str> = rows.iter().map(|row| row[0]).collect();
        let wanted: Vec<String> = (1..=52).map(|number| format!("T-{number:02}")).collect();
        assert_eq!(numbers, wanted);
        let codes: BTreeSet<String> = table().iter().map(Code::to_string).collect();
        for row in &rows {
            let [_, trap, says] = row[..] else {
                panic!("{row:?}");
            };
            assert!(!trap.is_empty(), "{row:?}");
            if says.starts_with("By design: ") || says.starts_with("Not yet: ") {
                continue;
            }
            for code in says.split(", ") {
                assert!(codes.contains(code), "{code} of {row:?} is no code");
            }
        }
    }

    #[test]
    fn the_page_of_findings_lists_every_code_with_its_cells_filled() {
        let rows: Vec<Vec<&str>> = PAGE
            .lines()
            .filter(|line| line.starts_with("| DW"))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        for row in &rows {
            let [_, severity, meaning, remedy] = row[..] else {
                panic!("{row:?}");
            };
            let known = ["error", "warning", "note"];
            assert!(
                severity.split(", ").all(|one| known.contains(&one)),
                "{row:?}"
            );
            assert!(meaning.ends_with('.') && remedy.ends_with('.'), "{row:?}");
        }
        let listed: Vec<String> = rows.iter().map(|row| row[0].to_owned()).collect();
        let codes: Vec<String> = table().iter().map(Code::to_string).collect();
        let (page, source): (BTreeSet<_>, BTreeSet<_>) =
            (listed.iter().collect(), codes.iter().collect());
        let missing: Vec<_> = source.difference(&page).collect();
        let invented: Vec<_> = page.difference(&source).collect();
        assert!(missing.is_empty(), "not in docs/findings.md: {missing:?}");
        assert!(
            invented.is_empty(),
            "only in docs/findings.md: {invented:?}"
        );
        assert_eq!(listed, codes, "in the order of the codes, each once");
    }
}
