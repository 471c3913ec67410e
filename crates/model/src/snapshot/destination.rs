//! Where a route leads.

use std::fmt;
use std::sync::Arc;

use super::closure::Closure;
use super::policy::PolicySet;
use super::token::Authentication;

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
        write!(f, "{}.{}:{}", self.name, self.namespace, self.port)
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
    /// The policies of the workload behind the Service; empty when it is outside the mesh (no
    /// sidecar), because nobody enforces them there.
    pub policies: PolicySet,
    /// The workload's own `RequestAuthentication`s.
    pub authentication: Authentication,
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
    /// The built-in `whoami` application.
    Whoami,
    /// Nobody: the manifest is wrong. Answered 503.
    Nobody(Arc<Closure>),
}
