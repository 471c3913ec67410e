//! Records, limits, the end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doorward_gateway::{Limits, Purpose, StartFault};
use http::Response;
use http_body_util::Full;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

use crate::door::{Door, Wanted, get, get2, whole, with_headers};
use crate::upstream;

#[tokio::test]
async fn a_drain_lets_requests_in_flight_finish_and_takes_no_new_ones() {
    let arrived = Arc::new(Notify::new());
    let (go_on, wait) = watch::channel(false);
    let arrivals = Arc::clone(&arrived);
    let (app, _) = upstream::answering(move |_| {
        let (arrived, mut wait) = (Arc::clone(&arrivals), wait.clone());
        async move {
            arrived.notify_one();
            wait.wait_for(|go_on| *go_on).await.unwrap();
            Response::new(Full::<Bytes>::from("done"))
        }
    })
    .await;
    let door = Door::to(app).await;
    let (https, log) = (door.https(), door.log.clone());
    let mut one = door.client().await;
    let mut two = door.client2().await;
    let idle = door.client().await;
    let first = tokio::spawn(async move { one.get("/app/").await });
    arrived.notified().await;
    let second =
        tokio::spawn(async move { whole(two.send_request(get2("/app/")).await.unwrap()).await });
    arrived.notified().await;
    let drained = tokio::spawn(door.gateway.drain(Duration::from_secs(20)));
    until(|| idle.sender.is_closed()).await;
    until(|| std::net::TcpStream::connect(https).is_err()).await;
    assert!(!drained.is_finished() && !first.is_finished() && !second.is_finished());
    go_on.send_replace(true);
    let first = first.await.unwrap();
    assert_eq!(first.body(), "done");
    assert_eq!(first.headers()["connection"], "close");
    assert_eq!(second.await.unwrap().body(), "done");
    drained.await.unwrap();
    assert_eq!(log.lines().len(), 2);
}

#[tokio::test]
async fn a_hand_over_loses_no_request_that_is_on_its_way() {
    let (app, _) = upstream::echo().await;
    let door = Door::open(Wanted {
        app: Some(app),
        workers: 1,
        ..Wanted::default()
    })
    .await;
    let https = door.https();
    let mut kept = door.client().await;
    assert_eq!(kept.get("/app/").await.status(), 200);
    let mut fresh = door.client().await;
    let mut fresh2 = door.client2().await;
    let mut used2 = door.client2().await;
    let first = used2.send_request(get2("/app/")).await.unwrap();
    assert_eq!(whole(first).await.status(), 200);
    let sockets = door.gateway.sockets().unwrap();
    let mut ports: Vec<_> = sockets.iter().map(|one| one.purpose).collect();
    ports.sort_unstable();
    assert_eq!(ports, [80, 443].map(Purpose::Gateway));
    let socket = sockets
        .iter()
        .find(|one| one.purpose == Purpose::Gateway(443))
        .unwrap();
    let successor = TcpListener::from_std(socket.socket.try_clone().unwrap()).unwrap();

    let ended = tokio::spawn(door.gateway.hand_over(Duration::from_secs(20)));
    // Sent away, because HTTP/2 can say so at any time.
    until(|| used2.is_closed()).await;
    // Nobody accepts here any more; who connects waits for the successor.
    let waiting = TcpStream::connect(https).await.unwrap();
    let (_, peer) = successor.accept().await.unwrap();
    assert_eq!(peer, waiting.local_addr().unwrap());
    assert!(!ended.is_finished());
    for client in [&mut kept, &mut fresh] {
        let answer = client.get("/app/").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["connection"], "close");
        until(|| client.sender.is_closed()).await;
    }
    let answer = fresh2.send_request(get2("/app/")).await.unwrap();
    assert!(!answer.headers().contains_key("connection"));
    assert_eq!(whole(answer).await.status(), 200);
    until(|| fresh2.is_closed()).await;
    ended.await.unwrap();
}

#[tokio::test]
async fn a_hand_over_does_not_wait_for_ever() {
    let (app, _) = upstream::echo().await;
    let door = Door::to(app).await;
    let mut idle = door.client().await;
    assert_eq!(idle.get("/app/").await.status(), 200);
    let ended = door.gateway.hand_over(Duration::from_millis(100));
    tokio::time::timeout(Duration::from_secs(3), ended)
        .await
        .expect("it ends at its limit");
    until(|| idle.sender.is_closed()).await;
}

