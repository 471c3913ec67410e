//! Routing, rewriting, headers, answers.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::door::{Door, Wanted, get, get2, whole, with_headers};
use crate::upstream::{self, Received};

#[tokio::test]
async fn a_route_rewrites_the_path_and_edits_headers() {
    let (app, _) = upstream::echo().await;
    let door = Door::to(app).await;
    let mut client = door.client().await;
    let request = with_headers(
        "/jupyter/api/x?a=%20b",
        &[("x-removed", "1"), ("x-kept", "2")],
    );
    let response = client.send(request).await;
    assert_eq!(response.headers()["x-answered"], "by-route");
    let seen = Received::of(&response);
    assert_eq!(seen.target(), "/api/x?a=%20b");
    assert_eq!(seen.all("host"), ["kubeflow.example"]);
    assert_eq!(seen.all("x-added"), ["by-route"]);
    assert_eq!(seen.all("x-removed"), [""; 0]);
    assert_eq!(seen.all("x-kept"), ["2"]);
    assert_eq!(seen.all("x-envoy-original-path"), ["/jupyter/api/x?a=%20b"]);
}

#[tokio::test]
async fn an_application_is_told_who_asks_and_how() {
    let (app, _) = upstream::echo().await;
    let door = Door::to(app).await;
    let lies = [
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "evil.example"),
        ("x_forwarded_for", "6.6.6.6"),
    ];
    let seen = Received::of(&door.client().await.send(with_headers("/app/", &lies)).await);
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.all("x-forwarded-proto"), ["https"]);
    assert_eq!(seen.all("x-forwarded-host"), ["kubeflow.example"]);
    assert_eq!(seen.all("x_forwarded_for"), [""; 0]);
    assert_eq!(seen.all("x-request-id")[0].len(), 36);
    assert_eq!(seen.all("traceparent")[0].len(), 55);
}

#[tokio::test]
async fn identity_headers_from_outside_never_arrive_in_any_spelling() {
    let (app, _) = upstream::echo().await;
    let door = Door::to(app).await;
    let forged = [
        ("kubeflow-userid", "root@example.com"),
        ("Kubeflow-UserId", "root@example.com"),
        ("kubeflow_userid", "root@example.com"),
        ("KUBEFLOW_GROUPS", "admins"),
        ("kubeflow-groups", "admins"),
        ("x-auth-request-email", "root@example.com"),
        ("x_auth_request_email", "root@example.com"),
        ("X-Auth-Request-Groups", "admins"),
        ("x-forwarded-user", "root"),
        ("x-forwarded_access-token", "t"),
        ("x-doorward-assertion", "j"),
    ];
    for seen in [
        Received::of(
            &door
                .client()
                .await
                .send(with_headers("/app/", &forged))
                .await,
        ),
        {
            let mut request = get2("/app/");
            for (name, value) in forged {
                let name = http::HeaderName::try_from(name.to_ascii_lowercase()).unwrap();
                request.headers_mut().append(name, value.parse().unwrap());
            }
            Received::of(&whole(door.client2().await.send_request(request).await.unwrap()).await)
        },
    ] {
        let mut names = seen.names();
        names.sort_unstable();
        let ours = [
            "host",
            "traceparent",
            "x-envoy-attempt-count",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-request-id",
        ];
        assert_eq!(names, ours);
    }
}

#[tokio::test]
async fn http2_requests_reach_an_http1_application_with_a_host() {
    let (app, connections) = upstream::echo().await;
    let door = Door::to(app).await;
    let mut client = door.client2().await;
    for _ in 0..3 {
        let mut request = get2("/app/a?b=c");
        request
            .headers_mut()
            .append("cookie", "a=1".parse().unwrap());
        request
            .headers_mut()
            .append("cookie", "b=2".parse().unwrap());
        let response = client.send_request(request).await.unwrap();
        assert_eq!(response.version(), http::Version::HTTP_2);
        let seen = Received::of(&whole(response).await);
        assert_eq!(seen.target(), "/app/a?b=c");
        assert_eq!(seen.all("host"), ["kubeflow.example"]);
        assert_eq!(seen.all("cookie"), ["a=1; b=2"]);
    }
    assert_eq!(
        connections.load(Ordering::SeqCst),
        1,
        "the upstream connection is kept"
    );
    let mut post = get2("/app/");
    *post.method_mut() = http::Method::POST;
    *post.body_mut() = Full::from("hello");
    let seen = Received::of(&whole(client.send_request(post).await.unwrap()).await);
    assert_eq!((seen.method(), seen.body()), ("POST", 5));
}

