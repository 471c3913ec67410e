//! Requests that two parsers could read in two ways.

use std::fmt::Write;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::door::Door;
use crate::upstream;

async fn door() -> Door {
    Door::to(upstream::echo().await.0).await
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or("nothing")
}

#[tokio::test]
async fn what_cannot_mean_one_thing_is_refused_and_the_connection_ends() {
    let door = door().await;
    for (name, request) in [
        (
            "two hosts",
            "GET /app/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        ),
        ("no host", "GET /app/ HTTP/1.1\r\n\r\n"),
        ("empty host", "GET /app/ HTTP/1.1\r\nHost:\r\n\r\n"),
        (
            "another host in the target",
            "GET http://b/app/ HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        (
            "user info in the host",
            "GET /app/ HTTP/1.1\r\nHost: u@a\r\n\r\n",
        ),
        (
            "path in the host",
            "GET /app/ HTTP/1.1\r\nHost: a/b\r\n\r\n",
        ),
        ("asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("escaped NUL", "GET /app/%00 HTTP/1.1\r\nHost: a\r\n\r\n"),
        (
            "bare LF after the request line",
            "GET /app/ HTTP/1.1\nHost: a\r\n\r\n",
        ),
        (
            "bare LF between headers",
            "GET /app/ HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        ),
        ("bare LF at the end", "GET /app/ HTTP/1.1\r\nHost: a\r\n\n"),
        ("bare CR", "GET /app/ HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"),
        (
            "folded header",
            "GET /app/ HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
        ),
        (
            "space before the colon",
            "GET /app/ HTTP/1.1\r\nHost : a\r\n\r\n",
        ),
        (
            "NUL in a header",
            "GET /app/ HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n",
        ),
        (
            "signed length",
            "POST /app/ HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        ),
        (
            "listed length",
            "POST /app/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
        ),
        (
            "two lengths",
            "POST /app/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        ),
        (
            "unknown encoding",
            "POST /app/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "encoding twice",
            "POST /app/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "encoding listed twice",
            "POST /app/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "another encoding before the last",
            "POST /app/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "chunked before the last encoding",
            "POST /app/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        ),
        (
            "encoding in HTTP/1.0",
            "POST /app/ HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
    ] {
        let answer = door.raw(request.as_bytes()).await;
        assert_eq!(status(&answer), "400", "{name}: {answer}");
    }
    let answer = door
        .raw(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n")
        .await;
    assert_eq!(status(&answer), "405", "{answer}");
}

#[tokio::test]
async fn heads_that_are_too_long_are_refused_431() {
    let door = door().await;
    let long = format!(
        "GET /app/ HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(70_000)
    );
    assert_eq!(status(&door.raw(long.as_bytes()).await), "431");
    let mut many = String::from("GET /app/ HTTP/1.1\r\nHost: a\r\n");
    for number in 0..120 {
        write!(many, "X-{number}: y\r\n").unwrap();
    }
    many.push_str("\r\n");
    assert_eq!(status(&door.raw(many.as_bytes()).await), "431");
}

#[tokio::test]
async fn a_chunk_of_a_bad_size_never_becomes_a_second_request() {
    let door = door().await;
    for size in ["zz", "-1", "0x5", "5 5", "ffffffffffffffff1", "5\nhello"] {
        let request = format!(
            "POST /app/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\nhello\r\n\
             0\r\n\r\nGET /app/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        );
        let answer = door.raw(request.as_bytes()).await;
        assert!(!answer.contains("smuggled"), "{size}: {answer}");
        assert!(!answer.contains("HTTP/1.1 200"), "{size}: {answer}");
        assert_eq!(status(&answer), "400", "{size}: {answer}");
    }
}

#[tokio::test]
async fn a_length_beside_an_encoding_is_refused_and_the_connection_ends() {
    let door = door().await;
    for framing in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 4",
        "CONTENT-LENGTH: 0\r\nX: y\r\nTRANSFER-ENCODING: chunked",
    ] {
        let request = format!(
            "POST /app/ HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n5\r\nhello\r\n0\r\n\r\n\
             GET /app/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        );
        let answer = door.raw(request.as_bytes()).await;
        assert_eq!(status(&answer), "400", "{framing}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{framing}: {answer}");
        // The second request of a connection, after a whole first one.
        let mut stream = door.tls(b"http/1.1").await;
        let first = b"GET /app/first HTTP/1.1\r\nHost: a\r\n\r\n";
        stream.write_all(first).await.unwrap();
        let mut answer = vec![0; 16 * 1024];
        let read = stream.read(&mut answer).await.unwrap();
        assert!(String::from_utf8_lossy(&answer[..read]).contains("/app/first"));
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        let rest = String::from_utf8_lossy(&rest);
        assert_eq!(status(&rest), "400", "{framing}: {rest}");
    }
    assert!(
        door.log
            .lines()
            .iter()
            .all(|line| line["path"] != "/app/smuggled")
    );
}

#[tokio::test]
async fn hop_by_hop_headers_and_foreign_upgrades_stay_here() {
    let door = door().await;
    let answer = door
        .raw(
            b"GET /app/ HTTP/1.1\r\nHost: a\r\nConnection: close, upgrade, x-hop\r\nUpgrade: h2c\r\n\
              HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\
              Proxy-Authorization: x\r\nTE: gzip\r\n\r\n",
        )
        .await;
    assert_eq!(status(&answer), "200", "{answer}");
    for name in [
        "connection",
        "upgrade",
        "http2-settings",
        "x-hop",
        "keep-alive",
        "proxy-authorization",
        "te",
    ] {
        assert!(
            !answer.contains(&format!(r#"["{name}""#)),
            "{name}: {answer}"
        );
    }
}
