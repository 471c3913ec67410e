//! What compiled policies and token rules are as configuration of a real Envoy, for tests that ask
//! both.
//!
//! Written from Envoy's own reference (`config.rbac.v3`, `extensions.filters.http.rbac.v3`,
//! `extensions.filters.http.jwt_authn.v3`, `type.matcher.v3`), in the shapes that Istio gives them.

mod rbac;
mod tokens;

pub use rbac::{FILTERS, PortOf, Restraints, restraints};
pub use tokens::authentication;
