//! What a login proxy answers when it is asked to check a request.
//!
//! This is the check that an external authorizer would be called for, made in this process. A
//! proxy behind Envoy sees `Accept` only where the mesh config lists it; here it is always seen,
//! so a script that asks for JSON gets 401 instead of a page.

pub(crate) mod admission;
mod asker;

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderValue, Method};
use model::names::{Duration, Timestamp};
use model::snapshot::{EmailVerified, Login, SkipRule};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::decision::SignInAnswer;
use crate::request::Request;
use crate::session::{Bearer, Identified, IdentityValues, NoSession, Person, Session, Token};
use admission::{admits, admits_to};
use asker::is_script;

/// How far the clock of an issuer may be ahead.
const NOT_BEFORE_LEEWAY: Duration = Duration::from_secs(300);

/// Somebody whom a login proxy knows and lets in.
#[derive(Clone, Debug)]
pub(super) struct Known<'s> {
    /// What headers say.
    pub(super) values: Cow<'s, IdentityValues>,
    /// How the log calls them.
    pub(super) label: Arc<str>,
    /// Who it is.
    pub(super) identified: Identified,
    /// The ID token; of a bearer session the bearer token itself.
    pub(super) token: Option<&'s Arc<Token>>,
    /// The access token.
    pub(super) access_token: Option<Cow<'s, HeaderValue>>,
}

impl<'s> Known<'s> {
    fn person(person: &'s Arc<Person>) -> Self {
        Self {
            values: Cow::Borrowed(person.values()),
            label: person.label().clone(),
            identified: Identified::Person(Arc::clone(person)),
            token: person.token(),
            access_token: person.access_token().map(Cow::Borrowed),
        }
    }
}

/// What the proxy says.
#[derive(Debug)]
pub(super) enum Answer<'s> {
    /// The page is one of its own.
    OwnPage,
    /// No session is needed.
    Exempt(Option<Known<'s>>),
    /// There is a session.
    Session(Known<'s>),
    /// There is one, of somebody who may not enter.
    NotAllowedIn,
    /// There is none.
    NoSession(SignInAnswer, NoSession),
    /// Nobody can say.
    StoreUnavailable,
}

impl Answer<'_> {
    /// A stable word for `explain`.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::OwnPage => "own_page",
            Self::Exempt(_) => "exempt",
            Self::Session(_) => "session",
            Self::NotAllowedIn => "not_allowed_in",
            Self::NoSession(..) => "no_session",
            Self::StoreUnavailable => "store_unavailable",
        }
    }
}

/// Asks `login` about `request`, which has `path` where it asks.
pub(super) fn check<'s>(
    login: &Login,
    path: &str,
    request: &Request<'_>,
    session: &'s Session,
) -> Answer<'s> {
    if is_own_page(login, path) {
        return Answer::OwnPage;
    }
    judge(
        login,
        path,
        is_exempt(login, path, request),
        request,
        session,
    )
}

/// As [`check`], once it is known that the page is not one of its own, and whether it needs a
/// session.
pub(super) fn judge<'s>(
    login: &Login,
    path: &str,
    is_exempt: bool,
    request: &Request<'_>,
    session: &'s Session,
) -> Answer<'s> {
    let now = request.head().now;
    if is_exempt {
        let person = cookie_person(login, session, now).ok();
        let known = person.filter(|person| admits(login, person.email(), person.groups()));
        return Answer::Exempt(known.map(Known::person));
    }
    if let Some(bearer) = bearer_session(login, path, request, session) {
        return bearer;
    }
    match cookie_person(login, session, now) {
        Ok(person)
            if admits(login, person.email(), person.groups())
                && admits_to(
                    login,
                    (request.host(), path),
                    person.email(),
                    person.groups(),
                ) =>
        {
            Answer::Session(Known::person(person))
        }
        Ok(_) => Answer::NotAllowedIn,
        Err(NoSession::StoreUnavailable) => Answer::StoreUnavailable,
        Err(absence) => Answer::NoSession(sign_in(login, request), absence),
    }
}

/// Whom the session cookie stands for, where no login proxy has to be asked.
pub(super) fn known_without_check<'s>(
    logins: &[Arc<Login>],
    session: &'s Session,
    now: Timestamp,
) -> Option<Known<'s>> {
    // A token of the client's own is another identity; two in one request would be a riddle.
    let Bearer::None = session.bearer else {
        return None;
    };
    let person = session.person.as_ref().ok()?;
    let login = logins.iter().find(|login| is_of(login, person))?;
    let person = cookie_person(login, session, now).ok()?;
    admits(login, person.email(), person.groups()).then(|| Known::person(person))
}

fn cookie_person<'s>(
    login: &Login,
    session: &'s Session,
    now: Timestamp,
) -> Result<&'s Arc<Person>, NoSession> {
    match &session.person {
        Ok(person) if !is_of(login, person) => Err(NoSession::Unknown),
        Ok(person) if person.expires() <= now => Err(NoSession::Expired),
        Ok(person) => Ok(person),
        Err(absence) => Err(*absence),
    }
}

/// Whether `person` signed in through `login`: [`Login::key`] without making it.
fn is_of(login: &Login, person: &Person) -> bool {
    let (namespace, name) = (&*login.object.namespace, &*login.object.name);
    person
        .login()
        .strip_prefix(namespace)
        .and_then(|rest| rest.strip_prefix('/'))
        .is_some_and(|rest| rest == name)
}

/// Pages below the prefix.
pub(super) const PAGES: [&str; 9] = [
    "start",
    "callback",
    "sign_in",
    "sign_out",
    "signed_out",
    "backchannel_logout",
    "frontchannel_logout",
    "auth",
    "userinfo",
];

