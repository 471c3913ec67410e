//! Connections whose bytes are passed on: decided once, then copied both ways.

use std::net::SocketAddr;

use model::names::Duration;
use policy::ConnectionHead;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::worker::Worker;
use crate::counted::{Counted, Counts};
use crate::record::{Stopwatch, StreamEnd, StreamLine};

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
    let head = ConnectionHead {
        port: facts.port,
        peer: facts.peer.ip().to_canonical(),
        local: facts.local.ip().to_canonical(),
        sni: facts.server_name.as_deref(),
        principal: facts.principal.as_deref(),
        draw: worker.identifiers.borrow_mut().draw(),
    };
    // A stream may last for days: the world that it was decided in must not last with it.
    let decision = policy::decide_connection(&head, &worker.view().world.snapshot);
    let mut line = StreamLine {
        time,
        port: facts.port,
        server_name: facts.server_name.as_deref(),
        client: head.peer,
        route: decision.route.as_deref(),
        reason: &decision.reason,
        end: StreamEnd::Whole,
        received: 0,
        sent: 0,
    };
    match &decision.outcome {
        Err(refusal) => line.end = StreamEnd::Refused(refusal.as_str()),
        Ok(permit) => match worker
            .pool
            .open_stream(permit.destination(), head.draw)
            .await
        {
            None => line.end = StreamEnd::Unreachable,
            Some(upstream) => {
                let counts = Counts::default();
                let idle = worker.limits().stream_idle;
                line.end = join(&mut client, upstream, first, idle, &counts).await;
                (line.received, line.sent) = (counts.read.get(), counts.written.get());
            }
        },
    }
    // What is left unsaid is not worth an error.
    let _ = client.shutdown().await;
    worker.recorder.stream(&line, started.elapsed());
}

/// Copies both ways until both sides have ended; one that has ended still hears the other. What the
/// client sent and got is counted in `counts`.
async fn join(
    client: impl AsyncRead + AsyncWrite + Unpin,
    mut upstream: TcpStream,
    first: &[u8],
    idle: Duration,
    counts: &Counts,
) -> StreamEnd {
    counts.read.set(first.len() as u64);
    let mut client = Counted::new(client, counts);
    let mut copied = std::pin::pin!(async {
        upstream.write_all(first).await?;
        tokio::io::copy_bidirectional(&mut client, &mut upstream).await
    });
    loop {
        let before = counts.total();
        match tokio::time::timeout(idle, &mut copied).await {
            Ok(Ok(_)) => return StreamEnd::Whole,
            Ok(Err(_)) => return StreamEnd::Broken,
            Err(_) if counts.total() == before => return StreamEnd::Idle,
            Err(_) => {}
        }
    }
}
