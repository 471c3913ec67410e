//! The shape of `core.yaml` and `extended.yaml`: what each conformance test expects.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Where names without a namespace are.
pub(crate) const HOME: &str = "gateway-conformance-infra";

/// One test.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Test {
    /// Its name in the suite.
    pub(crate) test: String,
    /// Features that it needs; it is run where all of them are claimed.
    pub(crate) features: Vec<String>,
    /// Files of the suite, besides the base.
    pub(crate) manifests: Vec<String>,
    /// The suite may still change it.
    #[serde(default)]
    pub(crate) provisional: bool,
    /// Services without a selector, and whose pods stand behind them.
    #[serde(default)]
    pub(crate) endpoints: BTreeMap<String, String>,
    /// One after the other.
    pub(crate) steps: Vec<Step>,
}

/// A state of the cluster, and what is expected of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// Objects that are gone from now on, as `Kind namespace/name`.
    #[serde(default)]
    pub(crate) remove: Vec<String>,
    /// Objects that replace those of the same name from now on.
    #[serde(default)]
    pub(crate) set: String,
    /// `metadata.generation` of every object.
    #[serde(default = "one")]
    pub(crate) generation: i64,
    /// The Gateway whose address is asked; every one where none is named.
    pub(crate) gateway: Option<String>,
    /// The port that is asked.
    #[serde(default = "eighty")]
    pub(crate) port: u16,
    /// Routes that this Gateway accepts, with everything that they name; `HTTPRoute`s unless a kind
    /// stands before the name.
    #[serde(default)]
    pub(crate) routes: Vec<String>,
    /// Conditions.
    #[serde(default)]
    pub(crate) conditions: Vec<Expected>,
    /// Requests.
    #[serde(default)]
    pub(crate) requests: Vec<Ask>,
    /// Backends and their share of the first request in percent, sent many times.
    #[serde(default)]
    pub(crate) shares: BTreeMap<String, u32>,
    /// A header that a backend has to find its own name in.
    pub(crate) names_itself: Option<String>,
    /// A path that echoes over a WebSocket.
    pub(crate) websocket: Option<String>,
}

fn one() -> i64 {
    1
}

fn eighty() -> u16 {
    80
}

/// A condition, or what a listener counts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    pub(crate) class: Option<String>,
    pub(crate) gateway: Option<String>,
    pub(crate) listener: Option<String>,
    pub(crate) route: Option<String>,
    /// Kind of the route; `HTTPRoute` unless given.
    pub(crate) kind: Option<String>,
    pub(crate) policy: Option<String>,
    #[serde(rename = "type")]
    pub(crate) condition: Option<String>,
    pub(crate) status: Option<bool>,
    pub(crate) reason: Option<String>,
    /// What `observedGeneration` has to be.
    pub(crate) generation: Option<i64>,
    /// Kinds that the listener supports at least; none at all where the list is empty.
    pub(crate) kinds: Option<Vec<String>>,
    /// Routes on the listener, or on all listeners of the Gateway.
    pub(crate) attached: Option<u32>,
}

/// A request and its answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ask {
    #[serde(default = "anywhere")]
    pub(crate) host: String,
    pub(crate) path: String,
    #[serde(default = "get")]
    pub(crate) method: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// `h2c` or `h2`; HTTP/1.1 unless given.
    pub(crate) protocol: Option<String>,
    /// The server name of the handshake.
    pub(crate) sni: Option<String>,
    /// The handshake is the backend's: TLS is passed on.
    #[serde(default)]
    pub(crate) through: bool,
    /// The handshake fails.
    #[serde(default)]
    pub(crate) rejected: bool,
    /// Answers that are right.
    #[serde(default)]
    pub(crate) status: Statuses,
    /// Who answers, and what it has to see: the request as it was sent, unless `seen` says more.
    pub(crate) backend: Option<String>,
    /// Any backend may answer.
    #[serde(default)]
    pub(crate) anybody: bool,
    pub(crate) seen: Option<Seen>,
    #[serde(default)]
    pub(crate) answer: Answer,
    /// Headers that the backend answers with.
    #[serde(default)]
    pub(crate) backend_sets: BTreeMap<String, String>,
    pub(crate) redirect: Option<Redirect>,
    /// Who gets a copy.
    #[serde(default)]
    pub(crate) mirrored: Vec<String>,
    /// How many of the requests are copied.
    pub(crate) percent: Option<u32>,
}

fn anywhere() -> String {
    "gateway.example".to_owned()
}

fn get() -> String {
    "GET".to_owned()
}

/// One status, or several that are right.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Statuses {
    One(u16),
    Any(Vec<u16>),
}

impl Default for Statuses {
    fn default() -> Self {
        Self::One(200)
    }
}

impl Statuses {
    pub(crate) fn allows(&self, status: u16) -> bool {
        match self {
            Self::One(one) => *one == status,
            Self::Any(any) => any.contains(&status),
        }
    }
}

/// What the backend has to see.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seen {
    pub(crate) host: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) method: Option<String>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) absent: Vec<String>,
    /// `HTTP/2.0` where the backend speaks it.
    pub(crate) protocol: Option<String>,
    /// Server name of the handshake with the backend.
    pub(crate) sni: Option<String>,
}

/// Headers of the answer; spaces in them count for nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) one_of: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(crate) absent: Vec<String>,
}

/// Parts of `Location`; those that are not given are those of the request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redirect {
    pub(crate) scheme: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) port: Option<String>,
    pub(crate) path: Option<String>,
}

/// Namespace and name.
pub(crate) fn full(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or((HOME, name))
}
