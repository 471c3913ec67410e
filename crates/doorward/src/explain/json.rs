//! The explanation as JSON. Members are only ever added.

use http::{HeaderMap, HeaderName, HeaderValue};
use model::names::Place;
use model::snapshot::{Closure, HeaderEdits, RouteInfo};
use policy::decision::{Found, Served, SignInAnswer, Stage, Step, Unmet};
use policy::request::is_secret;
use policy::{Decision, Outcome, Permit, Reason, Refusal};
use serde_json::{Value, json};

use super::probe::Probe;
use super::{Explained, clause};

/// Shown instead of a value that is a secret or proves who somebody is.
pub(super) const HIDDEN: &str = "(not shown)";

pub(super) fn document(explained: &Explained) -> Value {
    let Explained {
        result,
        steps,
        asked,
        who: _,
        notes,
    } = explained;
    let request = json!({
        "method": asked.method.as_str(),
        "scheme": asked.scheme,
        "host": asked.host,
        "path": asked.path,
        "port": asked.port,
    });
    let mut document = match result {
        Ok(decision) => decided(decision, asked),
        Err(fault) => json!({
            "outcome": "refuse",
            "refusal": { "kind": "unreadable", "fault": fault.to_string() },
        }),
    };
    document["exit"] = json!(explained.code());
    document["request"] = request;
    document["steps"] = steps.iter().map(step).collect();
    document["notes"] = json!(notes);
    document
}

fn decided(decision: &Decision, asked: &Probe) -> Value {
    let Decision {
        outcome,
        route,
        reason,
    } = decision;
    let mut document = json!({
        "outcome": outcome.as_str(),
        "route": route.as_deref().map(route_taken),
        "reason": determined_by(reason),
    });
    let told = answer_headers(outcome);
    if !told.is_empty() {
        document["answerHeaders"] = json!(told);
    }
    match outcome {
        Outcome::Forward(permit) => forwarded(&mut document, permit, asked),
        Outcome::Serve(serve) => {
            document["served"] = json!(served(&serve.what));
            if let Some(delay) = serve.delay {
                document["delaySeconds"] = json!(delay.as_secs_f64());
            }
            if let Some(permit) = &serve.permit {
                forwarded(&mut document, permit, asked);
            }
        }
        Outcome::Redirect(redirect) => {
            document["redirect"] = json!({ "location": redirect.location, "code": redirect.code });
        }
        Outcome::SignIn(sign_in) => {
            document["signIn"] = json!({
                "login": sign_in.login,
                "how": how(sign_in.how),
                "absence": sign_in.absence.as_str(),
            });
        }
        Outcome::Refuse(refusal) => document["refusal"] = refused(refusal),
    }
    document
}

pub(super) fn route_taken(route: &RouteInfo) -> Value {
    json!({
        "object": route.object.to_string(),
        "name": &*route.name,
        "file": &*route.place.file,
        "line": route.place.line,
    })
}

pub(super) fn determined_by(reason: &Reason) -> Value {
    match reason {
        Reason::Rule { policy, line } => json!({
            "policy": policy.object.to_string(),
            "file": &*policy.place.file,
            "line": line,
        }),
        Reason::Default(default) => json!({ "default": default.as_str() }),
    }
}

fn forwarded(document: &mut Value, permit: &Permit, asked: &Probe) {
    document["destination"] = json!(permit.destination().service.to_string());
    document["path"] = json!(permit.target(&asked.path));
    document["authority"] = json!(permit.authority());
    document["user"] = json!(permit.user());
    let received: Vec<_> = received(permit, &asked.headers)
        .into_iter()
        .map(|(name, value)| json!([name, value]))
        .collect();
    document["headers"] = json!(received);
    if let Some(timeout) = permit.timeout() {
        document["timeoutSeconds"] = json!(timeout.as_secs_f64());
    }
    if let Some(delay) = permit.delay() {
        document["delaySeconds"] = json!(delay.as_secs_f64());
    }
    if let Some(retries) = permit.retries() {
        document["retries"] = json!(retries.attempts);
    }
    let copies: Vec<_> = permit
        .mirrors()
        .map(|mirror| mirror.destination.service.to_string())
        .collect();
    if !copies.is_empty() {
        document["mirrors"] = json!(copies);
    }
}

/// Headers that the route adds to the answer, and those that it takes away with nothing in their
/// place.
pub(super) fn answer_headers(outcome: &Outcome) -> Vec<(String, Option<String>)> {
    let mut headers = HeaderMap::new();
    let mut removed: Vec<&HeaderName> = Vec::new();
    let mut edit = |edits: &HeaderEdits| {
        for name in &edits.remove {
            headers.remove(name);
        }
        for (name, value) in &edits.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &edits.add {
            headers.append(name, value.clone());
        }
    };
    let all: Vec<&HeaderEdits> = match outcome {
        Outcome::Forward(permit) => permit.response_headers().collect(),
        Outcome::Redirect(redirection) => redirection.edits.iter().collect(),
        Outcome::Serve(serve) => {
            let permit = serve.permit.iter().flat_map(Permit::response_headers);
            permit.chain(&serve.edits).collect()
        }
        Outcome::SignIn(_) | Outcome::Refuse(_) => Vec::new(),
    };
    for edits in all {
        edit(edits);
        removed.extend(&edits.remove);
    }
    removed.retain(|name| !headers.contains_key(*name));
    let gone = removed.into_iter().map(|name| (name.to_string(), None));
    let there = headers
        .iter()
        .map(|(name, value)| (name.to_string(), Some(shown(name, value))));
    let mut told: Vec<_> = there.chain(gone).collect();
    told.sort_by(|a, b| a.0.cmp(&b.0));
    told
}

