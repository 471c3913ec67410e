//! The successor's side.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use gateway::{Listening, Purpose};
use tokio::net::UnixStream;

use super::wire::Wire;
use super::{ANSWER, HandOverFault, Passed, Role, Said, VERSION, path};

/// What the running process passed.
pub(crate) struct Asked {
    /// The conversation with it.
    pub(crate) predecessor: Predecessor,
    /// Of `Gateway` ports.
    pub(crate) sockets: Vec<Listening>,
    /// Of the administration listener.
    pub(crate) admin: Option<TcpListener>,
    /// Of the state directory.
    pub(crate) lock: File,
}

/// Asks the process that holds `state` for its sockets; `None` when nobody answers there.
pub(crate) async fn ask(state: &Path) -> Result<Option<Asked>, HandOverFault> {
    let stream = match UnixStream::connect(path(state)).await {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let mut wire = Wire::new(stream);
    let user = wire.user()?;
    if user != rustix::process::geteuid().as_raw() {
        return Err(HandOverFault::Stranger(user));
    }
    let passed = tokio::time::timeout(ANSWER, passed(&mut wire)).await;
    let passed = passed.map_err(|_| HandOverFault::Silent)??;

    let mut sockets = Vec::new();
    let mut admin = None;
    let mut lock = None;
    for Passed { role, descriptor } in passed {
        let mut listening = |purpose, descriptor| {
            let socket = Arc::new(TcpListener::from(descriptor));
            sockets.push(Listening { purpose, socket });
        };
        match role {
            Role::Gateway(port) => listening(Purpose::Gateway(port), descriptor),
            Role::AuthorizerHttp => listening(Purpose::AuthorizerHttp, descriptor),
            Role::AuthorizerGrpc => listening(Purpose::AuthorizerGrpc, descriptor),
            Role::Admin => admin = Some(TcpListener::from(descriptor)),
            Role::Lock => lock = Some(File::from(descriptor)),
        }
    }
    Ok(Some(Asked {
        predecessor: Predecessor { wire },
        sockets,
        admin,
        lock: lock.ok_or(HandOverFault::Incomplete)?,
    }))
}

async fn passed(wire: &mut Wire) -> Result<Vec<Passed>, HandOverFault> {
    let ask = Said::TakeOver {
        version: VERSION,
        pid: std::process::id(),
    };
    // Whoever refuses may have closed its end already; what it said is still there to be heard.
    let asked = wire.say(&ask, &[]).await;
    let mut roles = Vec::new();
    loop {
        match wire.hear().await? {
            Some(Said::Passing { what }) => roles.extend(what),
            Some(Said::Passed) => break,
            Some(Said::Refused { why }) => return Err(HandOverFault::Refused(why)),
            Some(_) => return Err(HandOverFault::OutOfTurn),
            None => {
                asked?;
                return Err(HandOverFault::Ended);
            }
        }
    }
    if roles.len() != wire.descriptors.len() {
        return Err(HandOverFault::Incomplete);
    }
    let roles = roles.into_iter();
    Ok(roles
        .zip(wire.descriptors.drain(..))
        .map(|(role, descriptor)| Passed { role, descriptor })
        .collect())
}

/// The process to take over from. Dropped before [`Self::serving`], it goes on alone.
pub(crate) struct Predecessor {
    wire: Wire,
}

impl Predecessor {
    /// Says that this process accepts, and waits until the other has stopped to. An error means that
    /// the other goes on, and this one must not; as long as it has requests, it keeps this.
    pub(crate) async fn serving(&mut self) -> Result<(), HandOverFault> {
        // No time limit: the other has promised to answer, and while it has not it may still decide.
        // It may also have decided already, and be gone; that is heard below.
        let _ = self.wire.say(&Said::Serving, &[]).await;
        match self.wire.hear().await? {
            Some(Said::Yielded) => {}
            Some(Said::Refused { why }) => return Err(HandOverFault::Refused(why)),
            Some(_) => return Err(HandOverFault::OutOfTurn),
            None => tracing::warn!("the other doorward ended before it was told to"),
        }
        Ok(())
    }

    /// Waits until the other process, which finishes its requests, has ended.
    pub(crate) async fn ended(mut self) {
        self.wire.ended().await;
    }
}
