//! Backends that tell what they received, one for each set of pods of the suite.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// One set of pods.
#[derive(Clone)]
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    pods: Arc<Pods>,
}

struct Pods {
    namespace: String,
    name: String,
    /// Every target that was asked for.
    log: watch::Sender<Vec<String>>,
    /// How often each retried request came.
    attempts: Mutex<HashMap<String, u32>>,
}

impl Echo {
    /// Pods of this namespace and name.
    pub(crate) async fn start(namespace: &str, name: &str, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let pods = Arc::new(Pods {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            log: watch::channel(Vec::new()).0,
            attempts: Mutex::default(),
        });
        let serving = Arc::clone(&pods);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let pods = Arc::clone(&serving);
                let tls = tls.clone().map(TlsAcceptor::from);
                tokio::spawn(async move {
                    match tls {
                        None => pods.serve(stream, None).await,
                        Some(tls) => {
                            // A handshake that fails is one that a test expects to fail.
                            if let Ok(stream) = tls.accept(stream).await {
                                let name = stream.get_ref().1.server_name().map(str::to_owned);
                                pods.serve(stream, name).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, pods }
    }

    /// How many requests came whose target holds `mark`.
    pub(crate) fn count(&self, mark: &str) -> usize {
        let log = self.pods.log.borrow();
        log.iter().filter(|target| target.contains(mark)).count()
    }

    /// Waits until a request came whose target holds `mark`.
    pub(crate) async fn meets(&self, mark: &str) -> bool {
        let mut log = self.pods.log.subscribe();
        let there = |log: &Vec<String>| log.iter().any(|target| target.contains(mark));
        tokio::time::timeout(Duration::from_secs(5), log.wait_for(there))
            .await
            .is_ok()
    }
}

impl Pods {
    async fn serve<S>(self: Arc<Self>, stream: S, server_name: Option<String>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(move |request| {
            let (pods, name) = (Arc::clone(&self), server_name.clone());
            async move { Ok::<_, Infallible>(pods.answer(request, name).await) }
        });
        let builder = auto::Builder::new(TokioExecutor::new());
        // Clients go away as they like.
        let _ = builder
            .serve_connection_with_upgrades(TokioIo::new(stream), service)
            .await;
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        server_name: Option<String>,
    ) -> Response<Full<Bytes>> {
        let target = request.uri().path_and_query().unwrap().to_string();
        self.log.send_modify(|log| log.push(target.clone()));
        if request.headers().contains_key(SEC_WEBSOCKET_KEY) {
            return web_socket(request);
        }
        let (parts, body) = request.into_parts();
        // A body that breaks off is a client that went away.
        let _ = body.collect().await;
        if let Some(delay) = parameter(&target, "delay") {
            let seconds: f64 = delay.trim_end_matches('s').parse().unwrap();
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        }
        let headers: Vec<Value> = parts
            .headers
            .iter()
            .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
            .collect();
        let host = parts
            .headers
            .get("host")
            .and_then(|host| host.to_str().ok());
        let told = json!({
            "namespace": self.namespace,
            "backend": self.name,
            "method": parts.method.as_str(),
            "path": target,
            "host": host.or(parts.uri.authority().map(|authority| authority.as_str())),
            "protocol": format!("{:?}", parts.version),
            "sni": server_name,
            "headers": headers,
        });
        let mut response = Response::new(Full::new(Bytes::from(told.to_string())));
        for pair in parts.headers.get_all("x-echo-set-header") {
            for (name, value) in pair
                .to_str()
                .unwrap()
                .split(',')
                .filter_map(|pair| pair.split_once(':'))
            {
                let name = HeaderName::from_bytes(name.trim().as_bytes()).unwrap();
                let value = HeaderValue::from_str(value.trim()).unwrap();
                response.headers_mut().append(name, value);
            }
        }
        if let Some(status) = self.failure(&target) {
            *response.status_mut() = status;
        }
        response
    }

    /// The status of a request that fails as often as it asks for.
    fn failure(&self, target: &str) -> Option<StatusCode> {
        let status = parameter(target, "responseCode")?.parse().unwrap();
        let wanted: u32 = parameter(target, "succeedAfter")?.parse().unwrap();
        let mut attempts = self.attempts.lock().unwrap();
        let attempt = attempts.entry(target.to_owned()).or_default();
        *attempt += 1;
        (*attempt <= wanted).then(|| StatusCode::from_u16(status).unwrap())
    }
}

fn parameter<'a>(target: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = target.split_once('?')?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn web_socket(mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    let key = derive_accept_key(request.headers()[SEC_WEBSOCKET_KEY].as_bytes());
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(&mut request).await else {
            return;
        };
        let io = TokioIo::new(upgraded);
        let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if message.is_close() || socket.send(message).await.is_err() {
                break;
            }
        }
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, key)
        .body(Full::default())
        .unwrap()
}
