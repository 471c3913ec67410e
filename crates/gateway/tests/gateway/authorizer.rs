//! The listener that other proxies ask, beyond what the cases say.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use doorward_gateway::{AuthorizerSettings, Limits};
use envoy_types::ext_authz::v3::pb::{CheckRequest, HttpResponse};
use envoy_types::pb::envoy::service::auth::v3::AttributeContext;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{self, HttpRequest};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use http::Request;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::door::{Door, Wanted};

const DENIES: &str = r#"
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: only-here, namespace: istio-system }
spec:
  selector: { matchLabels: { istio: ingressgateway } }
  rules:
    - to: [{ operation: { paths: ["/app/*", "/doorward/*"] } }]
      from: [{ source: { remoteIpBlocks: ["203.0.113.0/24"] } }]
"#;

async fn asked(change: impl FnOnce(&mut AuthorizerSettings)) -> (Door, SocketAddr) {
    let mut authorizer = AuthorizerSettings {
        http: Some("127.0.0.1:0".parse().unwrap()),
        ..AuthorizerSettings::default()
    };
    change(&mut authorizer);
    let manifests = format!("{}{DENIES}", crate::door::STOCK);
    let door = Door::open(Wanted {
        manifests,
        authorizer,
        workers: 1,
        ..Wanted::default()
    })
    .await;
    let at = door.gateway.authorizer_http_address().unwrap();
    (door, at)
}

/// Status of a request in HTTP/1.1.
async fn status(at: SocketAddr, target: &str, lines: &[&str]) -> u16 {
    let answer = answer(at, target, lines).await;
    answer.get(9..12).and_then(|it| it.parse().ok()).unwrap()
}

async fn answer(at: SocketAddr, target: &str, lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let head = format!("GET {target} HTTP/1.1\r\nhost: h\r\n{lines}connection: close\r\n\r\n");
    crate::door::raw(at, head.as_bytes()).await
}

const INSIDE: &str = "x-forwarded-for: 198.51.100.1, 203.0.113.9";

#[tokio::test]
async fn a_trusted_peer_says_who_the_client_is_and_nobody_else_does() {
    let (_door, at) = asked(|_| {}).await;
    assert_eq!(status(at, "/app/", &[INSIDE]).await, 200);
    // What a client puts in front of it counts as little as nothing at all.
    let lie = "x-forwarded-for: 203.0.113.9, 198.51.100.1";
    assert_eq!(status(at, "/app/", &[lie]).await, 403);
    assert_eq!(status(at, "/app/", &[]).await, 403);
    // Envoy adds its own address behind the client's, and tells the client's by itself.
    let own = "x-forwarded-for: 203.0.113.9, 10.0.0.1";
    assert_eq!(status(at, "/app/", &[own]).await, 403);
    let external = "x-envoy-external-address: 203.0.113.9";
    assert_eq!(status(at, "/app/", &[own, external]).await, 200);
    let (_door, at) = asked(|it| it.trusted_peers.clear()).await;
    assert_eq!(status(at, "/app/", &[INSIDE]).await, 403);
    assert_eq!(status(at, "/app/", &[external]).await, 403);
}

#[tokio::test]
async fn a_request_says_its_path_itself_and_no_header_does() {
    let (_door, at) = asked(|_| {}).await;
    for line in [
        "x-forwarded-uri: /app/",
        "x-original-uri: /app/",
        "x-original-url: http://h/app/",
        "x-envoy-original-path: /app/",
        "x-rewrite-url: /app/",
    ] {
        assert_eq!(status(at, "/else", &[INSIDE, line]).await, 403, "{line}");
    }
}

#[tokio::test]
async fn with_a_prefix_only_what_has_it_is_a_question() {
    let (_door, at) = asked(|it| it.path_prefix = "/check".into()).await;
    assert_eq!(status(at, "/check/app/", &[INSIDE]).await, 200);
    assert_eq!(status(at, "/check/else", &[INSIDE]).await, 403);
    // Nothing is behind this listener, whoever may pass.
    assert_eq!(status(at, "/app/", &[INSIDE]).await, 404);
    assert_eq!(status(at, "/check", &[INSIDE]).await, 403);
    // A page's file is one only where no question is asked.
    let file = "/doorward/assets/doorward.css";
    assert_eq!(status(at, file, &[]).await, 200);
    assert_eq!(status(at, &format!("/check{file}"), &[]).await, 203);
}

