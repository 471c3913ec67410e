//! Signing keys over time. The next key is published while the current one signs, so that a
//! verifier which caches the key set as long as it may never meets a signature it cannot check.

mod vault;

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use model::names::{Duration, Timestamp};
use model::seams::Randomness;
use model::snapshot::SignatureAlgorithm;
use oidc::jose::{KeyFault, KeySet, SigningAlgorithm, SigningKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

pub use vault::KeyFileFault;
pub(crate) use vault::Vault;

/// How long verifiers may cache the key set; a key is published for at least this long before it
/// signs, and stays that long after its last token has expired.
pub(crate) const CACHED: Duration = Duration::from_secs(600);

/// All keys of an issuer, as stored.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ring {
    current: Kept,
    next: Option<Kept>,
    retired: Vec<Retired>,
    /// An operator wants the next key to sign as soon as it may.
    #[serde(default)]
    wanted: bool,
}

/// A key with its private half.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    kid: String,
    /// PKCS#8 DER, base64.
    pkcs8: Zeroizing<String>,
    jwk: Value,
    /// `alg`; keys from before there were several are RS256.
    #[serde(default = "rs256")]
    alg: String,
    /// When it took its place in the ring, Unix seconds.
    since: i64,
}

/// The public half of a key that signs no more.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Retired {
    jwk: Value,
    /// When nothing signed by it can be valid any more, Unix seconds.
    until: i64,
}

fn rs256() -> String {
    SigningAlgorithm::Rs256.as_str().to_owned()
}

/// How keys change.
#[derive(Clone, Copy)]
pub(crate) struct Rhythm {
    /// What new keys sign with.
    pub(crate) algorithm: SigningAlgorithm,
    /// How long a key signs.
    pub(crate) rotation: Duration,
    /// How long a token lives.
    pub(crate) token_lifetime: Duration,
}

impl Kept {
    /// Makes a key. Slow: not for async threads.
    pub(crate) fn generate(
        algorithm: SigningAlgorithm,
        kid: String,
        now: Timestamp,
    ) -> Result<Self, KeyFault> {
        let key = SigningKey::generate_for(algorithm, kid)?;
        Ok(Self {
            alg: algorithm.as_str().to_owned(),
            kid: key.kid().to_owned(),
            pkcs8: Zeroizing::new(BASE64.encode(key.pkcs8())),
            jwk: key.jwk(),
            since: now.seconds(),
        })
    }

    fn signer(&self) -> Result<SigningKey, KeyFault> {
        let der = BASE64
            .decode(self.pkcs8.as_bytes())
            .map_err(|_| KeyFault::Unreadable)?;
        let algorithm = SigningAlgorithm::parse(&self.alg).ok_or(KeyFault::Unreadable)?;
        SigningKey::read(algorithm, self.kid.clone(), &Zeroizing::new(der))
    }

    fn is_for(&self, algorithm: SigningAlgorithm) -> bool {
        self.alg == algorithm.as_str()
    }
}

/// The setting as JOSE knows it.
pub(crate) fn algorithm(setting: SignatureAlgorithm) -> SigningAlgorithm {
    match setting {
        SignatureAlgorithm::Rs256 => SigningAlgorithm::Rs256,
        SignatureAlgorithm::Ps256 => SigningAlgorithm::Ps256,
        SignatureAlgorithm::Es256 => SigningAlgorithm::Es256,
        SignatureAlgorithm::EdDsa => SigningAlgorithm::EdDsa,
    }
}

/// A name for a new key, as Dex makes them: 20 random bytes in hexadecimal.
pub(crate) fn new_kid(randomness: &dyn Randomness) -> String {
    let mut bytes = [0; 20];
    randomness.fill(&mut bytes);
    HEXLOWER.encode(&bytes)
}

impl Ring {
    /// The first ring of an issuer. Its key signs at once: nobody can have cached a key set yet.
    pub(crate) fn new(first: Kept) -> Self {
        Self {
            current: first,
            next: None,
            retired: Vec::new(),
            wanted: false,
        }
    }

    /// Whether a new key is needed now: to be the next one, in the place of a next one of another
    /// algorithm, or to follow the next one.
    pub(crate) fn is_due(&self, rhythm: Rhythm, now: Timestamp) -> bool {
        let fits = |next: &Kept| next.is_for(rhythm.algorithm);
        !self.next.as_ref().is_some_and(fits) || self.rotates(rhythm, now)
    }

