//! One client connection, from accept to end.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use login::Memo;
use model::names::Duration;
use model::snapshot::{Chain, ListenerProtocol, ServerTls, Serves};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::StartHandshake;

use super::hello::{self, Hello, NoHello};
use super::proxy_header::{self, Named, NoHeader};
use super::pulse::{Order, Pulse, Switch};
use super::stream;
use super::wire::{Line, Slot, Wire};
use super::worker::Worker;
use crate::body::Body;
use crate::facts::{Shown, View};
use crate::maybe_tls::MaybeTls;
use crate::settings::Purpose;
use crate::{admit, authorizer};

/// What every request of one connection shares.
pub(crate) struct Peer {
    /// Gateway port of the socket.
    pub(crate) port: u16,
    /// Who connects, after PROXY protocol; an IPv4 address in its own form.
    pub(crate) address: IpAddr,
    /// The same as a header value.
    pub(crate) address_text: HeaderValue,
    /// Whether it came over TLS.
    pub(crate) secure: bool,
    /// Server name of the TLS handshake.
    pub(crate) server_name: Option<Box<str>>,
    /// Certificate that the client showed, verified.
    pub(crate) certificate: Option<Box<Shown>>,
    /// The settings of the chain that the handshake chose; none where it chose none.
    pub(crate) tls: Option<Arc<ServerTls>>,
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
    mut stream: TcpStream,
    mut peer: SocketAddr,
    purpose: Purpose,
    slot: Slot,
) {
    // Finds peers that vanished while a tunnel or a slow answer waits.
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(60));
    let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);

    let port = match purpose {
        Purpose::Gateway(port) => port,
        Purpose::AuthorizerHttp | Purpose::AuthorizerGrpc => {
            let is_grpc = purpose == Purpose::AuthorizerGrpc;
            return serve_authorizer(worker, stream, peer, is_grpc, slot).await;
        }
    };
    let view = worker.view();
    let Some(speaks) = view.speaks(port, worker.https_upgrade()) else {
        return;
    };
    let mut local = stream.local_addr().unwrap_or(peer);
    if worker.speaks_proxy(port, &view) {
        let header = proxy_header::read(&mut stream);
        match tokio::time::timeout(worker.limits().handshake, header).await {
            Ok(Ok(Named::Client {
                peer: named,
                local: reached,
            })) => (peer, local) = (named, reached),
            Ok(Ok(Named::Itself)) => {}
            Ok(Err(NoHeader)) | Err(_) => {
                tracing::debug!(%peer, port, "a connection without PROXY protocol was closed");
                worker.recorder.shard.proxy_header_missing();
                return;
            }
        }
    }
    let arrival = Arrival { port, peer, local };
    let pulse = Arc::new(Pulse::default());
    let line = Line::new(stream, Arc::clone(&pulse));
    match speaks {
        ListenerProtocol::Tcp => {
            drop(view);
            let facts = arrival.stream(None, None);
            stream::pass(&worker, facts, line, &[]).await;
            drop(slot);
        }
        ListenerProtocol::Http => {
            drop(view);
            let Some(peer) = arrival.peer(&pulse) else {
                return;
            };
            let switch = Switch::new(Arc::clone(&pulse), false);
            worker.watch(&switch);
            let closer = worker.closer.clone();
            let mut wire = Wire::new(MaybeTls::Plain(line), pulse, true, slot, closer);
            if let Some(is_http2) = begins_http2(&mut wire, &switch).await {
                drive(worker, wire, peer, switch, is_http2);
            }
        }
        ListenerProtocol::Tls => secure(worker, view, arrival, line, pulse, slot).await,
    }
}

/// Serves a proxy that asks. It speaks in the clear, and for many.
async fn serve_authorizer(
    worker: Rc<Worker>,
    stream: TcpStream,
    peer: SocketAddr,
    is_grpc: bool,
    slot: Slot,
) {
    let local = stream.local_addr().unwrap_or(peer);
    let pulse = Arc::new(Pulse::default());
    let line = Line::new(stream, Arc::clone(&pulse));
    // What it asks about has a port of its own.
    let port = 0;
    let Some(peer) = (Arrival { port, peer, local }).peer(&pulse) else {
        return;
    };
    let switch = Switch::new(Arc::clone(&pulse), false);
    worker.watch(&switch);
    let closer = worker.closer.clone();
    let mut wire = Wire::new(MaybeTls::Plain(line), pulse, true, slot, closer);
    let Some(is_http2) = begins_http2(&mut wire, &switch).await else {
        return;
    };
    match (is_grpc, is_http2) {
        (true, true) => {
            let connection = drive_http2(worker, wire, peer, switch, authorizer::answer_grpc);
            tokio::task::spawn_local(connection);
        }
        // gRPC is spoken over HTTP/2 alone.
        (true, false) => {}
        (false, true) => {
            let connection = drive_http2(worker, wire, peer, switch, authorizer::answer);
            tokio::task::spawn_local(connection);
        }
        (false, false) => {
            let connection = drive_http1(worker, wire, peer, switch, authorizer::answer);
            tokio::task::spawn_local(connection);
        }
    }
}

