//! Recorded decisions: lines of the access log, read back.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};
use model::Snapshot;
use policy::{NoSession, TokenFault};
use serde::Deserialize;

use super::visitor::{Visitor, Who};
use crate::explain::Scheme;
use crate::explain::probe::Probe;
use crate::explain::verdict::{Because, Passes, Verdict};

/// A decision that was made.
pub(super) struct Recorded {
    pub(super) visitor: Visitor,
    pub(super) probe: Probe,
    pub(super) verdict: Verdict,
    /// Object of the route.
    pub(super) route: Option<String>,
}

/// What a line is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// JSON of the access log that tells enough.
    Foreign,
    /// A decision: it is about bytes, or nothing was decided.
    NoDecision,
}

/// A line of the access log, as far as a decision is made from it.
#[derive(Deserialize)]
struct Line {
    method: Option<String>,
    host: Option<String>,
    path: Option<String>,
    outcome: String,
    route: Option<String>,
    policy: Option<String>,
    place: Option<String>,
    reason: Option<String>,
    user: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    via: Option<String>,
    issuer: Option<String>,
    subject: Option<String>,
    absence: Option<String>,
    token_fault: Option<String>,
    port: Option<u16>,
    scheme: Option<String>,
    server_name: Option<String>,
    principal: Option<String>,
    #[serde(default)]
    headers: Vec<(String, Option<String>)>,
    client: Option<IpAddr>,
    #[serde(default)]
    stream: bool,
    frontend: Option<String>,
}

/// Stands for a value that is not in the log.
const LEFT_OUT: &str = "-";

/// Reads one line, for the tree that it is held against.
pub(super) fn read(line: &str, snapshot: &Snapshot) -> Result<Recorded, Unread> {
    let line: Line = serde_json::from_str(line).map_err(|_| Unread::Foreign)?;
    // What another proxy asked about has a route there, and may have none here.
    let is_check = line.frontend.is_some();
    if line.stream || is_check || line.policy.is_none() && line.reason.is_none() {
        return Err(Unread::NoDecision);
    }
    let passes = match &*line.outcome {
        "forward" | "serve" | "redirect" => Passes::Allowed,
        "sign_in" => Passes::SignIn,
        "refuse" => Passes::Refused,
        _ => return Err(Unread::NoDecision),
    };
    let visitor = visitor(&line).ok_or(Unread::Foreign)?;
    let probe = probe(&line, snapshot).ok_or(Unread::Foreign)?;
    let outcome = ["forward", "serve", "redirect", "sign_in", "refuse"];
    let verdict = Verdict {
        passes,
        outcome: outcome
            .into_iter()
            .find(|word| **word == *line.outcome)
            .unwrap_or("refuse"),
        what: String::new(),
        because: because(&line),
    };
    Ok(Recorded {
        visitor,
        probe,
        verdict,
        route: line.route,
    })
}

fn because(line: &Line) -> Because {
    let Some(policy) = &line.policy else {
        return Because::Other(line.reason.clone().unwrap_or_default());
    };
    let place = line.place.as_deref().unwrap_or_default();
    let (file, number) = place.rsplit_once(':').unwrap_or((place, "0"));
    Because::Rule {
        policy: policy.clone(),
        file: file.to_owned(),
        line: number.parse().unwrap_or_default(),
    }
}

fn probe(line: &Line, snapshot: &Snapshot) -> Option<Probe> {
    let is_http = line.scheme.as_deref()? == "http";
    let scheme = if is_http { Scheme::Http } else { Scheme::Https };
    let mut probe = Probe::of(snapshot, scheme, line.host.as_deref()?);
    probe.method = Method::from_bytes(line.method.as_deref()?.as_bytes()).ok()?;
    line.path.as_deref()?.clone_into(&mut probe.path);
    probe.port = line.port?;
    probe.client = line.client?;
    if let Some(name) = &line.server_name {
        probe.server_name = Some(name.clone());
    }
    for (name, value) in &line.headers {
        let name: HeaderName = name.parse().ok()?;
        let value = value.as_deref().unwrap_or(LEFT_OUT);
        probe
            .headers
            .append(name, HeaderValue::from_str(value).ok()?);
    }
    Some(probe)
}

fn visitor(line: &Line) -> Option<Visitor> {
    let absence = |word: &str| NoSession::ALL.into_iter().find(|one| one.as_str() == word);
    let fault = |word: &str| TokenFault::ALL.into_iter().find(|one| one.as_str() == word);
    let user = line.user.clone();
    let mut visitor = match (&line.token_fault, &line.absence, line.via.as_deref()) {
        (Some(word), _, _) => Visitor::of(Who::BadToken(fault(word)?.as_str())),
        (None, Some(word), _) => Visitor::nobody(absence(word)?),
        (None, None, Some("token")) => {
            let subject = line.subject.clone()?;
            Visitor::of(Who::Token {
                issuer: line.issuer.clone()?,
                email: user.filter(|user| *user != subject),
                subject,
                groups: line.groups.clone(),
            })
        }
        (None, None, _) => match user {
            Some(user) => Visitor::person(&user, &line.groups),
            None => Visitor::nobody(NoSession::NoCookie),
        },
    };
    visitor.principal.clone_from(&line.principal);
    Some(visitor)
}

/// Whether both lead to the same object; where nothing is let through that does not matter.
pub(super) fn same_route(
    route: Option<&str>,
    now: Option<&Arc<model::snapshot::RouteInfo>>,
) -> bool {
    match (route, now) {
        (None, None) => true,
        (Some(route), Some(now)) => *route == now.object.to_string(),
        (None, Some(_)) | (Some(_), None) => false,
    }
}
