//! The administration listener: health, readiness, metrics, what was compiled. Never on the public
//! port.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use gateway::{Metrics, World};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use login::Sessions;
use model::{Finding, Severity};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{admin_sessions, listing};

/// A head that takes longer than this is not a health check.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// What the administration listener tells about.
pub(crate) struct Admin {
    pub(crate) world: Arc<ArcSwap<World>>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) store: Arc<provider::Store>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) condition: Arc<ArcSwap<Condition>>,
    /// Where other proxies ask over HTTP.
    pub(crate) authorizer_http: Option<SocketAddr>,
    /// The same over gRPC.
    pub(crate) authorizer_grpc: Option<SocketAddr>,
    /// Whether the process is stopping.
    pub(crate) draining: Arc<AtomicBool>,
    /// Whether another process answers at this address from now on.
    pub(crate) succeeded: Arc<AtomicBool>,
}

/// How the manifests are.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    /// What the compiler found.
    pub(crate) findings: Vec<Finding>,
    /// Why the source cannot be read now; the last good snapshot serves.
    pub(crate) alarm: Option<String>,
}

impl Admin {
    /// Serves until the process ends.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the administration listener cannot accept");
                    // Out of file descriptors: they come back only with time.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let admin = Arc::clone(&self);
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let admin = Arc::clone(&admin);
                    async move {
                        let mut answer = admin.answer(&request).await;
                        if admin.succeeded.load(Ordering::Relaxed) {
                            let close = HeaderValue::from_static("close");
                            answer.headers_mut().insert(header::CONNECTION, close);
                        }
                        Ok::<_, Infallible>(answer)
                    }
                });
                let served = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIMEOUT)
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
                if let Err(error) = served {
                    tracing::debug!(%error, "an administration connection ended early");
                }
            });
        }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if let Some(rest) = request.uri().path().strip_prefix("/sessions") {
            return admin_sessions::answer(&self.sessions, request, rest).await;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
        }
        match request.uri().path() {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => self.ready(),
            "/metrics" => {
                let mut metrics = self.metrics.render();
                let is_up = u8::from(self.sessions.alarm().is_none());
                metrics.push_str(&format!("# HELP doorward_session_store_up Whether the session store answers.\n# TYPE doorward_session_store_up gauge\ndoorward_session_store_up {is_up}\n"));
                let held = self.sessions.in_memory();
                metrics.push_str(&format!("# HELP doorward_sessions_in_memory Sessions that no store has to be asked for.\n# TYPE doorward_sessions_in_memory gauge\ndoorward_sessions_in_memory {held}\n"));
                metrics.push_str("# HELP doorward_provider_sign_ins_total Sign-ins at the provider with a password, by how they ended.\n# TYPE doorward_provider_sign_ins_total counter\n");
                for (outcome, count) in self.store.sign_in_counts() {
                    metrics.push_str(&format!(
                        "doorward_provider_sign_ins_total{{outcome=\"{outcome}\"}} {count}\n"
                    ));
                }
                let mut response = text(StatusCode::OK, metrics);
                let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                response.headers_mut().insert(header::CONTENT_TYPE, format);
                response
            }
            "/snapshot" => json_answer(
                StatusCode::OK,
                &listing::snapshot(&self.world.load().snapshot),
            ),
            _ => text(
                StatusCode::NOT_FOUND,
                "not here; there are /healthz, /readyz, /metrics, /snapshot and /sessions\n",
            ),
        }
    }

    /// Ready as long as a snapshot serves; what is wrong with it is told beside. A process that
    /// stops is not ready, so that a load balancer looks elsewhere.
    fn ready(&self) -> Response<Full<Bytes>> {
        let condition = self.condition.load();
        let draining = self.draining.load(Ordering::Relaxed);
        let count = |severity| {
            let of = condition
                .findings
                .iter()
                .filter(|finding| finding.severity == severity);
            of.count()
        };
        let findings: Vec<Value> = condition
            .findings
            .iter()
            .filter(|finding| finding.severity > Severity::Note)
            .map(listing::finding)
            .collect();
        let body = json!({
            "ready": !draining,
            "draining": draining,
            "authorizerHttp": self.authorizer_http.map(|address| address.to_string()),
            "authorizerGrpc": self.authorizer_grpc.map(|address| address.to_string()),
            "alarm": condition.alarm,
            "sessions": self.sessions.alarm(),
            "errors": count(Severity::Error),
            "warnings": count(Severity::Warning),
            "findings": findings,
        });
        let status = if draining {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::OK
        };
        json_answer(status, &body)
    }
}

/// Binds the listener, or accepts on `given` where that is what `wanted` asks for; port 0 asks for
/// any.
pub(crate) fn bind(
    wanted: SocketAddr,
    given: Option<StdListener>,
) -> io::Result<(StdListener, SocketAddr)> {
    let is_wanted = |at: SocketAddr| at == wanted || (wanted.port() == 0 && at.ip() == wanted.ip());
    let given = given.filter(|one| one.local_addr().is_ok_and(is_wanted));
    let listener = given.map_or_else(|| StdListener::bind(wanted), Ok)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

pub(super) fn json_answer(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = text(status, format!("{body:#}\n"));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
