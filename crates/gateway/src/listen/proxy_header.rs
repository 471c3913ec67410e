//! PROXY protocol, versions 1 and 2: who a load balancer in front says the client is.
//!
//! It is believed from anybody who connects, so it is off unless the operator or the mesh says that
//! a load balancer stands in front; then a connection without it is closed.

use std::net::SocketAddr;

use ppp::HeaderResult;
use tokio::io::{AsyncRead, AsyncReadExt};

/// `PROXY `, the longest addresses and ports, and the end of the line.
const MOST_V1: usize = 107;
/// Addresses and the extensions of load balancers; paths of local sockets do not come over TCP.
const MOST_V2: usize = 16 + 1024;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Whom the header names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// The client, and the address that it connected to.
    Client { peer: SocketAddr, local: SocketAddr },
    /// The load balancer speaks for itself: a health check.
    Itself,
}

/// The bytes are no header, too many, or the connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoHeader;

/// Reads a header, and not one byte more.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Named, NoHeader> {
    let mut bytes = vec![0; SIGNATURE.len()];
    fill(stream, &mut bytes).await?;
    if bytes == SIGNATURE {
        let mut rest = [0; 4];
        fill(stream, &mut rest).await?;
        bytes.extend_from_slice(&rest);
        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        let start = bytes.len();
        if start + length > MOST_V2 {
            return Err(NoHeader);
        }
        bytes.resize(start + length, 0);
        fill(stream, &mut bytes[start..]).await?;
    } else if bytes.starts_with(b"PROXY ") {
        // Nothing says how long it is, and what follows belongs to somebody else.
        while !bytes.ends_with(b"\r\n") {
            if bytes.len() >= MOST_V1 {
                return Err(NoHeader);
            }
            let mut byte = [0];
            fill(stream, &mut byte).await?;
            bytes.extend_from_slice(&byte);
        }
    } else {
        return Err(NoHeader);
    }
    parse(&bytes)
}

async fn fill(stream: &mut (impl AsyncRead + Unpin), bytes: &mut [u8]) -> Result<(), NoHeader> {
    stream.read_exact(bytes).await.map_err(|_| NoHeader)?;
    Ok(())
}

fn parse(bytes: &[u8]) -> Result<Named, NoHeader> {
    let client = |peer: SocketAddr, local: SocketAddr| Ok(Named::Client { peer, local });
    match HeaderResult::parse(bytes) {
        HeaderResult::V1(Ok(header)) => match header.addresses {
            ppp::v1::Addresses::Tcp4(it) => client(
                (it.source_address, it.source_port).into(),
                (it.destination_address, it.destination_port).into(),
            ),
            ppp::v1::Addresses::Tcp6(it) => client(
                (it.source_address, it.source_port).into(),
                (it.destination_address, it.destination_port).into(),
            ),
            ppp::v1::Addresses::Unknown => Ok(Named::Itself),
        },
        HeaderResult::V2(Ok(header)) => match (header.command, header.addresses) {
            (ppp::v2::Command::Local, _) => Ok(Named::Itself),
            (ppp::v2::Command::Proxy, ppp::v2::Addresses::IPv4(it)) => client(
                (it.source_address, it.source_port).into(),
                (it.destination_address, it.destination_port).into(),
            ),
            (ppp::v2::Command::Proxy, ppp::v2::Addresses::IPv6(it)) => client(
                (it.source_address, it.source_port).into(),
                (it.destination_address, it.destination_port).into(),
            ),
            (ppp::v2::Command::Proxy, _) => Ok(Named::Itself),
        },
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Err(NoHeader),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(bytes: &[u8]) -> (Result<Named, NoHeader>, usize) {
        let mut rest = bytes;
        let named = read(&mut rest).await;
        (named, rest.len())
    }

    fn named(peer: &str, local: &str) -> Result<Named, NoHeader> {
        Ok(Named::Client {
            peer: peer.parse().unwrap(),
            local: local.parse().unwrap(),
        })
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(body);
        bytes
    }

    #[tokio::test]
    async fn both_versions_name_the_client_and_leave_the_rest_alone() {
        let text = b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\nGET /";
        let client = named("192.0.2.7:4711", "10.0.0.1:443");
        assert_eq!(ask(text).await, (client, 5));
        let text = b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\nx";
        assert_eq!(
            ask(text).await,
            (named("[2001:db8::7]:4711", "[::1]:443"), 1)
        );
        let mut bytes = v2(1, 0x11, &[192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x67, 1, 0xbb]);
        bytes.extend(b"rest");
        assert_eq!(ask(&bytes).await, (client, 4));
        // With an extension of a load balancer behind the addresses.
        let body = [
            192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x67, 1, 0xbb, 0xea, 0, 1, 9,
        ];
        assert_eq!(ask(&v2(1, 0x11, &body)).await, (client, 0));
    }

    #[tokio::test]
    async fn a_health_check_is_the_load_balancer_itself() {
        assert_eq!(ask(b"PROXY UNKNOWN\r\nx").await, (Ok(Named::Itself), 1));
        assert_eq!(ask(&v2(0, 0, &[])).await, (Ok(Named::Itself), 0));
    }

    #[tokio::test]
    async fn what_is_no_header_is_not_believed() {
        let endless = [&b"PROXY TCP4 "[..], &[b'1'; 200]].concat();
        let long = v2(1, 0x11, &[0; 1025]);
        let short = v2(1, 0x11, &[1, 2, 3, 4]);
        for bytes in [
            &b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..],
            b"PROXY TCP4 1.2.3.4\r\n",
            b"PROXY TCP4 999.0.2.7 10.0.0.1 1 2\r\n",
            b"PRO",
            &endless,
            &long,
            &short,
        ] {
            assert_eq!(ask(bytes).await.0, Err(NoHeader), "{bytes:?}");
        }
    }
}
