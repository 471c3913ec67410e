//! Facts → session → check: the hops that every form of the question shares.

use std::rc::Rc;

use http::request::Parts;
use http::{HeaderValue, Response};
use policy::{Checked, Outcome, Pass};

use crate::admit::{ask_store, became, carry};
use crate::answer::{self, Asker, LocalFault};
use crate::body::Body;
use crate::facts::{Facts, Said, View, gather_asked};
use crate::listen::{Peer, Worker};
use crate::local::{self, Given};
use crate::record::{Basis, Became, Entry};

/// What came of a question.
pub(super) enum Judged {
    /// The request may pass.
    Pass(Box<Passed>),
    /// It may not; this is what its sender gets.
    Stop {
        /// It.
        response: Box<Response<Body>>,
        /// Whether signing in may help.
        signs_in: bool,
    },
}

impl Judged {
    fn stop(response: Response<Body>) -> Self {
        Self::Stop {
            response: Box::new(response),
            signs_in: false,
        }
    }
}

/// A request that may pass.
pub(super) struct Passed {
    pub(super) view: Rc<View>,
    pub(super) facts: Facts,
    pub(super) parts: Parts,
    pub(super) pass: Pass,
    pub(super) entry: Box<Entry>,
    /// Cookies that the answer to the request is to carry.
    pub(super) renewed: Vec<HeaderValue>,
}

/// Judges the request that `parts` describe, which are those of its sender.
pub(super) async fn judge(
    worker: Rc<Worker>,
    peer: &Rc<Peer>,
    mut parts: Parts,
    body: Given,
    mut entry: Box<Entry>,
    said: Said,
) -> Judged {
    let view = worker.view();
    let now = entry.time;
    entry.method = parts.method.clone();
    let mut facts = match gather_asked(&mut parts, peer, &worker, &view, said) {
        Ok(facts) => facts,
        Err(unclear) => return Judged::stop(body.unwanted(answer::unclear(unclear, entry))),
    };
    entry.host = Some(facts.authority.clone());
    entry.target = parts.uri.path_and_query().cloned();
    entry.request_id = Some(facts.request_id.clone());
    entry.client = facts.client;

    let snapshot = &view.world.snapshot;
    let sessions = worker.sessions();
    let renewed;
    let check = {
        let head = facts.head(&parts, peer, now);
        let request = match policy::Request::read(head, snapshot.normalization()) {
            Ok(request) => request,
            Err(unreadable) => {
                let asker = Asker::new(&parts, &facts);
                let told = answer::unreadable(unreadable, &asker, entry);
                return Judged::stop(body.unwanted(told));
            }
        };
        if let Some(file) = answer::asset(&parts) {
            return Judged::stop(body.unwanted(answer::file(file, entry)));
        }
        if answer::is_key_set(&parts) {
            let keys = answer::key_set(sessions.asserter().key_set());
            return Judged::stop(body.unwanted(answer::file(keys, entry)));
        }
        let known = sessions.read_now(&parts.headers, request.query(), snapshot, &peer.memo, now);
        let session = match known {
            Some(session) => session,
            None => Box::pin(ask_store(&worker, &view, &parts, now)).await,
        };
        renewed = sessions.cookies_to_set(&parts.uri, &parts.headers, snapshot, now);
        let check = policy::check(&request, snapshot, &session);
        let basis = match &check.outcome {
            Checked::Pass(pass) => {
                let who = pass.identified().cloned();
                Basis::let_through(&request, who, &view.tested, peer)
            }
            Checked::Stop(outcome) => Basis::of(&request, outcome, &session, &view.tested, peer),
        };
        entry.basis = Some(basis.heard_from(facts.asked()));
        if let Checked::Pass(pass) = &check.outcome
            && let Some(identified) = pass.identified()
        {
            let asserter = sessions.asserter();
            facts.assertion = match pass.destination() {
                Some(to) => worker
                    .assertions
                    .to(identified, to, asserter, snapshot, now),
                None => {
                    let host = request.host();
                    let assertions = &worker.assertions;
                    assertions.to_host(identified, host, asserter, snapshot, now)
                }
            };
        }
        check
    };
    entry.route = check.route;
    entry.reason = Some(check.reason);
    let outcome = match check.outcome {
        Checked::Pass(pass) => {
            entry.became = Became::Allow;
            body.dismiss();
            return Judged::Pass(Box::new(Passed {
                view,
                facts,
                parts,
                pass,
                entry,
                renewed,
            }));
        }
        Checked::Stop(outcome) => outcome,
    };
    entry.became = became(&outcome);
    let signs_in = matches!(outcome, Outcome::SignIn(_));
    let response = match outcome {
        Outcome::Serve(serve) => {
            Box::pin(local::serve(worker, view, facts, serve, parts, body, entry)).await
        }
        Outcome::SignIn(sign_in) => {
            let told = Box::pin(local::sign_in(worker, view, facts, sign_in, parts, entry)).await;
            body.unwanted(told)
        }
        Outcome::Redirect(redirection) => body.unwanted(answer::redirection(&redirection, entry)),
        Outcome::Refuse(refusal) => {
            let asker = Asker::new(&parts, &facts);
            body.unwanted(answer::refusal(&refusal, &asker, &facts, &parts, entry))
        }
        // Nothing is forwarded here: `check` says `Pass` for it.
        Outcome::Forward(_) => {
            let asker = Asker::new(&parts, &facts);
            body.unwanted(answer::local_fault(LocalFault::Failed, &asker, entry))
        }
    };
    let mut response = response;
    carry(&mut response, renewed);
    Judged::Stop {
        response: Box::new(response),
        signs_in,
    }
}
