//! Manifests to one immutable, validated [`Snapshot`].
//!
//! **Does.** Reads Kubernetes objects ([`objects`]), links them ([`compile()`]) and answers
//! questions about the result ([`Snapshot`]). Everything that is wrong comes back as a
//! [`Finding`]: place, field, fault and remedy. A part that cannot be read becomes a finding plus a
//! closed door for whatever it selects; the rest serves.
//!
//! **Must not know.** Requests, sessions, sockets, the API server, files on disk, what time it is.
//!
//! **Flow.** text → `Object`s with provenance → one typed shape per kind
//! (`manifest/`, private) → [`compile()`] → ([`Snapshot`], [`Vec<Finding>`]).

pub mod auth_service {
    //! AuthService as a program that this process stands in for.

    pub use crate::manifest::auth_service::{Becomes, Standing, stand_in, variables};
}
pub mod compile;
pub mod dex {
    //! Dex as a program that this process stands in for.

    pub use crate::manifest::dex::alone::{Flags, RemoteIp, Standing, Start, WebTls, stand_in};
    pub use crate::manifest::dex::table::{Becomes, keys};
}
pub mod finding;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod manifest;
pub mod names;
pub mod oauth2_proxy {
    //! OAuth2 Proxy as a program that this process stands in for.

    pub use crate::manifest::oauth2_proxy::alone::{
        CommandLine, IssuerTrust, Listens, Standing, Surroundings, Tls, options,
    };
    pub use crate::manifest::oauth2_proxy::options::Alone;
}
pub mod objects;
pub mod seams;
pub mod session_place {
    //! Where a program that this process stands in for keeps its sessions.

    pub use crate::manifest::session_place::{RedisPlace, RedisServers, SessionPlace};
}
pub mod snapshot;
pub mod status;
mod world;

pub use compile::{Compiled, Role, compile, compile_as};
pub use finding::{Finding, Severity};
pub use snapshot::Snapshot;
