//! Performs a permit: finds the upstream, edits headers, streams both ways.

mod affinity;
mod edits;
mod exchange;
mod mirror;
mod pool;
mod resolve;
mod retry;
mod spare;
mod tls;
mod tunnel;

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use http::header::{CONNECTION, CONTENT_LENGTH, SET_COOKIE, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use model::names::Duration;
use model::snapshot::{ServiceRef, UpstreamProtocol};
use policy::Permit;

pub(crate) use pool::{Lease, Pool};
pub(crate) use tls::TlsConfigs;

use self::exchange::{Answered, Exchange, Kind};
use crate::admit::Unread;
use crate::answer::{self, Asker};
use crate::body::{Body, ClientBody, Content, Download, Streaming, Tape, Upload};
use crate::facts::{self, Facts, View};
use crate::listen::{Busy, Worker};
use crate::record::{Entry, Stopwatch, UpstreamFailure};

pub(crate) use edits::{apply, edit_request};

/// How long a route's injected delay may hold a request.
const LONGEST_DELAY: Duration = Duration::from_secs(600);

/// Why an upstream's answer cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamFault {
    /// No address is known for the Service.
    Unresolvable,
    /// Nobody takes connections there.
    Unreachable,
    /// TLS to it failed, or its certificate is not to be trusted.
    Untrusted,
    /// It broke off before it answered.
    BrokeOff,
    /// It refused the request before it looked at it.
    Refused,
    /// What it said is no HTTP.
    Garbled,
    /// It has as many requests or connections as its limits allow.
    Overflow,
    /// Every place of it is left out, because all failed.
    NoneHealthy,
    /// The route's timeout passed.
    Timeout,
    /// The time for one attempt passed.
    AttemptTimeout,
    /// The client stopped sending its body.
    ClientStalled,
    /// The client went away, or its body is framed wrongly.
    ClientBroke,
    /// The rewritten path is none.
    Rewrite,
}

impl UpstreamFault {
    fn failure(self) -> Option<UpstreamFailure> {
        match self {
            Self::Unresolvable | Self::Unreachable => Some(UpstreamFailure::Unreachable),
            Self::Untrusted => Some(UpstreamFailure::Untrusted),
            Self::BrokeOff | Self::Refused | Self::Garbled => Some(UpstreamFailure::BrokeOff),
            Self::Overflow => Some(UpstreamFailure::Overflow),
            Self::NoneHealthy => Some(UpstreamFailure::NoneHealthy),
            Self::Timeout | Self::AttemptTimeout => Some(UpstreamFailure::Timeout),
            Self::ClientStalled | Self::ClientBroke | Self::Rewrite => None,
        }
    }
}

/// Holds a request as its route says. Gone with the client, should it leave.
pub(crate) async fn hold(delay: Duration) {
    tokio::time::sleep(delay.min(LONGEST_DELAY)).await;
}

