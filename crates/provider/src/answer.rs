//! From refusals and results to HTTP: the only place with status codes of refusals.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use model::snapshot::Provider as Settings;
use oidc::wire::{ErrorCode, ErrorResponse};
use serde::Serialize;

use crate::authorize::{Delivery, OUT_OF_BAND, ResponseMode, in_fragment, location};
use crate::endpoints::form_targets;
use crate::form::FormFault;
use crate::pages;
use crate::refusal::{BearerFault, PageFault, Refusal, TokenFault};

/// Seconds after which what passes by itself may have passed.
const SOON: &str = "10";

/// How an endpoint speaks to its callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    /// To people.
    Pages,
    /// To programs.
    Json,
}

/// The answer to a refused request.
pub(crate) fn refuse(
    settings: &Settings,
    language: Language,
    refusal: Refusal,
    request_id: &str,
) -> Response<Bytes> {
    match refusal {
        Refusal::Page(fault) => page_fault(settings, fault, request_id),
        Refusal::Client { delivery, code, .. } if delivery.redirect == OUT_OF_BAND => {
            page_fault(settings, PageFault::OutOfBand(code), request_id)
        }
        Refusal::Client {
            delivery,
            code,
            reason,
        } => deliver(
            settings,
            &delivery,
            &[
                ("state", delivery.state.clone()),
                ("error", code.as_str().to_owned()),
                ("error_description", reason.to_owned()),
            ],
        ),
        Refusal::Token(fault) => token_fault(fault),
        Refusal::Bearer(fault) => bearer_fault(fault),
        Refusal::Store(error) => {
            tracing::error!(%error, request_id, "the provider's storage failed");
            match language {
                Language::Pages if error.is_outage() => {
                    page_fault(settings, PageFault::Away, request_id)
                }
                Language::Pages => page_fault(settings, PageFault::Broken, request_id),
                Language::Json if error.is_outage() => {
                    // RFC 6749 has this code for the authorization endpoint only.
                    let mut response = json_error(
                        StatusCode::SERVICE_UNAVAILABLE,
                        ErrorCode::TemporarilyUnavailable,
                        "the provider's storage does not answer at this moment",
                    );
                    let soon = HeaderValue::from_static(SOON);
                    response.headers_mut().insert(header::RETRY_AFTER, soon);
                    response
                }
                Language::Json => json_error(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    ErrorCode::ServerError,
                    "the provider's storage failed",
                ),
            }
        }
    }
}

/// Sends an answer to a client the way that it asked for, with who answers (RFC 9207).
pub(crate) fn deliver(
    settings: &Settings,
    delivery: &Delivery,
    parameters: &[(&'static str, String)],
) -> Response<Bytes> {
    let parameters: Vec<(&str, &str)> = parameters
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .chain([("iss", &*settings.issuer)])
        .collect();
    let target = &delivery.redirect;
    match delivery.mode {
        ResponseMode::Query => redirect_to(StatusCode::SEE_OTHER, &location(target, &parameters)),
        ResponseMode::Fragment => {
            redirect_to(StatusCode::SEE_OTHER, &in_fragment(target, &parameters))
        }
        ResponseMode::FormPost => {
            let html = pages::form_post(settings, target, &parameters);
            let scripts = "script-src 'self'; ";
            page_with(StatusCode::OK, html, &form_targets(target), scripts)
        }
    }
}

fn page_fault(settings: &Settings, fault: PageFault, request_id: &str) -> Response<Bytes> {
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    const BROKEN: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;
    const AGAIN: &str = "Go back to the application and sign in again.";
    const CLIENT: &str = "Tell the people who run the application.";
    const OPERATOR: &str = "Try again later, or tell the people who run this site.";
    let (status, what, next) = match fault {
        PageFault::NotHere => (
            StatusCode::NOT_FOUND,
            "There is nothing at this address.",
            AGAIN,
        ),
        PageFault::WrongMethod => (BAD, "This address cannot be used that way.", AGAIN),
        PageFault::Form(FormFault::Repeated) => {
            (BAD, "A parameter of the request is there twice.", CLIENT)
        }
        PageFault::Form(_) => (BAD, "The request cannot be read.", CLIENT),
        PageFault::UnknownClient => (
            StatusCode::NOT_FOUND,
            "The application is not known here.",
            CLIENT,
        ),
        PageFault::UnregisteredRedirect => (
            BAD,
            "The application wants an answer at an address that is not registered.",
            CLIENT,
        ),
        PageFault::UnknownConnector => (BAD, "There is no such way to sign in.", AGAIN),
        PageFault::ForbiddenConnector => (
            StatusCode::FORBIDDEN,
            "The application does not take this way to sign in.",
            AGAIN,
        ),
        PageFault::WrongHint => (
            BAD,
            "The application's request to sign out cannot be trusted.",
            CLIENT,
        ),
        PageFault::UnknownRequest => (
            BAD,
            "The application's request is unknown or too old.",
            AGAIN,
        ),
        PageFault::NoUserCode => (
            BAD,
            "The code is missing.",
            "Type the code that the device shows.",
        ),
        PageFault::DeviceDenied => (
            BAD,
            "The device was not let in.",
            "Nothing more is to be done here.",
        ),
        PageFault::UpstreamRefused => (
            StatusCode::FORBIDDEN,
            "The sign-in was refused where you were sent for it.",
            AGAIN,
        ),
        PageFault::UpstreamFailed => (
            StatusCode::BAD_GATEWAY,
            "Where you sign in cannot be reached or understood.",
            OPERATOR,
        ),
        PageFault::NotAMember => (
            StatusCode::FORBIDDEN,
            "Your account is in no group that is let in here.",
            OPERATOR,
        ),
        PageFault::NoState => (BAD, "This sign-in did not begin here.", AGAIN),
        PageFault::Expired => (BAD, "This sign-in took too long.", AGAIN),
        PageFault::AlreadyAnswered => (BAD, "This sign-in is already finished.", AGAIN),
        PageFault::WrongConnector => (BAD, "This sign-in began in another way.", AGAIN),
        PageFault::Unproven => (
            StatusCode::UNAUTHORIZED,
            "Nobody has signed in for this page.",
            AGAIN,
        ),
        PageFault::NoDecision => (BAD, "The answer says neither yes nor no.", AGAIN),
        PageFault::OutOfBand(_) => (BAD, "The application's request cannot be granted.", CLIENT),
        PageFault::UnusableHash => (BROKEN, "This account cannot sign in at present.", OPERATOR),
        PageFault::AccountChanged => (BAD, "This account has changed meanwhile.", AGAIN),
        PageFault::Busy => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many people are signing in.",
            OPERATOR,
        ),
        PageFault::Away => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Signing in is not possible at this moment.",
            OPERATOR,
        ),
        PageFault::Broken => (BROKEN, "Something is broken here.", OPERATOR),
    };
    if fault == PageFault::UnusableHash {
        tracing::error!(
            request_id,
            "a configured password hash is neither argon2id nor bcrypt of cost 10 to 16"
        );
    }
    let code = match fault {
        PageFault::OutOfBand(code) => code.as_str(),
        _ => "",
    };
    let words = pages::Fault {
        status: status.as_u16(),
        what,
        next,
        code,
        request_id,
    };
    let mut response = page(status, pages::fault(settings, &words), "'none'");
    if matches!(fault, PageFault::Busy | PageFault::Away) {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static(SOON));
    }
    response
}

