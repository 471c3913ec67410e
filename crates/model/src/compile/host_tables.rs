//! Virtual hosts of one listener while their routes are gathered.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::routes::Placed;
use crate::names::HostPattern;
use crate::snapshot::{Closure, HostIndex, Route, RouteAction, RouteTable, VirtualHosts};

/// The virtual hosts of a listener.
#[derive(Default)]
pub(super) struct HostTables {
    tables: BTreeMap<HostPattern, Table>,
    closed: HostIndex<Arc<Closure>>,
}

/// The routes of one virtual host.
#[derive(Default)]
struct Table {
    /// Leads to HTTPS.
    redirects: bool,
    /// Closed paths of VirtualServices that cannot be read.
    closed_paths: Vec<Arc<Route>>,
    routes: Vec<Placed>,
    /// Where the routes of each VirtualService are: several servers of a port may bring the same.
    seen: HashMap<usize, Vec<usize>>,
}

impl HostTables {
    /// Lets a virtual host exist, with or without routes.
    pub(super) fn open(&mut self, pattern: &HostPattern) {
        self.tables.entry(pattern.clone()).or_default();
    }

    /// Leads a whole virtual host to HTTPS, with or without routes.
    pub(super) fn redirect(&mut self, pattern: &HostPattern) {
        self.tables.entry(pattern.clone()).or_default().redirects = true;
    }

    /// Adds one route that belongs to no VirtualService.
    pub(super) fn push(&mut self, pattern: &HostPattern, placed: Placed) {
        let table = self.tables.entry(pattern.clone()).or_default();
        table.routes.push(placed);
    }

    /// Adds the routes of the VirtualService with this number.
    pub(super) fn add(&mut self, pattern: HostPattern, service: usize, placed: &[Placed]) {
        let table = self.tables.entry(pattern).or_default();
        let known = table.seen.entry(service).or_default();
        let before = known.len();
        for one in placed {
            let mut others = known[..before].iter().map(|at| &table.routes[*at].route);
            if !others.any(|other| *other == one.route) {
                known.push(table.routes.len());
                table.routes.push(one.clone());
            }
        }
    }

    /// Whether a VirtualService serves anything there.
    pub(super) fn serves(&self, pattern: &HostPattern) -> bool {
        self.tables.get(pattern).is_some_and(|table| {
            let mut routes = table.routes.iter();
            routes.any(|placed| !matches!(placed.route.action, RouteAction::Closed(_)))
        })
    }

    /// Closes some paths of a virtual host, before everything else.
    pub(super) fn close_paths(&mut self, pattern: &HostPattern, route: Arc<Route>) {
        let table = self.tables.entry(pattern.clone()).or_default();
        table.closed_paths.push(route);
    }

    /// Closes a virtual host whole.
    pub(super) fn close(&mut self, pattern: &HostPattern, closure: &Arc<Closure>) {
        self.closed.insert(pattern, Arc::clone(closure));
    }

    /// All of them, each with its routes in the order in which they are tried.
    pub(super) fn finish(self) -> VirtualHosts {
        let mut hosts = VirtualHosts {
            closed: self.closed,
            ..VirtualHosts::default()
        };
        for (pattern, table) in self.tables {
            if table.redirects {
                hosts.redirecting.insert(&pattern, ());
            }
            let routes = table.finish();
            match pattern {
                HostPattern::Any => hosts.any = Some(routes),
                HostPattern::Suffix(suffix) => {
                    hosts.suffix.insert(suffix, routes);
                }
                HostPattern::Exact(host) => {
                    hosts.exact.insert(host, routes);
                }
            }
        }
        hosts
    }
}

impl Table {
    fn finish(mut self) -> Arc<RouteTable> {
        // Stable: within a rank they keep their order.
        self.routes.sort_by_key(|placed| placed.rank);
        let routes = self.routes.into_iter().map(|placed| placed.route);
        Arc::new(RouteTable::new(
            self.closed_paths.into_iter().chain(routes).collect(),
        ))
    }
}
