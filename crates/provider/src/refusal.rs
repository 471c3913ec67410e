//! Every way in which a request is not served. What a variant looks like on the wire stands in
//! `answer`.

use oidc::wire::ErrorCode;

use crate::authorize::{CheckFault, Delivery};
use crate::form::FormFault;
use crate::passwords::PasswordFault;
use crate::sealed::NotOurs;
use crate::storage::StoreError;
use crate::users::CheckTrouble;

/// Why a request is not served.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Told to the person at the browser.
    Page(PageFault),
    /// Told to the client, through the browser.
    Client {
        delivery: Delivery,
        code: ErrorCode,
        reason: &'static str,
    },
    /// Told to the client at the token endpoint.
    Token(TokenFault),
    /// Told to the bearer of an access token.
    Bearer(BearerFault),
    /// Ours: the storage failed.
    Store(StoreError),
}

/// What a person is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageFault {
    /// There is nothing at this address.
    NotHere,
    /// The endpoint does not take this method.
    WrongMethod,
    /// Query or body cannot be read.
    Form(FormFault),
    /// `client_id` names no client.
    UnknownClient,
    /// `redirect_uri` is not the client's.
    UnregisteredRedirect,
    /// There is no such way to sign in.
    UnknownConnector,
    /// The client does not let people sign in this way.
    ForbiddenConnector,
    /// The hint of a sign-out is no token of ours, or another client's.
    WrongHint,
    /// A pushed request that is unknown or too old.
    UnknownRequest,
    /// The form for a device came without its code.
    NoUserCode,
    /// The person did not let the device in.
    DeviceDenied,
    /// The upstream refused to sign the person in.
    UpstreamRefused,
    /// The upstream cannot be reached, or cannot be understood.
    UpstreamFailed,
    /// The person is in no group that is let in.
    NotAMember,
    /// The state is missing or was not made here.
    NoState,
    /// The request is too old.
    Expired,
    /// The request has had its answer.
    AlreadyAnswered,
    /// The state belongs to another way to sign in.
    WrongConnector,
    /// The approval page was called without proof of a sign-in.
    Unproven,
    /// The approval form came without a decision.
    NoDecision,
    /// An error for a client that has no address.
    OutOfBand(ErrorCode),
    /// A configured password hash cannot be used.
    UnusableHash,
    /// The account was changed or removed while its password was.
    AccountChanged,
    /// Too many people are signing in.
    Busy,
    /// The storage is not there at this moment.
    Away,
    /// Something of ours is broken; the log knows.
    Broken,
}

/// What a client is told at the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenFault {
    /// Not a POST.
    NotPost,
    /// The body cannot be read.
    Form(FormFault),
    /// No `grant_type`.
    NoGrantType,
    /// A grant type that is not offered.
    UnsupportedGrantType,
    /// The Basic header cannot be read.
    UnreadableBasic,
    /// Unknown client or wrong secret.
    WrongClient {
        /// The client spoke through the Basic header, so the answer must name that scheme.
        basic: bool,
    },
    /// Two proofs of who the client is (RFC 6749 §2.3).
    TwoProofs,
    /// A `client_assertion_type` that is unknown.
    AssertionType,
    /// The client may not use this grant.
    ForbiddenGrant,
    /// No `code`.
    NoCode,
    /// Unknown, spent, expired or another client's code.
    UnknownCode,
    /// `redirect_uri` is not the one of the request.
    WrongRedirect,
    /// `code_verifier` for a request without challenge.
    UnaskedVerifier,
    /// `code_verifier` is missing or does not match.
    WrongVerifier,
    /// A pushed request is not good.
    Push(ErrorCode, &'static str),
    /// The proof of possession is missing, wrong or used (RFC 9449 §5).
    Proof,
    /// A scope that this grant does not give, or an audience that does not trust the client.
    WrongScope,
    /// No `subject_token`.
    NoSubjectToken,
    /// A type of token that cannot be exchanged or issued.
    SubjectTokenType,
    /// Delegation is not offered.
    ActorToken,
    /// The subject's token is not good, or not for this client.
    ForeignSubject,
    /// The audience does not trust the client (RFC 8693 §2.2.2).
    UntrustingAudience,
    /// A connector that verifies no foreign tokens.
    ConnectorVerifiesNothing,
    /// No `device_code`.
    NoDeviceCode,
    /// Unknown, used or another client's device code.
    UnknownDeviceCode,
    /// The person took too long.
    DeviceExpired,
    /// The person did not let the device in.
    DeviceDenied,
    /// The device asks too often.
    DeviceTooSoon,
    /// The person has not decided yet.
    DevicePending,
    /// A code challenge method that is unknown.
    ChallengeMethod,
    /// Another key than the one that the grant is bound to (RFC 9449).
    WrongKey,
    /// No `token`.
    NoToken,
    /// No `refresh_token`.
    NoRefreshToken,
    /// Unknown, used, expired or another client's refresh token, or its person is gone.
    UnknownRefreshToken,
    /// `scope` asks for more than was granted.
    WiderScope,
    /// Whether the person may still sign in cannot be found out now.
    Upstream,
}

/// What the bearer of an access token is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BearerFault {
    /// No token.
    Missing,
    /// Not a token of ours, or expired.
    Invalid,
}

impl From<PageFault> for Refusal {
    fn from(fault: PageFault) -> Self {
        Self::Page(fault)
    }
}

impl From<TokenFault> for Refusal {
    fn from(fault: TokenFault) -> Self {
        Self::Token(fault)
    }
}

impl From<BearerFault> for Refusal {
    fn from(fault: BearerFault) -> Self {
        Self::Bearer(fault)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<CheckTrouble> for Refusal {
    fn from(trouble: CheckTrouble) -> Self {
        match trouble {
            CheckTrouble::Password(fault) => Self::Page(fault.into()),
            CheckTrouble::Store(error) => Self::Store(error),
        }
    }
}

impl From<CheckFault> for Refusal {
    fn from(fault: CheckFault) -> Self {
        match fault {
            CheckFault::UnregisteredRedirect => Self::Page(PageFault::UnregisteredRedirect),
            CheckFault::Redirected {
                delivery,
                code,
                reason,
            } => Self::Client {
                delivery,
                code,
                reason,
            },
        }
    }
}

impl From<FormFault> for PageFault {
    fn from(fault: FormFault) -> Self {
        Self::Form(fault)
    }
}

impl From<FormFault> for TokenFault {
    fn from(fault: FormFault) -> Self {
        Self::Form(fault)
    }
}

impl From<PasswordFault> for PageFault {
    fn from(fault: PasswordFault) -> Self {
        match fault {
            PasswordFault::UnusableHash => Self::UnusableHash,
            PasswordFault::Busy => Self::Busy,
        }
    }
}

/// State that does not open is state that is not there.
impl From<NotOurs> for PageFault {
    fn from(_: NotOurs) -> Self {
        Self::NoState
    }
}
