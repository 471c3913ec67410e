//! Several places of one upstream, and limits on what they get.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use model::snapshot::{Balance, HashKey, Outliers, Traffic};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use crate::door::{Client, Door, get, get2, with_headers};
use crate::peers::{lead, named, read_head, traffic, until};
use crate::upstream;

fn balanced(balance: Balance) -> Traffic {
    Traffic {
        balance,
        ..Traffic::default()
    }
}

async fn three(wanted: Traffic) -> Door {
    let places = [named("a").await, named("b").await, named("c").await];
    Door::changed(move |forward| {
        lead(forward, &places);
        traffic(forward, wanted.clone());
    })
    .await
}

async fn who(client: &mut Client, headers: &[(&str, &str)]) -> String {
    let answer = client.send(with_headers("/app/?user=u1", headers)).await;
    assert_eq!(answer.status(), 200);
    String::from_utf8(answer.body().to_vec()).unwrap()
}

#[tokio::test]
async fn round_robin_goes_around() {
    let door = three(balanced(Balance::RoundRobin)).await;
    let mut client = door.client().await;
    let mut counts = BTreeMap::new();
    for _ in 0..9 {
        *counts.entry(who(&mut client, &[]).await).or_insert(0) += 1;
    }
    assert_eq!(counts.values().copied().collect::<Vec<_>>(), [3, 3, 3]);
}

#[tokio::test]
async fn every_place_gets_some_by_default() {
    let door = three(Traffic::default()).await;
    let mut client = door.client().await;
    let mut counts = BTreeMap::new();
    for _ in 0..60 {
        *counts.entry(who(&mut client, &[]).await).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 3, "{counts:?}");
}

#[tokio::test]
async fn the_same_header_parameter_or_address_leads_to_the_same_place() {
    let header = HashKey::Header(http::HeaderName::from_static("x-user"));
    let door = three(balanced(Balance::Consistent(header))).await;
    let mut client = door.client().await;
    let mut used = BTreeMap::new();
    for user in ["u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8", "u9"] {
        let first = who(&mut client, &[("x-user", user)]).await;
        for _ in 0..5 {
            assert_eq!(who(&mut client, &[("x-user", user)]).await, first);
        }
        *used.entry(first).or_insert(0) += 1;
    }
    assert!(used.len() > 1, "{used:?}");
    for key in [HashKey::SourceIp, HashKey::QueryParameter("user".into())] {
        let door = three(balanced(Balance::Consistent(key))).await;
        let mut client = door.client().await;
        let first = who(&mut client, &[]).await;
        for _ in 0..8 {
            assert_eq!(who(&mut client, &[]).await, first);
        }
    }
}

#[tokio::test]
async fn a_client_without_the_cookie_gets_one_that_leads_it_back() {
    let key = HashKey::Cookie {
        name: "sticky".into(),
        path: Some("/app".into()),
        ttl: Some(Duration::from_secs(600)),
    };
    let door = three(balanced(Balance::Consistent(key))).await;
    let mut client = door.client().await;
    let mut used = BTreeMap::new();
    for _ in 0..10 {
        let answer = client.get("/app/").await;
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        let (pair, rest) = cookie.split_once(';').unwrap();
        assert!(pair.starts_with("sticky="), "{cookie}");
        assert_eq!(rest, " Max-Age=600; Path=/app; HttpOnly");
        let again = client
            .send(with_headers(
                "/app/",
                &[("cookie", &format!("a=b; {pair}"))],
            ))
            .await;
        assert_eq!(again.body(), answer.body());
        assert!(!again.headers().contains_key("set-cookie"));
        *used.entry(answer.into_body()).or_insert(0) += 1;
    }
    assert!(used.len() > 1, "{used:?}");
}

