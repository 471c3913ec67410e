//! What a service manager does for the process: it opens sockets before the start (socket
//! activation), and is told when the process serves (`sd_notify`).

use std::env;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram};
use std::sync::Arc;

use gateway::{Listening, Purpose};
use socket2::SockRef;

use crate::config::Settings;

/// Sockets that the service manager opened, each for what it is.
#[derive(Default)]
pub(crate) struct Activated {
    /// Of `Gateway` ports.
    pub(crate) sockets: Vec<Listening>,
    /// Of the administration listener.
    pub(crate) admin: Option<TcpListener>,
}

/// A socket of the service manager that nothing can be done with.
#[derive(Debug)]
pub(crate) enum ActivationFault {
    /// It is no TCP socket that listens.
    NotListening(String),
    /// Neither its name nor its address tell what it is for.
    Aimless(String, SocketAddr),
    /// There is another for the same, at another address.
    Twice(String, SocketAddr),
    /// The operating system's.
    System(io::Error),
}

impl fmt::Display for ActivationFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotListening(name) => write!(
                f,
                "the socket `{name}` that the service manager passed is no TCP socket that listens\nhelp: open it with `ListenStream=`, `Accept=no`"
            ),
            Self::Aimless(name, address) => write!(
                f,
                "the socket `{name}` at `{address}` that the service manager passed is at no address of the settings\nhelp: name it `https`, `http`, `admin`, `authorizer-http`, `authorizer-grpc` or by its `Gateway` port with `FileDescriptorName=`"
            ),
            Self::Twice(name, address) => write!(
                f,
                "the service manager passed a second address for `{name}`: `{address}`\nhelp: one `ListenStream=` for each; `[::]:443` takes IPv4 too"
            ),
            Self::System(error) => write!(f, "sockets of the service manager: {error}"),
        }
    }
}

impl Activated {
    /// Takes what the service manager opened, and makes the settings say where that is.
    pub(crate) fn take(settings: &mut Settings) -> Result<Self, ActivationFault> {
        let mut passed = listenfd::ListenFd::from_env();
        let names = names();
        let mut sockets = Vec::new();
        for index in 0..passed.len() {
            let name = names.get(index).cloned().unwrap_or_default();
            match passed.take_tcp_listener(index) {
                Ok(Some(socket)) => sockets.push((name, socket)),
                Ok(None) | Err(_) => return Err(ActivationFault::NotListening(name)),
            }
        }
        Self::sort(sockets, settings)
    }

    fn sort(
        sockets: Vec<(String, TcpListener)>,
        settings: &mut Settings,
    ) -> Result<Self, ActivationFault> {
        let mut activated = Self::default();
        for (name, socket) in sockets {
            if !SockRef::from(&socket).is_listener().unwrap_or(false) {
                return Err(ActivationFault::NotListening(name));
            }
            socket
                .set_nonblocking(true)
                .map_err(ActivationFault::System)?;
            let at = socket.local_addr().map_err(ActivationFault::System)?;
            let purpose = match aim(&name, at, settings) {
                Some(Aim::Admin) => {
                    if activated.admin.is_some() {
                        return Err(ActivationFault::Twice(name, at));
                    }
                    settings.admin = at;
                    activated.admin = Some(socket);
                    continue;
                }
                Some(Aim::Serving(purpose)) => purpose,
                None => return Err(ActivationFault::Aimless(name, at)),
            };
            let is_other = |one: &Listening| {
                one.purpose == purpose && one.socket.local_addr().ok() != Some(at)
            };
            if activated.sockets.iter().any(is_other) {
                return Err(ActivationFault::Twice(name, at));
            }
            match purpose {
                Purpose::Gateway(443) => settings.https = at,
                Purpose::Gateway(80) => settings.http = at,
                Purpose::Gateway(port) => {
                    settings.listen.entry(port).or_default().address = Some(at);
                }
                Purpose::AuthorizerHttp => settings.authorizer.http = Some(at),
                Purpose::AuthorizerGrpc => settings.authorizer.grpc = Some(at),
            }
            activated.sockets.push(Listening {
                purpose,
                socket: Arc::new(socket),
            });
        }
        Ok(activated)
    }
}

/// What a socket is for.
enum Aim {
    Serving(Purpose),
    Admin,
}

