//! The provider's storage: what outlives the process, and beside it what outlives a configuration
//! but not the process (parsed keys, failed sign-ins, the hashing pool).
//!
//! Tables are in `migrations/`, a folder for each engine; statements are [`sql`] texts that every
//! engine knows, in a file for each kind of row.

mod address;
mod at_rest;
mod attempts;
mod codes;
#[cfg(test)]
pub(crate) mod conformance;
mod devices;
mod engine;
mod error;
mod held;
mod notices;
mod pushed;
mod refresh;
mod revoked;
mod rings;
#[cfg(test)]
pub(crate) mod server;
mod sign_ins;
mod statement;
mod users;
mod words;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest;
use model::names::Timestamp;
use model::seams::Randomness;

pub use address::{AddressFault, StoreAddress};
pub(crate) use codes::{Code, Redeemed};
use engine::{Engine, Transaction};
pub use error::{Damaged, StoreError};
pub(crate) use notices::Notice;
pub(crate) use refresh::{Family, Follows, Kept, Place, TOGETHER};
pub use rings::Wanted;
pub(crate) use sign_ins::Lifetimes;
use statement::{Row, Statement, sql};
pub(crate) use users::{Dearest, StoredUser, UserDetails};

use crate::attempts::{Attempts, SignIns};
use crate::keys::{Loaded, Vault};
use crate::passwords::Pool;
use crate::sealed::KEY_LENGTH;
use crate::users::PasswordPolicy;

/// The provider's storage, shared by every [`crate::Provider`] made on it. What is written is on disk
/// when a call returns; a killed process loses nothing it had answered.
pub struct Store {
    engine: Engine,
    /// Seals what private the database holds.
    vault: Vault,
    rings: Mutex<HashMap<String, Arc<Loaded>>>,
    sealing_key: tokio::sync::OnceCell<[u8; KEY_LENGTH]>,
    pub(crate) attempts: Attempts,
    /// Set once what was overdrawn before this process is known.
    recalled: tokio::sync::OnceCell<()>,
    pub(crate) sign_ins: SignIns,
    pub(crate) hashing: Pool,
    pub(crate) policy: PasswordPolicy,
}

/// Expired rows deleted in one statement, so that no writer waits long.
const STEP: i64 = 500;

/// Such statements for one kind of row in one sweep; what is left waits for the next.
const STEPS: usize = 20;

impl Store {
    /// Opens or makes the file at `path`, readable for its owner alone, and brings its tables up to
    /// date. Its private keys are sealed under the file beside it that ends in `.key`.
    ///
    /// # Errors
    /// [`StoreError`] when a file cannot be made, is no database, is a newer version's, or when the
    /// key file is not the one that belongs to the database.
    pub async fn open(path: &Path, randomness: &dyn Randomness) -> Result<Self, StoreError> {
        let engine = Engine::file(path).await?;
        let vault = at_rest::open(&key_file(path), &engine, randomness).await?;
        Ok(Self::on(engine, vault))
    }

