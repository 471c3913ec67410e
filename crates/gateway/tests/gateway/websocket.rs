//! WebSockets through the door.

use http::HeaderValue;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::door::Door;

async fn echo() -> std::net::SocketAddr {
    use futures_util::{SinkExt, StreamExt};
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

#[tokio::test]
async fn a_websocket_echoes_through_the_proxy() {
    use futures_util::{SinkExt, StreamExt};
    let door = Door::to(echo().await).await;
    let mut request = "wss://kubeflow.example/app/api/kernels"
        .into_client_request()
        .unwrap();
    request
        .headers_mut()
        .insert("kubeflow-userid", HeaderValue::from_static("root"));
    let stream = door.tls(b"http/1.1").await;
    let (mut socket, response) = tokio_tungstenite::client_async(request, stream)
        .await
        .unwrap();
    assert_eq!(response.status(), 101);
    for text in ["hello", "again"] {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
    }
    let big = Message::binary(vec![7; 1 << 20]);
    socket.send(big.clone()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), big);
    socket.close(None).await.unwrap();
    while socket.next().await.is_some() {}
    drop(socket);

    let log = door.log.clone();
    door.gateway.drain(std::time::Duration::from_secs(5)).await;
    let lines = log.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["status"], 101);
    assert!(lines[0]["bytes"].as_u64().unwrap() > 1 << 20);
}
