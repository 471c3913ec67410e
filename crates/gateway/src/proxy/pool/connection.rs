//! One connection to an upstream: how it is made, and how a request is put on it.

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use atomic_waker::AtomicWaker;
use futures_util::future::Either;
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body as _, Bytes, Frame, Incoming};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use model::names::Duration;
use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;

use super::super::UpstreamFault;
use super::super::tls::Tls;
use super::Setup;
use super::stream::{Opened, Wire};
use crate::body::ClientBody;
use crate::listen::OnThisThread;
use crate::maybe_tls::MaybeTls;

/// Silence on an HTTP/2 connection with requests, after which the upstream is asked whether it is
/// still there; and the time it has to answer.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));

/// What comes of a request: the head of the answer, or the request where it was not sent.
type Sent = Result<Response<Incoming>, TrySendError<Request<ClientBody>>>;

/// A connection with room for a request.
pub(crate) enum Connection {
    /// HTTP/1.1: one request at a time.
    One(Single),
    /// HTTP/2: one more stream.
    Many(Seat),
}

/// A connection of HTTP/1.1. Whoever uses it also polls it: a task beside the request's would cost
/// two wake-ups for each request.
pub(crate) struct Single {
    sender: http1::SendRequest<ClientBody>,
    // None when it has ended, or ends by itself.
    driver: Option<Driver>,
    // Requests before this one.
    served: u32,
}

impl Single {
    fn new(
        sender: http1::SendRequest<ClientBody>,
        connection: http1::Connection<TokioIo<Wire>, ClientBody>,
    ) -> Self {
        Self {
            sender,
            driver: Some(Driver::new(connection)),
            served: 0,
        }
    }

    /// Reads and writes what there is.
    fn poll(&mut self, cx: &Context<'_>) {
        if self.driver.as_mut().is_some_and(|driver| driver.poll(cx)) {
            // How it ended is told to the request that uses it.
            self.driver = None;
        }
    }

    /// Takes from the connection what it has read. It is polled before each such look, so neither
    /// side has to be woken for the other.
    fn alone<T>(&self, look: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let user = self.driver.as_ref().map(|driver| &driver.user.0);
        let waker = user.and_then(AtomicWaker::take);
        let seen = look(&mut Context::from_waker(Waker::noop()));
        if let (Some(user), Some(waker)) = (user, waker) {
            user.register(&waker);
        }
        seen
    }

    /// Whether the next request can be put on it.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Whether the upstream has closed it. While no request uses it, nobody else looks.
    pub(super) fn is_closed(&mut self) -> bool {
        self.poll(&Context::from_waker(Waker::noop()));
        self.sender.is_closed()
    }

    /// Nobody uses it any more. True when it may not be used again.
    pub(super) fn rest(&mut self, limit: Option<u32>) -> bool {
        if let Some(driver) = &self.driver {
            driver.user.0.take();
        }
        self.served = self.served.saturating_add(1);
        limit.is_some_and(|limit| self.served >= limit) || (!self.is_ready() && self.is_closed())
    }

    fn send(&mut self, request: Request<ClientBody>) -> impl Future<Output = Sent> + '_ {
        // The connection is polled right before it, and nobody else brings an answer: it need not be
        // woken, and the runtime's budget, which would wake it, must not hold it up.
        let answer = unconstrained(self.sender.try_send_request(for_http1(request)));
        async move {
            let mut answer = pin!(answer);
            let answer = std::future::poll_fn(|cx| {
                self.poll(cx);
                answer
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()))
            })
            .await;
            if let Ok(answer) = &answer
                && answer.status() == StatusCode::SWITCHING_PROTOCOLS
            {
                self.let_go();
            }
            answer
        }
    }

    /// What is still to be sent or switched over goes on by itself.
    fn let_go(&mut self) {
        if let Some(Driver { connection, .. }) = self.driver.take() {
            tokio::task::spawn_local(async move {
                // How it ends is told to whom it was upgraded for.
                let _ = connection.await;
            });
        }
    }
}

/// What reads and writes a connection.
struct Driver {
    connection: Pin<Box<dyn Future<Output = hyper::Result<()>>>>,
    user: Arc<User>,
    waker: Waker,
}

/// Wakes who uses a connection at the moment. The connection keeps this waker from user to user: the
/// next request would otherwise wake the last user's task.
#[derive(Default)]
struct User(AtomicWaker);

impl Wake for User {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake();
    }
}

