//! Passed of total, by feature.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::format::Test;

/// What came of the tests.
pub(crate) struct Report {
    core: BTreeSet<String>,
    claimed: BTreeSet<String>,
    /// Passed and total by feature.
    rows: BTreeMap<String, (usize, usize)>,
    core_tests: (usize, usize),
    /// Tests that failed although everything that they need is claimed.
    broken: Vec<(String, Vec<String>)>,
    /// Tests that failed and need what is not claimed.
    missing: Vec<(String, Vec<String>)>,
    /// Tests that passed and need what is not claimed.
    surplus: Vec<String>,
}

impl Report {
    pub(crate) fn new(core: &[&str], claimed: &[&str]) -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            core: owned(core),
            claimed: owned(claimed),
            rows: BTreeMap::new(),
            core_tests: (0, 0),
            broken: Vec::new(),
            missing: Vec::new(),
            surplus: Vec::new(),
        }
    }

    /// Counts a test and its faults.
    pub(crate) fn add(&mut self, test: &Test, faults: Vec<String>) {
        let passed = usize::from(faults.is_empty());
        let count = |row: &mut (usize, usize)| {
            row.0 += passed;
            row.1 += 1;
        };
        let is_core = |name: &String| self.core.contains(name);
        if test.features.iter().all(is_core) {
            count(&mut self.core_tests);
        }
        let is_claimed = |name: &String| is_core(name) || self.claimed.contains(name);
        let runs = test.features.iter().all(is_claimed);
        for feature in &test.features {
            // As in the suite: a test counts for a feature that is claimed where everything else that
            // it needs is claimed, too, and for a core feature where it needs no other.
            let counts = if is_core(feature) {
                test.features.iter().all(is_core)
            } else {
                runs || !self.claimed.contains(feature)
            };
            if counts {
                count(self.rows.entry(feature.clone()).or_default());
            }
        }
        let mut name = test.test.clone();
        if test.provisional {
            name.push_str(" (provisional)");
        }
        match (runs, faults.is_empty()) {
            (true, true) => {}
            (true, false) => self.broken.push((name, faults)),
            (false, true) => self.surplus.push(name),
            (false, false) => self.missing.push((name, faults)),
        }
    }

    /// Whether every test of what is claimed passed.
    pub(crate) fn conforms(&self) -> bool {
        self.broken.is_empty()
    }

    /// The table, and what failed.
    pub(crate) fn text(&self) -> String {
        let mut text = String::from("Gateway API v1.6.1, GATEWAY-HTTP\n");
        let (passed, total) = self.core_tests;
        writeln!(text, "core: {passed}/{total} tests").unwrap();
        for (feature, (passed, total)) in &self.rows {
            let standing = if self.core.contains(feature) {
                "core"
            } else if self.claimed.contains(feature) {
                "claimed"
            } else {
                "not claimed"
            };
            writeln!(text, "  {feature:<58} {passed}/{total} {standing}").unwrap();
        }
        for (title, tests) in [("broken", &self.broken), ("missing", &self.missing)] {
            for (test, faults) in tests {
                writeln!(text, "{title}: {test}").unwrap();
                for fault in faults {
                    writeln!(text, "    {fault}").unwrap();
                }
            }
        }
        for test in &self.surplus {
            writeln!(text, "passes, not claimed: {test}").unwrap();
        }
        text
    }
}
