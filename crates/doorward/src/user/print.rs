//! People on paper.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;
use model::names::Secret;
use provider::{PasswordState, User};
use serde_json::{Value, json};

/// A table.
pub(super) fn text(people: &[User], out: &mut dyn Write) -> io::Result<()> {
    if people.is_empty() {
        return writeln!(out, "nobody is there");
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(["EMAIL", "NAME", "GROUPS", "STATE", "PASSWORD", "SINCE"]);
    for person in people {
        let state = if person.enabled {
            "enabled"
        } else {
            "disabled"
        };
        table.add_row([
            person.email.clone(),
            person.name.clone(),
            person.groups.join(", "),
            state.to_owned(),
            password(person.password).to_owned(),
            time(person),
        ]);
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim())?;
    }
    Ok(())
}

/// Whole.
pub(super) fn json(people: &[User], out: &mut dyn Write) -> io::Result<()> {
    let people: Vec<Value> = people.iter().map(person).collect();
    writeln!(out, "{:#}", json!({ "users": people }))
}

fn person(person: &User) -> Value {
    json!({
        "id": person.id,
        "email": person.email,
        "emailVerified": person.email_verified,
        "name": person.name,
        "preferredUsername": person.preferred_username,
        "groups": person.groups,
        "enabled": person.enabled,
        "password": password(person.password),
        "created": person.created_at.seconds(),
    })
}

/// Who was added, and the password that was made for them.
pub(super) fn added(user: &User, shown: Option<&Secret>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{} added, id {}", user.email, user.id)?;
    show(shown, out)
}

/// Whose password was set, and the password that was made for them.
pub(super) fn password_set(
    email: &str,
    shown: Option<&Secret>,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "password of {email} set")?;
    show(shown, out)
}

fn show(shown: Option<&Secret>, out: &mut dyn Write) -> io::Result<()> {
    match shown.and_then(Secret::expose_str) {
        Some(text) => writeln!(out, "password: {text}"),
        None => Ok(()),
    }
}

fn password(state: PasswordState) -> &'static str {
    match state {
        PasswordState::None => "none",
        PasswordState::OneTime => "one-time",
        PasswordState::Own => "own",
    }
}

fn time(person: &User) -> String {
    let time = Timestamp::from_second(person.created_at.seconds());
    time.map_or_else(|_| String::new(), |time| time.to_string())
}
