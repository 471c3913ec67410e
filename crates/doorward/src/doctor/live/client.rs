//! Asks a site from outside, as a browser would, but looks at the certificate by itself: what is
//! wrong with it is told, and the rest is asked all the same. Nothing secret is ever sent.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

/// A site answers in this time, or does not.
const PATIENCE: Duration = Duration::from_secs(10);
/// So much of an answer is looked at.
const LOOKED_AT: usize = 1 << 20;

/// What a site answered.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// A header as text.
    pub(super) fn text(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The certificate that a site showed.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    pub(super) leaf: Option<CertificateDer<'static>>,
    /// What is wrong with it, in the words of whoever checked it.
    pub(super) fault: Option<rustls::Error>,
}

/// Why a site cannot be asked.
#[derive(Debug)]
pub(super) enum Unreached {
    /// The address is no URL of a site.
    Url,
    /// The authorities of `--ca` cannot be read.
    Authorities,
    /// Nobody takes the connection, or breaks it off.
    Broken(String),
    /// Nobody answers in time.
    Late,
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => f.write_str("this is no `http://` or `https://` address with a host"),
            Self::Authorities => f.write_str("there is no PEM certificate in the file of `--ca`"),
            Self::Broken(why) => write!(f, "nobody answers: {why}"),
            Self::Late => write!(f, "nobody answered in {} seconds", PATIENCE.as_secs()),
        }
    }
}

impl std::error::Error for Unreached {}

fn broken(error: impl fmt::Display) -> Unreached {
    Unreached::Broken(error.to_string())
}

/// Asks.
pub(super) struct Client {
    config: Arc<ClientConfig>,
    witness: Arc<Witness>,
}

impl Client {
    /// Trusts the certificates of a PEM file, or what the system trusts.
    pub(super) fn new(authorities: Option<&[u8]>) -> Result<Self, Unreached> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let judge: Arc<dyn ServerCertVerifier> = match authorities {
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|_| Unreached::Authorities)?;
                    roots.add(certificate).map_err(|_| Unreached::Authorities)?;
                }
                let builder = rustls::client::WebPkiServerVerifier::builder_with_provider(
                    Arc::new(roots),
                    Arc::clone(&provider),
                );
                builder.build().map_err(|_| Unreached::Authorities)?
            }
            None => Arc::new(Verifier::new(Arc::clone(&provider)).map_err(broken)?),
        };
        let witness = Arc::new(Witness {
            judge,
            shown: Mutex::default(),
        });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(broken)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&witness) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        Ok(Self {
            config: Arc::new(config),
            witness,
        })
    }

    /// The certificate of the last connection.
    pub(super) fn shown(&self) -> Shown {
        let shown = self.witness.shown.lock();
        shown.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// GET, redirects not followed.
    pub(super) async fn get(&self, url: &Url, headers: &HeaderMap) -> Result<Answer, Unreached> {
        tokio::time::timeout(PATIENCE, self.ask(url, headers))
            .await
            .unwrap_or(Err(Unreached::Late))
    }

    async fn ask(&self, url: &Url, headers: &HeaderMap) -> Result<Answer, Unreached> {
        let host = url.host_str().ok_or(Unreached::Url)?;
        let port = url.port_or_known_default().ok_or(Unreached::Url)?;
        let address = (host.trim_matches(['[', ']']), port);
        let socket = TcpStream::connect(address).await.map_err(broken)?;
        match url.scheme() {
            "http" => exchange(socket, url, headers).await,
            "https" => {
                let name = host.trim_matches(['[', ']']).to_owned();
                let name = ServerName::try_from(name).map_err(|_| Unreached::Url)?;
                let connector = TlsConnector::from(Arc::clone(&self.config));
                let stream = connector.connect(name, socket).await.map_err(broken)?;
                exchange(stream, url, headers).await
            }
            _ => Err(Unreached::Url),
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    url: &Url,
    headers: &HeaderMap,
) -> Result<Answer, Unreached> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    // It ends with the exchange, or with the runtime.
    tokio::spawn(async move {
        let _: Result<(), hyper::Error> = connection.await;
    });
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    let mut request = Request::new(Empty::<Bytes>::new());
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    *request.uri_mut() = target.parse().map_err(|_| Unreached::Url)?;
    *request.headers_mut() = headers.clone();
    let host = HeaderValue::from_str(&host).map_err(|_| Unreached::Url)?;
    request.headers_mut().insert(header::HOST, host);
    let answer: Response<_> = sender.send_request(request).await.map_err(broken)?;
    let (parts, body) = answer.into_parts();
    // What is longer is not looked at; a page that says who somebody is is short.
    let body = Limited::new(body, LOOKED_AT).collect().await;
    Ok(Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: body.map(|body| body.to_bytes()).unwrap_or_default(),
    })
}

/// Notes what is wrong with a certificate instead of breaking off.
#[derive(Debug)]
struct Witness {
    judge: Arc<dyn ServerCertVerifier>,
    shown: Mutex<Shown>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let judged = self
            .judge
            .verify_server_cert(leaf, intermediates, name, stapled, now);
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = Shown {
            leaf: Some(leaf.clone().into_owned()),
            fault: judged.err(),
        };
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

/// Reads the file of `--ca`.
pub(super) fn authorities(path: &std::path::Path) -> io::Result<Vec<u8>> {
    std::fs::read(path)
}