/// Where a connection comes from and goes to.
struct Arrival {
    port: u16,
    peer: SocketAddr,
    local: SocketAddr,
}

impl Arrival {
    fn peer(&self, pulse: &Arc<Pulse>) -> Option<Peer> {
        let address = self.peer.ip().to_canonical();
        Some(Peer {
            port: self.port,
            address,
            // An IP address is made of bytes that a header may have.
            address_text: HeaderValue::try_from(address.to_string()).ok()?,
            secure: false,
            server_name: None,
            certificate: None,
            tls: None,
            pulse: Arc::clone(pulse),
            memo: Memo::default(),
        })
    }

    fn stream(&self, server_name: Option<Box<str>>, principal: Option<Box<str>>) -> stream::Facts {
        stream::Facts {
            port: self.port,
            peer: self.peer,
            local: self.local,
            server_name,
            principal,
        }
    }
}

/// What is done with a handshake.
enum Answer {
    /// It is ended here, under these settings of a chain, if one was chosen.
    End {
        tls: Option<Arc<ServerTls>>,
        speaks_http: bool,
    },
    /// It is passed on.
    Pass,
    /// It is refused, with this alert.
    Refuse(u8),
}

/// The chain that a handshake chooses says what is done with it.
fn answer(view: &View, port: u16, hello: &Hello) -> Answer {
    if hello.is_challenge {
        // RFC 8737 §3: such a connection is a challenge and nothing else; none is open here.
        return Answer::Refuse(hello::UNRECOGNIZED_NAME);
    }
    let listener = view.world.snapshot.listener(port);
    let chain = listener
        .filter(|listener| listener.protocol == ListenerProtocol::Tls)
        .and_then(|listener| match &hello.server_name {
            Some(name) => listener.chain(name),
            None => listener.chain_without_name(),
        });
    // A client that names nobody that is known gets this machine's own certificate.
    let Some(Chain { tls, serves, .. }) = chain else {
        return Answer::End {
            tls: None,
            speaks_http: true,
        };
    };
    let speaks_http = match serves {
        Serves::Http(_) => true,
        Serves::Stream(_) => false,
        Serves::Nothing(_) => return Answer::Refuse(hello::HANDSHAKE_FAILURE),
    };
    match tls {
        Some(tls) => Answer::End {
            tls: Some(Arc::clone(tls)),
            speaks_http,
        },
        None => Answer::Pass,
    }
}

async fn secure(
    worker: Rc<Worker>,
    view: Rc<View>,
    arrival: Arrival,
    mut line: Line,
    pulse: Arc<Pulse>,
    slot: Slot,
) {
    let limit = tokio::time::sleep(worker.limits().handshake);
    let mut limit = pin!(limit);
    let hello = tokio::select! {
        hello = hello::read(&mut line) => hello,
        () = &mut limit => Err(NoHello::Gone),
    };
    let hello = match hello {
        Ok(hello) => hello,
        Err(refused) => {
            worker.recorder.shard.handshake_failed();
            if let NoHello::Bad(alert) = refused {
                farewell(line, &alert).await;
            }
            return;
        }
    };
    let answer = answer(&view, arrival.port, &hello);
    drop(view);
    let Hello {
        accepted,
        bytes,
        server_name,
        ..
    } = hello;
    let (tls, speaks_http) = match answer {
        Answer::End { tls, speaks_http } => (tls, speaks_http),
        Answer::Pass => {
            // Somebody else answers it; what a handshake needs is not kept as long as a stream lasts.
            drop(accepted);
            let facts = arrival.stream(server_name, None);
            stream::pass(&worker, facts, line, &bytes).await;
            drop(slot);
            return;
        }
        Answer::Refuse(alert) => {
            worker.recorder.shard.handshake_failed();
            farewell(line, &hello::alert(alert)).await;
            return;
        }
    };
    drop(bytes);
    let config = match &tls {
        Some(tls) => worker.tls().config(tls, speaks_http),
        None => Some(worker.tls().usual()),
    };
    let config = config.map(|config| config.for_client(accepted.client_hello().cipher_suites()));
    let Some(config) = config else {
        worker.recorder.shard.handshake_failed();
        farewell(line, &hello::alert(hello::HANDSHAKE_FAILURE)).await;
        return;
    };
    let handshake = Box::pin(StartHandshake::from_parts(accepted, line).into_stream(config));
    let stream = tokio::select! {
        stream = handshake => stream.ok(),
        () = &mut limit => None,
    };
    let Some(stream) = stream else {
        worker.recorder.shard.handshake_failed();
        return;
    };
    let session = stream.get_ref().1;
    let http2 = session.alpn_protocol() == Some(b"h2");
    let shown = session
        .peer_certificates()
        .and_then(|chain| Shown::read(chain.first()?));
    if !speaks_http {
        let principal = shown.and_then(|shown| shown.principal);
        let facts = arrival.stream(server_name, principal);
        stream::pass(&worker, facts, stream, &[]).await;
        drop(slot);
        return;
    }
    let Some(mut peer) = arrival.peer(&pulse) else {
        return;
    };
    peer.secure = true;
    peer.server_name = server_name;
    peer.certificate = shown.map(Box::new);
    peer.tls = tls;
    let switch = Switch::new(Arc::clone(&pulse), http2);
    worker.watch(&switch);
    let closer = worker.closer.clone();
    let wire = Wire::new(MaybeTls::Tls(Box::new(stream)), pulse, !http2, slot, closer);
    drive(worker, wire, peer, switch, http2);
}

