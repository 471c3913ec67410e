//! Sessions that nobody signed in for, for tests of what stands on sessions. Behind the feature
//! `testing`, which no binary has.

use model::names::Timestamp;

use crate::flow::identity::Identity;
use crate::sessions::{NewSession, Sessions, StoreError};

/// Somebody who is taken to have signed in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Key of the login proxy, `namespace/name`.
    pub login: String,
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub user: String,
    /// E-mail.
    pub email: String,
    /// Groups.
    pub groups: Vec<String>,
    /// Preferred user name.
    pub preferred_username: Option<String>,
    /// ID token; nobody checks it any more.
    pub id_token: String,
    /// Access token.
    pub access_token: Option<String>,
    /// When they signed in.
    pub created: Timestamp,
    /// When the session ends.
    pub expires: Timestamp,
}

/// Keeps the session of `person`, and gives the value of its cookie.
///
/// # Errors
/// When the store fails.
pub async fn begin(sessions: &Sessions, person: SignedIn) -> Result<String, StoreError> {
    let SignedIn {
        login,
        issuer,
        user,
        email,
        groups,
        preferred_username,
        id_token,
        access_token,
        created,
        expires,
    } = person;
    let session = NewSession {
        login,
        issuer,
        sid: None,
        identity: Identity {
            user,
            email,
            groups,
            preferred_username,
        },
        id_token,
        access_token,
        shows_access_token: false,
        refresh_token: None,
        tokens: None,
        created,
        expires,
    };
    Ok(sessions.begin("", session).await?.text())
}

/// Lets the store fail from now on.
pub async fn break_down(sessions: &Sessions) {
    sessions.close().await;
}
