//! A known person, or the reason there is none.

mod token;

use std::sync::Arc;

use http::HeaderValue;
use model::names::Timestamp;
use model::snapshot::KeySource;
use serde_json::Value;

pub use token::{Token, TokenFault};

/// What a request brought to prove who sent it, already checked.
#[derive(Clone, Debug)]
pub struct Session {
    /// Who the session cookie stands for.
    pub person: Result<Arc<Person>, NoSession>,
    /// The token the client sent itself.
    pub bearer: Bearer,
    /// Tokens where only rules of destinations look, and further ones where the gateway's do.
    pub elsewhere: Vec<Proof>,
}

/// What came of proving a token with the keys that a rule names.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The token as it came.
    pub compact: Box<str>,
    /// The issuer that it claims to be from.
    pub issuer: Arc<str>,
    /// Where its keys were taken from.
    pub keys: KeySource,
    /// The token, or what is wrong with it.
    pub token: Result<Arc<Token>, TokenFault>,
}

impl Session {
    /// Nobody: no cookie, no token.
    pub fn anonymous() -> Self {
        Self {
            person: Err(NoSession::NoCookie),
            bearer: Bearer::None,
            elsewhere: Vec::new(),
        }
    }
}

/// Why there is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSession {
    /// No session cookie was sent.
    NoCookie,
    /// A cookie that this store never issued: forged, ended, or of another state directory.
    Unknown,
    /// It was valid once.
    Expired,
    /// The store did not answer.
    StoreUnavailable,
}

impl NoSession {
    /// Every one.
    pub const ALL: [Self; 4] = [
        Self::NoCookie,
        Self::Unknown,
        Self::Expired,
        Self::StoreUnavailable,
    ];

    /// A stable word for logs and `explain`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoCookie => "no_cookie",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::StoreUnavailable => "store_unavailable",
        }
    }
}

/// A person who signed in through a login proxy. Only code that checked a session makes one.
#[derive(Debug)]
pub struct Person {
    login: Arc<str>,
    user: Arc<str>,
    email: Option<Arc<str>>,
    groups: Vec<Arc<str>>,
    preferred_username: Option<Arc<str>>,
    token: Option<Arc<Token>>,
    access_token: Option<HeaderValue>,
    expires: Timestamp,
    due: Option<Timestamp>,
    values: IdentityValues,
}

/// The parts of a [`Person`], named.
#[derive(Debug)]
pub struct PersonParts {
    /// [`model::snapshot::Login::key`] of the login proxy.
    pub login: Arc<str>,
    /// Stable identifier: `sub`.
    pub user: Arc<str>,
    /// E-mail, when the issuer told one.
    pub email: Option<Arc<str>>,
    /// Groups.
    pub groups: Vec<Arc<str>>,
    /// Preferred user name.
    pub preferred_username: Option<Arc<str>>,
    /// The ID token.
    pub token: Option<Arc<Token>>,
    /// The access token.
    pub access_token: Option<HeaderValue>,
    /// When the session ends.
    pub expires: Timestamp,
}

impl Person {
    /// Asserts that a session store vouches for this person.
    pub fn assert_signed_in(parts: PersonParts) -> Self {
        let PersonParts {
            login,
            user,
            email,
            groups,
            preferred_username,
            token,
            access_token,
            expires,
        } = parts;
        let values = IdentityValues::new(
            &user,
            email.as_deref(),
            groups.iter().map(|group| &**group),
            preferred_username.as_deref(),
        );
        Self {
            login,
            user,
            email,
            groups,
            preferred_username,
            token,
            access_token,
            expires,
            due: None,
            values,
        }
    }

    /// The same person, whose proof can be renewed, from `due` on.
    #[must_use]
    pub fn renewable(self, due: Timestamp) -> Self {
        Self {
            due: Some(due),
            ..self
        }
    }

    /// From when on the proof is to be renewed; `None` when it cannot be.
    pub fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// Key of the login proxy.
    pub fn login(&self) -> &str {
        &self.login
    }

    /// Stable identifier: `sub`.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// E-mail.
    pub fn email(&self) -> Option<&str> {
        self.email.as_deref()
    }

    /// Groups.
    pub fn groups(&self) -> &[Arc<str>] {
        &self.groups
    }

    /// Preferred user name.
    pub fn preferred_username(&self) -> Option<&str> {
        self.preferred_username.as_deref()
    }

