//! HTTP/2 without TLS, which a client begins by itself.

use std::time::Duration;

use doorward_gateway::Limits;
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::door::{Door, Wanted};
use crate::upstream;

async fn door(limits: Limits) -> Door {
    Door::open(Wanted {
        app: Some(upstream::echo().await.0),
        upgrade: false,
        limits,
        ..Wanted::default()
    })
    .await
}

fn post(path: &str, body: Vec<u8>) -> Request<Full<bytes::Bytes>> {
    Request::builder()
        .version(Version::HTTP_2)
        .method("POST")
        .uri(format!("http://kubeflow.example{path}"))
        .body(Full::from(body))
        .unwrap()
}

/// Everything that comes until the gateway closes.
async fn to_the_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(10), read)
        .await
        .expect("it closes");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn requests_share_a_connection() {
    let door = door(Limits::default()).await;
    let stream = TcpStream::connect(door.http()).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let asked = (0..50_usize).map(|number| {
        let mut sender = sender.clone();
        async move {
            let request = post(&format!("/app/{number}"), vec![b'x'; number * 1000]);
            let answer = sender.send_request(request).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            assert_eq!(answer.version(), Version::HTTP_2);
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert!(!body.is_empty());
        }
    });
    futures_util::future::join_all(asked).await;
}

#[tokio::test]
async fn what_it_begins_with_may_come_byte_by_byte() {
    let door = door(Limits::default()).await;
    let mut stream = TcpStream::connect(door.http()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0" {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut head = [0; 9];
    let read = stream.read_exact(&mut head);
    tokio::time::timeout(Duration::from_secs(10), read)
        .await
        .expect("it answers")
        .unwrap();
    // SETTINGS (RFC 9113 §3.4).
    assert_eq!((head[3], &head[5..]), (4, &[0; 4][..]));
}

#[tokio::test]
async fn requests_of_http_1_that_begin_alike_are_not_taken_for_it() {
    let door = door(Limits::default()).await;
    for (request, status) in [
        (
            "PUT /app/ HTTP/1.1\r\nhost: kubeflow.example\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            "200 OK",
        ),
        (
            "GET /app/ HTTP/1.1\r\nhost: kubeflow.example\r\nconnection: close\r\n\r\n",
            "200 OK",
        ),
        ("PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n", "400 Bad Request"),
    ] {
        let mut stream = TcpStream::connect(door.http()).await.unwrap();
        let (first, rest) = request.as_bytes().split_at(1);
        stream.write_all(first).await.unwrap();
        tokio::task::yield_now().await;
        stream.write_all(rest).await.unwrap();
        let answer = to_the_end(&mut stream).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn an_upgrade_to_it_is_not_made() {
    let door = door(Limits::default()).await;
    let mut stream = TcpStream::connect(door.http()).await.unwrap();
    let request = "GET /app/ HTTP/1.1\r\nhost: kubeflow.example\r\nconnection: close, upgrade, http2-settings\r\n\
        upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = to_the_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[tokio::test]
async fn who_begins_and_says_no_more_is_cut_off() {
    let limits = Limits {
        head: Duration::from_millis(200),
        ..Limits::default()
    };
    let door = door(limits).await;
    let mut stream = TcpStream::connect(door.http()).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0").await.unwrap();
    assert_eq!(to_the_end(&mut stream).await, "");
}
