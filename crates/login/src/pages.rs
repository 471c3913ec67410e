//! Answers: the pages, and the one table from what went wrong to status and words.

use askama::Template;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, EXPIRES, IF_NONE_MATCH, LOCATION,
    REFERRER_POLICY, RETRY_AFTER, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use oidc::id_token::IdTokenFault;
use oidc::wire::ErrorCode;

use crate::flow::attempt::AttemptFault;
use crate::flow::callback::CallbackFault;
use crate::flow::identity::IdentityFault;
use crate::flow::user_info::UserInfoFault;
use crate::issuer::IssuerFault;
use crate::keys::sha256;

const STYLE: &[u8] = include_bytes!("../../../assets/doorward.css");
const LOGO: &[u8] = include_bytes!("../../../assets/logo.svg");

/// An answer in the making.
pub(crate) type Answer = Response<Bytes>;

/// Where to try again, and what the button says.
pub(crate) struct Again {
    /// Path on this host.
    pub(crate) address: String,
    /// What the button says.
    pub(crate) label: &'static str,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    prefix: &'a str,
    host: &'a str,
    target: &'a str,
    choices: Vec<Choice<'a>>,
}

/// An issuer that people may sign in with.
pub(crate) struct Choice<'a> {
    /// What tells it from the others; `None` where there are none.
    pub(crate) name: Option<&'a str>,
    /// What the button says.
    pub(crate) label: &'a str,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    prefix: &'a str,
    what: &'a str,
    turn: &'a str,
    again: Option<Again>,
    request_id: Option<&'a str>,
}

/// The page with a button for each issuer.
pub(crate) fn sign_in(
    status: StatusCode,
    prefix: &str,
    host: &str,
    target: &str,
    choices: Vec<Choice<'_>>,
    issuer_elsewhere: bool,
) -> Answer {
    let page = SignInPage {
        prefix,
        host,
        target,
        choices,
    };
    // Browsers apply `form-action` to every redirect that follows the form, and an issuer elsewhere
    // may send people on to hosts that nobody here can name.
    let form = if issuer_elsewhere {
        "'self' https: http:"
    } else {
        "'self'"
    };
    html(status, &page.render().unwrap_or_default(), form)
}

#[derive(Template)]
#[template(path = "signed_out.html")]
struct SignedOutPage<'a> {
    prefix: &'a str,
    host: &'a str,
    again: Again,
}

/// The page for somebody who signed out.
pub(crate) fn signed_out(prefix: &str, host: &str, again: Again) -> Answer {
    let page = SignedOutPage {
        prefix,
        host,
        again,
    };
    html(StatusCode::OK, &page.render().unwrap_or_default(), "'self'")
}

/// A page about what went wrong.
pub(crate) fn error(
    trouble: Trouble,
    prefix: &str,
    again: Option<Again>,
    headers: &HeaderMap,
) -> Answer {
    let Trouble { status, what, turn } = trouble;
    let request_id = headers.get("x-request-id").and_then(|id| id.to_str().ok());
    let page = ErrorPage {
        prefix,
        what,
        turn,
        again,
        request_id,
    };
    let mut answer = html(status, &page.render().unwrap_or_default(), "'self'");
    if matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE
    ) {
        answer
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    answer
}

/// A page for somebody whom another program does not let in, with its reason.
pub(crate) fn not_allowed(reason: &str, prefix: &str, again: Again, headers: &HeaderMap) -> Answer {
    let Trouble { status, what, turn } = Trouble::NOT_ALLOWED_IN;
    let turn = if reason.is_empty() { turn } else { reason };
    let page = ErrorPage {
        prefix,
        what,
        turn,
        again: Some(again),
        request_id: headers.get("x-request-id").and_then(|id| id.to_str().ok()),
    };
    html(status, &page.render().unwrap_or_default(), "'self'")
}

fn html(status: StatusCode, page: &str, form: &str) -> Answer {
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action {form}; \
         frame-ancestors 'none'; base-uri 'none'"
    );
    let mut answer = text(status, "text/html; charset=utf-8", page.to_owned());
    let headers = answer.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    // The page's address may hold a code or what somebody was looking for.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    uncached(answer)
}

