//! Outcome → HTTP: the only table of statuses and words.

mod assets;
mod fault;
mod grpc;
mod render;
mod table;
mod token;

use bytes::Bytes;
use http::header::{
    ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use http::request::Parts;
use http::{Response, StatusCode};
use model::snapshot::{Abort, HeaderEdits, Respond, ServiceRef};
use policy::decision::{Redirection, Refusal};
use policy::{TokenFault, Unreadable};

pub(crate) use assets::{asset, is_key_set, key_set};

use crate::body::{Body, Content};
use crate::facts::{Facts, Unclear};
use crate::proxy::{UpstreamFault, apply};
use crate::record::{Became, Entry};

/// Who is answered, as far as the words depend on it.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    /// A browser that shows pages.
    html: bool,
    /// A gRPC client.
    grpc: bool,
    /// Answered through a proxy, which puts a status into the form that its client knows.
    relayed: bool,
    request_id: Option<HeaderValue>,
}

impl Asker {
    /// Reads `accept` and `content-type`.
    pub(crate) fn new(parts: &Parts, facts: &Facts) -> Self {
        Self {
            relayed: facts.is_asked(),
            request_id: Some(facts.request_id.clone()),
            ..Self::early(parts)
        }
    }

    /// The same, of a request that has no id yet.
    pub(crate) fn early(parts: &Parts) -> Self {
        let html = parts.headers.get_all(ACCEPT).iter().any(|value| {
            value
                .as_bytes()
                .windows(9)
                .any(|window| window.eq_ignore_ascii_case(b"text/html"))
        });
        Self {
            html,
            grpc: grpc::is_call(&parts.headers),
            relayed: false,
            request_id: None,
        }
    }

    /// Somebody whose request could not be read.
    pub(crate) fn unknown() -> Self {
        Self {
            html: false,
            grpc: false,
            relayed: false,
            request_id: None,
        }
    }

    /// Whether it is a gRPC call.
    pub(crate) fn is_grpc(&self) -> bool {
        self.grpc
    }
}

/// Why a local service was not asked, or did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LocalFault {
    /// The request's body is longer than a local service reads.
    BodyTooLarge,
    /// The body broke off.
    BodyBroken,
    /// The client stopped sending its body.
    BodyStalled,
    /// The rewritten path is none.
    Rewrite,
    /// The service failed.
    Failed,
}

/// The head could not be made into facts.
pub(crate) fn unclear(unclear: Unclear, entry: Box<Entry>) -> Response<Body> {
    send(
        render::told(table::unclear(unclear), &Asker::unknown()),
        entry,
    )
}

/// Host or path cannot mean anything.
pub(crate) fn unreadable(
    unreadable: Unreadable,
    asker: &Asker,
    entry: Box<Entry>,
) -> Response<Body> {
    send(render::told(table::unreadable(unreadable), asker), entry)
}

/// A refusal.
pub(crate) fn refusal(
    refusal: &Refusal,
    asker: &Asker,
    facts: &Facts,
    parts: &Parts,
    entry: Box<Entry>,
) -> Response<Body> {
    let mut response = render::told(table::refusal(refusal), asker);
    if let Refusal::Token(_) = refusal {
        token::challenge(&mut response, facts, parts);
    }
    send(response, entry)
}

/// An upstream that did not answer.
pub(crate) fn upstream(
    fault: UpstreamFault,
    service: &ServiceRef,
    asker: &Asker,
    entry: Box<Entry>,
) -> Response<Body> {
    let mut response = render::told(table::upstream(fault, service), asker);
    if fault == UpstreamFault::Overflow {
        // Envoy's word for it, which its retries understand.
        const OVERLOADED: HeaderName = HeaderName::from_static("x-envoy-overloaded");
        let yes = HeaderValue::from_static("true");
        response.headers_mut().insert(OVERLOADED, yes);
    }
    send(response, entry)
}

/// This gateway has more to do than it can.
pub(crate) fn overloaded(asker: &Asker, entry: Box<Entry>) -> Response<Body> {
    let mut response = render::told(table::overloaded(), asker);
    let soon = HeaderValue::from_static("1");
    response.headers_mut().insert(RETRY_AFTER, soon);
    send(response, entry)
}

/// What a login proxy answers somebody without session; a gRPC call gets it in its own form.
pub(crate) fn sign_in(
    response: Response<Bytes>,
    asker: &Asker,
    entry: Box<Entry>,
) -> Response<Body> {
    let response = if asker.grpc {
        render::told(table::sign_in(), asker)
    } else {
        response
    };
    send(response, entry)
}

/// A local service that was not asked, or did not answer.
pub(crate) fn local_fault(fault: LocalFault, asker: &Asker, entry: Box<Entry>) -> Response<Body> {
    send(render::told(table::local(fault), asker), entry)
}

/// What a local service answered, edited as the route says when one led there.
pub(crate) fn local<'e>(
    mut response: Response<Bytes>,
    edits: impl Iterator<Item = &'e HeaderEdits>,
    entry: Box<Entry>,
) -> Response<Body> {
    edit(&mut response, edits);
    send(response, entry)
}

/// A redirect. `None` for `location` when it cannot stand in a header.
pub(crate) fn redirection(redirection: &Redirection, entry: Box<Entry>) -> Response<Body> {
    let mut response = Response::new(Bytes::new());
    let location = HeaderValue::from_str(&redirection.location);
    match (location, StatusCode::from_u16(redirection.code)) {
        (Ok(location), Ok(status)) => {
            *response.status_mut() = status;
            response.headers_mut().insert(LOCATION, location);
        }
        // A redirect to nowhere is a fault of the route, not of the client.
        _ => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    edit(&mut response, redirection.edits.iter());
    send(response, entry)
}

/// What a browser asks before a request to another origin.
pub(crate) fn preflight(edits: &[HeaderEdits], entry: Box<Entry>) -> Response<Body> {
    let mut response = Response::new(Bytes::new());
    edit(&mut response, edits.iter());
    send(response, entry)
}

/// A failure made on purpose, for a request with these headers.
pub(crate) fn fault(abort: Abort, asker: &HeaderMap, entry: Box<Entry>) -> Response<Body> {
    send(fault::answer(abort, asker), entry)
}

/// Edits the headers of an answer that was made here.
fn edit<'e, B>(response: &mut Response<B>, edits: impl Iterator<Item = &'e HeaderEdits>) {
    for wanted in edits {
        apply(response.headers_mut(), wanted);
    }
}

/// A `directResponse`.
pub(crate) fn direct(
    respond: &Respond,
    edits: &[HeaderEdits],
    entry: Box<Entry>,
) -> Response<Body> {
    let mut response = Response::new(Bytes::copy_from_slice(&respond.body));
    *response.status_mut() =
        StatusCode::from_u16(respond.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if !respond.body.is_empty() {
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    }
    edit(&mut response, edits.iter());
    send(response, entry)
}

/// Sends what was made here, and records it.
pub(crate) fn send(response: Response<Bytes>, mut entry: Box<Entry>) -> Response<Body> {
    entry.status = response.status().as_u16();
    response.map(|bytes| {
        let content = if bytes.is_empty() {
            Content::Empty
        } else {
            Content::Full(bytes)
        };
        Body::new(content, entry)
    })
}

/// A file of the pages.
pub(crate) fn file(response: Response<Bytes>, mut entry: Box<Entry>) -> Response<Body> {
    entry.became = Became::Serve;
    send(response, entry)
}

/// Whether a token is for somebody else rather than bad: forbidden, not unauthorized.
fn is_foreign(fault: TokenFault) -> bool {
    fault == TokenFault::AudienceNotAllowed
}
