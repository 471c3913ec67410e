//! World + session + decide: the one path of every request, and the choice of its one performer.

use std::convert::Infallible;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use http::header::{CONNECTION, EXPECT, HOST, SET_COOKIE, STRICT_TRANSPORT_SECURITY};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use model::names::Timestamp;
use policy::decision::Redirection;
use policy::{Bearer, NoSession, Outcome, Session, TokenFault};

use crate::answer::{self, Asker};
use crate::body::{self, Body};
use crate::facts::{self, View};
use crate::listen::{Busy, Peer, Pulse, Worker};
use crate::local::Given;
use crate::record::{Basis, Became, Entry};
use crate::{local, proxy};

/// Answers one request. Browsers are told to stay on HTTPS, and clients of HTTP/1.1 to come back on
/// another connection when this one is to end.
//
// A connection keeps room for this future while it is idle, and it is moved into its place before it
// runs: nothing in it stands twice, as the arguments of an `async fn` would.
pub(crate) fn answer(
    worker: Rc<Worker>,
    peer: Rc<Peer>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Body>, Infallible>> {
    let hsts = match worker.hsts() {
        Some(hsts) if peer.secure && is_name(&request) => Some(hsts.clone()),
        _ => None,
    };
    let (mut parts, body) = request.into_parts();
    let body = Unread::new(&parts, body, &peer);
    async move {
        let mut renewed = Vec::new();
        let mut response = 'answered: {
            let now = worker.now();
            let view = worker.view();
            let busy = Busy::begin(&peer.pulse);
            let method = parts.method.clone();
            let mut entry = Entry::open(&worker.recorder, busy, now, method, peer.address);
            if worker.is_overloaded() {
                let asker = Asker::early(&parts);
                entry.became = Became::Shed;
                break 'answered body.unwanted(answer::overloaded(&asker, entry));
            }
            let mut facts = match facts::gather(&mut parts, &peer, &worker, &view) {
                Ok(facts) => facts,
                Err(unclear) => break 'answered body.unwanted(answer::unclear(unclear, entry)),
            };
            entry.host = Some(facts.authority.clone());
            entry.target = parts.uri.path_and_query().cloned();
            entry.request_id = Some(facts.request_id.clone());
            entry.client = facts.client;
            if facts.extended {
                entry.method = parts.method.clone();
            }

            let snapshot = &view.world.snapshot;
            let decision = {
                let head = facts.head(&parts, &peer, now);
                let request = match policy::Request::read(head, snapshot.normalization()) {
                    Ok(request) => request,
                    Err(unreadable) => {
                        let asker = Asker::new(&parts, &facts);
                        break 'answered body
                            .unwanted(answer::unreadable(unreadable, &asker, entry));
                    }
                };
                if facts.upgrade {
                    let location = request
                        .location("https", &facts.https_authority(&worker))
                        .into();
                    entry.became = Became::Redirect;
                    let redirection = Redirection::plain(location, 301);
                    break 'answered body.unwanted(answer::redirection(&redirection, entry));
                }
                if let Some(file) = answer::asset(&parts)
                    && !facts.extended
                {
                    break 'answered body.unwanted(answer::file(file, entry));
                }
                let sessions = worker.sessions();
                if answer::is_key_set(&parts) {
                    let keys = answer::key_set(sessions.asserter().key_set());
                    break 'answered body.unwanted(answer::file(keys, entry));
                }
                let session = match sessions.read_now(
                    &parts.headers,
                    request.query(),
                    snapshot,
                    &peer.memo,
                    now,
                ) {
                    Some(session) => session,
                    None => Box::pin(ask_store(&worker, &view, &parts, now)).await,
                };
                renewed = sessions.cookies_to_set(&parts.uri, &parts.headers, snapshot, now);
                let decision = policy::decide(&request, snapshot, &session);
                entry.basis = Some(Basis::of(
                    &request,
                    &decision.outcome,
                    &session,
                    &view.tested,
                    &peer,
                ));
                decision
            };
            entry.route = decision.route;
            entry.reason = Some(decision.reason);
            entry.became = became(&decision.outcome);
            if let Some(permit) = decision.outcome.permit() {
                let asserter = worker.sessions().asserter();
                facts.assertion = worker.assertions.of(permit, asserter, snapshot, now);
            }
            match decision.outcome {
                Outcome::Forward(permit) => {
                    proxy::forward(&worker, &view, &facts, &permit, &mut parts, body, entry).await
                }
                // Nothing in this process is a WebSocket, and any 200 would say that one stands.
                Outcome::Serve(_) if facts.extended => {
                    body.unwanted(answer::unclear(facts::Unclear::Connect, entry))
                }
                Outcome::Serve(serve) => {
                    let body = Given::Unread(body);
                    Box::pin(local::serve(worker, view, facts, serve, parts, body, entry)).await
                }
                Outcome::SignIn(sign_in) => {
                    let told =
                        Box::pin(local::sign_in(worker, view, facts, sign_in, parts, entry)).await;
                    body.unwanted(told)
                }
                Outcome::Redirect(redirection) => {
                    body.unwanted(answer::redirection(&redirection, entry))
                }
                Outcome::Refuse(refusal) => {
                    let asker = Asker::new(&parts, &facts);
                    body.unwanted(answer::refusal(&refusal, &asker, &facts, &parts, entry))
                }
            }
        };
        carry(&mut response, renewed);
        if let Some(hsts) = hsts {
            // Who answers may have its own opinion.
            response
                .headers_mut()
                .entry(STRICT_TRANSPORT_SECURITY)
                .or_insert(hsts);
        }
        if peer.pulse.is_retired() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        Ok(response)
    }
}

