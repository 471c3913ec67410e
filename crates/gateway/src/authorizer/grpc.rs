//! Envoy's `ext_authz` over gRPC: `envoy.service.auth.v3.Authorization/Check`.
//!
//! The message tells more than headers can: who is connected to Envoy, by which certificate, and the
//! body where Envoy is told to send it. A refusal has its own form there, so it keeps its status,
//! and pages of this process are answered as they are.

#[cfg(any(test, fuzzing))]
mod fuzzing;
mod message;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use envoy_types::ext_authz::v3::pb::{CheckRequest, CheckResponse};
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use tonic::Status;
use tonic::body::Body;
use tonic::server::{Grpc, UnaryService};
use tonic_prost::ProstCodec;

#[cfg(any(test, fuzzing))]
pub(crate) use self::fuzzing::read_check;
use self::message::Told;
use super::judge::{Judged, judge};
use crate::answer::{self, Asker};
use crate::facts::Said;
use crate::listen::{Busy, Peer, Worker};
use crate::local::Given;
use crate::record::{Became, Entry, Frontend};

/// Name of the service.
pub(super) const AUTHORIZATION: &str = "envoy.service.auth.v3.Authorization";

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
const HEALTH: &str = "/grpc.health.v1.Health/";

/// Answers one call.
pub(crate) async fn answer(
    worker: Rc<Worker>,
    peer: Rc<Peer>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path();
    let mut response = if path == CHECK {
        let limit = worker.limits().body;
        let checker = Checker {
            worker,
            peer: Rc::clone(&peer),
        };
        let mut grpc = Grpc::new(ProstCodec::<CheckResponse, CheckRequest>::default());
        let call = Box::pin(grpc.unary(checker, request));
        match tokio::time::timeout(limit, call).await {
            Ok(response) => response,
            Err(_) => Status::deadline_exceeded("the question took too long").into_http(),
        }
    } else if path.starts_with(HEALTH) {
        worker.health.answer(request).await
    } else {
        Status::unimplemented("there is `Check` and `grpc.health.v1`").into_http()
    };
    if peer.pulse.is_retired() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    Ok(response)
}

struct Checker {
    worker: Rc<Worker>,
    peer: Rc<Peer>,
}

impl UnaryService<CheckRequest> for Checker {
    type Response = CheckResponse;
    // Stays on its worker.
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<CheckResponse>, Status>>>>;

    fn call(&mut self, request: tonic::Request<CheckRequest>) -> Self::Future {
        let (worker, peer) = (Rc::clone(&self.worker), Rc::clone(&self.peer));
        Box::pin(async move {
            let checked = check(worker, peer, request.into_inner()).await;
            Ok(tonic::Response::new(checked))
        })
    }
}

async fn check(worker: Rc<Worker>, peer: Rc<Peer>, request: CheckRequest) -> CheckResponse {
    let busy = Busy::begin(&peer.pulse);
    let method = http::Method::GET;
    let (recorder, now) = (&worker.recorder, worker.now());
    let mut entry = Entry::open(recorder, busy, now, method, peer.address);
    entry.frontend = Frontend::ExtAuthzGrpc;
    let Some(Told {
        parts,
        body,
        asked,
        secure,
    }) = Told::read(request, peer.address)
    else {
        // Envoy asks about bytes of TCP, or about a request that HTTP has no word for.
        entry.became = Became::Refuse;
        let response = answer::send(message::bad_request(), entry);
        return message::denied(response, false).await;
    };
    if worker.is_overloaded() {
        entry.became = Became::Shed;
        let asker = Asker::early(&parts);
        return message::denied(answer::overloaded(&asker, entry), false).await;
    }
    let body = Given::Whole(body);
    let said = Said::Question { asked, secure };
    match judge(worker, &peer, parts, body, entry, said).await {
        Judged::Pass(passed) => {
            let allowed = message::allowed(&passed);
            drop(answer::send(Response::new(Bytes::new()), passed.entry));
            allowed
        }
        Judged::Stop { response, signs_in } => message::denied(*response, signs_in).await,
    }
}
