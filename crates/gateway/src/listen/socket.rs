//! How a listening socket is opened.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Makes sure that nobody listens on an address. Port 0 picks a free port.
///
/// # Errors
/// The operating system's, among them that somebody else listens there.
pub(super) fn probe(address: SocketAddr) -> io::Result<SocketAddr> {
    // SO_REUSEPORT would let a second process share the port in silence. Bound without it once, an
    // address that is taken is an error.
    open(address, false)?.local_addr()
}

/// One more socket on an address.
pub(super) fn open_shared(address: SocketAddr) -> io::Result<TcpListener> {
    open(address, true)
}

fn open(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}
