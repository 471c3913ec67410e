//! Why the storage did not do what it was asked.

use std::fmt;
use std::io;

use oidc::jose::KeyFault;
use sqlx::migrate::MigrateError;

use crate::keys::KeyFileFault;

/// What can go wrong with the storage. The operator's fault or ours, never a client's.
#[derive(Debug)]
pub enum StoreError {
    /// The file cannot be made or its mode not set.
    File(io::Error),
    /// The tables cannot be brought up to date.
    Migration(MigrateError),
    /// The database did not do what was asked.
    Database(sqlx::Error),
    /// Something stored cannot be read.
    Damaged(Damaged),
    /// The key file that seals the database cannot be used.
    KeyFile(KeyFileFault),
    /// Others changed the same row again and again.
    Busy,
    /// No key could be made, or the task that made it died.
    Key(KeyFault),
}

/// What is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damaged {
    /// The sealing key.
    SealingKey,
    /// A ring of signing keys.
    Ring,
    /// What a code stands for.
    Code,
    /// What a refresh token stands for.
    Refresh,
    /// A person.
    User,
    /// A remembered sign-in.
    SignIn,
    /// A device that waits.
    Device,
}

impl StoreError {
    /// Whether it may pass by itself: the database is locked, full, gone, or not there yet.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Database(error) | Self::Migration(MigrateError::Execute(error)) => {
                is_outage(error)
            }
            Self::Busy => true,
            Self::File(_)
            | Self::Migration(_)
            | Self::Damaged(_)
            | Self::KeyFile(_)
            | Self::Key(_) => false,
        }
    }
}

fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            match error.try_downcast_ref::<sqlx::sqlite::SqliteError>() {
                // SQLITE_BUSY, _LOCKED, _READONLY, _IOERR, _FULL and _CANTOPEN; more than the low
                // byte says what of it.
                Some(_) => code
                    .parse()
                    .is_ok_and(|code: u32| [5, 6, 8, 10, 13, 14].contains(&(code & 0xff))),
                // Class 57: it is starting, stopping, or was stopped by hand; 53: out of resources;
                // 08: the connection; 25006: this one is only read from; 40: another transaction
                // was first.
                None => ["57", "53", "08", "25006", "40"]
                    .iter()
                    .any(|class| code.starts_with(class)),
            }
        }),
        _ => false,
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => {
                write!(f, "the provider's database file cannot be opened: {error}")
            }
            Self::Migration(error) => {
                write!(
                    f,
                    "the provider's tables cannot be brought up to date: {error}"
                )
            }
            Self::Database(error) => write!(f, "the provider's database failed: {error}"),
            Self::Damaged(what) => {
                let what = match what {
                    Damaged::SealingKey => "sealing key",
                    Damaged::Ring => "ring of signing keys",
                    Damaged::Code => "code",
                    Damaged::Refresh => "refresh token",
                    Damaged::User => "person",
                    Damaged::SignIn => "sign-in",
                    Damaged::Device => "device",
                };
                write!(f, "a stored {what} cannot be read")
            }
            Self::KeyFile(fault) => fault.fmt(f),
            Self::Busy => f.write_str("the provider's database is too busy for this change"),
            Self::Key(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(error) => Some(error),
            Self::Migration(error) => Some(error),
            Self::Database(error) => Some(error),
            Self::Damaged(_) | Self::Busy => None,
            Self::KeyFile(fault) => Some(fault),
            Self::Key(fault) => Some(fault),
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        Self::Migration(error)
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<KeyFileFault> for StoreError {
    fn from(fault: KeyFileFault) -> Self {
        Self::KeyFile(fault)
    }
}

impl From<KeyFault> for StoreError {
    fn from(fault: KeyFault) -> Self {
        Self::Key(fault)
    }
}
