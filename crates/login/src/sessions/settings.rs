//! Where sessions are kept, and for how long.

use std::path::{Path, PathBuf};

use model::names::{Duration, Secret};

use super::store::{StoreAddress, derive};

/// Where sessions are kept, and for how long.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    /// The store.
    pub store: StoreAddress,
    /// The database file, where the store is one.
    pub file: PathBuf,
    /// What records in a shared store are sealed under, and what every process's keys come of: the
    /// first one for what is made, all for what is found.
    pub secrets: Vec<Secret>,
    /// How long sessions in memory go on while the store does not say which of them were ended.
    pub grace: Duration,
    /// A session that nobody shows for so long is over.
    pub idle: Option<Duration>,
    /// No session lasts longer, whatever its login proxy says.
    pub lifetime: Option<Duration>,
}

/// A secret for a shared store that comes of `secret`, which a program that is stood in for has for
/// something else and every process of it has alike.
pub fn session_secret(secret: &Secret) -> Secret {
    Secret::new(derive(secret.expose(), "the secret of another program"))
}

impl SessionSettings {
    /// How long sessions in memory go on without the store, unless somebody says otherwise.
    pub const GRACE: Duration = Duration::from_secs(300);

    /// SQLite in `file`, and sessions as long as their login proxies say.
    pub fn in_file(file: &Path) -> Self {
        Self {
            store: StoreAddress::Sqlite,
            file: file.to_owned(),
            secrets: Vec::new(),
            grace: Self::GRACE,
            idle: None,
            lifetime: None,
        }
    }
}
