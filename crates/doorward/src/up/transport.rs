//! How the login proxy reaches an issuer: in this process when doorward plays it, else over TLS.
//!
//! The question is the same HTTP request either way; the login proxy cannot tell the difference.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use login::{Transport, TransportFault};
use provider::Provider;
use rustls_platform_verifier::BuilderVerifierExt as _;

/// An issuer answers in this time, or is down.
const PATIENCE: Duration = Duration::from_secs(10);
/// Key sets and token answers are a few KiB; more is not an issuer.
const LARGEST_ANSWER: usize = 1 << 20;

#[expect(
    clippy::disallowed_types,
    reason = "the control plane's one client, behind its seam"
)]
type Client = hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A provider in this process and the URL that leads to it.
pub(crate) struct LocalIssuer {
    /// The issuer, no slash at the end.
    pub(crate) issuer: Arc<str>,
    /// What answers.
    pub(crate) provider: Arc<Provider>,
}

/// Reaches issuers.
pub(crate) struct IssuerTransport {
    local: ArcSwap<Vec<LocalIssuer>>,
    client: Option<Client>,
}

impl IssuerTransport {
    /// Trusts what the system trusts. A system that trusts nobody still reaches the issuers in this
    /// process, so it is no reason not to start.
    pub(crate) fn new() -> Self {
        let client = client().inspect_err(|error| {
            tracing::warn!(%error, "the system's trusted certificates cannot be read; issuers outside this process cannot be reached");
        });
        Self {
            local: ArcSwap::from_pointee(Vec::new()),
            client: client.ok(),
        }
    }

    /// Reaches issuers with this TLS.
    pub(crate) fn over(tls: rustls::ClientConfig) -> Self {
        Self {
            local: ArcSwap::from_pointee(Vec::new()),
            client: Some(client_over(tls)),
        }
    }

    /// Names the issuers that this process plays from now on.
    pub(crate) fn play(&self, issuers: Vec<LocalIssuer>) {
        self.local.store(Arc::new(issuers));
    }

    fn local(&self, uri: &Uri) -> Option<Arc<Provider>> {
        let text = uri.to_string();
        let issuers = self.local.load();
        let played = issuers.iter().find(|local| {
            text.strip_prefix(&*local.issuer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
        })?;
        Some(Arc::clone(&played.provider))
    }
}

impl Transport for IssuerTransport {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, TransportFault>> + Send + '_>> {
        if let Some(provider) = self.local(request.uri()) {
            return Box::pin(async move { Ok(provider.handle(in_origin_form(request)).await) });
        }
        let Some(client) = &self.client else {
            return Box::pin(std::future::ready(Err(TransportFault::Untrusted)));
        };
        Box::pin(async move {
            let answer = async {
                let response = client.request(request.map(Full::new)).await;
                let response = response.map_err(|error| {
                    tracing::warn!(%error, "an issuer cannot be reached");
                    fault(&error)
                })?;
                let (parts, body) = response.into_parts();
                let body = Limited::new(body, LARGEST_ANSWER).collect().await;
                let body = body.map_err(|_| TransportFault::TooLarge)?.to_bytes();
                Ok(Response::from_parts(parts, body))
            };
            tokio::time::timeout(PATIENCE, answer)
                .await
                .unwrap_or(Err(TransportFault::TimedOut))
        })
    }
}

/// TLS names itself in the chain of causes; everything else is a broken connection.
fn fault(error: &(dyn std::error::Error + 'static)) -> TransportFault {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if inner.is_some_and(|inner| inner.is::<rustls::Error>()) || error.is::<rustls::Error>() {
            return TransportFault::Untrusted;
        }
        cause = error.source();
    }
    TransportFault::Unreachable
}

fn client() -> Result<Client, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    Ok(client_over(tls))
}

fn client_over(tls: rustls::ClientConfig) -> Client {
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .build();
    #[expect(clippy::disallowed_types, reason = "as above")]
    let builder = hyper_util::client::legacy::Client::builder(TokioExecutor::new());
    builder.build(connector)
}

/// Servers get `/path?query` and a `Host`; clients name the whole URL.
fn in_origin_form(mut request: Request<Bytes>) -> Request<Bytes> {
    let uri = request.uri().clone();
    if let Some(authority) = uri.authority()
        && let Ok(host) = authority.as_str().parse()
    {
        request.headers_mut().insert(http::header::HOST, host);
    }
    if let Some(target) = uri.path_and_query() {
        *request.uri_mut() = Uri::from(target.clone());
    }
    request
}
