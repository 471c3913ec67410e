//! Wiring of `doorward dex serve`: storage, listeners, what is looked at again, its end.

use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use model::dex::{RemoteIp, Standing};
use model::seams::{Clock, Randomness};
use model::snapshot::ProviderWeb;
use provider::{Provider, Store, StoreError};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;

use super::metrics::Metrics;
use super::{cors, tls};
use crate::program::listen::{AddressFault, address};
use crate::program::serve::{looks, tell};
use crate::program::tls::OnePair;
use crate::program::{state, variable};
use crate::up::IssuerTransport;
use crate::up::seams::{SystemClock, SystemRandomness};
use crate::up::state::StateFault;
use crate::up::upstreams::Upstreams;

/// Requests in flight get this long when the process stops.
const DRAIN: Duration = Duration::from_secs(20);
/// Keys are rotated and the expired is deleted this often.
const UPKEEP: Duration = Duration::from_secs(30);
/// Files are looked at this often.
const LOOK: Duration = Duration::from_secs(2);
/// A head or a handshake that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(10);
/// No form of ours comes near.
const LARGEST_BODY: usize = 64 * 1024;
/// Where the provider looks for the address of a client.
const ADDRESS: HeaderName = HeaderName::from_static("x-envoy-external-address");

/// Why nothing serves.
#[derive(Debug)]
pub(super) enum Fault {
    State(StateFault),
    Store(StoreError),
    Address(AddressFault),
    Pair(String),
    Tls(rustls::Error),
    Bind(SocketAddr, io::Error),
    Signals(io::Error),
    ReadyFile(PathBuf, io::Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(fault) => fault.fmt(f),
            Self::Store(fault) => fault.fmt(f),
            Self::Address(fault) => fault.fmt(f),
            Self::Pair(fault) => {
                write!(
                    f,
                    "{fault}\nhelp: name a chain and its key, both PEM, in `web`"
                )
            }
            Self::Tls(error) => write!(f, "TLS cannot be served: {error}"),
            Self::Bind(address, error) => write!(
                f,
                "`{address}` cannot be bound: {error}\nhelp: name another address, or end what listens there"
            ),
            Self::Signals(error) => write!(f, "signals: {error}"),
            Self::ReadyFile(path, error) => write!(f, "`{}`: {error}", path.display()),
        }
    }
}

/// Runs until SIGTERM or SIGINT.
pub(super) async fn serve(standing: Standing) -> Result<(), Fault> {
    let Standing {
        provider: settings,
        http,
        https,
        telemetry,
        remote_ip,
        passing,
        // Both were used before this began.
        log_level: _,
        log_json: _,
        findings: _,
    } = standing;
    let mut terminate = signal(SignalKind::terminate()).map_err(Fault::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Fault::Signals)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(Fault::Signals)?;
    let state = match passing {
        true => state::passing("dex").map_err(Fault::State)?,
        false => state::open("dex").map_err(Fault::State)?,
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let randomness: Arc<dyn Randomness> = Arc::new(SystemRandomness);
    let store = Store::open(&state.path().join("provider.db"), &*randomness).await;
    let settings = Arc::new(settings);
    let provider = Provider::new(
        Arc::clone(&settings),
        Arc::new(store.map_err(Fault::Store)?),
        clock,
        randomness,
    );
    let courier = Arc::new(IssuerTransport::new());
    let provider = provider.with_courier(courier);
    let provider = Arc::new(provider.reaching(Arc::new(Upstreams::default())));
    provider.prepare().await.map_err(Fault::Store)?;

    let metrics = Arc::new(Metrics::default());
    let web = Arc::new(Web {
        provider: Arc::clone(&provider),
        path: Arc::clone(&settings.path),
        web: settings.web.clone(),
        remote_ip,
        metrics: Arc::clone(&metrics),
    });
    let read = |text: &Arc<str>| address(text).map_err(Fault::Address);
    let pair = Arc::new(OnePair::none());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut serving = Vec::new();
    let mut bound = serde_json::Map::new();
    let mut watched = Vec::new();
    if let Some(text) = &http {
        let listener = bind(read(text)?).await?;
        bound.insert("http".to_owned(), told(&listener).into());
        let (web, stopped) = (Arc::clone(&web), stopped.clone());
        serving.push(tokio::spawn(accept(listener, None, web, stopped)));
    }
    if let Some(tls) = &https {
        pair.read(&tls.chain, &tls.key).map_err(Fault::Pair)?;
        watched.extend([Arc::clone(&tls.chain), Arc::clone(&tls.key)]);
        let config = tls::server(tls, Arc::clone(&pair)).map_err(Fault::Tls)?;
        let listener = bind(read(&tls.address)?).await?;
        bound.insert("https".to_owned(), told(&listener).into());
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (web, stopped) = (Arc::clone(&web), stopped.clone());
        serving.push(tokio::spawn(accept(listener, Some(acceptor), web, stopped)));
    }
    if let Some(text) = &telemetry {
        let address = read(text)?;
        let listener = bind(address).await?;
        bound.insert("telemetry".to_owned(), told(&listener).into());
        let health = Arc::clone(&provider);
        let path = format!("{}/healthz", settings.path);
        tokio::spawn(observe(listener, metrics, health, path));
    }
    bound.insert("pid".to_owned(), std::process::id().into());
    let bound = serde_json::Value::Object(bound);
    tracing::info!(issuer = %settings.issuer, %bound, "dex serves");
    if let Some(file) = variable("DOORWARD_READY_FILE").map(PathBuf::from) {
        tell(&file, &bound).map_err(|error| Fault::ReadyFile(file, error))?;
    }

    let mut upkeep = tokio::time::interval(UPKEEP);
    let mut look = tokio::time::interval(LOOK);
    let mut seen = looks(&watched);
    loop {
        let reread = tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => true,
            _ = look.tick(), if !watched.is_empty() => {
                let now = looks(&watched);
                let changed = now != seen;
                seen = now;
                changed
            }
            _ = upkeep.tick() => {
                if let Err(error) = provider.maintain().await {
                    tracing::error!(%error, "signing keys cannot be kept up");
                }
                false
            }
        };
        if let (true, Some(tls)) = (reread, &https) {
            match pair.read(&tls.chain, &tls.key) {
                Ok(()) => tracing::info!("the certificate was read again"),
                Err(fault) => tracing::error!(fault, "the key pair stays as it was"),
            }
        }
    }
    tracing::info!("stopping: requests in flight finish first");
    let _ = stop.send(true);
    for task in serving {
        let _ = task.await;
    }
    if passing {
        // Nothing of it was meant to last.
        let _ = fs::remove_dir_all(state.path());
    }
    drop(state);
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Fault> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| Fault::Bind(address, error))
}

