//! The decision.

mod changes;
mod check;
mod cors;
mod custom;
pub(crate) mod login;
mod perform;
mod program;
mod token;

use std::sync::Arc;

use model::Snapshot;
use model::snapshot::{Guard, HeaderEdits, PolicySet, RouteAction, RouteInfo, VirtualHosts};

use crate::authorization::{self, Accepted, Connection, Headers, View};
use crate::decision::{
    self, Decision, DefaultReason, Outcome, Reason, Record, Redirection, Refusal, Serve, Served,
    Stage, Step,
};
use crate::door::{self, Door};
use crate::recorder::Recorder;
use crate::request::Request;
use crate::route::{self, Choice, Chosen, Sight};
use crate::session::Session;
use changes::Changes;
use token::Tokens;

pub use check::{Check, Checked, Pass, check};

/// Decides one request.
pub fn decide(request: &Request<'_>, snapshot: &Snapshot, session: &Session) -> Decision {
    run(request, snapshot, session, &mut Recorder::nobody())
}

/// As [`decide`], telling every step to `record`.
pub fn decide_recording(
    request: &Request<'_>,
    snapshot: &Snapshot,
    session: &Session,
    record: &mut dyn Record,
) -> Decision {
    run(request, snapshot, session, &mut Recorder::to(record))
}

/// An outcome that needs no further step.
#[derive(Debug)]
struct End {
    outcome: Outcome,
    reason: Reason,
}

impl End {
    fn boxed(outcome: Outcome, reason: Reason) -> Box<Self> {
        Box::new(Self { outcome, reason })
    }

    fn by_default(outcome: Outcome, reason: DefaultReason) -> Box<Self> {
        Self::boxed(outcome, Reason::Default(reason))
    }
}

fn run(
    request: &Request<'_>,
    snapshot: &Snapshot,
    session: &Session,
    recorder: &mut Recorder<'_>,
) -> Decision {
    if let Some(program) = snapshot.program() {
        return program::decide(program, request, snapshot, session, recorder);
    }
    let (mut way, door) = Way::of(request, snapshot, recorder);
    let end = before_policies(door, request).and_then(|()| {
        let entrance = Entrance::of(request, snapshot, Routing::Here);
        let passed = through_policies(&entrance, snapshot, session, &mut way, recorder)?;
        let Some(chosen) = way.choice.chosen else {
            return Err(End::by_default(
                Outcome::Refuse(Refusal::NoRoute),
                DefaultReason::NoRoute,
            ));
        };
        passed.perform(chosen, recorder)
    });
    let (outcome, reason) = match end {
        Ok(end) => end,
        Err(end) => (end.outcome, end.reason),
    };
    Decision {
        outcome,
        route: way.info().cloned(),
        reason,
    }
}

/// The route that a request takes, as far as it is known.
struct Way<'s> {
    /// `None` where no route may be taken.
    hosts: Option<&'s VirtualHosts>,
    choice: Choice<'s>,
}

impl<'s> Way<'s> {
    /// The door that a request comes to, and its route.
    fn of(
        request: &Request<'_>,
        snapshot: &'s Snapshot,
        recorder: &mut Recorder<'_>,
    ) -> (Self, Door<'s>) {
        let head = request.head();
        let listener = snapshot.listener(head.port);
        let door = listener.map_or(Door::Absent, |listener| {
            door::find(listener, head.sni, request.host())
        });
        let mut way = Self {
            hosts: match door {
                Door::Open(hosts) if hosts.closure(request.host()).is_none() => Some(hosts),
                Door::Open(_) | Door::Misdirected | Door::Closed(_) | Door::Absent => None,
            },
            choice: Choice::default(),
        };
        way.choose(request, Sight::of(request), recorder);
        (way, door)
    }

    /// What has to be passed at the gateway.
    fn guard(&self, snapshot: &'s Snapshot) -> &'s PolicySet {
        self.own_guard()
            .map_or(snapshot.gateway_policies(), |guard| &guard.gateway)
    }

    fn own_guard(&self) -> Option<&'s Guard> {
        let chosen = self.choice.chosen?;
        chosen.route.guard.as_deref()
    }

    fn info(&self) -> Option<&Arc<RouteInfo>> {
        self.choice.chosen.map(|chosen| &chosen.route.info)
    }

    fn choose(&mut self, request: &Request<'_>, sight: Sight<'_>, recorder: &mut Recorder<'_>) {
        let hosts = self.hosts;
        self.choice = hosts
            .map(|hosts| route::choose(hosts, request, sight))
            .unwrap_or_default();
        let info = self.info().cloned();
        recorder.step(|| Step::Route(info));
    }
}

