//! Requests that are sent again, and those that are not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use model::snapshot::{Balance, FaultInjection, Forward, Retries, RetryOn, Share, Traffic};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::door::{Door, get, with_headers};
use crate::peers::{lead, named, nowhere, raw, read_head, traffic};
use crate::upstream;

/// Bodies and attempt numbers that an upstream received.
type Seen = Arc<Mutex<Vec<(usize, String)>>>;

/// An upstream that answers with these statuses in turn, the last one for ever.
async fn answering(statuses: &'static [u16]) -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let log = Arc::clone(&seen);
    let (app, _) = upstream::answering(move |request: Request<Incoming>| {
        let log = Arc::clone(&log);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let attempt = parts.headers.get("x-envoy-attempt-count");
            let attempt = attempt.map_or("-", |it| it.to_str().unwrap()).to_owned();
            let mut log = log.lock().unwrap();
            log.push((body.len(), attempt));
            let status = statuses[(log.len() - 1).min(statuses.len() - 1)];
            let mut response = Response::new(Full::<Bytes>::from("answer"));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response
        }
    })
    .await;
    (app, seen)
}

fn retrying(on: RetryOn) -> Arc<Retries> {
    Arc::new(Retries {
        attempts: 2,
        attempt_timeout: None,
        on,
        back_off: Duration::from_millis(1),
    })
}

fn on_server_error() -> Arc<Retries> {
    retrying(RetryOn {
        server_error: true,
        ..RetryOn::default()
    })
}

fn post(length: usize) -> Request<Full<Bytes>> {
    let mut post = with_headers("/app/", &[]);
    *post.method_mut() = Method::POST;
    *post.body_mut() = Full::from(vec![b'x'; length]);
    post
}

async fn door(app: SocketAddr, retries: Option<Arc<Retries>>) -> Door {
    Door::changed(move |forward: &mut Forward| {
        lead(forward, &[app]);
        forward.retries = retries.clone();
    })
    .await
}

fn bodies(seen: &Seen) -> Vec<(usize, String)> {
    seen.lock().unwrap().clone()
}

#[tokio::test]
async fn a_failed_answer_is_thrown_away_and_the_request_sent_again_with_its_body() {
    let (app, seen) = answering(&[503, 500, 200]).await;
    let door = door(app, Some(on_server_error())).await;
    let answer = door.client().await.send(post(1000)).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.body()[..]),
        (200, &b"answer"[..])
    );
    let counts = ["1", "2", "3"].map(|attempt| (1000, attempt.to_owned()));
    assert_eq!(bodies(&seen), counts);
    assert_eq!(door.metric("upstream_retries_total"), 2);
}

#[tokio::test]
async fn the_last_answer_stands_when_no_attempt_is_left() {
    let (app, seen) = answering(&[503]).await;
    let door = door(app, Some(on_server_error())).await;
    assert_eq!(door.client().await.get("/app/").await.status(), 503);
    assert_eq!(bodies(&seen).len(), 3);
}

#[tokio::test]
async fn a_body_that_is_not_kept_is_sent_once() {
    let (app, seen) = answering(&[503, 200]).await;
    let door = door(app, Some(on_server_error())).await;
    let answer = door.client().await.send(post(200_000)).await;
    assert_eq!(answer.status(), 503);
    assert_eq!(bodies(&seen), [(200_000, "1".to_owned())]);
}

#[tokio::test]
async fn a_route_without_retries_sends_once_and_counts_nothing() {
    let (app, seen) = answering(&[503]).await;
    let door = door(app, None).await;
    assert_eq!(door.client().await.get("/app/").await.status(), 503);
    assert_eq!(bodies(&seen), [(0, "-".to_owned())]);
}

#[tokio::test]
async fn istios_default_tries_a_place_that_takes_no_connection_elsewhere() {
    let (good, _) = upstream::echo().await;
    let door = Door::changed(move |forward| {
        lead(forward, &[nowhere(), good]);
        traffic(
            forward,
            Traffic {
                balance: Balance::RoundRobin,
                ..Traffic::default()
            },
        );
        forward.retries = Some(Arc::new(Retries::istio_default()));
    })
    .await;
    let mut client = door.client().await;
    for _ in 0..6 {
        // Nothing was sent, so any body will do.
        let answer = client.send(post(200_000)).await;
        assert_eq!(upstream::Received::of(&answer).body(), 200_000);
    }
    assert!(door.metric("upstream_retries_total") >= 1);
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_given_up_for_another() {
    let app = raw(|mut stream, number| async move {
        while read_head(&mut stream).await {
            if number > 0 {
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                    .await;
            }
        }
    })
    .await;
    let retries = Retries {
        attempt_timeout: Some(Duration::from_millis(100)),
        ..Retries::clone(&on_server_error())
    };
    let impatient = door(app, Some(Arc::new(retries))).await;
    assert_eq!(impatient.client().await.get("/app/").await.status(), 200);

    let silent = raw(|mut stream, _| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let once = Retries {
        attempts: 1,
        attempt_timeout: Some(Duration::from_millis(50)),
        ..Retries::clone(&on_server_error())
    };
    let answer = door(silent, Some(Arc::new(once)))
        .await
        .client()
        .await
        .get("/app/")
        .await;
    assert_eq!(answer.status(), 504);
    assert_eq!(answer.body(), "upstream request timeout");
}

#[tokio::test]
async fn too_many_retries_at_once_are_not_made() {
    let (app, seen) = answering(&[503]).await;
    let door = Door::changed(move |forward| {
        lead(forward, &[app]);
        traffic(
            forward,
            Traffic {
                max_retries: Some(0),
                ..Traffic::default()
            },
        );
        forward.retries = Some(on_server_error());
    })
    .await;
    assert_eq!(door.client().await.get("/app/").await.status(), 503);
    assert_eq!(bodies(&seen).len(), 1);
    assert_eq!(door.metric("upstream_retries_refused_total"), 1);
}

/// An upstream that closes each connection instead of answering its second request.
async fn closing() -> SocketAddr {
    raw(|mut stream, _| async move {
        if read_head(&mut stream).await {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .await;
        }
        let _ = stream.read(&mut [0]).await;
    })
    .await
}

#[tokio::test]
async fn a_kept_connection_that_dies_is_replaced_where_sending_twice_does_no_harm() {
    let door = door(closing().await, None).await;
    let mut client = door.client().await;
    for _ in 0..5 {
        assert_eq!(client.get("/app/").await.status(), 200);
    }
    let mut put = post(1000);
    *put.method_mut() = Method::PUT;
    assert_eq!(client.send(put).await.status(), 200);
    assert_eq!(client.get("/app/").await.status(), 200);
    let refused = client.send(post(1000)).await;
    assert_eq!(refused.status(), 503, "it may have been acted upon");
}

#[tokio::test]
async fn an_injected_delay_holds_the_request() {
    let app = named("app").await;
    let door = Door::changed(move |forward| {
        lead(forward, &[app]);
        forward.fault = Some(FaultInjection {
            delay: Some((Duration::from_millis(300), Share::ALL)),
            abort: None,
        });
    })
    .await;
    let mut client = door.client().await;
    let early = tokio::time::timeout(
        Duration::from_millis(250),
        client.sender.send_request(get("/app/")),
    );
    assert!(early.await.is_err());
    let metrics = door.gateway.metrics();
    drop(client);
    crate::peers::until(|| metrics.render().contains("doorward_requests_in_flight 0\n")).await;
    assert_eq!(
        door.metric("upstream_connections_total"),
        0,
        "the client had left"
    );
    assert_eq!(door.client().await.get("/app/").await.body(), "app");
}