/// An upstream that answers when it is told to, and how many requests it has got.
async fn held() -> (
    std::net::SocketAddr,
    watch::Sender<bool>,
    Arc<AtomicUsize>,
    Arc<AtomicUsize>,
) {
    let (go_on, wait) = watch::channel(false);
    let arrived = Arc::new(AtomicUsize::new(0));
    let arrivals = Arc::clone(&arrived);
    let (app, connections) = upstream::answering(move |_| {
        let mut wait = wait.clone();
        arrivals.fetch_add(1, Ordering::SeqCst);
        async move {
            wait.wait_for(|go_on| *go_on).await.unwrap();
            Response::new(Full::<Bytes>::from("done"))
        }
    })
    .await;
    (app, go_on, arrived, connections)
}

async fn asking(door: &Door) -> tokio::task::JoinHandle<Response<Bytes>> {
    let mut client = door.client().await;
    tokio::spawn(async move { client.send(get("/app/")).await })
}

#[tokio::test]
async fn a_request_too_many_is_told_that_the_upstream_is_overloaded() {
    let (app, go_on, arrived, _) = held().await;
    let door = Door::changed(move |forward| {
        lead(forward, &[app]);
        let max_requests = Some(2);
        traffic(
            forward,
            Traffic {
                max_requests,
                ..Traffic::default()
            },
        );
    })
    .await;
    let waiting = [asking(&door).await, asking(&door).await];
    until(|| arrived.load(Ordering::SeqCst) == 2).await;
    let refused = door.client().await.get("/app/").await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["x-envoy-overloaded"], "true");
    assert_eq!(
        refused.body(),
        "upstream connect error or disconnect/reset before headers. reset reason: overflow"
    );
    go_on.send_replace(true);
    for one in waiting {
        assert_eq!(one.await.unwrap().body(), "done");
    }
    assert_eq!(door.client().await.get("/app/").await.body(), "done");
    assert_eq!(
        door.metric("upstream_failures_total{reason=\"overflow\"}"),
        1
    );
}

#[tokio::test]
async fn a_request_too_many_leaves_its_connection_to_the_next() {
    let (app, go_on, arrived, _) = held().await;
    let door = Door::changed(move |forward| {
        lead(forward, &[app]);
        traffic(
            forward,
            Traffic {
                max_connections: Some(2),
                max_requests: Some(1),
                ..Traffic::default()
            },
        );
    })
    .await;
    let first = asking(&door).await;
    until(|| arrived.load(Ordering::SeqCst) == 1).await;
    // One makes the second connection, the others wait for it; none of them may be sent.
    let client = door.client2().await;
    let refused = (0..3).map(|_| {
        let mut client = client.clone();
        async move { client.send_request(get2("/app/")).await.unwrap().status() }
    });
    let refused = futures_util::future::join_all(refused);
    let refused = tokio::time::timeout(Duration::from_secs(5), refused).await;
    assert_eq!(refused, Ok(vec![StatusCode::SERVICE_UNAVAILABLE; 3]));
    go_on.send_replace(true);
    assert_eq!(first.await.unwrap().body(), "done");
}

