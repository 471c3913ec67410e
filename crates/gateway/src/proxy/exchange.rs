//! One request, from the first attempt to the head of the answer that counts.

use std::net::SocketAddr;
use std::rc::Rc;

use http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::{Body as _, Incoming};
use model::names::Duration;
use model::snapshot::Retries;
use policy::Permit;

use super::pool::{Choice, Cluster, Connection, InFlight, Place, Places, Pool, Sign};
use super::spare::Spare;
use super::{UpstreamFault, mirror, retry};
use crate::body::{ClientBody, Tape};
use crate::record::Shard;

const ATTEMPTS: HeaderName = HeaderName::from_static("x-envoy-attempt-count");

/// Connections that died while they were idle, of which one request may find as many before it makes
/// a new one.
const DEAD: u32 = 2;
/// Addresses of one name that are asked for a connection.
const ADDRESSES: usize = 3;

/// An upstream's head, and the connection it came over.
pub(super) struct Answered {
    /// The answer.
    pub(super) response: Response<Incoming>,
    /// The connection.
    pub(super) connection: Connection,
    /// The request among the others.
    pub(super) in_flight: InFlight,
}

/// A request on its way.
pub(super) struct Exchange<'a> {
    cluster: Rc<Cluster>,
    retries: Option<&'a Retries>,
    choice: Choice,
    kind: Kind,
    // Not sent yet, or not any more.
    unsent: Option<Request<ClientBody>>,
    spare: Option<Spare>,
    tape: Option<Tape>,
    tried: Vec<SocketAddr>,
    at: Option<Rc<Place>>,
    shard: &'a Shard,
}

/// What a request is, as far as attempts depend on it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kind {
    /// It becomes a tunnel.
    pub(super) upgrades: bool,
    /// It is a gRPC call.
    pub(super) is_grpc: bool,
    /// It may be copied for what the route's retries ask.
    pub(super) needs_copy: bool,
}

impl<'a> Exchange<'a> {
    /// Nothing is sent yet. The tape has the request's body, when that may be needed again.
    pub(super) fn new(
        cluster: Rc<Cluster>,
        retries: Option<&'a Retries>,
        choice: Choice,
        kind: Kind,
        (request, tape): (Request<ClientBody>, Option<Tape>),
        shard: &'a Shard,
    ) -> Self {
        Self {
            cluster,
            retries,
            choice,
            kind,
            unsent: Some(request),
            spare: None,
            tape,
            tried: Vec::new(),
            at: None,
            shard,
        }
    }

    /// Sends a copy to everybody who gets one.
    pub(super) fn copy_to(&self, pool: &Pool, permit: &Permit) {
        if let Some(request) = &self.unsent {
            mirror::send(pool, permit, request, self.tape.as_ref());
        }
    }

    /// What was not sent.
    pub(super) fn into_unsent(self) -> Option<Request<ClientBody>> {
        self.unsent
    }

    /// The route's timeout passed while it waited.
    pub(super) fn timed_out(&self) {
        if let Some(place) = &self.at {
            self.cluster.note(place, Sign::GatewayError);
        }
    }

    /// Sends the request, again where that is due, and waits for the head of the answer.
    pub(super) async fn run(&mut self) -> Result<Answered, UpstreamFault> {
        let places = match self.cluster.at_hand() {
            Some(places) => places,
            None => {
                let cluster = Rc::clone(&self.cluster);
                Box::pin(cluster.look_up()).await?
            }
        };
        if self.retries.is_some() {
            self.count_attempt(1);
        }
        let first = match self.retries.and_then(|policy| policy.attempt_timeout) {
            None => self.attempt(&places).await,
            Some(limit) => Box::pin(self.attempt_within(limit, &places)).await,
        };
        let result = match self.retries {
            Some(policy) if self.is_due(policy, &first) => {
                Box::pin(self.go_on(&places, policy, first)).await
            }
            _ => first,
        };
        if let Some(tape) = &self.tape {
            tape.forget();
        }
        result
    }

