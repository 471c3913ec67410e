//! Envoy's `ext_authz` over HTTP: the request that is asked about is the one that comes, with its
//! own method, path, host, and the headers that Envoy is configured to show.
//!
//! Envoy lets through on exactly 200, relays any other status below 500 with its headers and body,
//! and takes 5xx for a failure of the authorizer, on which it may be configured to let through. So a
//! page of our own that would be 200 goes out as 203, which browsers treat alike, and a refusal that
//! would be 5xx as 403.

use std::rc::Rc;

use bytes::Bytes;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Response, StatusCode, Uri};
use policy::Refusal;

use super::allow::{Edits, REMOVE};
use super::judge::{Judged, Passed, judge};
use super::trust::said;
use crate::admit::{Unread, carry};
use crate::answer::{self, Asker};
use crate::body::Body;
use crate::facts::Unclear;
use crate::listen::{Peer, Worker};
use crate::local::Given;
use crate::record::{Became, Entry};

/// Answers one check.
pub(super) async fn answer(
    worker: Rc<Worker>,
    peer: &Rc<Peer>,
    mut parts: Parts,
    body: Unread,
    entry: Box<Entry>,
) -> Response<Body> {
    let body = Given::Unread(body);
    let asks = match asked(&parts.uri, &worker.authorizer().path_prefix) {
        Ok(Asked::Check(None)) => true,
        Ok(Asked::Check(Some(target))) => {
            parts.uri = target;
            true
        }
        Ok(Asked::Page) => false,
        Err(unclear) => return body.unwanted(answer::unclear(unclear, entry)),
    };
    let said = said(&worker, peer, asks);
    let judged = judge(worker, peer, parts, body, entry, said).await;
    match judged {
        Judged::Pass(passed) if asks => allow(*passed),
        // Nothing is behind this listener but the pages of this process.
        Judged::Pass(passed) => nothing_here(*passed),
        Judged::Stop { response, .. } if asks => as_denial(*response),
        Judged::Stop { response, .. } => *response,
    }
}

/// What a request is.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// A question about the path as it is, or about another one.
    Check(Option<Uri>),
    /// A request for a page of this process.
    Page,
}

/// Takes the prefix off a path.
fn asked(uri: &Uri, prefix: &str) -> Result<Asked, Unclear> {
    if prefix.is_empty() {
        return Ok(Asked::Check(None));
    }
    let target = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    match target.strip_prefix(prefix) {
        // Envoy puts it in front of a whole path.
        Some(rest) if rest.starts_with('/') => PathAndQuery::try_from(rest)
            .map(|target| Asked::Check(Some(Uri::from(target))))
            .map_err(|_| Unclear::OtherHost),
        _ => Ok(Asked::Page),
    }
}

/// 200 with the headers that the request is to have.
fn allow(passed: Passed) -> Response<Body> {
    let edits = Edits::of(&passed);
    let removed = edits.removed(&passed.view);
    let mut response = Response::new(Bytes::new());
    *response.headers_mut() = edits.set;
    if let Some(removed) = removed {
        response.headers_mut().insert(REMOVE, removed);
    }
    carry(&mut response, passed.renewed);
    answer::send(response, passed.entry)
}

fn nothing_here(passed: Passed) -> Response<Body> {
    let Passed {
        facts,
        parts,
        mut entry,
        ..
    } = passed;
    entry.became = Became::Refuse;
    let asker = Asker::new(&parts, &facts);
    answer::refusal(&Refusal::NoRoute, &asker, &facts, &parts, entry)
}

/// Makes sure that an answer is taken for no.
pub(super) fn as_denial(mut response: Response<Body>) -> Response<Body> {
    let status = response.status();
    if status == StatusCode::OK {
        *response.status_mut() = StatusCode::NON_AUTHORITATIVE_INFORMATION;
    } else if status.is_server_error() || status.is_informational() {
        *response.status_mut() = StatusCode::FORBIDDEN;
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(target: &'static str, prefix: &str) -> Asked {
        asked(&Uri::from_static(target), prefix).unwrap()
    }

    #[test]
    fn only_what_follows_the_prefix_is_asked_about() {
        let check = |target| Asked::Check(Some(Uri::from_static(target)));
        assert_eq!(of("/a?b=c", ""), Asked::Check(None));
        assert_eq!(of("/check/a?b=/check/c", "/check"), check("/a?b=/check/c"));
        assert_eq!(of("/check//a", "/check"), check("//a"));
        assert_eq!(of("/check/", "/check"), check("/"));
        for page in [
            "/",
            "/check",
            "/checks/a",
            "/Check/a",
            "/a/check/b",
            "/check?a",
        ] {
            assert_eq!(of(page, "/check"), Asked::Page, "{page}");
        }
    }

    #[test]
    fn no_answer_but_a_permission_is_200_and_none_is_a_failure() {
        let told = |status: u16| {
            let mut response = Response::new(Body::unrecorded());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            as_denial(response).status().as_u16()
        };
        for (said, relayed) in [
            (200, 203),
            (204, 204),
            (302, 302),
            (401, 401),
            (403, 403),
            (500, 403),
            (503, 403),
        ] {
            assert_eq!(told(said), relayed, "{said}");
        }
    }
}
