//! CUSTOM policies: which authorizers are asked, and what follows from their answers.

use std::sync::Arc;

use http::HeaderName;
use http::header::AUTHORIZATION;
use model::Snapshot;
use model::snapshot::{Action, Authorizer, AuthorizerKind, Policy};

use super::End;
use super::changes::Changes;
use super::login::{self, Answer, Known};
use crate::authorization::{self, View};
use crate::decision::{
    DefaultReason, Outcome, Reason, Refusal, Serve, Served, SignIn, Stage, Step,
};
use crate::recorder::Recorder;
use crate::request::Request;
use crate::session::Session;

pub(super) static USER: HeaderName = HeaderName::from_static("x-auth-request-user");
pub(super) static EMAIL: HeaderName = HeaderName::from_static("x-auth-request-email");
pub(super) static GROUPS: HeaderName = HeaderName::from_static("x-auth-request-groups");
pub(super) static PREFERRED: HeaderName =
    HeaderName::from_static("x-auth-request-preferred-username");
pub(super) static ACCESS_TOKEN: HeaderName = HeaderName::from_static("x-auth-request-access-token");
pub(super) static GAP_AUTH: HeaderName = HeaderName::from_static("gap-auth");

/// What came of asking.
#[derive(Debug)]
pub(super) struct Asked<'s> {
    /// Whether any login proxy was asked.
    pub(super) login_was_asked: bool,
    /// Whom it knows.
    pub(super) known: Option<Known<'s>>,
    /// Whether it set `Authorization` to the token of [`Self::known`].
    pub(super) is_token_injected: bool,
}

/// Asks every authorizer that a CUSTOM rule names, once each, in the order of their names; all
/// must agree.
pub(super) fn ask<'s>(
    (snapshot, policies, stage): (&Snapshot, &[Arc<Policy>], Stage),
    request: &Request<'_>,
    session: &'s Session,
    view: &View<'_>,
    changes: &mut Changes,
    recorder: &mut Recorder<'_>,
) -> Result<Asked<'s>, Box<End>> {
    let mut asked = Asked {
        login_was_asked: false,
        known: None,
        is_token_injected: false,
    };
    let mut last: Option<&str> = None;
    while let Some((name, policy, line)) = next((policies, stage), last, view, recorder) {
        last = Some(name);
        let reason = || authorization::by(policy, line);
        let refuse = |refusal| Err(End::boxed(Outcome::Refuse(refusal), reason()));
        let Some(authorizer) = snapshot.authorizer(name) else {
            say(recorder, name, "not_configured");
            return refuse(Refusal::AuthorizerUnavailable(403));
        };
        match &authorizer.kind {
            AuthorizerKind::Login(index) => match snapshot.logins().get(*index) {
                Some(login) => {
                    let answer = login::check(login, view.path, request, session);
                    say(recorder, name, answer.as_str());
                    asked.login_was_asked = true;
                    if let Some(known) = go_on(answer, *index, reason)? {
                        asked.is_token_injected |=
                            answer_headers(authorizer, login, &known, changes);
                        asked.known.get_or_insert(known);
                    }
                }
                None => {
                    say(recorder, name, "not_configured");
                    return refuse(Refusal::AuthorizerUnavailable(authorizer.status_on_error));
                }
            },
            AuthorizerKind::External(_) if authorizer.fail_open => {
                say(recorder, name, "fail_open");
            }
            AuthorizerKind::External(_) => {
                say(recorder, name, "unavailable");
                return refuse(Refusal::AuthorizerUnavailable(authorizer.status_on_error));
            }
            // What cannot be read cannot be believed when it says `failOpen` either.
            AuthorizerKind::Closed(closure) => {
                say(recorder, name, "closed");
                return refuse(Refusal::Closed(closure.clone()));
            }
        }
    }
    Ok(asked)
}

/// The authorizer with the least name after `last` that a matching rule names.
fn next<'s>(
    (policies, stage): (&'s [Arc<Policy>], Stage),
    last: Option<&str>,
    view: &View<'_>,
    recorder: &mut Recorder<'_>,
) -> Option<(&'s str, &'s Arc<Policy>, u32)> {
    let mut least: Option<(&str, &Arc<Policy>, u32)> = None;
    for policy in policies {
        let Action::Custom(name) = &policy.action else {
            continue;
        };
        // The first round consults each policy, so that `explain` hears of each once.
        let is_later = last.is_none_or(|last| **name > *last);
        let is_less = least.is_none_or(|(least, ..)| **name < *least);
        if !is_later || (!is_less && !recorder.is_on()) {
            continue;
        }
        let line = if last.is_none() {
            authorization::consult(policy, view, stage, recorder)
        } else {
            authorization::consult(policy, view, stage, &mut Recorder::nobody())
        };
        if let (Some(line), true) = (line, is_less) {
            least = Some((name, policy, line));
        }
    }
    least
}

fn say(recorder: &mut Recorder<'_>, authorizer: &str, said: &'static str) {
    recorder.step(|| Step::Login {
        authorizer: authorizer.into(),
        said,
    });
}

/// Whom the answer lets go on, or the end that it is.
fn go_on<'s>(
    answer: Answer<'s>,
    login: usize,
    reason: impl Fn() -> Reason,
) -> Result<Option<Known<'s>>, Box<End>> {
    let outcome = match answer {
        Answer::Exempt(known) => return Ok(known),
        Answer::Session(known) => return Ok(Some(known)),
        Answer::OwnPage => {
            let serve = Serve::plain(Served::Login(login), None);
            let reason = Reason::Default(DefaultReason::LoginPage);
            return Err(End::boxed(Outcome::Serve(serve), reason));
        }
        Answer::NotAllowedIn => Outcome::Refuse(Refusal::NotAllowedIn),
        Answer::NoSession(how, absence) => Outcome::SignIn(SignIn {
            login,
            how,
            absence,
        }),
        Answer::StoreUnavailable => Outcome::Refuse(Refusal::StoreUnavailable),
    };
    Err(End::boxed(outcome, reason()))
}

/// Sets what the check's answer would set on the request, as far as the mesh config lets it
/// through; true when `Authorization` is among it.
fn answer_headers(
    authorizer: &Authorizer,
    login: &model::snapshot::Login,
    known: &Known<'_>,
    changes: &mut Changes,
) -> bool {
    let passes = |name: &HeaderName| {
        authorizer
            .upstream_on_allow
            .iter()
            .any(|pattern| pattern.covers(name.as_str()))
    };
    let values = &known.values;
    if passes(&GAP_AUTH) {
        changes.set_some(&GAP_AUTH, values.email.as_ref().or(values.user.as_ref()));
    }
    if login.set_xauthrequest && login.pass_access_token && passes(&ACCESS_TOKEN) {
        changes.set_some(&ACCESS_TOKEN, known.access_token.as_deref());
    }
    match known.token {
        Some(token) if login.set_authorization_header && passes(&AUTHORIZATION) => {
            changes.set(&AUTHORIZATION, token.bearer().clone());
            true
        }
        _ => false,
    }
}
