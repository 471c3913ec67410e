//! TLS to upstreams: whom to trust, which name to ask for, what to show.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use model::snapshot::{KeyPair, Trust, UpstreamTls};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::{Connect, TlsConnector};
use x509_parser::extensions::GeneralName;

/// Why TLS to an upstream cannot be made at all. The manifest's author is at fault.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TlsFault {
    /// The name to ask for is none.
    Name(Box<str>),
    /// There is no usable certificate among the authorities.
    Authorities,
    /// The client certificate cannot be read.
    Chain,
    /// The client's private key cannot be read.
    Key,
    /// The library refuses it, or the system's authorities cannot be read.
    Refused(Error),
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "`{name}` is no name that a certificate can have"),
            Self::Authorities => f.write_str("its authorities hold no usable certificate"),
            Self::Chain => f.write_str("its client certificate cannot be read"),
            Self::Key => f.write_str("its client key cannot be read"),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TlsFault {}

/// Configurations of the whole process: reading the system's authorities and keys is slow, so it is
/// done once for all workers.
#[derive(Default)]
pub(crate) struct TlsConfigs(Mutex<Vec<Made>>);

type Made = (Arc<UpstreamTls>, Result<Arc<ClientConfig>, TlsFault>);

impl TlsConfigs {
    fn config(&self, wanted: &Arc<UpstreamTls>) -> Result<Arc<ClientConfig>, TlsFault> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = made.iter().find(|(known, _)| known == wanted) {
            return config.clone();
        }
        // What only this list still knows belongs to no world and no cluster.
        made.retain(|(known, _)| Arc::strong_count(known) > 1);
        let config = client_config(wanted).map(Arc::new);
        made.push((Arc::clone(wanted), config.clone()));
        config
    }
}

/// How TLS to one upstream is made.
pub(super) struct Tls {
    name: ServerName<'static>,
    http1: TlsConnector,
    http2: TlsConnector,
}

impl Tls {
    /// As `wanted`, to `host` unless another name is.
    pub(super) fn new(
        configs: &TlsConfigs,
        wanted: &Arc<UpstreamTls>,
        host: &str,
    ) -> Result<Self, TlsFault> {
        let name = wanted.server_name.as_deref().unwrap_or(host);
        let config = configs.config(wanted)?;
        let speaking = |protocols: &[&[u8]]| {
            let mut config = ClientConfig::clone(&config);
            config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
            TlsConnector::from(Arc::new(config))
        };
        Ok(Self {
            name: ServerName::try_from(name.to_owned()).map_err(|_| TlsFault::Name(name.into()))?,
            http1: speaking(&[b"http/1.1"]),
            http2: speaking(&[b"h2", b"http/1.1"]),
        })
    }

    /// A handshake that offers HTTP/1.1.
    pub(super) fn http1(&self, stream: TcpStream) -> Connect<TcpStream> {
        self.http1.connect(self.name.clone(), stream)
    }

    /// A handshake that offers HTTP/2, and HTTP/1.1 to those that cannot.
    pub(super) fn http2(&self, stream: TcpStream) -> Connect<TcpStream> {
        self.http2.connect(self.name.clone(), stream)
    }
}

fn client_config(wanted: &UpstreamTls) -> Result<ClientConfig, TlsFault> {
    let UpstreamTls {
        server_name: _,
        trust,
        subject_alt_names,
        client,
    } = wanted;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Verifier {
        trust: Trusted::new(trust, &provider)?,
        names: subject_alt_names
            .iter()
            .map(|name| San::new(name))
            .collect(),
        algorithms: provider.signature_verification_algorithms,
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsFault::Refused)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    match client {
        None => Ok(builder.with_no_client_auth()),
        Some(KeyPair { chain, key }) => {
            let chain: Vec<CertificateDer<'static>> =
                CertificateDer::pem_slice_iter(chain.as_bytes())
                    .collect::<Result<_, _>>()
                    .map_err(|_| TlsFault::Chain)?;
            if chain.is_empty() {
                return Err(TlsFault::Chain);
            }
            let key = PrivateKeyDer::from_pem_slice(key.expose()).map_err(|_| TlsFault::Key)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(TlsFault::Refused)
        }
    }
}

