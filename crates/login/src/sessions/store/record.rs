//! What is kept of one signed-in person, in the one form that every store has.

use std::fmt;

use model::names::Timestamp;
use oidc::jose;
use serde::{Deserialize, Serialize};

/// One signed-in person at rest. A field that comes later needs `#[serde(default)]`: records of the
/// version before are read, too.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// [`model::snapshot::Login::key`].
    pub(crate) login: String,
    /// `iss` of the ID token.
    pub(crate) issuer: String,
    /// What the configured claim says, `sub` unless set otherwise.
    pub(crate) user: String,
    /// `sid`, which issuers end sessions by (OpenID Connect Back-Channel Logout 1.0 §2.1).
    #[serde(default)]
    pub(crate) sid: Option<String>,
    pub(crate) email: String,
    pub(crate) groups: Vec<String>,
    pub(crate) preferred_username: Option<String>,
    pub(crate) id_token: String,
    pub(crate) access_token: Option<String>,
    pub(crate) refresh_token: Option<String>,
    /// How long the tokens are good; `None` where they are not renewed, and the session ends with
    /// them.
    #[serde(default)]
    pub(crate) tokens: Option<Tokens>,
    /// When the person signed in.
    #[serde(with = "seconds")]
    pub(crate) created: Timestamp,
    /// When the session ends, whatever happens.
    #[serde(with = "seconds")]
    pub(crate) expires: Timestamp,
}

/// How long tokens that can be renewed are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tokens {
    /// From when on they are to be renewed.
    #[serde(with = "seconds")]
    pub(crate) due: Timestamp,
    /// Until when they are good.
    #[serde(with = "seconds")]
    pub(crate) until: Timestamp,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("login", &self.login)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// A record as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) record: Record,
    /// Counts rewrites; whoever rewrites the record names it.
    pub(crate) version: i64,
    /// When somebody showed the cookie last, within a minute or two.
    pub(crate) seen: Timestamp,
}

/// What sessions are found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The e-mail, in any case.
    Email(String),
    /// `sub` at an issuer.
    Subject { issuer: String, subject: String },
    /// One session of an issuer.
    Sid { issuer: String, sid: String },
}

impl Record {
    pub(super) fn by_email(&self) -> Whose {
        Whose::Email(self.email.clone())
    }

    /// By `sub` of the ID token, whatever claim the user is named by.
    pub(super) fn by_subject(&self) -> Whose {
        let claims = jose::peek(&self.id_token).unwrap_or_default();
        let subject = claims.get("sub").and_then(serde_json::Value::as_str);
        Whose::Subject {
            issuer: self.issuer.clone(),
            subject: subject.unwrap_or(&self.user).to_owned(),
        }
    }

    pub(super) fn by_sid(&self) -> Option<Whose> {
        Some(Whose::Sid {
            issuer: self.issuer.clone(),
            sid: self.sid.clone()?,
        })
    }
}

/// Times as whole seconds.
mod seconds {
    use model::names::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(time.seconds())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(from).map(Timestamp::from_seconds)
    }
}
