//! One log line and one metric per request, from the same outcome and the final status.

mod basis;
mod line;
mod log;
mod metrics;

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method};
use model::names::{Duration, Timestamp};
use model::snapshot::RouteInfo;
use policy::Reason;

pub(crate) use basis::Basis;
pub use log::LogSink;
pub(crate) use log::{Lines, Writer};
pub use metrics::Metrics;
pub(crate) use metrics::{MirrorFate, Shard, UpstreamFailure};

use crate::listen::Busy;

/// Measures how long something takes: the only place of the data plane that asks a clock by itself.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(
        clippy::disallowed_methods,
        reason = "durations are measured here and nowhere else"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// What became of a request: the outcomes of a decision and those before one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Became {
    /// It went to an upstream.
    Forward,
    /// Somebody must sign in first.
    SignIn,
    /// It was sent elsewhere.
    Redirect,
    /// It was answered in this process.
    Serve,
    /// It was refused.
    Refuse,
    /// It could not mean anything.
    Malformed,
    /// It was turned away: there was too much to do.
    Shed,
    /// The proxy that asked was told to let it through.
    Allow,
}

impl Became {
    /// Every one, in the order of the discriminants.
    pub(crate) const ALL: [Self; 8] = [
        Self::Forward,
        Self::SignIn,
        Self::Redirect,
        Self::Serve,
        Self::Refuse,
        Self::Malformed,
        Self::Shed,
        Self::Allow,
    ];

    /// A stable word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::SignIn => "sign_in",
            Self::Redirect => "redirect",
            Self::Serve => "serve",
            Self::Refuse => "refuse",
            Self::Malformed => "malformed",
            Self::Shed => "shed",
            Self::Allow => "allow",
        }
    }
}

/// Who asks about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frontend {
    /// Whoever sends it: this is the gateway.
    Gateway,
    /// Envoy, with `ext_authz` over HTTP.
    ExtAuthzHttp,
    /// Another proxy, with a sub-request that describes the request.
    ForwardAuth,
    /// Envoy, with `ext_authz` over gRPC.
    ExtAuthzGrpc,
}

impl Frontend {
    /// Every one, in the order of the discriminants.
    pub(crate) const ALL: [Self; 4] = [
        Self::Gateway,
        Self::ExtAuthzHttp,
        Self::ForwardAuth,
        Self::ExtAuthzGrpc,
    ];

    /// A stable word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::ExtAuthzHttp => "ext_authz_http",
            Self::ForwardAuth => "forward_auth",
            Self::ExtAuthzGrpc => "ext_authz_grpc",
        }
    }
}

/// What will be known of a request when its answer has ended.
pub(crate) struct Entry {
    started: Stopwatch,
    recorder: Rc<Recorder>,
    // Keeps the connection from being taken for idle.
    _busy: Busy,
    /// When it came.
    pub(crate) time: Timestamp,
    /// Method.
    pub(crate) method: Method,
    /// `Host` as received, once it is known to be one.
    pub(crate) host: Option<HeaderValue>,
    /// Path and query; the query is never logged.
    pub(crate) target: Option<PathAndQuery>,
    /// `x-request-id`.
    pub(crate) request_id: Option<HeaderValue>,
    /// Client after the trusted hops.
    pub(crate) client: IpAddr,
    /// Who asks about it.
    pub(crate) frontend: Frontend,
    /// What became of it.
    pub(crate) became: Became,
    /// Status of the answer.
    pub(crate) status: u16,
    /// The route.
    pub(crate) route: Option<Arc<RouteInfo>>,
    /// The rule that determined the outcome.
    pub(crate) reason: Option<Reason>,
    /// What it was decided from; `None` where nothing was decided.
    pub(crate) basis: Option<Basis>,
    /// Time until the upstream's head was there.
    pub(crate) upstream: Option<Duration>,
    bytes: u64,
}

impl Entry {
    /// Opens the record of a request that has just been read.
    pub(crate) fn open(
        recorder: &Rc<Recorder>,
        busy: Busy,
        time: Timestamp,
        method: Method,
        client: IpAddr,
    ) -> Box<Self> {
        recorder.shard.begin();
        Box::new(Self {
            started: Stopwatch::start(),
            recorder: Rc::clone(recorder),
            _busy: busy,
            time,
            method,
            host: None,
            target: None,
            request_id: None,
            client,
            frontend: Frontend::Gateway,
            became: Became::Malformed,
            status: 0,
            route: None,
            reason: None,
            basis: None,
            upstream: None,
            bytes: 0,
        })
    }

    /// Bytes of the answer's body that went out.
    pub(crate) fn sent(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Closes the record: one line, one metric. `complete` is false when the answer broke off.
    pub(crate) fn finish(self: Box<Self>, complete: bool) {
        let duration = self.started.elapsed();
        self.recorder
            .shard
            .request(self.became, self.status, duration);
        if self.frontend != Frontend::Gateway {
            self.recorder.shard.checked(self.frontend, self.became);
        }
        self.recorder.lines.write(&self, duration, complete);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.recorder.shard.end();
    }
}

/// What became of a connection whose bytes were to be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// Both sides have said everything.
    Whole,
    /// One side broke off.
    Broken,
    /// Nobody said anything for too long.
    Idle,
    /// Nobody takes it.
    Unreachable,
    /// It was refused; why, as a stable word.
    Refused(&'static str),
}

impl StreamEnd {
    /// A stable word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "forward",
            Self::Broken => "broke_off",
            Self::Idle => "idle",
            Self::Unreachable => "unreachable",
            Self::Refused(why) => why,
        }
    }

    fn was_passed_on(self) -> bool {
        match self {
            Self::Whole | Self::Broken | Self::Idle => true,
            Self::Unreachable | Self::Refused(_) => false,
        }
    }
}

/// What is known of a connection whose bytes were passed on, when it has ended.
pub(crate) struct StreamLine<'a> {
    /// When it came.
    pub(crate) time: Timestamp,
    /// `Gateway` port.
    pub(crate) port: u16,
    /// Server name of the handshake.
    pub(crate) server_name: Option<&'a str>,
    /// Who connected.
    pub(crate) client: IpAddr,
    /// The route.
    pub(crate) route: Option<&'a RouteInfo>,
    /// The rule that determined the outcome.
    pub(crate) reason: &'a Reason,
    /// What became of it.
    pub(crate) end: StreamEnd,
    /// Bytes that the client sent.
    pub(crate) received: u64,
    /// Bytes that the client got.
    pub(crate) sent: u64,
}

/// The records of one worker.
pub(crate) struct Recorder {
    /// Counters.
    pub(crate) shard: Arc<Shard>,
    /// Log lines not yet handed over.
    pub(crate) lines: Lines,
}

impl Recorder {
    /// Counts into `shard`, writes to `writer`.
    pub(crate) fn new(shard: Arc<Shard>, writer: Option<Writer>) -> Self {
        let lines = Lines {
            pending: RefCell::new(Vec::new()),
            count: Cell::new(0),
            second: RefCell::new((i64::MIN, String::new())),
            writer,
            shard: Arc::clone(&shard),
        };
        Self { shard, lines }
    }

    /// One line and one metric for a connection whose bytes were passed on, or were not.
    pub(crate) fn stream(&self, stream: &StreamLine<'_>, duration: Duration) {
        self.shard
            .stream(stream.end.was_passed_on(), stream.received + stream.sent);
        let time = stream.time;
        self.lines
            .add(time, |out, time| line::stream(out, stream, time, duration));
    }
}
