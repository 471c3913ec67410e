//! What changes, for people and as JSON.

use std::collections::BTreeSet;
use std::io::{self, Write};

use serde_json::{Value, json};

use super::changes::{Group, Requests, Way};
use super::visitor::Visitor;
use super::{Compared, Replayed, counted};
use crate::explain::text::{BOLD, DIM, GREEN, RED, YELLOW};
use crate::explain::verdict::Verdict;

/// So many of a list are told.
const TOLD: usize = 6;

pub(super) fn text(compared: &Compared, out: &mut dyn Write) -> io::Result<()> {
    for way in Way::ALL {
        let turns = compared.changes.of(way);
        if turns.is_empty() {
            continue;
        }
        let (style, title) = match way {
            Way::Opens => (YELLOW, "more is let through"),
            Way::Closes => (RED, "less is let through"),
            Way::Moves => (GREEN, "something else happens"),
        };
        writeln!(out, "{style}{title}{style:#}")?;
        for ((was, is), groups) in turns {
            for group in groups {
                told(&group, out)?;
                writeln!(out, "    {DIM}was{DIM:#}  {}", said(was))?;
                writeln!(out, "    {DIM}now{DIM:#}  {}", said(is))?;
            }
        }
    }
    for note in notes(compared) {
        writeln!(out, "{DIM}note: {note}{DIM:#}")?;
    }
    writeln!(out, "{}", summary(compared))
}

fn told(group: &Group<'_>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "  {BOLD}{}{BOLD:#}", people(&group.who))?;
    for (spot, requests) in group.places.iter().take(TOLD) {
        writeln!(
            out,
            "    {} {}  {}",
            spot.host,
            spot.path,
            such_as(requests)
        )?;
    }
    match group.places.len().saturating_sub(TOLD) {
        0 => Ok(()),
        more => writeln!(
            out,
            "    and {more} more places, which `--format json` tells"
        ),
    }
}

fn people(who: &BTreeSet<&Visitor>) -> String {
    let first: Vec<_> = who.iter().take(TOLD).map(ToString::to_string).collect();
    match who.len().saturating_sub(TOLD) {
        0 => first.join("; "),
        more => format!("{}; and {more} more", first.join("; ")),
    }
}

fn such_as(requests: &Requests) -> String {
    const FEW: usize = 3;
    let some = requests
        .iter()
        .take(FEW)
        .map(|(method, path)| format!("{method} {path}"));
    let some = some.collect::<Vec<_>>().join(", ");
    match requests.len().saturating_sub(FEW) {
        0 => format!("({some})"),
        more => format!("({some} and {more} more)"),
    }
}

fn said(verdict: &Verdict) -> String {
    let Verdict {
        passes,
        outcome,
        what,
        because,
    } = verdict;
    let what = match &**what {
        "" => outcome.replace('_', "-"),
        what => what.to_owned(),
    };
    format!("{}: {what}, by {because}", passes.as_str())
}

fn notes(compared: &Compared) -> Vec<String> {
    let mut notes = compared.notes.clone();
    if let Some(asked) = compared.asked.as_ref().filter(|asked| asked.cut > 0) {
        let cut = asked.cut;
        notes.push(format!(
            "not everything was asked at {}: there is too much",
            counted(cut, "place")
        ));
    }
    if let Some(Replayed { unread, others, .. }) = compared.replayed {
        if unread > 0 {
            let lines = counted(unread, "line");
            notes.push(format!(
                "too little to decide again stands in {lines} of the log"
            ));
        }
        if others > 0 {
            let lines = counted(others, "line");
            notes.push(format!("no decision stands in {lines} of the log"));
        }
    }
    notes
}

fn summary(compared: &Compared) -> String {
    let mut asked = Vec::new();
    asked.extend(
        compared
            .asked
            .as_ref()
            .map(|one| format!("{} requests made up", one.requests)),
    );
    asked.extend(
        compared
            .replayed
            .as_ref()
            .map(|one| format!("{} recorded", one.decisions)),
    );
    let asked = asked.join(", ");
    match compared.changes.count() {
        (0, _) => format!("nothing changes ({asked})"),
        (kinds, answers) => {
            let (kinds, answers) = (counted(kinds, "kind"), counted(answers, "answer"));
            format!("{kinds} of change, {answers} in all ({asked})")
        }
    }
}

pub(super) fn json(compared: &Compared) -> Value {
    let mut changes = Vec::new();
    for way in Way::ALL {
        for ((was, is), groups) in compared.changes.of(way) {
            changes.extend(groups.into_iter().map(|group| {
                let places = group.places.iter().map(|(spot, requests)| {
                    let requests = requests
                        .iter()
                        .map(|(method, path)| json!({ "method": method, "path": path }));
                    json!({
                        "host": spot.host,
                        "path": spot.path,
                        "requests": requests.collect::<Vec<_>>(),
                    })
                });
                json!({
                    "way": way.as_str(),
                    "who": group.who.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    "places": places.collect::<Vec<_>>(),
                    "was": was.json(),
                    "now": is.json(),
                })
            }));
        }
    }
    json!({
        "changes": changes,
        "asked": compared.asked.as_ref().map(|asked| json!({
            "requests": asked.requests,
            "placesCut": asked.cut,
        })),
        "replayed": compared.replayed.as_ref().map(|replayed| json!({
            "decisions": replayed.decisions,
            "others": replayed.others,
            "unread": replayed.unread,
        })),
        "notes": compared.notes,
    })
}
