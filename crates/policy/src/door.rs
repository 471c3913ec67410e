//! Which of a port's chains a request belongs to.

use std::sync::Arc;

use model::snapshot::{Closure, Listener, ListenerProtocol, Serves, VirtualHosts};

/// What stands behind a port for one request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Door<'s> {
    /// These hosts.
    Open(&'s VirtualHosts),
    /// The host belongs to another chain than the one the connection was made for.
    Misdirected,
    /// The chain serves nobody: a manifest is broken.
    Closed(&'s Arc<Closure>),
    /// No chain has the host.
    Absent,
}

/// The door for `host` on a connection whose handshake named `sni`.
///
/// The chain of the host has to be the one that the handshake chose: an HTTP/2 connection that a
/// browser reuses for a second host, because one certificate covers both, must not carry over who
/// was let in by the first. A client that named nobody, or somebody unknown, chose none, and the
/// host alone decides.
pub(crate) fn find<'s>(listener: &'s Listener, sni: Option<&str>, host: &str) -> Door<'s> {
    let meant = listener.chain(host);
    let met = match listener.protocol {
        ListenerProtocol::Tls => sni.and_then(|name| listener.chain(&lower(name))),
        ListenerProtocol::Http | ListenerProtocol::Tcp => None,
    };
    let chain = match (meant, met) {
        (Some(meant), Some(met)) if !std::ptr::eq(meant, met) => return Door::Misdirected,
        (Some(chain), _) | (None, Some(chain)) => chain,
        (None, None) => return Door::Absent,
    };
    match &chain.serves {
        Serves::Http(hosts) => Door::Open(hosts),
        Serves::Nothing(closure) => Door::Closed(closure),
        Serves::Stream(_) => Door::Misdirected,
    }
}

/// A server name in the form that hosts have.
fn lower(name: &str) -> std::borrow::Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        name.to_ascii_lowercase().into()
    } else {
        name.into()
    }
}
