//! Upstreams that speak HTTP/2, gRPC among them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::snapshot::Retries;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::door::{Door, get, get2, with_headers};
use crate::peers::{Http2, all, http2, lead, lead_http2, nowhere, until, with_trailers};
use crate::upstream::{Received, told};

async fn echo(how: Http2) -> (SocketAddr, Arc<AtomicUsize>) {
    http2(how, |request: Request<Incoming>| async move {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!(parts.version, Version::HTTP_2);
        Response::new(Full::new(told(&parts, &body)))
    })
    .await
}

/// An application whose answers all wait for one word.
struct Held {
    go_on: watch::Sender<bool>,
    arrived: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Held {
    async fn start(how: Http2) -> (SocketAddr, Self) {
        let (go_on, wait) = watch::channel(false);
        let arrived = Arc::new(AtomicUsize::new(0));
        let arrivals = Arc::clone(&arrived);
        let (app, connections) = http2(how, move |_| {
            let mut wait = wait.clone();
            arrivals.fetch_add(1, Ordering::SeqCst);
            async move {
                wait.wait_for(|go_on| *go_on).await.unwrap();
                Response::new(Full::<Bytes>::default())
            }
        })
        .await;
        let held = Self {
            go_on,
            arrived,
            connections,
        };
        (app, held)
    }

    /// Answers these requests, once all of them have arrived, over this many connections.
    async fn answer(self, waiting: Vec<JoinHandle<StatusCode>>, connections: usize) {
        until(|| self.arrived.load(Ordering::SeqCst) == waiting.len()).await;
        assert_eq!(self.connections.load(Ordering::SeqCst), connections);
        self.go_on.send_replace(true);
        for one in waiting {
            assert_eq!(one.await.unwrap(), 200);
        }
    }
}

#[tokio::test]
async fn requests_of_either_version_reach_it_on_one_connection() {
    let (app, connections) = echo(Http2::default()).await;
    let door = Door::changed(move |forward| lead_http2(forward, app)).await;
    let mut client = door.client().await;
    let headers = [("te", "trailers"), ("connection", "x-hop"), ("x-hop", "1")];
    let received = Received::of(&client.send(with_headers("/app/a?b=c", &headers)).await);
    assert_eq!(received.target(), "http://kubeflow.example/app/a?b=c");
    assert_eq!(received.all("te"), ["trailers"]);
    for gone in ["host", "connection", "x-hop", "transfer-encoding"] {
        assert!(received.all(gone).is_empty(), "{gone}");
    }
    let mut post = with_headers("/app/", &[]);
    *post.method_mut() = Method::POST;
    *post.body_mut() = Full::from(vec![7; 300_000]);
    assert_eq!(Received::of(&client.send(post).await).body(), 300_000);
    let client2 = door.client2().await;
    let many = (0..40).map(|_| {
        let mut client2 = client2.clone();
        tokio::spawn(async move { client2.send_request(get2("/app/")).await.unwrap().status() })
    });
    for one in many.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap(), 200);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn more_connections_are_made_when_the_peer_takes_no_more_streams() {
    let how = Http2 {
        streams: Some(2),
        ..Http2::default()
    };
    let (app, held) = Held::start(how).await;
    let door = Door::changed(move |forward| lead_http2(forward, app)).await;
    let client = door.client2().await;
    let waiting: Vec<_> = (0..5)
        .map(|number| {
            let mut client = client.clone();
            let arrived = Arc::clone(&held.arrived);
            tokio::spawn(async move {
                // One after the other, so that the peer's limit is known before the third.
                until(|| arrived.load(Ordering::SeqCst) >= number).await;
                client.send_request(get2("/app/")).await.unwrap().status()
            })
        })
        .collect();
    held.answer(waiting, 3).await;
}

#[tokio::test]
async fn whoever_comes_while_the_connection_is_made_waits_for_nobody_else() {
    let (app, held) = Held::start(Http2::default()).await;
    let door = Door::changed(move |forward| lead_http2(forward, app)).await;
    let mut waiting = Vec::new();
    for _ in 0..6 {
        let client = door.client2().await;
        for _ in 0..15 {
            let mut client = client.clone();
            let ask = async move { client.send_request(get2("/app/")).await.unwrap().status() };
            waiting.push(tokio::spawn(ask));
        }
    }
    held.answer(waiting, 1).await;
}

#[tokio::test]
async fn a_connection_that_says_goodbye_is_replaced_without_a_failure() {
    let how = Http2 {
        goes_away: true,
        ..Http2::default()
    };
    let (app, connections) = echo(how).await;
    let door = Door::changed(move |forward| lead_http2(forward, app)).await;
    let mut client = door.client().await;
    for _ in 0..20 {
        assert_eq!(client.get("/app/").await.status(), 200);
    }
    assert!(connections.load(Ordering::SeqCst) > 1);
}

/// An upstream that refuses the first stream that it sees.
async fn refusing() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    if count.fetch_add(1, Ordering::SeqCst) == 0 {
                        respond.send_reset(h2::Reason::REFUSED_STREAM);
                    } else {
                        respond.send_response(Response::new(()), true).unwrap();
                    }
                }
            });
        }
    });
    (address, seen)
}