/// Closed doors, connections made for somebody else, and the redirect to HTTPS. Istio asks the
/// authorizer before that redirect; here it comes first, which keeps session cookies and sign-ins
/// off plain HTTP.
fn before_policies(door: Door<'_>, request: &Request<'_>) -> Result<(), Box<End>> {
    let refuse = |refusal, reason| Err(End::by_default(Outcome::Refuse(refusal), reason));
    let hosts = match door {
        Door::Open(hosts) => hosts,
        Door::Absent => return Ok(()),
        Door::Misdirected => return refuse(Refusal::Misdirected, DefaultReason::Misdirected),
        Door::Closed(closure) => {
            return refuse(Refusal::Closed(closure.clone()), DefaultReason::ClosedDoor);
        }
    };
    if let Some(closure) = hosts.closure(request.host()) {
        return refuse(Refusal::Closed(closure.clone()), DefaultReason::ClosedDoor);
    }
    if request.head().scheme == "http" && hosts.redirects_to_https(request.host()) {
        let location = request.location("https", request.head().authority).into();
        let redirect = Redirection::plain(location, 301);
        return Err(End::by_default(
            Outcome::Redirect(redirect),
            DefaultReason::HttpsRedirect,
        ));
    }
    Ok(())
}

/// Who takes the route of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Routing {
    /// This gateway: without a route there is nothing to ask for.
    Here,
    /// The proxy that asks, which has routes of its own.
    Elsewhere,
}

/// Where a request comes in.
struct Entrance<'a> {
    request: &'a Request<'a>,
    /// Port of the gateway's own pods.
    port: u16,
    routing: Routing,
}

fn through_policies<'a, 's: 'a>(
    entrance: &Entrance<'a>,
    snapshot: &'s Snapshot,
    session: &'a Session,
    way: &mut Way<'s>,
    recorder: &mut Recorder<'_>,
) -> Result<Passed<'a, 's>, Box<End>> {
    let request = entrance.request;
    let (guard, entered) = enter_by_route(entrance, snapshot, session, way, recorder)?;
    let Entered { changes, token, .. } = &entered;
    let view = entrance.view(changes.over(request.head().headers, [None; 2]), *token);
    let verdict = authorization::judge(guard, &view, Stage::Gateway, recorder);
    let mut reason = go_on(verdict)?;
    if let Some(own) = way.own_guard() {
        let verdict = authorization::judge(&own.attached, &view, Stage::Gateway, recorder);
        reason = go_on(verdict)?.after(reason);
    }
    Ok(Passed {
        request,
        snapshot,
        session,
        entered,
        reason,
    })
}

/// Authorizers and tokens, by the guard of the route; and the route once more, by the token. The
/// guard is the one of the route that `way` has in the end.
fn enter_by_route<'s, 'a>(
    entrance: &Entrance<'_>,
    snapshot: &'s Snapshot,
    session: &'a Session,
    way: &mut Way<'s>,
    recorder: &mut Recorder<'_>,
) -> Result<(&'s PolicySet, Entered<'a>), Box<End>>
where
    's: 'a,
{
    let guard = way.guard(snapshot);
    // Without a route nobody is asked to sign in: there is nothing to sign in for.
    let is_routed = way.choice.chosen.is_some() || entrance.routing == Routing::Elsewhere;
    let entered = enter(entrance, (snapshot, guard), session, is_routed, recorder)?;
    if entered.token.is_none() || !way.choice.may_change {
        return Ok((guard, entered));
    }
    choose_again(way, entrance.request, &entered, recorder);
    // A route that only a token opens is guarded like any other, and so is one of another
    // Gateway. Istio does not ask here.
    let found = way.guard(snapshot);
    if way.choice.chosen.is_none() || is_routed && std::ptr::eq(found, guard) {
        return Ok((guard, entered));
    }
    let entered = enter(entrance, (snapshot, found), session, true, recorder)?;
    choose_again(way, entrance.request, &entered, recorder);
    // Led on once more, to where nobody was asked: that is no route.
    if !std::ptr::eq(way.guard(snapshot), found) {
        way.choice = Choice::default();
    }
    Ok((found, entered))
}

/// A request that the policies of the gateway let through.
#[derive(Clone)]
struct Passed<'a, 's> {
    request: &'a Request<'a>,
    snapshot: &'s Snapshot,
    session: &'a Session,
    entered: Entered<'a>,
    /// Why they do.
    reason: Reason,
}

impl<'s> Passed<'_, 's> {
    /// What its route does with it: faults and answers to other origins come first.
    fn perform(
        self,
        Chosen { route, matched }: Chosen<'s>,
        recorder: &mut Recorder<'_>,
    ) -> Result<(Outcome, Reason), Box<End>> {
        let request = self.request;
        let cross_origin = |delay| cors::answer(route.cors.as_deref(), request, delay);
        let edits = |of_route: &HeaderEdits, cors: Option<HeaderEdits>| {
            let own = (!of_route.is_empty()).then(|| of_route.clone());
            own.into_iter().chain(cors).collect()
        };
        let answers = Reason::Default(DefaultReason::RouteAnswers);
        match &route.action {
            RouteAction::Closed(closure) => Err(perform::closed_door(closure)),
            RouteAction::Forward(forward) => {
                let draw = request.head().draw;
                perform::injected(forward, draw)?;
                let cors = cross_origin(decision::delay(forward, draw))?;
                let forwarding = perform::Forwarding {
                    route,
                    forward,
                    matched,
                    only: None,
                    cors: cors.map(Box::new),
                };
                forwarding.perform(self, recorder)
            }
            RouteAction::Redirect(redirect) => {
                let cors = cross_origin(None)?;
                let redirection = Redirection {
                    location: route::location(redirect, matched, request).into(),
                    code: redirect.code,
                    edits: edits(&redirect.headers, cors),
                };
                Ok((Outcome::Redirect(redirection), answers))
            }
            RouteAction::Respond(respond) => {
                let cors = cross_origin(None)?;
                let serve = Serve {
                    edits: edits(&respond.headers, cors),
                    ..Serve::plain(Served::Response(route.clone()), None)
                };
                Ok((Outcome::Serve(serve), answers))
            }
        }
    }
}

