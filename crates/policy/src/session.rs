//! A known person, or the reason there is none.

use std::sync::Arc;

use http::HeaderValue;
use model::names::Timestamp;
use model::snapshot::KeySource;
use serde_json::{Map, Value};

/// What a request brought to prove who sent it, already checked.
#[derive(Clone, Debug)]
pub struct Session {
    /// Who the session cookie stands for.
    pub person: Result<Arc<Person>, NoSession>,
    /// The token the client sent itself.
    pub bearer: Bearer,
    /// Tokens where only rules of destinations look.
    pub elsewhere: Vec<Proof>,
}

/// What came of proving a token with the keys that a rule of a destination names.
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
            values,
        }
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

    /// When the session ends.
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
                Some(Value::Array(groups)) => groups.iter().filter_map(Value::as_str).any(&mut wanted),
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

/// A token whose signature was checked with the keys of its issuer. Only code that checked it makes
/// one.
#[derive(Debug)]
pub struct Token {
    issuer: Arc<str>,
    subject: Arc<str>,
    claims: Map<String, Value>,
    expires: Option<Timestamp>,
    not_before: Option<Timestamp>,
    payload: Box<str>,
    bearer: HeaderValue,
}

impl Token {
    /// Asserts that the signature of `compact` was checked with keys of the issuer in `claims`.
    /// `None` when it cannot be an HTTP header, has no issuer, or has a registered claim that is of
    /// another kind than RFC 7519 §4.1 says: what cannot be read would not restrain.
    pub fn assert_verified(compact: &str, claims: Map<String, Value>) -> Option<Self> {
        if !claims
            .iter()
            .all(|(name, value)| is_of_its_kind(name, value))
        {
            return None;
        }
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let time = |name: &str| Some(Timestamp::from_seconds(seconds(claims.get(name)?)?));
        let issuer = text("iss")?.into();
        let subject = text("sub").unwrap_or_default().into();
        let (expires, not_before) = (time("exp"), time("nbf"));
        let payload = compact.split('.').nth(1)?.into();
        let mut bearer = HeaderValue::from_str(&format!("Bearer {compact}")).ok()?;
        bearer.set_sensitive(true);
        Some(Self {
            issuer,
            subject,
            claims,
            expires,
            not_before,
            payload,
            bearer,
        })
    }

    /// `iss`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `sub`; empty when the token has none.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// All claims.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Whether `aud` names `audience`.
    pub fn has_audience(&self, audience: &str) -> bool {
        match self.claims.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(many)) => many.iter().any(|one| one == audience),
            _ => false,
        }
    }

    /// `exp`.
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// `nbf`.
    pub fn not_before(&self) -> Option<Timestamp> {
        self.not_before
    }

    /// The payload segment as it came: base64url without padding.
    pub fn payload(&self) -> &str {
        &self.payload
    }

    /// `Bearer <token>`, ready as a header value.
    pub fn bearer(&self) -> &HeaderValue {
        &self.bearer
    }

    /// A claim that is text and not empty.
    fn text(&self, name: &str) -> Option<&str> {
        let text = self.claims.get(name).and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
    }

    /// The token as it came.
    pub(crate) fn compact(&self) -> &[u8] {
        self.bearer
            .as_bytes()
            .strip_prefix(b"Bearer ")
            .unwrap_or_default()
    }

    /// A claim by its literal name, else by a dotted path into objects.
    pub(crate) fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name).or_else(|| {
            let mut names = name.split('.');
            let first = self.claims.get(names.next()?)?;
            names.try_fold(first, |value, name| value.as_object()?.get(name))
        })
    }
}

/// Whether a registered claim is what RFC 7519 §4.1 says; other claims may be anything.
fn is_of_its_kind(name: &str, value: &Value) -> bool {
    match name {
        "iss" | "sub" | "jti" => value.is_string(),
        "exp" | "nbf" | "iat" => seconds(value).is_some_and(|seconds| seconds >= 0),
        "aud" => match value {
            Value::Array(many) => many.iter().all(Value::is_string),
            one => one.is_string(),
        },
        _ => true,
    }
}

fn seconds(time: &Value) -> Option<i64> {
    // RFC 7519 §2 allows fractions; a time that no clock reaches is no time.
    const END: f64 = 9e18;
    #[allow(clippy::cast_possible_truncation)]
    let whole = |time: f64| (time.abs() < END).then_some(time as i64);
    time.as_i64().or_else(|| time.as_f64().and_then(whole))
}

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// Not three base64url segments of JSON.
    Malformed,
    /// `alg` is `none` or not one the issuer uses.
    AlgorithmRefused,
    /// `iss` is not configured.
    UnknownIssuer,
    /// No key of the issuer fits.
    UnknownKey,
    /// The signature does not fit.
    BadSignature,
    /// `exp` has passed.
    Expired,
    /// `nbf` has not come.
    NotYetValid,
    /// `aud` names nobody we accept.
    AudienceNotAllowed,
    /// The issuer's keys cannot be had.
    KeysUnavailable,
}

impl TokenFault {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::Malformed,
        Self::AlgorithmRefused,
        Self::UnknownIssuer,
        Self::UnknownKey,
        Self::BadSignature,
        Self::Expired,
        Self::NotYetValid,
        Self::AudienceNotAllowed,
        Self::KeysUnavailable,
    ];

    /// A stable word for the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::AlgorithmRefused => "algorithm_refused",
            Self::UnknownIssuer => "unknown_issuer",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::AudienceNotAllowed => "audience_not_allowed",
            Self::KeysUnavailable => "keys_unavailable",
        }
    }

    /// The sentence that Istio's proxies answer with.
    pub fn message(self) -> &'static str {
        match self {
            Self::Malformed => {
                "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections"
            }
            Self::AlgorithmRefused => "Jwt header [alg] is not supported",
            Self::UnknownIssuer => "Jwt issuer is not configured",
            Self::UnknownKey => "Jwks doesn't have key to match kid or alg from Jwt",
            Self::BadSignature => "Jwt verification fails",
            Self::Expired => "Jwt is expired",
            Self::NotYetValid => "Jwt not yet valid",
            Self::AudienceNotAllowed => "Audiences in Jwt are not allowed",
            Self::KeysUnavailable => "Jwks remote fetch is failed",
        }
    }
}
