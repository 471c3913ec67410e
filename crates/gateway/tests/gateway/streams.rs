//! Connections whose bytes are passed on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use doorward_gateway::{Limits, ListenAt};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::clients::{config, connect};
use crate::door::{Door, Wanted};

pub(crate) const TREE: &str = r"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: pass, protocol: TLS}, hosts: [pass.example], tls: {mode: PASSTHROUGH}}
  - {port: {number: 443, name: end, protocol: TLS}, hosts: [end.example], tls: {mode: SIMPLE, credentialName: x}}
  - {port: {number: 443, name: web, protocol: HTTPS}, hosts: [web.example], tls: {mode: SIMPLE, credentialName: x}}
  - {port: {number: 9000, name: bytes, protocol: TCP}, hosts: ['*']}
---
apiVersion: v1
kind: Service
metadata: {name: app, namespace: team}
spec: {ports: [{name: tcp, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: streams, namespace: team}
spec:
  hosts: ['*']
  gateways: [istio-system/door]
  tls:
  - match: [{sniHosts: [pass.example]}]
    route: [{destination: {host: app, port: {number: 80}}}]
  tcp:
  - route: [{destination: {host: app, port: {number: 80}}}]
";

/// Sends back what comes, in capitals, after the client has said everything.
async fn shout(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut said = Vec::new();
    if stream.read_to_end(&mut said).await.is_ok() {
        said.make_ascii_uppercase();
        let _ = stream.write_all(&said).await;
    }
    let _ = stream.shutdown().await;
}

async fn shouting(tls: Option<TlsAcceptor>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let tls = tls.clone();
            tokio::spawn(async move {
                match tls {
                    Some(tls) => shout(tls.accept(stream).await.unwrap()).await,
                    None => shout(stream).await,
                }
            });
        }
    });
    address
}

pub(crate) fn anywhere() -> ListenAt {
    ListenAt {
        address: Some("127.0.0.1:0".parse().unwrap()),
        proxy_protocol: None,
    }
}

async fn door(app: SocketAddr) -> Door {
    Door::open(Wanted {
        manifests: TREE.to_owned(),
        app: Some(app),
        listen: vec![(9000, anywhere())],
        limits: Limits {
            stream_idle: Duration::from_millis(300),
            ..Limits::default()
        },
        ..Wanted::default()
    })
    .await
}

/// Says something, ends its half, and listens.
async fn said(mut stream: impl AsyncRead + AsyncWrite + Unpin, words: &[u8]) -> Vec<u8> {
    stream.write_all(words).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

/// The line of the log, when it is there.
async fn line(door: &Door) -> serde_json::Value {
    loop {
        if let Some(line) = door.log.lines().into_iter().next() {
            return line;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn bytes_go_both_ways_and_who_has_said_everything_still_hears() {
    let door = door(shouting(None).await).await;
    let at = door.gateway.address(9000).unwrap();
    let words = vec![b'a'; 300_000];
    let stream = TcpStream::connect(at).await.unwrap();
    assert_eq!(said(stream, &words).await, vec![b'A'; 300_000]);
    let line = line(&door).await;
    assert_eq!(line["outcome"], "forward");
    assert_eq!(
        (&line["port"], &line["received"], &line["sent"]),
        (&9000.into(), &300_000.into(), &300_000.into())
    );
    assert_eq!(line["route"], "VirtualService team/streams");
    let metrics = door.gateway.metrics().render();
    assert!(metrics.contains("doorward_streams_total 1"), "{metrics}");
    assert!(
        metrics.contains("doorward_stream_bytes_total 600000"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_silent_stream_ends() {
    let door = door(shouting(None).await).await;
    let at = door.gateway.address(9000).unwrap();
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(b"and then").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"");
    assert_eq!(line(&door).await["outcome"], "idle");
}

#[tokio::test]
async fn what_is_inside_of_tls_is_passed_on() {
    let door = door(shouting(None).await).await;
    let config = config(&door, None, &[&TLS12, &TLS13], b"");
    let stream = connect(door.https(), "end.example", &config).await.unwrap();
    assert_eq!(said(stream, b"inside").await, b"INSIDE");
    assert_eq!(line(&door).await["server_name"], "end.example");
}

fn acceptor(door_name: &str) -> (TlsAcceptor, CertificateDer<'static>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![door_name.to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        );
    (TlsAcceptor::from(Arc::new(config.unwrap())), certificate)
}

/// Sends what it is given in small pieces, each a segment of its own.
struct Dripping(TcpStream);

impl AsyncRead for Dripping {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Dripping {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        let piece = &bytes[..bytes.len().min(97)];
        std::pin::Pin::new(&mut self.0).poll_write(cx, piece)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn tls_is_passed_on_untouched_whatever_pieces_it_comes_in() {
    let (acceptor, certificate) = acceptor("pass.example");
    let door = door(shouting(Some(acceptor)).await).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(door.https()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let name = rustls::pki_types::ServerName::try_from("pass.example").unwrap();
    // Verified: nobody but the application has the certificate.
    let stream = tokio_rustls::TlsConnector::from(Arc::new(client))
        .connect(name, Dripping(stream))
        .await
        .unwrap();
    assert_eq!(said(stream, b"end to end").await, b"END TO END");
    let line = line(&door).await;
    assert_eq!(
        (&line["outcome"], &line["server_name"]),
        (&"forward".into(), &"pass.example".into())
    );
}

#[tokio::test]
async fn other_servers_of_the_port_are_not_disturbed_and_a_stream_lends_no_host() {
    let (app, _) = crate::upstream::echo().await;
    let tree = TREE.replace(
        "  tcp:\n",
        "  http: [{route: [{destination: {host: app, port: {number: 80}}}]}]\n  tcp:\n",
    );
    let door = Door::open(Wanted {
        manifests: tree,
        app: Some(app),
        ..Wanted::default()
    })
    .await;
    let config = config(&door, None, &[&TLS13], b"http/1.1");
    let ask = async |name: &str, host: &str| {
        let answer = crate::clients::ask(door.https(), name, host, &config)
            .await
            .unwrap();
        answer[9..12].to_owned()
    };
    assert_eq!(ask("web.example", "web.example").await, "200");
    assert_eq!(ask("web.example", "end.example").await, "421");
}
