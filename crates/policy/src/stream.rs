//! Connections whose bytes are passed on: who may, and where to.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use http::HeaderMap;
use model::Snapshot;
use model::snapshot::{
    Chain, Closure, Destination, ListenerProtocol, PlayedBy, PolicySet, RouteInfo, Serves,
    StreamRoute,
};

use crate::authorization::{self, Connection, Headers, Verdict, View};
use crate::decision::{DefaultReason, Reason, Record, Stage, Step};
use crate::recorder::Recorder;
use crate::route;

/// What is known of a connection before any byte of it is passed on.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionHead<'a> {
    /// `Gateway` port that it came in on.
    pub port: u16,
    /// Who connects, after PROXY protocol.
    pub peer: IpAddr,
    /// The address that was connected to.
    pub local: IpAddr,
    /// Server name of the handshake, in lower case.
    pub sni: Option<&'a str>,
    /// SPIFFE id of a verified client certificate, without `spiffe://`.
    pub principal: Option<&'a str>,
    /// A number drawn for this connection, for weighted destinations.
    pub draw: u32,
}

/// What is to happen to a connection, and why.
#[derive(Debug)]
pub struct StreamDecision {
    /// What is to happen.
    pub outcome: Result<StreamPermit, StreamRefusal>,
    /// The route that was chosen, if any.
    pub route: Option<Arc<RouteInfo>>,
    /// The rule that determined the outcome.
    pub reason: Reason,
}

/// The right to pass one connection on: only [`decide_connection`] makes one.
#[derive(Debug)]
pub struct StreamPermit {
    destination: Arc<Destination>,
}

impl StreamPermit {
    /// Where to.
    pub fn destination(&self) -> &Arc<Destination> {
        &self.destination
    }
}

/// Why a connection is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamRefusal {
    /// No route takes it.
    NoRoute,
    /// A policy says no.
    Denied,
    /// A manifest cannot be read, or a destination does not exist.
    Closed(Arc<Closure>),
    /// The destination is a service of this process, which speaks HTTP.
    NotAStream,
}

impl StreamRefusal {
    /// A stable word for the log.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::Denied => "denied",
            Self::Closed(_) => "closed",
            Self::NotAStream => "not_a_stream",
        }
    }
}

struct End(StreamRefusal, Reason);

/// Decides one connection.
pub fn decide_connection(head: &ConnectionHead<'_>, snapshot: &Snapshot) -> StreamDecision {
    run(head, snapshot, &mut Recorder::nobody())
}

/// As [`decide_connection`], telling every step to `record`.
pub fn decide_connection_recording(
    head: &ConnectionHead<'_>,
    snapshot: &Snapshot,
    record: &mut dyn Record,
) -> StreamDecision {
    run(head, snapshot, &mut Recorder::to(record))
}

fn run(
    head: &ConnectionHead<'_>,
    snapshot: &Snapshot,
    recorder: &mut Recorder<'_>,
) -> StreamDecision {
    let route = find(head, snapshot);
    let info = match &route {
        Ok(route) => Some(Arc::clone(&route.info)),
        Err(_) => None,
    };
    recorder.step(|| Step::Route(info.clone()));
    let judged = route.and_then(|route| judge(head, snapshot, route, recorder));
    let (outcome, reason) = match judged {
        Ok((permit, reason)) => (Ok(permit), reason),
        Err(End(refusal, reason)) => (Err(refusal), reason),
    };
    StreamDecision {
        outcome,
        route: info,
        reason,
    }
}

fn closed(closure: &Arc<Closure>) -> End {
    let refusal = StreamRefusal::Closed(Arc::clone(closure));
    End(refusal, Reason::Default(DefaultReason::ClosedDoor))
}

fn nowhere() -> End {
    End(
        StreamRefusal::NoRoute,
        Reason::Default(DefaultReason::NoRoute),
    )
}

fn find<'s>(head: &ConnectionHead<'_>, snapshot: &'s Snapshot) -> Result<&'s StreamRoute, End> {
    let chain =
        snapshot
            .listener(head.port)
            .and_then(|listener| match (listener.protocol, head.sni) {
                (ListenerProtocol::Tls, Some(name)) => listener.chain(name),
                (ListenerProtocol::Tls, None) => listener.chain_without_name(),
                (ListenerProtocol::Tcp | ListenerProtocol::Http, _) => listener.chains().first(),
            });
    let Some(Chain { serves, .. }) = chain else {
        return Err(nowhere());
    };
    match serves {
        Serves::Stream(routes) => {
            let mut routes = routes.iter();
            let found = routes.find(|route| fits(route, head));
            found.map(|route| &**route).ok_or_else(nowhere)
        }
        Serves::Nothing(closure) => Err(closed(closure)),
        Serves::Http(_) => Err(nowhere()),
    }
}

