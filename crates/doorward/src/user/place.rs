//! The storage that people are in.

use std::fmt;
use std::io;
use std::path::PathBuf;

use model::seams::Clock as _;
use provider::{GivenPassword, NewUser, Store, StoreError, User, UserFault};

use super::At;
use super::secret::SecretFault;
use crate::config::{FileConfig, SettingsFault, default_state};
use crate::up::{SystemClock, SystemRandomness};

/// Asked for at once.
const PAGE: usize = 1000;

/// Where people are.
pub(super) struct Place {
    store: Store,
}

/// Why nothing was done.
#[derive(Debug)]
pub(super) enum PlaceFault {
    Runtime(io::Error),
    Settings(SettingsFault),
    /// Nothing was ever kept there.
    NoState(PathBuf),
    Store(StoreError),
    /// What is wrong with a person; beside it their e-mail.
    User(UserFault, String),
    Secret(SecretFault),
    Output(io::Error),
}

impl fmt::Display for PlaceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runtime(error) => write!(f, "no runtime: {error}"),
            Self::Settings(fault) => fault.fmt(f),
            Self::NoState(path) => write!(
                f,
                "`{}` does not exist\nhelp: name the state directory with `--state DIR`, or another storage with `--provider-store URL`",
                path.display()
            ),
            Self::Store(error) => error.fmt(f),
            Self::User(fault, email) => {
                let help = match fault {
                    UserFault::Email => "name somebody as `name@example.com`",
                    UserFault::Group => "name a group without commas",
                    UserFault::Taken => "`doorward user list` shows who is there",
                    UserFault::Unknown => {
                        "`doorward user list` shows who is there; people of the configuration are changed in it"
                    }
                    UserFault::Weak(_) => "choose another, or let `--generate` make one",
                    UserFault::Hash(_) => "give a hash of an accepted kind, or a password",
                    UserFault::Busy | UserFault::Store(_) => "try again",
                };
                write!(f, "`{email}`: {fault}\nhelp: {help}")
            }
            Self::Secret(fault) => fault.fmt(f),
            Self::Output(error) => write!(f, "nothing can be written: {error}"),
        }
    }
}

impl From<StoreError> for PlaceFault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<SecretFault> for PlaceFault {
    fn from(fault: SecretFault) -> Self {
        Self::Secret(fault)
    }
}

impl Place {
    pub(super) async fn open(at: At) -> Result<Self, PlaceFault> {
        let At {
            state,
            config,
            provider,
        } = at;
        let file = match config {
            Some(path) => FileConfig::read(&path).map_err(SettingsFault::File),
            None => Ok(FileConfig::default()),
        };
        let file = file.map_err(PlaceFault::Settings)?;
        let state = state.or(file.state).or_else(default_state);
        let state = state.ok_or(PlaceFault::Settings(SettingsFault::NoStateDirectory))?;
        let settings = provider
            .settings(file.provider)
            .map_err(|fault| PlaceFault::Settings(SettingsFault::Provider(fault)))?;
        if !settings.store.is_shared() && !state.is_dir() {
            return Err(PlaceFault::NoState(state));
        }
        let store = Store::at(
            &settings.store,
            &state.join("provider.db"),
            &SystemRandomness,
        )
        .await?;
        Ok(Self {
            store: store.with_policy(settings.passwords),
        })
    }

    pub(super) async fn list(&self) -> Result<Vec<User>, PlaceFault> {
        let mut all: Vec<User> = Vec::new();
        loop {
            let after = all.last().map(|last| last.email.clone());
            let after = after.unwrap_or_default();
            let page = self.store.users(&after, PAGE).await;
            let page = page.map_err(|fault| PlaceFault::User(fault, after))?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    pub(super) async fn find(&self, email: &str) -> Result<User, PlaceFault> {
        let found = self.store.user(email).await;
        found.map_err(|fault| PlaceFault::User(fault, email.to_owned()))
    }

    pub(super) async fn add(
        &self,
        new: NewUser,
        password: GivenPassword,
    ) -> Result<User, PlaceFault> {
        let email = new.email.clone();
        let now = SystemClock.now();
        let added = self.store.add_user(new, password, &SystemRandomness, now);
        added.await.map_err(|fault| PlaceFault::User(fault, email))
    }

    pub(super) async fn reset(
        &self,
        email: &str,
        password: GivenPassword,
    ) -> Result<(), PlaceFault> {
        let now = SystemClock.now();
        let reset = self
            .store
            .reset_password(email, password, &SystemRandomness, now);
        let done = reset.await;
        done.map_err(|fault| PlaceFault::User(fault, email.to_owned()))
    }

    pub(super) async fn remove(&self, email: &str) -> Result<(), PlaceFault> {
        let done = self.store.remove_user(email).await;
        done.map_err(|fault| PlaceFault::User(fault, email.to_owned()))
    }

    pub(super) async fn enable(&self, email: &str, enabled: bool) -> Result<(), PlaceFault> {
        let done = self.store.enable_user(email, enabled).await;
        done.map_err(|fault| PlaceFault::User(fault, email.to_owned()))
    }

    pub(super) async fn regroup(
        &self,
        email: &str,
        join: Vec<String>,
        leave: &[String],
    ) -> Result<Vec<String>, PlaceFault> {
        let done = self.store.regroup_user(email, join, leave).await;
        done.map_err(|fault| PlaceFault::User(fault, email.to_owned()))
    }
}
