//! The same requests to doorward and to a real Envoy that is configured for the same policies and
//! token rules ([`testkit::envoy`]): who is let in has to be the same.

mod both;
mod forge;
mod generate;
mod peer;
mod policies;
mod tokens;
mod wire;
