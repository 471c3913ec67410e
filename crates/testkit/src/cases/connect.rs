//! Runs the connections of a case on the decision itself.

use model::Snapshot;
use policy::{ConnectionHead, StreamRefusal};

use super::format::{ConnectionCase, ConnectionExpectation, ConnectionOutcome, ConnectionRefusal};
use super::run::{Compare, told};

pub(super) fn run_one(case: &ConnectionCase, snapshot: &Snapshot, compare: &mut Compare<'_>) {
    let head = ConnectionHead {
        port: case.port,
        peer: case.peer,
        local: [127, 0, 0, 1].into(),
        sni: case.sni.as_deref(),
        principal: None,
        draw: 0,
    };
    let decision = policy::decide_connection(&head, snapshot);
    let ConnectionExpectation {
        outcome,
        destination,
        route,
        reason,
        line,
    } = &case.expect;
    let got = match &decision.outcome {
        Ok(_) => ConnectionOutcome::Forward,
        Err(refusal) => ConnectionOutcome::Refuse(match refusal {
            StreamRefusal::NoRoute => ConnectionRefusal::NoRoute,
            StreamRefusal::Denied => ConnectionRefusal::Denied,
            StreamRefusal::Closed(_) => ConnectionRefusal::Closed,
            StreamRefusal::NotAStream => ConnectionRefusal::NotAStream,
        }),
    };
    compare.debug("outcome", outcome, &got);
    let to = decision.outcome.as_ref().ok();
    let to = to.map(|permit| permit.destination().service.to_string());
    compare.given("destination", destination.as_ref(), to.as_ref());
    let taken = decision.route.map(|route| route.object.to_string());
    compare.given("route", route.as_ref(), taken.as_ref());
    let (by, at) = told(&decision.reason);
    compare.given("reason", reason.as_ref(), Some(&by));
    compare.given("line", line.as_ref(), at.as_ref());
}
