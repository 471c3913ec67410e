//! More to do than can be done.

use std::net::SocketAddr;

use bytes::Bytes;
use doorward_gateway::Limits;
use http::Response;
use http_body_util::Full;
use hyper::client::conn::http2::SendRequest;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::door::{Door, Wanted, get2, whole};
use crate::peers::until;
use crate::upstream;

/// An upstream that answers when it is told to.
async fn held() -> (SocketAddr, watch::Sender<bool>) {
    let (go_on, wait) = watch::channel(false);
    let (app, _) = upstream::answering(move |_| {
        let mut wait = wait.clone();
        async move {
            wait.wait_for(|go_on| *go_on).await.unwrap();
            Response::new(Full::<Bytes>::from("done"))
        }
    })
    .await;
    (app, go_on)
}

fn asking(mut client: SendRequest<Full<Bytes>>) -> JoinHandle<Response<Bytes>> {
    tokio::spawn(async move { whole(client.send_request(get2("/app/")).await.unwrap()).await })
}

#[tokio::test]
async fn requests_too_many_for_the_process_are_turned_away() {
    let (app, go_on) = held().await;
    let door = Door::open(Wanted {
        app: Some(app),
        limits: Limits {
            requests: 2,
            ..Limits::default()
        },
        ..Wanted::default()
    })
    .await;
    let client = door.client2().await;
    let waiting: Vec<_> = (0..2).map(|_| asking(client.clone())).collect();
    until(|| door.metric("requests_in_flight") == 2).await;
    for _ in 0..3 {
        let refused = door.client().await.get("/app/").await;
        assert_eq!(refused.status(), 503);
        assert_eq!(refused.headers()["retry-after"], "1");
        assert_eq!(refused.body(), "the gateway has too much to do");
    }
    go_on.send_replace(true);
    for one in waiting {
        assert_eq!(one.await.unwrap().body(), "done");
    }
    until(|| door.metric("requests_in_flight") == 0).await;
    assert_eq!(door.client().await.get("/app/").await.body(), "done");
    let shed = "requests_total{outcome=\"shed\",status=\"5xx\"}";
    assert_eq!(door.metric(shed), 3);
}

#[tokio::test]
async fn requests_are_turned_away_before_memory_runs_out_but_a_few_are_always_answered() {
    let (app, go_on) = held().await;
    let door = Door::open(Wanted {
        app: Some(app),
        workers: 1,
        limits: Limits {
            memory: Some(1),
            ..Limits::default()
        },
        ..Wanted::default()
    })
    .await;
    let client = door.client2().await;
    let waiting: Vec<_> = (0..16).map(|_| asking(client.clone())).collect();
    until(|| door.metric("requests_in_flight") == 16).await;
    let mut other = door.client().await;
    let mut status = other.get("/teapot").await.status();
    while status == 418 {
        tokio::task::yield_now().await;
        status = other.get("/teapot").await.status();
    }
    assert_eq!(status, 503);
    go_on.send_replace(true);
    for one in waiting {
        assert_eq!(one.await.unwrap().body(), "done");
    }
    until(|| door.metric("requests_in_flight") == 0).await;
    assert_eq!(other.get("/teapot").await.status(), 418);
}
