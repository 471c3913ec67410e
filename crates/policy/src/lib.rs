//! Who may do what: one pure decision that carries its reasons.
//!
//! **Does.** [`decide()`] takes a [`Request`] in normal form, a [`model::Snapshot`] and a
//! [`Session`], and returns a [`Decision`]: one [`Outcome`] with the route and the rule that
//! determined it. The gateway and `explain` call this same function; [`check()`] is the same decision
//! for a proxy that asks and has routes of its own.
//!
//! **Must not know.** HTTP servers, tokens, cookies, Envoy, Kubernetes; time only as a field of the
//! request.
//!
//! **Flow.** route → CUSTOM → token → AUDIT, DENY, ALLOW at the gateway → the same for the
//! destination's own policies with the gateway as source → [`Permit`].

mod authorization;
pub mod bindings;
mod clients;
mod decide;
pub mod decision;
mod door;
mod exemptions;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod membership;
mod recorder;
pub mod request;
mod route;
pub mod session;
mod stream;
mod tested;
mod token_place;

pub use clients::check_clients;
pub use decide::login::admission::admits;
pub use decide::{Check, Checked, Pass, check, decide, decide_recording};
pub use decision::{Decision, Outcome, Permit, Reason, Record, Refusal};
pub use exemptions::check_exemptions;
pub use request::{Request, RequestHead, Unreadable};
pub use session::{Bearer, Identified, NoSession, Person, Proof, Session, Token, TokenFault};
pub use stream::{
    ConnectionHead, StreamDecision, StreamPermit, StreamRefusal, decide_connection,
    decide_connection_recording,
};
pub use tested::tested_headers;
pub use token_place::texts_at;
