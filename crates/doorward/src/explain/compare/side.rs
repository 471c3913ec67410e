//! One of two trees that are compared.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderValue;
use model::Snapshot;
use model::names::Timestamp;
use model::snapshot::{PolicySet, Route, RouteAction, RouteInfo, VirtualHosts};
use policy::Session;

use super::visitor::Visitor;
use crate::explain::named::Named;
use crate::explain::probe::Probe;
use crate::explain::verdict::Verdict;

/// A tree, with what was made of it so far.
pub(super) struct Side<'s> {
    pub(super) snapshot: &'s Snapshot,
    now: Timestamp,
    sessions: RefCell<HashMap<Visitor, Rc<Known>>>,
    named: HashMap<*const RouteInfo, Named>,
    pub(super) at_gateway: Named,
}

/// What a tree knows of a visitor.
struct Known {
    session: Session,
    authorization: Option<HeaderValue>,
}

/// What a tree says of a request.
pub(super) struct Said {
    pub(super) verdict: Verdict,
    pub(super) route: Option<Arc<RouteInfo>>,
}

impl<'s> Side<'s> {
    pub(super) fn of(snapshot: &'s Snapshot, now: Timestamp) -> Self {
        let mut at_gateway = Named::default();
        at_gateway.add(snapshot.gateway_policies(), snapshot.user_header());
        let hosts = snapshot
            .listeners()
            .values()
            .flat_map(|listener| listener.virtual_hosts())
            .flat_map(VirtualHosts::iter);
        let mut named = HashMap::new();
        for (_, routes) in hosts {
            for route in routes.iter() {
                named
                    .entry(Arc::as_ptr(&route.info))
                    .or_insert_with(|| of_route(route, snapshot));
            }
        }
        Self {
            snapshot,
            now,
            sessions: RefCell::default(),
            named,
            at_gateway,
        }
    }

    /// What `visitor` gets who sends `probe`.
    pub(super) fn ask(&self, visitor: &Visitor, probe: &Probe) -> Said {
        let known = self.sessions.borrow().get(visitor).cloned();
        let known = known.unwrap_or_else(|| {
            let (session, authorization) = visitor.session(self.snapshot, self.now);
            let made = Rc::new(Known {
                session,
                authorization,
            });
            let mut sessions = self.sessions.borrow_mut();
            sessions.insert(visitor.clone(), Rc::clone(&made));
            made
        });
        let probe = visitor.send(probe, known.authorization.as_ref());
        let result = probe.decide(self.snapshot, &known.session, self.now);
        Said {
            verdict: Verdict::of(&result),
            route: result.ok().and_then(|decision| decision.route),
        }
    }

    /// What the policies that are only in the way of a route name.
    pub(super) fn named(&self, route: &Option<Arc<RouteInfo>>) -> Option<&Named> {
        self.named.get(&Arc::as_ptr(route.as_ref()?))
    }
}

fn of_route(route: &Route, snapshot: &Snapshot) -> Named {
    let mut named = Named::default();
    let mut add = |policies: &PolicySet| named.add(policies, snapshot.user_header());
    if let Some(guard) = &route.guard {
        add(&guard.gateway);
        add(&guard.attached);
    }
    if let RouteAction::Forward(forward) = &route.action {
        for one in &forward.destinations {
            add(&one.destination.policies);
        }
    }
    named
}
