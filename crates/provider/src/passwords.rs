//! The connector `local`: bcrypt on a bounded pool.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::names::Secret;
use model::snapshot::ProviderPassword;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Costs that are accepted: cheaper is too weak, dearer a way to keep us busy.
const COSTS: std::ops::RangeInclusive<u32> = 10..=16;
/// Hashes at a time, so that sign-ins never take all cores.
const AT_ONCE: usize = 2;
/// Checks that may wait; at the usual cost the last one waits some eight seconds.
const WAITING: usize = 64;

/// Where passwords are hashed: few at a time, off the threads that serve.
pub(crate) struct Pool {
    permits: Arc<Semaphore>,
    inside: AtomicUsize,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            inside: AtomicUsize::new(0),
        }
    }
}

/// Why nothing is known about a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PasswordFault {
    /// The configured hash is no bcrypt hash of an accepted cost. The operator's fault.
    UnusableHash,
    /// Too many people are signing in.
    Busy,
}

impl Pool {
    /// Who signs in with `login` and `password`; nobody when either is wrong. Takes the same time
    /// for unknown names as for the dearest known one. Only the first 72 bytes of a password count,
    /// as bcrypt has it.
    pub(crate) async fn check<'p>(
        &self,
        passwords: &'p [ProviderPassword],
        login: &str,
        password: &str,
    ) -> Result<Option<&'p ProviderPassword>, PasswordFault> {
        let login = login.to_lowercase();
        let person = passwords
            .iter()
            .find(|one| one.email.to_lowercase() == login);
        let hash = match person {
            Some(person) => {
                cost(&person.hash).ok_or(PasswordFault::UnusableHash)?;
                Zeroizing::new(person.hash.expose_str().unwrap_or_default().to_owned())
            }
            None => Zeroizing::new(dummy(passwords)),
        };
        let right = self
            .verify(hash, Zeroizing::new(password.to_owned()))
            .await?;
        Ok(person.filter(|_| right))
    }

    async fn verify(
        &self,
        hash: Zeroizing<String>,
        password: Zeroizing<String>,
    ) -> Result<bool, PasswordFault> {
        let _inside = Inside::enter(&self.inside).ok_or(PasswordFault::Busy)?;
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| PasswordFault::Busy)?;
        tokio::task::spawn_blocking(move || {
            // Held by the hash and not by the request: a browser that gives up frees no core.
            let _permit = permit;
            bcrypt::verify(password.as_bytes(), &hash).map_err(|_| PasswordFault::UnusableHash)
        })
        .await
        .map_err(|_| PasswordFault::Busy)?
    }
}

/// Counts those inside, also when they leave by being dropped.
struct Inside<'a>(&'a AtomicUsize);

impl<'a> Inside<'a> {
    fn enter(count: &'a AtomicUsize) -> Option<Self> {
        let inside = Self(count);
        (count.fetch_add(1, Ordering::Relaxed) < AT_ONCE + WAITING).then_some(inside)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The cost of a usable hash.
fn cost(hash: &Secret) -> Option<u32> {
    let text = hash.expose_str()?;
    if !["$2a$", "$2b$", "$2y$"]
        .iter()
        .any(|version| text.starts_with(version))
    {
        return None;
    }
    let parts: bcrypt::HashParts = text.parse().ok()?;
    Some(parts.get_cost()).filter(|cost| COSTS.contains(cost))
}

/// A hash that no password has, as dear as the dearest configured one.
fn dummy(passwords: &[ProviderPassword]) -> String {
    let cost = passwords
        .iter()
        .filter_map(|one| cost(&one.hash))
        .max()
        .unwrap_or(*COSTS.start());
    // 128 zero bits of salt, 184 zero bits of digest.
    format!("$2b${cost:02}${}", ".".repeat(53))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(email: &str, hash: &str) -> ProviderPassword {
        ProviderPassword {
            email: email.into(),
            hash: Secret::new(hash.as_bytes()),
            username: "user".into(),
            name: "user".into(),
            preferred_username: "".into(),
            email_verified: true,
            user_id: "1".into(),
            groups: Vec::new(),
        }
    }

    fn hash(password: &str) -> String {
        bcrypt::hash(password, 10).unwrap()
    }

    async fn name_of(people: &[ProviderPassword], login: &str, password: &str) -> Option<String> {
        let found = Pool::default()
            .check(people, login, password)
            .await
            .unwrap();
        found.map(|person| person.email.to_string())
    }

    #[tokio::test]
    async fn the_default_password_of_the_platform_signs_in() {
        // Kubeflow's own hash and documented password.
        let stock = "$2y$12$4K/VkmDd1q1Orb3xAt82zu8gk7Ad6ReFR4LCP9UeYE90NLiN9Df72";
        let people = [person("user@example.com", stock)];
        let found = name_of(&people, "User@Example.COM", "12341234").await;
        assert_eq!(found.as_deref(), Some("user@example.com"));
        assert_eq!(name_of(&people, "user@example.com", "1234123").await, None);
        assert_eq!(
            name_of(&people, "other@example.com", "12341234").await,
            None
        );
    }

    #[tokio::test]
    async fn every_spelling_of_the_version_is_the_same_hash() {
        let hash = hash("secret");
        for version in ["$2a$", "$2b$", "$2y$"] {
            let people = [person("a@b", &hash.replacen("$2b$", version, 1))];
            assert!(
                name_of(&people, "a@b", "secret").await.is_some(),
                "{version}"
            );
        }
    }

    #[tokio::test]
    async fn only_the_first_72_bytes_count() {
        let long = "x".repeat(72);
        let people = [person("a@b", &hash(&long))];
        assert!(
            name_of(&people, "a@b", &format!("{long}tail"))
                .await
                .is_some()
        );
        assert!(name_of(&people, "a@b", &long[1..]).await.is_none());
    }

    #[tokio::test]
    async fn unusable_hashes_are_the_operators_fault() {
        let good = hash("secret");
        for bad in [
            "",
            "secret",
            "$1$abc",
            &good.replacen("$2b$", "$2x$", 1),
            &good.replacen("$10$", "$09$", 1),
            &good.replacen("$10$", "$17$", 1),
            &good[..59],
        ] {
            let people = [person("a@b", bad)];
            let answer = Pool::default().check(&people, "a@b", "secret").await;
            assert_eq!(answer, Err(PasswordFault::UnusableHash), "{bad}");
        }
    }

    #[tokio::test]
    async fn the_queue_has_an_end() {
        let pool = Pool::default();
        pool.inside.store(AT_ONCE + WAITING, Ordering::Relaxed);
        let people = [person("a@b", &hash("secret"))];
        assert_eq!(
            pool.check(&people, "a@b", "secret").await,
            Err(PasswordFault::Busy)
        );
        assert_eq!(pool.inside.load(Ordering::Relaxed), AT_ONCE + WAITING);
    }

    #[test]
    fn the_dummy_is_as_dear_as_the_dearest() {
        let people = [
            person("a@b", &dummy(&[]).replacen("$10$", "$11$", 1)),
            person("c@d", &dummy(&[]).replacen("$10$", "$13$", 1)),
            person("e@f", &dummy(&[]).replacen("$10$", "$31$", 1)),
        ];
        assert!(dummy(&people).starts_with("$2b$13$"));
        assert!(bcrypt::HashParts::from_str(&dummy(&people)).is_ok());
    }

    use std::str::FromStr;
}
