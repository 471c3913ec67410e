//! The running process's side.

use std::fs::{self, File, Permissions};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use gateway::Gateway;
use login::Sessions;
use tokio::net::{UnixListener, UnixStream};

use super::wire::{AT_ONCE, Wire};
use super::{ANSWER, Role, START, Said, VERSION, path};

/// What is passed on.
pub(crate) trait Holdings {
    /// The listening sockets that are open now.
    fn sockets(&self) -> io::Result<Vec<(Role, TcpListener)>>;
    /// The lock of the state directory.
    fn lock(&self) -> &File;
    /// Another process may work with the same state from now on.
    fn share(&self);
    /// It does no more.
    fn unshare(&self);
}

/// Waits for successors.
pub(crate) struct Giver {
    listener: UnixListener,
    path: PathBuf,
}

/// A successor that serves. The conversation with it ends when this is dropped, at the very end of
/// the process.
pub(crate) struct Successor {
    _wire: Wire,
}

/// How a conversation ended without a successor.
enum Unsuccessful {
    /// It is refused, for this reason.
    Refused(String),
    /// It went away, or was never one.
    Gone(io::Error),
}

impl From<io::Error> for Unsuccessful {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

impl Giver {
    /// Listens in `state`, which this process holds.
    pub(crate) fn listen(state: &Path) -> io::Result<Self> {
        let path = path(state);
        // Of a process that is gone, or that does not hold the directory any more.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        // The directory keeps others out in the moment before.
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Serves until somebody has taken over; from then on nobody else is listened to. Dropped
    /// before, nothing was promised to anybody.
    pub(crate) async fn succeeded(&self, holdings: &impl Holdings) -> Successor {
        loop {
            let mut talk = pin!(talk(Wire::new(self.accept().await), holdings));
            let ended = loop {
                tokio::select! {
                    ended = &mut talk => break ended,
                    other = self.accept() => {
                        let why = "another process is taking over at this moment";
                        refuse(&Wire::new(other), why.to_owned()).await;
                    }
                }
            };
            match ended {
                Ok(successor) => return successor,
                Err(Unsuccessful::Refused(why)) => {
                    tracing::warn!(why, "a process that wanted to take over was refused");
                }
                Err(Unsuccessful::Gone(error)) => {
                    tracing::warn!(%error, "a process that wanted to take over did not get to serve; this one goes on");
                }
            }
        }
    }

    /// The process stops, and nobody has taken over. Call it while [`Self::succeeded`] waits: a
    /// successor that hears the end of the conversation puts a socket of its own there.
    pub(crate) fn withdraw(&self) {
        // Who finds it there is refused anyway, because nobody listens.
        let _ = fs::remove_file(&self.path);
    }

    async fn accept(&self) -> UnixStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => return stream,
                Err(error) => {
                    tracing::warn!(%error, "a process that wants to take over cannot be heard");
                    // Out of file descriptors: they come back only with time.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// Undoes [`Holdings::share`] when this is dropped.
struct Shared<'a, H: Holdings>(&'a H);

impl<H: Holdings> Drop for Shared<'_, H> {
    fn drop(&mut self) {
        self.0.unshare();
    }
}

async fn talk(mut wire: Wire, holdings: &impl Holdings) -> Result<Successor, Unsuccessful> {
    if let Err(fault) = asked(&mut wire).await {
        tell(&wire, &fault).await;
        return Err(fault);
    }
    holdings.share();
    let shared = Shared(holdings);
    match hand_over(&mut wire, holdings).await {
        Ok(()) => {
            // Until the end of this process.
            std::mem::forget(shared);
            Ok(Successor { _wire: wire })
        }
        Err(fault) => {
            tell(&wire, &fault).await;
            // It may have the sockets, and requests that end sessions, until it has ended.
            wire.ended().await;
            Err(fault)
        }
    }
}

/// Hears whether it is one that can take over.
async fn asked(wire: &mut Wire) -> Result<(), Unsuccessful> {
    let user = wire.user()?;
    if user != rustix::process::geteuid().as_raw() {
        return Err(Unsuccessful::Refused(format!("user {user} is not its own")));
    }
    match within(ANSWER, wire).await? {
        Said::TakeOver { version, pid } if version == VERSION => {
            tracing::info!(pid, "another process takes over");
            Ok(())
        }
        Said::TakeOver { version, .. } => Err(Unsuccessful::Refused(format!(
            "it hands over in version {VERSION}, and {version} was asked for"
        ))),
        _ => Err(Unsuccessful::Refused("nobody asked".to_owned())),
    }
}

/// Passes everything on and waits until the other serves.
async fn hand_over(wire: &mut Wire, holdings: &impl Holdings) -> Result<(), Unsuccessful> {
    let passed = tokio::time::timeout(ANSWER, pass(wire, holdings)).await;
    passed.map_err(|_| Unsuccessful::Gone(io::ErrorKind::TimedOut.into()))??;
    match within(START, wire).await? {
        Said::Serving => {}
        _ => return Err(Unsuccessful::Refused("nobody serves".to_owned())),
    }
    // It keeps its end open as long as it lives: where this cannot be said, nobody serves.
    Ok(wire.say(&Said::Yielded, &[]).await?)
}

async fn tell(wire: &Wire, fault: &Unsuccessful) {
    if let Unsuccessful::Refused(why) = fault {
        refuse(wire, why.clone()).await;
    }
}

async fn pass(wire: &Wire, holdings: &impl Holdings) -> io::Result<()> {
    let sockets = holdings.sockets()?;
    let lock = (Role::Lock, holdings.lock().as_fd());
    let all: Vec<(Role, BorrowedFd<'_>)> = sockets
        .iter()
        .map(|(role, socket)| (*role, socket.as_fd()))
        .chain([lock])
        .collect();
    for some in all.chunks(AT_ONCE) {
        let (what, descriptors): (_, Vec<_>) = some.iter().copied().unzip();
        wire.say(&Said::Passing { what }, &descriptors).await?;
    }
    wire.say(&Said::Passed, &[]).await
}

async fn within(limit: Duration, wire: &mut Wire) -> Result<Said, Unsuccessful> {
    match tokio::time::timeout(limit, wire.hear()).await {
        Ok(Ok(Some(said))) => Ok(said),
        Ok(Ok(None)) => Err(Unsuccessful::Gone(io::ErrorKind::UnexpectedEof.into())),
        Ok(Err(error)) => Err(Unsuccessful::Gone(error)),
        Err(_) => Err(Unsuccessful::Refused(format!(
            "it waited {} seconds in vain",
            limit.as_secs()
        ))),
    }
}

async fn refuse(wire: &Wire, why: String) {
    // Who does not hear it sees the end.
    let _ = wire.say(&Said::Refused { why }, &[]).await;
}

/// What `doorward up` passes on.
pub(crate) struct Held<'a> {
    pub(crate) gateway: &'a Gateway,
    pub(crate) admin: &'a TcpListener,
    pub(crate) lock: &'a File,
    pub(crate) sessions: &'a Sessions,
}

impl Holdings for Held<'_> {
    fn sockets(&self) -> io::Result<Vec<(Role, TcpListener)>> {
        let admin = (Role::Admin, self.admin.try_clone()?);
        self.gateway
            .sockets()?
            .into_iter()
            .map(|one| Ok((Role::from(one.purpose), one.socket.try_clone()?)))
            .chain([Ok(admin)])
            .collect()
    }

    fn lock(&self) -> &File {
        self.lock
    }

    fn share(&self) {
        self.sessions.share();
    }

    fn unshare(&self) {
        self.sessions.unshare();
    }
}
