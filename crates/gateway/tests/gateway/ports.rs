//! Sockets of further Gateway ports, and what load balancers in front say.

use std::time::Duration;

use doorward_gateway::ListenAt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::door::{Door, STOCK, Wanted, get, with_headers};
use crate::streams::anywhere;
use crate::upstream;

fn further(port: u16) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: kubeflow-gateway, namespace: kubeflow}}\nspec:\n  selector: {{istio: ingressgateway}}\n  servers:\n  \
         - {{port: {{number: 80, name: http, protocol: HTTP}}, hosts: ['*']}}\n  - {{port: {{number: {port}, name: more, protocol: HTTP}}, hosts: ['*']}}\n"
    )
}

/// The stock tree with one more port.
fn tree(port: u16) -> String {
    let (_, rest) = STOCK.split_once("---").unwrap();
    format!("{}---{rest}", further(port))
}

const ASK: &[u8] = b"GET /app/ HTTP/1.1\r\nhost: kubeflow.example\r\n\r\n";

/// The status of an answer, which is read to its end.
async fn answered(stream: &mut TcpStream) -> String {
    stream.write_all(ASK).await.unwrap();
    let mut answer = Vec::new();
    let is_whole = |answer: &[u8]| {
        let end = answer.windows(4).position(|end| end == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        let (_, length) = head.split_once("content-length: ")?;
        let length: usize = length.lines().next()?.parse().ok()?;
        Some(answer.len() == end + 4 + length)
    };
    while is_whole(&answer) != Some(true) {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "it ended");
    }
    String::from_utf8_lossy(&answer[9..12]).into_owned()
}

#[tokio::test]
async fn a_port_opens_and_closes_with_the_manifests_and_connections_go_on() {
    let door = Door::open(Wanted {
        app: Some(upstream::echo().await.0),
        listen: vec![(8081, anywhere()), (8082, anywhere())],
        ..Wanted::default()
    })
    .await;
    let (one, two) = (
        door.gateway.address(8081).unwrap(),
        door.gateway.address(8082).unwrap(),
    );
    let mut stays = door.client().await;
    assert_eq!(stays.get("/app/").await.status(), 200);
    assert!(TcpStream::connect(one).await.is_err());
    door.follow(&tree(8081));
    let mut open = loop {
        match TcpStream::connect(one).await {
            Ok(stream) => break stream,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    assert!(TcpStream::connect(two).await.is_err());
    // Such a port is served as it is written: nobody is sent to HTTPS from it.
    assert_eq!(answered(&mut open).await, "200");
    door.follow(&tree(8082));
    while TcpStream::connect(one).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let second = async {
        while TcpStream::connect(two).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), second)
        .await
        .unwrap();
    // What was connected to a port that is gone is told that nothing is there.
    assert_eq!(answered(&mut open).await, "404");
    assert_eq!(stays.get("/app/").await.status(), 200);
}

#[tokio::test]
async fn the_client_is_whom_the_load_balancer_names() {
    let proxied = ListenAt {
        address: None,
        proxy_protocol: Some(true),
    };
    let door = Door::open(Wanted {
        app: Some(upstream::echo().await.0),
        listen: vec![(80, proxied)],
        upgrade: false,
        ..Wanted::default()
    })
    .await;
    let ask = async |header: &[u8]| {
        let mut stream = TcpStream::connect(door.http()).await.unwrap();
        stream.write_all(header).await.unwrap();
        let request = b"GET /app/ HTTP/1.1\r\nhost: kubeflow.example\r\nx-forwarded-for: 6.6.6.6\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        // A connection that is closed with bytes unread is reset.
        let _ = stream.read_to_string(&mut answer).await;
        answer
    };
    let one = ask(b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 80\r\n").await;
    assert!(
        one.contains("\"x-forwarded-for\":\"192.0.2.7\"") || one.contains("192.0.2.7"),
        "{one}"
    );
    assert!(
        !one.contains("6.6.6.6") && !one.contains("127.0.0.1"),
        "{one}"
    );
    let mut two = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    two.extend([198, 51, 100, 9, 10, 0, 0, 1, 1, 1, 0, 80]);
    assert!(ask(&two).await.contains("198.51.100.9"));
    assert_eq!(ask(b"").await, "");
    let metrics = door.gateway.metrics().render();
    assert!(
        metrics.contains("doorward_proxy_headers_missing_total 1"),
        "{metrics}"
    );
    // The other socket has none in front.
    assert_eq!(door.client().await.get("/app/").await.status(), 404);
}

#[tokio::test]
async fn the_mesh_may_say_that_every_connection_comes_from_a_load_balancer() {
    let mesh = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: 'defaultConfig: {gatewayTopology: {proxyProtocol: {}}}'\n";
    let door = Door::open(Wanted {
        manifests: format!("{STOCK}{mesh}"),
        app: Some(upstream::echo().await.0),
        upgrade: false,
        ..Wanted::default()
    })
    .await;
    let mut stream = TcpStream::connect(door.http()).await.unwrap();
    stream.write_all(b"PROXY UNKNOWN\r\n").await.unwrap();
    assert_eq!(answered(&mut stream).await, "200");
}

#[tokio::test]
async fn browsers_are_told_to_stay_on_https_for_names_that_are_somebodys() {
    let door = Door::open(Wanted {
        app: Some(upstream::echo().await.0),
        hsts: Some(Duration::from_secs(63_072_000)),
        ..Wanted::default()
    })
    .await;
    let mut client = door.client().await;
    let told = |answer: &http::Response<bytes::Bytes>| {
        let value = answer.headers().get("strict-transport-security")?;
        Some(value.to_str().unwrap().to_owned())
    };
    assert_eq!(
        told(&client.get("/app/").await).as_deref(),
        Some("max-age=63072000")
    );
    // Refusals are answers too.
    assert_eq!(
        told(&client.get("/nothing").await).as_deref(),
        Some("max-age=63072000")
    );
    for host in [
        "localhost",
        "a.localhost:8443",
        "127.0.0.1:8443",
        "[::1]:8443",
    ] {
        let mut request = with_headers("/app/", &[]);
        request.headers_mut().insert("host", host.parse().unwrap());
        assert_eq!(told(&client.send(request).await), None, "{host}");
    }
    let mut plain = TcpStream::connect(door.http()).await.unwrap();
    plain
        .write_all(b"GET /app/ HTTP/1.1\r\nhost: kubeflow.example\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).await.unwrap();
    assert!(!answer.contains("strict-transport"), "{answer}");
    assert_eq!(client.send(get("/app/")).await.status(), 200);
}
