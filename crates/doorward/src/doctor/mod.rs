//! `doorward doctor`: everything that is wrong with the manifests.

mod parameters;
mod sarif;
mod text;
mod tree;

use std::cmp::Reverse;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use model::names::Timestamp;
use model::seams::Clock;
use model::{Finding, Severity};
use serde_json::json;

use crate::command::USAGE;
use crate::up::{SystemClock, finding_as_json};

pub(crate) use tree::Tree;

/// Arguments of `doorward doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Files and directories of Kubernetes manifests, read recursively.
    #[arg(
        value_name = "PATH",
        env = "DOORWARD_MANIFESTS",
        value_delimiter = ':',
        default_value = "."
    )]
    paths: Vec<PathBuf>,

    /// How the findings are printed.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// Stable, for scripts.
    Json,
    /// SARIF 2.1.0, for code hosts and editors.
    Sarif,
}

/// Prints every finding. 0: no error; 1: errors found; 2: could not read.
pub(crate) fn run(args: &DoctorArgs, out: &mut dyn Write) -> ExitCode {
    let DoctorArgs { paths, format } = args;
    let tree = match Tree::read(paths) {
        Ok(tree) => tree,
        Err(fault) => {
            anstream::eprintln!("doorward: {fault}\nhelp: {}", fault.remedy());
            return ExitCode::from(USAGE);
        }
    };
    let mut report = Report::of(&tree, SystemClock.now());
    report.add(parameters::check(paths, &tree.compiled.snapshot));
    match report.write(*format, out) {
        Ok(()) if report.count(Severity::Error) == 0 => ExitCode::SUCCESS,
        // The reader went away, as `head` does, or there are errors.
        Ok(()) | Err(_) => ExitCode::FAILURE,
    }
}

/// The findings of a tree, worst first, then by place.
struct Report<'t> {
    tree: &'t Tree,
    findings: Vec<Finding>,
}

impl<'t> Report<'t> {
    fn of(tree: &'t Tree, now: Timestamp) -> Self {
        let mut findings = tree.compiled.findings.clone();
        findings.extend(certificates::check(&tree.compiled.snapshot, now));
        findings.extend(policy::check_clients(&tree.compiled.snapshot));
        findings.extend(policy::check_exemptions(&tree.compiled.snapshot));
        let mut report = Self {
            tree,
            findings: Vec::new(),
        };
        report.add(findings);
        report
    }

    fn add(&mut self, findings: Vec<Finding>) {
        self.findings.extend(findings);
        self.findings.sort_by_key(|finding| {
            (
                Reverse(finding.severity),
                finding.place.clone(),
                finding.code,
            )
        });
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    }

    fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Text => text::write(self, out),
            Format::Json => {
                let findings: Vec<_> = self.findings.iter().map(finding_as_json).collect();
                let report = json!({
                    "findings": findings,
                    "errors": self.count(Severity::Error),
                    "warnings": self.count(Severity::Warning),
                    "notes": self.count(Severity::Note),
                    "files": self.tree.objects.files.len(),
                });
                writeln!(out, "{report:#}")
            }
            Format::Sarif => writeln!(out, "{:#}", sarif::document(&self.findings)),
        }
    }
}

#[cfg(test)]
mod tests;
