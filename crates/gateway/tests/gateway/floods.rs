//! Clients that make work without asking for anything, while another one is served.

use std::time::Duration;

use doorward_gateway::Limits;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::door::{Door, Wanted};
use crate::upstream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// `GET https://a/app/` as HPACK, from the static table and literals.
fn head() -> Vec<u8> {
    let mut head = vec![0x82, 0x87, 0x44, 5];
    head.extend(b"/app/");
    head.extend([0x41, 16]);
    head.extend(b"kubeflow.example");
    head
}

/// Sends what `make` makes of the numbers from 0, and returns how many it took to be cut off; none
/// when that did not happen within a hundred thousand, which end by themselves.
async fn until_cut_off(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    make: impl Fn(u32) -> Vec<u8>,
) -> Option<u32> {
    let (mut from, mut to) = tokio::io::split(stream);
    to.write_all(PREFACE).await.unwrap();
    // What is answered is read, as an attacker would to keep the connection going.
    let reader = tokio::spawn(async move {
        let mut scrap = vec![0; 64 * 1024];
        while from.read(&mut scrap).await.is_ok_and(|read| read > 0) {}
    });
    let mut cut = None;
    for number in 0..100_000 {
        if reader.is_finished() || to.write_all(&make(number)).await.is_err() {
            cut = Some(number);
            break;
        }
    }
    match cut {
        Some(number) => Some(number),
        // All was taken into buffers before the end was noticed.
        None => {
            let ended = tokio::time::timeout(Duration::from_secs(20), reader).await;
            ended.ok().map(|_| 100_000)
        }
    }
}

async fn door() -> Door {
    Door::open(Wanted {
        app: Some(upstream::echo().await.0),
        workers: 1,
        log: false,
        ..Wanted::default()
    })
    .await
}

/// Runs a flood while another client of the same worker is served, which waits at most so long.
async fn flood(name: &str, make: impl Fn(u32) -> Vec<u8>) {
    let door = door().await;
    let over_tls = door.tls(b"h2").await;
    flood_over(name, &door, over_tls, &make).await;
    let plain = TcpStream::connect(door.http()).await.unwrap();
    flood_over(&format!("{name} without TLS"), &door, plain, &make).await;
}

async fn flood_over(
    name: &str,
    door: &Door,
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    make: impl Fn(u32) -> Vec<u8>,
) {
    let mut other = door.client().await;
    let served = async {
        let mut answers = 0;
        loop {
            let answer = tokio::time::timeout(Duration::from_secs(5), other.get("/app/")).await;
            assert_eq!(answer.expect("in time").status(), 200);
            answers += 1;
            if answers > 20 {
                tokio::task::yield_now().await;
            }
        }
    };
    let cut = tokio::select! {
        cut = until_cut_off(stream, make) => cut,
        () = served => None,
    };
    assert!(cut.is_some(), "{name} was not cut off");
    // The request that was under way when the flood ended went with it.
    let mut another = door.client().await;
    assert_eq!(another.get("/app/").await.status(), 200, "{name}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_taken_back_at_once() {
    let head = head();
    flood("rapid reset", move |number| {
        let stream = 2 * number + 1;
        [
            frame(1, 5, stream, &head),
            frame(3, 0, stream, &[0, 0, 0, 8]),
        ]
        .concat()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_without_end() {
    flood("continuation", |number| match number {
        0 => frame(1, 1, 1, &head()),
        _ => frame(9, 0, 1, &[0x40, 1, b'a', 1, b'b']),
    })
    .await;
    flood("empty continuation", |number| match number {
        0 => frame(1, 1, 1, &head()),
        _ => frame(9, 0, 1, &[]),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_only_the_protocol_answers() {
    flood("ping", |_| frame(6, 0, 0, b"12345678")).await;
    flood("settings", |_| frame(4, 0, 0, &[])).await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off_over_http_2_too() {
    let door = Door::open(Wanted {
        app: Some(upstream::echo().await.0),
        limits: Limits {
            head: Duration::from_millis(200),
            ..Limits::default()
        },
        ..Wanted::default()
    })
    .await;
    let mut stream = door.tls(b"h2").await;
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(&frame(1, 1, 1, &head())).await.unwrap();
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(10), ended)
        .await
        .expect("it is cut off");
}
