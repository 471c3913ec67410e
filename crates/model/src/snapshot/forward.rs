//! Forwarding: where to, and what happens on the way.

use std::sync::Arc;

use super::destination::Destination;
use super::mesh::HeaderName;
use super::text::Regex;
use crate::names::Duration;

/// Forwarding.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// Destinations by weight; at least one, and the weights do not sum to 0.
    pub destinations: Vec<Weighted>,
    /// Change of path or host.
    pub rewrite: Option<Rewrite>,
    /// Edits of the request's headers. With several destinations those of the chosen one run
    /// before these.
    pub request_headers: HeaderEdits,
    /// Edits of the answer's headers, in the same order.
    pub response_headers: HeaderEdits,
    /// Time until the whole answer; `None` waits for ever.
    pub timeout: Option<Duration>,
    /// Whether and when a request is sent again; `None` sends it once.
    pub retries: Option<Arc<Retries>>,
    /// Who gets a copy of the request; what they answer is thrown away.
    pub mirrors: Vec<Mirror>,
    /// Failures made on purpose.
    pub fault: Option<FaultInjection>,
}

/// A destination and its share.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighted {
    /// Share relative to the sum.
    pub weight: u32,
    /// Where.
    pub destination: Arc<Destination>,
    /// Edits of the request's headers for this destination alone.
    pub request_headers: HeaderEdits,
    /// Edits of the answer's headers for this destination alone.
    pub response_headers: HeaderEdits,
    /// Change of path or host for this destination alone, in place of [`Forward::rewrite`].
    pub rewrite: Option<Rewrite>,
}

impl Weighted {
    /// A destination with its share and nothing of its own.
    pub fn plain(weight: u32, destination: Arc<Destination>) -> Self {
        Self {
            weight,
            destination,
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            rewrite: None,
        }
    }
}

/// `rewrite`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rewrite {
    /// Changes the path; the query stays.
    pub path: Option<PathRewrite>,
    /// `authority`: replaces `Host`.
    pub authority: Option<Arc<str>>,
}

/// Change of a path.
#[derive(Clone, Debug, PartialEq)]
pub enum PathRewrite {
    /// `rewrite.uri` of Istio: replaces the bytes of the prefix that matched, or the whole path
    /// when the match is no prefix.
    Matched(Arc<str>),
    /// `ReplacePrefixMatch` of the Gateway API: replaces the segments of the prefix that matched.
    Segments(Arc<str>),
    /// Replaces the whole path.
    Whole(Arc<str>),
    /// `uriRegexRewrite`: replaces every match of the pattern; `\1` names a group.
    Regex(Regex, Arc<str>),
}

/// Header edits in their effective order: removes, then sets, then adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Removed.
    pub remove: Vec<HeaderName>,
    /// Overwritten or created.
    pub set: Vec<(HeaderName, http::HeaderValue)>,
    /// Appended.
    pub add: Vec<(HeaderName, http::HeaderValue)>,
}

impl HeaderEdits {
    /// Whether nothing is edited.
    pub fn is_empty(&self) -> bool {
        let Self { remove, set, add } = self;
        remove.is_empty() && set.is_empty() && add.is_empty()
    }
}

/// `retries`.
#[derive(Clone, Debug, PartialEq)]
pub struct Retries {
    /// How often a request is sent again at most.
    pub attempts: u32,
    /// Time for each attempt; `None` leaves it to the route's timeout.
    pub attempt_timeout: Option<Duration>,
    /// What is tried again.
    pub on: RetryOn,
    /// Pause before the second retry, at most; it doubles up to ten times this.
    pub back_off: Duration,
}

impl Retries {
    /// Istio's default where a route says nothing.
    pub fn istio_default() -> Self {
        Self {
            attempts: 2,
            attempt_timeout: None,
            on: RetryOn {
                connect_failure: true,
                refused_stream: true,
                grpc: vec![GrpcStatus::Unavailable, GrpcStatus::Cancelled],
                ..RetryOn::default()
            },
            back_off: Duration::from_millis(25),
        }
    }
}

/// `retryOn`: what is tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryOn {
    /// `connect-failure`: no connection was made, so nothing was sent.
    pub connect_failure: bool,
    /// `refused-stream`: an HTTP/2 upstream refused the stream before it looked at it.
    pub refused_stream: bool,
    /// `reset`: the upstream broke off before it answered, or did not answer in time.
    pub reset: bool,
    /// `5xx`: any 5xx, and whatever [`Self::reset`] means.
    pub server_error: bool,
    /// `gateway-error`: 502, 503, 504.
    pub gateway_error: bool,
    /// `retriable-4xx`: 409.
    pub conflict: bool,
    /// Status codes by number.
    pub statuses: Vec<u16>,
    /// gRPC status in the answer's head.
    pub grpc: Vec<GrpcStatus>,
}

/// gRPC status codes that can be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcStatus {
    /// 1.
    Cancelled,
    /// 4.
    DeadlineExceeded,
    /// 8.
    ResourceExhausted,
    /// 13.
    Internal,
    /// 14.
    Unavailable,
}

impl GrpcStatus {
    /// The number in `grpc-status`.
    pub fn code(self) -> u8 {
        match self {
            Self::Cancelled => 1,
            Self::DeadlineExceeded => 4,
            Self::ResourceExhausted => 8,
            Self::Internal => 13,
            Self::Unavailable => 14,
        }
    }
}

/// A share of all requests, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

impl Share {
    /// Every request.
    pub const ALL: Self = Self(1_000_000);
    /// No request.
    pub const NONE: Self = Self(0);

    /// `millionths` of all requests; more than all is all.
    pub fn of_million(millionths: u32) -> Self {
        Self(millionths.min(Self::ALL.0))
    }

    /// Whether a request that drew this number (any `u32`) is among them.
    pub fn includes(self, draw: u32) -> bool {
        draw % Self::ALL.0 < self.0
    }
}

/// `mirrors`: who gets a copy.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    /// Where.
    pub destination: Arc<Destination>,
    /// How many of the requests.
    pub share: Share,
}

/// `fault`: failures made on purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultInjection {
    /// Requests that wait first.
    pub delay: Option<(Duration, Share)>,
    /// Requests that are answered with an error instead.
    pub abort: Option<(Abort, Share)>,
}

/// The error of an injected fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// An HTTP status.
    Http(u16),
    /// A gRPC status, in an answer that is HTTP 200.
    Grpc(u8),
}
