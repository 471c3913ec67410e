//! Signing in as a state machine: each step consumes what it needs and says what is wanted next.
//! Nothing in here waits, tells the time or draws randomness.
//!
//! [`begin::Begun`] → the browser goes to the issuer → [`callback::Returned`] → the token request →
//! [`callback::Redeemed`] → the issuer's keys → [`callback::Proven`] → the userinfo endpoint, where it is
//! asked → [`callback::SignedIn`].

pub(crate) mod admission;
pub(crate) mod attempt;
pub(crate) mod begin;
pub(crate) mod callback;
pub(crate) mod identity;
pub(crate) mod logout;
pub(crate) mod renewal;
pub(crate) mod target;
pub(crate) mod token;
pub(crate) mod user_info;