    /// When the next key may sign: once it was published for as long as verifiers cache. Nothing
    /// without a next key.
    pub(crate) fn ready_at(&self) -> Option<Timestamp> {
        let next = self.next.as_ref()?;
        Some(Timestamp::from_seconds(next.since).plus(CACHED))
    }

    /// The ring with the wish that the next key signs as soon as it may.
    #[must_use]
    pub(crate) fn wanting(mut self) -> Self {
        self.wanted = true;
        self
    }

    /// Names of the keys that sign now and next.
    pub(crate) fn names(&self) -> (&str, Option<&str>) {
        let next = self.next.as_ref().map(|next| next.kid.as_str());
        (&self.current.kid, next)
    }

    fn rotates(&self, rhythm: Rhythm, now: Timestamp) -> bool {
        let over = |since: i64, span| Timestamp::from_seconds(since).plus(span) <= now;
        let due = self.wanted
            || !self.current.is_for(rhythm.algorithm)
            || over(self.current.since, rhythm.rotation);
        let ready = |next: &Kept| next.is_for(rhythm.algorithm) && over(next.since, CACHED);
        due && self.next.as_ref().is_some_and(ready)
    }

    /// The ring with `fresh` in it, rotated if that is due.
    #[must_use]
    pub(crate) fn with(self, fresh: Kept, rhythm: Rhythm, now: Timestamp) -> Self {
        let rotates = self.rotates(rhythm, now);
        let Self {
            current,
            next,
            mut retired,
            wanted,
        } = self;
        retired.retain(|one| one.until > now.seconds());
        let current = match next {
            Some(mut next) if rotates => {
                next.since = now.seconds();
                let until = now.plus(rhythm.token_lifetime).plus(CACHED).seconds();
                retired.push(Retired {
                    jwk: current.jwk,
                    until,
                });
                next
            }
            _ => current,
        };
        Self {
            current,
            next: Some(fresh),
            retired,
            wanted: wanted && !rotates,
        }
    }

    fn published(&self, now: Timestamp) -> Vec<&Value> {
        let retired = self.retired.iter().filter(|one| one.until > now.seconds());
        [&self.current]
            .into_iter()
            .chain(&self.next)
            .map(|kept| &kept.jwk)
            .chain(retired.map(|one| &one.jwk))
            .collect()
    }

    /// Parses what serving needs.
    pub(crate) fn load(&self, version: i64, now: Timestamp) -> Result<Loaded, KeyFault> {
        let document = json!({ "keys": self.published(now) });
        let text = serde_json::to_string_pretty(&document).map_err(|_| KeyFault::Unreadable)?;
        Ok(Loaded {
            version,
            signer: self.current.signer()?,
            verifiers: KeySet::from_json(&text).map_err(|_| KeyFault::Unreadable)?,
            document: text.into(),
        })
    }
}

