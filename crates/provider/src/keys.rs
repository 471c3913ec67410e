//! Signing keys over time. The next key is published while the current one signs, so that a
//! verifier which caches the key set as long as it may never meets a signature it cannot check.

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use model::names::{Duration, Timestamp};
use model::seams::Randomness;
use oidc::jose::{KeyFault, KeySet, SigningKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// How long verifiers may cache the key set; a key is published for at least this long before it
/// signs, and stays that long after its last token has expired.
pub(crate) const CACHED: Duration = Duration::from_secs(600);

/// All keys of an issuer, as stored.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ring {
    current: Kept,
    next: Option<Kept>,
    retired: Vec<Retired>,
}

/// A key with its private half.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kept {
    kid: String,
    /// PKCS#8 DER, base64.
    pkcs8: Zeroizing<String>,
    jwk: Value,
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

/// How keys change.
#[derive(Clone, Copy)]
pub(crate) struct Rhythm {
    /// How long a key signs.
    pub(crate) rotation: Duration,
    /// How long a token lives.
    pub(crate) token_lifetime: Duration,
}

impl Kept {
    /// Makes a key. Slow: not for async threads.
    pub(crate) fn generate(kid: String, now: Timestamp) -> Result<Self, KeyFault> {
        let key = SigningKey::generate(kid)?;
        Ok(Self {
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
        SigningKey::from_pkcs8(self.kid.clone(), &Zeroizing::new(der))
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
        }
    }

    /// Whether a new key is needed now: to be the next one, or to follow the next one.
    pub(crate) fn is_due(&self, rhythm: Rhythm, now: Timestamp) -> bool {
        self.next.is_none() || self.rotates(rhythm, now)
    }

    fn rotates(&self, rhythm: Rhythm, now: Timestamp) -> bool {
        let over = |since: i64, span| Timestamp::from_seconds(since).plus(span) <= now;
        over(self.current.since, rhythm.rotation)
            && self
                .next
                .as_ref()
                .is_some_and(|next| over(next.since, CACHED))
    }

    /// The ring with `fresh` in it, rotated if that is due.
    #[must_use]
    pub(crate) fn with(self, fresh: Kept, rhythm: Rhythm, now: Timestamp) -> Self {
        let rotates = self.rotates(rhythm, now);
        let Self {
            current,
            next,
            mut retired,
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
        rotation: Duration::from_secs(6 * 3600),
        token_lifetime: Duration::from_secs(86_400),
    };

    /// A key that signs nothing: the plan does not look inside.
    fn key(kid: &str, now: Timestamp) -> Kept {
        Kept {
            kid: kid.into(),
            pkcs8: Zeroizing::new(String::new()),
            jwk: kid.into(),
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
    fn a_stored_ring_signs_what_its_key_set_verifies() {
        let ring = Ring::new(Kept::generate("a".into(), START).unwrap());
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
