//! An application that tells what it received.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// An upstream that answers with `answer`.
pub(crate) async fn answering<A, F, B>(answer: A) -> (SocketAddr, Arc<AtomicUsize>)
where
    A: Fn(Request<Incoming>) -> F + Send + Sync + Clone + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            tokio::spawn(async move {
                let io = TokioIo::new(stream);
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(io, service);
                let _ = connection.with_upgrades().await;
            });
        }
    });
    (address, connections)
}

/// An upstream that answers with what it received, as JSON.
pub(crate) async fn echo() -> (SocketAddr, Arc<AtomicUsize>) {
    answering(|request: Request<Incoming>| async move {
        let (parts, body) = request.into_parts();
        let body = body
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        Response::new(Full::new(told(&parts, &body)))
    })
    .await
}

/// A request as JSON.
pub(crate) fn told(parts: &Parts, body: &Bytes) -> Bytes {
    let headers: Vec<Value> = parts
        .headers
        .iter()
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    let told = json!({
        "method": parts.method.as_str(),
        "target": parts.uri.to_string(),
        "headers": headers,
        "body": body.len(),
    });
    Bytes::from(told.to_string())
}

/// What [`echo`] received.
pub(crate) struct Received(Value);

impl Received {
    pub(crate) fn of(response: &Response<Bytes>) -> Self {
        assert_eq!(response.status(), 200, "{:?}", response.body());
        Self(serde_json::from_slice(response.body()).unwrap())
    }

    pub(crate) fn method(&self) -> &str {
        self.0["method"].as_str().unwrap()
    }

    pub(crate) fn target(&self) -> &str {
        self.0["target"].as_str().unwrap()
    }

    pub(crate) fn body(&self) -> u64 {
        self.0["body"].as_u64().unwrap()
    }

    /// Every value of a header, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let headers = self.0["headers"].as_array().unwrap().iter();
        headers
            .filter(|pair| pair[0] == name)
            .map(|pair| pair[1].as_str().unwrap())
            .collect()
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        let headers = self.0["headers"].as_array().unwrap().iter();
        headers.map(|pair| pair[0].as_str().unwrap()).collect()
    }
}
