//! Where the provider's storage is, as an operator writes it.

use std::fmt;

use model::names::Secret;
use sqlx::postgres::PgConnectOptions;

/// Where the provider's storage is.
#[derive(Clone)]
pub enum StoreAddress {
    /// A file in the state directory.
    Sqlite,
    /// A PostgreSQL database, which several processes may share.
    Postgres(Box<PgConnectOptions>),
}

/// Why a text is no address. None of them repeats it: there may be a password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFault {
    /// No scheme that is known.
    Scheme,
    /// A PostgreSQL URL that cannot be read.
    Postgres,
}

impl fmt::Display for AddressFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => {
                "the address of the provider's storage begins with none of `sqlite`, `postgres://`"
            }
            Self::Postgres => "the PostgreSQL address of the provider's storage cannot be read",
        })
    }
}

impl std::error::Error for AddressFault {}

impl StoreAddress {
    /// Reads `sqlite` or a URL.
    ///
    /// # Errors
    /// Why it is none; nothing of it is repeated.
    pub fn parse(text: &str) -> Result<Self, AddressFault> {
        match text.split_once("://") {
            Some(("postgres" | "postgresql", _)) => {
                let options = text.parse().map_err(|_| AddressFault::Postgres)?;
                Ok(Self::Postgres(Box::new(options)))
            }
            None if text == "sqlite" => Ok(Self::Sqlite),
            Some(_) | None => Err(AddressFault::Scheme),
        }
    }

    /// With this password, whatever the URL has.
    #[must_use]
    pub fn with_password(self, password: &Secret) -> Self {
        match (self, password.expose_str()) {
            (Self::Postgres(options), Some(text)) => {
                Self::Postgres(Box::new(options.password(text)))
            }
            (other, _) => other,
        }
    }

    /// With these authorities (PEM) instead of the system's.
    #[must_use]
    pub fn with_ca(self, pem: Vec<u8>) -> Self {
        match self {
            Self::Sqlite => Self::Sqlite,
            Self::Postgres(options) => {
                Self::Postgres(Box::new(options.ssl_root_cert_from_pem(pem)))
            }
        }
    }

    /// Whether other processes may work with it too.
    pub fn is_shared(&self) -> bool {
        !matches!(self, Self::Sqlite)
    }
}

/// For the log: never a password.
impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite => f.write_str("sqlite"),
            Self::Postgres(options) => write!(
                f,
                "postgres://{}:{}",
                options.get_host(),
                options.get_port()
            ),
        }
    }
}

impl fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What sqlx shows of its options may be more than it should.
        write!(f, "StoreAddress({self})")
    }
}
