//! The explanation for people.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use model::names::Place;
use model::snapshot::{Closure, RouteInfo};
use policy::decision::{SignInAnswer, Stage, Step, Unmet};
use policy::{Decision, Outcome, Permit, Reason, Refusal};

use super::json::{answer_headers, received, rule_place, served, stage_word};
use super::{Explained, clause};

/// So many clauses of one policy are told.
const CLAUSES: usize = 12;

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const GREEN: Style = AnsiColor::Green.on_default().bold();
pub(super) const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
pub(super) const RED: Style = AnsiColor::Red.on_default().bold();

/// Writes with colours; the stream that the command line hands in leaves them out where nobody
/// sees them.
pub(super) fn write(explained: &Explained, out: &mut dyn Write) -> io::Result<()> {
    let asked = &explained.asked;
    let who = &explained.who;
    writeln!(
        out,
        "{} {}://{}{} {who}",
        asked.method, asked.scheme, asked.host, asked.path
    )?;
    match &explained.result {
        Ok(decision) => {
            headline(&decision.outcome, out)?;
            because(decision, out)?;
        }
        Err(fault) => writeln!(out, "{RED}refuse{RED:#}: {fault}")?,
    }
    consulted(&explained.steps, out)?;
    let permit = explained
        .result
        .as_ref()
        .ok()
        .and_then(|decision| match &decision.outcome {
            Outcome::Forward(permit) => Some(permit),
            Outcome::Serve(serve) => serve.permit.as_ref(),
            Outcome::SignIn(_) | Outcome::Redirect(_) | Outcome::Refuse(_) => None,
        });
    if let Some(permit) = permit {
        forwarded(permit, explained, out)?;
    }
    if let Ok(decision) = &explained.result {
        answered(&decision.outcome, out)?;
    }
    for note in &explained.notes {
        writeln!(out, "{DIM}note: {note}{DIM:#}")?;
    }
    Ok(())
}

fn headline(outcome: &Outcome, out: &mut dyn Write) -> io::Result<()> {
    let word = outcome.as_str().replace('_', "-");
    match outcome {
        Outcome::Forward(permit) => {
            let service = &permit.destination().service;
            writeln!(out, "{GREEN}{word}{GREEN:#}: to `{service}`")
        }
        Outcome::Serve(serve) => {
            writeln!(
                out,
                "{GREEN}{word}{GREEN:#}: by doorward itself, {}",
                served(&serve.what)
            )
        }
        Outcome::Redirect(redirect) => {
            writeln!(
                out,
                "{GREEN}{word}{GREEN:#}: {} to {}",
                redirect.code, redirect.location
            )
        }
        Outcome::SignIn(sign_in) => {
            let how = match sign_in.how {
                SignInAnswer::Page => "the browser gets the sign-in page",
                SignInAnswer::Redirect => "the browser is sent to the issuer",
                SignInAnswer::Plain => "the proxy that asks gets 401",
                SignInAnswer::NotAllowedIn => "the session ends, because its owner may not enter",
                SignInAnswer::Unauthorized => "the script is told to sign in",
            };
            let absence = sign_in.absence.as_str().replace('_', " ");
            writeln!(out, "{YELLOW}{word}{YELLOW:#}: {how} ({absence})")
        }
        Outcome::Refuse(refusal) => writeln!(out, "{RED}{word}{RED:#}: {}", refused(refusal)),
    }
}

pub(super) fn refused(refusal: &Refusal) -> String {
    match refusal {
        Refusal::NoRoute => "no route matches".into(),
        Refusal::NoUpstream => "no upstream is mounted there".into(),
        Refusal::Misdirected => "the handshake named a host of another TLS server".into(),
        Refusal::Denied => "a policy says no".into(),
        Refusal::Token(fault) => format!("the token is not accepted: {}", fault.message()),
        Refusal::Forbidden => "the session does not meet what the query wants".into(),
        Refusal::NotAllowedIn => "the login proxy does not let this user in".into(),
        Refusal::AuthorizerUnavailable(status) => {
            format!("the authorizer cannot be asked, which is answered {status}")
        }
        Refusal::StoreUnavailable => "the session store does not answer".into(),
        Refusal::Closed(closure) => closed(closure),
    }
}

/// What closes, and where.
pub(super) fn closed(closure: &Closure) -> String {
    let place = closure.place.as_ref().map(|place| format!(" ({place})"));
    format!(
        "closed by {}: {}{}",
        closure.code,
        closure.fault,
        place.unwrap_or_default()
    )
}

fn because(decision: &Decision, out: &mut dyn Write) -> io::Result<()> {
    why(decision.route.as_deref(), &decision.reason, out)
}

