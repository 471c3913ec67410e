//! Requests to a program that this process stands in for: no Gateway, no route, no policy; the
//! program's own order of things, and the same check of who is signed in.

mod auth_service;
mod constraints;
mod oauth2_proxy;
mod paths;
mod told;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use model::Snapshot;
use model::snapshot::{HeaderEdits, Login, Program, Route, RouteAction};

use super::login::Answer;
use crate::decision::{
    Decision, DefaultReason, Outcome, Reason, Redirection, Refusal, Serve, Served, SignIn,
    SignInAnswer, Step,
};
use crate::recorder::Recorder;
use crate::request::Request;
use crate::session::{NoSession, Session};

/// The one login proxy of a program.
const LOGIN: usize = 0;

/// Decides as the program would.
pub(super) fn decide(
    program: &Program,
    request: &Request<'_>,
    snapshot: &Snapshot,
    session: &Session,
    recorder: &mut Recorder<'_>,
) -> Decision {
    let Some(login) = snapshot.logins().get(LOGIN) else {
        return Decision {
            outcome: Outcome::Refuse(Refusal::NoRoute),
            route: None,
            reason: Reason::Default(DefaultReason::NoRoute),
        };
    };
    let asked = Asked {
        login,
        request,
        session,
    };
    let (outcome, reason) = match program {
        Program::OAuth2Proxy(proxy) => oauth2_proxy::decide(proxy, &asked, recorder),
        Program::AuthService(service) => auth_service::decide(service, &asked, recorder),
    };
    Decision {
        outcome,
        route: None,
        reason: Reason::Default(reason),
    }
}

/// A request to a program.
#[derive(Clone, Copy)]
struct Asked<'a> {
    login: &'a Login,
    request: &'a Request<'a>,
    session: &'a Session,
}

type End = (Outcome, DefaultReason);

/// An answer that is the same for everybody, but for the headers that are added.
fn answer(route: &Arc<Route>, edits: Option<HeaderEdits>) -> Outcome {
    fixed(route, Served::Response, edits)
}

/// An answer that a proxy takes for leave to pass.
fn leave(route: &Arc<Route>, edits: Option<HeaderEdits>) -> Outcome {
    fixed(route, Served::Leave, edits)
}

fn fixed(
    route: &Arc<Route>,
    what: impl FnOnce(Arc<Route>) -> Served,
    edits: Option<HeaderEdits>,
) -> Outcome {
    let own = match &route.action {
        RouteAction::Respond(respond) => Some(respond.headers.clone()),
        _ => None,
    };
    Outcome::Serve(Serve {
        edits: edits.into_iter().chain(own).collect(),
        ..Serve::plain(what(Arc::clone(route)), None)
    })
}

/// A page of the login proxy's own.
fn own_page() -> End {
    let serve = Serve::plain(Served::Login(LOGIN), None);
    (Outcome::Serve(serve), DefaultReason::LoginPage)
}

fn redirect(location: String, code: u16) -> End {
    let redirection = Redirection::plain(location.into(), code);
    (
        Outcome::Redirect(redirection),
        DefaultReason::ProgramRedirect,
    )
}

fn refuse(refusal: Refusal) -> End {
    (Outcome::Refuse(refusal), DefaultReason::LoginCheck)
}

/// Somebody who is not let on is told so in the words of the login proxy.
fn tell(how: SignInAnswer, absence: NoSession) -> End {
    let sign_in = SignIn {
        login: LOGIN,
        how,
        absence,
    };
    (Outcome::SignIn(sign_in), DefaultReason::LoginCheck)
}

fn say(recorder: &mut Recorder<'_>, login: &Login, answer: &Answer<'_>) {
    recorder.step(|| Step::Login {
        authorizer: Arc::clone(&login.object.name),
        said: answer.as_str(),
    });
}
