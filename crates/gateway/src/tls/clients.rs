//! Certificates of clients: certified by whom the manifests say, not revoked, and one of the names,
//! keys or certificates that they list.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use model::snapshot::ClientTrust;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// The verifier for `trust`.
///
/// # Errors
/// When authorities or revocation lists cannot be read.
pub(super) fn verifier(
    trust: &Arc<ClientTrust>,
    may_be_absent: bool,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let unreadable = |what: &str| Error::General(format!("{what} cannot be read"));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(trust.authorities.as_bytes()) {
        let certificate = certificate.map_err(|_| unreadable("an authority"))?;
        roots.add(certificate)?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if let Some(revoked) = trust.revoked.as_deref() {
        let lists = CertificateRevocationListDer::pem_slice_iter(revoked.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| unreadable("a revocation list"))?;
        // Taken for an empty one, it would let revoked certificates in.
        if lists.is_empty() {
            return Err(unreadable("a revocation list"));
        }
        builder = builder.with_crls(lists);
    }
    if may_be_absent {
        builder = builder.allow_unauthenticated();
    }
    let inner = builder
        .build()
        .map_err(|error| Error::General(error.to_string()))?;
    let ClientTrust {
        names,
        keys,
        certificates,
        ..
    } = &**trust;
    if names.is_empty() && keys.is_empty() && certificates.is_empty() {
        return Ok(inner);
    }
    let trust = Arc::clone(trust);
    Ok(Arc::new(Listed { inner, trust }))
}

/// A verifier that also looks for a name, a key or the certificate itself.
#[derive(Debug)]
struct Listed {
    inner: Arc<dyn ClientCertVerifier>,
    trust: Arc<ClientTrust>,
}

impl Listed {
    fn is_listed(&self, end_entity: &CertificateDer<'_>) -> bool {
        let ClientTrust {
            names,
            keys,
            certificates,
            ..
        } = &*self.trust;
        let Ok((_, parsed)) = parse_x509_certificate(end_entity) else {
            return false;
        };
        let hash = |bytes: &[u8]| digest(&SHA256, bytes);
        let pinned = (keys.is_empty() && certificates.is_empty())
            || keys
                .iter()
                .any(|key| hash(parsed.public_key().raw).as_ref() == key)
            || certificates
                .iter()
                .any(|one| hash(end_entity).as_ref() == one);
        let named = names.is_empty() || {
            let extension = parsed.subject_alternative_name().ok().flatten();
            let all = extension.map(|extension| &extension.value.general_names);
            all.into_iter()
                .flatten()
                .any(|name| names.iter().any(|wanted| is(name, wanted)))
        };
        pinned && named
    }
}

fn is(name: &GeneralName<'_>, wanted: &str) -> bool {
    match name {
        GeneralName::DNSName(name) => name.eq_ignore_ascii_case(wanted),
        GeneralName::URI(name) | GeneralName::RFC822Name(name) => *name == wanted,
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(std::net::IpAddr::from);
            let address = four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(Into::into));
            address.is_ok_and(|address| wanted.parse() == Ok(address))
        }
        _ => false,
    }
}

impl ClientCertVerifier for Listed {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .inner
            .verify_client_cert(end_entity, intermediates, now)?;
        if self.is_listed(end_entity) {
            Ok(verified)
        } else {
            let error = CertificateError::ApplicationVerificationFailure;
            Err(Error::InvalidCertificate(error))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
