//! People whom doorward itself knows.

use model::names::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Damaged, Row, Statement, Store, StoreError, sql};
use crate::users::hash::PasswordHash;

/// A person as they are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredUser {
    pub(crate) id: String,
    /// The version that was read; a change finds it or is none.
    pub(crate) version: i64,
    pub(crate) details: UserDetails,
    /// Nothing when nobody can sign in with one.
    pub(crate) password: Option<PasswordHash>,
    /// The password has to be changed at the next sign-in.
    pub(crate) one_time: bool,
    pub(crate) enabled: bool,
    pub(crate) created_at: Timestamp,
    /// When the password was set.
    pub(crate) changed_at: Timestamp,
}

/// What is told of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserDetails {
    pub(crate) email: String,
    pub(crate) email_verified: bool,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) preferred_username: String,
    #[serde(default)]
    pub(crate) groups: Vec<String>,
}

/// How dear the dearest hashes of each kind are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dearest {
    pub(crate) bcrypt_cost: Option<u32>,
    pub(crate) argon2id: bool,
}

impl Store {
    /// Adds somebody new; `false` when the id or the e-mail is taken.
    pub(crate) async fn insert_user(&self, user: &StoredUser) -> Result<bool, StoreError> {
        let insert = sql(
            "INSERT INTO users (user_id, version, login, details, password_hash, bcrypt_cost, \
             one_time, enabled, created_at, changed_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
        )
        .bind(&user.id)
        .bind(user.version);
        let insert = bind_user(insert, user)?
            .bind(user.created_at.seconds())
            .bind(user.changed_at.seconds());
        Ok(self.engine.run(insert).await? == 1)
    }

    /// Puts `user` where the version that it was read with stands; `false` when somebody else was
    /// first, or the e-mail is another's.
    pub(crate) async fn replace_user(&self, user: &StoredUser) -> Result<bool, StoreError> {
        // An `UPDATE` has no `ON CONFLICT`: whose e-mail it is, is asked with it.
        let update = sql(
            "UPDATE users SET version = version + 1, login = $3, details = $4, password_hash = $5, \
             bcrypt_cost = $6, one_time = $7, enabled = $8, changed_at = $9 \
             WHERE user_id = $1 AND version = $2 \
             AND NOT EXISTS (SELECT 1 FROM users WHERE login = $3 AND user_id <> $1)",
        )
        .bind(&user.id)
        .bind(user.version);
        let update = bind_user(update, user)?.bind(user.changed_at.seconds());
        Ok(self.engine.run(update).await? == 1)
    }

    /// Who signs in with this e-mail, in whatever case.
    pub(crate) async fn user_by_login(
        &self,
        login: &str,
    ) -> Result<Option<StoredUser>, StoreError> {
        let question = sql(
            "SELECT user_id, version, details, password_hash, one_time, enabled, created_at, \
             changed_at FROM users WHERE login = $1",
        )
        .bind(login.to_lowercase());
        let row = self.engine.find(question).await?;
        row.map(|row| user(&row)).transpose()
    }

    /// Who has this id.
    pub(crate) async fn user_by_id(&self, id: &str) -> Result<Option<StoredUser>, StoreError> {
        let question = sql(
            "SELECT user_id, version, details, password_hash, one_time, enabled, created_at, \
             changed_at FROM users WHERE user_id = $1",
        )
        .bind(id);
        let row = self.engine.find(question).await?;
        row.map(|row| user(&row)).transpose()
    }

    /// At most so many people after the e-mail `after`, by e-mail.
    pub(crate) async fn list_users(
        &self,
        after: &str,
        at_most: usize,
    ) -> Result<Vec<StoredUser>, StoreError> {
        let question = sql(
            "SELECT user_id, version, details, password_hash, one_time, enabled, created_at, \
             changed_at FROM users WHERE login > $1 ORDER BY login LIMIT $2",
        );
        let limit = i64::try_from(at_most).unwrap_or(i64::MAX);
        let question = question.bind(after.to_lowercase()).bind(limit);
        let rows = self.engine.list(question).await?;
        rows.iter().map(user).collect()
    }

    /// Removes who has this id; `false` when nobody has.
    pub(crate) async fn delete_user(&self, id: &str) -> Result<bool, StoreError> {
        let delete = sql("DELETE FROM users WHERE user_id = $1").bind(id);
        Ok(self.engine.run(delete).await? == 1)
    }

    /// How dear the dearest hashes are; an index away.
    pub(crate) async fn dearest_hashes(&self) -> Result<Dearest, StoreError> {
        let bcrypt = sql(
            "SELECT bcrypt_cost FROM users WHERE bcrypt_cost IS NOT NULL \
             ORDER BY bcrypt_cost DESC LIMIT 1",
        );
        let bcrypt = self.engine.find(bcrypt).await?;
        let bcrypt = bcrypt.map(|row| row.integer(0)).transpose()?;
        let argon2id = sql("SELECT 1 FROM users WHERE bcrypt_cost IS NULL LIMIT 1");
        Ok(Dearest {
            bcrypt_cost: bcrypt.and_then(|cost| u32::try_from(cost).ok()),
            argon2id: self.engine.find(argon2id).await?.is_some(),
        })
    }
}

fn bind_user(statement: Statement, user: &StoredUser) -> Result<Statement, StoreError> {
    let details =
        serde_json::to_string(&user.details).map_err(|_| StoreError::Damaged(Damaged::User))?;
    let hash = user.password.as_ref().map(PasswordHash::as_str);
    let cost = user.password.as_ref().and_then(PasswordHash::bcrypt_cost);
    Ok(statement
        .bind(user.details.email.to_lowercase())
        .bind(details)
        .bind(hash.unwrap_or_default())
        .bind(cost.map(i64::from))
        .bind(user.one_time)
        .bind(user.enabled))
}

fn user(row: &Row) -> Result<StoredUser, StoreError> {
    let damaged = || StoreError::Damaged(Damaged::User);
    let hash = row.text(3)?;
    let password = match hash.as_str() {
        "" => None,
        text => Some(PasswordHash::parse(text).map_err(|_| damaged())?),
    };
    Ok(StoredUser {
        id: row.text(0)?,
        version: row.integer(1)?,
        details: serde_json::from_str(&row.text(2)?).map_err(|_| damaged())?,
        password,
        one_time: row.integer(4)? != 0,
        enabled: row.integer(5)? != 0,
        created_at: Timestamp::from_seconds(row.integer(6)?),
        changed_at: Timestamp::from_seconds(row.integer(7)?),
    })
}
