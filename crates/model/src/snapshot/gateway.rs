//! Who the gateway is, and virtual hosts with their routes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::closure::Closure;
use super::listener::HostIndex;
use super::table::RouteTable;
use crate::names::{Host, HostPattern};

/// Who the gateway is: the workload that doorward stands in for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Namespace of the gateway pods.
    pub namespace: Arc<str>,
    /// Labels of the gateway pods.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// Service account of the gateway pods.
    pub service_account: Arc<str>,
    /// `trust-domain/ns/namespace/sa/service-account`.
    pub principal: Arc<str>,
}

/// Routes by host: exact name, then longest suffix, then `*`. No fall-through.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VirtualHosts {
    pub(crate) exact: HashMap<Host, Arc<RouteTable>>,
    /// Key as [`HostPattern::Suffix`] keeps it: `.example.com`.
    pub(crate) suffix: HashMap<Arc<str>, Arc<RouteTable>>,
    pub(crate) any: Option<Arc<RouteTable>>,
    /// Hosts that a broken object closes, each once, and why.
    pub(crate) closed: HostIndex<Arc<Closure>>,
    /// Virtual hosts that lead plain HTTP to HTTPS.
    pub(crate) redirecting: HostIndex<()>,
}

impl VirtualHosts {
    /// The routes for `host` (lower case, no port), in the order they are tried; `None` when no
    /// virtual host covers it.
    pub fn routes(&self, host: &str) -> Option<&Arc<RouteTable>> {
        self.serving(host).map(|(_, routes)| routes)
    }

    /// Whether the virtual host that serves `host` asks for HTTPS (`httpsRedirect`): all of it,
    /// whoever brought its routes.
    pub fn redirects_to_https(&self, host: &str) -> bool {
        let Some((asking, ())) = self.redirecting.closest(host) else {
            return false;
        };
        self.serving(host)
            .is_none_or(|(closeness, _)| closeness <= asking)
    }

    /// The routes for `*`.
    pub(crate) fn routes_of_any(&self) -> Option<&Arc<RouteTable>> {
        self.any.as_ref()
    }

    /// The virtual host that is closest to `host`, and how close it is.
    fn serving(&self, host: &str) -> Option<(usize, &Arc<RouteTable>)> {
        if let Some(routes) = self.exact.get(host) {
            return Some((usize::MAX, routes));
        }
        if !self.suffix.is_empty() {
            let dots = host.bytes().enumerate().filter(|(_, byte)| *byte == b'.');
            for (at, _) in dots.filter(|(at, _)| *at > 0) {
                if let Some(routes) = self.suffix.get(&host[at..]) {
                    return Some((host.len() - at, routes));
                }
            }
        }
        self.any.as_ref().map(|routes| (0, routes))
    }

    /// The closed door that covers `host`, if a broken object closes it and no virtual host is
    /// closer to the name.
    pub fn closure(&self, host: &str) -> Option<&Arc<Closure>> {
        let (closeness, closure) = self.closed.closest(host)?;
        let served = self.serving(host);
        let closed = served.is_none_or(|(serving, _)| serving <= closeness);
        closed.then_some(closure)
    }

    /// Every virtual host with its routes, for listings.
    pub fn iter(&self) -> impl Iterator<Item = (HostPattern, &Arc<RouteTable>)> {
        let exact = self
            .exact
            .iter()
            .map(|(host, routes)| (HostPattern::Exact(host.clone()), routes));
        let suffix = self
            .suffix
            .iter()
            .map(|(suffix, routes)| (HostPattern::Suffix(suffix.clone()), routes));
        let any = self.any.iter().map(|routes| (HostPattern::Any, routes));
        exact.chain(suffix).chain(any)
    }
}
