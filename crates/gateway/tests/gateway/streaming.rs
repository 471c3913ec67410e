//! Bodies pass while they are being made.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use doorward_gateway::Limits;
use http::{Request, Response};
use http_body_util::{BodyExt, Channel};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use crate::door::{Door, Wanted, get, get2};
use crate::upstream;

#[tokio::test]
async fn the_first_chunk_of_an_answer_arrives_before_the_last_is_made() {
    for http2 in [false, true] {
        let (made, mut making) = mpsc::channel::<oneshot::Receiver<()>>(1);
        let (app, _) = upstream::answering(move |_| {
            let made = made.clone();
            async move {
                let (mut sender, body) = Channel::<Bytes, Infallible>::new(4);
                let (go_on, wait) = oneshot::channel();
                let _ = made.send(wait).await;
                tokio::spawn(async move {
                    sender.send_data("first".into()).await.unwrap();
                    let mut go_on = go_on;
                    // The test holds the other end until it has seen the first chunk.
                    go_on.closed().await;
                    sender.send_data("last".into()).await.unwrap();
                });
                Response::new(body)
            }
        })
        .await;
        let door = Door::to(app).await;
        let response = if http2 {
            door.client2()
                .await
                .send_request(get2("/app/"))
                .await
                .unwrap()
        } else {
            door.client()
                .await
                .sender
                .send_request(get("/app/"))
                .await
                .unwrap()
        };
        let mut body = response.into_body();
        let wait = making.recv().await.unwrap();
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "first"
        );
        drop(wait);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "last");
    }
}

#[tokio::test]
async fn the_first_chunk_of_a_request_arrives_before_the_last_is_sent() {
    let (seen, mut arrivals) = mpsc::channel::<Bytes>(4);
    let (app, _) = upstream::answering(move |request: Request<hyper::body::Incoming>| {
        let seen = seen.clone();
        async move {
            let mut body = request.into_body();
            while let Some(Ok(frame)) = body.frame().await {
                seen.send(frame.into_data().unwrap()).await.unwrap();
            }
            Response::new(http_body_util::Empty::new())
        }
    })
    .await;
    let door = Door::to(app).await;
    let mut stream = door.tls(b"http/1.1").await;
    let head =
        b"POST /app/ HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\
                 \r\nconnection: close\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"5\r\nfirst\r\n").await.unwrap();
    assert_eq!(arrivals.recv().await.unwrap(), "first");
    stream.write_all(b"4\r\nlast\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(arrivals.recv().await.unwrap(), "last");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[tokio::test]
async fn a_client_that_stops_sending_its_body_is_answered_408() {
    let (app, _) = upstream::echo().await;
    let limits = Limits {
        body: Duration::from_millis(200),
        ..Limits::default()
    };
    let door = Door::open(Wanted {
        app: Some(app),
        limits,
        ..Wanted::default()
    })
    .await;
    let answer = door
        .raw(b"POST /app/ HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nsome")
        .await;
    assert!(
        answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_head_that_trickles_in_is_cut_off() {
    let (app, _) = upstream::echo().await;
    let limits = Limits {
        head: Duration::from_millis(200),
        ..Limits::default()
    };
    let door = Door::open(Wanted {
        app: Some(app),
        limits,
        ..Wanted::default()
    })
    .await;
    let mut stream = door.tls(b"http/1.1").await;
    stream
        .write_all(b"GET /app/ HTTP/1.1\r\nhost: a\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let cut = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    assert!(cut.is_ok(), "it is still open");
    assert!(answer.is_empty());
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let (app, _) = upstream::echo().await;
    let limits = Limits {
        idle: Duration::from_millis(200),
        ..Limits::default()
    };
    let door = Door::open(Wanted {
        app: Some(app),
        limits,
        ..Wanted::default()
    })
    .await;
    let answer = door.raw(b"GET /app/ HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}