#[tokio::test]
async fn what_came_under_an_identity_header_is_taken_away() {
    let (_door, at) = asked(|_| {}).await;
    let lies = [INSIDE, "kubeflow-userid: root@example.com"];
    let answer = answer(at, "/app/", &lies).await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    assert!(!answer.contains("root@example.com"), "{answer}");
    let removed = answer
        .lines()
        .find_map(|line| line.strip_prefix("x-envoy-auth-headers-to-remove: "));
    let removed: Vec<&str> = removed.unwrap().split(", ").collect();
    for name in ["kubeflow-userid", "kubeflow_userid", "x_auth-request_user"] {
        assert!(removed.contains(&name), "{removed:?}");
    }
}

#[tokio::test]
async fn many_questions_on_one_connection_and_over_http2_are_answered_and_logged() {
    let (door, at) = asked(|_| {}).await;
    let one = format!("GET /app/ HTTP/1.1\r\nhost: h\r\n{INSIDE}\r\n\r\n");
    let last = format!("GET /app/ HTTP/1.1\r\nhost: h\r\n{INSIDE}\r\nconnection: close\r\n\r\n");
    let answers = crate::door::raw(at, format!("{one}{one}{last}").as_bytes()).await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 3, "{answers}");
    let io = TokioIo::new(TcpStream::connect(at).await.unwrap());
    let http2 = http2::handshake(TokioExecutor::new(), io).await;
    let (mut sender, connection) = http2.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("http://h/app/").header("x-forwarded-for", "203.0.113.9");
    let request = request.body(Full::<Bytes>::default()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    connection.abort();
    let metrics = door.gateway.metrics().render();
    let count = r#"checks_total{frontend="ext_authz_http",outcome="allow"} 4"#;
    assert!(metrics.contains(count), "{metrics}");
    door.gateway.drain(Duration::from_secs(5)).await;
    let lines = door.log.lines();
    assert_eq!(lines.len(), 4);
    assert!(
        lines
            .iter()
            .all(|line| line["frontend"] == "ext_authz_http")
    );
    assert!(lines.iter().all(|line| line["client"] == "203.0.113.9"));
}

/// What a proxy says of a request to `/app/` by a client that may pass.
const DESCRIBED: [&str; 3] = [
    "x-forwarded-method: GET",
    "x-forwarded-uri: /app/?q",
    "x-forwarded-host: h",
];

#[tokio::test]
async fn a_sub_request_describes_another_request() {
    let (door, at) = asked(|_| {}).await;
    let whole = "/doorward/forward-auth";
    let [method, uri, host] = DESCRIBED;
    assert_eq!(status(at, whole, &[INSIDE, method, uri, host]).await, 202);
    let elsewhere = "x-forwarded-uri: /else";
    assert_eq!(
        status(at, whole, &[INSIDE, method, elsewhere, host]).await,
        403
    );
    // What is left out, or said twice, describes nothing.
    for lines in [
        &[INSIDE, uri, host][..],
        &[INSIDE, method, host],
        &[INSIDE, method, uri],
        &[INSIDE, method, uri, host, elsewhere],
        // The other family is another proxy's.
        &[
            INSIDE,
            "x-original-method: GET",
            "x-original-uri: /app/",
            host,
        ],
    ] {
        assert_eq!(status(at, whole, lines).await, 403, "{lines:?}");
    }
    let bare = "/doorward/auth-request";
    let original = [INSIDE, "x-original-method: GET", "x-original-uri: /app/"];
    assert_eq!(status(at, bare, &original).await, 202);
    // A client of nginx may send these; nginx sets its own.
    let lies = [
        INSIDE,
        original[1],
        "x-original-uri: /else",
        method,
        uri,
        host,
    ];
    assert_eq!(status(at, bare, &lies).await, 403);
    let outside = "x-forwarded-for: 198.51.100.1";
    let external = "x-envoy-external-address: 203.0.113.9";
    let lies = [outside, external, original[1], original[2]];
    assert_eq!(status(at, bare, &lies).await, 403);
    door.gateway.drain(Duration::from_secs(5)).await;
    let lines = door.log.lines();
    assert!(lines.iter().all(|line| line["frontend"] == "forward_auth"));
    let first = &lines[0];
    assert_eq!(
        (&first["path"], &first["outcome"]),
        (&"/app/".into(), &"allow".into())
    );
}

#[tokio::test]
async fn a_stranger_describes_nothing() {
    let (_door, at) = asked(|it| it.trusted_peers.clear()).await;
    let [method, uri, host] = DESCRIBED;
    let lines = [INSIDE, method, uri, host];
    for path in [
        "/doorward/forward-auth",
        "/doorward/auth-request",
        "/doorward/auth-request/answer",
    ] {
        let answer = answer(at, path, &lines).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        assert!(answer.contains("`authorizer.trustedPeers`"), "{answer}");
    }
}

