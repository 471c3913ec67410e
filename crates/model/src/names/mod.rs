//! Names, normalised on construction: hosts, namespaces, objects, places, secrets, time.

mod host;
mod place;
mod secret;
mod time;

pub use host::{Host, HostPattern};
pub use place::{ObjectRef, Place};
pub use secret::Secret;
pub use time::{Duration, Timestamp};
