//! Who signs in with an e-mail and a password: configured people and those of the storage.

use model::seams::Randomness;
use model::snapshot::ProviderPassword;
use zeroize::Zeroizing;

use super::hash::{PasswordHash, UnusableHash, salt};
use super::{PasswordPolicy, UserFault, Weakness};
use crate::authorize::Person;
use crate::passwords::PasswordFault;
use crate::storage::{Dearest, Store, StoreError, StoredUser, UserDetails};

/// The connector of everybody here: part of `sub`.
const LOCAL: &str = "local";

/// What a name and a password come to.
#[derive(Debug)]
pub(crate) enum Checked {
    /// Somebody, who is let in.
    Person(Box<Person>),
    /// Somebody, who has to choose another password first.
    OneTime(Box<StoredUser>),
    /// Somebody, who may not sign in.
    Disabled,
    /// Nobody has this name, or not this password; which of the two is not said.
    Nobody,
}

/// Why it comes to nothing.
#[derive(Debug)]
pub(crate) enum CheckTrouble {
    Password(PasswordFault),
    Store(StoreError),
}

impl From<PasswordFault> for CheckTrouble {
    fn from(fault: PasswordFault) -> Self {
        Self::Password(fault)
    }
}

impl From<StoreError> for CheckTrouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What the pool found out.
struct Verdict {
    right: bool,
    /// A better hash of the same password.
    better: Option<PasswordHash>,
}

impl Store {
    /// Who signs in with `login` and `password`, at `now`. A refusal takes the same time whoever is
    /// meant: a hash of each kind and of the dearest cost there is.
    pub(crate) async fn check_password(
        &self,
        configured: &[ProviderPassword],
        login: &str,
        password: &str,
        randomness: &dyn Randomness,
        now: i64,
    ) -> Result<Checked, CheckTrouble> {
        let lower = login.to_lowercase();
        let entry = configured
            .iter()
            .find(|one| one.email.to_lowercase() == lower);
        let stored = match entry {
            Some(_) => None,
            None => self.user_by_login(&lower).await?,
        };
        let own = match (entry, &stored) {
            (Some(entry), _) => Some(configured_hash(entry)?),
            (None, Some(stored)) => stored.password.clone(),
            (None, None) => None,
        };
        let dummies = dummies(configured, self.dearest_hashes().await?)?;
        let is_stored = stored.is_some();
        let password = Zeroizing::new(password.to_owned());
        let salt = salt(randomness);
        let verdict = self
            .hashing
            .work(move || {
                judge(
                    own.as_ref(),
                    &dummies,
                    &password,
                    is_stored.then_some(&salt),
                )
            })
            .await?
            .map_err(|UnusableHash| PasswordFault::UnusableHash)?;
        if !verdict.right {
            return Ok(Checked::Nobody);
        }
        Ok(match (entry, stored) {
            (Some(entry), _) => Checked::Person(Box::new(configured_person(entry, now))),
            (None, Some(stored)) if !stored.enabled => Checked::Disabled,
            (None, Some(stored)) => self.known(stored, verdict.better, now).await?,
            (None, None) => Checked::Nobody,
        })
    }

    /// Somebody of the storage whose password was right.
    async fn known(
        &self,
        mut stored: StoredUser,
        better: Option<PasswordHash>,
        now: i64,
    ) -> Result<Checked, StoreError> {
        if stored.one_time {
            return Ok(Checked::OneTime(Box::new(stored)));
        }
        let person = stored_person(&stored, now);
        if let Some(better) = better {
            stored.password = Some(better);
            // Who was in between has changed the password, or does the same.
            self.replace_user(&stored).await?;
        }
        Ok(Checked::Person(Box::new(person)))
    }

    /// Gives somebody the password that they chose. `false` when they were changed meanwhile.
    pub(crate) async fn choose_password(
        &self,
        mut user: StoredUser,
        password: &str,
        randomness: &dyn Randomness,
        now: model::names::Timestamp,
    ) -> Result<bool, UserFault> {
        let old = user.password.clone();
        let hash = self
            .hash_chosen(password, &user.details, old, randomness)
            .await?;
        user.password = Some(hash);
        user.one_time = false;
        user.changed_at = now;
        Ok(self.replace_user(&user).await?)
    }

    /// Hashes a password that is good enough for who is told of in `details`, and is not `old`.
    pub(super) async fn hash_chosen(
        &self,
        password: &str,
        details: &UserDetails,
        old: Option<PasswordHash>,
        randomness: &dyn Randomness,
    ) -> Result<PasswordHash, UserFault> {
        let policy = self.policy.clone();
        let known = [
            details.email.clone(),
            details.name.clone(),
            details.preferred_username.clone(),
        ];
        let password = Zeroizing::new(password.to_owned());
        let salt = salt(randomness);
        self.hashing
            .work(move || chosen(&policy, &password, &known, old.as_ref(), &salt))
            .await?
    }

