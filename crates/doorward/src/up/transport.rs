//! How the login proxy reaches an issuer: in this process when doorward plays it, else over TLS.
//!
//! The question is the same HTTP request either way; the login proxy cannot tell the difference.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use gateway::ResolveRule;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::rt::TokioExecutor;
use login::{Transport, TransportFault};
use model::snapshot::{IssuerTls, IssuerTlsClient, Login};
use provider::Provider;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls_platform_verifier::{BuilderVerifierExt as _, Verifier};

use super::places::Places;

/// An issuer answers in this time, or is down.
const PATIENCE: Duration = Duration::from_secs(10);
/// Key sets and token answers are a few KiB; more is not an issuer.
const LARGEST_ANSWER: usize = 1 << 20;

#[expect(
    clippy::disallowed_types,
    reason = "the control plane's one client, behind its seam"
)]
pub(crate) type Client = hyper_util::client::legacy::Client<HttpsConnector<Places>, Full<Bytes>>;

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
    /// Issuers that are reached in a way of their own, by host and port.
    special: ArcSwap<HashMap<Box<str>, Special>>,
}

/// A way of its own; `None` when its certificates or key cannot be used.
#[derive(Clone)]
struct Special {
    settings: IssuerTls,
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
            special: ArcSwap::default(),
        }
    }

    /// Reaches issuers with this TLS, where `places` say that they live.
    pub(crate) fn over(tls: rustls::ClientConfig, places: &[ResolveRule]) -> Self {
        Self {
            local: ArcSwap::from_pointee(Vec::new()),
            client: Some(client_over(tls, places)),
            special: ArcSwap::default(),
        }
    }

    /// Reaches the issuers of `logins` as their settings say from now on.
    pub(crate) fn reach<'a>(&self, logins: impl Iterator<Item = &'a Login>) {
        let before = self.special.load();
        let mut special = HashMap::new();
        for login in logins.filter(|login| login.issuer_tls != IssuerTls::default()) {
            let settings = &login.issuer_tls;
            let same = before.values().find(|held| held.settings == *settings);
            let way = same.cloned().unwrap_or_else(|| Special {
                settings: settings.clone(),
                client: tls(settings)
                    .map(|tls| client_over(tls, &[]))
                    .inspect_err(|error| {
                        tracing::error!(issuer = %login.issuer, %error, "the issuer cannot be reached: its certificates or our own cannot be used");
                    })
                    .ok(),
            });
            let endpoints = [
                &login.redeem_url,
                &login.jwks_url,
                &login.user_info_url,
                &login.end_session_url,
            ];
            let endpoints = endpoints.into_iter().flatten();
            for address in endpoints.chain([&login.issuer]) {
                if let Some(place) = address.parse().ok().as_ref().and_then(place) {
                    special.insert(place, way.clone());
                }
            }
        }
        drop(before);
        self.special.store(Arc::new(special));
    }

    /// What reaches `uri`.
    fn client(&self, uri: &Uri) -> Option<Client> {
        let special = self.special.load();
        if !special.is_empty()
            && let Some(way) = place(uri).and_then(|place| special.get(&place))
        {
            return way.client.clone();
        }
        self.client.clone()
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
        let Some(client) = self.client(request.uri()) else {
            return Box::pin(std::future::ready(Err(TransportFault::Untrusted)));
        };
        Box::pin(async move { send_over(&client, request).await })
    }
}

/// Sends `request` and waits for the whole answer, within bounds.
pub(super) async fn send_over(
    client: &Client,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, TransportFault> {
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
}

/// TLS names itself in the chain of causes; everything else is a broken connection.
fn fault(error: &(dyn std::error::Error + 'static)) -> TransportFault {
    match is_of_tls(error) {
        true => TransportFault::Untrusted,
        false => TransportFault::Unreachable,
    }
}

/// An error of the system that stands for another is not among the causes of that one.
pub(super) fn is_of_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let stands_for = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>()
        || stands_for.is_some_and(|inner| is_of_tls(inner))
        || error.source().is_some_and(is_of_tls)
}

/// Host and port.
fn place(uri: &Uri) -> Option<Box<str>> {
    let port = uri.port_u16().or(match uri.scheme_str() {
        Some("https") => Some(443),
        _ => None,
    })?;
    Some(format!("{}:{port}", uri.host()?.to_ascii_lowercase()).into())
}

fn client() -> Result<Client, rustls::Error> {
    Ok(client_over(tls(&IssuerTls::default())?, &[]))
}

/// TLS that trusts and shows what `settings` say.
///
/// # Errors
/// When a certificate, a key or the system's certificates cannot be read.
pub(crate) fn tls(settings: &IssuerTls) -> Result<rustls::ClientConfig, rustls::Error> {
    let IssuerTls {
        authorities,
        system_too,
        unverified,
        client,
    } = settings;
    let unreadable = |what: &str| rustls::Error::General(format!("{what} cannot be read"));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let certificates = |text: &str| {
        let read = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
        let read = read.map_err(|_| unreadable("a certificate"))?;
        match read.is_empty() {
            true => Err(unreadable("a certificate")),
            false => Ok(read),
        }
    };
    let builder = match (authorities, unverified) {
        (_, true) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(
                provider.signature_verification_algorithms,
            ))),
        (None, false) => builder.with_platform_verifier()?,
        (Some(text), false) if *system_too => {
            let verifier = Verifier::new_with_extra_roots(certificates(text)?, provider)?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
        }
        (Some(text), false) => {
            let mut roots = rustls::RootCertStore::empty();
            for certificate in certificates(text)? {
                roots.add(certificate)?;
            }
            builder.with_root_certificates(roots)
        }
    };
    match client {
        None => Ok(builder.with_no_client_auth()),
        Some(IssuerTlsClient {
            certificates: own,
            key,
        }) => {
            let key = PrivateKeyDer::from_pem_slice(key.expose());
            let key = key.map_err(|_| unreadable("our own key"))?;
            builder.with_client_auth_cert(certificates(own)?, key)
        }
    }
}

/// Takes any certificate, because the operator says so: `ssl_insecure_skip_verify`. Whoever shows it
/// still has to have its key.
#[derive(Debug)]
struct Anyone(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

pub(super) fn client_over(tls: rustls::ClientConfig, places: &[ResolveRule]) -> Client {
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(Places::new(places));
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
