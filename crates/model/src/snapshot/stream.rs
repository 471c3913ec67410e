//! Routes of connections whose bytes are passed on as they are.

use std::sync::Arc;

use ipnet::IpNet;

use super::closure::Closure;
use super::destination::Destination;
use super::policy::Guard;
use super::route::RouteInfo;
use crate::names::HostPattern;

/// One of `tls` or `tcp` of a `VirtualService`, or a route of the Gateway API for streams.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamRoute {
    /// Which one.
    pub info: Arc<RouteInfo>,
    /// Server names it is for; none asks for no name.
    pub server_names: Vec<HostPattern>,
    /// Addresses of this gateway that the client must have connected to; none asks nothing.
    pub destination_networks: Vec<IpNet>,
    /// Where to, by weight; the weights do not sum to 0. None only where it is closed.
    pub destinations: Vec<StreamDestination>,
    /// As [`Route::guard`](super::route::Route::guard).
    pub guard: Option<Arc<Guard>>,
    /// Set when the manifest cannot be read: connections that it takes are refused.
    pub closed: Option<Arc<Closure>>,
}

/// A destination and its share.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamDestination {
    /// Share relative to the sum.
    pub weight: u32,
    /// Where.
    pub destination: Arc<Destination>,
}
