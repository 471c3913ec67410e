//! Where a program that is stood in for keeps its sessions, as its options say it.

use std::sync::Arc;

use crate::names::Secret;

/// Where sessions are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionPlace {
    /// Where the program keeps them unless it is told otherwise: in cookies, or in a file.
    Usual,
    /// In Redis, which every process of the program shares.
    Redis(RedisPlace),
}

/// A Redis, with what is said apart from its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisPlace {
    /// What its addresses lead to.
    pub servers: RedisServers,
    /// URLs, which may hold a password.
    pub urls: Vec<Secret>,
    /// The user, instead of that of a URL.
    pub user: Option<Arc<str>>,
    /// The password, instead of that of a URL.
    pub password: Option<Secret>,
    /// What Sentinels want to hear.
    pub sentinel_password: Option<Secret>,
    /// Path of a PEM file of authorities for its certificate, instead of the system's.
    pub authorities: Option<Arc<str>>,
}

/// What the addresses of a Redis lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisServers {
    /// The one server there is.
    One,
    /// Sentinels, which know where the master of this name is.
    Sentinels(Arc<str>),
    /// Some servers of a cluster.
    Cluster,
}