impl Driver {
    fn new(connection: http1::Connection<TokioIo<Wire>, ClientBody>) -> Self {
        let user = Arc::new(User::default());
        Self {
            connection: Box::pin(connection.with_upgrades()),
            waker: Waker::from(Arc::clone(&user)),
            user,
        }
    }

    /// Reads and writes what there is; true when the connection has ended.
    fn poll(&mut self, cx: &Context<'_>) -> bool {
        self.user.0.register(cx.waker());
        let mut cx = Context::from_waker(&self.waker);
        self.connection.as_mut().poll(&mut cx).is_ready()
    }
}

/// A stream's seat on an HTTP/2 connection; dropped when the stream has ended.
pub(crate) struct Seat(Rc<Shared>);

/// An HTTP/2 connection that several requests share.
pub(super) struct Shared {
    sender: http2::SendRequest<ClientBody>,
    streams: Cell<u32>,
    served: Cell<u32>,
    most: Rc<Cell<usize>>,
    // When the last stream ended.
    since: Cell<Duration>,
    setup: Rc<Setup>,
}

impl Shared {
    /// Room for one more stream, if there is.
    pub(super) fn join(self: &Rc<Self>, requests: Option<u32>) -> Option<Seat> {
        let is_worn = requests.is_some_and(|limit| self.served.get() >= limit.max(1));
        if self.sender.is_closed() || is_worn || self.streams.get() as usize >= self.most.get() {
            return None;
        }
        self.streams.set(self.streams.get() + 1);
        self.served.set(self.served.get().saturating_add(1));
        Some(Seat(Rc::clone(self)))
    }

    /// Whether it serves nobody any more: it is closed, worn out, or unused since before `since`.
    pub(super) fn is_over(&self, since: Duration, requests: Option<u32>) -> bool {
        let is_worn = requests.is_some_and(|limit| self.served.get() >= limit.max(1));
        let is_old = self.streams.get() == 0 && self.since.get() <= since;
        self.sender.is_closed() || is_worn || is_old
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
        self.0.since.set(self.0.setup.clock.get());
    }
}

impl Connection {
    /// Whether it served a request before this one, and so may have died since.
    pub(crate) fn was_used(&self) -> bool {
        match self {
            Self::One(single) => single.served > 0,
            Self::Many(seat) => seat.0.served.get() > 1,
        }
    }

    /// Sends a request and waits for the head of the answer.
    pub(crate) fn send<'c>(
        &'c mut self,
        request: Request<ClientBody>,
        is_tls: bool,
    ) -> impl Future<Output = Sent> + 'c {
        match self {
            Self::One(single) => Either::Left(single.send(request)),
            Self::Many(seat) => {
                let mut sender = seat.0.sender.clone();
                Either::Right(sender.try_send_request(for_http2(request, is_tls)))
            }
        }
    }

    /// Reads what there is of the answer, for `incoming` to give.
    pub(super) fn poll_frame(
        &mut self,
        incoming: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self {
            Self::One(single) => {
                single.poll(cx);
                single.alone(|cx| Pin::new(incoming).poll_frame(cx))
            }
            Self::Many(_) => Pin::new(incoming).poll_frame(cx),
        }
    }

    /// The answer is over and the request is not: the rest of it is sent, and nothing after it.
    pub(super) fn let_go(self) {
        if let Self::One(mut single) = self {
            single.let_go();
        }
    }
}

/// A request in the form of HTTP/1.1; it may have been prepared for HTTP/2 before.
fn for_http1(mut request: Request<ClientBody>) -> Request<ClientBody> {
    if request.version() == Version::HTTP_11 {
        return request;
    }
    *request.version_mut() = Version::HTTP_11;
    let authority = request.uri().authority().map(|it| it.as_str().to_owned());
    if let Some(authority) = authority.and_then(|it| HeaderValue::try_from(it).ok()) {
        request.headers_mut().insert(HOST, authority);
    }
    let target = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(target.unwrap_or(PathAndQuery::from_static("/")));
    let body = request.body();
    let is_unmeasured = !hyper::body::Body::is_end_stream(body)
        && !request.headers().contains_key(http::header::CONTENT_LENGTH);
    if is_unmeasured {
        let chunked = HeaderValue::from_static("chunked");
        request.headers_mut().insert(TRANSFER_ENCODING, chunked);
    }
    request
}