/// Its name says it, or else its address.
fn aim(name: &str, at: SocketAddr, settings: &Settings) -> Option<Aim> {
    let gateway = |port| Aim::Serving(Purpose::Gateway(port));
    match name {
        "https" => return Some(gateway(443)),
        "http" => return Some(gateway(80)),
        "authorizer-http" => return Some(Aim::Serving(Purpose::AuthorizerHttp)),
        "authorizer-grpc" => return Some(Aim::Serving(Purpose::AuthorizerGrpc)),
        "admin" => return Some(Aim::Admin),
        name => {
            if let Ok(port) = name.parse() {
                return Some(gateway(port));
            }
        }
    }
    let further = settings.listen.iter();
    let asked = [
        (settings.authorizer.http, Purpose::AuthorizerHttp),
        (settings.authorizer.grpc, Purpose::AuthorizerGrpc),
    ];
    let asked = asked.into_iter();
    let asked = asked.filter_map(|(at, purpose)| Some((at?, Aim::Serving(purpose))));
    [
        (settings.https, gateway(443)),
        (settings.http, gateway(80)),
        (settings.admin, Aim::Admin),
    ]
    .into_iter()
    .chain(further.filter_map(|(port, at)| Some((at.address?, gateway(*port)))))
    .chain(asked)
    .find_map(|(address, aim)| (address == at).then_some(aim))
}

#[expect(
    clippy::disallowed_methods,
    reason = "how a service manager names the sockets that it passes"
)]
fn names() -> Vec<String> {
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    names.split(':').map(str::to_owned).collect()
}

/// The process serves; the service manager is told if there is one. It is also told which process
/// it is: one that has taken over is another.
pub(crate) fn serves() {
    notify(&format!("READY=1\nMAINPID={}", std::process::id()));
}

/// The process stops.
pub(crate) fn stops() {
    notify("STOPPING=1");
}

#[expect(
    clippy::disallowed_methods,
    reason = "where a service manager wants to be told"
)]
fn notify(words: &str) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let name = socket.as_bytes();
    let told = match name.strip_prefix(b"@") {
        Some(name) => UnixAddress::from_abstract_name(name),
        None => UnixAddress::from_pathname(&socket),
    }
    .and_then(|address| UnixDatagram::unbound()?.send_to_addr(words.as_bytes(), &address));
    if let Err(error) = told {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;

    fn settings(directory: &std::path::Path) -> Settings {
        Settings::gather(Flags {
            state: Some(directory.to_owned()),
            ..Flags::default()
        })
        .unwrap()
    }

    fn socket() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").unwrap()
    }

    #[test]
    fn a_socket_is_known_by_its_name_or_else_by_its_address() {
        let root = tempfile::tempdir().unwrap();
        let mut settings = settings(root.path());
        let [https, further, admin, http] = [socket(), socket(), socket(), socket()];
        let authorizer = socket();
        let at = |socket: &TcpListener| socket.local_addr().unwrap();
        let authorizer_at = at(&authorizer);
        let [https_at, further_at, admin_at, http_at] = [&https, &further, &admin, &http].map(at);
        settings.http = http_at;
        let sockets = vec![
            ("https".to_owned(), https),
            ("9000".to_owned(), further),
            ("admin".to_owned(), admin),
            ("doorward.socket".to_owned(), http),
            ("authorizer-http".to_owned(), authorizer),
        ];
        let activated = Activated::sort(sockets, &mut settings).unwrap();
        let purposes: Vec<_> = activated.sockets.iter().map(|one| one.purpose).collect();
        let [https, further, http] = [443, 9000, 80].map(Purpose::Gateway);
        assert_eq!(purposes, [https, further, http, Purpose::AuthorizerHttp]);
        assert_eq!(settings.authorizer.http, Some(authorizer_at));
        assert_eq!(activated.admin.map(|it| at(&it)), Some(admin_at));
        assert_eq!(
            (settings.https, settings.http, settings.admin),
            (https_at, http_at, admin_at)
        );
        assert_eq!(settings.listen[&9000].address, Some(further_at));
    }

    #[test]
    fn a_socket_that_is_for_nothing_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let mut settings = settings(root.path());
        let one = |name: &str, socket| vec![(name.to_owned(), socket)];
        let fault = Activated::sort(one("doorward.socket", socket()), &mut settings).err();
        assert!(
            matches!(fault, Some(ActivationFault::Aimless(..))),
            "{fault:?}"
        );
        let connected = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let fault = Activated::sort(one("https", connected.unwrap().into()), &mut settings).err();
        assert!(
            matches!(fault, Some(ActivationFault::NotListening(_))),
            "{fault:?}"
        );
        let two = vec![
            ("https".to_owned(), socket()),
            ("https".to_owned(), socket()),
        ];
        let fault = Activated::sort(two, &mut settings).err();
        assert!(
            matches!(fault, Some(ActivationFault::Twice(..))),
            "{fault:?}"
        );
    }
}
