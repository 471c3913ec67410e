//! TLS of `web.https`.

use std::sync::Arc;

use model::dex::WebTls;
use model::snapshot::TlsVersion;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

use crate::program::tls::OnePair;

/// Versions as configured, and whatever pair is read now.
pub(super) fn server(tls: &WebTls, pair: Arc<OnePair>) -> Result<ServerConfig, rustls::Error> {
    let versions: &[&'static SupportedProtocolVersion] = match (tls.lowest, tls.highest) {
        (TlsVersion::Tls13, _) => &[&TLS13],
        (_, TlsVersion::Tls12) => &[&TLS12],
        _ => &[&TLS13, &TLS12],
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(pair);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
