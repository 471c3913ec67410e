//! Answers of the token endpoint and the error vocabulary (RFC 6749 §4.1.2.1, §5; OpenID Connect
//! Core §3.1.2.6; RFC 6750 §3.1; RFC 8628 §3.5).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// A successful answer of the token endpoint (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3).
/// Holds secrets: not printable.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenResponse {
    /// `access_token`.
    pub access_token: String,
    /// `token_type`; compared without case.
    pub token_type: String,
    /// `expires_in`, seconds. Also read from a string, as some issuers send it.
    #[serde(
        default,
        deserialize_with = "seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub expires_in: Option<u64>,
    /// `id_token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_token: Option<String>,
    /// `refresh_token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// `scope`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// `issued_token_type` of a token exchange (RFC 8693 §2.2.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_token_type: Option<String>,
}

impl fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenResponse")
            .field("token_type", &self.token_type)
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Shape {
        Number(f64),
        Text(String),
    }
    Ok(match Option::<Shape>::deserialize(deserializer)? {
        None => None,
        Some(Shape::Number(number)) => Some(number as u64),
        Some(Shape::Text(text)) => Some(
            text.parse()
                .map_err(|_| serde::de::Error::custom("not a number of seconds"))?,
        ),
    })
}

/// An error answer (RFC 6749 §5.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorResponse {
    /// `error`, as sent; [`Self::code`] reads it.
    pub error: String,
    /// `error_description`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
}

impl ErrorResponse {
    /// An answer to send.
    pub fn new(code: ErrorCode, description: &str) -> Self {
        Self {
            error: code.as_str().to_owned(),
            error_description: (!description.is_empty()).then(|| description.to_owned()),
        }
    }

    /// The code, if it is one we know.
    pub fn code(&self) -> Option<ErrorCode> {
        self.error.parse().ok()
    }
}

/// The registered error codes that either side may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// A parameter is missing, repeated or wrong.
    InvalidRequest,
    /// The client may not do this.
    UnauthorizedClient,
    /// The person or the provider said no.
    AccessDenied,
    /// The response type is not offered.
    UnsupportedResponseType,
    /// Request objects are not offered.
    RequestNotSupported,
    /// Request objects by reference are not offered.
    RequestUriNotSupported,
    /// A scope is unknown or not allowed.
    InvalidScope,
    /// The provider failed.
    ServerError,
    /// The provider is too busy.
    TemporarilyUnavailable,
    /// The grant type is not offered.
    UnsupportedGrantType,
    /// The code or refresh token is unknown, used, expired or another client's.
    InvalidGrant,
    /// The client did not prove who it is.
    InvalidClient,
    /// A bearer token is unknown, expired or forged.
    InvalidToken,
    /// A token is no longer good; used between rooms of a provider only.
    InactiveToken,
    /// Device flow: not finished yet.
    AuthorizationPending,
    /// Device flow: asked too often.
    SlowDown,
    /// Device flow: too late.
    ExpiredToken,
    /// `prompt=none` and nobody is signed in.
    LoginRequired,
    /// `prompt=none` and the person would have to do something.
    InteractionRequired,
    /// `prompt=none` and the person would have to agree.
    ConsentRequired,
    /// `prompt=none` and the person would have to choose an account.
    AccountSelectionRequired,
    /// No sign-in of the class that is a must (OpenID Connect Unmet Authentication Requirements §2).
    UnmetAuthenticationRequirements,
    /// The pushed request is unknown or too old.
    InvalidRequestUri,
    /// The request object cannot be read or its signature is wrong.
    InvalidRequestObject,
    /// Token exchange: the audience is unknown or does not trust the client (RFC 8693 §2.2.2).
    InvalidTarget,
    /// The proof of possession is missing or wrong (RFC 9449 §5).
    InvalidDpopProof,
    /// Registration: an address cannot be used (RFC 7591 §3.2.2).
    InvalidRedirectUri,
    /// Registration: something else cannot be used (RFC 7591 §3.2.2).
    InvalidClientMetadata,
}

