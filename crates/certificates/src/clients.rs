//! The authorities of client certificates: whether a handshake can rest on them.

use std::collections::BTreeSet;

use model::finding::codes;
use model::snapshot::ClientTrust;
use model::{Finding, Severity, Snapshot};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::{parse_x509_certificate, parse_x509_crl};

/// What is wrong with them. Handshakes that would have to rest on such fail.
pub(crate) fn check(snapshot: &Snapshot) -> Vec<Finding> {
    let chains = snapshot
        .listeners()
        .values()
        .flat_map(|listener| listener.chains());
    let mut told = BTreeSet::new();
    let trusted = chains
        .filter_map(|chain| chain.tls.as_ref()?.client.trust())
        .filter(|trust| told.insert((trust.object.clone(), trust.authorities.clone())));
    trusted.filter_map(|trust| fault(trust)).collect()
}

fn fault(trust: &ClientTrust) -> Option<Finding> {
    let what = if !are_certificates(&trust.authorities) {
        "the authorities of clients"
    } else if !trust.revoked.as_deref().is_none_or(are_lists) {
        "the revocation list of clients"
    } else {
        return None;
    };
    Some(Finding {
        code: codes::CLIENT_AUTHORITY_UNREADABLE,
        severity: Severity::Error,
        place: Some(trust.place.clone()),
        object: Some(trust.object.clone()),
        field: String::new(),
        fault: format!(
            "{what} in `{}` cannot be read, so handshakes fail",
            trust.object
        ),
        remedy: "put whole PEM certificates into `ca.crt`, and a whole PEM list into `ca.crl`"
            .to_owned(),
    })
}

fn are_certificates(pem: &str) -> bool {
    let mut all = CertificateDer::pem_slice_iter(pem.as_bytes()).peekable();
    all.peek().is_some() && all.all(|der| der.is_ok_and(|der| parse_x509_certificate(&der).is_ok()))
}

fn are_lists(pem: &str) -> bool {
    let mut all = CertificateRevocationListDer::pem_slice_iter(pem.as_bytes()).peekable();
    all.peek().is_some() && all.all(|der| der.is_ok_and(|der| parse_x509_crl(&der).is_ok()))
}
