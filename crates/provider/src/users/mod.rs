//! People whom doorward itself knows, beside those of the configuration: administration, and the
//! check of their passwords. A configured person shadows one of the same e-mail.

mod check;
pub(crate) mod hash;
mod policy;
#[cfg(test)]
mod tests;

use std::fmt;

use data_encoding::HEXLOWER;
use model::names::{Secret, Timestamp};
use model::seams::Randomness;

pub(crate) use check::{CheckTrouble, Checked, stored_person};
use hash::PasswordHash;
pub use hash::UnusableHash;
pub use policy::{BreachedFolder, BreachedPasswords, PasswordPolicy, Weakness};

use crate::passwords::PasswordFault;
use crate::storage::{Store, StoreError, StoredUser, UserDetails};

/// A person, as an administrator sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// What `sub` is made of; never changes.
    pub id: String,
    /// What they sign in with.
    pub email: String,
    /// Whether the e-mail is known to be theirs.
    pub email_verified: bool,
    /// How they are called.
    pub name: String,
    /// `preferred_username`.
    pub preferred_username: String,
    /// What they belong to.
    pub groups: Vec<String>,
    /// What they prove themselves with.
    pub password: PasswordState,
    /// Whether they may sign in.
    pub enabled: bool,
    /// Since when they are known.
    pub created_at: Timestamp,
}

/// What somebody's password is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordState {
    /// There is none.
    None,
    /// To be changed at the next sign-in.
    OneTime,
    /// Their own.
    Own,
}

/// Somebody to be added.
#[derive(Clone, Debug, Default)]
pub struct NewUser {
    /// Made if there is none.
    pub id: Option<String>,
    /// What they sign in with.
    pub email: String,
    /// Whether the e-mail is known to be theirs.
    pub email_verified: bool,
    /// How they are called.
    pub name: String,
    /// `preferred_username`.
    pub preferred_username: String,
    /// What they belong to.
    pub groups: Vec<String>,
}

/// A password that an administrator gives.
#[derive(Clone, Debug)]
pub enum GivenPassword {
    /// None: they cannot sign in with one.
    None,
    /// To be changed at the next sign-in.
    OneTime(Secret),
    /// To be kept.
    Lasting(Secret),
    /// A hash that another program made; it is replaced at the next sign-in.
    Hash(Secret),
}

/// Why nothing was changed.
#[derive(Debug)]
pub enum UserFault {
    /// No e-mail that could be one.
    Email,
    /// A group without a name, or with a comma, which separates groups in headers.
    Group,
    /// The id or the e-mail is somebody's already.
    Taken,
    /// Nobody has this e-mail.
    Unknown,
    /// The password is not good enough.
    Weak(Weakness),
    /// The hash cannot be used.
    Hash(UnusableHash),
    /// Somebody else changes the same person all the time, or too many passwords are hashed.
    Busy,
    /// The storage failed.
    Store(StoreError),
}

