//! Listening sockets: one per worker on the same address.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Binds `count` sockets to one address with `SO_REUSEPORT`. Port 0 picks a free port, the same for
/// all of them.
///
/// # Errors
/// The operating system's, among them that somebody else listens there.
pub(super) fn bind(
    address: SocketAddr,
    count: usize,
) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    // SO_REUSEPORT would let a second process share the port in silence. Bound without it once, an
    // address that is taken is an error.
    let probe = open(address, false)?;
    let address = probe.local_addr()?;
    drop(probe);
    let sockets = (0..count)
        .map(|_| open(address, true))
        .collect::<io::Result<Vec<_>>>()?;
    Ok((address, sockets))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_0_gives_every_worker_the_same_port_and_nobody_else_gets_it() {
        let (address, sockets) = bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        assert_ne!(address.port(), 0);
        for socket in &sockets {
            assert_eq!(socket.local_addr().unwrap(), address);
        }
        assert_eq!(
            bind(address, 1).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
    }
}
