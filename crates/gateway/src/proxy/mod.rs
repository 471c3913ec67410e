//! Performs a permit: finds the upstream, edits headers, streams both ways.

mod edits;
mod pool;
mod resolve;
mod tunnel;

use std::cell::Cell;
use std::rc::Rc;

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use model::snapshot::ServiceRef;
use policy::Permit;

pub(crate) use pool::{Lease, Pool};

use self::pool::{Sender, Upstream};
use crate::admit::Unread;
use crate::answer::{self, Asker};
use crate::body::{Body, ClientBody, Content, Download, Upload};
use crate::facts::{self, Facts, View};
use crate::listen::{Busy, Worker};
use crate::record::{Entry, Stopwatch, UpstreamFailure};

pub(crate) use edits::{apply, edit_request};

/// Why an upstream's answer cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamFault {
    /// No address is known for the Service.
    Unresolvable,
    /// Nobody takes connections there.
    Unreachable,
    /// It broke off before it answered, or what it said is no HTTP.
    BrokeOff,
    /// The route's timeout passed.
    Timeout,
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
            Self::BrokeOff => Some(UpstreamFailure::BrokeOff),
            Self::Timeout => Some(UpstreamFailure::Timeout),
            Self::ClientStalled | Self::ClientBroke | Self::Rewrite => None,
        }
    }
}

/// An upstream's head, and the connection it came over.
struct Answered {
    response: Response<Incoming>,
    upstream: Rc<Upstream>,
    sender: Sender,
}

/// Forwards one request. Consumes the permit.
pub(crate) async fn forward(
    worker: Rc<Worker>,
    view: Rc<View>,
    facts: Facts,
    permit: Permit,
    mut parts: Parts,
    body: Unread,
    mut entry: Box<Entry>,
) -> Response<Body> {
    let Unread {
        incoming: body,
        held_back,
        pulse,
    } = body;
    // One timer for head and body: registering it costs more than polling it.
    let mut deadline = permit
        .timeout()
        .map(|timeout| Box::pin(tokio::time::sleep(timeout)));
    let client = if facts.websocket {
        parts.extensions.remove::<OnUpgrade>()
    } else {
        None
    };
    let asker = Asker::new(&parts, &facts.request_id);
    let service = &permit.destination().service;
    if !edit_request(&mut parts, &facts, &permit, Some(&view.cookies)) {
        return fail(&worker, UpstreamFault::Rewrite, service, &asker, entry);
    }
    let upload = (!body.is_end_stream()).then(|| Rc::new(Cell::new(Upload::Running)));
    let request = outgoing(parts, body, upload.clone(), client.is_some(), &worker);

    let upstream_time = Stopwatch::start();
    let mut unsent = Some(request);
    let answered = {
        let mut exchange = std::pin::pin!(exchange(&worker.pool, &permit, &mut unsent));
        match &mut deadline {
            None => exchange.as_mut().await,
            Some(deadline) => tokio::select! {
                biased;
                answered = exchange.as_mut() => answered,
                () = deadline.as_mut() => Err(UpstreamFault::Timeout),
            },
        }
    };
    entry.upstream = Some(upstream_time.elapsed());
    let answered = match answered {
        Ok(answered) => answered,
        Err(fault) => {
            if let Some((unsent, pulse)) = unsent.zip(pulse).filter(|_| !held_back) {
                unsent.into_body().discard(Busy::hold(&pulse));
            }
            let fault = match upload.map(|upload| upload.get()) {
                Some(Upload::Stalled) => UpstreamFault::ClientStalled,
                Some(Upload::Broken) => UpstreamFault::ClientBroke,
                Some(Upload::Running | Upload::Done) | None => fault,
            };
            return fail(&worker, fault, service, &asker, entry);
        }
    };
    let Answered {
        mut response,
        upstream,
        sender,
    } = answered;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return match client {
            Some(client) => tunnel::open(client, response, &permit, entry),
            // Nobody asked for it, so nobody could follow.
            None => fail(&worker, UpstreamFault::BrokeOff, service, &asker, entry),
        };
    }
    facts::strip_answer(response.headers_mut());
    for wanted in permit.response_headers() {
        edits::apply(response.headers_mut(), wanted);
    }
    entry.status = response.status().as_u16();
    response.map(|incoming| {
        let lease = Some(Lease::new(upstream, sender, upload));
        Body::new(
            Content::Upstream(Download {
                incoming,
                lease,
                deadline,
            }),
            entry,
        )
    })
}

