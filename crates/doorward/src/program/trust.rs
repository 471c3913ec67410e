//! Whom the issuer's certificate may come from.

use std::sync::Arc;

use model::oauth2_proxy::IssuerTrust;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_platform_verifier::BuilderVerifierExt as _;

/// TLS to the issuer. The error says what to correct.
pub(super) fn client(trust: &IssuerTrust) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let IssuerTrust {
        authorities,
        system,
        anybody,
    } = trust;
    if *anybody {
        tracing::warn!(
            "the certificate of the issuer is not checked: `ssl_insecure_skip_verify` is set"
        );
        let verifier = Arc::new(Anybody(provider));
        return Ok(builder
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth());
    }
    let platform = || {
        builder
            .clone()
            .with_platform_verifier()
            .map(|builder| builder.with_no_client_auth())
            .map_err(|error| format!("the system's trusted certificates cannot be read: {error}"))
    };
    if authorities.is_empty() {
        return platform();
    }
    let mut roots = RootCertStore::empty();
    for path in authorities {
        let fault = |why: &dyn std::fmt::Display| {
            format!(
                "`provider_ca_files` names `{path}`: {why}\nhelp: name a file of PEM certificates"
            )
        };
        let certificates = CertificateDer::pem_file_iter(&**path).map_err(|why| fault(&why))?;
        let before = roots.len();
        for certificate in certificates {
            let certificate = certificate.map_err(|why| fault(&why))?;
            roots.add(certificate).map_err(|why| fault(&why))?;
        }
        if roots.len() == before {
            return Err(fault(&"there is no certificate in it"));
        }
    }
    let own = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| error.to_string())?;
    if !*system {
        return Ok(builder.with_webpki_verifier(own).with_no_client_auth());
    }
    let others = rustls_platform_verifier::Verifier::new(provider)
        .map_err(|error| format!("the system's trusted certificates cannot be read: {error}"))?;
    let either = Arc::new(Either {
        own,
        others: Arc::new(others),
    });
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(either)
        .with_no_client_auth())
}

/// The authorities of the files, or else the system's.
#[derive(Debug)]
struct Either {
    own: Arc<WebPkiServerVerifier>,
    others: Arc<dyn ServerCertVerifier>,
}

impl ServerCertVerifier for Either {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.own
            .verify_server_cert(leaf, chain, name, ocsp, now)
            .or_else(|_| self.others.verify_server_cert(leaf, chain, name, ocsp, now))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.own
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.own
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.own.supported_verify_schemes()
    }
}

/// Nobody's certificate is checked, because the operator said so; signatures are all the same.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