/// Whom a certificate must come from.
#[derive(Debug)]
enum Trusted {
    System(rustls_platform_verifier::Verifier),
    Roots(RootCertStore),
    Anybody,
}

impl Trusted {
    fn new(trust: &Trust, provider: &Arc<CryptoProvider>) -> Result<Self, TlsFault> {
        match trust {
            Trust::Anybody => Ok(Self::Anybody),
            Trust::System => rustls_platform_verifier::Verifier::new(Arc::clone(provider))
                .map(Self::System)
                .map_err(TlsFault::Refused),
            Trust::Authorities(pem) => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                    let certificate = certificate.map_err(|_| TlsFault::Authorities)?;
                    roots.add(certificate).map_err(|_| TlsFault::Authorities)?;
                }
                if roots.is_empty() {
                    return Err(TlsFault::Authorities);
                }
                Ok(Self::Roots(roots))
            }
        }
    }
}

/// A name of which a certificate must have one.
#[derive(Debug)]
enum San {
    /// A host name or address.
    Host(ServerName<'static>),
    /// Anything else that stands in a certificate: a SPIFFE identity, an e-mail address.
    Text(Box<str>),
}

impl San {
    fn new(name: &str) -> Self {
        match ServerName::try_from(name.to_owned()) {
            Ok(host) => Self::Host(host),
            Err(_) => Self::Text(name.into()),
        }
    }
}

/// Judges an upstream's certificate.
#[derive(Debug)]
struct Verifier {
    trust: Trusted,
    // Empty: the server name.
    names: Vec<San>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.trust {
            Trusted::Anybody => return Ok(ServerCertVerified::assertion()),
            Trusted::System(system) => {
                let judge = |name: &ServerName<'_>| {
                    system.verify_server_cert(end_entity, intermediates, name, ocsp, now)
                };
                if self.names.is_empty() {
                    return judge(server_name);
                }
                // The system's authorities vouch for hosts only.
                let mut last = Error::from(CertificateError::NotValidForName);
                for name in &self.names {
                    let San::Host(name) = name else { continue };
                    match judge(name) {
                        Ok(verified) => return Ok(verified),
                        Err(error) => last = error,
                    }
                }
                return Err(last);
            }
            Trusted::Roots(roots) => {
                let certificate = ParsedCertificate::try_from(end_entity)?;
                let algorithms = self.algorithms.all;
                verify_server_cert_signed_by_trust_anchor(
                    &certificate,
                    roots,
                    intermediates,
                    now,
                    algorithms,
                )?;
                if self.names.is_empty() {
                    verify_server_name(&certificate, server_name)?;
                } else if !self.names.iter().any(|name| match name {
                    San::Host(name) => verify_server_name(&certificate, name).is_ok(),
                    San::Text(text) => has_text_name(end_entity, text),
                }) {
                    return Err(CertificateError::NotValidForName.into());
                }
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn has_text_name(certificate: &CertificateDer<'_>, wanted: &str) -> bool {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else {
        return false;
    };
    let Ok(Some(names)) = parsed.subject_alternative_name() else {
        return false;
    };
    names.value.general_names.iter().any(|name| match name {
        GeneralName::URI(uri) => *uri == wanted,
        GeneralName::RFC822Name(mail) => *mail == wanted,
        _ => false,
    })
}

/// A failed handshake in words.
pub(super) struct Words<'e>(pub(super) &'e io::Error);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.0.get_ref().and_then(|error| error.downcast_ref());
        let Some(Error::InvalidCertificate(fault)) = inner else {
            return self.0.fmt(f);
        };
        match fault {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                f.write_str("its certificate has expired")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                f.write_str("its certificate is not valid yet")
            }
            CertificateError::UnknownIssuer => {
                f.write_str("its certificate comes from an authority that is not trusted")
            }
            CertificateError::NotValidForName => {
                f.write_str("its certificate has none of the names that are asked for")
            }
            CertificateError::NotValidForNameContext { expected, .. } => {
                let expected = expected.to_str();
                write!(f, "its certificate is not for `{expected}`")
            }
            CertificateError::Revoked => f.write_str("its certificate was revoked"),
            other => write!(f, "its certificate is no good: {other}"),
        }
    }
}
