//! Envoy asks instead: may this request pass?
//!
//! A question becomes facts, the session is found as for a request of the gateway's own, and
//! [`policy::check`] decides: there is no second implementation of any of it. What differs is who
//! takes the route. Where the manifests have one, its destination's rules are asked too; where they
//! have none, the rules of the gateway alone decide, and no route is no refusal.
//!
//! Over gRPC, [`grpc`] takes the question out of a message. There are two forms over HTTP: `ext_authz` of Envoy, where the request that comes is the one that
//! is asked about, and sub-requests that describe one (nginx, Traefik, Caddy, HAProxy), at paths of
//! their own.
//!
//! Whoever may not pass gets what the gateway would answer: the sign-in page, the way to the issuer,
//! 401 for scripts, 403. Pages of this process (sign-in, issuer, callback) are answered within the
//! check, as far as the one who asks relays answers.
//!
//! [`answer`] is the way in. It takes one request of a proxy and needs nothing but the worker.

mod allow;
mod ext_authz;
mod forward_auth;
mod grpc;
mod health;
mod judge;
mod trust;

use std::convert::Infallible;
use std::rc::Rc;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;

pub(crate) use self::allow::unsaid;
use self::forward_auth::Form;
pub(crate) use self::grpc::answer as answer_grpc;
#[cfg(any(test, fuzzing))]
pub(crate) use self::grpc::read_check;
pub(crate) use self::health::Health;
use crate::admit::Unread;
use crate::answer::{self, Asker};
use crate::body::Body;
use crate::listen::{Busy, Peer, Worker};
use crate::record::{Became, Entry, Frontend};

/// Answers one question that came over HTTP.
pub(crate) async fn answer(
    worker: Rc<Worker>,
    peer: Rc<Peer>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = Unread::new(&parts, body, &peer);
    let busy = Busy::begin(&peer.pulse);
    let mut entry = Entry::open(
        &worker.recorder,
        busy,
        worker.now(),
        parts.method.clone(),
        peer.address,
    );
    entry.frontend = Frontend::ExtAuthzHttp;
    let mut response = if worker.is_overloaded() {
        entry.became = Became::Shed;
        let asker = Asker::early(&parts);
        ext_authz::as_denial(body.unwanted(answer::overloaded(&asker, entry)))
    } else {
        match Form::of(parts.uri.path()) {
            Some(form) => forward_auth::answer(worker, &peer, parts, body, entry, form).await,
            None => ext_authz::answer(worker, &peer, parts, body, entry).await,
        }
    };
    if peer.pulse.is_retired() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    Ok(response)
}