/// The headers that the application receives, in the order in which a permit is performed.
pub(super) fn received(permit: &Permit, headers: &HeaderMap) -> Vec<(String, String)> {
    let mut headers = headers.clone();
    for name in permit.remove() {
        headers.remove(name);
    }
    for (name, _) in permit.identity() {
        headers.remove(name);
    }
    for (name, value) in permit.identity() {
        headers.append(name, value.clone());
    }
    for edits in permit.request_headers() {
        for name in &edits.remove {
            headers.remove(name);
        }
        for (name, value) in &edits.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &edits.add {
            headers.append(name, value.clone());
        }
    }
    if let Some(Ok(authority)) = permit.authority().map(HeaderValue::from_str) {
        headers.insert(http::header::HOST, authority);
    }
    let mut shown: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), shown(name, value)))
        .collect();
    // Stable: the values of one name stay in their order.
    shown.sort_by(|a, b| a.0.cmp(&b.0));
    shown
}

fn shown(name: &HeaderName, value: &HeaderValue) -> String {
    if !is_secret(name) && !value.is_sensitive() {
        return String::from_utf8_lossy(value.as_bytes()).into_owned();
    }
    let scheme = value.as_bytes().starts_with(b"Bearer ");
    if scheme {
        format!("Bearer {HIDDEN}")
    } else {
        HIDDEN.to_owned()
    }
}

pub(super) fn served(what: &Served) -> &'static str {
    match what {
        Served::Login(_) => "login",
        Served::Provider(_) => "provider",
        Served::Kfam => "kfam",
        Served::Ready => "ready",
        Served::Files { .. } => "files",
        Served::Whoami => "whoami",
        Served::Response(_) | Served::Leave(_) | Served::Consent(_) => "response",
        Served::Preflight => "preflight",
        Served::Fault(_) => "fault",
    }
}

pub(super) fn how(how: SignInAnswer) -> &'static str {
    match how {
        SignInAnswer::Page => "page",
        SignInAnswer::Redirect => "redirect",
        SignInAnswer::Plain => "plain",
        SignInAnswer::NotAllowedIn => "not_allowed_in",
        SignInAnswer::Unauthorized => "unauthorized",
    }
}

fn refused(refusal: &Refusal) -> Value {
    match refusal {
        Refusal::NoRoute | Refusal::NoUpstream => json!({ "kind": "no_route" }),
        Refusal::Misdirected => json!({ "kind": "misdirected" }),
        Refusal::Denied => json!({ "kind": "denied" }),
        Refusal::Token(fault) => json!({ "kind": "token", "fault": fault.message() }),
        Refusal::Forbidden => json!({ "kind": "forbidden" }),
        Refusal::NotAllowedIn => json!({ "kind": "not_allowed_in" }),
        Refusal::AuthorizerUnavailable(status) => {
            json!({ "kind": "authorizer_unavailable", "status": status })
        }
        Refusal::StoreUnavailable => json!({ "kind": "store_unavailable" }),
        Refusal::Closed(closure) => closed(closure),
    }
}

pub(super) fn closed(closure: &Closure) -> Value {
    json!({
        "kind": "closed",
        "code": closure.code.to_string(),
        "object": closure.object.as_ref().map(ToString::to_string),
        "file": closure.place.as_ref().map(|place| &*place.file),
        "line": closure.place.as_ref().map(|place| place.line),
        "fault": &*closure.fault,
    })
}

pub(super) fn step(step: &Step) -> Value {
    match step {
        Step::Route(route) => json!({
            "step": "route",
            "route": route.as_ref().map(|route| route.object.to_string()),
        }),
        Step::Policy {
            stage,
            policy,
            action,
            matched,
            unmet,
        } => json!({
            "step": "policy",
            "stage": stage_word(*stage),
            "action": action,
            "policy": policy.object.to_string(),
            "file": &*policy.place.file,
            "line": policy.place.line,
            "matched": matched,
            "unmet": unmet.iter().map(unmet_clause).collect::<Vec<_>>(),
        }),
        Step::Login { authorizer, said } => json!({
            "step": "login",
            "authorizer": &**authorizer,
            "said": said,
        }),
        Step::Token { stage, said } => json!({
            "step": "token",
            "stage": stage_word(*stage),
            "said": &**said,
        }),
    }
}

fn unmet_clause(unmet: &Unmet) -> Value {
    let Unmet {
        line,
        clause,
        excludes,
        names,
        found,
    } = unmet;
    let (kind, values) = match found {
        Found::Missing => ("missing", None),
        Found::Values(values) => ("values", Some(values)),
        Found::Secret => ("secret", None),
        Found::Unknown => ("unknown", None),
    };
    json!({
        "clause": clause,
        "line": line,
        "excludes": excludes,
        "names": names,
        "found": { "kind": kind, "values": values },
        "fault": clause::sentence(unmet),
    })
}

pub(super) fn stage_word(stage: Stage) -> &'static str {
    match stage {
        Stage::Gateway => "gateway",
        Stage::Destination => "destination",
    }
}

/// `file:line` of a rule of an object that stands at `place`.
pub(super) fn rule_place(place: &Place, line: u32) -> Place {
    Place::new(place.file.clone(), line)
}
