//! Sessions as administrators see and end them: no cookie, no token.

use data_encoding::HEXLOWER;
use model::names::Timestamp;

use super::Sessions;
use super::store::{Entry, StoreError, Whose};

/// Bytes of a session's name that stand for it: the hash of its cookie begins so.
const ID: usize = 8;

/// One session, without anything that opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Begins the hash of its cookie, 16 hexadecimal digits.
    pub id: String,
    /// Key of the login proxy, `namespace/name`.
    pub login: String,
    /// `iss`; empty where it is not known.
    pub issuer: String,
    /// `sub`.
    pub user: String,
    /// E-mail.
    pub email: String,
    /// When the person signed in.
    pub created: Timestamp,
    /// When the cookie was shown last, within a quarter of an hour.
    pub seen: Timestamp,
    /// When it is over, whatever happens.
    pub expires: Timestamp,
    /// When it is over unless its cookie is shown.
    pub idle_until: Timestamp,
}

/// Some sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order of their ids.
    pub sessions: Vec<Listed>,
    /// What to ask for further ones after; `None` when these were the last.
    pub next: Option<String>,
}

impl Sessions {
    /// At most so many sessions after the one named `after`, in the order of their ids; of one
    /// e-mail all of them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(
        &self,
        email: Option<&str>,
        after: &str,
        at_most: usize,
    ) -> Result<Page, StoreError> {
        let entries = match email {
            Some(email) => self.store.list_by(&Whose::Email(email.to_owned())).await?,
            None => {
                // No name begins with more than its id, so none is left out but those that were
                // listed.
                let mut after = HEXLOWER.decode(after.as_bytes()).unwrap_or_default();
                if after.len() == ID {
                    after.extend([u8::MAX; 24]);
                }
                self.store.list(&after, at_most).await?
            }
        };
        let last = entries.last().filter(|_| email.is_none());
        let next = last.map(|last| HEXLOWER.encode(&last.name[..ID]));
        let next = next.filter(|_| entries.len() >= at_most);
        let now = self.clock.now();
        let listed = entries.into_iter().map(|entry| self.listed(entry));
        let sessions = listed.filter(|one| one.expires > now && one.idle_until > now);
        Ok(Page {
            sessions: sessions.collect(),
            next,
        })
    }

    /// Ends one session here and in every process; says whether there was one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_listed(&self, id: &str) -> Result<bool, StoreError> {
        let Ok(start) = HEXLOWER.decode(id.to_lowercase().as_bytes()) else {
            return Ok(false);
        };
        if start.len() != ID {
            return Ok(false);
        }
        let found = self.store.list(&start, 1).await?;
        match found.first().filter(|one| one.name.starts_with(&start)) {
            Some(entry) => self.end_by_name(&entry.name).await,
            None => Ok(false),
        }
    }

    /// Ends all sessions of an e-mail here and in every process; says how many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_of(&self, email: &str) -> Result<usize, StoreError> {
        self.end_whose(&Whose::Email(email.to_owned())).await
    }

    fn listed(&self, entry: Entry) -> Listed {
        let Entry {
            name,
            stored,
            expires: _,
        } = entry;
        let (record, seen) = (stored.record, stored.seen);
        let expires = self.lifetimes.ends(record.created, record.expires);
        Listed {
            id: HEXLOWER.encode(&name[..ID]),
            login: record.login,
            issuer: record.issuer,
            user: record.user,
            email: record.email,
            created: record.created,
            seen,
            expires,
            idle_until: self.lifetimes.idle_until(seen, expires),
        }
    }
}