impl ErrorCode {
    const ALL: [Self; 28] = [
        Self::InvalidRequest,
        Self::UnauthorizedClient,
        Self::AccessDenied,
        Self::UnsupportedResponseType,
        Self::RequestNotSupported,
        Self::RequestUriNotSupported,
        Self::InvalidScope,
        Self::ServerError,
        Self::TemporarilyUnavailable,
        Self::UnsupportedGrantType,
        Self::InvalidGrant,
        Self::InvalidClient,
        Self::InvalidToken,
        Self::InactiveToken,
        Self::AuthorizationPending,
        Self::SlowDown,
        Self::ExpiredToken,
        Self::LoginRequired,
        Self::InteractionRequired,
        Self::ConsentRequired,
        Self::AccountSelectionRequired,
        Self::UnmetAuthenticationRequirements,
        Self::InvalidRequestUri,
        Self::InvalidRequestObject,
        Self::InvalidTarget,
        Self::InvalidDpopProof,
        Self::InvalidRedirectUri,
        Self::InvalidClientMetadata,
    ];

    /// On the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::AccessDenied => "access_denied",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::InvalidScope => "invalid_scope",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidGrant => "invalid_grant",
            Self::InvalidClient => "invalid_client",
            Self::InvalidToken => "invalid_token",
            Self::InactiveToken => "inactive_token",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::LoginRequired => "login_required",
            Self::InteractionRequired => "interaction_required",
            Self::ConsentRequired => "consent_required",
            Self::AccountSelectionRequired => "account_selection_required",
            Self::UnmetAuthenticationRequirements => "unmet_authentication_requirements",
            Self::InvalidRequestUri => "invalid_request_uri",
            Self::InvalidRequestObject => "invalid_request_object",
            Self::InvalidTarget => "invalid_target",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
            Self::InvalidClientMetadata => "invalid_client_metadata",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no registered error code that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownErrorCode;

impl fmt::Display for UnknownErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the error code is unknown")
    }
}

impl std::error::Error for UnknownErrorCode {}

impl FromStr for ErrorCode {
    type Err = UnknownErrorCode;

    fn from_str(text: &str) -> Result<Self, UnknownErrorCode> {
        Self::ALL
            .into_iter()
            .find(|code| code.as_str() == text)
            .ok_or(UnknownErrorCode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_read_back() {
        for code in ErrorCode::ALL {
            assert_eq!(code.as_str().parse(), Ok(code));
        }
        assert_eq!("teapot".parse::<ErrorCode>(), Err(UnknownErrorCode));
    }

    #[test]
    fn an_error_without_description_has_no_such_member() {
        let answer = ErrorResponse::new(ErrorCode::InvalidGrant, "");
        assert_eq!(
            serde_json::to_string(&answer).unwrap(),
            r#"{"error":"invalid_grant"}"#
        );
        assert_eq!(answer.code(), Some(ErrorCode::InvalidGrant));
    }

    #[test]
    fn seconds_are_read_from_numbers_and_strings() {
        let read = |text: &str| {
            serde_json::from_str::<TokenResponse>(&format!(
                r#"{{"access_token":"a","token_type":"bearer"{text}}}"#
            ))
            .map(|answer| answer.expires_in)
            .ok()
        };
        assert_eq!(read(r#","expires_in":86399"#), Some(Some(86_399)));
        assert_eq!(read(r#","expires_in":"3600""#), Some(Some(3600)));
        assert_eq!(read(""), Some(None));
        assert_eq!(read(r#","expires_in":"soon""#), None);
    }

    #[test]
    fn tokens_are_not_printed() {
        let answer = TokenResponse {
            access_token: "secret-a".into(),
            token_type: "bearer".into(),
            expires_in: Some(1),
            id_token: Some("secret-i".into()),
            refresh_token: Some("secret-r".into()),
            scope: None,
            issued_token_type: None,
        };
        assert!(!format!("{answer:?}").contains("secret"));
    }
}