    /// The storage at `address`, or the file at `path`. A database elsewhere need not be there yet:
    /// it is asked, and its tables are made, with the first question that it answers. All processes
    /// on it need the same key file.
    ///
    /// # Errors
    /// [`StoreError`] as [`Self::open`] has them, or when the database elsewhere is there and its
    /// tables cannot be brought up to date.
    pub async fn at(
        address: &StoreAddress,
        path: &Path,
        randomness: &dyn Randomness,
    ) -> Result<Self, StoreError> {
        let options = match address {
            StoreAddress::Sqlite => return Self::open(path, randomness).await,
            StoreAddress::Postgres(options) => options,
        };
        let vault = Vault::read_or_create(&key_file(path), randomness)?;
        let store = Self::on(Engine::shared((**options).clone()), vault);
        match store.engine.ready().await {
            Err(error) if error.is_outage() => {
                tracing::error!(%error, store = %address, "the provider's storage cannot be reached yet");
            }
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        Ok(store)
    }

    fn on(engine: Engine, vault: Vault) -> Self {
        Self {
            engine,
            vault,
            rings: Mutex::default(),
            sealing_key: tokio::sync::OnceCell::new(),
            attempts: Attempts::default(),
            recalled: tokio::sync::OnceCell::new(),
            sign_ins: SignIns::default(),
            hashing: Pool::default(),
            policy: PasswordPolicy::default(),
        }
    }

    /// With what passwords have to be.
    #[must_use]
    pub fn with_policy(self, policy: PasswordPolicy) -> Self {
        Self { policy, ..self }
    }

    /// How the sign-ins of this process with a password ended, by a word for each end.
    pub fn sign_in_counts(&self) -> [(&'static str, u64); 4] {
        self.sign_ins.counts()
    }

    /// The key that seals state in browsers; made at its first use.
    pub(crate) async fn sealing_key(
        &self,
        randomness: &dyn Randomness,
    ) -> Result<&[u8; KEY_LENGTH], StoreError> {
        self.sealing_key
            .get_or_try_init(|| async {
                let mut fresh = [0_u8; KEY_LENGTH];
                randomness.fill(&mut fresh);
                // Of several processes one makes the key and all read it.
                let make = sql("INSERT INTO own_secrets (name, bytes) VALUES ($1, $2) \
                                ON CONFLICT (name) DO NOTHING");
                let make = make.bind("sealing-key").bind(at_rest::seal_own(
                    &self.vault,
                    &fresh,
                    randomness,
                )?);
                self.engine.run(make).await?;
                let read = sql("SELECT bytes FROM own_secrets WHERE name = $1").bind("sealing-key");
                let damaged = || StoreError::Damaged(Damaged::SealingKey);
                let row = self.engine.find(read).await?.ok_or_else(damaged)?;
                at_rest::open_own(&self.vault, &row.bytes(0)?)
            })
            .await
    }

    /// Deletes what has expired, in bounded steps.
    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut deleted = 0;
        for statement in [
            "DELETE FROM codes WHERE code_hash IN \
             (SELECT code_hash FROM codes WHERE expires_at <= $1 LIMIT $2)",
            "DELETE FROM answered_requests WHERE id IN \
             (SELECT id FROM answered_requests WHERE expires_at <= $1 LIMIT $2)",
            "DELETE FROM refresh_families WHERE family IN \
             (SELECT family FROM refresh_families WHERE expires_at <= $1 LIMIT $2)",
            "DELETE FROM pushed_requests WHERE uri_hash IN \
             (SELECT uri_hash FROM pushed_requests WHERE expires_at <= $1 LIMIT $2)",
            "DELETE FROM devices WHERE device_hash IN \
             (SELECT device_hash FROM devices WHERE expires_at <= $1 LIMIT $2)",
            "DELETE FROM logout_notices WHERE id IN \
             (SELECT id FROM logout_notices WHERE expires_at <= $1 LIMIT $2)",
            "DELETE FROM revoked WHERE (issuer, id) IN \
             (SELECT issuer, id FROM revoked WHERE expires_at <= $1 LIMIT $2)",
            "DELETE FROM sign_ins WHERE sid IN \
             (SELECT sid FROM sign_ins WHERE expires_at <= $1 LIMIT $2)",
            "DELETE FROM seen_words WHERE word_hash IN \
             (SELECT word_hash FROM seen_words WHERE expires_at <= $1 LIMIT $2)",
            "DELETE FROM attempts WHERE budget IN \
             (SELECT budget FROM attempts WHERE expires_at <= $1 LIMIT $2)",
        ] {
            for _ in 0..STEPS {
                let step = sql(statement).bind(now.seconds()).bind(STEP);
                let step = self.engine.run(step).await?;
                deleted += step;
                if step < STEP.unsigned_abs() {
                    break;
                }
            }
        }
        Ok(deleted)
    }

    /// How many rows there are of all that requests can write.
    #[cfg(test)]
    pub(crate) async fn rows(&self) -> i64 {
        let question = sql(
            "SELECT (SELECT COUNT(*) FROM codes) + (SELECT COUNT(*) FROM answered_requests) + \
             (SELECT COUNT(*) FROM sign_ins) + (SELECT COUNT(*) FROM pushed_requests) + \
             (SELECT COUNT(*) FROM devices) + (SELECT COUNT(*) FROM seen_words)",
        );
        let row = self.engine.find(question).await.unwrap().unwrap();
        row.integer(0).unwrap()
    }

    /// Breaks it, for tests of what happens then.
    #[cfg(test)]
    pub(crate) async fn close(&self) {
        self.engine.close().await;
    }

    /// Whether it answers.
    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        self.engine.find(sql("SELECT 1")).await?;
        Ok(())
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// Where the key is that seals what the database at `path` holds.
fn key_file(path: &Path) -> PathBuf {
    path.with_extension("key")
}

/// How secrets from outside are kept.
fn hashed(secret: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, secret.as_bytes())
        .as_ref()
        .to_vec()
}

#[cfg(test)]
mod tests;