    /// One attempt after the other while they are due.
    async fn go_on(
        &mut self,
        places: &Places,
        policy: &Retries,
        first: Result<Answered, UpstreamFault>,
    ) -> Result<Answered, UpstreamFault> {
        let mut last = first;
        for number in 1..=policy.attempts {
            if !self.is_due(policy, &last) {
                return last;
            }
            let Some(request) = self.request_again() else {
                return last;
            };
            let Some(_retrying) = self.cluster.begin_retry() else {
                self.shard.retry_refused();
                self.unsent = Some(request);
                return last;
            };
            drop(last);
            self.unsent = Some(request);
            if let Some(place) = self.at.take() {
                self.tried.push(place.address());
            }
            self.count_attempt(number + 1);
            // Another draw for each pause and each choice.
            self.choice.draw = self.choice.draw.rotate_left(7) ^ 0x5bd1_e995;
            let pause = retry::pause(policy.back_off, number, self.choice.draw);
            tokio::time::sleep(pause).await;
            self.shard.retried();
            last = match policy.attempt_timeout {
                None => self.attempt(places).await,
                Some(limit) => self.attempt_within(limit, places).await,
            };
        }
        last
    }

    fn is_due(&self, policy: &Retries, result: &Result<Answered, UpstreamFault>) -> bool {
        if policy.attempts == 0 {
            return false;
        }
        match result {
            Ok(answered) => {
                let response = &answered.response;
                self.can_repeat()
                    && retry::after_answer(
                        &policy.on,
                        response.status(),
                        response.headers(),
                        self.kind.is_grpc,
                    )
            }
            Err(fault) => self.can_repeat() && retry::after_fault(&policy.on, *fault),
        }
    }

    fn can_repeat(&self) -> bool {
        self.unsent.is_some()
            || (self.spare.is_some() && self.tape.as_ref().is_none_or(Tape::is_whole))
    }

    fn request_again(&mut self) -> Option<Request<ClientBody>> {
        match self.unsent.take() {
            Some(request) => Some(request),
            None => self.spare.take()?.request(self.tape.as_ref()),
        }
    }

    fn count_attempt(&mut self, number: u32) {
        if let Some(request) = &mut self.unsent {
            let value = match number {
                1 => HeaderValue::from_static("1"),
                number => HeaderValue::from(number),
            };
            request.headers_mut().insert(ATTEMPTS, value);
        }
    }

    /// One attempt within its own time.
    async fn attempt_within(
        &mut self,
        limit: Duration,
        places: &Places,
    ) -> Result<Answered, UpstreamFault> {
        match tokio::time::timeout(limit, self.attempt(places)).await {
            Ok(result) => result,
            Err(_) => {
                self.timed_out();
                Err(UpstreamFault::AttemptTimeout)
            }
        }
    }

    /// One attempt. A kept connection may have died in the meantime: then the request is sent over
    /// another one, as long as nothing of it was sent, or sending it twice does no harm (RFC 9110
    /// §9.2.2).
    async fn attempt(&mut self, places: &Places) -> Result<Answered, UpstreamFault> {
        let place = self.cluster.choose(places, &self.tried, self.choice)?;
        let mut dead = 0;
        // One place to wait for the answer in: this future is part of every request.
        loop {
            let kept = if dead < DEAD {
                place.take(&self.cluster, self.kind.upgrades)
            } else {
                None
            };
            let (at, connection) = match kept {
                Some(connection) => (Rc::clone(&place), connection),
                None => Box::pin(self.open(places, Rc::clone(&place))).await?,
            };
            match self.send(at, connection).await {
                Ok(answered) => return Ok(answered),
                Err(Missed::Dead) if dead <= DEAD => dead += 1,
                Err(Missed::Dead) => return Err(UpstreamFault::BrokeOff),
                Err(Missed::For(fault)) => return Err(fault),
            }
        }
    }