fn told(listener: &TcpListener) -> String {
    listener
        .local_addr()
        .map(|address| address.to_string())
        .unwrap_or_default()
}

/// What answers on `web`.
struct Web {
    provider: Arc<Provider>,
    path: Arc<str>,
    web: ProviderWeb,
    remote_ip: Option<RemoteIp>,
    metrics: Arc<Metrics>,
}

async fn accept(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    web: Arc<Web>,
    mut stopped: tokio::sync::watch::Receiver<bool>,
) {
    let graceful = GracefulShutdown::new();
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE);
    builder.http2().timer(TokioTimer::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.changed() => break,
        };
        let Ok((stream, peer)) = accepted else {
            // Out of file descriptors: they come back only with time.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (web, acceptor) = (Arc::clone(&web), acceptor.clone());
        let (builder, watcher) = (builder.clone(), graceful.watcher());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let web = Arc::clone(&web);
                async move { Ok::<_, Infallible>(web.answer(request, peer.ip()).await) }
            });
            let served = match acceptor {
                None => {
                    let connection = builder.serve_connection(TokioIo::new(stream), service);
                    watcher.watch(connection.into_owned()).await
                }
                Some(acceptor) => {
                    let shaken = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await;
                    let Ok(Ok(stream)) = shaken else { return };
                    let connection = builder.serve_connection(TokioIo::new(stream), service);
                    watcher.watch(connection.into_owned()).await
                }
            };
            if let Err(error) = served {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    let mut end = pin!(graceful.shutdown());
    let _ = tokio::time::timeout(DRAIN, &mut end).await;
}