/// Waits for something that happens on another thread.
async fn until(mut happened: impl FnMut() -> bool) {
    let wait = async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .expect("it happens");
}

#[tokio::test]
async fn a_drain_does_not_wait_for_ever() {
    let (app, _) = upstream::answering(|_| async {
        std::future::pending::<()>().await;
        Response::new(Full::<Bytes>::default())
    })
    .await;
    let door = Door::to(app).await;
    let mut client = door.client().await;
    let waiting = tokio::spawn(async move { client.sender.send_request(get("/app/")).await });
    let metrics = door.gateway.metrics();
    until(|| {
        metrics
            .render()
            .contains("doorward_upstream_connections_total 1\n")
    })
    .await;
    door.gateway.drain(Duration::from_millis(100)).await;
    assert!(waiting.await.unwrap().is_err());
}

#[tokio::test]
async fn one_line_tells_the_whole_story_of_a_request() {
    let (app, _) = upstream::echo().await;
    let door = Door::to(app).await;
    let log = door.log.clone();
    let mut client = door.client().await;
    let headers = [
        ("x-request-id", "id-\"1"),
        ("authorization", "Basic c2VjcmV0"),
    ];
    client
        .send(with_headers("/jupyter/a?code=secret", &headers))
        .await;
    client.get("/nothing").await;
    drop(client);
    let rendered = door.gateway.metrics();
    door.gateway.drain(Duration::from_secs(5)).await;
    let mut lines = log.lines();
    lines.sort_by_key(|line| line["status"].as_u64());
    let [forwarded, refused] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    assert_eq!(forwarded["time"], "2026-11-18T11:06:40Z");
    assert_eq!(forwarded["method"], "GET");
    assert_eq!(forwarded["host"], "kubeflow.example");
    assert_eq!(forwarded["path"], "/jupyter/a");
    assert_eq!(forwarded["status"], 200);
    assert_eq!(forwarded["outcome"], "forward");
    assert_eq!(forwarded["route"], "VirtualService team/app");
    assert_eq!(forwarded["reason"], "no_allow_policy");
    assert_eq!(forwarded["client"], "127.0.0.1");
    assert_eq!(forwarded["request_id"].as_str().unwrap().len(), 36);
    assert!(forwarded["bytes"].as_u64().unwrap() > 0);
    assert!(forwarded["duration_us"].as_u64() >= forwarded["upstream_us"].as_u64());
    assert!(!forwarded.to_string().contains("secret"));
    assert_eq!(
        (&refused["outcome"], &refused["reason"]),
        (&"refuse".into(), &"no_route".into())
    );
    let text = rendered.render();
    assert!(text.contains("doorward_requests_total{outcome=\"forward\",status=\"2xx\"} 1\n"));
    assert!(text.contains("doorward_requests_total{outcome=\"refuse\",status=\"4xx\"} 1\n"));
    assert!(text.contains("doorward_connections 0\n"), "{text}");
}

#[tokio::test]
async fn one_client_too_many_is_told_so() {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let door = Door::open(Wanted {
        limits,
        ..Wanted::default()
    })
    .await;
    let mut client = door.client().await;
    assert_eq!(client.get("/teapot").await.status(), 418);
    let mut refused = TcpStream::connect(door.http()).await.unwrap();
    let mut answer = String::new();
    refused.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"),
        "{answer}"
    );
    let mut refused = TcpStream::connect(door.https()).await.unwrap();
    let mut alert = Vec::new();
    refused.read_to_end(&mut alert).await.unwrap();
    assert_eq!(alert, [21, 3, 1, 0, 2, 2, 80]);
    assert_eq!(client.get("/teapot").await.status(), 418);
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error() {
    let door = Door::open(Wanted::default()).await;
    let taken = std::net::TcpListener::bind(door.https());
    assert!(taken.is_err());
    let fault = StartFault::Bind {
        address: door.https(),
        source: std::io::ErrorKind::AddrInUse.into(),
    };
    assert!(fault.to_string().contains(&door.https().to_string()));
}
