//! `doorward explain`: what would happen to a request, and why; what somebody can reach.

mod asked;
mod clause;
mod compare;
mod connection;
mod json;
mod named;
mod places;
mod probe;
mod reach;
mod sample;
mod session;
mod text;
mod verdict;

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use http::{HeaderName, HeaderValue, Method};
use model::Snapshot;
use model::names::Timestamp;
use model::seams::Clock;
use policy::decision::Step;
use policy::{Decision, Outcome, Record, Request, Unreadable, decide_recording};

use crate::command::USAGE;
use crate::doctor::{Tree, TreeFault};
use crate::up::SystemClock;
use asked::Asked;
use probe::Probe;
use session::Told;

/// Refused.
const REFUSED: u8 = 3;
/// Somebody has to sign in first.
const SIGN_IN: u8 = 4;

/// One of these has to be said for a question about everything.
const WHO: [&str; 6] = ["user", "anonymous", "token", "diff", "replay", "connection"];

/// Arguments of `doorward explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// File or directory of Kubernetes manifests, read recursively. Repeatable.
    #[arg(
        long,
        value_name = "PATH",
        env = "DOORWARD_MANIFESTS",
        value_delimiter = ':',
        required = true
    )]
    manifests: Vec<PathBuf>,

    /// Host that the request names, with its port if it sends one.
    #[arg(long, value_name = "HOST", required_unless_present_any = WHO)]
    host: Option<String>,

    /// Path and query, as sent. Without it, everything that somebody can and cannot reach is told.
    #[arg(long, value_name = "PATH", requires = "host", required_unless_present_any = WHO)]
    path: Option<String>,

    /// Method.
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: Method,

    /// A header. Repeatable.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,

    /// E-mail of somebody who signed in through the first login proxy.
    #[arg(long, value_name = "EMAIL", conflicts_with = "anonymous")]
    user: Option<String>,

    /// A group of that user. Repeatable.
    #[arg(long = "group", value_name = "GROUP", requires = "user")]
    groups: Vec<String>,

    /// Nobody has signed in; so it is without `--user` too.
    #[arg(long)]
    anonymous: bool,

    /// A token that the client sends as `Authorization: Bearer`.
    #[arg(long, value_name = "JWT", conflicts_with = "anonymous")]
    token: Option<String>,

    /// Tell what changes for whom when this file or directory of manifests takes the place of
    /// `--manifests`. Repeatable, as `--manifests` is. With `--user` or `--anonymous` for them only.
    #[arg(long, value_name = "OTHER", conflicts_with_all = ["host", "token"])]
    diff: Vec<PathBuf>,

    /// An access log of `doorward up`; `-` is standard input. Its decisions are made once more, and
    /// what changes is told; with `--diff`, what changes of them from one tree to the other.
    #[arg(long, value_name = "LOG", conflicts_with_all = ["host", "token"])]
    replay: Option<PathBuf>,

    /// Ask about a connection whose bytes are passed on (TCP, TLS passthrough) instead of a request;
    /// `--port` says where it comes in.
    #[arg(
        long,
        requires = "port",
        conflicts_with_all = ["host", "headers", "user", "anonymous", "token", "diff", "replay"]
    )]
    connection: bool,

    /// Scheme as the browser sees it.
    #[arg(long, value_name = "SCHEME", default_value = "https")]
    scheme: Scheme,

    /// `Gateway` port that the request comes in on [default: the one that serves the host]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,

    /// Server name of the TLS handshake [default: the host]
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,

    /// How the answer is printed.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Scheme of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

/// How the answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// Stable, for scripts.
    Json,
}

/// Why nothing can be explained. The user of the command is at fault.
#[derive(Debug)]
enum Fault {
    /// The manifests cannot be read.
    Tree(TreeFault),
    /// Nobody can sign in: there is no login proxy.
    NoLogin,
    /// A log cannot be read.
    Log(PathBuf, io::Error),
    /// No line of a log is one of ours.
    NoLog(PathBuf),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tree(fault) => fault.fmt(f),
            Self::Log(path, error) => write!(
                f,
                "`{}` cannot be read: {error}\nhelp: name an access log of `doorward up`, or `-`",
                path.display()
            ),
            Self::NoLog(path) => write!(
                f,
                "no line of `{}` tells a decision\nhelp: name an access log of this version of `doorward up`",
                path.display()
            ),
            Self::NoLogin => f.write_str(
                "there is no login proxy in these manifests, so nobody can be signed in\n\
                 help: use `--token JWT`, or `--anonymous`",
            ),
        }
    }
}

impl std::error::Error for Fault {}

