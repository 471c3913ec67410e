//! Why a store did not do what it was asked.

use std::fmt;

/// Why the store did not do what it was asked. The operator's fault or ours, never the client's.
#[derive(Debug)]
pub enum StoreError {
    /// The file cannot be made, or its mode not be set.
    File(std::io::Error),
    /// The database refused or broke.
    Database(sqlx::Error),
    /// The tables cannot be brought to this version's form.
    Migration(sqlx::migrate::MigrateError),
    /// A row is not what this version writes.
    Corrupt,
    /// A record was sealed under a secret that is not known here.
    Foreign,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => write!(f, "the session store's file cannot be used: {error}"),
            Self::Database(error) => write!(f, "the session store failed: {error}"),
            Self::Migration(error) => write!(f, "the session store cannot be migrated: {error}"),
            Self::Corrupt => f.write_str("a row of the session store cannot be read"),
            Self::Foreign => f.write_str("a session was sealed under a secret that is not known"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(error) => Some(error),
            Self::Database(error) => Some(error),
            Self::Migration(error) => Some(error),
            Self::Corrupt | Self::Foreign => None,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}
