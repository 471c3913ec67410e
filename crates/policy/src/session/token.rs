//! A token whose signature was checked, and what may be wrong with one.

use std::sync::Arc;

use http::HeaderValue;
use model::names::Timestamp;
use serde_json::{Map, Value};

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
    pub(super) fn text(&self, name: &str) -> Option<&str> {
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
