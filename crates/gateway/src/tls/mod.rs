//! The TLS side of a listener: one configuration for each way in which chains end TLS.

mod clients;

use std::sync::{Arc, Mutex, PoisonError};

use model::snapshot::{CipherSuite, ClientAuth, ServerTls, TlsVersion};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::{CipherSuite as Suite, ServerConfig, SupportedProtocolVersion};

/// Configurations that are kept. Chains rarely differ in more than whom they ask.
const KEPT: usize = 64;

/// Makes and keeps configurations. Each has ticket keys of its own, so a session that was begun
/// under one is never resumed under another: who was let in without a certificate stays without.
pub(crate) struct Tls {
    provider: CryptoProvider,
    certificates: Arc<dyn ResolvesServerCert>,
    usual: Config,
    special: Mutex<Vec<Kept>>,
}

/// A configuration, or that there can be none.
struct Kept {
    settings: Arc<ServerTls>,
    speaks_http: bool,
    config: Option<Config>,
}

/// A configuration for either order of cipher suites.
#[derive(Clone)]
pub(crate) struct Config {
    ours: Arc<ServerConfig>,
    theirs: Arc<ServerConfig>,
}

impl Config {
    fn new(theirs: ServerConfig) -> Self {
        let mut ours = theirs.clone();
        ours.ignore_client_order = true;
        Self {
            ours: Arc::new(ours),
            theirs: Arc::new(theirs),
        }
    }

    /// The one for a client with these suites. One that puts ChaCha20 first has no instructions for
    /// AES, as phones had none; every other gets what costs both the least.
    pub(crate) fn for_client(self, suites: &[Suite]) -> Arc<ServerConfig> {
        let known = |suite: &&Suite| {
            let all = &self.ours.crypto_provider().cipher_suites;
            all.iter().any(|known| known.suite() == **suite)
        };
        match suites.iter().find(known) {
            Some(first) if is_chacha20(*first) => self.theirs,
            _ => self.ours,
        }
    }
}

impl Tls {
    /// The certificate is picked by server name.
    ///
    /// # Errors
    /// When the crypto provider cannot do what it is asked for.
    pub(crate) fn new(certificates: Arc<dyn ResolvesServerCert>) -> Result<Self, rustls::Error> {
        let provider = aws_lc_rs::default_provider();
        let usual = config(&provider, &certificates, &ServerTls::default(), true)?;
        Ok(Self {
            provider,
            certificates,
            usual: Config::new(usual),
            special: Mutex::default(),
        })
    }

    /// The configuration of connections that no chain asks anything special of.
    pub(crate) fn usual(&self) -> Config {
        self.usual.clone()
    }

    /// The configuration for `settings`; `None` when there can be none, which is said once.
    pub(crate) fn config(&self, settings: &Arc<ServerTls>, speaks_http: bool) -> Option<Config> {
        if speaks_http && **settings == ServerTls::default() {
            return Some(self.usual());
        }
        let mut special = self.special.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |kept: &Kept| {
            kept.speaks_http == speaks_http
                && (Arc::ptr_eq(&kept.settings, settings) || kept.settings == *settings)
        };
        if let Some(at) = special.iter().position(same) {
            // What is used last is dropped last.
            let kept = special.remove(at);
            let config = kept.config.clone();
            special.push(kept);
            return config;
        }
        let made = config(&self.provider, &self.certificates, settings, speaks_http);
        let made = made.inspect_err(|error| {
            let object = settings
                .client
                .trust()
                .map(|trust| trust.object.to_string());
            tracing::error!(%error, object, "TLS handshakes of a server fail");
        });
        if special.len() >= KEPT {
            special.remove(0);
        }
        special.push(Kept {
            settings: Arc::clone(settings),
            speaks_http,
            config: made.ok().map(Config::new),
        });
        special.last().and_then(|kept| kept.config.clone())
    }
}

/// HTTP/2 before HTTP/1.1, tickets whose keys change every six hours, no early data: it could be
/// replayed.
fn config(
    provider: &CryptoProvider,
    certificates: &Arc<dyn ResolvesServerCert>,
    settings: &ServerTls,
    speaks_http: bool,
) -> Result<ServerConfig, rustls::Error> {
    let ServerTls {
        client,
        min,
        max,
        suites,
    } = settings;
    let mut provider = provider.clone();
    let wanted: Vec<Suite> = suites.iter().map(|suite| id(*suite)).collect();
    if !wanted.is_empty() {
        provider
            .cipher_suites
            .retain(|suite| suite.tls13().is_some() || wanted.contains(&suite.suite()));
    }
    provider.cipher_suites.sort_by_key(|suite| {
        let wish = wanted.iter().position(|wanted| *wanted == suite.suite());
        (suite.tls13().is_none(), wish, cost(suite.suite()))
    });
    let provider = Arc::new(provider);
    let versions: &[&SupportedProtocolVersion] = match (min, max) {
        (TlsVersion::Tls13, _) => &[&rustls::version::TLS13],
        (TlsVersion::Tls12, TlsVersion::Tls12) => &[&rustls::version::TLS12],
        (TlsVersion::Tls12, TlsVersion::Tls13) => {
            &[&rustls::version::TLS13, &rustls::version::TLS12]
        }
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)?;
    let builder = match client {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Optional(trust) => {
            builder.with_client_cert_verifier(clients::verifier(trust, true, provider)?)
        }
        ClientAuth::Required(trust) => {
            builder.with_client_cert_verifier(clients::verifier(trust, false, provider)?)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::clone(certificates));
    if speaks_http {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    if client.trust().is_some() {
        // A ticket says who the client was. What is kept here instead would outlive a change of
        // the authorities by as much, and cost memory.
        config.session_storage = Arc::new(NoServerSessionStorage {});
    }
    Ok(config)
}

/// Where a suite stands among others. AES with 128 bits costs less than with 256, and SHA-256, which
/// comes with it, far less than SHA-384: processors have instructions for it alone, and a third of
/// a handshake is hashing.
fn cost(suite: Suite) -> u8 {
    match suite {
        Suite::TLS13_AES_128_GCM_SHA256
        | Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 0,
        suite if is_chacha20(suite) => 2,
        _ => 1,
    }
}

fn is_chacha20(suite: Suite) -> bool {
    [
        Suite::TLS13_CHACHA20_POLY1305_SHA256,
        Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ]
    .contains(&suite)
}

fn id(suite: CipherSuite) -> Suite {
    match suite {
        CipherSuite::EcdsaAes128 => Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::EcdsaAes256 => Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::EcdsaChacha20 => Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        CipherSuite::RsaAes128 => Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::RsaAes256 => Suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::RsaChacha20 => Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    }
}
