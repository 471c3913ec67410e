//! The key pair of `tls_cert_file` and `tls_key_file`, read again when it changes.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Shows one key pair to everybody; none where TLS is not served.
pub(super) struct OnePair(ArcSwapOption<CertifiedKey>);

impl fmt::Debug for OnePair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnePair")
    }
}

impl OnePair {
    /// No pair.
    pub(super) fn none() -> Self {
        Self(ArcSwapOption::empty())
    }

    /// Reads the pair of these files.
    pub(super) fn read(&self, chain: &str, key: &str) -> Result<(), String> {
        let unreadable = |path: &str, why: &dyn fmt::Display| format!("`{path}`: {why}");
        let certificates = CertificateDer::pem_file_iter(chain)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|why| unreadable(chain, &why))?;
        if certificates.is_empty() {
            return Err(unreadable(chain, &"there is no certificate in it"));
        }
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|why| unreadable(key, &why))?;
        let signing = any_supported_type(&secret).map_err(|why| unreadable(key, &why))?;
        let pair = CertifiedKey::new(certificates, signing);
        pair.keys_match()
            .map_err(|_| unreadable(key, &"it belongs to another certificate"))?;
        self.0.store(Some(Arc::new(pair)));
        Ok(())
    }
}

impl ResolvesServerCert for OnePair {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}
