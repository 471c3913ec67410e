//! Small listeners beside the data plane: metrics, readiness, pages.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use askama::Template;
use bytes::Bytes;
use gateway::Metrics;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use login::LoginProxy;
use tokio::net::TcpListener;

const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// An issuer that was not found is looked for this often.
const AGAIN: Duration = Duration::from_secs(10);

type Answer = Response<Full<Bytes>>;

/// The metrics, on every path.
pub(super) async fn metrics(address: SocketAddr, metrics: Arc<Metrics>) -> io::Result<SocketAddr> {
    serve(address, move |_| {
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        answer(StatusCode::OK, kind, metrics.render())
    })
    .await
}

/// On every path: 200 once the issuer was found, 503 before.
pub(super) async fn readiness(
    address: SocketAddr,
    login: Option<Arc<LoginProxy>>,
) -> io::Result<SocketAddr> {
    let found = Arc::new(AtomicBool::new(false));
    let finding = Arc::clone(&found);
    tokio::spawn(async move {
        let Some(login) = login else { return };
        while !login.is_issuer_known().await {
            tokio::time::sleep(AGAIN).await;
        }
        finding.store(true, Ordering::Relaxed);
    });
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    serve(address, move |_| match found.load(Ordering::Relaxed) {
        true => answer(StatusCode::OK, plain.clone(), "OK\n"),
        false => answer(
            StatusCode::SERVICE_UNAVAILABLE,
            plain.clone(),
            "the issuer was not found yet\n",
        ),
    })
    .await
}

#[derive(Template)]
#[template(
    ext = "html",
    source = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
        <meta name=\"viewport\" content=\"width=device-width\">\n<title>{{ name }}</title>\n\
        <main><h1>{{ name }}</h1>\n<p>{{ words }}</p>\n<p><a href=\"/\">{{ link }}</a></p></main>\n"
)]
struct Page<'a> {
    name: &'a str,
    words: &'a str,
    link: &'a str,
}

/// `/site/homepage` and `/site/after_logout`.
pub(super) async fn pages(address: SocketAddr, name: Arc<str>) -> io::Result<SocketAddr> {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    serve(address, move |request| {
        let page = |words, link| Page {
            name: &name,
            words,
            link,
        };
        let page = match request.uri().path() {
            "/site/homepage" => page("You are not signed in yet.", "Sign in"),
            "/site/after_logout" => page("You are signed out.", "Sign in again"),
            _ => return answer(StatusCode::NOT_FOUND, html.clone(), ""),
        };
        let page = page.render().unwrap_or_default();
        let mut answer = answer(StatusCode::OK, html.clone(), page);
        let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        answer
    })
    .await
}

/// Binds, and serves until the process ends.
async fn serve(
    address: SocketAddr,
    answers: impl Fn(&Request<Incoming>) -> Answer + Send + Sync + 'static,
) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let answers = Arc::new(answers);
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of file descriptors: they come back only with time.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let answers = Arc::clone(&answers);
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let answer = answers(&request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let served = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIMEOUT)
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                if let Err(error) = served {
                    tracing::debug!(%error, "a connection beside ended early");
                }
            });
        }
    });
    Ok(bound)
}

fn answer(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}
