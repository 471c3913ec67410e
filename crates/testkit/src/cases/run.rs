//! Runs a case on the decision itself.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use model::Snapshot;
use model::names::Timestamp;
use model::snapshot::HeaderEdits;
use policy::decision::{Decision, DefaultReason, Served, SignInAnswer};
use policy::request::FoldedNames;
use policy::session::PersonParts;
use policy::{Outcome, Permit, Reason, Refusal, Request, RequestHead, Session, Token, TokenFault};
use serde_json::{Map, Value, json};

use super::format::{
    Bearer, Expectation, ExpectedOutcome, ExpectedRefusal, LocalService, Person, RedirectTo,
    RequestCase, SessionCase, SignInWay, TokenPlace,
};
use super::{Case, CaseFault, NOW, connect};

/// What stands in a request for a token.
const COMPACT: &str = "e30.e30.c2lnbmF0dXJl";

/// Something that happened otherwise than expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Name of the request.
    pub request: String,
    /// What was compared.
    pub field: String,
    /// What the case says.
    pub expected: String,
    /// What happened.
    pub got: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            request,
            field,
            expected,
            got,
        } = self;
        write!(f, "{request}: {field}: expected {expected}, got {got}")
    }
}

/// Runs every request of `case` and tells what happened otherwise.
///
/// # Errors
/// When the manifests cannot be read.
pub fn run(case: &Case) -> Result<Vec<Mismatch>, CaseFault> {
    let snapshot = model::compile(&case.objects()?).snapshot;
    let mut mismatches = Vec::new();
    for request in &case.file.requests {
        let mut compare = Compare {
            name: &request.name,
            mismatches: &mut mismatches,
        };
        match session(case, request, &snapshot) {
            Ok(session) => {
                let places: Vec<_> = bearers_of(case, request).map(|one| &one.at).collect();
                run_one(request, (&session, &places), &snapshot, &mut compare);
            }
            Err(name) => compare.equal("session", "one of the case", &name),
        }
    }
    for connection in &case.file.connections {
        let mut compare = Compare {
            name: &connection.name,
            mismatches: &mut mismatches,
        };
        connect::run_one(connection, &snapshot, &mut compare);
    }
    Ok(mismatches)
}

fn run_one(
    request: &RequestCase,
    (session, places): (&Session, &[&TokenPlace]),
    snapshot: &Snapshot,
    compare: &mut Compare<'_>,
) {
    let headers = sent_headers(request, places, snapshot);
    let target = places.iter().fold(request.path.clone(), |path, place| {
        place.target(&path, COMPACT)
    });
    // A method that is no token never reaches a decision.
    let method = Method::from_bytes(request.method.as_bytes()).unwrap_or_default();
    let head = RequestHead {
        method: &method,
        scheme: &request.scheme,
        authority: &request.host,
        target: &target,
        headers: &headers,
        port: request.port,
        peer: request.peer,
        client: request.peer,
        principal: request.principal.as_deref(),
        sni: request.sni.as_deref(),
        now: now(request),
        draw: 0,
    };
    let expect = &request.expect;
    let Ok(read) = Request::read(head, snapshot.normalization()) else {
        let unreadable = ExpectedOutcome::Refuse(ExpectedRefusal::Unreadable);
        return compare.debug("outcome", &expect.outcome, &unreadable);
    };
    let decision = policy::decide(&read, snapshot, session);
    compare.debug("outcome", &expect.outcome, &outcome(&decision.outcome));
    compare_reason(expect, &decision, compare);
    let permit = match &decision.outcome {
        Outcome::Forward(permit) => Some(permit),
        Outcome::Serve(serve) => serve.permit.as_ref(),
        _ => None,
    };
    compare_permit(expect, permit, (&target, &headers), compare);
    compare_answer(expect, &decision.outcome, compare);
}