    /// The ID token.
    pub fn token(&self) -> Option<&Arc<Token>> {
        self.token.as_ref()
    }

    /// The access token.
    pub fn access_token(&self) -> Option<&HeaderValue> {
        self.access_token.as_ref()
    }

    /// Until when this is proven: the end of the session, or of the tokens that it stands on.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// How people speak of this person: e-mail, else subject.
    pub(crate) fn label(&self) -> &Arc<str> {
        self.email.as_ref().unwrap_or(&self.user)
    }

    pub(crate) fn values(&self) -> &IdentityValues {
        &self.values
    }
}

/// What an identity says, ready as header values: made once for a session, then only cloned.
/// What no header can carry, or is empty, is left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdentityValues {
    pub(crate) user: Option<HeaderValue>,
    pub(crate) email: Option<HeaderValue>,
    /// Joined with `,`.
    pub(crate) groups: Option<HeaderValue>,
    pub(crate) preferred_username: Option<HeaderValue>,
}

impl IdentityValues {
    pub(crate) fn new<'a>(
        user: &str,
        email: Option<&str>,
        groups: impl Iterator<Item = &'a str>,
        preferred_username: Option<&str>,
    ) -> Self {
        let groups: Vec<_> = groups.collect();
        Self {
            user: header_value(user),
            email: email.and_then(header_value),
            groups: header_value(&groups.join(",")),
            preferred_username: preferred_username.and_then(header_value),
        }
    }
}

/// `text` as a header value, UTF-8 as it is; `None` when it is empty or has control bytes.
pub(crate) fn header_value(text: &str) -> Option<HeaderValue> {
    (!text.is_empty()).then(|| HeaderValue::from_bytes(text.as_bytes()).ok())?
}

/// Whom a permit is for.
#[derive(Clone, Debug)]
pub enum Identified {
    /// Somebody who signed in.
    Person(Arc<Person>),
    /// Whoever holds a token that was accepted.
    Bearer(Arc<Token>),
}

impl Identified {
    /// Who vouches: the key of the login proxy, or the issuer of the token.
    pub fn source(&self) -> &str {
        match self {
            Self::Person(person) => person.login(),
            Self::Bearer(token) => token.issuer(),
        }
    }

    /// Stable identifier: `sub`.
    pub fn subject(&self) -> &str {
        match self {
            Self::Person(person) => person.user(),
            Self::Bearer(token) => token.subject(),
        }
    }

    /// E-mail.
    pub fn email(&self) -> Option<&str> {
        match self {
            Self::Person(person) => person.email(),
            Self::Bearer(token) => token.text("email"),
        }
    }

    /// Groups.
    pub fn groups(&self) -> Vec<&str> {
        match self {
            Self::Person(person) => person.groups().iter().map(|group| &**group).collect(),
            Self::Bearer(token) => match token.claims().get("groups") {
                Some(Value::Array(groups)) => groups.iter().filter_map(Value::as_str).collect(),
                _ => Vec::new(),
            },
        }
    }

    /// Whether a group is `wanted`.
    pub(crate) fn any_group(&self, mut wanted: impl FnMut(&str) -> bool) -> bool {
        match self {
            Self::Person(person) => person.groups().iter().any(|group| wanted(group)),
            Self::Bearer(token) => match token.claims().get("groups") {
                Some(Value::Array(groups)) => {
                    groups.iter().filter_map(Value::as_str).any(&mut wanted)
                }
                _ => false,
            },
        }
    }

    /// Preferred user name.
    pub fn preferred_username(&self) -> Option<&str> {
        match self {
            Self::Person(person) => person.preferred_username(),
            Self::Bearer(token) => token.text("preferred_username"),
        }
    }

    /// Until when the proof of it is good; `None` for ever.
    pub fn expires(&self) -> Option<Timestamp> {
        match self {
            Self::Person(person) => Some(person.expires()),
            Self::Bearer(token) => token.expires(),
        }
    }
}

/// A token that the client sent itself.
#[derive(Clone, Debug)]
pub enum Bearer {
    /// None at any place where one is looked for.
    None,
    /// Signature and form are good; issuer, audience and time are judged by the rules.
    Valid(Arc<Token>),
    /// There is one, and it is bad.
    Invalid(TokenFault),
}
