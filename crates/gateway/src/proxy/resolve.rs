//! Where a Service lives: a `--resolve` rule, else cluster DNS.

use std::net::{IpAddr, SocketAddr};

use model::names::Duration;
use model::snapshot::Destination;

use crate::settings::ResolveRule;

/// What has to be asked for addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// Nothing: this is one.
    Address(SocketAddr),
    /// DNS.
    Name {
        /// The name.
        host: Box<str>,
        /// The port to go with each address.
        port: u16,
    },
}

impl Endpoint {
    /// The most specific rule, or the Service's own name.
    pub(super) fn of(destination: &Destination, rules: &[ResolveRule]) -> Self {
        let port = destination.service.port;
        let (host, port) = match ResolveRule::choose(rules, destination) {
            Some(target) => (&*target.host, target.port.unwrap_or(port)),
            None => (&*destination.host, port),
        };
        match host.parse::<IpAddr>() {
            Ok(address) => Self::Address(SocketAddr::new(address, port)),
            Err(_) => Self::Name {
                host: host.into(),
                port,
            },
        }
    }
}

/// The addresses of an endpoint, IPv4 first; none when it has none within `limit`.
pub(super) async fn addresses(endpoint: &Endpoint, limit: Duration) -> Vec<SocketAddr> {
    match endpoint {
        Endpoint::Address(address) => vec![*address],
        Endpoint::Name { host, port } => {
            let found = tokio::net::lookup_host((&**host, *port));
            let Ok(Ok(found)) = tokio::time::timeout(limit, found).await else {
                return Vec::new();
            };
            let mut addresses: Vec<SocketAddr> = found.collect();
            addresses.sort_by_key(SocketAddr::is_ipv6);
            addresses.dedup();
            addresses
        }
    }
}
