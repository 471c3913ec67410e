//! Where a route leads.

use std::fmt;
use std::sync::Arc;

use super::closure::Closure;
use super::policy::PolicySet;
use super::route::Redirect;
use super::token::Authentication;
use super::traffic::{Traffic, UpstreamTls};

/// A Service and one of its ports.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceRef {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Service port.
    pub port: u16,
}

impl fmt::Display for ServiceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            // A host outside the cluster.
            write!(f, "{}:{}", self.name, self.port)
        } else {
            write!(f, "{}.{}:{}", self.name, self.namespace, self.port)
        }
    }
}

/// A destination with everything that is decided before a connection is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Destination {
    /// The Service.
    pub service: ServiceRef,
    /// Full host name, `name.namespace.svc.cluster.local`.
    pub host: Arc<str>,
    /// The workload's own port, for policies; the Service port where the target has a name only.
    pub target_port: u16,
    /// Who answers.
    pub played_by: PlayedBy,
    /// What the upstream speaks.
    pub protocol: UpstreamProtocol,
    /// How TLS to the upstream is made; `None` is plain text.
    pub tls: Option<Arc<UpstreamTls>>,
    /// Where the upstream is found.
    pub endpoints: Endpoints,
    /// Limits, balance and health of its connections; equal ones share their state.
    pub traffic: Arc<Traffic>,
    /// The policies of the workload behind the Service; empty when it is outside the mesh (no
    /// sidecar), because nobody enforces them there.
    pub policies: PolicySet,
    /// The workload's own `RequestAuthentication`s.
    pub authentication: Authentication,
}

/// What an upstream speaks (port name `http2…`, `grpc…`, or `appProtocol`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: with prior knowledge where there is no TLS, by ALPN where there is.
    Http2,
}

/// Where an upstream is found. A `--resolve` rule for its host wins over all of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Endpoints {
    /// By the name [`Destination::host`], at the Service port.
    #[default]
    ByHost,
    /// At these places: `EndpointSlice`s, or a `ServiceEntry` with `endpoints`.
    At(Arc<[Place]>),
}

/// A place where an upstream listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// An address, or a name that DNS knows.
    pub host: Arc<str>,
    /// The port there.
    pub port: u16,
    /// Share of the requests relative to the other places; 0 counts as 1.
    pub weight: u32,
}

/// Who answers for a destination.
#[derive(Clone, Debug, PartialEq)]
pub enum PlayedBy {
    /// An upstream, found by address.
    Upstream,
    /// The login proxy with this index, in this process.
    Login(usize),
    /// The OpenID provider with this index, in this process.
    Provider(usize),
    /// KFAM, in this process.
    Kfam,
    /// The built-in `whoami` application.
    Whoami,
    /// Nobody: the route sends this share elsewhere.
    Redirect(Arc<Redirect>),
    /// Nobody: the manifest is wrong. Answered as [`Closure::status`] says.
    Nobody(Arc<Closure>),
}