/// Reads requests off a connection in a task of its own: the one that made the handshake is five
/// times as large, and would be kept as long as the connection.
fn drive(worker: Rc<Worker>, wire: Wire, peer: Peer, switch: Rc<Switch>, is_http2: bool) {
    if is_http2 {
        tokio::task::spawn_local(drive_http2(worker, wire, peer, switch, admit::answer));
    } else {
        tokio::task::spawn_local(drive_http1(worker, wire, peer, switch, admit::answer));
    }
}

/// The last words of a handshake.
async fn farewell(mut line: Line, alert: &[u8]) {
    // A new socket's buffer takes these few bytes at once.
    let _ = line.write_all(alert).await;
    let _ = line.shutdown().await;
}

/// Whether the client begins HTTP/2 by itself; none when the connection is to end first, on which
/// nothing was asked yet.
async fn begins_http2(wire: &mut Wire, switch: &Switch) -> Option<bool> {
    std::future::poll_fn(|cx| match switch.take(cx) {
        Order::None => wire.poll_begins_http2(cx).map(Result::ok),
        Order::Drain | Order::Abort => Poll::Ready(None),
    })
    .await
}

fn drive_http1<A>(
    worker: Rc<Worker>,
    wire: Wire,
    peer: Peer,
    switch: Rc<Switch>,
    answer: impl Fn(Rc<Worker>, Rc<Peer>, Request<Incoming>) -> A + 'static,
) -> impl Future<Output = ()>
where
    A: Future<Output = Result<Response<Body>, Infallible>> + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_header_size(worker.limits().head_bytes);
    let peer = Rc::new(peer);
    let service = service_fn(move |request| answer(Rc::clone(&worker), Rc::clone(&peer), request));
    let connection = builder
        .serve_connection(TokioIo::new(wire), service)
        .with_upgrades();
    obey(connection, switch, |connection| {
        connection.graceful_shutdown()
    })
}

fn drive_http2<A, B>(
    worker: Rc<Worker>,
    wire: Wire,
    peer: Peer,
    switch: Rc<Switch>,
    answer: impl Fn(Rc<Worker>, Rc<Peer>, Request<Incoming>) -> A + 'static,
) -> impl Future<Output = ()>
where
    A: Future<Output = Result<Response<B>, Infallible>> + 'static,
    B: http_body::Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut builder = http2::Builder::new(OnThisThread);
    let head_bytes = u32::try_from(worker.limits().head_bytes).unwrap_or(u32::MAX);
    // Requests that are taken back wait nowhere: what is open, or was and is not noticed yet, counts.
    builder
        .enable_connect_protocol()
        .max_concurrent_streams(worker.limits().streams)
        .max_pending_accept_reset_streams(Some(20))
        .max_local_error_reset_streams(Some(64))
        .max_header_list_size(head_bytes)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024);
    let peer = Rc::new(peer);
    let service = service_fn(move |request| answer(Rc::clone(&worker), Rc::clone(&peer), request));
    let connection = builder.serve_connection(TokioIo::new(wire), service);
    obey(connection, switch, |connection| {
        connection.graceful_shutdown()
    })
}

/// Polls a connection and obeys the switch.
fn obey<C: Future>(
    connection: C,
    switch: Rc<Switch>,
    drain: impl Fn(Pin<&mut C>),
) -> impl Future<Output = ()> {
    let mut connection = Box::pin(connection);
    std::future::poll_fn(move |cx| {
        match switch.take(cx) {
            Order::None => {}
            Order::Drain => drain(connection.as_mut()),
            Order::Abort => {
                switch.pulse.cut_off();
                return Poll::Ready(());
            }
        }
        connection.as_mut().poll(cx).map(|_| ())
    })
}