/// A ring ready for use: every key parsed once.
pub(crate) struct Loaded {
    /// The stored version it was made from.
    pub(crate) version: i64,
    /// Signs.
    pub(crate) signer: SigningKey,
    /// Checks our own tokens.
    pub(crate) verifiers: KeySet,
    /// The published key set.
    pub(crate) document: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_700_000_000);
    const HOUR: Duration = Duration::from_secs(3600);
    const RHYTHM: Rhythm = Rhythm {
        algorithm: SigningAlgorithm::Rs256,
        rotation: Duration::from_secs(6 * 3600),
        token_lifetime: Duration::from_secs(86_400),
    };

    /// A key that signs nothing: the plan does not look inside.
    fn key(kid: &str, now: Timestamp) -> Kept {
        Kept {
            kid: kid.into(),
            pkcs8: Zeroizing::new(String::new()),
            jwk: kid.into(),
            alg: rs256(),
            since: now.seconds(),
        }
    }

    fn shape(ring: &Ring, now: Timestamp) -> (&str, Vec<&str>) {
        let published = ring
            .published(now)
            .iter()
            .map(|jwk| jwk.as_str().unwrap())
            .collect();
        (&ring.current.kid, published)
    }

    #[test]
    fn the_next_key_is_published_before_it_signs_and_the_old_one_stays_until_its_tokens_expire() {
        let ring = Ring::new(key("a", START));
        assert_eq!(shape(&ring, START), ("a", vec!["a"]));
        assert!(ring.is_due(RHYTHM, START));
        let ring = ring.with(key("b", START), RHYTHM, START);
        assert_eq!(shape(&ring, START), ("a", vec!["a", "b"]));

        let rotation = START.plus(RHYTHM.rotation);
        assert!(!ring.is_due(RHYTHM, rotation.minus(Duration::from_secs(1))));
        assert!(ring.is_due(RHYTHM, rotation));
        let ring = ring.with(key("c", rotation), RHYTHM, rotation);
        assert_eq!(shape(&ring, rotation), ("b", vec!["b", "c", "a"]));
        assert!(!ring.is_due(RHYTHM, rotation));

        let last = rotation.plus(RHYTHM.token_lifetime).plus(CACHED);
        assert_eq!(
            shape(&ring, last.minus(Duration::from_secs(1))).1,
            ["b", "c", "a"]
        );
        assert_eq!(shape(&ring, last).1, ["b", "c"]);
    }

    #[test]
    fn a_key_never_signs_before_it_was_published_for_the_cache_time() {
        let quick = Rhythm {
            rotation: Duration::from_secs(1),
            ..RHYTHM
        };
        let late = START.plus(HOUR);
        let ring = Ring::new(key("a", START)).with(key("b", late), RHYTHM, late);
        assert_eq!(shape(&ring, late).0, "a");
        assert!(!ring.is_due(quick, late.plus(Duration::from_secs(599))));
        assert!(ring.is_due(quick, late.plus(CACHED)));
    }

    #[test]
    fn retired_keys_are_dropped_when_their_time_is_over() {
        let mut ring = Ring::new(key("a", START)).with(key("b", START), RHYTHM, START);
        let mut now = START;
        for turn in 0..20 {
            now = now.plus(RHYTHM.rotation);
            ring = ring.with(key(&format!("k{turn}"), now), RHYTHM, now);
        }
        // 24 hours and ten minutes of tokens at six hours a key.
        assert_eq!(ring.retired.len(), 5);
    }

    #[test]
    fn another_algorithm_takes_over_once_its_key_was_published() {
        let curve = Rhythm {
            algorithm: SigningAlgorithm::Es256,
            ..RHYTHM
        };
        let late = START.plus(HOUR);
        let ring = Ring::new(key("a", START)).with(key("b", START), RHYTHM, START);
        assert!(ring.is_due(curve, late));
        let fresh = Kept {
            alg: "ES256".into(),
            ..key("c", late)
        };
        let ring = ring.with(fresh, curve, late);
        assert_eq!(shape(&ring, late), ("a", vec!["a", "c"]));
        assert!(!ring.is_due(curve, late.plus(Duration::from_secs(599))));
        let ready = late.plus(CACHED);
        assert!(ring.is_due(curve, ready));
        let fresh = Kept {
            alg: "ES256".into(),
            ..key("d", ready)
        };
        let ring = ring.with(fresh, curve, ready);
        assert_eq!(shape(&ring, ready), ("c", vec!["c", "d", "a"]));
    }

    #[test]
    fn a_wanted_rotation_waits_for_nothing_but_the_publication() {
        let ring = Ring::new(key("a", START)).with(key("b", START), RHYTHM, START);
        let ring = ring.wanting();
        let ready = START.plus(CACHED);
        assert_eq!(ring.ready_at(), Some(ready));
        assert!(!ring.is_due(RHYTHM, ready.minus(Duration::from_secs(1))));
        assert!(ring.is_due(RHYTHM, ready));
        let ring = ring.with(key("c", ready), RHYTHM, ready);
        assert_eq!(shape(&ring, ready), ("b", vec!["b", "c", "a"]));
        // The wish is fulfilled.
        assert!(!ring.is_due(RHYTHM, ready.plus(CACHED)));
    }

    #[test]
    fn a_stored_ring_signs_what_its_key_set_verifies() {
        let ring = Ring::new(Kept::generate(SigningAlgorithm::Rs256, "a".into(), START).unwrap());
        let text = serde_json::to_string(&ring).unwrap();
        let again: Ring = serde_json::from_str(&text).unwrap();
        let loaded = again.load(1, START).unwrap();
        let claims = json!({"sub": "s"}).as_object().unwrap().clone();
        let token = ring.load(1, START).unwrap().signer.sign(&claims).unwrap();
        assert_eq!(oidc::jose::verify(&token, &loaded.verifiers), Ok(claims));
        assert!(
            !std::str::from_utf8(&loaded.document)
                .unwrap()
                .contains("\"d\"")
        );
    }
}
