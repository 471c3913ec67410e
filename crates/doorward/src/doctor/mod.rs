//! `doorward doctor`: everything that is wrong with the manifests.

mod fix;
mod listeners;
mod live;
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
use model::objects::File;
use model::seams::Clock;
use model::{Finding, Severity};
use serde_json::json;
use url::Url;

use crate::command::USAGE;
use crate::up::{SystemClock, finding_as_json};

pub(crate) use tree::{Tree, TreeFault};

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

    /// Write a copy of the manifests to this new directory in which everything is mended whose remedy
    /// is only to be typed.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["fix_in_place", "live"])]
    fix: Option<PathBuf>,

    /// Mend the manifests themselves in the same way.
    #[arg(long, conflicts_with = "live")]
    fix_in_place: bool,

    /// Look at a running site from outside instead: its redirects, certificate and cookies, whether
    /// it believes headers that name a user, and what it answers without sign-in.
    #[arg(long, value_name = "URL")]
    live: Option<Url>,

    /// With `--live`: where its plain HTTP is, if not on port 80.
    #[arg(long, value_name = "URL", requires = "live")]
    plain_http: Option<Url>,

    /// With `--live`: PEM file of authorities to trust instead of the system's.
    #[arg(long, value_name = "FILE", requires = "live")]
    ca: Option<PathBuf>,

    /// With `--live`: a further path that must ask for sign-in. Repeatable.
    #[arg(long = "path", value_name = "PATH", requires = "live")]
    closed: Vec<String>,

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
    if let Some(url) = &args.live {
        return live(args, url, out);
    }
    let DoctorArgs { paths, format, .. } = args;
    let tree = match Tree::read(paths) {
        Ok(tree) => tree,
        Err(fault) => {
            anstream::eprintln!("doorward: {fault}");
            return ExitCode::from(USAGE);
        }
    };
    let now = SystemClock.now();
    let (tree, fixed) = if args.fix.is_some() || args.fix_in_place {
        match mended(args, tree, now) {
            Ok(mended) => mended,
            Err(unwritten) => {
                anstream::eprintln!("doorward: {unwritten}");
                return ExitCode::from(USAGE);
            }
        }
    } else {
        (tree, Vec::new())
    };
    let mut report = Report::of(&tree, now);
    report.add(parameters::check(paths, &tree.compiled.snapshot));
    report.add(listeners::check(paths));
    report.fixed = fixed;
    report.finish(*format, out)
}

/// Mends what can be mended and writes it where the flags say.
fn mended(
    args: &DoctorArgs,
    tree: Tree,
    now: Timestamp,
) -> Result<(Tree, Vec<fix::Fixed>), fix::Unwritten> {
    let before = tree.objects.clone();
    let (tree, fixed) = fix::mend(tree, now);
    match &args.fix {
        Some(directory) => fix::copy(&args.paths, &tree, directory)?,
        None => fix::in_place(&before, &tree)?,
    }
    Ok((tree, fixed))
}

/// Looks at a running site. The exit codes are the same.
fn live(args: &DoctorArgs, url: &Url, out: &mut dyn Write) -> ExitCode {
    let live = live::Live {
        url,
        plain: args.plain_http.as_ref(),
        authorities: args.ca.as_ref(),
        paths: &args.closed,
        now: SystemClock.now(),
    };
    match live.look() {
        Ok(findings) => {
            let mut report = Report {
                files: &[],
                site: Some(url),
                fixed: Vec::new(),
                findings: Vec::new(),
            };
            report.add(findings);
            report.finish(args.format, out)
        }
        Err(fault) => {
            anstream::eprintln!("doorward: {fault}\nhelp: name a site that this machine reaches");
            ExitCode::from(USAGE)
        }
    }
}

/// The findings of a tree or a site, worst first, then by place.
struct Report<'t> {
    files: &'t [File],
    site: Option<&'t Url>,
    /// What was mended before.
    fixed: Vec<fix::Fixed>,
    findings: Vec<Finding>,
}

impl<'t> Report<'t> {
    fn of(tree: &'t Tree, now: Timestamp) -> Self {
        let mut findings = tree.compiled.findings.clone();
        findings.extend(certificates::check(&tree.compiled.snapshot, now));
        findings.extend(policy::check_clients(&tree.compiled.snapshot));
        findings.extend(policy::check_exemptions(&tree.compiled.snapshot));
        let mut report = Self {
            files: &tree.objects.files,
            site: None,
            fixed: Vec::new(),
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

    fn finish(&self, format: Format, out: &mut dyn Write) -> ExitCode {
        match self.write(format, out) {
            Ok(()) if self.count(Severity::Error) == 0 => ExitCode::SUCCESS,
            // The reader went away, as `head` does, or there are errors.
            Ok(()) | Err(_) => ExitCode::FAILURE,
        }
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
                let fixed = self.fixed.iter().map(|one| {
                    json!({
                        "code": one.code.to_string(),
                        "file": &*one.place.file,
                        "line": one.place.line,
                        "fault": one.fault,
                    })
                });
                let report = json!({
                    "findings": findings,
                    "fixed": fixed.collect::<Vec<_>>(),
                    "errors": self.count(Severity::Error),
                    "warnings": self.count(Severity::Warning),
                    "notes": self.count(Severity::Note),
                    "files": self.files.len(),
                });
                writeln!(out, "{report:#}")
            }
            Format::Sarif => writeln!(out, "{:#}", sarif::document(&self.findings)),
        }
    }
}

#[cfg(test)]
mod tests;
