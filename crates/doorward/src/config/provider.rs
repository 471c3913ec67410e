//! Where the provider keeps what it knows, and what passwords have to be, as an operator says it.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use model::names::Secret;
use provider::{AddressFault, BreachedFolder, PasswordPolicy, StoreAddress};
use serde::Deserialize;

/// Flags about the provider's storage, of `doorward up` and `doorward user`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ProviderFlags {
    /// Where the provider keeps people, keys, codes and refresh tokens: `sqlite` (in the state
    /// directory) or `postgres://…` [default: sqlite]
    #[arg(
        long,
        value_name = "URL",
        env = "DOORWARD_PROVIDER_STORE",
        hide_env_values = true
    )]
    pub(crate) provider_store: Option<String>,

    /// File with the password for it.
    #[arg(
        long,
        value_name = "FILE",
        env = "DOORWARD_PROVIDER_STORE_PASSWORD_FILE"
    )]
    pub(crate) provider_store_password_file: Option<PathBuf>,
}

/// `provider`.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct ProviderConfig {
    /// Where.
    pub(crate) store: Option<String>,
    pub(crate) password_file: Option<PathBuf>,
    /// PEM of the authorities that the storage's certificate is checked with.
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) passwords: PasswordConfig,
}

/// What passwords that people choose have to be.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct PasswordConfig {
    /// Characters at least.
    pub(crate) least: Option<usize>,
    /// 0 to 4, as zxcvbn has it.
    pub(crate) strength: Option<u8>,
    /// Folder with stolen ones.
    pub(crate) breached: Option<PathBuf>,
}

impl fmt::Debug for ProviderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may have a password.
        f.write_str("ProviderConfig(…)")
    }
}

/// Every value is decided.
#[derive(Debug)]
pub(crate) struct ProviderSettings {
    pub(crate) store: StoreAddress,
    pub(crate) passwords: PasswordPolicy,
}

/// What is wrong with them. The operator is at fault; no text repeats an address.
#[derive(Debug)]
pub(crate) enum ProviderFault {
    /// The address.
    Address(AddressFault),
    /// A file that cannot be read.
    Unreadable(PathBuf, io::Error),
    /// A password or authorities for the file in the state directory.
    NotForSqlite(&'static str),
    /// Fewer characters than anybody should allow.
    Least,
    /// No number from 0 to 4.
    Strength,
    /// A folder that is none.
    Breached(PathBuf),
}

impl fmt::Display for ProviderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(fault) => write!(
                f,
                "`provider.store`: {fault}\nhelp: write `sqlite`, or `postgres://USER@HOST/DATABASE`"
            ),
            Self::Unreadable(path, error) => write!(
                f,
                "`provider`: `{}` cannot be read: {error}\nhelp: name another file, or let this user read it",
                path.display()
            ),
            Self::NotForSqlite(what) => write!(
                f,
                "`provider`: {what} is given, and the provider's storage is in the state directory\nhelp: leave it out, or name a storage with `--provider-store URL`"
            ),
            Self::Least => f.write_str(
                "`provider.passwords.least` is below 8\nhelp: at least 8 characters, or leave it out",
            ),
            Self::Strength => f.write_str(
                "`provider.passwords.strength` is above 4\nhelp: 3 is enough for most, 4 is the hardest",
            ),
            Self::Breached(path) => write!(
                f,
                "`provider.passwords.breached`: `{}` is no folder that can be read\nhelp: name one with a file for each five digits of SHA-1, or leave it out",
                path.display()
            ),
        }
    }
}

