//! One request, byte for byte the same for both.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

/// A request as it is sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) method: &'static str,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    /// Last part of the address of the client, which is one of this machine.
    pub(super) from: u8,
    pub(super) tls: Option<Handshake>,
}

/// How a TLS connection begins.
#[derive(Clone, Debug)]
pub(super) struct Handshake {
    /// Server name; none for an address.
    pub(super) name: Option<&'static str>,
    /// Which of the clients' certificates is shown.
    pub(super) certificate: Option<usize>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Where to ask.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) who: &'static str,
    pub(super) plain: SocketAddr,
    pub(super) tls: SocketAddr,
}

/// Sends it on a connection of its own; `configs` has one for no certificate, then one for each.
pub(super) async fn ask(at: At, configs: &[Arc<ClientConfig>], sent: &Sent) -> Answer {
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, ask_in_time(at, configs, sent))
        .await
        .unwrap_or_else(|_| panic!("{} gives no answer in time: {sent:?}", at.who))
}

async fn ask_in_time(at: At, configs: &[Arc<ClientConfig>], sent: &Sent) -> Answer {
    let Some(Handshake { name, certificate }) = &sent.tls else {
        let stream = connect(at.plain, sent.from).await;
        return exchange(stream, sent).await;
    };
    let config = &configs[certificate.map_or(0, |number| number + 1)];
    let name = ServerName::try_from(name.unwrap_or("127.0.0.1")).unwrap();
    let stream = connect(at.tls, sent.from).await;
    let stream = TlsConnector::from(Arc::clone(config))
        .connect(name, stream)
        .await
        .unwrap();
    exchange(stream, sent).await
}

async fn connect(to: SocketAddr, from: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let own = IpAddr::from(Ipv4Addr::new(127, 0, 0, from));
    socket.set_nodelay(true).unwrap();
    socket.bind(SocketAddr::new(own, 0)).unwrap();
    socket.connect(to).await.unwrap()
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, sent: &Sent) -> Answer {
    let Sent {
        method,
        target,
        headers,
        ..
    } = sent;
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let head = format!("{method} {target} HTTP/1.1\r\n{lines}connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut bytes = Vec::new();
    // Whatever is said of a connection that was cut, what was said before it counts.
    let _ = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.get(9..12).and_then(|status| status.parse().ok());
    Answer {
        status: status.unwrap_or(0),
        body: body.to_owned(),
    }
}
