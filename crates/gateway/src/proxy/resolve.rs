//! Where a Service lives: a `--resolve` rule, else the places that the manifests name, else cluster
//! DNS.

use std::net::{IpAddr, SocketAddr};

use model::names::Duration;
use model::snapshot::{Destination, Endpoints};

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
    fn new(host: &str, port: u16) -> Self {
        match host.parse::<IpAddr>() {
            Ok(address) => Self::Address(SocketAddr::new(address, port)),
            Err(_) => Self::Name {
                host: host.into(),
                port,
            },
        }
    }
}

/// The endpoints of a destination, and their shares.
pub(super) fn endpoints(destination: &Destination, rules: &[ResolveRule]) -> Vec<(Endpoint, u32)> {
    let port = destination.service.port;
    if let Some(target) = ResolveRule::choose(rules, destination) {
        return vec![(Endpoint::new(&target.host, target.port.unwrap_or(port)), 1)];
    }
    match &destination.endpoints {
        Endpoints::ByHost => vec![(Endpoint::new(&destination.host, port), 1)],
        Endpoints::At(places) => places
            .iter()
            .map(|place| (Endpoint::new(&place.host, place.port), place.weight))
            .collect(),
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