    /// A connection at `first`, or at another address of the same name.
    async fn open(
        &mut self,
        places: &Places,
        first: Rc<Place>,
    ) -> Result<(Rc<Place>, Connection), UpstreamFault> {
        let mut place = first;
        let mut asked = 1;
        loop {
            self.at = Some(Rc::clone(&place));
            let fault = match place.acquire(&self.cluster, self.kind.upgrades).await {
                Ok(connection) => return Ok((place, connection)),
                Err(fault) => fault,
            };
            let goes_on = self.cluster.fails_over()
                && asked < ADDRESSES.min(places.count())
                && matches!(fault, UpstreamFault::Unreachable | UpstreamFault::Untrusted);
            if !goes_on {
                return Err(fault);
            }
            self.tried.push(place.address());
            place = self.cluster.choose(places, &self.tried, self.choice)?;
            asked += 1;
        }
    }

    async fn send(
        &mut self,
        place: Rc<Place>,
        mut connection: Connection,
    ) -> Result<Answered, Missed> {
        let in_flight = match InFlight::begin(Rc::clone(&place)) {
            Ok(in_flight) => in_flight,
            Err(fault) => {
                place.put_back(connection);
                return Err(Missed::For(fault));
            }
        };
        let Some(request) = self.unsent.take() else {
            return Err(Missed::For(UpstreamFault::BrokeOff));
        };
        let was_used = connection.was_used();
        let replays = request.body().is_end_stream() || self.tape.is_some();
        let may_die = was_used && request.method().is_idempotent();
        self.spare = (replays && (may_die || self.kind.needs_copy)).then(|| Spare::of(&request));
        let is_tls = self.cluster.is_tls();
        let has_outliers = self.cluster.traffic.outliers.is_some();
        if has_outliers || self.retries.is_some() {
            self.at = Some(Rc::clone(&place));
        }
        let mut error = match connection.send(request, is_tls).await {
            Ok(response) => {
                if has_outliers {
                    self.cluster.note(&place, Sign::of(response.status()));
                }
                return Ok(Answered {
                    response,
                    connection,
                    in_flight,
                });
            }
            Err(error) => error,
        };
        self.unsent = error.take_message();
        if self.unsent.is_some() && was_used {
            return Err(Missed::Dead);
        }
        let fault = fault_of(error.error());
        tracing::debug!(error = %error.error(), service = %self.cluster.service, "an upstream broke off");
        let died = matches!(fault, Broken::Off | Broken::GoneAway);
        if died && was_used && (may_die || fault == Broken::GoneAway) && self.can_repeat() {
            self.unsent = self.request_again();
            if self.unsent.is_some() {
                return Err(Missed::Dead);
            }
        }
        if has_outliers {
            self.cluster.note(&place, Sign::GatewayError);
        }
        Err(Missed::For(fault.into()))
    }
}

/// Why a connection brought no answer.
enum Missed {
    /// It had died before, and the request is still there.
    Dead,
    /// Something else.
    For(UpstreamFault),
}

/// How a connection or a stream ended before its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    /// It broke off.
    Off,
    /// What came is no HTTP.
    Garbled,
    /// The stream was refused unseen.
    Refused,
    /// The connection was closed orderly before the stream was looked at (RFC 9113 §6.8).
    GoneAway,
}

impl From<Broken> for UpstreamFault {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Off => Self::BrokeOff,
            Broken::Garbled => Self::Garbled,
            Broken::Refused | Broken::GoneAway => Self::Refused,
        }
    }
}

fn fault_of(error: &hyper::Error) -> Broken {
    if error.is_parse() {
        return Broken::Garbled;
    }
    let source = std::error::Error::source(error);
    let Some(error) = source.and_then(|source| source.downcast_ref::<h2::Error>()) else {
        return Broken::Off;
    };
    if error.is_remote() && error.is_go_away() {
        Broken::GoneAway
    } else if error.reason() == Some(h2::Reason::REFUSED_STREAM) {
        Broken::Refused
    } else if error.is_library() {
        Broken::Garbled
    } else {
        Broken::Off
    }
}
