//! Upstreams of every kind, and routes that lead to them.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::snapshot::{
    Destination, Endpoints, Forward, Traffic, UpstreamPlace, UpstreamProtocol, UpstreamTls,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The only destination of a route, to be changed.
pub(crate) fn destination(forward: &mut Forward) -> &mut Destination {
    Arc::make_mut(&mut forward.destinations[0].destination)
}

/// Leads a route to these places.
pub(crate) fn lead(forward: &mut Forward, places: &[SocketAddr]) {
    destination(forward).endpoints = at(places);
}

pub(crate) fn at(places: &[SocketAddr]) -> Endpoints {
    let places = places.iter().map(|place| UpstreamPlace {
        host: place.ip().to_string().into(),
        port: place.port(),
        weight: 1,
    });
    Endpoints::At(places.collect())
}

/// Leads a route to a place that speaks HTTP/2.
pub(crate) fn lead_http2(forward: &mut Forward, place: SocketAddr) {
    lead(forward, &[place]);
    destination(forward).protocol = UpstreamProtocol::Http2;
}

/// Leads a route to a place over TLS.
pub(crate) fn lead_tls(forward: &mut Forward, place: SocketAddr, tls: &UpstreamTls) {
    lead(forward, &[place]);
    destination(forward).tls = Some(Arc::new(tls.clone()));
}

/// Limits and balance of a route's destination.
pub(crate) fn traffic(forward: &mut Forward, traffic: Traffic) {
    destination(forward).traffic = Arc::new(traffic);
}

/// How an HTTP/2 upstream behaves.
#[derive(Clone, Copy, Default)]
pub(crate) struct Http2 {
    /// Streams at once.
    pub(crate) streams: Option<u32>,
    /// Each connection says goodbye after its first request.
    pub(crate) goes_away: bool,
}

/// An upstream that speaks HTTP/2 without TLS, and the number of its connections.
pub(crate) async fn http2<A, F, B>(how: Http2, answer: A) -> (SocketAddr, Arc<AtomicUsize>)
where
    A: Fn(Request<Incoming>) -> F + Send + Sync + Clone + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let answer = answer.clone();
            let served = Arc::new(tokio::sync::Notify::new());
            let told = Arc::clone(&served);
            let service = service_fn(move |request| {
                let answer = answer(request);
                told.notify_one();
                async move { Ok::<_, Infallible>(answer.await) }
            });
            tokio::spawn(async move {
                let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                builder.max_concurrent_streams(how.streams);
                let connection = builder.serve_connection(TokioIo::new(stream), service);
                let mut connection = std::pin::pin!(connection);
                tokio::select! {
                    _ = connection.as_mut() => return,
                    () = served.notified(), if how.goes_away => {}
                }
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            });
        }
    });
    (address, connections)
}

/// An answer's body of one chunk, with trailers behind it.
pub(crate) fn with_trailers(
    data: &'static str,
    trailers: &[(&'static str, &'static str)],
) -> impl Body<Data = Bytes, Error = Infallible> + Send + use<> {
    let mut map = HeaderMap::new();
    for (name, value) in trailers {
        map.insert(*name, HeaderValue::from_static(value));
    }
    let frames = [Frame::data(Bytes::from(data)), Frame::trailers(map)];
    StreamBody::new(futures_util::stream::iter(frames.map(Ok)))
}

/// An upstream of which each connection is answered by `serve`, byte by byte.
pub(crate) async fn raw<S, F>(serve: S) -> SocketAddr
where
    S: Fn(TcpStream, usize) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, number));
            number += 1;
        }
    });
    address
}

/// An upstream that answers every request with these bytes and closes.
pub(crate) async fn saying(bytes: impl Into<Vec<u8>>) -> SocketAddr {
    let bytes: Arc<[u8]> = bytes.into().into();
    raw(move |mut stream, _| {
        let bytes = Arc::clone(&bytes);
        async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            // A socket closed with unread bytes would be reset, and the answer lost.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    })
    .await
}

/// Reads a request head; false when there is none.
pub(crate) async fn read_head(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(1) => head.push(byte[0]),
            _ => return false,
        }
    }
    true
}

/// An upstream that names itself.
pub(crate) async fn named(name: &'static str) -> SocketAddr {
    let (address, _) =
        crate::upstream::answering(
            move |_| async move { Response::new(Full::<Bytes>::from(name)) },
        )
        .await;
    address
}

/// Where nobody listens.
pub(crate) fn nowhere() -> SocketAddr {
    "127.0.0.1:1".parse().unwrap()
}

/// Waits for something that happens on another thread.
pub(crate) async fn until(mut happened: impl FnMut() -> bool) {
    let wait = async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .expect("it happens");
}

/// The whole body and the trailers of an answer.
pub(crate) async fn all(response: Response<Incoming>) -> (Response<Bytes>, HeaderMap) {
    let (parts, body) = response.into_parts();
    let whole = body.collect().await.unwrap();
    let trailers = whole.trailers().cloned().unwrap_or_default();
    (Response::from_parts(parts, whole.to_bytes()), trailers)
}