/// Headers that the route adds to an answer, on top of none.
fn compare_answer(expect: &Expectation, outcome: &Outcome, compare: &mut Compare<'_>) {
    if expect.answer_headers.is_empty() {
        return;
    }
    let mut headers = HeaderMap::new();
    let mut edit = |edits: &HeaderEdits| apply(&mut headers, edits);
    match outcome {
        Outcome::Forward(permit) => permit.response_headers().for_each(&mut edit),
        Outcome::Redirect(redirection) => redirection.edits.iter().for_each(&mut edit),
        Outcome::Serve(serve) => {
            let permit = serve.permit.iter().flat_map(Permit::response_headers);
            permit.chain(&serve.edits).for_each(&mut edit);
        }
        Outcome::SignIn(_) | Outcome::Refuse(_) => {}
    }
    for (name, wanted) in &expect.answer_headers {
        compare.debug(
            &format!("answer header `{name}`"),
            wanted,
            &joined(&headers, name),
        );
    }
}

fn joined(headers: &HeaderMap, name: &str) -> Option<String> {
    let values: Vec<_> = headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .collect();
    (!values.is_empty()).then(|| values.join(","))
}

fn now(request: &RequestCase) -> Timestamp {
    Timestamp::from_seconds(NOW + request.after)
}

/// Headers as a front end hands them on: identity headers from outside are gone.
fn sent_headers(request: &RequestCase, places: &[&TokenPlace], snapshot: &Snapshot) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let tokens = places.iter().filter_map(|place| place.header(COMPACT));
    for (name, value) in request.headers.iter().cloned().chain(tokens) {
        // What is no header is refused by the HTTP parser already.
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(&value),
        ) {
            headers.append(name, value);
        }
    }
    FoldedNames::of(snapshot.identity_headers()).remove_from(&mut headers);
    headers
}

fn bearers_of<'c>(case: &'c Case, request: &'c RequestCase) -> impl Iterator<Item = &'c Bearer> {
    let sessions = request
        .bearers()
        .filter_map(|name| case.file.sessions.get(name));
    sessions.filter_map(|session| match session {
        SessionCase::Bearer(bearer) => Some(bearer),
        SessionCase::Person(_) | SessionCase::Absent(_) => None,
    })
}

/// The session that a request brings.
///
/// # Errors
/// A name that the case does not define, or defines as something else.
pub fn session(case: &Case, request: &RequestCase, snapshot: &Snapshot) -> Result<Session, String> {
    let mut session = Session::anonymous();
    let defined = |name: &String| case.file.sessions.get(name).ok_or_else(|| name.clone());
    if let Some(name) = &request.session {
        session.person = match defined(name)? {
            SessionCase::Person(person) => Ok(Arc::new(signed_in(person, snapshot, now(request)))),
            SessionCase::Absent(absence) => Err(absence.into()),
            SessionCase::Bearer(_) => return Err(name.clone()),
        };
    }
    for name in request.bearers() {
        let SessionCase::Bearer(bearer) = defined(name)? else {
            return Err(name.clone());
        };
        // One bad token spoils the request; of good ones the first counts.
        match (bearer.fault, &session.bearer) {
            (_, policy::Bearer::Invalid(_)) | (None, policy::Bearer::Valid(_)) => {}
            (Some(fault), _) => session.bearer = policy::Bearer::Invalid(fault.into()),
            (None, policy::Bearer::None) => {
                session.bearer = match token(token_claims(bearer, snapshot)) {
                    Some(token) => policy::Bearer::Valid(Arc::new(token)),
                    None => policy::Bearer::Invalid(TokenFault::Malformed),
                };
            }
        }
    }
    Ok(session)
}

