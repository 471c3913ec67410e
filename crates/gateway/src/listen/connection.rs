//! One client connection, from accept to end.

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use http::HeaderValue;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use login::Memo;
use model::names::Duration;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::pulse::{Order, Pulse, Switch};
use super::wire::{Line, Slot, Stream, Wire};
use super::worker::Worker;
use crate::admit;

/// Which socket a connection came in on.
#[derive(Clone)]
pub(super) enum Entrance {
    /// TLS.
    Https(TlsAcceptor),
    /// Plain HTTP.
    Http,
}

/// What every request of one connection shares.
pub(crate) struct Peer {
    /// TCP peer, an IPv4 address in its own form.
    pub(crate) address: IpAddr,
    /// The same as a header value.
    pub(crate) address_text: HeaderValue,
    /// Whether it came over TLS.
    pub(crate) secure: bool,
    /// Server name of the TLS handshake.
    pub(crate) server_name: Option<Box<str>>,
    /// Signs of life.
    pub(crate) pulse: Arc<Pulse>,
    /// The session cookie that it showed last.
    pub(crate) memo: Memo,
}

/// Runs HTTP/2 streams on the worker's own thread.
#[derive(Clone)]
pub(crate) struct OnThisThread;

impl<F: Future + 'static> Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}

/// Serves a connection to its end.
pub(super) async fn serve(
    worker: Rc<Worker>,
    stream: TcpStream,
    peer: SocketAddr,
    entrance: Entrance,
    slot: Slot,
) {
    // Finds peers that vanished while a tunnel or a slow answer waits.
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(60));
    let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);

    let pulse = Arc::new(Pulse::default());
    let line = Line::new(stream, Arc::clone(&pulse));
    let address = peer.ip().to_canonical();
    // An IP address is made of bytes that a header may have.
    let Ok(address_text) = HeaderValue::try_from(address.to_string()) else {
        return;
    };
    let mut peer = Peer {
        address,
        address_text,
        secure: false,
        server_name: None,
        pulse: Arc::clone(&pulse),
        memo: Memo::default(),
    };
    let switch = Switch::new(Arc::clone(&pulse));
    worker.watch(&switch);
    match entrance {
        Entrance::Http => {
            let wire = Wire::new(Stream::Plain(line), pulse, true, slot);
            drive_http1(worker, wire, peer, &switch).await;
        }
        Entrance::Https(acceptor) => {
            let handshake = Box::pin(acceptor.accept(line));
            let limit = worker.limits().handshake;
            let Ok(Ok(stream)) = tokio::time::timeout(limit, handshake).await else {
                worker.recorder.shard.handshake_failed();
                return;
            };
            let tls = stream.get_ref().1;
            let http2 = tls.alpn_protocol() == Some(b"h2");
            peer.secure = true;
            peer.server_name = tls.server_name().map(Into::into);
            let wire = Wire::new(Stream::Tls(Box::new(stream)), pulse, !http2, slot);
            if http2 {
                drive_http2(worker, wire, peer, &switch).await;
            } else {
                drive_http1(worker, wire, peer, &switch).await;
            }
        }
    }
}

async fn drive_http1(worker: Rc<Worker>, wire: Wire, peer: Peer, switch: &Switch) {
    let mut builder = http1::Builder::new();
    builder.max_header_size(worker.limits().head_bytes);
    let peer = Rc::new(peer);
    let service = service_fn(move |request| {
        let (worker, peer) = (Rc::clone(&worker), Rc::clone(&peer));
        async move { Ok::<_, Infallible>(admit::answer(worker, peer, request).await) }
    });
    let connection = builder
        .serve_connection(TokioIo::new(wire), service)
        .with_upgrades();
    drive(connection, switch, |connection| {
        connection.graceful_shutdown()
    })
    .await;
}

async fn drive_http2(worker: Rc<Worker>, wire: Wire, peer: Peer, switch: &Switch) {
    let mut builder = http2::Builder::new(OnThisThread);
    let head_bytes = u32::try_from(worker.limits().head_bytes).unwrap_or(u32::MAX);
    builder
        .enable_connect_protocol()
        .max_header_list_size(head_bytes)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024);
    let peer = Rc::new(peer);
    let service = service_fn(move |request| {
        let (worker, peer) = (Rc::clone(&worker), Rc::clone(&peer));
        async move { Ok::<_, Infallible>(admit::answer(worker, peer, request).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(wire), service);
    drive(connection, switch, |connection| {
        connection.graceful_shutdown()
    })
    .await;
}

/// Polls a connection and obeys the switch.
async fn drive<C: Future>(connection: C, switch: &Switch, drain: impl Fn(Pin<&mut C>)) {
    let mut connection = pin!(connection);
    std::future::poll_fn(|cx| {
        match switch.take(cx) {
            Order::None => {}
            Order::Drain => drain(connection.as_mut()),
            Order::Abort => return Poll::Ready(()),
        }
        connection.as_mut().poll(cx).map(|_| ())
    })
    .await;
}
