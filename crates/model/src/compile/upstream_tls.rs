//! Certificates of TLS to upstreams: from Secrets of the gateway's namespace and files of its pods.

use std::sync::Arc;

use crate::manifest::environment;
use crate::manifest::secret::SecretData;
use crate::manifest::traffic_policy::{CertificateSource, ClientSource, TlsOrigin, TrustSource};
use crate::manifest::workload::Workload;
use crate::names::Secret;
use crate::snapshot::{KeyPair, Trust, UpstreamTls};
use crate::world::World;

/// Where the gateway finds certificates.
pub(super) struct Certificates<'a> {
    pub(super) world: &'a World,
    /// Namespace of the gateway.
    pub(super) namespace: Arc<str>,
    /// Its workload, when it is in the manifests.
    pub(super) pod: Option<&'a Workload>,
}

/// Where the gateway's chart mounts Secrets.
const MOUNTS: [(&str, &str); 2] = [
    (
        "/etc/istio/ingressgateway-certs/",
        "istio-ingressgateway-certs",
    ),
    (
        "/etc/istio/ingressgateway-ca-certs/",
        "istio-ingressgateway-ca-certs",
    ),
];

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";
const KEY: &str = "PRIVATE KEY-----";

impl Certificates<'_> {
    /// TLS with its certificates.
    ///
    /// # Errors
    /// The fault, in words.
    pub(super) fn of(&self, origin: &TlsOrigin) -> Result<UpstreamTls, String> {
        let trust = match &origin.trust {
            TrustSource::System => Trust::System,
            TrustSource::Anybody => Trust::Anybody,
            TrustSource::Named(CertificateSource::File(path)) => {
                let file = self.file(path)?;
                Trust::Authorities(pem(&file, CERTIFICATE, path)?)
            }
            TrustSource::Named(CertificateSource::Secret(name)) => {
                match (self.authorities(name)?, &origin.client) {
                    (Some(found), _) => Trust::Authorities(found),
                    // The Secret is there for the certificate that is shown.
                    (None, Some(ClientSource::Secret(_))) => Trust::System,
                    (None, _) => {
                        return Err(format!("the Secret `{name}` holds no `ca.crt`"));
                    }
                }
            }
        };
        let client = match &origin.client {
            None => None,
            Some(ClientSource::Files { chain, key }) => {
                let (chain_file, key_file) = (self.file(chain)?, self.file(key)?);
                pem(&key_file, KEY, key)?;
                Some(KeyPair {
                    chain: pem(&chain_file, CERTIFICATE, chain)?,
                    key: key_file,
                })
            }
            Some(ClientSource::Secret(name)) => Some(self.key_pair(name)?),
        };
        Ok(UpstreamTls {
            server_name: origin.server_name.clone(),
            trust,
            subject_alt_names: origin.subject_alt_names.clone(),
            client,
        })
    }

    fn secret(&self, name: &str) -> Result<&SecretData, String> {
        let usable = |secret: &&SecretData| secret.object.closed.is_none();
        let found = self.world.secret(&self.namespace, name);
        found.filter(usable).ok_or_else(|| {
            format!(
                "the Secret `{}/{name}` is not in the manifests",
                self.namespace
            )
        })
    }

    /// Of the Secret itself, else of the one with `-cacert` behind its name.
    fn authorities(&self, name: &str) -> Result<Option<Arc<str>>, String> {
        const KEYS: [&str; 2] = ["ca.crt", "cacert"];
        let own = self.secret(name);
        let beside = self.secret(&format!("{name}-cacert"));
        if let (Err(fault), Err(_)) = (&own, &beside) {
            return Err(fault.clone());
        }
        for secret in [own, beside].into_iter().flatten() {
            for key in KEYS {
                if let Some(value) = secret.data.get(key).filter(|value| !value.is_empty()) {
                    return pem(value, CERTIFICATE, key).map(Some);
                }
            }
        }
        Ok(None)
    }

    fn key_pair(&self, name: &str) -> Result<KeyPair, String> {
        let secret = self.secret(name)?;
        let value = |key: &str| secret.data.get(key).filter(|value| !value.is_empty());
        let keys = [("tls.crt", "tls.key"), ("cert", "key")];
        let found = keys
            .iter()
            .find_map(|(chain, key)| Some((value(chain)?, value(key)?)));
        let (chain, key) = found
            .ok_or_else(|| format!("the Secret `{name}` holds no certificate with its key"))?;
        pem(key, KEY, name)?;
        Ok(KeyPair {
            chain: pem(chain, CERTIFICATE, name)?,
            key: key.clone(),
        })
    }

    fn file(&self, path: &str) -> Result<Secret, String> {
        let containers = self.pod.map_or(&[][..], |pod| &pod.containers);
        for container in containers {
            if let Some(pod) = self.pod
                && let Ok(file) = environment::file(self.world, pod, container, path)
            {
                return Ok(file.value().clone());
            }
        }
        let mounted = MOUNTS.iter().find_map(|(mount, secret)| {
            let key = path.strip_prefix(mount)?;
            let secret = self.secret(secret).ok()?;
            secret.data.get(key)
        });
        mounted.cloned().ok_or_else(|| {
            format!("the file `{path}` of the gateway's pods is not in the manifests")
        })
    }
}

fn pem(value: &Secret, mark: &str, what: &str) -> Result<Arc<str>, String> {
    value
        .expose_str()
        .filter(|text| text.contains(mark))
        .map(Arc::from)
        .ok_or_else(|| format!("`{what}` is no PEM"))
}