/// A request in the form of HTTP/2: `:authority` says the host, and no header speaks of the
/// connection.
fn for_http2(mut request: Request<ClientBody>, is_tls: bool) -> Request<ClientBody> {
    if request.version() == Version::HTTP_2 {
        return request;
    }
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    headers.remove(TRANSFER_ENCODING);
    headers.remove(CONNECTION);
    let host = headers.remove(HOST);
    let authority = host.and_then(|host| http::uri::Authority::try_from(host.as_bytes()).ok());
    let mut target = std::mem::take(request.uri_mut()).into_parts();
    target.scheme = Some(if is_tls { Scheme::HTTPS } else { Scheme::HTTP });
    target.authority = authority;
    // A host that is no authority was refused when the facts were gathered; a route may still have
    // rewritten it to one. Such a request goes nowhere: hyper refuses it.
    *request.uri_mut() = Uri::from_parts(target).unwrap_or_default();
    request
}

/// What came of a connection that was just made.
pub(super) enum Made {
    /// HTTP/1.1.
    One(Single),
    /// HTTP/2.
    Many(Rc<Shared>),
}

/// What a connection is to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speech {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; over TLS only if the upstream agrees.
    Http2,
}

/// Makes a connection. What TLS says when it fails goes to `complain`.
pub(super) async fn open(
    setup: &Rc<Setup>,
    address: SocketAddr,
    tls: Option<&Tls>,
    speech: Speech,
    opened: Opened,
    complain: impl Fn(&std::io::Error),
) -> Result<Made, UpstreamFault> {
    let unreachable = |_| UpstreamFault::Unreachable;
    let stream = TcpStream::connect(address).await.map_err(unreachable)?;
    // Nagle only ever delays requests; a socket that refuses the option still works.
    let _ = stream.set_nodelay(true);
    let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(60));
    let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
    let (stream, is_http2) = match tls {
        None => (MaybeTls::Plain(stream), speech == Speech::Http2),
        Some(tls) => {
            let handshake = match speech {
                Speech::Http1 => tls.http1(stream),
                Speech::Http2 => tls.http2(stream),
            };
            let stream = Box::pin(handshake).await.map_err(|error| {
                complain(&error);
                UpstreamFault::Untrusted
            })?;
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            (MaybeTls::Tls(Box::new(stream)), is_http2)
        }
    };
    let io = TokioIo::new(Wire::new(stream, opened));
    if is_http2 {
        return open_http2(setup, io).await;
    }
    let handshake = http1::Builder::new().handshake(io).await;
    let (sender, connection) = handshake.map_err(|_| UpstreamFault::Unreachable)?;
    Ok(Made::One(Single::new(sender, connection)))
}

async fn open_http2(setup: &Rc<Setup>, io: TokioIo<Wire>) -> Result<Made, UpstreamFault> {
    let mut builder = http2::Builder::new(OnThisThread);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_header_list_size(u32::try_from(setup.head_bytes).unwrap_or(u32::MAX));
    let handshake = builder.handshake(io).await;
    let (sender, connection) = handshake.map_err(|_| UpstreamFault::Unreachable)?;
    let most = Rc::new(Cell::new(connection.current_max_send_streams()));
    let seen = Rc::clone(&most);
    tokio::task::spawn_local(async move {
        let mut connection = pin!(connection);
        let driven = std::future::poll_fn(|cx| {
            let polled = connection.as_mut().poll(cx);
            seen.set(connection.current_max_send_streams());
            polled
        });
        let _ = driven.await;
    });
    Ok(Made::Many(Rc::new(Shared {
        sender,
        streams: Cell::new(0),
        served: Cell::new(0),
        most,
        since: Cell::new(setup.clock.get()),
        setup: Rc::clone(setup),
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_the_same_after_it_was_prepared_for_http2() {
        let request = || {
            Request::builder()
                .uri("/a?b=c")
                .header("host", "a.example:8080")
                .header("te", "trailers")
                .body(ClientBody::Empty)
                .unwrap()
        };
        let http2 = for_http2(request(), true);
        assert_eq!(http2.uri(), "https://a.example:8080/a?b=c");
        assert!(!http2.headers().contains_key(HOST));
        assert_eq!(http2.headers()["te"], "trailers");
        let http1 = for_http1(http2);
        assert_eq!(http1.uri(), "/a?b=c");
        assert_eq!(http1.headers()[HOST], "a.example:8080");
        assert!(!http1.headers().contains_key(TRANSFER_ENCODING));
        assert_eq!(http1.version(), Version::HTTP_11);
    }
}