fn token_fault(fault: TokenFault) -> Response<Bytes> {
    use ErrorCode as E;
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    let (status, code, description) = match fault {
        TokenFault::NotPost => (BAD, E::InvalidRequest, "the method must be POST"),
        TokenFault::Form(FormFault::Repeated) => {
            (BAD, E::InvalidRequest, "a parameter is there twice")
        }
        TokenFault::Form(_) => (BAD, E::InvalidRequest, "the body is not a form"),
        TokenFault::NoGrantType => (BAD, E::InvalidRequest, "`grant_type` is missing"),
        TokenFault::UnsupportedGrantType => (
            BAD,
            E::UnsupportedGrantType,
            "the grant type is not offered",
        ),
        TokenFault::UnreadableBasic => (
            BAD,
            E::InvalidRequest,
            "the Basic credentials cannot be read",
        ),
        TokenFault::WrongClient { .. } => (
            StatusCode::UNAUTHORIZED,
            E::InvalidClient,
            "unknown client or wrong secret",
        ),
        TokenFault::TwoProofs => (
            BAD,
            E::InvalidRequest,
            "the client proves who it is in two ways",
        ),
        TokenFault::AssertionType => (
            BAD,
            E::InvalidRequest,
            "the type of the client assertion is unknown",
        ),
        TokenFault::ForbiddenGrant => (
            BAD,
            E::UnauthorizedClient,
            "the client may not use this grant type",
        ),
        TokenFault::NoCode => (BAD, E::InvalidRequest, "`code` is missing"),
        TokenFault::UnknownCode => (
            BAD,
            E::InvalidGrant,
            "the code is unknown, used, expired or not this client's",
        ),
        TokenFault::WrongRedirect => (
            BAD,
            E::InvalidGrant,
            "`redirect_uri` is not the one of the authorization request",
        ),
        TokenFault::UnaskedVerifier => (
            BAD,
            E::InvalidRequest,
            "there was no code challenge to verify",
        ),
        TokenFault::WrongVerifier => (
            BAD,
            E::InvalidGrant,
            "`code_verifier` does not match the code challenge",
        ),
        TokenFault::Push(code, reason) => (BAD, code, reason),
        TokenFault::Proof => (
            BAD,
            E::InvalidDpopProof,
            "the proof of possession is missing, wrong or used",
        ),
        TokenFault::WrongScope => (BAD, E::InvalidScope, "a scope is not given by this grant"),
        TokenFault::NoSubjectToken => (BAD, E::InvalidRequest, "`subject_token` is missing"),
        TokenFault::SubjectTokenType => (
            BAD,
            E::InvalidRequest,
            "the type of the token is not one that is exchanged",
        ),
        TokenFault::ActorToken => (BAD, E::InvalidRequest, "delegation is not offered"),
        TokenFault::ForeignSubject => (
            BAD,
            E::InvalidRequest,
            "the subject's token is not good, or not for this client",
        ),
        TokenFault::UntrustingAudience => (
            BAD,
            E::InvalidTarget,
            "the audience does not trust the client",
        ),
        TokenFault::ConnectorVerifiesNothing => (
            BAD,
            E::InvalidRequest,
            "the connector verifies no tokens of others",
        ),
        TokenFault::NoDeviceCode => (BAD, E::InvalidRequest, "`device_code` is missing"),
        TokenFault::UnknownDeviceCode => (
            BAD,
            E::InvalidGrant,
            "the device code is unknown, used or another client's",
        ),
        TokenFault::DeviceExpired => (BAD, E::ExpiredToken, "the person took too long"),
        TokenFault::DeviceDenied => (BAD, E::AccessDenied, "the person did not agree"),
        TokenFault::DeviceTooSoon => (BAD, E::SlowDown, "ask less often"),
        TokenFault::DevicePending => (
            BAD,
            E::AuthorizationPending,
            "the person has not decided yet",
        ),
        TokenFault::ChallengeMethod => (
            BAD,
            E::InvalidRequest,
            "the code challenge method is unknown",
        ),
        TokenFault::WrongKey => (BAD, E::InvalidGrant, "the grant is bound to another key"),
        TokenFault::NoToken => (BAD, E::InvalidRequest, "`token` is missing"),
        TokenFault::NoRefreshToken => (BAD, E::InvalidRequest, "`refresh_token` is missing"),
        TokenFault::UnknownRefreshToken => (
            BAD,
            E::InvalidGrant,
            "the refresh token is unknown, used, expired or not this client's",
        ),
        TokenFault::Upstream => (
            StatusCode::SERVICE_UNAVAILABLE,
            E::TemporarilyUnavailable,
            "whether the person may still sign in cannot be found out now",
        ),
        TokenFault::WiderScope => (
            BAD,
            E::InvalidScope,
            "`scope` asks for more than was granted",
        ),
    };
    let mut response = json_error(status, code, description);
    if fault == (TokenFault::WrongClient { basic: true }) {
        let challenge = HeaderValue::from_static("Basic realm=\"token\"");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

fn bearer_fault(fault: BearerFault) -> Response<Bytes> {
    // RFC 6750 §3: no error code when there was no token.
    let (code, challenge) = match fault {
        BearerFault::Missing => (ErrorCode::AccessDenied, "Bearer"),
        BearerFault::Invalid => (ErrorCode::InvalidToken, "Bearer error=\"invalid_token\""),
    };
    let mut response = json_error(
        StatusCode::UNAUTHORIZED,
        code,
        "a valid bearer token is needed",
    );
    response.headers_mut().insert(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static(challenge),
    );
    response
}

fn json_error(status: StatusCode, code: ErrorCode, description: &str) -> Response<Bytes> {
    let mut response = secret_json(&ErrorResponse::new(code, description));
    *response.status_mut() = status;
    response
}

/// JSON that nobody may keep (RFC 6749 §5.1).
pub(crate) fn secret_json(value: &impl Serialize) -> Response<Bytes> {
    let mut response = json(value);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// JSON for people to read, too.
pub(crate) fn json(value: &impl Serialize) -> Response<Bytes> {
    match serde_json::to_vec_pretty(value) {
        Ok(body) => with_type(StatusCode::OK, "application/json", body.into()),
        Err(_) => with_type(
            StatusCode::INTERNAL_SERVER_ERROR,
            "application/json",
            Bytes::new(),
        ),
    }
}

/// A page. `form_targets` says where its forms may lead, redirects included.
pub(crate) fn page(
    status: StatusCode,
    html: Result<String, askama::Error>,
    form_targets: &str,
) -> Response<Bytes> {
    page_with(status, html, form_targets, "")
}

/// A page with further directives of its content policy.
pub(crate) fn page_with(
    status: StatusCode,
    html: Result<String, askama::Error>,
    form_targets: &str,
    further: &str,
) -> Response<Bytes> {
    let Ok(html) = html else {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        return with_type(
            status,
            "text/plain; charset=utf-8",
            Bytes::from_static(b"broken page\n"),
        );
    };
    let mut response = with_type(status, "text/html; charset=utf-8", html.into());
    let headers = response.headers_mut();
    let policy = format!(
        "default-src 'none'; {further}style-src 'self'; img-src 'self' data:; form-action {form_targets}; \
         frame-ancestors 'none'; base-uri 'none'"
    );
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The address carries state that is nobody else's business.
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

/// Anything else with a body.
pub(crate) fn with_type(
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// Sends the browser elsewhere.
pub(crate) fn redirect_to(status: StatusCode, location: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    match HeaderValue::try_from(location) {
        Ok(location) => {
            headers.insert(header::LOCATION, location);
        }
        // A registered address that no header can carry.
        Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    response
}
