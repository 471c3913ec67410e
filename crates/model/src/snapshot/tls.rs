//! Certificates that are there, and certificates that are wanted.

use std::net::IpAddr;
use std::sync::Arc;

use crate::names::{Duration, HostPattern, ObjectRef, Place, Secret};

/// A key pair from a Secret that a `Gateway` server serves.
#[derive(Clone, Debug, PartialEq)]
pub struct ServedCertificate {
    /// The Secret.
    pub object: ObjectRef,
    /// Where it stands.
    pub place: Place,
    /// Hosts of the server that names it.
    pub hosts: Vec<HostPattern>,
    /// PEM chain, leaf first.
    pub chain: Arc<str>,
    /// PEM private key.
    pub key: Secret,
}

/// A certificate that lies in a Secret which no server names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpareCertificate {
    /// The Secret.
    pub object: ObjectRef,
    /// PEM chain, leaf first.
    pub chain: Arc<str>,
}

/// A certificate that has to be issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedCertificate {
    /// The `Certificate` or `Gateway` that wants it.
    pub object: ObjectRef,
    /// Hosts it is served for.
    pub hosts: Vec<HostPattern>,
    /// DNS names in it.
    pub dns_names: Vec<Arc<str>>,
    /// Addresses in it.
    pub addresses: Vec<IpAddr>,
    /// How long it is valid.
    pub duration: Duration,
}

/// How TLS is ended on a chain. A connection whose client was asked for another certificate, or for
/// none, does not reach it.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerTls {
    /// Whether clients show a certificate.
    pub client: ClientAuth,
    /// The oldest version that is spoken.
    pub min: TlsVersion,
    /// The newest version that is spoken; [`Self::min`] is not above it.
    pub max: TlsVersion,
    /// Suites of TLS 1.2 that are spoken; none leaves the choice to the gateway.
    pub suites: Vec<CipherSuite>,
}

impl Default for ServerTls {
    /// `SIMPLE`: nobody is asked for a certificate, both versions, the gateway's own suites.
    fn default() -> Self {
        Self {
            client: ClientAuth::None,
            min: TlsVersion::Tls12,
            max: TlsVersion::Tls13,
            suites: Vec::new(),
        }
    }
}

/// Whether clients show a certificate.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ClientAuth {
    /// Nobody asks.
    #[default]
    None,
    /// They may, and one that does is verified.
    Optional(Arc<ClientTrust>),
    /// They must.
    Required(Arc<ClientTrust>),
}

impl ClientAuth {
    /// Whom a certificate must come from, where one is asked for.
    pub fn trust(&self) -> Option<&Arc<ClientTrust>> {
        match self {
            Self::None => None,
            Self::Optional(trust) | Self::Required(trust) => Some(trust),
        }
    }
}

/// Whose certificates a client may show.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientTrust {
    /// Where the authorities stand.
    pub object: ObjectRef,
    /// Where that object stands.
    pub place: Place,
    /// Authorities, PEM.
    pub authorities: Arc<str>,
    /// Revocation lists, PEM.
    pub revoked: Option<Arc<str>>,
    /// Alternative names of which the certificate must have one; none asks for no name.
    pub names: Vec<Arc<str>>,
    /// SHA-256 of the public keys of which it must be one; none asks for no key.
    pub keys: Vec<[u8; 32]>,
    /// SHA-256 of the certificates of which it must be one; none asks for no certificate.
    pub certificates: Vec<[u8; 32]>,
}

/// What becomes of the header `x-forwarded-client-cert`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardClientCert {
    /// It is removed.
    Sanitize,
    /// What came is removed, and the certificate of this connection is told: Istio's gateways.
    #[default]
    SanitizeSet,
    /// What came is passed on, if this connection showed a certificate.
    ForwardOnly,
    /// The same, and the certificate of this connection is added.
    AppendForward,
    /// What came is passed on from anybody.
    AlwaysForwardOnly,
}

/// A version of TLS that is spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// A suite of TLS 1.2 that is spoken here, by its OpenSSL name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CipherSuite {
    /// `ECDHE-ECDSA-AES128-GCM-SHA256`
    EcdsaAes128,
    /// `ECDHE-ECDSA-AES256-GCM-SHA384`
    EcdsaAes256,
    /// `ECDHE-ECDSA-CHACHA20-POLY1305`
    EcdsaChacha20,
    /// `ECDHE-RSA-AES128-GCM-SHA256`
    RsaAes128,
    /// `ECDHE-RSA-AES256-GCM-SHA384`
    RsaAes256,
    /// `ECDHE-RSA-CHACHA20-POLY1305`
    RsaChacha20,
}