/// Lets an answer carry renewed cookies; one that sets or deletes the same cookies itself knows better.
pub(crate) fn carry<B>(response: &mut Response<B>, renewed: Vec<HeaderValue>) {
    fn name(cookie: &HeaderValue) -> &[u8] {
        let bytes = cookie.as_bytes();
        let end = bytes.iter().position(|byte| *byte == b'=');
        &bytes[..end.unwrap_or(bytes.len())]
    }
    let headers = response.headers_mut();
    let is_set = |one: &HeaderValue| {
        let mut set = headers.get_all(SET_COOKIE).iter();
        set.any(|other| name(other) == name(one))
    };
    if renewed.iter().any(is_set) {
        return;
    }
    for cookie in renewed {
        headers.append(SET_COOKIE, cookie);
    }
}

/// Whether a request is for a name that is somebody's: browsers remember nothing for addresses, and
/// `localhost` is everybody's.
fn is_name(request: &Request<Incoming>) -> bool {
    let host = request.headers().get(HOST);
    let host = host.and_then(|host| host.to_str().ok());
    let named = request.uri().authority().map(Authority::as_str);
    let Some((host, _)) = host.or(named).map(facts::split_port) else {
        return false;
    };
    let host = host.trim_end_matches('.');
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_address = host.starts_with('[') || last.bytes().all(|byte| byte.is_ascii_digit());
    !is_address && !last.eq_ignore_ascii_case("localhost")
}

/// A request's body before anybody has asked for it.
pub(crate) struct Unread {
    /// The body.
    pub(crate) incoming: Incoming,
    /// The client sends it only when told to go on.
    pub(crate) held_back: bool,
    /// The connection's signs of life, where there is a body.
    pub(crate) pulse: Option<Arc<Pulse>>,
}

impl Unread {
    pub(crate) fn new(parts: &Parts, incoming: Incoming, peer: &Peer) -> Self {
        let is_there = !incoming.is_end_stream();
        Self {
            incoming,
            held_back: is_there && parts.headers.contains_key(EXPECT),
            pulse: is_there.then(|| Arc::clone(&peer.pulse)),
        }
    }

    /// Nobody asks for it: `answer` is all there is to say.
    pub(crate) fn unwanted(self, answer: Response<Body>) -> Response<Body> {
        self.dismiss();
        answer
    }

    /// Nobody asks for it.
    pub(crate) fn dismiss(self) {
        if let Some(pulse) = self.pulse.filter(|_| !self.held_back) {
            body::discard(self.incoming, Busy::hold(&pulse));
        }
    }
}

/// Waits for the session store or an issuer's keys, on the runtime that they live on.
pub(crate) async fn ask_store(
    worker: &Worker,
    view: &View,
    parts: &Parts,
    now: Timestamp,
) -> Session {
    let sessions = Arc::clone(worker.sessions());
    let snapshot = Arc::clone(&view.world.snapshot);
    let headers = parts.headers.clone();
    let query = parts.uri.query().map(str::to_owned);
    let asked = worker.control().spawn(async move {
        sessions
            .read(&headers, query.as_deref(), &snapshot, now)
            .await
    });
    // A store that fell over is one that does not answer.
    asked.await.unwrap_or(Session {
        person: Err(NoSession::StoreUnavailable),
        bearer: Bearer::Invalid(TokenFault::KeysUnavailable),
        elsewhere: Vec::new(),
    })
}

pub(crate) fn became(outcome: &Outcome) -> Became {
    match outcome {
        Outcome::Forward(_) => Became::Forward,
        Outcome::SignIn(_) => Became::SignIn,
        Outcome::Redirect(_) => Became::Redirect,
        Outcome::Serve(_) => Became::Serve,
        Outcome::Refuse(_) => Became::Refuse,
    }
}
