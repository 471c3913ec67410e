//! The key pairs that the suite makes before it begins.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::{Value, json};

use super::format::HOME;

/// Names in the certificate of the backends with TLS.
const BACKEND: [&str; 2] = ["abc.example.com", "other.example.com"];
const BACKEND_URI: &str = "spiffe://abc.example.com/test-identity";

/// What is made.
pub(crate) struct Pairs {
    authority: rcgen::Certificate,
    chain: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
    objects: Vec<Value>,
}

impl Pairs {
    pub(crate) fn make() -> Self {
        let mut objects = Vec::new();
        for (namespace, name) in [
            (HOME, "tls-validity-checks-certificate"),
            ("gateway-conformance-web-backend", "certificate"),
        ] {
            let key = KeyPair::generate().unwrap();
            let own = CertificateParams::new(vec!["*.example.org".into()]).unwrap();
            objects.push(secret(
                namespace,
                name,
                &own.self_signed(&key).unwrap(),
                &key,
            ));
        }
        let (authority, issuer) = authority();
        objects.push(authorities("tls-checks-ca-certificate", &authority));
        for name in [
            "mismatch-ca-certificate",
            "tls-validity-checks-ca-certificate",
        ] {
            objects.push(authorities(name, &self::authority().0));
        }
        let key = KeyPair::generate().unwrap();
        let client = CertificateParams::new(vec!["client.example.com".into()]).unwrap();
        let client = client.signed_by(&key, &issuer).unwrap();
        objects.push(secret(HOME, "tls-checks-client-certificate", &client, &key));

        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = BACKEND.iter().map(|name| (*name).to_owned()).collect();
        let mut backend = CertificateParams::new(names).unwrap();
        let uri = SanType::URI(BACKEND_URI.try_into().unwrap());
        backend.subject_alt_names.push(uri);
        let backend = backend.signed_by(&key, &issuer).unwrap();
        Self {
            authority,
            chain: backend.der().clone(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()),
            objects,
        }
    }

    /// Secrets and ConfigMaps.
    pub(crate) fn objects(&self) -> &[Value] {
        &self.objects
    }

    /// How a client of the backends begins TLS.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }

    /// How a backend ends TLS; one that verifies wants a certificate of its clients.
    pub(crate) fn backend(&self, verifies: bool) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if verifies {
            let mut roots = RootCertStore::empty();
            roots.add(self.authority.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let config =
            builder.with_single_cert(vec![self.chain.clone()], self.key.clone_key().into());
        Arc::new(config.unwrap())
    }
}

fn authority() -> (rcgen::Certificate, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    (certificate, Issuer::new(params, key))
}

fn authorities(name: &str, authority: &rcgen::Certificate) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "namespace": HOME, "name": name },
        "data": { "ca.crt": authority.pem() },
    })
}

fn secret(namespace: &str, name: &str, certificate: &rcgen::Certificate, key: &KeyPair) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": { "namespace": namespace, "name": name },
        "stringData": { "tls.crt": certificate.pem(), "tls.key": key.serialize_pem() },
    })
}
