//! Names, normalised on construction: hosts, namespaces, objects, places, secrets, time.

mod host;
mod label;
mod place;
mod secret;
mod time;

pub use host::{Host, HostPattern};
pub use label::is_label;
pub use place::{ObjectRef, Place};
pub use secret::Secret;
pub use time::{Duration, Timestamp};
