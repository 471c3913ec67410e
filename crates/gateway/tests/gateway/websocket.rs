//! WebSockets through the door.

use futures_util::{SinkExt, StreamExt};
use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::door::{Door, get2};
use crate::peers::{lead_http2, saying};

async fn echo() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_close() || socket.send(message).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

/// Hears small and large messages again, and closes.
async fn talk(mut socket: WebSocketStream<impl AsyncRead + AsyncWrite + Unpin>) {
    for text in ["hello", "again"] {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
    }
    let big = Message::binary(vec![7; 1 << 20]);
    socket.send(big.clone()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), big);
    socket.close(None).await.unwrap();
    while socket.next().await.is_some() {}
}

#[tokio::test]
async fn a_websocket_echoes_through_the_proxy() {
    let door = Door::to(echo().await).await;
    let mut request = "wss://kubeflow.example/app/api/kernels"
        .into_client_request()
        .unwrap();
    request
        .headers_mut()
        .insert("kubeflow-userid", HeaderValue::from_static("root"));
    let stream = door.tls(b"http/1.1").await;
    let (socket, response) = tokio_tungstenite::client_async(request, stream)
        .await
        .unwrap();
    assert_eq!(response.status(), 101);
    talk(socket).await;

    let log = door.log.clone();
    door.gateway.drain(std::time::Duration::from_secs(5)).await;
    let lines = log.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["status"], 101);
    assert!(lines[0]["bytes"].as_u64().unwrap() > 1 << 20);
}

/// A request for a WebSocket in the way of HTTP/2 (RFC 8441).
fn extended(protocol: &'static str) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    let mut request = get2("/app/api/kernels");
    *request.method_mut() = http::Method::CONNECT;
    let protocol = hyper::ext::Protocol::from_static(protocol);
    request.extensions_mut().insert(protocol);
    let version = HeaderValue::from_static("13");
    request
        .headers_mut()
        .insert("sec-websocket-version", version);
    request
}

#[tokio::test]
async fn a_websocket_over_http2_reaches_an_application_that_knows_http1_only() {
    use tokio_tungstenite::tungstenite::protocol::Role;
    let app = echo().await;
    // What else the port speaks does not matter to a WebSocket.
    for door in [
        Door::to(app).await,
        Door::changed(move |forward| lead_http2(forward, app)).await,
    ] {
        let mut client = door.client2().await;
        let mut answer = client.send_request(extended("websocket")).await.unwrap();
        assert_eq!(answer.status(), 200);
        for gone in ["connection", "upgrade", "sec-websocket-accept"] {
            assert!(!answer.headers().contains_key(gone), "{gone}");
        }
        let upgraded = hyper::upgrade::on(&mut answer).await.unwrap();
        let stream = hyper_util::rt::TokioIo::new(upgraded);
        let socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        talk(socket).await;

        let log = door.log.clone();
        door.gateway.drain(std::time::Duration::from_secs(5)).await;
        let lines = log.lines();
        assert_eq!(lines[0]["status"], 200);
        assert_eq!(lines[0]["method"], "GET");
        assert!(lines[0]["bytes"].as_u64().unwrap() > 1 << 20);
    }
}

#[tokio::test]
async fn no_other_tunnel_is_opened_and_a_200_opens_none() {
    let door = Door::to(echo().await).await;
    let mut client = door.client2().await;
    let refused = client.send_request(extended("connect-udp")).await.unwrap();
    assert_eq!(refused.status(), 405);
    let mut plain = get2("/app/");
    *plain.method_mut() = http::Method::CONNECT;
    *plain.uri_mut() = "kubeflow.example:443".parse().unwrap();
    let refused = client.send_request(plain).await.unwrap();
    assert_eq!(refused.status(), 405);
    let mut local = extended("websocket");
    *local.uri_mut() = "https://kubeflow.example/teapot".parse().unwrap();
    let refused = client.send_request(local).await.unwrap();
    assert_eq!(refused.status(), 405, "nothing here is a WebSocket");

    let door = Door::to(saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await).await;
    let mut client = door.client2().await;
    let refused = client.send_request(extended("websocket")).await.unwrap();
    assert_eq!(refused.status(), 502);
    let door =
        Door::to(saying("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await).await;
    let mut client = door.client2().await;
    let refused = client.send_request(extended("websocket")).await.unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(crate::door::whole(refused).await.body(), "no");
}

#[tokio::test]
async fn whoever_goes_on_after_a_refused_upgrade_is_not_reset() {
    let door = Door::to(saying("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await).await;
    let mut stream = door.tls(b"http/1.1").await;
    let ask = "GET /app/ HTTP/1.1\r\nhost: kubeflow.example\r\nupgrade: websocket\r\n\
        connection: upgrade\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut heard = vec![0; 4096];
    let read = stream.read(&mut heard).await.unwrap();
    assert!(heard[..read].starts_with(b"HTTP/1.1 403 "));
    // A closing frame: no head of a request, so the connection ends.
    stream.write_all(&[0x88, 0x80, 1, 2, 3, 4]).await.unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.unwrap();
    assert!(heard.starts_with(b"HTTP/1.1 400 "));
    for _ in 0..20 {
        stream.write_all(b"more").await.unwrap();
        stream.flush().await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    stream.shutdown().await.unwrap();
}
