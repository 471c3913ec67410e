//! Certificates that are there, and certificates that are wanted.

use std::net::IpAddr;
use std::sync::Arc;

use crate::names::{Duration, HostPattern, ObjectRef, Place, Secret};

/// A key pair from a Secret that a `Gateway` server serves.
#[derive(Clone, Debug, PartialEq)]
pub struct ServedCertificate {
    /// The Secret.
    pub object: ObjectRef,
    /// Where it stands.
    pub place: Place,
    /// Hosts of the server that names it.
    pub hosts: Vec<HostPattern>,
    /// PEM chain, leaf first.
    pub chain: Arc<str>,
    /// PEM private key.
    pub key: Secret,
}

/// A certificate that has to be issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedCertificate {
    /// The `Certificate` or `Gateway` that wants it.
    pub object: ObjectRef,
    /// Hosts it is served for.
    pub hosts: Vec<HostPattern>,
    /// DNS names in it.
    pub dns_names: Vec<Arc<str>>,
    /// Addresses in it.
    pub addresses: Vec<IpAddr>,
    /// How long it is valid.
    pub duration: Duration,
}
