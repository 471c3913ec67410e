//! Certificates: which are wanted, which are there, and which one answers a handshake.
//!
//! **Does.** Keeps a certificate authority of its own in the state directory ([`Authority`]),
//! takes the key pairs that the manifests bring, issues what is missing, renews it in time, and
//! answers each TLS handshake from one table ([`Held`]). A key pair that cannot serve is a
//! [`model::Finding`], and the own authority stands in: the site stays reachable and browsers warn.
//!
//! **Must not know.** Sockets, requests, people, how manifests are watched.
//!
//! **Flow.** snapshot → names wanted for each host → plan (pure: wanted, held, now → actions) →
//! issue → table, swapped whole → the resolver that the TLS acceptor asks.

mod authority;
mod brought;
mod clients;
mod copies;
mod depth;
mod held;
mod names;
mod plan;
mod table;

pub use authority::{Authority, AuthorityFault};
pub use brought::check;
pub use held::Held;
