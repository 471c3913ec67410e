//! What changes: two trees, or a log of decisions and a tree, asked about the same requests.

mod changes;
mod log;
mod print;
mod questions;
mod side;
mod visitor;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use model::names::Timestamp;
use model::{Finding, Severity, Snapshot};

use super::verdict::{Passes, Verdict};
use super::{ExplainArgs, Fault, Format};
use crate::doctor::Tree;
use changes::{Changes, Spot};
use log::{Recorded, Unread};
use questions::Asked;
use side::Side;
use visitor::Visitor;

/// Exit code: something changes.
const DIFFERS: u8 = 1;
/// A longer line of a log is none of ours.
const LONGEST_LINE: u64 = 1 << 20;

/// What came of comparing.
struct Compared {
    changes: Changes,
    /// Requests that were made up.
    asked: Option<Asked>,
    /// Requests that were recorded.
    replayed: Option<Replayed>,
    notes: Vec<String>,
}

/// How much of a log was asked.
#[derive(Default)]
struct Replayed {
    decisions: usize,
    /// Lines that are about something else.
    others: usize,
    /// Lines that nobody can read.
    unread: usize,
}

/// Compares; the number is the exit code: 0 when nothing changes, 1 when something does.
pub(super) fn run(
    args: &ExplainArgs,
    snapshot: &Snapshot,
    now: Timestamp,
    out: &mut dyn Write,
) -> Result<io::Result<u8>, Fault> {
    let other = match &*args.diff {
        [] => None,
        paths => Some(Tree::read(paths).map_err(Fault::Tree)?),
    };
    let was = Side::of(snapshot, now);
    let is = other
        .as_ref()
        .map(|tree| Side::of(&tree.compiled.snapshot, now));
    let mut changes = Changes::default();
    let asked = is
        .as_ref()
        .map(|is| questions::compare(&was, is, &named_by(args), &mut changes));
    let replayed = match &args.replay {
        Some(path) => Some(replay(path, &was, is.as_ref(), &mut changes)?),
        None => None,
    };
    let mut notes = Vec::new();
    if let Some(tree) = &other {
        let errors = |finding: &&Finding| finding.severity == Severity::Error;
        let errors = tree.compiled.findings.iter().filter(errors).count();
        if errors > 0 {
            let errors = counted(errors, "error");
            notes.push(format!(
                "the other tree has {errors}, which `doorward doctor` tells"
            ));
        }
    }
    let compared = Compared {
        changes,
        asked,
        replayed,
        notes,
    };
    let written = match args.format {
        Format::Text => print::text(&compared, out),
        Format::Json => writeln!(out, "{:#}", print::json(&compared)),
    };
    let code = if compared.changes.is_empty() {
        0
    } else {
        DIFFERS
    };
    Ok(written.map(|()| code))
}

fn counted(count: usize, word: &str) -> String {
    match count {
        1 => format!("1 {word}"),
        _ => format!("{count} {word}s"),
    }
}

/// Whom the flags ask about.
fn named_by(args: &ExplainArgs) -> Vec<Visitor> {
    match &args.user {
        Some(user) => vec![Visitor::person(user, &args.groups)],
        None if args.anonymous => vec![Visitor::nobody(policy::NoSession::NoCookie)],
        None => Vec::new(),
    }
}

/// Holds the decisions of a log against a tree; with two trees, both against each other.
fn replay(
    path: &Path,
    was: &Side<'_>,
    is: Option<&Side<'_>>,
    changes: &mut Changes,
) -> Result<Replayed, Fault> {
    let trouble = |error| Fault::Log(path.to_owned(), error);
    let mut reader: Box<dyn BufRead> = if path.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(path).map_err(trouble)?))
    };
    let mut replayed = Replayed::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = io::Read::take(&mut reader, LONGEST_LINE);
        if limited.read_until(b'\n', &mut line).map_err(trouble)? == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&line);
        if text.trim().is_empty() {
            continue;
        }
        match log::read(&text, was.snapshot) {
            Ok(recorded) => {
                replayed.decisions += 1;
                held_against(&recorded, was, is, changes);
            }
            Err(Unread::NoDecision) => replayed.others += 1,
            Err(Unread::Foreign) => replayed.unread += 1,
        }
    }
    // Whoever asks whether anything changes must not take this for a no.
    if replayed.decisions == 0 && replayed.unread > 0 {
        return Err(Fault::NoLog(path.to_owned()));
    }
    Ok(replayed)
}

fn held_against(recorded: &Recorded, was: &Side<'_>, is: Option<&Side<'_>>, changes: &mut Changes) {
    let Recorded {
        visitor,
        probe,
        verdict,
        route,
    } = recorded;
    let first = was.ask(visitor, probe);
    let spot = || Spot {
        host: probe.host.clone(),
        path: match (&first.route, route) {
            (Some(route), _) => route.object.to_string(),
            (None, Some(route)) => route.clone(),
            (None, None) => probe.path.clone(),
        },
    };
    let request = (probe.method.as_str(), probe.path.as_str());
    let Some(is) = is else {
        // Of what happened the log tells less than a decision does.
        let leads_elsewhere = verdict.passes == Passes::Allowed
            && !log::same_route(route.as_deref(), first.route.as_ref());
        let (was, is) = (verdict.clone(), first.verdict.clone());
        let now = if leads_elsewhere {
            is
        } else {
            Verdict {
                what: if was.outcome == is.outcome {
                    String::new()
                } else {
                    is.what
                },
                ..is
            }
        };
        changes.compare((&was, &now), spot, visitor, request);
        return;
    };
    let second = is.ask(visitor, probe);
    changes.compare((&first.verdict, &second.verdict), spot, visitor, request);
}

#[cfg(test)]
mod tests;