fn signed_in(person: &Person, snapshot: &Snapshot, now: Timestamp) -> policy::Person {
    let login = snapshot.logins().first();
    let key = person
        .login
        .clone()
        .or_else(|| login.map(|login| login.key()));
    let user = person
        .user
        .as_ref()
        .or(person.email.as_ref())
        .cloned()
        .unwrap_or_default();
    let mut claims = usual_claims(snapshot);
    claims.insert("sub".to_owned(), user.clone().into());
    for (name, value) in [
        ("email", person.email.clone().map(Value::from)),
        (
            "groups",
            (!person.groups.is_empty()).then(|| person.groups.clone().into()),
        ),
        (
            "preferred_username",
            person.preferred_username.clone().map(Value::from),
        ),
    ] {
        claims.extend(value.map(|value| (name.to_owned(), value)));
    }
    claims.extend(person.claims.clone());
    policy::Person::assert_signed_in(PersonParts {
        login: key.unwrap_or_default().into(),
        user: user.into(),
        email: person.email.as_deref().map(Arc::from),
        groups: person
            .groups
            .iter()
            .map(|group| Arc::from(&**group))
            .collect(),
        preferred_username: person.preferred_username.as_deref().map(Arc::from),
        token: token(claims).map(Arc::new),
        access_token: None,
        expires: Timestamp::from_seconds(now.seconds() + person.lasts),
    })
}

/// The claims of a bearer, filled up as the format says.
pub fn token_claims(bearer: &Bearer, snapshot: &Snapshot) -> Map<String, Value> {
    let mut claims = usual_claims(snapshot);
    claims.extend(bearer.claims.clone());
    // `null` takes a claim away.
    claims.retain(|_, value| !value.is_null());
    claims
}

fn usual_claims(snapshot: &Snapshot) -> Map<String, Value> {
    let mut claims = Map::new();
    if let Some(login) = snapshot.logins().first() {
        claims.insert("iss".to_owned(), json!(&*login.issuer));
        claims.insert("aud".to_owned(), json!(&*login.client_id));
    }
    claims.insert("exp".to_owned(), json!(NOW + 3600));
    claims
}

/// A token that looks like one; nobody here checks its signature.
fn token(claims: Map<String, Value>) -> Option<Token> {
    Token::assert_verified(COMPACT, claims)
}

fn outcome(outcome: &Outcome) -> ExpectedOutcome {
    match outcome {
        Outcome::Forward(_) => ExpectedOutcome::Forward,
        Outcome::SignIn(sign_in) => ExpectedOutcome::SignIn(match sign_in.how {
            SignInAnswer::Page => SignInWay::Page,
            SignInAnswer::Redirect => SignInWay::Redirect,
            SignInAnswer::Unauthorized => SignInWay::Unauthorized,
            SignInAnswer::Plain => SignInWay::Plain,
            SignInAnswer::NotAllowedIn => SignInWay::NotAllowedIn,
        }),
        Outcome::Redirect(redirect) => ExpectedOutcome::Redirect(RedirectTo {
            location: redirect.location.to_string(),
            code: redirect.code,
        }),
        Outcome::Serve(serve) => ExpectedOutcome::Serve(match serve.what {
            Served::Login(_) => LocalService::Login,
            Served::Provider(_) => LocalService::Provider,
            Served::Kfam => LocalService::Kfam,
            Served::Whoami => LocalService::Whoami,
            Served::Ready => LocalService::Ready,
            Served::Files { .. } => LocalService::Files,
            Served::Response(_) | Served::Leave(_) | Served::Consent(_) => LocalService::Response,
            Served::Preflight => LocalService::Preflight,
            Served::Fault(_) => LocalService::Fault,
        }),
        Outcome::Refuse(refusal) => ExpectedOutcome::Refuse(match refusal {
            Refusal::NoRoute | Refusal::NoUpstream => ExpectedRefusal::NoRoute,
            Refusal::Misdirected => ExpectedRefusal::Misdirected,
            Refusal::Denied => ExpectedRefusal::Denied,
            Refusal::Token(fault) => ExpectedRefusal::Token((*fault).into()),
            Refusal::Forbidden => ExpectedRefusal::Forbidden,
            Refusal::NotAllowedIn => ExpectedRefusal::NotAllowedIn,
            Refusal::AuthorizerUnavailable(status) => {
                ExpectedRefusal::AuthorizerUnavailable(*status)
            }
            Refusal::StoreUnavailable => ExpectedRefusal::StoreUnavailable,
            Refusal::Closed(_) => ExpectedRefusal::Closed,
        }),
    }
}

