//! The same decision for a proxy that asks and has routes of its own.
//!
//! Everything that lets a request in or keeps it out is asked as in [`super::decide`], a
//! destination's own rules too where the manifests lead to one. What the gateway would do with the
//! request afterwards is the proxy's to do: redirects and answers of routes, faults made on
//! purpose, answers to pages of other origins. Without a route the rules of the gateway alone are
//! asked.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use model::Snapshot;
use model::snapshot::{Destination, RouteAction, RouteInfo};
use smallvec::SmallVec;

use super::perform::{Forwarding, closed_door};
use super::{
    Chosen, End, Entered, Entrance, Passed, Routing, Way, before_policies, through_policies,
};
use crate::authorization::Accepted;
use crate::decision::{Outcome, Permit, Reason, Serve, Served, USUAL};
use crate::recorder::Recorder;
use crate::request::Request;
use crate::session::{Identified, Session};

/// Decides a request that somebody else routes.
pub fn check(request: &Request<'_>, snapshot: &Snapshot, session: &Session) -> Check {
    let recorder = &mut Recorder::nobody();
    let (mut way, door) = Way::of(request, snapshot, recorder);
    let end = before_policies(door, request).and_then(|()| {
        let entrance = Entrance::of(request, snapshot, Routing::Elsewhere);
        let passed = through_policies(&entrance, snapshot, session, &mut way, recorder)?;
        passed.check(way.choice.chosen, recorder)
    });
    let (outcome, reason) = end.unwrap_or_else(|end| (Checked::Stop(end.outcome), end.reason));
    Check {
        outcome,
        route: way.info().cloned(),
        reason,
    }
}

/// What a proxy is told, and why.
#[derive(Debug)]
pub struct Check {
    /// What it is told.
    pub outcome: Checked,
    /// The route of the manifests, if there is one.
    pub route: Option<Arc<RouteInfo>>,
    /// The rule that determined the outcome.
    pub reason: Reason,
}

/// What a proxy is told.
#[derive(Debug)]
pub enum Checked {
    /// The request may go where the proxy's own route leads.
    Pass(Pass),
    /// It may not, and this is what its sender gets. Never [`Outcome::Forward`].
    Stop(Outcome),
}

/// The right to pass: only [`check`] makes one.
#[derive(Debug)]
pub struct Pass {
    identity: SmallVec<[(HeaderName, HeaderValue); USUAL]>,
    remove: Vec<HeaderName>,
    user: Option<Arc<str>>,
    identified: Option<Identified>,
    destination: Option<Arc<Destination>>,
}

impl Pass {
    fn of(permit: Permit) -> Self {
        Self {
            identity: permit.identity,
            remove: permit.remove,
            user: permit.user,
            identified: permit.identified,
            destination: Some(permit.destination),
        }
    }

    /// Headers that say who the user is: they replace any of the same name.
    pub fn identity(&self) -> &[(HeaderName, HeaderValue)] {
        &self.identity
    }

    /// Headers that held a consumed token.
    pub fn remove(&self) -> &[HeaderName] {
        &self.remove
    }

    /// Who it is for, for the log: e-mail, else subject.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Whom it is for; `None` where nobody had to tell who they are.
    pub fn identified(&self) -> Option<&Identified> {
        self.identified.as_ref()
    }

    /// Where the route of the manifests leads, if there is one.
    pub fn destination(&self) -> Option<&Arc<Destination>> {
        self.destination.as_ref()
    }
}

impl<'s> Passed<'_, 's> {
    fn check(
        self,
        chosen: Option<Chosen<'s>>,
        recorder: &mut Recorder<'_>,
    ) -> Result<(Checked, Reason), Box<End>> {
        let Some(Chosen { route, matched }) = chosen else {
            return Ok(self.pass());
        };
        let forward = match &route.action {
            RouteAction::Closed(closure) => return Err(closed_door(closure)),
            RouteAction::Redirect(_) | RouteAction::Respond(_) => return Ok(self.pass()),
            RouteAction::Forward(forward) => forward,
        };
        let perform = |passed: Self, number: usize, recorder: &mut Recorder<'_>| {
            let forwarding = Forwarding {
                route,
                forward,
                matched,
                only: Some(number),
                cors: None,
            };
            forwarding.perform(passed, recorder)
        };
        // Which of several destinations it will be is not known here: each has to let it in.
        let weights = forward.destinations.iter().map(|one| one.weight);
        let drawn = weights.enumerate().filter(|(_, weight)| *weight > 0);
        let mut drawn: Vec<usize> = drawn.map(|(number, _)| number).collect();
        let last = drawn.pop().unwrap_or(0);
        for number in drawn {
            perform(self.clone(), number, recorder)?;
        }
        let (outcome, reason) = perform(self, last, recorder)?;
        let checked = match outcome {
            Outcome::Forward(permit) => Checked::Pass(Pass::of(permit)),
            // The proxy's own route may lead to the real ones.
            Outcome::Serve(Serve {
                what: Served::Kfam | Served::Whoami,
                permit: Some(permit),
                ..
            }) => Checked::Pass(Pass::of(permit)),
            stop => Checked::Stop(stop),
        };
        Ok((checked, reason))
    }

    /// No destination is known.
    fn pass(self) -> (Checked, Reason) {
        let Entered {
            changes,
            known,
            token,
            ..
        } = self.entered;
        let (user, identified) = known.map(|known| (known.label, known.identified)).unzip();
        let bearer = |one: Accepted<'_>| Identified::Bearer(Arc::clone(one.token));
        let pass = Pass {
            identity: changes.set,
            remove: changes.removed,
            user: user.or_else(|| token.map(|one| super::perform::label(one.token))),
            identified: identified.or_else(|| token.map(bearer)),
            destination: None,
        };
        (Checked::Pass(pass), self.reason)
    }
}

#[cfg(test)]
mod tests;