#[tokio::test]
async fn a_refused_stream_is_sent_again_as_istios_default_says() {
    let (app, seen) = refusing().await;
    let door = Door::changed(move |forward| lead_http2(forward, app)).await;
    let mut client = door.client().await;
    let refused = client.get("/app/").await;
    assert_eq!(refused.status(), 503, "the route says nothing of retries");
    assert_eq!(seen.load(Ordering::SeqCst), 1);

    let (app, seen) = refusing().await;
    let door = Door::changed(move |forward| {
        lead_http2(forward, app);
        forward.retries = Some(Arc::new(Retries::istio_default()));
    })
    .await;
    let mut post = with_headers("/app/", &[]);
    *post.method_mut() = Method::POST;
    *post.body_mut() = Full::from("kept");
    assert_eq!(door.client().await.send(post).await.status(), 200);
    assert_eq!(seen.load(Ordering::SeqCst), 2);
    assert_eq!(door.metric("upstream_retries_total"), 1);
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let (app, _) = http2(Http2::default(), |request: Request<Incoming>| async move {
        let body = request.into_body().collect().await.unwrap();
        let sent = body.trailers().cloned().unwrap_or_default();
        assert_eq!(sent["x-sent"], "behind");
        assert_eq!(body.to_bytes(), "data");
        let mut response = Response::new(with_trailers("answer", &[("grpc-status", "0")]));
        let kind = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert("content-type", kind);
        response
    })
    .await;
    let door = Door::changed(move |forward| {
        lead_http2(forward, app);
        // With retries the body is on tape.
        forward.retries = Some(Arc::new(Retries::istio_default()));
    })
    .await;
    let io = TokioIo::new(door.tls(b"h2").await);
    let executor = TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io)
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sent", HeaderValue::from_static("behind"));
    let frames = [Frame::data(Bytes::from("data")), Frame::trailers(trailers)];
    let frames = frames.map(Ok::<_, Infallible>);
    let request = Request::post("https://kubeflow.example/app/")
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(StreamBody::new(futures_util::stream::iter(frames)))
        .unwrap();
    let (answer, trailers) = all(sender.send_request(request).await.unwrap()).await;
    assert_eq!(answer.body(), "answer");
    assert_eq!(trailers["grpc-status"], "0");
}

#[tokio::test]
async fn a_call_that_is_not_available_is_tried_again_and_only_then() {
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let (app, _) = http2(Http2::default(), move |_| {
        let status = ["14", "5"][count.fetch_add(1, Ordering::SeqCst).min(1)];
        async move {
            let mut response = Response::new(Empty::<Bytes>::new());
            let status = HeaderValue::from_static(status);
            response.headers_mut().insert("grpc-status", status);
            response
        }
    })
    .await;
    let door = Door::changed(move |forward| {
        lead_http2(forward, app);
        forward.retries = Some(Arc::new(Retries::istio_default()));
    })
    .await;
    let mut client = door.client2().await;
    let mut call = get2("/app/");
    *call.method_mut() = Method::POST;
    let kind = HeaderValue::from_static("application/grpc");
    call.headers_mut().insert("content-type", kind);
    let (answer, _) = all(client.send_request(call).await.unwrap()).await;
    assert_eq!(answer.headers()["grpc-status"], "5");
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_call_is_refused_in_its_own_form() {
    let door = Door::changed(|forward| lead(forward, &[nowhere()])).await;
    let mut client = door.client2().await;
    for (path, status, message) in [
        (
            "/app/",
            "14",
            Some("service `app.team:80` takes no connections; help: --resolve app.team=ADDR"),
        ),
        ("/nothing", "12", None),
    ] {
        let mut call = get2(path);
        *call.method_mut() = Method::POST;
        let kind = HeaderValue::from_static("application/grpc+proto");
        call.headers_mut().insert("content-type", kind);
        let (answer, _) = all(client.send_request(call).await.unwrap()).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/grpc");
        assert_eq!(answer.headers()["grpc-status"], status);
        let said = answer.headers().get("grpc-message");
        assert_eq!(said.map(|said| said.to_str().unwrap()), message);
    }
    let web = [("content-type", "application/grpc-web")];
    let answer = door.client().await.send(with_headers("/app/", &web)).await;
    assert_eq!(answer.status(), 503, "gRPC-web is HTTP");
}

#[tokio::test]
async fn a_dead_place_fails_every_request_at_once() {
    let door = Door::changed(|forward| lead_http2(forward, nowhere())).await;
    let client = door.client2().await;
    let many = (0..50).map(|_| {
        let mut client = client.clone();
        tokio::spawn(async move { client.send_request(get2("/app/")).await.unwrap().status() })
    });
    for one in many.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap(), 503);
    }
    assert_eq!(door.client().await.send(get("/app/")).await.status(), 503);
}
