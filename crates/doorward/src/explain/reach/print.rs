//! What somebody can reach, as a table and as JSON.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use http::Method;
use serde_json::{Value, json};

use super::{Answer, Reach, Row};
use crate::explain::text::{BOLD, DIM, GREEN, RED, YELLOW};
use crate::explain::verdict::{Passes, Verdict};

/// So many parts of a route are told in one row.
const TOLD: usize = 3;

pub(super) fn text(reach: &Reach, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "what can be reached {}", reach.who)?;
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(["HOST", "PATH", "NAMESPACE", "SERVICE", "ANSWER", "WHY"]);
    for row in &reach.rows {
        let (answer, why) = told(row);
        table.add_row([
            row.host.clone(),
            path(row),
            row.namespace.clone().unwrap_or_default(),
            row.service.clone().unwrap_or_default(),
            answer,
            why,
        ]);
    }
    for line in table.lines() {
        writeln!(out, "{}", coloured(line.trim_end()))?;
    }
    for (namespace, [allowed, sign_in, refused]) in reach.namespaces() {
        let mut parts = vec![format!("{allowed} allowed")];
        parts.extend((sign_in > 0).then(|| format!("{sign_in} after sign-in")));
        parts.extend((refused > 0).then(|| format!("{refused} refused")));
        writeln!(
            out,
            "namespace {BOLD}{namespace}{BOLD:#}: {}",
            parts.join(", ")
        )?;
    }
    for note in &reach.notes {
        writeln!(out, "{DIM}note: {note}{DIM:#}")?;
    }
    Ok(())
}

/// The answer stands in the middle of a line whose columns are already measured.
fn coloured(line: &str) -> String {
    for (passes, style) in [
        (Passes::Allowed, GREEN),
        (Passes::SignIn, YELLOW),
        (Passes::Refused, RED),
    ] {
        let word = format!(" {} ", passes.as_str());
        if let Some((before, after)) = line.split_once(&word) {
            return format!("{before} {style}{}{style:#} {after}", passes.as_str());
        }
    }
    line.to_owned()
}

fn told(row: &Row) -> (String, String) {
    match &row.answer {
        Answer::Verdict(verdict) => {
            let Verdict {
                passes,
                outcome,
                what,
                because,
            } = verdict;
            let why = match *outcome {
                "forward" => because.to_string(),
                _ => format!("{what}, {because}"),
            };
            (passes.as_str().to_owned(), why)
        }
        Answer::Elsewhere(Some(route)) => {
            let (object, place) = (&route.object, &route.place);
            ("elsewhere".to_owned(), format!("{object} {place} takes it"))
        }
        Answer::Elsewhere(None) => ("not reached".to_owned(), "no route takes it".to_owned()),
    }
}

fn path(row: &Row) -> String {
    let Row {
        path,
        conditions,
        only,
        ..
    } = row;
    if only.is_empty() {
        let conditions = conditions.iter().map(|one| format!(" [{one}]"));
        return format!("{path}{}", conditions.collect::<String>());
    }
    let parts = only.iter().take(TOLD).map(|(method, path)| match *method {
        Method::GET => path.clone(),
        _ => format!("{method} {path}"),
    });
    let parts = parts.collect::<Vec<_>>().join(", ");
    match only.len().saturating_sub(TOLD) {
        0 => format!("  such as {parts}"),
        more => format!("  such as {parts} and {more} more"),
    }
}

pub(super) fn json(reach: &Reach) -> Value {
    let rows: Vec<_> = reach
        .rows
        .iter()
        .map(|row| {
            let mut told = json!({
                "host": row.host,
                "path": row.path,
                "conditions": row.conditions,
                "only": row.only.iter().map(|(method, path)| json!({
                    "method": method.as_str(),
                    "path": path,
                })).collect::<Vec<_>>(),
                "namespace": row.namespace,
                "service": row.service,
                "route": row.route.as_ref().map(|route| json!({
                    "object": route.object.to_string(),
                    "name": &*route.name,
                    "file": &*route.place.file,
                    "line": route.place.line,
                })),
            });
            match &row.answer {
                Answer::Verdict(verdict) => told["answer"] = verdict.json(),
                Answer::Elsewhere(route) => {
                    told["elsewhere"] = json!(route.as_ref().map(|route| route.object.to_string()));
                }
            }
            told
        })
        .collect();
    let namespaces = reach
        .namespaces()
        .into_iter()
        .map(|(name, [allowed, sign_in, refused])| {
            let counts = json!({ "allowed": allowed, "signIn": sign_in, "refused": refused });
            (name.to_owned(), counts)
        });
    json!({
        "who": reach.who,
        "reach": rows,
        "namespaces": namespaces.collect::<serde_json::Map<_, _>>(),
        "notes": reach.notes,
    })
}
