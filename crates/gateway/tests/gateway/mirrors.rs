//! Copies of requests.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use model::snapshot::{Mirror, Share};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use crate::door::{Door, with_headers};
use crate::peers::{at, destination, lead, named, nowhere, raw, until};
use crate::upstream;

async fn mirroring(app: SocketAddr, copies: &[(SocketAddr, Share)]) -> Door {
    let copies = copies.to_vec();
    Door::changed(move |forward| {
        lead(forward, &[app]);
        for (place, share) in &copies {
            let mut copy = destination(forward).clone();
            copy.endpoints = at(&[*place]);
            copy.service.name = "copy".into();
            forward.mirrors.push(Mirror {
                destination: Arc::new(copy),
                share: *share,
            });
        }
    })
    .await
}

#[tokio::test]
async fn a_copy_has_the_same_head_and_body_and_its_answer_is_thrown_away() {
    let (seen, mut arrivals) = mpsc::channel::<(Request<()>, Bytes)>(8);
    let (copy, _) = upstream::answering(move |request: Request<Incoming>| {
        let seen = seen.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            seen.send((Request::from_parts(parts, ()), body))
                .await
                .unwrap();
            let mut response = Response::new(Full::<Bytes>::from("copy"));
            *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    })
    .await;
    let (app, _) = upstream::echo().await;
    let door = mirroring(app, &[(copy, Share::ALL), (copy, Share::NONE)]).await;
    let mut client = door.client().await;
    for length in [0, 70_000] {
        let mut request = with_headers("/app/x?y", &[("x-it", "1")]);
        *request.method_mut() = Method::POST;
        *request.body_mut() = Full::from(vec![b'x'; length]);
        let answer = client.send(request).await;
        assert_eq!(upstream::Received::of(&answer).body(), length as u64);
        let (head, body) = arrivals.recv().await.unwrap();
        assert_eq!(body.len(), length);
        assert_eq!(head.uri(), "/app/x?y");
        assert_eq!(head.headers()["host"], "kubeflow.example");
        assert_eq!(head.headers()["x-it"], "1");
    }
    until(|| door.metric("mirrored_requests_total{fate=\"sent\"}") == 2).await;
}

#[tokio::test]
async fn a_copy_that_fails_or_hangs_changes_nothing() {
    let silent = raw(|mut stream, _| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let copies = [(nowhere(), Share::ALL), (silent, Share::ALL)];
    let door = mirroring(named("app").await, &copies).await;
    let mut client = door.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/app/").await.body(), "app");
    }
    until(|| door.metric("mirrored_requests_total{fate=\"failed\"}") == 3).await;
}

#[tokio::test]
async fn a_body_that_is_too_long_for_a_copy_is_not_copied() {
    let (app, _) = upstream::echo().await;
    let door = mirroring(app, &[(named("copy").await, Share::ALL)]).await;
    let mut request = with_headers("/app/", &[]);
    *request.method_mut() = Method::POST;
    *request.body_mut() = Full::from(vec![b'x'; 300_000]);
    let answer = door.client().await.send(request).await;
    assert_eq!(upstream::Received::of(&answer).body(), 300_000);
    until(|| door.metric("mirrored_requests_total{fate=\"dropped\"}") == 1).await;
}
