//! What issuers publish, held in memory: discovery documents, keys, and tokens already proven with
//! them.
//!
//! A document is fetched by one caller at a time while the others wait for that fetch. One that is
//! getting old is served as it is while a new one is fetched behind the request's back; while the
//! issuer is down, the old one stays good. A token with an unknown key makes the keys be fetched
//! again, at most once in [`RETRY`] per issuer.

mod held;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest;
use model::names::{Duration, Timestamp};
use model::seams::Clock;
use model::snapshot::{KeySource, Login};
use oidc::discovery::ProviderMetadata;
use oidc::jose::{self, KeySet, VerifyFault};
use policy::{Token, TokenFault};
use quick_cache::sync::Cache;

use held::{Held, in_background};

use crate::issuer::{Issuer, IssuerFault, read_key_set};
use crate::transport::Transport;

/// After this long a document is fetched anew behind the requests' back.
const FRESH: Duration = Duration::from_secs(5 * 60);

/// At most one fetch for the sake of an unknown key in this time, per issuer.
const RETRY: Duration = Duration::from_secs(10);

/// After a failed first fetch, nobody asks again for this long.
const PAUSE: Duration = Duration::from_secs(2);

/// The longest token that is looked at, bytes.
const LONGEST_TOKEN: usize = 16 * 1024;

/// How many issuers and proven tokens are held.
const MOST_ISSUERS: usize = 256;
const MOST_TOKENS: usize = 4096;

/// Where keys come from, as a key of the cache.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// Discovery at this issuer.
    Discovery(Arc<str>),
    /// This address.
    Uri(Arc<str>),
    /// This text.
    Inline(Arc<str>),
}

impl Source {
    /// Of a rule for tokens of `issuer`.
    pub(crate) fn of_rule(issuer: &Arc<str>, keys: &KeySource) -> Self {
        match keys {
            KeySource::Discovery => Self::Discovery(issuer.clone()),
            KeySource::Uri(uri) => Self::Uri(uri.clone()),
            KeySource::Inline(text) => Self::Inline(text.clone()),
        }
    }

    /// Of the issuer that a login proxy sends people to.
    pub(crate) fn of_login(login: &Login) -> Self {
        match &login.jwks_url {
            Some(uri) => Self::Uri(uri.clone()),
            None => Self::Discovery(login.issuer.clone()),
        }
    }
}

/// Keys and metadata of issuers.
pub struct Keys {
    shared: Arc<Shared>,
}

struct Shared {
    issuer: Issuer,
    clock: Arc<dyn Clock>,
    metadata: Cache<Arc<str>, Arc<Held<ProviderMetadata>>>,
    keys: Cache<Source, Arc<Held<Published>>>,
    tokens: Cache<[u8; 32], Arc<Token>>,
    numbers: AtomicU64,
}

/// A key set, and a number that no other key set had: what was proven with one set is not proven
/// with the next.
struct Published {
    set: KeySet,
    number: u64,
    digest: [u8; 32],
}

impl Keys {
    /// Nothing fetched yet.
    pub fn new(transport: Arc<dyn Transport>, clock: Arc<dyn Clock>) -> Self {
        Self {
            shared: Arc::new(Shared {
                issuer: Issuer::new(transport),
                clock,
                metadata: Cache::new(MOST_ISSUERS),
                keys: Cache::new(MOST_ISSUERS),
                tokens: Cache::new(MOST_TOKENS),
                numbers: AtomicU64::new(0),
            }),
        }
    }

    /// What asks issuers.
    pub(crate) fn issuer(&self) -> &Issuer {
        &self.shared.issuer
    }

    /// The discovery document, when it is in memory.
    pub(crate) fn metadata_now(&self, issuer: &Arc<str>) -> Option<Arc<ProviderMetadata>> {
        let (metadata, at) = self.shared.metadata.get(issuer)?.now()?;
        if at.plus(FRESH) <= self.shared.clock.now() {
            self.renew_metadata(issuer.clone());
        }
        Some(metadata)
    }

    /// The discovery document.
    pub(crate) async fn metadata(
        &self,
        issuer: &Arc<str>,
    ) -> Result<Arc<ProviderMetadata>, IssuerFault> {
        match self.metadata_now(issuer) {
            Some(metadata) => Ok(metadata),
            None => self.shared.fetch_metadata(issuer).await,
        }
    }

    fn renew_metadata(&self, issuer: Arc<str>) {
        let held = self.shared.held_metadata(&issuer);
        let shared = self.shared.clone();
        in_background(held, move || async move {
            shared.fetch_metadata(&issuer).await.err()
        });
    }

    /// Proves a token with keys of `source`, when that needs no waiting.
    ///
    /// # Errors
    /// What is wrong with the token: form, algorithm, key, signature. Time and audience are not
    /// looked at.
    pub(crate) fn prove_now(
        &self,
        compact: &str,
        source: &Source,
    ) -> Option<Result<Arc<Token>, TokenFault>> {
        if compact.len() > LONGEST_TOKEN {
            return Some(Err(TokenFault::Malformed));
        }
        let now = self.shared.clock.now();
        let held = self.shared.held_keys(source);
        let Some((keys, at)) = held.now() else {
            return held
                .tried_within(PAUSE, now)
                .then_some(Err(TokenFault::KeysUnavailable));
        };
        if at.plus(FRESH) <= now && !matches!(source, Source::Inline(_)) {
            let (shared, source) = (self.shared.clone(), source.clone());
            let held = held.clone();
            in_background(held, move || async move {
                shared.fetch_keys(&source, PAUSE).await.err()
            });
        }
        match self.shared.prove(compact, &keys) {
            Err(TokenFault::UnknownKey) if self.shared.may_refetch(source, &held, now) => None,
            proven => Some(proven),
        }
    }

