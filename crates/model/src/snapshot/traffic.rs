//! How connections to an upstream are made, shared out and given up: what a `DestinationRule` says.

use std::sync::Arc;

use super::mesh::HeaderName;
use crate::names::{Duration, Secret};

/// Limits, balance and health; the default limits nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Time to connect; `None` takes the gateway's own.
    pub connect_timeout: Option<Duration>,
    /// Connections to one destination and worker.
    pub max_connections: Option<u32>,
    /// Requests that may wait for a connection (`http1MaxPendingRequests`).
    pub max_pending: Option<u32>,
    /// Requests in flight (`http2MaxRequests`).
    pub max_requests: Option<u32>,
    /// Requests before a connection is closed (`maxRequestsPerConnection`).
    pub requests_per_connection: Option<u32>,
    /// Retries in flight (`maxRetries`).
    pub max_retries: Option<u32>,
    /// Time that an unused connection is kept.
    pub idle_timeout: Option<Duration>,
    /// Which place a request goes to.
    pub balance: Balance,
    /// When a place is left out for a while.
    pub outliers: Option<Outliers>,
}

/// Which of several places a request goes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Balance {
    /// The one of two drawn at random that has fewer requests in flight: Istio's default.
    #[default]
    LeastRequest,
    /// One after the other.
    RoundRobin,
    /// Any.
    Random,
    /// The same place for the same value, as long as places stay.
    Consistent(HashKey),
}

/// What a consistent choice hangs on; a request without it goes anywhere.
#[derive(Clone, Debug, PartialEq)]
pub enum HashKey {
    /// `httpHeaderName`.
    Header(HeaderName),
    /// `httpCookie`: made and sent to the client when it is absent and has a lifetime.
    Cookie {
        /// Name.
        name: Arc<str>,
        /// Path of a cookie that is made.
        path: Option<Arc<str>>,
        /// Lifetime of a cookie that is made; zero is a session cookie, `None` makes none.
        ttl: Option<Duration>,
    },
    /// `useSourceIp`.
    SourceIp,
    /// `httpQueryParameterName`.
    QueryParameter(Arc<str>),
}

/// `outlierDetection`: a place that fails is left out for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outliers {
    /// 5xx answers, breaks and timeouts in a row; 0 does not count them.
    pub consecutive_5xx: u32,
    /// 502, 503, 504 answers, breaks and timeouts in a row; 0 does not count them.
    pub consecutive_gateway_errors: u32,
    /// Time left out the first time; it grows with each time.
    pub base_ejection: Duration,
    /// Places left out at once, in percent; one may always be.
    pub max_ejection_percent: u32,
}

/// TLS to an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamTls {
    /// Name sent and verified; `None` takes the destination's host.
    pub server_name: Option<Arc<str>>,
    /// Whom to trust.
    pub trust: Trust,
    /// Names of which the certificate must have one; empty asks for the server name.
    pub subject_alt_names: Vec<Arc<str>>,
    /// The certificate shown to an upstream that asks.
    pub client: Option<KeyPair>,
}

/// Whom an upstream's certificate must come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Trust {
    /// The system's authorities.
    System,
    /// These authorities, PEM.
    Authorities(Arc<str>),
    /// Anybody: `insecureSkipVerify`, or `SIMPLE` without authorities in releases that did not
    /// verify. The manifest has to say so.
    Anybody,
}

/// A key pair as PEM.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyPair {
    /// Chain, leaf first.
    pub chain: Arc<str>,
    /// Private key.
    pub key: Secret,
}