/// Forwards one request, as its permit says.
pub(crate) async fn forward(
    worker: &Worker,
    view: &View,
    facts: &Facts,
    permit: &Permit,
    parts: &mut Parts,
    body: Unread,
    mut entry: Box<Entry>,
) -> Response<Body> {
    let asker = Asker::new(parts, facts);
    let client = if facts.websocket {
        parts.extensions.remove::<OnUpgrade>()
    } else {
        None
    };
    if let Some(delay) = permit.delay() {
        Box::pin(hold(delay)).await;
    }
    // One timer for head and body: registering it costs more than polling it.
    let mut deadline = permit
        .timeout()
        .map(|timeout| Box::pin(tokio::time::sleep(timeout)));
    let destination = permit.destination();
    let service = &destination.service;
    let (choice, cookie) = affinity::choice(permit, parts, facts);
    if !edit_request(parts, facts, permit, Some(&view.cookies)) {
        let rewrite = UpstreamFault::Rewrite;
        return body.unwanted(fail(worker, rewrite, service, &asker, entry));
    }
    let Unread {
        incoming: body,
        held_back,
        pulse,
    } = body;
    let is_http2 = destination.protocol == UpstreamProtocol::Http2;
    let kind = Kind {
        upgrades: client.is_some(),
        is_grpc: asker.is_grpc(),
        needs_copy: permit.retries().is_some_and(|retries| {
            retries.attempts > 0 && retry::needs_copy(&retries.on, is_http2, asker.is_grpc())
        }),
    };
    let upload = (!body.is_end_stream()).then(|| Rc::new(Cell::new(Upload::Running)));
    let upstream_time = Stopwatch::start();
    let cluster = worker.pool.cluster(destination);
    let shard = &worker.recorder.shard;
    let retries = permit.retries();
    let request = outgoing(parts, body, upload.as_ref(), kind, permit, worker);
    let mut exchange = Exchange::new(cluster, retries, choice, kind, request, shard);
    if client.is_none() {
        exchange.copy_to(&worker.pool, permit);
    }
    let answered = {
        let mut running = pin!(exchange.run());
        std::future::poll_fn(|cx| match running.as_mut().poll(cx) {
            Poll::Ready(answered) => Poll::Ready(Some(answered)),
            Poll::Pending => match &mut deadline {
                Some(deadline) => deadline.as_mut().poll(cx).map(|()| None),
                None => Poll::Pending,
            },
        })
        .await
    };
    let answered = answered.unwrap_or_else(|| {
        exchange.timed_out();
        Err(UpstreamFault::Timeout)
    });
    entry.upstream = Some(upstream_time.elapsed());
    let answered = match answered {
        Ok(answered) => answered,
        Err(fault) => {
            if let Some((unsent, pulse)) = exchange.into_unsent().zip(pulse).filter(|_| !held_back)
            {
                unsent.into_body().discard(Busy::hold(&pulse));
            }
            let fault = match upload.map(|upload| upload.get()) {
                Some(Upload::Stalled) => UpstreamFault::ClientStalled,
                Some(Upload::Broken) => UpstreamFault::ClientBroke,
                Some(Upload::Running | Upload::Done) | None => fault,
            };
            return fail(worker, fault, service, &asker, entry);
        }
    };
    let Answered {
        mut response,
        connection,
        in_flight,
    } = answered;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return match client {
            Some(client) => {
                tunnel::open(client, response, permit, facts.extended, in_flight, entry)
            }
            // Nobody asked for it, so nobody could follow.
            None => fail(worker, UpstreamFault::BrokeOff, service, &asker, entry),
        };
    }
    if facts.extended && response.status().is_success() {
        // To a client of HTTP/2 it would say that the tunnel stands (RFC 8441 §5).
        return fail(worker, UpstreamFault::Garbled, service, &asker, entry);
    }
    facts::strip_answer(response.headers_mut());
    for wanted in permit.response_headers() {
        edits::apply(response.headers_mut(), wanted);
    }
    if let Some(cookie) = cookie {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    entry.status = response.status().as_u16();
    response.map(|incoming| {
        let lease = Some(Lease::new(connection, in_flight, upload));
        Body::new(
            Content::Upstream(Download {
                incoming,
                lease,
                broken: None,
                deadline,
            }),
            entry,
        )
    })
}

/// The request as an upstream of HTTP/1.1 gets it, and its body on tape when that may be needed
/// again.
fn outgoing(
    parts: &mut Parts,
    body: Incoming,
    upload: Option<&Rc<Cell<Upload>>>,
    kind: Kind,
    permit: &Permit,
    worker: &Worker,
) -> (Request<ClientBody>, Option<Tape>) {
    let headers = &mut parts.headers;
    let mut tape = None;
    let body = match upload {
        None => {
            // Some servers answer 411 when a method that usually has a body does not say how long
            // it is (RFC 9110 §8.6).
            let usual = !matches!(
                parts.method,
                Method::GET | Method::HEAD | Method::DELETE | Method::TRACE | Method::CONNECT
            );
            if usual && !headers.contains_key(CONTENT_LENGTH) {
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
            ClientBody::Empty
        }
        Some(upload) => {
            // Said outright: with some methods hyper takes silence for "no body".
            if !headers.contains_key(CONTENT_LENGTH) {
                headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            let limits = worker.limits();
            let streaming = Streaming::new(body, limits.body, Rc::clone(upload));
            let is_copied = permit.mirrors().next().is_some();
            if kind.needs_copy || is_copied || parts.method.is_idempotent() {
                let recorded = Tape::new(streaming, limits.replay);
                let played = recorded.play();
                tape = Some(recorded);
                played.unwrap_or(ClientBody::Empty)
            } else {
                ClientBody::Streaming(streaming)
            }
        }
    };
    if kind.upgrades {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    let mut request = Request::new(body);
    *request.method_mut() = std::mem::take(&mut parts.method);
    *request.uri_mut() = std::mem::take(&mut parts.uri);
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = std::mem::take(headers);
    (request, tape)
}

fn fail(
    worker: &Worker,
    fault: UpstreamFault,
    service: &ServiceRef,
    asker: &Asker,
    entry: Box<Entry>,
) -> Response<Body> {
    if let Some(failure) = fault.failure() {
        worker.recorder.shard.upstream_failed(failure);
    }
    worker.pool.complain(fault, service);
    answer::upstream(fault, service, asker, entry)
}
