//! Worlds that no manifest can say yet, for the tests of the crates that perform them.

use std::sync::Arc;

use super::{Forward, Listener, Route, RouteAction, RouteInfo, RouteTable, Serves, Snapshot};

impl Snapshot {
    /// The same world, in which every route that forwards is changed.
    #[must_use]
    pub fn with_forwards(mut self, mut change: impl FnMut(&RouteInfo, &mut Forward)) -> Self {
        let listeners = self.listeners.values_mut();
        for chain in listeners.flat_map(Listener::chains_mut) {
            let Serves::Http(hosts) = &mut chain.serves else {
                continue;
            };
            let all = hosts
                .exact
                .values_mut()
                .chain(hosts.suffix.values_mut())
                .chain(hosts.any.as_mut());
            for routes in all {
                let fresh = routes.iter().map(|route| changed(route, &mut change));
                *routes = Arc::new(RouteTable::new(fresh.collect()));
            }
        }
        self
    }
}

fn changed(route: &Route, change: &mut impl FnMut(&RouteInfo, &mut Forward)) -> Arc<Route> {
    let mut route = route.clone();
    if let RouteAction::Forward(forward) = &mut route.action {
        change(&route.info, forward);
    }
    Arc::new(route)
}