    /// Who somebody that signed in at `signed_in_at` is by now; nothing when they are not known any
    /// more, or may not sign in.
    pub(crate) async fn person_now(
        &self,
        configured: &[ProviderPassword],
        person: &Person,
    ) -> Result<Option<Person>, StoreError> {
        if person.connector != LOCAL {
            return Ok(None);
        }
        let entry = configured
            .iter()
            .find(|one| *one.user_id == *person.user_id && *one.email == *person.email);
        if let Some(entry) = entry {
            return Ok(Some(configured_person(entry, person.signed_in_at)));
        }
        let stored = self.user_by_id(&person.user_id).await?;
        Ok(stored
            .filter(|stored| stored.enabled)
            .map(|stored| stored_person(&stored, person.signed_in_at)))
    }
}

fn chosen(
    policy: &PasswordPolicy,
    password: &str,
    known: &[String],
    old: Option<&PasswordHash>,
    salt: &[u8; 16],
) -> Result<PasswordHash, UserFault> {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    policy.check(password, &known).map_err(UserFault::Weak)?;
    if old.is_some_and(|old| old.verify(password) == Ok(true)) {
        return Err(UserFault::Weak(Weakness::Same));
    }
    PasswordHash::of(password, salt).map_err(UserFault::Hash)
}

/// Checks the password, and is as long about a wrong one as about any other.
fn judge(
    own: Option<&PasswordHash>,
    dummies: &[PasswordHash],
    password: &str,
    renew_with: Option<&[u8; 16]>,
) -> Result<Verdict, UnusableHash> {
    let right = match own {
        Some(own) => own.verify(password)?,
        None => false,
    };
    if !right {
        for dummy in missing(own, dummies) {
            dummy.verify(password)?;
        }
    }
    let outdated = right && own.is_some_and(PasswordHash::is_outdated);
    let better = match renew_with {
        Some(salt) if outdated => Some(PasswordHash::of(password, salt)?),
        Some(_) | None => None,
    };
    Ok(Verdict { right, better })
}

/// The dummies of the kinds that `own` is not of.
fn missing<'d>(
    own: Option<&PasswordHash>,
    dummies: &'d [PasswordHash],
) -> impl Iterator<Item = &'d PasswordHash> {
    let is_bcrypt = own.map(|own| own.bcrypt_cost().is_some());
    dummies
        .iter()
        .filter(move |dummy| is_bcrypt != Some(dummy.bcrypt_cost().is_some()))
}

/// What a wrong password costs somebody whose hash is `own`: the bcrypt cost of each hash.
#[cfg(test)]
pub(super) fn hashes_of_a_refusal(
    own: Option<&PasswordHash>,
    dummies: &[PasswordHash],
) -> Vec<Option<u32>> {
    let own_too = own.into_iter().chain(missing(own, dummies));
    own_too.map(PasswordHash::bcrypt_cost).collect()
}

/// One hash of each kind that anybody has, of the dearest cost; never none at all.
pub(super) fn dummies(
    configured: &[ProviderPassword],
    dearest: Dearest,
) -> Result<Vec<PasswordHash>, PasswordFault> {
    let costs = configured
        .iter()
        .filter_map(|one| configured_hash(one).ok()?.bcrypt_cost());
    let cost = costs.chain(dearest.bcrypt_cost).max();
    let bcrypt = cost.map(PasswordHash::dummy_bcrypt);
    let with_argon2id = dearest.argon2id || cost.is_none();
    let argon2id = with_argon2id.then(PasswordHash::dummy_argon2id);
    let both = bcrypt.into_iter().chain(argon2id);
    both.collect::<Result<_, _>>()
        .map_err(|UnusableHash| PasswordFault::UnusableHash)
}

fn configured_hash(entry: &ProviderPassword) -> Result<PasswordHash, PasswordFault> {
    let text = entry.hash.expose_str().unwrap_or_default();
    PasswordHash::parse(text).map_err(|UnusableHash| PasswordFault::UnusableHash)
}

/// A configured entry as a person who signed in at `signed_in_at`.
fn configured_person(entry: &ProviderPassword, signed_in_at: i64) -> Person {
    Person {
        user_id: entry.user_id.to_string(),
        connector: LOCAL.to_owned(),
        email: entry.email.to_string(),
        email_verified: entry.email_verified,
        name: entry.name.to_string(),
        preferred_username: entry.preferred_username.to_string(),
        groups: entry.groups.iter().map(ToString::to_string).collect(),
        signed_in_at,
        held: None,
    }
}

/// Somebody of the storage as a person who signed in at `signed_in_at`.
pub(crate) fn stored_person(stored: &StoredUser, signed_in_at: i64) -> Person {
    let details = &stored.details;
    Person {
        user_id: stored.id.clone(),
        connector: LOCAL.to_owned(),
        email: details.email.clone(),
        email_verified: details.email_verified,
        name: details.name.clone(),
        preferred_username: details.preferred_username.clone(),
        groups: details.groups.clone(),
        signed_in_at,
        held: None,
    }
}
