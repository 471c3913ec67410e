//! Whom the issuer's certificate may come from.

use std::fmt::Display;
use std::fs;

use model::oauth2_proxy::IssuerTrust;
use model::snapshot::IssuerTls;
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::up::transport;

/// TLS to the issuer. The error says what to correct.
pub(super) fn client(trust: &IssuerTrust) -> Result<ClientConfig, String> {
    let IssuerTrust {
        authorities,
        system,
        anybody,
    } = trust;
    if *anybody {
        tracing::warn!(
            "the certificate of the issuer is not checked: `ssl_insecure_skip_verify` is set"
        );
    }
    let mut texts = Vec::new();
    for path in authorities {
        let fault = |why: &dyn Display| {
            format!(
                "`provider_ca_files` names `{path}`: {why}\nhelp: name a file of PEM certificates"
            )
        };
        let text = fs::read_to_string(&**path).map_err(|why| fault(&why))?;
        let mut certificates = CertificateDer::pem_slice_iter(text.as_bytes());
        match certificates.next() {
            None => return Err(fault(&"there is no certificate in it")),
            Some(first) => first.map(drop).map_err(|why| fault(&why))?,
        }
        for certificate in certificates {
            certificate.map_err(|why| fault(&why))?;
        }
        texts.push(text);
    }
    let settings = IssuerTls {
        authorities: (!texts.is_empty()).then(|| texts.join("\n").into()),
        system_too: *system,
        unverified: *anybody,
        client: None,
    };
    transport::tls(&settings).map_err(|why| format!("TLS to the issuer cannot be had: {why}"))
}
