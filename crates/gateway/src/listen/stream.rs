//! Connections whose bytes are passed on: decided once, then copied both ways.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use model::names::Duration;
use policy::ConnectionHead;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use super::worker::Worker;
use crate::record::{Stopwatch, StreamLine};

/// What is known of a connection.
pub(super) struct Facts {
    /// `Gateway` port.
    pub(super) port: u16,
    /// The client.
    pub(super) peer: SocketAddr,
    /// The address that it connected to.
    pub(super) local: SocketAddr,
    /// Server name of the handshake.
    pub(super) server_name: Option<Box<str>>,
    /// SPIFFE id of a verified client certificate.
    pub(super) principal: Option<Box<str>>,
}

/// Passes a connection on, or closes it. `first` was read off it already.
pub(super) async fn pass(
    worker: &Worker,
    facts: Facts,
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    first: &[u8],
) {
    let started = Stopwatch::start();
    let time = worker.now();
    let view = worker.view();
    let head = ConnectionHead {
        port: facts.port,
        peer: facts.peer.ip().to_canonical(),
        local: facts.local.ip().to_canonical(),
        sni: facts.server_name.as_deref(),
        principal: facts.principal.as_deref(),
        draw: worker.identifiers.borrow_mut().draw(),
    };
    let decision = policy::decide_connection(&head, &view.world.snapshot);
    let mut line = StreamLine {
        time,
        port: facts.port,
        server_name: facts.server_name.as_deref(),
        client: head.peer,
        route: decision.route.as_deref(),
        reason: &decision.reason,
        outcome: "forward",
        received: 0,
        sent: 0,
    };
    match &decision.outcome {
        Err(refusal) => line.outcome = refusal.as_str(),
        Ok(permit) => {
            let destination = permit.destination();
            match worker.pool.open_stream(destination, head.draw).await {
                None => {
                    let service = &destination.service;
                    tracing::warn!(%service, "a stream has nobody to go to");
                    line.outcome = "unreachable";
                }
                Some(upstream) => {
                    let idle = worker.limits().stream_idle;
                    let (received, sent, ended) = join(&mut client, upstream, first, idle).await;
                    (line.received, line.sent) = (received, sent);
                    line.outcome = ended.as_str();
                }
            }
        }
    }
    // What is left unsaid is not worth an error.
    let _ = client.shutdown().await;
    worker.recorder.stream(&line, started.elapsed());
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Both sides have said everything.
    Whole,
    /// One side broke off.
    Broken,
    /// Nobody said anything for too long.
    Idle,
}

impl Ended {
    fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "forward",
            Self::Broken => "broke_off",
            Self::Idle => "idle",
        }
    }
}

/// Copies both ways until both sides have ended; one that has ended still hears the other. Returns
/// the bytes that the client sent and got.
async fn join(
    client: impl AsyncRead + AsyncWrite + Unpin,
    mut upstream: TcpStream,
    first: &[u8],
    idle: Duration,
) -> (u64, u64, Ended) {
    let received = Rc::new(Cell::new(first.len() as u64));
    let sent = Rc::new(Cell::new(0));
    let total = || (received.get(), sent.get());
    if upstream.write_all(first).await.is_err() {
        return (total().0, 0, Ended::Broken);
    }
    let mut client = Counted(client, Rc::clone(&received));
    let mut upstream = Counted(upstream, Rc::clone(&sent));
    let mut copied = std::pin::pin!(tokio::io::copy_bidirectional(&mut client, &mut upstream));
    let ended = loop {
        let before = total();
        match tokio::time::timeout(idle, &mut copied).await {
            Ok(Ok(_)) => break Ended::Whole,
            Ok(Err(_)) => break Ended::Broken,
            Err(_) if total() == before => break Ended::Idle,
            Err(_) => {}
        }
    };
    let (received, sent) = total();
    (received, sent, ended)
}

/// Counts what comes.
struct Counted<T>(T, Rc<Cell<u64>>);

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.0).poll_read(cx, buffer))?;
        let came = (buffer.filled().len() - before) as u64;
        self.1.set(self.1.get() + came);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
