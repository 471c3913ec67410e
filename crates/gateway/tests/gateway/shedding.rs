//! More to do than can be done.

use std::sync::Arc;

use bytes::Bytes;
use doorward_gateway::Limits;
use http::Response;
use http_body_util::Full;
use tokio::sync::{Notify, watch};

use crate::door::{Door, Wanted, get2, whole};
use crate::peers::until;
use crate::upstream;

#[tokio::test]
async fn requests_too_many_for_the_process_are_turned_away() {
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
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(
                async move { whole(client.send_request(get2("/app/")).await.unwrap()).await },
            )
        })
        .collect();
    until(|| door.metric("requests_in_flight") == 2).await;
    arrived.notified().await;
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
async fn requests_are_turned_away_before_memory_runs_out() {
    let (app, _) = upstream::echo().await;
    let door = Door::open(Wanted {
        app: Some(app),
        limits: Limits {
            memory: Some(1),
            ..Limits::default()
        },
        ..Wanted::default()
    })
    .await;
    let mut client = door.client().await;
    let mut status = client.get("/app/").await.status();
    while status == 200 {
        tokio::task::yield_now().await;
        status = client.get("/app/").await.status();
    }
    assert_eq!(status, 503);
}