impl fmt::Display for UserFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Email => f.write_str("the e-mail address is none"),
            Self::Group => f.write_str("the name of a group is empty or has a comma in it"),
            Self::Taken => f.write_str("the id or the e-mail address is somebody's already"),
            Self::Unknown => f.write_str("nobody has this e-mail address"),
            Self::Weak(weakness) => weakness.fmt(f),
            Self::Hash(fault) => fault.fmt(f),
            Self::Busy => f.write_str("too much is changed at this moment"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for UserFault {}

impl From<StoreError> for UserFault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<PasswordFault> for UserFault {
    fn from(fault: PasswordFault) -> Self {
        match fault {
            PasswordFault::UnusableHash => Self::Hash(UnusableHash),
            PasswordFault::Busy => Self::Busy,
        }
    }
}

/// Of several who change one person at once, each is heard; not for ever.
const ATTEMPTS: usize = 16;

impl Store {
    /// Adds somebody.
    ///
    /// # Errors
    /// [`UserFault`]; nothing is changed then.
    pub async fn add_user(
        &self,
        new: NewUser,
        password: GivenPassword,
        randomness: &dyn Randomness,
        now: Timestamp,
    ) -> Result<User, UserFault> {
        if !is_email(&new.email) {
            return Err(UserFault::Email);
        }
        let details = UserDetails {
            email: new.email,
            email_verified: new.email_verified,
            name: new.name,
            preferred_username: new.preferred_username,
            groups: groups(new.groups)?,
        };
        let (password, one_time) = self.given(password, &details, randomness).await?;
        let stored = StoredUser {
            id: new.id.unwrap_or_else(|| random_id(randomness)),
            version: 1,
            details,
            password,
            one_time,
            enabled: true,
            created_at: now,
            changed_at: now,
        };
        match self.insert_user(&stored).await? {
            true => Ok(stored.into()),
            false => Err(UserFault::Taken),
        }
    }

    /// At most so many people after the e-mail `after`, by e-mail.
    ///
    /// # Errors
    /// [`UserFault::Store`].
    pub async fn users(&self, after: &str, at_most: usize) -> Result<Vec<User>, UserFault> {
        let stored = self.list_users(after, at_most).await?;
        Ok(stored.into_iter().map(User::from).collect())
    }

    /// Who has this e-mail.
    ///
    /// # Errors
    /// [`UserFault::Unknown`] or [`UserFault::Store`].
    pub async fn user(&self, email: &str) -> Result<User, UserFault> {
        let stored = self.user_by_login(email).await?;
        stored.map(User::from).ok_or(UserFault::Unknown)
    }

    /// Gives somebody another password.
    ///
    /// # Errors
    /// [`UserFault`]; nothing is changed then.
    pub async fn reset_password(
        &self,
        email: &str,
        password: GivenPassword,
        randomness: &dyn Randomness,
        now: Timestamp,
    ) -> Result<(), UserFault> {
        let found = self.user_by_login(email).await?.ok_or(UserFault::Unknown)?;
        let (password, one_time) = self.given(password, &found.details, randomness).await?;
        self.change(email, |user| {
            user.password.clone_from(&password);
            user.one_time = one_time;
            user.changed_at = now;
        })
        .await?;
        Ok(())
    }

    /// Lets somebody sign in again, or no more: tokens that they have are not renewed.
    ///
    /// # Errors
    /// [`UserFault`]; nothing is changed then.
    pub async fn enable_user(&self, email: &str, enabled: bool) -> Result<(), UserFault> {
        self.change(email, |user| user.enabled = enabled).await?;
        Ok(())
    }

    /// Changes what somebody belongs to: `leave` first, then `join`; gives what they belong to then.
    ///
    /// # Errors
    /// [`UserFault`]; nothing is changed then.
    pub async fn regroup_user(
        &self,
        email: &str,
        join: Vec<String>,
        leave: &[String],
    ) -> Result<Vec<String>, UserFault> {
        let join = groups(join)?;
        let changed = self
            .change(email, |user| {
                let own = &mut user.details.groups;
                own.retain(|group| !leave.contains(group));
                for group in &join {
                    if !own.contains(group) {
                        own.push(group.clone());
                    }
                }
            })
            .await?;
        Ok(changed.details.groups)
    }

    /// Removes somebody.
    ///
    /// # Errors
    /// [`UserFault::Unknown`] or [`UserFault::Store`].
    pub async fn remove_user(&self, email: &str) -> Result<(), UserFault> {
        let found = self.user_by_login(email).await?.ok_or(UserFault::Unknown)?;
        match self.delete_user(&found.id).await? {
            true => Ok(()),
            false => Err(UserFault::Unknown),
        }
    }

    /// Reads, changes and writes until nobody was in between.
    async fn change(
        &self,
        email: &str,
        change: impl Fn(&mut StoredUser),
    ) -> Result<StoredUser, UserFault> {
        for _ in 0..ATTEMPTS {
            let mut user = self.user_by_login(email).await?.ok_or(UserFault::Unknown)?;
            change(&mut user);
            if self.replace_user(&user).await? {
                return Ok(user);
            }
        }
        Err(UserFault::Busy)
    }

    /// The hash of a password that an administrator gives, and whether it is for one time.
    async fn given(
        &self,
        password: GivenPassword,
        details: &UserDetails,
        randomness: &dyn Randomness,
    ) -> Result<(Option<PasswordHash>, bool), UserFault> {
        let (secret, one_time) = match password {
            GivenPassword::None => return Ok((None, false)),
            GivenPassword::Hash(hash) => {
                let text = hash.expose_str().unwrap_or_default();
                let hash = PasswordHash::parse(text).map_err(UserFault::Hash)?;
                return Ok((Some(hash), false));
            }
            GivenPassword::OneTime(secret) => (secret, true),
            GivenPassword::Lasting(secret) => (secret, false),
        };
        let text = secret.expose_str().unwrap_or_default();
        let hash = self.hash_chosen(text, details, None, randomness).await?;
        Ok((Some(hash), one_time))
    }
}

impl From<StoredUser> for User {
    fn from(stored: StoredUser) -> Self {
        let password = match (stored.password, stored.one_time) {
            (None, _) => PasswordState::None,
            (Some(_), true) => PasswordState::OneTime,
            (Some(_), false) => PasswordState::Own,
        };
        Self {
            id: stored.id,
            email: stored.details.email,
            email_verified: stored.details.email_verified,
            name: stored.details.name,
            preferred_username: stored.details.preferred_username,
            groups: stored.details.groups,
            password,
            enabled: stored.enabled,
            created_at: stored.created_at,
        }
    }
}

/// A password for one time that can be read out: 80 bits in four groups.
pub fn one_time_password(randomness: &dyn Randomness) -> Secret {
    let mut bytes = [0; 10];
    randomness.fill(&mut bytes);
    let text = data_encoding::BASE32_NOPAD.encode(&bytes).to_lowercase();
    let groups: Vec<&str> = [0, 4, 8, 12].map(|at| &text[at..at + 4]).to_vec();
    Secret::new(groups.join("-"))
}

/// A name that no other person has: a random UUID (RFC 9562 §5.4).
fn random_id(randomness: &dyn Randomness) -> String {
    let mut bytes = [0; 16];
    randomness.fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = HEXLOWER.encode(&bytes);
    let parts = [
        &text[..8],
        &text[8..12],
        &text[12..16],
        &text[16..20],
        &text[20..],
    ];
    parts.join("-")
}

/// What could be an address: something on both sides of an `@`, and nothing that a header or a page
/// would have trouble with.
fn is_email(text: &str) -> bool {
    let (user, host) = text.rsplit_once('@').unwrap_or_default();
    let is_plain = |c: char| !c.is_control() && !c.is_whitespace() && !"<>\",;".contains(c);
    !user.is_empty() && !host.is_empty() && text.len() <= 254 && text.chars().all(is_plain)
}

fn groups(names: Vec<String>) -> Result<Vec<String>, UserFault> {
    let is_usable = |name: &String| {
        !name.trim().is_empty() && !name.contains(|c: char| c == ',' || c.is_control())
    };
    names
        .iter()
        .all(is_usable)
        .then_some(names)
        .ok_or(UserFault::Group)
}