impl ProviderFlags {
    /// Flags and environment win over the file.
    pub(crate) fn settings(self, file: ProviderConfig) -> Result<ProviderSettings, ProviderFault> {
        let Self {
            provider_store,
            provider_store_password_file,
        } = self;
        let ProviderConfig {
            store,
            password_file,
            ca_file,
            passwords,
        } = file;
        let mut address = match provider_store.or(store) {
            Some(text) => StoreAddress::parse(&text).map_err(ProviderFault::Address)?,
            None => StoreAddress::Sqlite,
        };
        if let Some(path) = provider_store_password_file.or(password_file) {
            if !address.is_shared() {
                return Err(ProviderFault::NotForSqlite("a password"));
            }
            // Editors end a file with a line feed, which is no part of a password.
            let password = Secret::new(read(&path)?.trim_ascii());
            address = address.with_password(&password);
        }
        if let Some(path) = ca_file {
            if !address.is_shared() {
                return Err(ProviderFault::NotForSqlite("`caFile`"));
            }
            address = address.with_ca(read(&path)?);
        }
        Ok(ProviderSettings {
            store: address,
            passwords: passwords.policy()?,
        })
    }
}

impl PasswordConfig {
    fn policy(self) -> Result<PasswordPolicy, ProviderFault> {
        let Self {
            least,
            strength,
            breached,
        } = self;
        let mut policy = PasswordPolicy::default();
        if let Some(least) = least {
            if least < policy.least {
                return Err(ProviderFault::Least);
            }
            policy.least = least;
        }
        if let Some(strength) = strength {
            if strength > 4 {
                return Err(ProviderFault::Strength);
            }
            policy.strength = strength;
        }
        if let Some(folder) = breached {
            if fs::read_dir(&folder).is_err() {
                return Err(ProviderFault::Breached(folder));
            }
            policy.breached = Some(Arc::new(BreachedFolder::new(folder)));
        }
        Ok(policy)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ProviderFault> {
    fs::read(path).map_err(|error| ProviderFault::Unreadable(path.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<ProviderSettings, String> {
        let file: ProviderConfig = serde_saphyr::from_str(text).unwrap();
        let settings = ProviderFlags::default().settings(file);
        settings.map_err(|fault| fault.to_string())
    }

    #[test]
    fn the_storage_and_the_rules_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let password = dir.path().join("password");
        fs::write(&password, "geheim\n").unwrap();
        let (dir, password) = (dir.path().display(), password.display());
        let read = settings(&format!(
            "store: postgres://doorward@db.example:6432/dex\npasswordFile: {password}\npasswords: {{least: 12, strength: 4, breached: {dir}}}\n"
        ));
        let read = read.unwrap();
        let StoreAddress::Postgres(options) = &read.store else {
            panic!("{read:?}");
        };
        let expected = ("db.example", 6432, "doorward", Some("dex"));
        let found = (
            options.get_host(),
            options.get_port(),
            options.get_username(),
            options.get_database(),
        );
        assert_eq!(found, expected);
        assert!(!format!("{read:?}").contains("geheim"));
        assert_eq!((read.passwords.least, read.passwords.strength), (12, 4));
        assert!(read.passwords.breached.is_some());
        let none = settings("{}").unwrap();
        assert!(!none.store.is_shared() && none.passwords.least == 8);
    }

    #[test]
    fn what_is_wrong_is_said_without_the_address() {
        for (text, words) in [
            ("store: redis://:geheim@h\n", "begins with none of"),
            ("store: 'postgres://:geheim@h:x/'\n", "cannot be read"),
            ("passwordFile: /x\n", "a password is given"),
            (
                "{store: 'postgres://h/d', passwordFile: /nonexistent}\n",
                "cannot be read",
            ),
            ("caFile: /x\n", "`caFile` is given"),
            ("passwords: {least: 7}\n", "below 8"),
            ("passwords: {strength: 5}\n", "above 4"),
            ("passwords: {breached: /nonexistent}\n", "no folder"),
        ] {
            let fault = settings(text).unwrap_err();
            assert!(
                fault.contains(words) && fault.contains("\nhelp: "),
                "{fault}"
            );
            assert!(!fault.contains("geheim"), "{fault}");
        }
    }
}
