//! AuthService: every request is a check, but for the callback and the sign-out.

use std::sync::Arc;

use http::header::COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use model::snapshot::{AuthService, HeaderEdits};
use percent_encoding::percent_decode_str;

use super::paths::{cleaned, with_query};
use super::{Asked, End, answer, leave, own_page, redirect, refuse, say, tell};
use crate::decide::login::{self, Answer, Known};
use crate::decision::{Consent, DefaultReason, Outcome, Refusal, Serve, Served, SignInAnswer};
use crate::recorder::Recorder;
use crate::session::{Bearer, Identified, NoSession, header_value};

pub(super) fn decide(service: &AuthService, asked: &Asked<'_>, recorder: &mut Recorder<'_>) -> End {
    let Asked {
        login,
        request,
        session,
    } = *asked;
    let path = request.path();
    if let Some(clean) = cleaned(path) {
        return redirect(with_query(&clean, request.query()), 301);
    }
    let method = request.head().method;
    if *path == *service.callback && *method == Method::GET {
        return own_page();
    }
    if is_sign_out(service, method, path) || is_static(service, path) {
        return own_page();
    }
    let verifies = is_below(&service.verify, path);
    if !verifies && is_skipped(service, path) {
        return (leave(&service.skip, None), DefaultReason::LoginCheck);
    }
    // One that is its issuer's and for this service, and bad all the same.
    if let Bearer::Invalid(_) = session.bearer {
        return tell(SignInAnswer::Plain, NoSession::Unknown);
    }
    let checked = login::judge(login, path, false, request, session);
    say(recorder, login, &checked);
    match checked {
        Answer::Session(known) => {
            let told = Some(told(service, asked, &known));
            let outcome = match (&service.authorizer, verifies) {
                (Some(url), _) => consent(service, url, verifies, asked, &known, told),
                (None, true) => answer(&service.verified, told),
                (None, false) => leave(&service.pass, told),
            };
            (outcome, DefaultReason::LoginCheck)
        }
        Answer::StoreUnavailable => refuse(Refusal::StoreUnavailable),
        Answer::NoSession(_, absence) if verifies => tell(SignInAnswer::Plain, absence),
        Answer::NoSession(_, absence) => tell(SignInAnswer::Redirect, absence),
        Answer::NotAllowedIn | Answer::OwnPage | Answer::Exempt(_) => {
            tell(SignInAnswer::NotAllowedIn, NoSession::Unknown)
        }
    }
}

/// `POST`; the oldest generation had `GET /logout`.
fn is_sign_out(service: &AuthService, method: &Method, path: &str) -> bool {
    service.sign_outs.iter().any(|sign_out| {
        *sign_out.path == *path
            && (*method == Method::POST || sign_out.by_get && *method == Method::GET)
    })
}

/// A file that pages load. It is answered within the check, as the pages are.
fn is_static(service: &AuthService, path: &str) -> bool {
    path.strip_prefix(&*service.prefix)
        .is_some_and(|rest| rest.starts_with("/static/"))
}

/// The path itself, or something below it: `/dex` does not stand for `/dexter`, as it did in the
/// original.
fn is_below(prefix: &str, path: &str) -> bool {
    let bare = prefix.strip_suffix('/').unwrap_or(prefix);
    path.strip_prefix(bare)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path that hides a separator would be read in two ways: it is never skipped.
fn is_skipped(service: &AuthService, path: &str) -> bool {
    let Ok(decoded) = percent_decode_str(path).decode_utf8() else {
        return false;
    };
    let separators = |text: &str| text.matches(['/', '\\', '#', '?']).count();
    if separators(&decoded) != separators(path) || cleaned(&decoded).is_some() {
        return false;
    }
    let mut prefixes = service.skipped.iter().chain([&service.prefix]);
    prefixes.any(|prefix| is_below(prefix, path))
}

/// The question to the authorizer that has to agree.
fn consent(
    service: &AuthService,
    url: &Arc<str>,
    verifies: bool,
    asked: &Asked<'_>,
    known: &Known<'_>,
    told: Option<HeaderEdits>,
) -> Outcome {
    let request = asked.request;
    let (host, authority) = (request.host(), request.authority());
    let port = authority.get(host.len()..).unwrap_or_default();
    let route = match verifies {
        true => &service.verified,
        false => &service.pass,
    };
    let user = known.values.email.as_ref().or(known.values.user.as_ref());
    let user = user.map(|user| String::from_utf8_lossy(user.as_bytes()));
    let claims = known.token.map(|token| token.claims().clone());
    let what = Served::Consent(Box::new(Consent {
        url: Arc::clone(url),
        route: Arc::clone(route),
        user: user.unwrap_or_default().into(),
        groups: known
            .identified
            .groups()
            .into_iter()
            .map(Box::from)
            .collect(),
        method_of_proof: method_of_proof(asked, known),
        claims: claims.unwrap_or_default(),
        host: host.into(),
        port: port.trim_start_matches(':').into(),
        path: request.path().into(),
        method: request.head().method.as_str().into(),
    }));
    Outcome::Serve(Serve {
        edits: told.into_iter().collect(),
        ..Serve::plain(what, None)
    })
}

/// A session may be named by a header, too.
fn method_of_proof(asked: &Asked<'_>, known: &Known<'_>) -> &'static str {
    let headers = asked.request.head().headers;
    match known.identified {
        Identified::Person(_) if has_cookie(headers, &asked.login.cookie_name) => "cookie",
        Identified::Person(_) | Identified::Bearer(_) => "header",
    }
}

fn told(service: &AuthService, asked: &Asked<'_>, known: &Known<'_>) -> HeaderEdits {
    let mut set: Vec<(HeaderName, HeaderValue)> = Vec::new();
    let values = &*known.values;
    let user = values.email.as_ref().or(values.user.as_ref());
    let user = user
        .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
        .unwrap_or_default();
    let user = format!("{}{}", service.user_prefix, transformed(service, user));
    set.extend(header_value(&user).map(|user| (service.user_header.clone(), user)));
    // Always, so that it replaces one that the client sent.
    let none = HeaderValue::from_static("");
    let groups = values.groups.clone().unwrap_or(none);
    set.push((service.groups_header.clone(), groups));
    let method = HeaderValue::from_static(method_of_proof(asked, known));
    set.push((service.method_header.clone(), method));
    if let (Some(name), Some(token)) = (&service.token_header, known.token) {
        let value = HeaderValue::from_bytes(token.compact()).ok();
        set.extend(value.map(|mut value| {
            value.set_sensitive(true);
            (name.clone(), value)
        }));
    }
    HeaderEdits {
        set,
        ..HeaderEdits::default()
    }
}

fn has_cookie(headers: &HeaderMap, wanted: &str) -> bool {
    let mut pairs = headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|header| header.as_bytes().split(|byte| *byte == b';'));
    pairs.any(|pair| {
        let rest = pair.trim_ascii().strip_prefix(wanted.as_bytes());
        rest.is_some_and(|rest| rest.trim_ascii_start().starts_with(b"="))
    })
}

fn transformed(service: &AuthService, user: &str) -> String {
    let mut transformers = service.transformers.iter();
    let found = transformers.find(|one| one.matches.is_match(user));
    found.map_or_else(
        || user.to_owned(),
        |one| one.matches.replace_all(user, &one.replaces),
    )
}