#[tokio::test]
async fn requests_wait_for_a_connection_and_only_so_many() {
    let (app, go_on, arrived, connections) = held().await;
    let door = Door::changed(move |forward| {
        lead(forward, &[app]);
        traffic(
            forward,
            Traffic {
                max_connections: Some(1),
                max_pending: Some(2),
                ..Traffic::default()
            },
        );
    })
    .await;
    let first = asking(&door).await;
    until(|| arrived.load(Ordering::SeqCst) == 1).await;
    let in_flight = || door.metric("requests_in_flight");
    let second = asking(&door).await;
    let third = asking(&door).await;
    until(|| in_flight() == 3).await;
    let refused = door.client().await.get("/app/").await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["x-envoy-overloaded"], "true");
    go_on.send_replace(true);
    for one in [first, second, third] {
        assert_eq!(one.await.unwrap().body(), "done");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_waiting_request_whose_client_leaves_holds_nobody_up() {
    let (app, go_on, arrived, connections) = held().await;
    let door = Door::changed(move |forward| {
        lead(forward, &[app]);
        let max_connections = Some(1);
        traffic(
            forward,
            Traffic {
                max_connections,
                ..Traffic::default()
            },
        );
    })
    .await;
    let first = asking(&door).await;
    until(|| arrived.load(Ordering::SeqCst) == 1).await;
    let leaving = asking(&door).await;
    until(|| door.metric("requests_in_flight") == 2).await;
    let last = asking(&door).await;
    until(|| door.metric("requests_in_flight") == 3).await;
    leaving.abort();
    until(|| door.metric("requests_in_flight") == 2).await;
    go_on.send_replace(true);
    assert_eq!(first.await.unwrap().body(), "done");
    assert_eq!(last.await.unwrap().body(), "done");
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    assert_eq!(arrived.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_connection_serves_only_so_many_requests() {
    let (app, connections) = upstream::echo().await;
    let door = Door::changed(move |forward| {
        lead(forward, &[app]);
        traffic(
            forward,
            Traffic {
                requests_per_connection: Some(2),
                ..Traffic::default()
            },
        );
    })
    .await;
    let mut client = door.client().await;
    for _ in 0..6 {
        assert_eq!(client.get("/app/").await.status(), 200);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_place_that_fails_again_and_again_is_left_out() {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    let (bad, _) = upstream::answering(move |_| {
        seen.fetch_add(1, Ordering::SeqCst);
        async {
            let mut response = Response::new(Full::<Bytes>::default());
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        }
    })
    .await;
    let good = named("good").await;
    let outliers = Outliers {
        consecutive_5xx: 0,
        consecutive_gateway_errors: 3,
        base_ejection: Duration::from_secs(600),
        max_ejection_percent: 10,
    };
    let rules = Traffic {
        balance: Balance::RoundRobin,
        outliers: Some(outliers),
        ..Traffic::default()
    };
    let both = rules.clone();
    let door = Door::changed(move |forward| {
        lead(forward, &[bad, good]);
        traffic(forward, both.clone());
    })
    .await;
    let mut client = door.client().await;
    for _ in 0..20 {
        client.get("/app/").await;
    }
    assert_eq!(count.load(Ordering::SeqCst), 3);
    assert_eq!(door.metric("upstream_ejections_total"), 1);
    assert_eq!(client.get("/app/").await.body(), "good");

    // The last place of all may be left out only where the manifest says so.
    let all = Traffic {
        outliers: Some(Outliers {
            max_ejection_percent: 100,
            ..outliers
        }),
        ..rules
    };
    let door = Door::changed(move |forward| {
        lead(forward, &[bad]);
        traffic(forward, all.clone());
    })
    .await;
    let mut client = door.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/app/").await.status(), 502);
    }
    let refused = client.get("/app/").await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.body(), "no healthy upstream");
}

#[tokio::test]
async fn a_place_that_takes_no_connection_gets_no_request_until_it_takes_one() {
    let good = named("good").await;
    let place = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = place.local_addr().unwrap();
    drop(place);
    let door = Door::changed(move |forward| {
        lead(forward, &[address, good]);
        traffic(forward, balanced(Balance::RoundRobin));
    })
    .await;
    let mut client = door.client().await;
    let mut failed = 0;
    for _ in 0..30 {
        failed += usize::from(client.get("/app/").await.status() == 503);
    }
    assert_eq!(failed, 1);
    // Whether it is back is found out by a connection on which nothing is asked.
    let place = tokio::net::TcpListener::bind(address).await.unwrap();
    let looked = async {
        let (mut look, _) = place.accept().await.unwrap();
        assert_eq!(look.read(&mut [0; 1]).await.unwrap(), 0);
    };
    tokio::time::timeout(Duration::from_secs(20), looked)
        .await
        .unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = place.accept().await.unwrap();
            tokio::spawn(async move {
                while read_head(&mut stream).await {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nback";
                    stream.write_all(answer).await.unwrap();
                }
            });
        }
    });
    let mut seen = BTreeMap::new();
    for _ in 0..10 {
        *seen.entry(who(&mut client, &[]).await).or_insert(0) += 1;
    }
    assert_eq!(
        seen.into_iter().collect::<Vec<_>>(),
        [("back".into(), 5), ("good".into(), 5)]
    );
}