impl Web {
    #[expect(
        clippy::disallowed_methods,
        reason = "the time that an answer takes is counted here"
    )]
    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Full<Bytes>> {
        let begun = Instant::now();
        let method = request.method().clone();
        let below = request.uri().path().strip_prefix(&*self.path);
        let below = below.unwrap_or("/..").to_owned();
        let answer = self.served(request, &below, peer).await;
        let (status, size) = (answer.status().as_u16(), answer.body().len());
        self.metrics
            .count(status, &method, &below, begun.elapsed(), size);
        answer.map(Full::new)
    }

    async fn served(
        &self,
        request: Request<Incoming>,
        below: &str,
        peer: IpAddr,
    ) -> Response<Bytes> {
        let origin = cors::origin(&self.web, below, request.headers());
        let preflight = origin
            .as_ref()
            .and_then(|_| cors::preflight(&self.web, &request));
        let mut answer = match preflight {
            Some(answer) => answer,
            None => self.provided(request, peer).await,
        };
        if let Some(origin) = origin {
            cors::open(&mut answer, origin);
        }
        // Assets are for everybody; Dex sends them bare, too.
        if !below.starts_with("/static/") {
            for (name, value) in &self.web.headers {
                let name = HeaderName::try_from(&**name);
                if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(&**value)) {
                    answer.headers_mut().insert(name, value);
                }
            }
        }
        answer
    }

    async fn provided(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Bytes> {
        let (mut parts, body) = request.into_parts();
        let Ok(body) = Limited::new(body, LARGEST_BODY).collect().await else {
            return plain(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long\n");
        };
        let from = client(self.remote_ip.as_ref(), &parts.headers, peer);
        // What came in under this name was written by whoever asks.
        parts.headers.remove(&ADDRESS);
        if let Ok(value) = HeaderValue::try_from(from.to_string()) {
            parts.headers.insert(ADDRESS, value);
        }
        let request = Request::from_parts(parts, body.to_bytes());
        self.provider.handle(request).await
    }
}

/// Whose request it is: the peer's, or whom a trusted proxy names. A chain is walked from the right,
/// past every hop that is trusted.
fn client(rule: Option<&RemoteIp>, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
    let Some(RemoteIp { header, trusted }) = rule else {
        return peer;
    };
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut found = peer;
    let values = headers.get_all(&**header).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = values.flat_map(|value| value.split(',')).collect();
    for hop in hops.iter().rev() {
        if !is_trusted(&found) {
            break;
        }
        let Ok(named) = hop.trim().parse() else { break };
        found = named;
    }
    found
}

/// `telemetry`: metrics and health.
async fn observe(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    provider: Arc<Provider>,
    path: String,
) {
    let path: Arc<str> = path.into();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (metrics, provider) = (Arc::clone(&metrics), Arc::clone(&provider));
        let path = Arc::clone(&path);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let (metrics, provider) = (Arc::clone(&metrics), Arc::clone(&provider));
                let path = Arc::clone(&path);
                async move {
                    let answer = match request.uri().path() {
                        "/metrics" => {
                            let kind = "text/plain; version=0.0.4; charset=utf-8";
                            typed(StatusCode::OK, kind, metrics.render())
                        }
                        "/healthz/live" => plain(StatusCode::OK, "ok"),
                        health @ ("/healthz" | "/healthz/ready") => {
                            healthy(&provider, &path, health == "/healthz").await
                        }
                        _ => plain(StatusCode::NOT_FOUND, ""),
                    };
                    Ok::<_, Infallible>(answer.map(Full::new))
                }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "a connection for telemetry ended early");
            }
        });
    }
}

async fn healthy(provider: &Provider, path: &str, told: bool) -> Response<Bytes> {
    let request = Request::get(path).body(Bytes::new());
    let healthy = match request {
        Ok(request) => provider.handle(request).await.status() == StatusCode::OK,
        Err(_) => false,
    };
    let status = match healthy {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let words = match healthy {
        true => "the storage answers",
        false => "the storage does not answer",
    };
    match told {
        true => {
            let body = json!({ "storage": { "message": words, "healthy": healthy } });
            typed(status, "application/json", body.to_string())
        }
        false => plain(status, if healthy { "ok" } else { words }),
    }
}

fn plain(status: StatusCode, words: &'static str) -> Response<Bytes> {
    typed(status, "text/plain; charset=utf-8", words)
}

fn typed(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_name_clients() {
        let rule = |trusted: &[&str]| RemoteIp {
            header: "x-forwarded-for".into(),
            trusted: trusted.iter().map(|one| one.parse().unwrap()).collect(),
        };
        let mut headers = HeaderMap::new();
        let chain = HeaderValue::from_static("6.6.6.6, 1.2.3.4");
        headers.append("x-forwarded-for", chain);
        headers.append("x-forwarded-for", HeaderValue::from_static("10.0.0.2"));
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        let run = |rule: Option<&RemoteIp>| client(rule, &headers, peer).to_string();
        assert_eq!(run(None), "10.0.0.1");
        // Nobody is trusted unless they are named.
        assert_eq!(run(Some(&rule(&[]))), "10.0.0.1");
        assert_eq!(run(Some(&rule(&["192.168.0.0/16"]))), "10.0.0.1");
        assert_eq!(
            run(Some(&rule(&["10.0.0.0/8", "192.168.0.0/16"]))),
            "1.2.3.4"
        );
        assert_eq!(run(Some(&rule(&["0.0.0.0/0"]))), "6.6.6.6");
    }
}