#[tokio::test]
async fn a_permission_of_one_form_is_none_of_the_other() {
    let (_door, at) = asked(|_| {}).await;
    let [method, uri, host] = DESCRIBED;
    // What Envoy would ask when its client asks for this path and describes what it may have: only
    // 200 is a permission there.
    let lines = [INSIDE, method, uri, host];
    assert_eq!(status(at, "/doorward/forward-auth", &lines).await, 202);
}

/// A question that tells no source.
fn of_nobody(method: &str, path: &str, host: &str) -> CheckRequest {
    let http = HttpRequest {
        method: method.into(),
        path: path.into(),
        host: host.into(),
        ..HttpRequest::default()
    };
    let request = attribute_context::Request {
        http: Some(http),
        ..Default::default()
    };
    let attributes = AttributeContext {
        request: Some(request),
        ..AttributeContext::default()
    };
    CheckRequest {
        attributes: Some(attributes),
    }
}

#[tokio::test]
async fn the_log_names_the_certificate_that_the_one_who_asks_has_checked() {
    let (door, _) = asked(|it| it.grpc = Some("127.0.0.1:0".parse().unwrap())).await;
    let at = door.gateway.authorizer_grpc_address().unwrap();
    let channel = tonic::transport::Endpoint::try_from(format!("http://{at}"));
    let mut client = AuthorizationClient::new(channel.unwrap().connect().await.unwrap());
    let names = ["spiffe://cluster.local/ns/team/sa/robot", "CN=somebody", ""];
    for name in names {
        let mut request = of_nobody("GET", "/app/", "h");
        let attributes = request.attributes.as_mut().unwrap();
        attributes.source = Some(attribute_context::Peer {
            principal: name.into(),
            ..attribute_context::Peer::default()
        });
        attributes.tls_session = Some(attribute_context::TlsSession {
            sni: "inner.example".into(),
        });
        client.check(request).await.unwrap();
    }
    drop(client);
    door.gateway.drain(Duration::from_secs(5)).await;
    let lines = door.log.lines();
    let told: Vec<_> = lines
        .iter()
        .map(|line| line["principal"].as_str())
        .collect();
    assert_eq!(told, [Some("cluster.local/ns/team/sa/robot"), None, None]);
    assert!(
        lines
            .iter()
            .all(|line| line["server_name"] == "inner.example"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn over_grpc_there_is_health_and_what_is_no_request_is_refused() {
    let (door, _) = asked(|it| it.grpc = Some("127.0.0.1:0".parse().unwrap())).await;
    let at = door.gateway.authorizer_grpc_address().unwrap();
    let channel = tonic::transport::Endpoint::try_from(format!("http://{at}"));
    let channel = channel.unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel.clone());
    for service in ["", "envoy.service.auth.v3.Authorization"] {
        let service = service.to_owned();
        let answer = health.check(HealthCheckRequest { service }).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
    }
    let service = "somebody.else".to_owned();
    let unknown = health
        .check(HealthCheckRequest { service })
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    let mut client = AuthorizationClient::new(channel);
    // As the filter of TCP asks, and as nobody should.
    let nothing = CheckRequest::default();
    for request in [
        nothing,
        of_nobody("", "/app/", "h"),
        of_nobody("GET", "", "h"),
        of_nobody("GET", "/app/", ""),
        of_nobody("GET", "/app/", "a b"),
        of_nobody("CONNECT", "h:443", "h"),
        of_nobody("GET", "/else", "h"),
    ] {
        let said = format!("{request:?}");
        let answer = client.check(request).await.unwrap().into_inner();
        assert_ne!(answer.status.unwrap().code, 0, "{said}");
        assert!(matches!(
            answer.http_response,
            Some(HttpResponse::DeniedResponse(_))
        ));
    }
    // HTTP/1 is not spoken there.
    assert_eq!(answer(at, "/app/", &[INSIDE]).await, "");
}

#[tokio::test]
async fn a_question_too_many_is_answered_no() {
    let authorizer = AuthorizerSettings {
        http: Some("127.0.0.1:0".parse().unwrap()),
        ..AuthorizerSettings::default()
    };
    let door = Door::open(Wanted {
        authorizer,
        workers: 1,
        limits: Limits {
            requests: 0,
            ..Limits::default()
        },
        ..Wanted::default()
    })
    .await;
    let at = door.gateway.authorizer_http_address().unwrap();
    // 5xx would be a failure, on which a proxy may let through.
    assert_eq!(status(at, "/app/", &[]).await, 403);
}