fn fits(route: &StreamRoute, head: &ConnectionHead<'_>) -> bool {
    let named = |name: &str| route.server_names.iter().any(|one| one.covers(name));
    let local = head.local.to_canonical();
    let networks = &route.destination_networks;
    // A client that names nobody is covered by `*` alone.
    (route.server_names.is_empty() || named(head.sni.unwrap_or_default()))
        && (networks.is_empty() || networks.iter().any(|network| network.contains(&local)))
}

static NO_HEADERS: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);

fn judge(
    head: &ConnectionHead<'_>,
    snapshot: &Snapshot,
    route: &StreamRoute,
    recorder: &mut Recorder<'_>,
) -> Result<(StreamPermit, Reason), End> {
    if let Some(closure) = &route.closed {
        return Err(closed(closure));
    }
    let listener = snapshot.listener(head.port);
    let view = View {
        principal: head.principal,
        connection: Some(Connection {
            peer: head.peer,
            sni: head.sni,
        }),
        port: listener.map_or(head.port, |listener| listener.workload_port),
        ..bytes(head)
    };
    let own = route.guard.as_deref();
    let policies = own.map_or(snapshot.gateway_policies(), |guard| &guard.gateway);
    let at_gateway = enter(policies, &view, Stage::Gateway, recorder)?;
    let at_gateway = match own {
        None => at_gateway,
        Some(own) => enter(&own.attached, &view, Stage::Gateway, recorder)?.after(at_gateway),
    };

    let weights = route.destinations.iter().map(|one| one.weight);
    let chosen = route::pick(weights, head.draw).and_then(|at| route.destinations.get(at));
    let destination = &chosen.ok_or_else(nowhere)?.destination;
    let view = View {
        principal: Some(&snapshot.identity().principal),
        port: destination.target_port,
        ..bytes(head)
    };
    let at_destination = enter(&destination.policies, &view, Stage::Destination, recorder)?;
    let reason = at_destination.after(at_gateway);
    match &destination.played_by {
        PlayedBy::Upstream => Ok((
            StreamPermit {
                destination: Arc::clone(destination),
            },
            reason,
        )),
        PlayedBy::Nobody(closure) => Err(closed(closure)),
        PlayedBy::Login(_)
        | PlayedBy::Provider(_)
        | PlayedBy::Kfam
        | PlayedBy::Whoami
        | PlayedBy::Redirect(_) => Err(End(StreamRefusal::NotAStream, reason)),
    }
}

/// Asks the policies of one workload.
fn enter(
    policies: &PolicySet,
    view: &View<'_>,
    stage: Stage,
    recorder: &mut Recorder<'_>,
) -> Result<Reason, End> {
    if let Some(verdict) = authorization::closed(policies) {
        pass(verdict)?;
    }
    // Nobody can be asked about bytes: what asks for a check of every connection refuses it.
    for policy in &policies.custom {
        if let Some(line) = authorization::consult_stream(policy, view, stage, recorder) {
            return Err(End(StreamRefusal::Denied, authorization::by(policy, line)));
        }
    }
    let verdict = authorization::judge(policies, view, stage, recorder);
    pass(verdict)
}

/// A view without anything that only HTTP has.
fn bytes<'a>(head: &ConnectionHead<'_>) -> View<'a> {
    View {
        method: View::BYTES,
        path: "",
        authority: "",
        headers: Headers::of(&NO_HEADERS),
        token: None,
        sender: None,
        principal: None,
        connection: None,
        remote_ip: head.peer,
        port: 0,
    }
}

fn pass(verdict: Verdict) -> Result<Reason, End> {
    match verdict {
        Verdict::Pass(reason) => Ok(reason),
        Verdict::Denied(reason) => Err(End(StreamRefusal::Denied, reason)),
        Verdict::Closed(reason, closure) => Err(End(StreamRefusal::Closed(closure), reason)),
    }
}

#[cfg(test)]
mod tests;
