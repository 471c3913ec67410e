//! The first message of a TLS handshake, read before it is known who is to answer it.

use std::io;

use rustls::server::{Accepted, Acceptor};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of a first message, records and all. Post-quantum key shares make it some kilobytes; more
/// is no handshake.
const MOST: usize = 64 * 1024;

/// What a client opened with.
pub(super) struct Hello {
    /// The handshake, ready to be answered.
    pub(super) accepted: Accepted,
    /// Every byte that was read, for those who pass it on untouched.
    pub(super) bytes: Vec<u8>,
    /// Server name, in lower case.
    pub(super) server_name: Option<Box<str>>,
    /// The client is an authority that checks a challenge (RFC 8737) and speaks no HTTP.
    pub(super) is_challenge: bool,
}

/// Why there is none.
pub(super) enum NoHello {
    /// The connection ended.
    Gone,
    /// What came is no handshake; the alert that says so.
    Bad(Vec<u8>),
}

impl From<io::Error> for NoHello {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// Reads until the message is whole, over as many segments and records as it comes in.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Hello, NoHello> {
    let mut acceptor = Acceptor::default();
    let mut bytes = Vec::with_capacity(2048);
    let mut fed = 0;
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(NoHello::Gone);
        }
        while fed < bytes.len() {
            let taken = acceptor.read_tls(&mut &bytes[fed..]);
            match taken {
                Ok(0) | Err(_) => return Err(NoHello::Bad(Vec::new())),
                Ok(taken) => fed += taken,
            }
            match acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => return Ok(Hello::of(accepted, bytes)),
                Err((_, mut alert)) => {
                    let mut farewell = Vec::new();
                    // Into memory, so it cannot fail.
                    let _ = alert.write_all(&mut farewell);
                    return Err(NoHello::Bad(farewell));
                }
            }
        }
        if bytes.len() > MOST {
            return Err(NoHello::Bad(Vec::new()));
        }
        if bytes.len() == bytes.capacity() {
            bytes.reserve(bytes.len());
        }
    }
}

impl Hello {
    fn of(accepted: Accepted, bytes: Vec<u8>) -> Self {
        let hello = accepted.client_hello();
        let server_name = hello.server_name().map(|name| {
            let name = name.strip_suffix('.').unwrap_or(name);
            name.to_ascii_lowercase().into_boxed_str()
        });
        let is_challenge = hello
            .alpn()
            .is_some_and(|protocols| protocols.eq([&b"acme-tls/1"[..]]));
        Self {
            server_name,
            is_challenge,
            accepted,
            bytes,
        }
    }
}

/// A TLS alert that ends a handshake nobody answers (RFC 8446 §6).
pub(super) fn alert(description: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, description]
}

/// The handshake cannot succeed: no certificate, or whom to trust is not known.
pub(super) const HANDSHAKE_FAILURE: u8 = 40;
/// Nobody of that name is here.
pub(super) const UNRECOGNIZED_NAME: u8 = 112;
