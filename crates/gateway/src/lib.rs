//! Data plane: sockets in, one decision per request, one performer, one log line.
//!
//! **Does.** [`Gateway::start`] opens the HTTPS and HTTP sockets on one single-threaded runtime per
//! core. Each request becomes facts, [`policy::decide()`] says what happens, and exactly one room
//! performs it: `proxy` with the permit, a [`Local`] service, or `answer`.
//!
//! **Must not know.** Manifests, Kubernetes, the OpenID provider, issuers. Local services are opaque
//! HTTP services that the binary hands in.
//!
//! **Flow.** `listen` → `tls` → `facts` → `admit` (session, decide) → `proxy` | [`Local`] |
//! `answer` → `record`. Another proxy asks instead: `listen` → `authorizer` (facts, session,
//! check) → [`Local`] | `answer` → `record`.

mod admit;
mod answer;
mod assertions;
mod authorizer;
mod body;
mod counted;
mod facts;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod listen;
mod local;
mod maybe_tls;
mod proxy;
mod record;
mod settings;
mod tls;
mod world;

pub use listen::{Gateway, StartFault};
pub use record::{LogSink, Metrics};
pub use settings::{
    AuthorizerSettings, Limits, ListenAt, Listening, Purpose, ResolveRule, ResolveRuleFault,
    Scheme, Settings,
};
pub use world::{Local, World};
