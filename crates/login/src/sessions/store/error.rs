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
    /// Redis refused or broke.
    Redis(redis::RedisError),
    /// It did not answer in time.
    TimedOut,
    /// It did not answer a moment ago, and is not asked until it does.
    Down,
    /// A row is not what this version writes.
    Corrupt,
    /// A record was sealed under a secret that is not known here.
    Foreign,
    /// No session that it has was sealed under a secret that is known here.
    OtherSecret,
    /// Sessions are in their cookies, and not here.
    InCookies,
    /// A session takes so many bytes as a cookie, which is more than fits.
    TooLong(usize),
    /// A store that is shared needs a secret of at least so many bytes.
    NoSecret(usize),
}

impl StoreError {
    /// Whether it may pass by itself: the store is not there, or not yet.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Database(error) => is_outage(error),
            Self::Migration(sqlx::migrate::MigrateError::Execute(error)) => is_outage(error),
            Self::Redis(error) => {
                let code = error.code();
                error.is_io_error()
                    || error.is_cluster_error()
                    || matches!(
                        code,
                        Some("LOADING" | "CLUSTERDOWN" | "MASTERDOWN" | "READONLY")
                    )
                    || matches!(
                        error.kind(),
                        redis::ErrorKind::MasterNameNotFoundBySentinel
                            | redis::ErrorKind::ClusterConnectionNotFound
                    )
            }
            Self::TimedOut | Self::Down => true,
            Self::File(_)
            | Self::Migration(_)
            | Self::Corrupt
            | Self::Foreign
            | Self::OtherSecret
            | Self::InCookies
            | Self::TooLong(_)
            | Self::NoSecret(_) => false,
        }
    }
}

fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
        // Class 57: it is starting, stopping, or was stopped by hand; 53: out of resources; 08: the
        // connection.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            ["57", "53", "08"]
                .iter()
                .any(|class| code.starts_with(class))
        }),
        _ => false,
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => write!(f, "the session store's file cannot be used: {error}"),
            Self::Database(error) => write!(f, "the session store failed: {error}"),
            Self::Migration(error) => write!(f, "the session store cannot be migrated: {error}"),
            Self::Redis(error) => write!(f, "the session store failed: {error}"),
            Self::TimedOut => f.write_str("the session store did not answer in time"),
            Self::Down => f.write_str("the session store does not answer at this moment"),
            Self::Corrupt => f.write_str("a row of the session store cannot be read"),
            Self::Foreign => f.write_str("a session was sealed under a secret that is not known"),
            Self::OtherSecret => f.write_str(
                "the session store has sessions, and none opens with the secret that is given: everybody would have to sign in again\nhelp: give the secret that it had before, too, after the new one; or `doorward session end --all`, with the new one, if they may",
            ),
            Self::InCookies => f.write_str(
                "sessions are in their cookies: here are none to be listed or ended\nhelp: a new secret ends all of them; a store (`--sessions`) has them one by one",
            ),
            Self::TooLong(bytes) => write!(
                f,
                "a session takes {bytes} bytes as a cookie, and {} fit\nhelp: keep sessions in a store (`--sessions`), or let the issuer tell fewer groups",
                crate::sessions::LONGEST_COOKIE
            ),
            Self::NoSecret(bytes) => write!(
                f,
                "a shared session store needs a secret of at least {bytes} random bytes\nhelp: `openssl rand -base64 48 > FILE`, and name the file in `sessions.secretFiles` or `DOORWARD_SESSION_SECRET_FILES`, the same for every process"
            ),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(error) => Some(error),
            Self::Database(error) => Some(error),
            Self::Migration(error) => Some(error),
            Self::Redis(error) => Some(error),
            Self::TimedOut
            | Self::Down
            | Self::Corrupt
            | Self::Foreign
            | Self::OtherSecret
            | Self::InCookies
            | Self::TooLong(_)
            | Self::NoSecret(_) => None,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}