fn is_own_page(login: &Login, path: &str) -> bool {
    if login.logout_path.as_deref() == Some(path) {
        return true;
    }
    let below = path
        .strip_prefix(&*login.prefix)
        .and_then(|rest| rest.strip_prefix('/'));
    match below {
        // Without a prefix of its own, only what it is known to answer is its own.
        Some(page) if login.prefix.is_empty() => {
            PAGES.contains(&page) || page.starts_with("static/") || page.starts_with("callback/")
        }
        Some(_) => true,
        None => false,
    }
}

pub(super) fn is_exempt(login: &Login, path: &str, request: &Request<'_>) -> bool {
    if login.skip_preflight && *request.head().method == Method::OPTIONS {
        return true;
    }
    if login.skip_routes.is_empty() {
        return false;
    }
    // Rules see the decoded path and routes do not, so a path that hides a separator would be
    // read in two ways: it is never exempt.
    let Ok(decoded) = percent_decode_str(path).decode_utf8() else {
        return false;
    };
    let separators = |text: &str| text.matches(['/', '\\', '#', '?']).count();
    if separators(&decoded) != separators(path) {
        return false;
    }
    login.skip_routes.iter().any(|rule| {
        let SkipRule {
            method,
            path,
            negate,
        } = rule;
        method
            .as_ref()
            .is_none_or(|method| **method == *request.head().method.as_str())
            && path.is_match(&decoded) != *negate
    })
}

fn sign_in(login: &Login, request: &Request<'_>) -> SignInAnswer {
    let is_api = || {
        !login.api_routes.is_empty() && {
            let target = request.path_and_query();
            login
                .api_routes
                .iter()
                .any(|pattern| pattern.is_match(&target))
        }
    };
    let headers = request.head().headers;
    if login.force_json_errors || is_script(headers) || is_api() {
        SignInAnswer::Unauthorized
    } else if login.skip_provider_button
        && !asker::is_submission(request.head().method, headers)
        && login.others.is_empty()
    {
        SignInAnswer::Redirect
    } else {
        SignInAnswer::Page
    }
}

/// The session that a bearer token is, where the proxy takes one; `None` goes on to the cookie.
pub(super) fn bearer_session<'s>(
    login: &Login,
    path: &str,
    request: &Request<'_>,
    session: &'s Session,
) -> Option<Answer<'s>> {
    if !login.skip_jwt_bearer_tokens {
        return None;
    }
    let Bearer::Valid(token) = &session.bearer else {
        return None;
    };
    let head = request.head();
    let mut sent = head.headers.get_all(login.bearer_header()).iter();
    let is_sent = sent.next() == Some(token.bearer()) && sent.next().is_none();
    let is_now = token.expires().is_some_and(|expires| expires > head.now)
        && token
            .not_before()
            .is_none_or(|start| start.minus(NOT_BEFORE_LEEWAY) <= head.now);
    let own = login.choices().find(|choice| {
        let mut audiences = choice.extra_audiences.iter();
        *choice.issuer == *token.issuer()
            && (token.has_audience(&choice.client_id)
                || audiences.any(|audience| token.has_audience(audience)))
    });
    let is_extra = || {
        login
            .extra_issuers
            .iter()
            .any(|extra| *extra.issuer == *token.issuer() && token.has_audience(&extra.audience))
    };
    if !is_sent || !is_now || !(own.is_some() || is_extra()) {
        return None;
    }
    let (email_claim, groups_claim, name_claim, verified) = match own {
        Some(own) => (
            &*own.email_claim,
            &*own.groups_claim,
            &*own.preferred_username_claim,
            own.email_verified,
        ),
        None => (
            "email",
            "groups",
            "preferred_username",
            EmailVerified::NotDenied,
        ),
    };
    // Another claim than `email` is not what `email_verified` speaks of.
    let counts = match verified {
        EmailVerified::Any => true,
        EmailVerified::NotDenied => email_claim != "email" || !is_unverified(token),
        EmailVerified::Required => email_claim != "email" || is_verified(token),
    };
    if !counts {
        return None;
    }
    let text = |name: &str| {
        token
            .claim(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let email = text(email_claim).unwrap_or(token.subject());
    let groups = token.claim(groups_claim).map(texts).unwrap_or_default();
    let place = (request.host(), path);
    if !admits(login, Some(email), &groups) || !admits_to(login, place, Some(email), &groups) {
        return Some(Answer::NotAllowedIn);
    }
    let values = IdentityValues::new(
        token.subject(),
        Some(email),
        groups.iter().map(|group| &**group),
        text(name_claim),
    );
    let access_token = HeaderValue::from_bytes(token.compact())
        .ok()
        .map(|mut value| {
            value.set_sensitive(true);
            Cow::Owned(value)
        });
    Some(Answer::Session(Known {
        values: Cow::Owned(values),
        label: email.into(),
        identified: Identified::Bearer(Arc::clone(token)),
        token: Some(token),
        access_token,
    }))
}

fn is_unverified(token: &Token) -> bool {
    match token.claims().get("email_verified") {
        Some(Value::Bool(verified)) => !verified,
        Some(Value::String(verified)) => verified != "true",
        _ => false,
    }
}

fn is_verified(token: &Token) -> bool {
    match token.claims().get("email_verified") {
        Some(Value::Bool(verified)) => *verified,
        Some(Value::String(verified)) => verified == "true",
        _ => false,
    }
}

/// A string, or the members of a list; members that are no strings as JSON.
fn texts(value: &Value) -> Vec<Cow<'_, str>> {
    match value {
        Value::String(one) => vec![Cow::Borrowed(&**one)],
        Value::Array(many) => many
            .iter()
            .map(|one| match one {
                Value::String(text) => Cow::Borrowed(&**text),
                other => Cow::Owned(other.to_string()),
            })
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