/// What is known once authorizers and tokens have spoken.
#[derive(Clone)]
struct Entered<'a> {
    changes: Changes,
    known: Option<login::Known<'a>>,
    tokens: Tokens<'a>,
    /// The token that the gateway accepted.
    token: Option<Accepted<'a>>,
}

/// Asks the authorizers, if there is something to ask for, and judges the tokens. A guard that
/// cannot be read lets nobody in.
fn enter<'a>(
    entrance: &Entrance<'_>,
    (snapshot, guard): (&'a Snapshot, &PolicySet),
    session: &'a Session,
    is_routed: bool,
    recorder: &mut Recorder<'_>,
) -> Result<Entered<'a>, Box<End>> {
    if let Some(verdict) = authorization::closed(guard) {
        go_on(verdict)?;
    }
    let request = entrance.request;
    let head = request.head();
    let mut changes = Changes::default();
    let asked = if is_routed {
        let as_received = entrance.view(Headers::of(head.headers), None);
        custom::ask(
            (snapshot, &guard.custom, Stage::Gateway),
            request,
            session,
            &as_received,
            &mut changes,
            recorder,
        )
        .map(Some)?
    } else {
        None
    };
    let login_was_asked = asked.as_ref().is_some_and(|asked| asked.login_was_asked);
    let is_token_injected = asked.as_ref().is_some_and(|asked| asked.is_token_injected);
    let known = match asked {
        Some(asked) if login_was_asked => asked.known,
        _ => login::known_without_check(snapshot.logins(), session, head.now),
    };
    if let Some(known) = &known {
        perform::introduce(snapshot.user_header(), known, &mut changes);
    }

    let injected = known
        .as_ref()
        .and_then(|known| known.token)
        .filter(|_| is_token_injected);
    let tokens = Tokens {
        injected,
        bearer: &session.bearer,
        elsewhere: &session.elsewhere,
    };
    let authentication = snapshot.gateway_authentication();
    let token = token::judge(
        authentication,
        tokens,
        request,
        (&mut changes, [None; 2]),
        Stage::Gateway,
        recorder,
    )
    .map_err(perform::bad_token)?;
    Ok(Entered {
        changes,
        known,
        tokens,
        token,
    })
}

/// Istio's gateway looks for the route once more when a token was verified: claims, and the
/// headers as they are by now, are seen then.
fn choose_again(
    way: &mut Way<'_>,
    request: &Request<'_>,
    entered: &Entered<'_>,
    recorder: &mut Recorder<'_>,
) {
    let Entered { changes, token, .. } = entered;
    let query = changes.query(request.query());
    let sight = Sight {
        headers: changes.over(request.head().headers, [None; 2]),
        query: query.as_deref(),
        token: *token,
    };
    way.choose(request, sight, recorder);
}

/// The reason of a verdict that lets through, or the end that it is.
fn go_on(verdict: authorization::Verdict) -> Result<Reason, Box<End>> {
    match verdict {
        authorization::Verdict::Pass(reason) => Ok(reason),
        authorization::Verdict::Denied(reason) => {
            Err(End::boxed(Outcome::Refuse(Refusal::Denied), reason))
        }
        authorization::Verdict::Closed(reason, closure) => Err(End::boxed(
            Outcome::Refuse(Refusal::Closed(closure)),
            reason,
        )),
    }
}

impl<'r> Entrance<'r> {
    fn of(request: &'r Request<'r>, snapshot: &Snapshot, routing: Routing) -> Self {
        let port = request.head().port;
        let listener = snapshot.listener(port);
        Self {
            request,
            // A port that no Gateway opens is nobody's: it stands for itself.
            port: listener.map_or(port, |listener| listener.workload_port),
            routing,
        }
    }

    /// What the gateway's own rules see.
    fn view<'a>(&'a self, headers: Headers<'a>, token: Option<Accepted<'a>>) -> View<'a> {
        let Self { request, port, .. } = self;
        let head = request.head();
        View {
            method: head.method.as_str(),
            path: request.path(),
            authority: request.authority(),
            headers,
            token,
            // Groups are asked of profiles' namespaces only.
            sender: None,
            principal: head.principal,
            connection: Some(Connection {
                peer: head.peer,
                sni: head.sni,
            }),
            remote_ip: head.client,
            port: *port,
        }
    }
}

#[cfg(test)]
mod tests;