    /// Proves a token with keys of `source`, fetching them as needed.
    ///
    /// # Errors
    /// As [`Self::prove_now`], and [`TokenFault::KeysUnavailable`].
    pub(crate) async fn prove(
        &self,
        compact: &str,
        source: &Source,
    ) -> Result<Arc<Token>, TokenFault> {
        self.prove_after(compact, source, RETRY).await
    }

    /// As [`Self::prove`] for a token that the issuer itself has just given us: no stranger can make
    /// us fetch keys by it, so that one signed with a key published a moment ago waits for nothing.
    pub(crate) async fn prove_given(
        &self,
        compact: &str,
        source: &Source,
    ) -> Result<Arc<Token>, TokenFault> {
        self.prove_after(compact, source, Duration::ZERO).await
    }

    async fn prove_after(
        &self,
        compact: &str,
        source: &Source,
        retry: Duration,
    ) -> Result<Arc<Token>, TokenFault> {
        match self.prove_now(compact, source) {
            Some(Err(TokenFault::UnknownKey)) if retry.is_zero() => {}
            Some(proven) => return proven,
            None => {}
        }
        // Keys that are there and did not fit: a new one may have been published since.
        let known = self.shared.held_keys(source).now().is_some();
        let pause = if known { retry } else { PAUSE };
        match self.shared.fetch_keys(source, pause).await {
            Ok(keys) => self.shared.prove(compact, &keys),
            Err(_) if known => Err(TokenFault::UnknownKey),
            Err(_) => Err(TokenFault::KeysUnavailable),
        }
    }
}

impl Shared {
    fn held_metadata(&self, issuer: &Arc<str>) -> Arc<Held<ProviderMetadata>> {
        let made = self
            .metadata
            .get_or_insert_with(issuer, || Ok::<_, ()>(Held::new()));
        made.unwrap_or_else(|()| Held::new())
    }

    fn held_keys(&self, source: &Source) -> Arc<Held<Published>> {
        let made = self.keys.get_or_insert_with(source, || {
            let held = Held::new();
            if let Source::Inline(text) = source
                && let Ok(set) = read_key_set(text)
            {
                let value = Arc::new(self.number(set, text.as_bytes()));
                held.keep(value, self.clock.now());
            }
            Ok::<_, ()>(held)
        });
        made.unwrap_or_else(|()| Held::new())
    }

    fn number(&self, set: KeySet, text: &[u8]) -> Published {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        Published {
            set,
            number,
            digest: sha256(&[text]),
        }
    }

    fn may_refetch(&self, source: &Source, held: &Held<Published>, now: Timestamp) -> bool {
        !matches!(source, Source::Inline(_)) && !held.tried_within(RETRY, now)
    }

    async fn fetch_metadata(
        &self,
        issuer: &Arc<str>,
    ) -> Result<Arc<ProviderMetadata>, IssuerFault> {
        let held = self.held_metadata(issuer);
        let fetch = async |_| self.issuer.metadata(issuer).await.map(Arc::new);
        held.fetch(PAUSE, &*self.clock, fetch).await
    }

    async fn fetch_keys(
        &self,
        source: &Source,
        pause: Duration,
    ) -> Result<Arc<Published>, IssuerFault> {
        let held = self.held_keys(source);
        let fetch = async |current: Option<Arc<Published>>| {
            let discovered;
            let uri: &str = match source {
                Source::Uri(uri) => uri,
                Source::Inline(_) => return Err(IssuerFault::Unreadable),
                Source::Discovery(issuer) => {
                    discovered = match self.metadata.get(issuer).and_then(|held| held.now()) {
                        Some((metadata, _)) => metadata,
                        None => self.fetch_metadata(issuer).await?,
                    };
                    &discovered.jwks_uri
                }
            };
            let (set, text) = self.issuer.key_set(uri).await?;
            // The same text as before: what was proven stays proven.
            let digest = sha256(&[&text]);
            match current {
                Some(same) if same.digest == digest => Ok(same),
                _ => Ok(Arc::new(self.number(set, &text))),
            }
        };
        held.fetch(pause, &*self.clock, fetch).await
    }

    fn prove(&self, compact: &str, keys: &Published) -> Result<Arc<Token>, TokenFault> {
        let name = sha256(&[&keys.number.to_be_bytes(), compact.as_bytes()]);
        if let Some(token) = self.tokens.get(&name) {
            if token
                .expires()
                .is_some_and(|expires| expires <= self.clock.now())
            {
                self.tokens.remove(&name);
            }
            return Ok(token);
        }
        let claims = jose::verify(compact, &keys.set).map_err(fault)?;
        let token = Token::assert_verified(compact, claims).ok_or(TokenFault::Malformed)?;
        let token = Arc::new(token);
        if token
            .expires()
            .is_none_or(|expires| expires > self.clock.now())
        {
            self.tokens.insert(name, token.clone());
        }
        Ok(token)
    }
}

pub(crate) fn fault(fault: VerifyFault) -> TokenFault {
    match fault {
        VerifyFault::Malformed => TokenFault::Malformed,
        VerifyFault::AlgorithmRefused => TokenFault::AlgorithmRefused,
        VerifyFault::UnknownKey => TokenFault::UnknownKey,
        VerifyFault::BadSignature => TokenFault::BadSignature,
    }
}

/// SHA-256 over the parts, one after the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}