/// The route, and the rule that determined the outcome.
pub(super) fn why(
    route: Option<&RouteInfo>,
    reason: &Reason,
    out: &mut dyn Write,
) -> io::Result<()> {
    match route {
        Some(route) => {
            let (object, name, place) = (&route.object, &route.name, &route.place);
            writeln!(
                out,
                "  {BOLD}route{BOLD:#}       {object} `{name}`  {place}"
            )?;
        }
        None => writeln!(out, "  {BOLD}route{BOLD:#}       none")?,
    }
    match reason {
        Reason::Rule { policy, line } => {
            let place = rule_place(&policy.place, *line);
            writeln!(
                out,
                "  {BOLD}decided by{BOLD:#}  {}  {place}",
                policy.object
            )
        }
        Reason::Default(default) => {
            let word = default.as_str().replace('_', " ");
            writeln!(out, "  {BOLD}decided by{BOLD:#}  default: {word}")
        }
    }
}

pub(super) fn consulted(steps: &[Step], out: &mut dyn Write) -> io::Result<()> {
    let mut last: Option<Stage> = None;
    let mut stage_line = |stage: Stage, out: &mut dyn Write| {
        if last == Some(stage) {
            return Ok(());
        }
        last = Some(stage);
        writeln!(out, "{BOLD}at the {}{BOLD:#}", stage_word(stage))
    };
    for step in steps {
        match step {
            // The route stands above.
            Step::Route(_) => {}
            Step::Policy {
                stage,
                policy,
                action,
                matched,
                unmet,
            } => {
                stage_line(*stage, out)?;
                let (object, place) = (&policy.object, &policy.place);
                match matched {
                    Some(line) => {
                        let rule = rule_place(place, *line);
                        writeln!(out, "  {action:<6}  {object}  {BOLD}matched{BOLD:#} {rule}")?;
                    }
                    None => {
                        writeln!(
                            out,
                            "  {action:<6}  {object}  {DIM}not matched{DIM:#} {place}"
                        )?;
                        why_not(unmet, place, out)?;
                    }
                }
            }
            Step::Login { authorizer, said } => {
                stage_line(Stage::Gateway, out)?;
                writeln!(
                    out,
                    "  login   `{authorizer}` says: {}",
                    said.replace('_', " ")
                )?;
            }
            Step::Token { stage, said } => {
                stage_line(*stage, out)?;
                writeln!(out, "  token   {said}")?;
            }
        }
    }
    Ok(())
}

/// The clauses that do not hold, each with the place of its rule.
fn why_not(unmet: &[Unmet], place: &Place, out: &mut dyn Write) -> io::Result<()> {
    if unmet.is_empty() {
        return writeln!(out, "            it has no rule, so nothing matches it");
    }
    for one in unmet.iter().take(CLAUSES) {
        let (clause, said) = (&one.clause, clause::sentence(one));
        let rule = rule_place(place, one.line);
        writeln!(out, "            {clause}: {said}  {DIM}{rule}{DIM:#}")?;
    }
    match unmet.len().saturating_sub(CLAUSES) {
        0 => Ok(()),
        more => writeln!(
            out,
            "            and {more} more, which `--format json` tells"
        ),
    }
}

/// What the route adds to the answer.
fn answered(outcome: &Outcome, out: &mut dyn Write) -> io::Result<()> {
    let told = answer_headers(outcome);
    if told.is_empty() {
        return Ok(());
    }
    writeln!(out, "{BOLD}the answer gets{BOLD:#}")?;
    for (name, value) in told {
        match value {
            Some(value) => writeln!(out, "  {name}: {value}")?,
            None => writeln!(out, "  {DIM}no {name}{DIM:#}")?,
        }
    }
    Ok(())
}

fn forwarded(permit: &Permit, explained: &Explained, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{BOLD}the application receives{BOLD:#}")?;
    writeln!(
        out,
        "  {} {}",
        explained.asked.method,
        permit.target(&explained.asked.path)
    )?;
    for (name, value) in received(permit, &explained.asked.headers) {
        writeln!(out, "  {name}: {value}")?;
    }
    if let Some(delay) = permit.delay() {
        writeln!(out, "  {DIM}after {delay:?}{DIM:#}")?;
    }
    if let Some(timeout) = permit.timeout() {
        writeln!(out, "  {DIM}within {timeout:?}{DIM:#}")?;
    }
    for mirror in permit.mirrors() {
        let service = &mirror.destination.service;
        writeln!(out, "  {DIM}with a copy to `{service}`{DIM:#}")?;
    }
    Ok(())
}
