//! Services that are answered in this process: small whole bodies in, whole answers out.

use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use model::snapshot::RouteAction;
use policy::Permit;
use policy::decision::{Serve, Served, SignIn};
use policy::membership::Caller;

use crate::admit::Unread;
use crate::answer::{self, Asker, LocalFault};
use crate::authorizer;
use crate::body::Body;
use crate::facts::{CLIENT, Facts, View};
use crate::listen::Worker;
use crate::proxy;
use crate::record::Entry;
use crate::settings::Limits;

/// A request's body, as far as a service of this process may want it.
pub(crate) enum Given {
    /// Nobody has read it.
    Unread(Unread),
    /// It came with the question.
    Whole(Bytes),
}

impl Given {
    /// Nobody asks for it: `answer` is all there is to say.
    pub(crate) fn unwanted(self, answer: Response<Body>) -> Response<Body> {
        self.dismiss();
        answer
    }

    /// Nobody asks for it.
    pub(crate) fn dismiss(self) {
        match self {
            Self::Unread(body) => body.dismiss(),
            Self::Whole(_) => {}
        }
    }
}

/// Tells somebody to sign in.
pub(crate) async fn sign_in(
    worker: Rc<Worker>,
    view: Rc<View>,
    facts: Facts,
    sign_in: SignIn,
    parts: Parts,
    entry: Box<Entry>,
) -> Response<Body> {
    let asker = Asker::new(&parts, &facts);
    let mut parts = parts;
    at_site(&mut parts, &facts);
    let told = view.world.local.sign_in(&sign_in, parts);
    match worker.control().spawn(told).await {
        Ok(response) => answer::sign_in(response, &asker, entry),
        Err(_) => answer::local_fault(LocalFault::Failed, &asker, entry),
    }
}

/// Answers for a destination that is played here, or for a route that answers by itself.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    view: Rc<View>,
    facts: Facts,
    serve: Serve,
    mut parts: Parts,
    body: Given,
    entry: Box<Entry>,
) -> Response<Body> {
    let Serve {
        what,
        permit,
        edits,
        delay,
    } = serve;
    let delay = delay.or(permit.as_ref().and_then(Permit::delay));
    if let Some(delay) = delay {
        proxy::hold(delay).await;
    }
    match &what {
        Served::Response(route) => {
            if let RouteAction::Respond(respond) = &route.action {
                return body.unwanted(answer::direct(respond, &edits, entry));
            }
        }
        Served::Leave(route) => {
            if let RouteAction::Respond(respond) = &route.action {
                let edits = [&*edits, &[authorizer::unsaid(&view, &edits)]].concat();
                return body.unwanted(answer::direct(respond, &edits, entry));
            }
        }
        Served::Preflight => return body.unwanted(answer::preflight(&edits, entry)),
        Served::Fault(abort) => {
            return body.unwanted(answer::fault(*abort, &parts.headers, entry));
        }
        Served::Login(_)
        | Served::Consent(_)
        | Served::Provider(_)
        | Served::Kfam
        | Served::Whoami
        | Served::Ready
        | Served::Files { .. } => {}
    }
    let asker = Asker::new(&parts, &facts);
    // Only the login proxy's own pages need the session cookies.
    let hidden = (!matches!(what, Served::Login(_) | Served::Consent(_))).then_some(&*view.cookies);
    if let Some(permit) = &permit
        && !proxy::edit_request(&mut parts, &facts, permit, hidden)
    {
        return body.unwanted(answer::local_fault(LocalFault::Rewrite, &asker, entry));
    }
    let whole = match body {
        Given::Whole(whole) => whole,
        Given::Unread(mut body) => match gather(&mut body.incoming, worker.limits()).await {
            Ok(whole) => whole,
            Err(fault) => return body.unwanted(answer::local_fault(fault, &asker, entry)),
        },
    };
    parts.extensions.clear();
    at_site(&mut parts, &facts);
    if what == Served::Kfam
        && let Some(permit) = &permit
        && let Some(caller) = Caller::of(permit, view.world.snapshot.user_header())
    {
        parts.extensions.insert(caller);
    }
    // What came under this name from outside is gone. Applications get what any other gets.
    if matches!(what, Served::Login(_) | Served::Provider(_))
        && let Ok(client) = HeaderValue::try_from(facts.client.to_string())
    {
        parts.headers.insert(CLIENT, client);
    }
    let answered = view
        .world
        .local
        .serve(&what, Request::from_parts(parts, whole));
    match worker.control().spawn(answered).await {
        Ok(response) => {
            // What is told is for those who may pass.
            let told = match what {
                Served::Consent(_) if response.status() == StatusCode::OK => {
                    let unsaid = authorizer::unsaid(&view, &edits);
                    [edits, vec![unsaid]].concat()
                }
                Served::Consent(_) if response.status() == StatusCode::NO_CONTENT => edits,
                _ => Vec::new(),
            };
            let edits = permit.iter().flat_map(Permit::response_headers);
            answer::local(response, edits.chain(&told), entry)
        }
        Err(_) => answer::local_fault(LocalFault::Failed, &asker, entry),
    }
}

/// Pages speak of the host that the browser asked.
fn at_site(parts: &mut Parts, facts: &Facts) {
    if let Some(site) = &facts.site {
        parts.headers.insert(HOST, site.clone());
    }
}

/// Reads a body that has to be short.
async fn gather(body: &mut Incoming, limits: &Limits) -> Result<Bytes, LocalFault> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if body.size_hint().lower() > limits.local_body as u64 {
        return Err(LocalFault::BodyTooLarge);
    }
    let mut whole = BytesMut::new();
    loop {
        let frame = match tokio::time::timeout(limits.body, body.frame()).await {
            Err(_) => return Err(LocalFault::BodyStalled),
            Ok(None) => return Ok(whole.freeze()),
            Ok(Some(Err(_))) => return Err(LocalFault::BodyBroken),
            Ok(Some(Ok(frame))) => frame,
        };
        if let Some(data) = frame.data_ref() {
            if whole.len() + data.len() > limits.local_body {
                return Err(LocalFault::BodyTooLarge);
            }
            whole.extend_from_slice(data);
        }
    }
}