fn compare_reason(expect: &Expectation, decision: &Decision, compare: &mut Compare<'_>) {
    let (reason, line) = told(&decision.reason);
    compare.given("reason", expect.reason.as_ref(), Some(&reason));
    compare.given("line", expect.line.as_ref(), line.as_ref());
    let route = decision
        .route
        .as_ref()
        .map(|route| route.object.to_string());
    compare.given("route", expect.route.as_ref(), route.as_ref());
}

/// The object whose rule it is and the rule's line, or a named default.
pub(super) fn told(reason: &Reason) -> (String, Option<u32>) {
    match reason {
        Reason::Rule { policy, line } => (policy.object.to_string(), Some(*line)),
        Reason::Default(default) => (DefaultReason::as_str(*default).to_owned(), None),
    }
}

fn compare_permit(
    expect: &Expectation,
    permit: Option<&Permit>,
    (target, received): (&str, &HeaderMap),
    compare: &mut Compare<'_>,
) {
    let destination = permit.map(|permit| permit.destination().service.to_string());
    compare.given(
        "destination",
        expect.destination.as_ref(),
        destination.as_ref(),
    );
    let path = permit.map(|permit| permit.target(target).to_owned());
    compare.given("path", expect.path.as_ref(), path.as_ref());
    let user = permit.and_then(Permit::user).map(str::to_owned);
    compare.given("user", expect.user.as_ref(), user.as_ref());
    if expect.headers.is_empty() {
        return;
    }
    let headers = permit
        .map(|permit| upstream_headers(permit, received))
        .unwrap_or_default();
    for (name, wanted) in &expect.headers {
        compare.debug(&format!("header `{name}`"), wanted, &joined(&headers, name));
    }
}

/// Headers that the destination gets.
fn upstream_headers(permit: &Permit, received: &HeaderMap) -> HeaderMap {
    let mut headers = received.clone();
    for name in permit.remove() {
        headers.remove(name);
    }
    for (name, value) in permit.identity() {
        headers.insert(name.clone(), value.clone());
    }
    for edits in permit.request_headers() {
        apply(&mut headers, edits);
    }
    if let Some(authority) = permit.authority() {
        headers.extend(HeaderValue::from_str(authority).map(|value| (http::header::HOST, value)));
    }
    if let Some(Ok(authority)) = permit.authority().map(HeaderValue::from_str) {
        headers.insert(http::header::HOST, authority);
    }
    headers
}

fn apply(headers: &mut HeaderMap, edits: &HeaderEdits) {
    for name in &edits.remove {
        headers.remove(name);
    }
    for (name, value) in &edits.set {
        headers.insert(name.clone(), value.clone());
    }
    for (name, value) in &edits.add {
        headers.append(name.clone(), value.clone());
    }
}

pub(super) struct Compare<'a> {
    /// Name of the request or connection.
    pub(super) name: &'a str,
    pub(super) mismatches: &'a mut Vec<Mismatch>,
}

impl Compare<'_> {
    fn equal(&mut self, field: &str, expected: &str, got: &str) {
        if expected != got {
            self.mismatches.push(Mismatch {
                request: self.name.to_owned(),
                field: field.to_owned(),
                expected: expected.to_owned(),
                got: got.to_owned(),
            });
        }
    }

    pub(super) fn debug<T: fmt::Debug>(&mut self, field: &str, expected: &T, got: &T) {
        self.equal(field, &format!("{expected:?}"), &format!("{got:?}"));
    }

    pub(super) fn given<T: fmt::Debug>(
        &mut self,
        field: &str,
        expected: Option<&T>,
        got: Option<&T>,
    ) {
        if expected.is_some() {
            self.debug(field, &expected, &got);
        }
    }
}
