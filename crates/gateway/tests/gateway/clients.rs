//! An authority, the clients that it certifies, and how they connect.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::door::{AsLocalhost, Door};

/// A certificate and its key.
pub(crate) type Pair = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// An authority of clients.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A client with this SPIFFE id and serial number.
    pub(crate) fn client(&self, id: &str, serial: u64) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["client.example".into()]).unwrap();
        params.serial_number = Some(SerialNumber::from(serial));
        params.distinguished_name.push(DnType::CommonName, "client");
        params
            .subject_alt_names
            .push(SanType::URI(id.try_into().unwrap()));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        (certificate.der().clone(), key)
    }

    /// The list of those who are certified no more.
    pub(crate) fn revoked(&self, serial: u64) -> String {
        let day = |day| rcgen::date_time_ymd(2020, 1, day);
        let params = CertificateRevocationListParams {
            this_update: day(1),
            next_update: rcgen::date_time_ymd(2090, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: day(2),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// A client that trusts the door, shows `pair`, and speaks `versions`.
pub(crate) fn config(
    door: &Door,
    pair: Option<&Pair>,
    versions: &[&'static rustls::SupportedProtocolVersion],
    protocol: &[u8],
) -> Arc<ClientConfig> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    config_with(door, provider, pair, versions, protocol)
}

/// The same with suites of its own.
pub(crate) fn config_with(
    door: &Door,
    provider: CryptoProvider,
    pair: Option<&Pair>,
    versions: &[&'static rustls::SupportedProtocolVersion],
    protocol: &[u8],
) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(AsLocalhost::new(&door.roots));
    let mut config = match pair {
        Some((certificate, key)) => builder
            .with_client_auth_cert(vec![certificate.clone()], key.clone_key())
            .unwrap(),
        None => builder.with_no_client_auth(),
    };
    if !protocol.is_empty() {
        config.alpn_protocols = vec![protocol.to_vec()];
    }
    Arc::new(config)
}

pub(crate) async fn connect(
    address: SocketAddr,
    name: &str,
    config: &Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::clone(config))
        .connect(name, stream)
        .await
}

/// Asks for `host` on a connection whose handshake names `name`; the error of the handshake, which
/// TLS 1.3 tells with the first read only.
pub(crate) async fn ask(
    address: SocketAddr,
    name: &str,
    host: &str,
    config: &Arc<ClientConfig>,
) -> std::io::Result<String> {
    let mut stream = connect(address, name, config).await?;
    let request = format!(
        "GET /app/ HTTP/1.1\r\nhost: {host}\r\nx-forwarded-client-cert: By=liar\r\nclient-cert: :liar:\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Text as a block of YAML, `indent` deep.
pub(crate) fn block(text: &str, indent: usize) -> String {
    let space = " ".repeat(indent);
    let lines: String = text
        .lines()
        .map(|line| format!("{space}{line}\n"))
        .collect();
    format!("|\n{lines}")
}
