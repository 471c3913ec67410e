//! Upstreams that say what is no answer.

use std::net::SocketAddr;
use std::time::Duration;

use http::Method;
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;

use crate::door::{Door, get, get2, with_headers};
use crate::peers::{lead, raw, read_head, saying};

async fn door(app: SocketAddr) -> Door {
    Door::changed(move |forward| lead(forward, &[app])).await
}

#[tokio::test]
async fn an_answer_shorter_than_it_said_breaks_off_for_the_client_too() {
    let app = saying("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort").await;
    let door = door(app).await;
    let mut client = door.client().await;
    let answer = client.sender.send_request(get("/app/")).await.unwrap();
    assert_eq!(answer.headers()["content-length"], "100");
    assert!(answer.into_body().collect().await.is_err());
    let answer = door
        .client2()
        .await
        .send_request(get2("/app/"))
        .await
        .unwrap();
    assert!(answer.into_body().collect().await.is_err());
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nshort\r\n";
    let door = self::door(saying(chunked).await).await;
    let answer = door
        .client2()
        .await
        .send_request(get2("/app/"))
        .await
        .unwrap();
    assert!(answer.into_body().collect().await.is_err());
}

#[tokio::test]
async fn bytes_behind_an_answer_never_become_the_next_one() {
    let app = raw(|mut stream, _| async move {
        while read_head(&mut stream).await {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ntrueHTTP/1.1 200 OK\r\n\
                content-length: 6\r\n\r\nforged";
            let _ = stream.write_all(answer).await;
        }
    })
    .await;
    let door = door(app).await;
    let mut client = door.client().await;
    for _ in 0..10 {
        assert_eq!(client.get("/app/").await.body(), "true");
    }
}

#[tokio::test]
async fn what_is_no_http_is_a_bad_gateway() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1_000_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(500));
    for said in [
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        &long,
        &many,
    ] {
        let shown = &said[..30.min(said.len())];
        let door = door(saying(said).await).await;
        let answer = door.client().await.get("/app/").await;
        assert_eq!(answer.status(), 502, "{shown}");
        assert_eq!(
            answer.body(),
            "upstream connect error or disconnect/reset before headers. reset reason: protocol error"
        );
    }
}

#[tokio::test]
async fn endless_trailers_are_cut_off() {
    let trailers = "x: y\r\n".repeat(50_000);
    let said = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n{trailers}\r\n");
    let door = door(saying(said).await).await;
    // Whether the head got out before depends on how fast the rest came.
    let answer = door.client2().await.send_request(get2("/app/")).await;
    if let Ok(answer) = answer {
        assert!(answer.into_body().collect().await.is_err());
    }
    assert_eq!(door.client().await.get("/teapot").await.status(), 418);
}

#[tokio::test]
async fn answers_before_the_answer_are_passed_over() {
    let said = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
        HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let door = door(saying(said).await).await;
    let answer = door.client().await.get("/app/").await;
    assert_eq!(
        (answer.status().as_u16(), &answer.body()[..]),
        (200, &b"ok"[..])
    );
}

#[tokio::test]
async fn answers_without_body_keep_their_length_and_the_connection() {
    let app = raw(|mut stream, number| async move {
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody",
        ] {
            assert!(number == 0 && read_head(&mut stream).await);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        read_head(&mut stream).await;
    })
    .await;
    let door = door(app).await;
    let mut client = door.client().await;
    let mut head = with_headers("/app/", &[]);
    *head.method_mut() = Method::HEAD;
    let answer = client.send(head).await;
    assert_eq!(answer.headers()["content-length"], "5");
    let answer = client.get("/app/").await;
    assert_eq!(answer.status(), 204);
    assert!(!answer.headers().contains_key("content-length"));
    let answer = client.get("/app/").await;
    assert_eq!(answer.status(), 304);
    assert_eq!(client.get("/app/").await.body(), "body");
    assert_eq!(door.metric("upstream_connections_total"), 1);
}

#[tokio::test]
async fn a_switch_of_protocols_that_nobody_asked_for_is_no_answer() {
    let said = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n";
    let door = door(saying(said).await).await;
    let answer = tokio::time::timeout(Duration::from_secs(10), async {
        door.client().await.get("/app/").await
    });
    assert_eq!(answer.await.unwrap().status(), 503);
}
