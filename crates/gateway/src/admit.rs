//! World + session + decide: the one path of every request, and the choice of its one performer.

use std::rc::Rc;
use std::sync::Arc;

use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use model::names::Timestamp;
use policy::decision::Redirection;
use policy::{Bearer, NoSession, Outcome, Session, TokenFault};

use crate::answer::{self, Asker};
use crate::body::Body;
use crate::facts::{self, View};
use crate::listen::{Busy, Peer, Worker};
use crate::record::{Became, Entry};
use crate::{local, proxy};

/// Answers one request.
pub(crate) async fn answer(
    worker: Rc<Worker>,
    peer: Rc<Peer>,
    request: Request<Incoming>,
) -> Response<Body> {
    let now = worker.now();
    let view = worker.view();
    let (mut parts, body) = request.into_parts();
    let busy = Busy::begin(&peer.pulse);
    let mut entry =
        Entry::open(&worker.recorder, busy, now, parts.method.clone(), peer.address);
    let facts = match facts::gather(&mut parts, &peer, &worker, &view) {
        Ok(facts) => facts,
        Err(unclear) => return answer::unclear(unclear, entry),
    };
    entry.host = Some(facts.authority.clone());
    entry.target = parts.uri.path_and_query().cloned();
    entry.request_id = Some(facts.request_id.clone());
    entry.client = facts.client;

    let snapshot = &view.world.snapshot;
    let decided = {
        let head = facts.head(&parts, &peer, now);
        let request = match policy::Request::read(head, snapshot.normalization()) {
            Ok(request) => request,
            Err(unreadable) => {
                return answer::unreadable(unreadable, &Asker::new(&parts, &facts.request_id), entry);
            }
        };
        if facts.upgrade {
            let authority = facts.https_authority(&worker);
            let location = request.location("https", &authority).into();
            entry.became = Became::Redirect;
            return answer::redirection(&Redirection { location, code: 301 }, entry);
        }
        if let Some(file) = answer::asset(&parts) {
            return answer::file(file, entry);
        }
        let sessions = worker.sessions();
        let session = match sessions.read_now(&parts.headers, request.query(), snapshot, now) {
            Some(session) => session,
            None => Box::pin(ask_store(&worker, &view, &parts, now)).await,
        };
        let decision = policy::decide(&request, snapshot, &session);
        entry.user = user(&decision.outcome, &session);
        decision
    };
    entry.route = decided.route;
    entry.reason = Some(decided.reason);
    entry.became = became(&decided.outcome);
    match decided.outcome {
        Outcome::Forward(permit) => {
            proxy::forward(worker, view, facts, permit, parts, body, entry).await
        }
        Outcome::SignIn(sign_in) => {
            Box::pin(local::sign_in(worker, view, facts, sign_in, parts, entry)).await
        }
        Outcome::Redirect(redirection) => answer::redirection(&redirection, entry),
        Outcome::Serve(serve) => {
            Box::pin(local::serve(worker, view, facts, serve, parts, body, entry)).await
        }
        Outcome::Refuse(refusal) => {
            let asker = Asker::new(&parts, &facts.request_id);
            answer::refusal(&refusal, &asker, &facts, &parts, entry)
        }
    }
}

/// Waits for the session store or an issuer's keys, on the runtime that they live on.
async fn ask_store(worker: &Worker, view: &View, parts: &Parts, now: Timestamp) -> Session {
    let sessions = Arc::clone(worker.sessions());
    let snapshot = Arc::clone(&view.world.snapshot);
    let headers = parts.headers.clone();
    let query = parts.uri.query().map(str::to_owned);
    let asked = worker.control().spawn(async move {
        sessions.read(&headers, query.as_deref(), &snapshot, now).await
    });
    // A store that fell over is one that does not answer.
    asked.await.unwrap_or(Session {
        person: Err(NoSession::StoreUnavailable),
        bearer: Bearer::Invalid(TokenFault::KeysUnavailable),
    })
}

/// Who it was, for the log.
fn user(outcome: &Outcome, session: &Session) -> Option<Box<str>> {
    if let Outcome::Forward(permit) = outcome {
        return permit.user().map(Into::into);
    }
    let person = session.person.as_ref().ok()?;
    Some(person.email().unwrap_or(person.user()).into())
}

fn became(outcome: &Outcome) -> Became {
    match outcome {
        Outcome::Forward(_) => Became::Forward,
        Outcome::SignIn(_) => Became::SignIn,
        Outcome::Redirect(_) => Became::Redirect,
        Outcome::Serve(_) => Became::Serve,
        Outcome::Refuse(_) => Became::Refuse,
    }
}
