//! Hashes of passwords: argon2id is made, bcrypt is accepted too, for it is what other programs bring.

use std::fmt;

use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use model::seams::Randomness;
use zeroize::Zeroizing;

/// bcrypt costs that are accepted: cheaper is too weak, dearer a way to keep us busy.
pub(crate) const COSTS: std::ops::RangeInclusive<u32> = 10..=16;

/// Memory in KiB, passes and lanes of new hashes: the first of OWASP's equal choices (2023). RFC 9106's
/// second recommendation takes 64 MiB, which several sign-ins at once would make too much for a small
/// pod.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Hashes that cost more than so much are not accepted: a way to keep us busy.
const MOST_MEMORY: u32 = 128 * 1024;
const MOST_PASSES: u32 = 8;

/// A hash that can be used.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PasswordHash {
    text: Zeroizing<String>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Argon2id { is_current: bool },
    Bcrypt { cost: u32 },
}

/// A text that is no hash of an accepted kind and cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnusableHash;

impl fmt::Display for UnusableHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a password hash is neither argon2id nor bcrypt of cost 10 to 16")
    }
}

impl std::error::Error for UnusableHash {}

impl PasswordHash {
    pub(crate) fn parse(text: &str) -> Result<Self, UnusableHash> {
        let kind = match text.split('$').nth(1) {
            Some("argon2id") => argon2id(text)?,
            Some("2a" | "2b" | "2y") => bcrypt(text)?,
            _ => return Err(UnusableHash),
        };
        Ok(Self {
            text: Zeroizing::new(text.to_owned()),
            kind,
        })
    }

    /// Hashes `password`. Takes long: to be called in the pool.
    pub(crate) fn of(password: &str, salt: &[u8; 16]) -> Result<Self, UnusableHash> {
        let made = current().hash_password_with_salt(password.as_bytes(), salt);
        Self::parse(&made.map_err(|_| UnusableHash)?.to_string())
    }

    /// Whether `password` is the one. Takes long: to be called in the pool.
    pub(crate) fn verify(&self, password: &str) -> Result<bool, UnusableHash> {
        match self.kind {
            Kind::Bcrypt { .. } => {
                bcrypt::verify(password.as_bytes(), &self.text).map_err(|_| UnusableHash)
            }
            Kind::Argon2id { .. } => {
                let hash = Phc::new(&self.text).map_err(|_| UnusableHash)?;
                Ok(Argon2::default()
                    .verify_password(password.as_bytes(), &hash)
                    .is_ok())
            }
        }
    }

    /// Whether a new hash would be better.
    pub(crate) fn is_outdated(&self) -> bool {
        self.kind != Kind::Argon2id { is_current: true }
    }

    /// The cost of a bcrypt hash.
    pub(crate) fn bcrypt_cost(&self) -> Option<u32> {
        match self.kind {
            Kind::Bcrypt { cost } => Some(cost),
            Kind::Argon2id { .. } => None,
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// A hash that no password has, of this cost.
    pub(crate) fn dummy_bcrypt(cost: u32) -> Result<Self, UnusableHash> {
        // 128 zero bits of salt, 184 zero bits of digest.
        Self::parse(&format!("$2b${cost:02}${}", ".".repeat(53)))
    }

    /// A hash that no password has, as dear as new ones.
    pub(crate) fn dummy_argon2id() -> Result<Self, UnusableHash> {
        let (salt, digest) = ("A".repeat(22), "A".repeat(43));
        Self::parse(&format!(
            "$argon2id$v=19$m={MEMORY},t={PASSES},p={LANES}${salt}${digest}"
        ))
    }
}

/// Never the hash.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({:?})", self.kind)
    }
}

/// A salt for a new hash.
pub(crate) fn salt(randomness: &dyn Randomness) -> [u8; 16] {
    let mut salt = [0; 16];
    randomness.fill(&mut salt);
    salt
}

fn current() -> Argon2<'static> {
    let params = Params::new(MEMORY, PASSES, LANES, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn argon2id(text: &str) -> Result<Kind, UnusableHash> {
    let hash = Phc::new(text).map_err(|_| UnusableHash)?;
    let params = Params::try_from(&hash).map_err(|_| UnusableHash)?;
    let is_whole = hash.salt.is_some() && hash.hash.is_some() && hash.version == Some(19);
    if !is_whole || params.m_cost() > MOST_MEMORY || params.t_cost() > MOST_PASSES {
        return Err(UnusableHash);
    }
    let costs = (params.m_cost(), params.t_cost(), params.p_cost());
    Ok(Kind::Argon2id {
        is_current: costs == (MEMORY, PASSES, LANES),
    })
}

fn bcrypt(text: &str) -> Result<Kind, UnusableHash> {
    let parts: bcrypt::HashParts = text.parse().map_err(|_| UnusableHash)?;
    let cost = parts.get_cost();
    let is_accepted = COSTS.contains(&cost);
    is_accepted
        .then_some(Kind::Bcrypt { cost })
        .ok_or(UnusableHash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_hashes_are_argon2id_of_the_chosen_cost() {
        let hash = PasswordHash::of("correct horse", &[7; 16]).unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(!hash.is_outdated());
        assert_eq!(hash.verify("correct horse"), Ok(true));
        assert_eq!(hash.verify("correct horsf"), Ok(false));
        let long = "x".repeat(200);
        let hash = PasswordHash::of(&long, &[7; 16]).unwrap();
        assert_eq!(hash.verify(&long[..199]), Ok(false));
    }

    #[test]
    fn hashes_of_others_are_accepted_and_outdated() {
        // Made by the reference implementation: `echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1`.
        let other = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let hash = PasswordHash::parse(other).unwrap();
        assert_eq!(hash.verify("password"), Ok(true));
        assert_eq!(hash.verify("Password"), Ok(false));
        assert!(hash.is_outdated());
        let old = PasswordHash::parse(&bcrypt::hash("secret", 10).unwrap()).unwrap();
        assert_eq!((old.bcrypt_cost(), old.is_outdated()), (Some(10), true));
        assert_eq!(old.verify("secret"), Ok(true));
    }

    #[test]
    fn what_is_weak_dear_or_no_hash_is_refused() {
        let good = PasswordHash::of("secret", &[7; 16]).unwrap();
        let good = good.as_str();
        for bad in [
            "",
            "secret",
            "$1$abc",
            "$2x$10$abc",
            &good.replace("argon2id", "argon2i"),
            &good.replace("m=19456", "m=1048576"),
            &good.replace("t=2", "t=9"),
            &good.replace("v=19", "v=16"),
            good.rsplit_once('$').unwrap().0,
        ] {
            assert_eq!(PasswordHash::parse(bad), Err(UnusableHash), "{bad}");
        }
    }

    #[test]
    fn nothing_matches_a_dummy() {
        for dummy in [
            PasswordHash::dummy_argon2id().unwrap(),
            PasswordHash::dummy_bcrypt(10).unwrap(),
        ] {
            assert_eq!(dummy.verify(""), Ok(false));
            assert!(!format!("{dummy:?}").contains('$'));
        }
    }
}