/// What is told.
struct Explained {
    /// The decision, or why the request is answered 400 before any.
    result: Result<Decision, Unreadable>,
    /// What was consulted, in order.
    steps: Vec<Step>,
    /// The request as it was decided about.
    asked: Probe,
    /// Who asks, in words.
    who: String,
    /// What is assumed, and what happens before or after the decision.
    notes: Vec<String>,
}

/// Explains one request (0: forwarded, served or redirected; 3: refused; 4: sign-in needed), or
/// tells what somebody can reach (0). 2: bad usage.
pub(crate) fn run(args: &ExplainArgs, out: &mut dyn Write) -> ExitCode {
    let tree = match Tree::read(&args.manifests) {
        Ok(tree) => tree,
        Err(fault) => return usage(&Fault::Tree(fault)),
    };
    match answer(args, &tree.compiled.snapshot, SystemClock.now(), out) {
        Ok(Ok(code)) => ExitCode::from(code),
        // The reader went away, as `head` does.
        Ok(Err(_)) => ExitCode::FAILURE,
        Err(fault) => usage(&fault),
    }
}

/// Answers the question that the flags ask; the number is the exit code.
fn answer(
    args: &ExplainArgs,
    snapshot: &Snapshot,
    now: Timestamp,
    out: &mut dyn Write,
) -> Result<io::Result<u8>, Fault> {
    if !args.diff.is_empty() || args.replay.is_some() {
        return compare::run(args, snapshot, now, out);
    }
    if let (true, Some(port)) = (args.connection, args.port) {
        return Ok(connection::run(args, port, snapshot, out));
    }
    let (Some(host), Some(path)) = (&args.host, &args.path) else {
        return reach::run(args, snapshot, now, out).map(|written| written.map(|()| 0));
    };
    let explained = explain(args, host, path, snapshot, now)?;
    let written = match args.format {
        Format::Text => text::write(&explained, out),
        Format::Json => writeln!(out, "{:#}", json::document(&explained)),
    };
    Ok(written.map(|()| explained.code()))
}

fn usage(fault: &Fault) -> ExitCode {
    anstream::eprintln!("doorward: {fault}");
    ExitCode::from(USAGE)
}

/// Facts and session from the flags, then the same decision that the gateway makes.
fn explain(
    args: &ExplainArgs,
    host: &str,
    path: &str,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<Explained, Fault> {
    let mut asked = Asked::of(args, host, path, snapshot);
    let Probe { headers, path, .. } = &mut asked.probe;
    let Told { session, mut notes } = session::of(args, (headers, path), snapshot, now)?;
    notes.extend(asked.notes(snapshot));
    let mut steps = Steps(Vec::new());
    let result = Request::read(asked.probe.head(now), snapshot.normalization())
        .map(|request| decide_recording(&request, snapshot, &session, &mut steps));
    Ok(Explained {
        result,
        steps: steps.0,
        asked: asked.probe,
        who: who(args),
        notes,
    })
}

fn who(args: &ExplainArgs) -> String {
    let groups = match &*args.groups {
        [] => String::new(),
        groups => format!(" in {}", groups.join(", ")),
    };
    match (&args.user, &args.token) {
        (Some(user), None) => format!("by {user}{groups}"),
        (Some(user), Some(_)) => format!("by {user}{groups}, with a token"),
        (None, Some(_)) => "with a token".into(),
        (None, None) => "by nobody known".into(),
    }
}

impl Explained {
    fn code(&self) -> u8 {
        match &self.result {
            Ok(decision) => match &decision.outcome {
                Outcome::Forward(_) | Outcome::Redirect(_) | Outcome::Serve(_) => 0,
                Outcome::Refuse(_) => REFUSED,
                Outcome::SignIn(_) => SIGN_IN,
            },
            Err(_) => REFUSED,
        }
    }
}

struct Steps(Vec<Step>);

impl Record for Steps {
    fn step(&mut self, step: Step) {
        self.0.push(step);
    }
}

/// Reads `NAME=VALUE`.
fn header(text: &str) -> Result<(HeaderName, HeaderValue), HeaderFault> {
    let (name, value) = text.split_once('=').ok_or(HeaderFault::NoValue)?;
    let name = name.trim().parse().map_err(|_| HeaderFault::Name)?;
    let value = value.trim().parse().map_err(|_| HeaderFault::Value)?;
    Ok((name, value))
}

/// What is wrong with a `--header`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeaderFault {
    /// There is no `=`.
    NoValue,
    /// Not the name of a header.
    Name,
    /// Not the value of a header.
    Value,
}

impl fmt::Display for HeaderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoValue => "a header is written `NAME=VALUE`",
            Self::Name => "what stands before `=` is no header name",
            Self::Value => "what stands after `=` is no header value",
        })
    }
}

impl std::error::Error for HeaderFault {}

#[cfg(test)]
mod tests;
