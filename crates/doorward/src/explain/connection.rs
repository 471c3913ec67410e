//! What would happen to a connection whose bytes are passed on.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};

use model::Snapshot;
use policy::decision::Step;
use policy::{ConnectionHead, StreamDecision, StreamRefusal, decide_connection_recording};
use serde_json::{Value, json};

use super::text::{GREEN, RED};
use super::{ExplainArgs, Format, REFUSED, Steps, json, text};

/// Tells of a connection from this machine to a `Gateway` port. The number is the exit code: 0 where
/// its bytes are passed on, 3 where it is closed.
pub(super) fn run(
    args: &ExplainArgs,
    port: u16,
    snapshot: &Snapshot,
    out: &mut dyn Write,
) -> io::Result<u8> {
    let here: IpAddr = Ipv4Addr::LOCALHOST.into();
    let head = ConnectionHead {
        port,
        peer: here,
        local: here,
        sni: args.server_name.as_deref(),
        principal: None,
        draw: 0,
    };
    let mut steps = Steps(Vec::new());
    let decision = decide_connection_recording(&head, snapshot, &mut steps);
    match args.format {
        Format::Text => write(&head, &decision, &steps.0, out)?,
        Format::Json => writeln!(out, "{:#}", document(&head, &decision, &steps.0))?,
    }
    Ok(if decision.outcome.is_ok() { 0 } else { REFUSED })
}

fn write(
    head: &ConnectionHead<'_>,
    decision: &StreamDecision,
    steps: &[Step],
    out: &mut dyn Write,
) -> io::Result<()> {
    write!(out, "a connection to port {}", head.port)?;
    match head.sni {
        Some(name) => writeln!(out, " for `{name}`")?,
        None => writeln!(out)?,
    }
    match &decision.outcome {
        Ok(permit) => {
            let service = &permit.destination().service;
            writeln!(out, "{GREEN}forward{GREEN:#}: to `{service}`")?;
        }
        Err(refusal) => writeln!(out, "{RED}refuse{RED:#}: {}", refused(refusal))?,
    }
    text::why(decision.route.as_deref(), &decision.reason, out)?;
    text::consulted(steps, out)
}

fn refused(refusal: &StreamRefusal) -> String {
    match refusal {
        StreamRefusal::NoRoute => "no route takes its bytes".into(),
        StreamRefusal::Denied => "a policy says no".into(),
        StreamRefusal::Closed(closure) => text::closed(closure),
        StreamRefusal::NotAStream => "its destination is doorward itself, which speaks HTTP".into(),
    }
}

fn document(head: &ConnectionHead<'_>, decision: &StreamDecision, steps: &[Step]) -> Value {
    let StreamDecision {
        outcome,
        route,
        reason,
    } = decision;
    let mut document = json!({
        "outcome": if outcome.is_ok() { "forward" } else { "refuse" },
        "route": route.as_deref().map(json::route_taken),
        "reason": json::determined_by(reason),
        "connection": { "port": head.port, "serverName": head.sni },
        "exit": if outcome.is_ok() { 0 } else { REFUSED },
        "steps": steps.iter().map(json::step).collect::<Vec<_>>(),
    });
    match outcome {
        Ok(permit) => {
            document["destination"] = json!(permit.destination().service.to_string());
        }
        Err(StreamRefusal::Closed(closure)) => document["refusal"] = json::closed(closure),
        Err(refusal) => document["refusal"] = json!({ "kind": refusal.as_str() }),
    }
    document
}