/// Something short.
pub(crate) fn text(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// 401 for scripts.
pub(crate) fn unauthorized_json() -> Answer {
    text(StatusCode::UNAUTHORIZED, "application/json", "{}")
}

/// 302.
pub(crate) fn redirect(location: HeaderValue) -> Answer {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::FOUND;
    answer.headers_mut().insert(LOCATION, location);
    answer
        .headers_mut()
        .insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    uncached(answer)
}

/// The headers that keep an answer out of every cache.
pub(crate) fn uncached(mut answer: Answer) -> Answer {
    let headers = answer.headers_mut();
    let never = HeaderValue::from_static("no-cache, no-store, must-revalidate, max-age=0");
    headers.insert(CACHE_CONTROL, never);
    headers.insert(
        EXPIRES,
        HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 UTC"),
    );
    headers.insert(
        HeaderName::from_static("x-accel-expires"),
        HeaderValue::from_static("0"),
    );
    answer
}

/// Adds `Set-Cookie` headers.
pub(crate) fn with_cookies(
    mut answer: Answer,
    cookies: impl IntoIterator<Item = HeaderValue>,
) -> Answer {
    for cookie in cookies {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
    answer
}

/// A file of `…/static/`, asked for by name.
pub(crate) fn file(name: &str, headers: &HeaderMap) -> Option<Answer> {
    let (kind, body) = match name {
        "doorward.css" => ("text/css; charset=utf-8", STYLE),
        "logo.svg" => ("image/svg+xml", LOGO),
        _ => return None,
    };
    let digest = data_encoding::HEXLOWER.encode(&sha256(&[body])[..12]);
    let tag = HeaderValue::from_str(&format!("\"{digest}\"")).ok()?;
    let known = headers.get(IF_NONE_MATCH).is_some_and(|held| *held == tag);
    let mut answer = match known {
        true => text(StatusCode::NOT_MODIFIED, kind, Bytes::new()),
        false => text(StatusCode::OK, kind, Bytes::from_static(body)),
    };
    answer.headers_mut().insert(ETAG, tag);
    answer
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Some(answer)
}

/// What a page says that nobody wants to see: status, what happened, whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) status: StatusCode,
    pub(crate) what: &'static str,
    pub(crate) turn: &'static str,
}

impl Trouble {
    const fn new(status: StatusCode, what: &'static str, turn: &'static str) -> Self {
        Self { status, what, turn }
    }

    /// No such page.
    pub(crate) const NOT_FOUND: Self = Self::new(
        StatusCode::NOT_FOUND,
        "There is no such page",
        "The address may be mistyped. Start again from the home page.",
    );

    /// A host that cannot be one.
    pub(crate) const BAD_HOST: Self = Self::new(
        StatusCode::BAD_REQUEST,
        "This request names no host",
        "The program that sent it has to say which host it wants.",
    );

    /// Signed in, but not allowed to.
    pub(crate) const NOT_ALLOWED_IN: Self = Self::new(
        StatusCode::FORBIDDEN,
        "Your account may not enter",
        "You signed in, but this site admits other accounts only. Sign in with another one, or ask \
         the people who run this site.",
    );

    /// The session could not be ended.
    pub(crate) const NOT_SIGNED_OUT: Self = Self::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "You may still be signed in",
        "The session store did not answer. This browser has forgotten you, but try again in a \
         moment to be sure.",
    );

    /// The sign-in could not begin because of the issuer.
    pub(crate) fn of_issuer(fault: IssuerFault) -> Self {
        const WHAT: &str = "The sign-in service cannot be used right now";
        match fault {
            IssuerFault::Transport(_) | IssuerFault::TriedJustNow | IssuerFault::Status(_) => {
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    WHAT,
                    "It does not answer. Nothing is wrong with your account: try again in a moment.",
                )
            }
            IssuerFault::BadAddress
            | IssuerFault::Unreadable
            | IssuerFault::AnotherIssuer
            | IssuerFault::ClientKey
            | IssuerFault::NotOffered
            | IssuerFault::TooLarge => Self::new(
                StatusCode::BAD_GATEWAY,
                WHAT,
                "It answers with something else than expected. The people who run this site have to \
                 look at its settings.",
            ),
        }
    }

    /// Why the callback signed nobody in.
    pub(crate) fn of_callback(fault: &CallbackFault) -> Self {
        const AGAIN: &str =
            "Sign in again; if it happens twice, tell the people who run this site.";
        const OPERATOR: &str = "The people who run this site have to look at its settings.";
        let refused = |what, turn| Self::new(StatusCode::FORBIDDEN, what, turn);
        let failed = |what, turn| Self::new(StatusCode::INTERNAL_SERVER_ERROR, what, turn);
        match fault {
            CallbackFault::IssuerRefused(code) => refused(
                match code {
                    Some(ErrorCode::AccessDenied) => "The sign-in was refused: access_denied",
                    Some(ErrorCode::LoginRequired) => "The sign-in was refused: login_required",
                    Some(ErrorCode::InteractionRequired) => {
                        "The sign-in was refused: interaction_required"
                    }
                    Some(ErrorCode::ConsentRequired) => "The sign-in was refused: consent_required",
                    Some(ErrorCode::InvalidScope) => "The sign-in was refused: invalid_scope",
                    Some(ErrorCode::InvalidRequest) => "The sign-in was refused: invalid_request",
                    Some(ErrorCode::UnauthorizedClient) => {
                        "The sign-in was refused: unauthorized_client"
                    }
                    Some(ErrorCode::ServerError) => "The sign-in was refused: server_error",
                    Some(ErrorCode::TemporarilyUnavailable) => {
                        "The sign-in was refused: temporarily_unavailable"
                    }
                    _ => "The sign-in was refused",
                },
                "The sign-in service did not let you through. Try again, or ask those who run it.",
            ),
            CallbackFault::AnotherIssuer => {
                refused("The answer came from another sign-in service", AGAIN)
            }
            CallbackFault::StateMalformed => failed("The sign-in answer is incomplete", AGAIN),
            CallbackFault::Attempt(AttemptFault::TooOld) => refused(
                "The sign-in took too long",
                "A sign-in has to be finished within a quarter of an hour. Sign in again.",
            ),
            CallbackFault::Attempt(AttemptFault::Missing) => refused(
                "This browser did not begin this sign-in",
                "Its cookie is missing. Sign in again, and allow cookies for this site.",
            ),
            CallbackFault::Attempt(AttemptFault::Forged) => {
                refused("This browser did not begin this sign-in", AGAIN)
            }
            CallbackFault::IdToken(IdTokenFault::WrongNonce) => {
                refused("The sign-in answer belongs to another sign-in", AGAIN)
            }
            CallbackFault::NoCode => failed("The sign-in answer is incomplete", AGAIN),
            CallbackFault::Issuer(_) | CallbackFault::UserInfo(UserInfoFault::Issuer(_)) => failed(
                "The sign-in service did not answer",
                "Sign in again in a moment.",
            ),
            CallbackFault::CodeRefused(_) => {
                failed("The sign-in service did not confirm the sign-in", AGAIN)
            }
            CallbackFault::AnswerUnreadable
            | CallbackFault::Unproven(_)
            | CallbackFault::IdToken(_)
            | CallbackFault::AlgorithmRefused
            | CallbackFault::UserInfo(UserInfoFault::AnotherPerson | UserInfoFault::Unproven)
            | CallbackFault::AnotherAccessToken => {
                failed("The sign-in service's answer cannot be trusted", OPERATOR)
            }
            CallbackFault::Identity(IdentityFault::NoEmail | IdentityFault::NoSubject) => failed(
                "The sign-in service did not say who you are",
                "Your account needs an e-mail address there. Ask those who run it.",
            ),
            CallbackFault::Identity(IdentityFault::EmailNotVerified) => refused(
                "Your e-mail address is not verified",
                "Verify it at the sign-in service, then sign in again.",
            ),
            CallbackFault::NotAllowedIn => Self::NOT_ALLOWED_IN,
            CallbackFault::TooLong => failed(
                "You could not be signed in",
                "The sign-in service tells more about you than fits into a cookie. Ask those who run this site.",
            ),
            CallbackFault::StoreUnavailable => failed(
                "You could not be signed in",
                "The session store did not take your session. Sign in again in a moment.",
            ),
        }
    }
}
