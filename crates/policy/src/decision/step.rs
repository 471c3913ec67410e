//! What is told of a decision on its way, for `explain`.

use std::sync::Arc;

use model::snapshot::{PolicyInfo, RouteInfo};

/// Receives each step of a decision, for `explain`.
pub trait Record {
    /// One step: what was looked at and what came of it.
    fn step(&mut self, step: Step);
}

/// One step of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The route that was chosen, or that there is none.
    Route(Option<Arc<RouteInfo>>),
    /// A policy was consulted.
    Policy {
        /// At the gateway, or at the destination.
        stage: Stage,
        /// The policy.
        policy: Arc<PolicyInfo>,
        /// `CUSTOM`, `AUDIT`, `DENY` or `ALLOW`.
        action: &'static str,
        /// Line of the rule that matched, `None` when none did.
        matched: Option<u32>,
        /// Why none did: of every rule each clause that does not hold. Empty when one matched, or
        /// when there is no rule.
        unmet: Vec<Unmet>,
    },
    /// A login proxy was asked.
    Login {
        /// Name of the authorizer.
        authorizer: Arc<str>,
        /// What it said: a stable word.
        said: &'static str,
    },
    /// A token was judged.
    Token {
        /// Where.
        stage: Stage,
        /// `none`, `valid`, or the fault's sentence.
        said: Arc<str>,
    },
}

/// Which of the two enforcement points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The ingress gateway.
    Gateway,
    /// The destination's sidecar.
    Destination,
}

/// A clause of a rule that a request does not meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// Line of the rule.
    pub line: u32,
    /// Where it stands in the policy: `rules[0].from[1].source.principals`,
    /// `rules[0].when[0] request.headers[x-team]`.
    pub clause: Box<str>,
    /// Whether the clause is a `not…` one: what it names is what a request must not have.
    pub excludes: bool,
    /// The values that the clause names, as far as they are no secret.
    pub names: Vec<Box<str>>,
    /// What the request has.
    pub found: Found,
}

/// What a request has where a clause looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Missing,
    /// These values.
    Values(Vec<Box<str>>),
    /// Something that proves who somebody is, so it is not told.
    Secret,
    /// Nobody can say: it is not known here.
    Unknown,
}