#[tokio::test]
async fn head_204_and_304_have_no_body_and_keep_the_connection() {
    let (app, connections) = upstream::answering(|request: Request<_>| async move {
        let status = match request.uri().path() {
            "/app/204" => 204,
            "/app/304" => 304,
            _ => 200,
        };
        let body = if status == 200 { "twelve bytes" } else { "" };
        Response::builder()
            .status(status)
            .body(Full::new(Bytes::from(body)))
            .unwrap()
    })
    .await;
    let door = Door::to(app).await;
    let mut client = door.client().await;
    for _ in 0..2 {
        let mut head = get("/app/");
        *head.method_mut() = http::Method::HEAD;
        let response = client.send(head).await;
        assert_eq!(response.headers()["content-length"], "12");
        assert!(response.body().is_empty());
        assert_eq!(
            client.get("/app/204").await.status(),
            StatusCode::NO_CONTENT
        );
        assert_eq!(
            client.get("/app/304").await.status(),
            StatusCode::NOT_MODIFIED
        );
        assert_eq!(client.get("/app/").await.body(), "twelve bytes");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn redirects_direct_responses_and_unknown_paths_are_answered_here() {
    let door = Door::open(Wanted::default()).await;
    let mut client = door.client().await;
    let moved = client.get("/old?a=b").await;
    assert_eq!(moved.status(), StatusCode::FOUND);
    assert_eq!(
        moved.headers()["location"],
        "https://kubeflow.example/new?a=b"
    );
    let teapot = client.get("/teapot").await;
    assert_eq!(
        (teapot.status().as_u16(), &teapot.body()[..]),
        (418, &b"short and stout"[..])
    );
    let missing = client.get("/nothing").await;
    assert_eq!(
        (missing.status().as_u16(), &missing.body()[..]),
        (404, &b""[..])
    );
    let page = client
        .send(with_headers("/nothing", &[("accept", "text/html")]))
        .await;
    assert_eq!(page.status(), StatusCode::NOT_FOUND);
    assert!(String::from_utf8_lossy(page.body()).contains("/doorward/assets/doorward.css"));
    let sheet = client.get("/doorward/assets/doorward.css").await;
    assert_eq!(sheet.headers()["content-type"], "text/css; charset=utf-8");
}

#[tokio::test]
async fn plain_http_is_sent_to_https() {
    let (app, _) = upstream::echo().await;
    let door = Door::to(app).await;
    let ask = |host: String| {
        let http = door.http();
        async move {
            let mut stream = tokio::net::TcpStream::connect(http).await.unwrap();
            let request =
                format!("GET /app/?a=b HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        }
    };
    let answer = ask("kubeflow.example:81".into()).await;
    assert!(
        answer.starts_with("HTTP/1.1 301 Moved Permanently\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains("\r\nlocation: https://kubeflow.example/app/?a=b\r\n"),
        "{answer}"
    );
    let answer = ask(format!("127.0.0.1:{}", door.http().port())).await;
    let location = format!(
        "\r\nlocation: https://127.0.0.1:{}/app/?a=b\r\n",
        door.https().port()
    );
    assert!(answer.contains(&location), "{answer}");
}

#[tokio::test]
async fn without_the_upgrade_plain_http_is_served_as_written() {
    let (app, _) = upstream::echo().await;
    let wanted = Wanted {
        app: Some(app),
        upgrade: false,
        ..Wanted::default()
    };
    let door = Door::open(wanted).await;
    let mut stream = tokio::net::TcpStream::connect(door.http()).await.unwrap();
    let request = b"GET /app/ HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains(r#"["x-forwarded-proto","http"]"#),
        "{answer}"
    );
    // Nothing is served over HTTPS then.
    assert_eq!(
        door.client().await.get("/app/").await.status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_named() {
    let door = Door::open(Wanted::default()).await;
    let mut client = door.client().await;
    let line = client.get("/gone/").await;
    assert_eq!(line.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        line.body(),
        "service `gone.team:80` takes no connections; help: --resolve gone.team=ADDR"
    );
    let page = client
        .send(with_headers("/nameless/", &[("accept", "text/html")]))
        .await;
    assert_eq!(page.status(), StatusCode::SERVICE_UNAVAILABLE);
    let text = String::from_utf8_lossy(page.body());
    assert!(text.contains("--resolve nameless.team=ADDR"), "{text}");
    let metrics = door.gateway.metrics().render();
    assert!(
        metrics.contains("upstream_failures_total{reason=\"unreachable\"} 2"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_client_that_is_still_sending_hears_that_nobody_listens() {
    const BODY: usize = 4 << 20;
    let door = Door::open(Wanted::default()).await;
    // Lone line feeds: the rest of a body is no head, although its answer is over.
    let body = vec![b'\n'; BODY];
    let mut stream = door.tls(b"http/1.1").await;
    for (path, status) in [("/gone/", "503"), ("/nothing", "404"), ("/gone/", "503")] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: kubeflow.example\r\ncontent-length: {BODY}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        let answer = one_answer(&mut stream).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_client_that_sends_more_than_anybody_reads_still_hears_the_answer() {
    let door = Door::open(Wanted::default()).await;
    let head = "GET /nothing HTTP/1.1\r\nhost: kubeflow.example\r\nconnection: close\r\n\r\n";
    let mut sent = head.as_bytes().to_vec();
    sent.extend_from_slice(&[b'x'; 256 * 1024]);
    let mut stream = door.tls(b"http/1.1").await;
    stream.write_all(&sent).await.unwrap();
    let mut answer = Vec::new();
    // A reset would be an error here.
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 404 "));
}

/// Reads one answer with a `content-length`.
async fn one_answer(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    loop {
        let byte = stream.read_u8().await.unwrap();
        answer.push(byte);
        if answer.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    let head = String::from_utf8(answer).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap();
    let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    head.replace("http/1.1", "HTTP/1.1")
}

#[tokio::test]
async fn a_route_timeout_is_answered_504() {
    let (app, _) = upstream::answering(|_| async {
        std::future::pending::<()>().await;
        Response::new(Full::<Bytes>::default())
    })
    .await;
    let door = Door::to(app).await;
    let response = door.client().await.get("/slow/").await;
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(response.body(), "upstream request timeout");
}

/// Accepts connections and runs `script` on each, with its number.
async fn scripted(script: &'static [&'static [u8]]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for answers in script {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut answers = answers.split(|byte| *byte == b'|');
            let mut head = [0; 4096];
            while stream.read(&mut head).await.unwrap_or(0) > 0 {
                match answers.next() {
                    Some(answer) if !answer.is_empty() => stream.write_all(answer).await.unwrap(),
                    _ => break,
                }
            }
        }
    });
    address
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok|";

#[tokio::test]
async fn a_kept_connection_that_died_is_replaced_without_the_client_noticing() {
    // The first connection answers once and dies on the second request.
    let app = scripted(&[OK, OK]).await;
    let door = Door::open(Wanted {
        app: Some(app),
        workers: 1,
        ..Wanted::default()
    })
    .await;
    let mut client = door.client().await;
    assert_eq!(client.get("/app/").await.body(), "ok");
    assert_eq!(client.get("/app/").await.body(), "ok");
}

#[tokio::test]
async fn a_post_that_may_have_arrived_is_not_sent_twice() {
    let app = scripted(&[OK, OK]).await;
    let door = Door::open(Wanted {
        app: Some(app),
        workers: 1,
        ..Wanted::default()
    })
    .await;
    let mut client = door.client().await;
    assert_eq!(client.get("/app/").await.body(), "ok");
    let mut post = get("/app/");
    *post.method_mut() = http::Method::POST;
    let response = client.send(post).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        response.body(),
        "upstream connect error or disconnect/reset before headers"
    );
}

#[tokio::test]
async fn a_session_cookie_stays_at_the_door() {
    let door = with_login().await;
    let cookies = [
        ("cookie", "a=1; test_session=abc; b=2"),
        ("accept", "text/html"),
    ];
    let seen = Received::of(
        &door
            .client()
            .await
            .send(with_headers("/app/", &cookies))
            .await,
    );
    assert_eq!(seen.all("cookie"), ["a=1; b=2"]);
}

#[tokio::test]
async fn a_destination_that_is_played_here_gets_a_small_whole_body() {
    let door = with_login().await;
    let mut client = door.client().await;
    let post = |length: usize| {
        let mut request = get("/oauth2/start?rd=/");
        *request.method_mut() = http::Method::POST;
        *request.body_mut() = Full::from(vec![b'x'; length]);
        request
    };
    let response = client.send(post(1 << 20)).await;
    assert_eq!(response.body(), "Login(0) /oauth2/start?rd=/ 1048576");
    let response = client.send(post((1 << 20) + 1)).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(response.headers()["connection"], "close");
}

#[tokio::test]
async fn too_many_headers_over_http2_are_refused_431() {
    let door = Door::open(Wanted::default()).await;
    let mut request = get2("/app/");
    for number in 0..101 {
        let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
        request.headers_mut().insert(name, "1".parse().unwrap());
    }
    let response = door.client2().await.send_request(request).await.unwrap();
    assert_eq!(
        response.status(),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
}

async fn with_login() -> Door {
    let manifests = format!("{}{}", crate::door::STOCK, LOGIN);
    let (app, _) = upstream::echo().await;
    Door::open(Wanted {
        manifests,
        app: Some(app),
        ..Wanted::default()
    })
    .await
}

const LOGIN: &str = r#"
---
apiVersion: v1
kind: Service
metadata: { name: oauth2-proxy, namespace: oauth2-proxy }
spec:
  selector: { app: oauth2-proxy }
  ports: [{ name: http, port: 80, targetPort: 4180 }]
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: oauth2-proxy, namespace: oauth2-proxy }
spec:
  selector: { matchLabels: { app: oauth2-proxy } }
  template:
    metadata: { labels: { app: oauth2-proxy } }
    spec:
      containers:
        - name: oauth2-proxy
          image: quay.io/oauth2-proxy/oauth2-proxy:v7.7.1
          args: [--config=/etc/oauth2_proxy.cfg]
          volumeMounts: [{ name: config, mountPath: /etc/oauth2_proxy.cfg, subPath: oauth2_proxy.cfg }]
      volumes:
        - name: config
          configMap: { name: oauth2-proxy }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: oauth2-proxy, namespace: oauth2-proxy }
spec:
  hosts: ["*"]
  gateways: [kubeflow/kubeflow-gateway]
  http:
    - match: [{ uri: { prefix: /oauth2/ } }]
      route: [{ destination: { host: oauth2-proxy.oauth2-proxy.svc.cluster.local, port: { number: 80 } } }]
---
apiVersion: v1
kind: ConfigMap
metadata: { name: oauth2-proxy, namespace: oauth2-proxy }
data:
  oauth2_proxy.cfg: |
    provider = "oidc"
    oidc_issuer_url = "https://issuer.example"
    client_id = "c"
    client_secret = "0123456789abcdef"
    cookie_name = "test_session"
    cookie_secret = "0123456789abcdef"
    email_domains = ["*"]
"#;
