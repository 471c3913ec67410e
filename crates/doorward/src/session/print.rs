//! Sessions on paper.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;
use serde_json::{Value, json};

/// A table.
pub(super) fn text(sessions: &[Value], out: &mut dyn Write) -> io::Result<()> {
    if sessions.is_empty() {
        return writeln!(out, "nobody is signed in");
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(["ID", "USER", "LOGIN", "SIGNED IN", "SEEN", "ENDS"]);
    for session in sessions {
        let text = |name: &str| session[name].as_str().unwrap_or_default().to_owned();
        let ends = match session["idleUntil"].as_i64() < session["expires"].as_i64() {
            true => format!("{} unless used", time(&session["idleUntil"])),
            false => time(&session["expires"]),
        };
        table.add_row([
            text("id"),
            text("user"),
            text("login"),
            time(&session["created"]),
            time(&session["seen"]),
            ends,
        ]);
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim())?;
    }
    Ok(())
}

/// As the administration listener gives them, in one piece.
pub(super) fn json(sessions: Vec<Value>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{:#}", json!({ "sessions": sessions }))
}

fn time(seconds: &Value) -> String {
    let time = seconds.as_i64().map(Timestamp::from_second);
    match time {
        Some(Ok(time)) => time.to_string(),
        Some(Err(_)) | None => String::new(),
    }
}