/// The request as the upstream gets it.
fn outgoing(
    parts: Parts,
    body: Incoming,
    upload: Option<Rc<Cell<Upload>>>,
    websocket: bool,
    worker: &Worker,
) -> Request<ClientBody> {
    let Parts {
        method,
        uri,
        mut headers,
        ..
    } = parts;
    let body = match upload {
        None => ClientBody::empty(),
        Some(upload) => {
            // Said outright: with some methods hyper takes silence for "no body".
            if !headers.contains_key(CONTENT_LENGTH) {
                headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            ClientBody::streaming(body, worker.limits().body, upload)
        }
    };
    if websocket {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    head_of(method, uri, headers, body)
}

fn head_of(method: Method, uri: Uri, headers: HeaderMap, body: ClientBody) -> Request<ClientBody> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;
    request
}

/// A request without body, to be sent again should the first connection turn out to be dead. Nearly
/// every one is dropped unused, so its headers are a list: a copied map would copy its index too.
struct Spare {
    method: Method,
    uri: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Spare {
    fn of(request: &Request<ClientBody>) -> Self {
        let headers = request.headers().iter();
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: headers
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        }
    }

    fn request(self) -> Request<ClientBody> {
        let Self {
            method,
            uri,
            headers: list,
        } = self;
        let mut headers = HeaderMap::with_capacity(list.len());
        for (name, value) in list {
            headers.append(name, value);
        }
        head_of(method, uri, headers, ClientBody::empty())
    }
}

/// Sends a request and waits for the head of the answer. A connection that was used before may have
/// died in the meantime: then the request is sent once more over a new one, as long as nothing of it
/// was sent, or sending it twice does no harm (RFC 9110 §9.2.2). What is not sent stays in `unsent`.
async fn exchange(
    pool: &Pool,
    permit: &Permit,
    unsent: &mut Option<Request<ClientBody>>,
) -> Result<Answered, UpstreamFault> {
    let destination = permit.destination();
    let upstreams = match pool.at_hand(destination) {
        Some(upstreams) => upstreams,
        None => Box::pin(pool.look_up(destination)).await?,
    };
    if let Some((upstream, mut sender)) = upstreams.take_idle() {
        let Some(request) = unsent.take() else {
            return Err(UpstreamFault::BrokeOff);
        };
        let bodiless = request.body().is_end_stream();
        let spare = (bodiless && request.method().is_idempotent()).then(|| Spare::of(&request));
        match sender.try_send_request(request).await {
            Ok(response) => {
                return Ok(Answered {
                    response,
                    upstream,
                    sender,
                });
            }
            Err(mut error) => {
                let died = !error.error().is_parse() && !error.error().is_user();
                *unsent = error
                    .take_message()
                    .or_else(|| Some(spare.filter(|_| died)?.request()));
            }
        }
    }
    if unsent.is_none() {
        return Err(UpstreamFault::BrokeOff);
    }
    let (upstream, mut sender) = Box::pin(pool.connect(&upstreams)).await?;
    let Some(request) = unsent.take() else {
        return Err(UpstreamFault::BrokeOff);
    };
    match sender.send_request(request).await {
        Ok(response) => Ok(Answered {
            response,
            upstream,
            sender,
        }),
        Err(error) => {
            tracing::debug!(%error, service = %destination.service, "an upstream broke off");
            Err(UpstreamFault::BrokeOff)
        }
    }
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
