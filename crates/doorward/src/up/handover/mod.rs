//! One process takes over from another: the same sockets, the same state directory, no request lost.
//!
//! The running process listens on a Unix socket in the state directory. Its successor starts beside
//! it, makes everything ready, and then:
//!
//! 1. asks for the sockets. The running process passes them (`SCM_RIGHTS`), with the lock of the
//!    state directory: a lock of `flock(2)` belongs to the open file, so both hold it, and it is
//!    free only when both have ended;
//! 2. accepts on them, and says that it serves. Until then nothing has changed: should it fail, or
//!    take too long, the running process goes on as if nobody had asked;
//! 3. is told that the other stops accepting. What waits in the queues of the sockets is accepted by
//!    the successor, because a queue lives as long as one process has the socket.
//!
//! From 1 until the conversation ends, with the old process or with a successor that was refused,
//! each asks the store whether a session still lives: the other may have ended it. A process that is
//! told to stop in the middle keeps the conversation until it ends.

mod asking;
mod giving;
mod wire;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use gateway::Purpose;
use serde::{Deserialize, Serialize};

pub(crate) use asking::{Asked, Predecessor, ask};
pub(crate) use giving::{Giver, Held, Successor};

/// What both must speak. A release that changes the conversation counts it up.
const VERSION: u32 = 1;

/// Whoever does not answer in this time is stuck.
const ANSWER: Duration = Duration::from_secs(10);

/// From being passed the sockets to accepting on them: threads start, nothing is waited for.
const START: Duration = Duration::from_secs(30);

fn path(state: &Path) -> PathBuf {
    state.join("hand-over.sock")
}

/// What a passed file descriptor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Role {
    /// A listening socket of a `Gateway` port.
    Gateway(u16),
    /// The listening socket that other proxies ask over HTTP.
    AuthorizerHttp,
    /// The same over gRPC.
    AuthorizerGrpc,
    /// The administration listener.
    Admin,
    /// The lock of the state directory.
    Lock,
}

impl From<Purpose> for Role {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Gateway(port) => Self::Gateway(port),
            Purpose::AuthorizerHttp => Self::AuthorizerHttp,
            Purpose::AuthorizerGrpc => Self::AuthorizerGrpc,
        }
    }
}

/// A passed file descriptor.
pub(crate) struct Passed {
    pub(crate) role: Role,
    pub(crate) descriptor: OwnedFd,
}

/// One line of the conversation, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "say")]
enum Said {
    /// Successor: pass me everything.
    TakeOver { version: u32, pid: u32 },
    /// Running process: these come with this line, in this order.
    Passing { what: Vec<Role> },
    /// Running process: that was all.
    Passed,
    /// Successor: I accept.
    Serving,
    /// Running process: I do not accept any more.
    Yielded,
    /// Running process: no.
    Refused { why: String },
}

/// Why a process could not take over. The running one goes on.
#[derive(Debug)]
pub(crate) enum HandOverFault {
    /// The conversation broke.
    Broken(io::Error),
    /// The running process belongs to somebody else.
    Stranger(u32),
    /// It said no.
    Refused(String),
    /// It ended in the middle.
    Ended,
    /// It said what nobody expected.
    OutOfTurn,
    /// It did not answer.
    Silent,
    /// Other descriptors came than were announced.
    Incomplete,
}

impl fmt::Display for HandOverFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the running doorward cannot be taken over: ")?;
        match self {
            Self::Broken(error) => error.fmt(f)?,
            Self::Stranger(user) => write!(f, "it runs as another user ({user})")?,
            Self::Refused(why) => f.write_str(why)?,
            Self::Ended => f.write_str("it ended, or somebody else has just taken over")?,
            Self::OutOfTurn => f.write_str("it said something unexpected")?,
            Self::Silent => f.write_str("it does not answer")?,
            Self::Incomplete => f.write_str("not all of its sockets arrived")?,
        }
        f.write_str("\nhelp: it goes on if it was running; try again, or stop it and start without `--take-over`")
    }
}

impl From<io::Error> for HandOverFault {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

#[cfg(test)]
mod tests;
