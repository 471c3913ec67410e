//! Sub-requests that describe another request in their headers: `auth_request` of nginx, forward
//! auth of Traefik, Caddy and HAProxy.
//!
//! Only named peers may describe one, and each path reads one family of headers: the proxy sets
//! that one, and whatever its client sent under the names of the other counts for nothing. A
//! description that is not whole is refused.
//!
//! Permission is 202, which these proxies take for a success and `ext_authz` does not: neither form
//! can be mistaken for the other.

use std::rc::Rc;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue,
    LOCATION,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Response, StatusCode, Uri};

use super::allow::Edits;
use super::judge::{Judged, Passed, judge};
use super::trust::is_trusted;
use crate::admit::{Unread, carry};
use crate::answer;
use crate::body::Body;
use crate::facts::Said;
use crate::listen::{Peer, Worker};
use crate::local::Given;
use crate::record::{Became, Entry, Frontend};

/// Traefik, Caddy, HAProxy: what is no success is relayed whole.
const FORWARD_AUTH: &str = "/doorward/forward-auth";
/// nginx: 401 and 403 are all that it understands besides success.
const AUTH_REQUEST: &str = "/doorward/auth-request";
/// nginx again, for the answer that its client gets after a 401 or 403.
const AUTH_ANSWER: &str = "/doorward/auth-request/answer";

/// Names of the headers that describe a request.
struct Family {
    method: HeaderName,
    uri: HeaderName,
    /// `None` where it is `Host`.
    host: Option<HeaderName>,
}

const FORWARDED: Family = Family {
    method: HeaderName::from_static("x-forwarded-method"),
    uri: HeaderName::from_static("x-forwarded-uri"),
    host: Some(HeaderName::from_static("x-forwarded-host")),
};

const ORIGINAL: Family = Family {
    method: HeaderName::from_static("x-original-method"),
    uri: HeaderName::from_static("x-original-uri"),
    host: None,
};

/// How the one who asks wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Success, or the answer for its client.
    Whole,
    /// A status and nothing else.
    Bare,
    /// The answer for its client.
    Answer,
}

impl Form {
    /// The form that a path asks for, if it is one of those.
    pub(super) fn of(path: &str) -> Option<Self> {
        match path {
            FORWARD_AUTH => Some(Self::Whole),
            AUTH_REQUEST => Some(Self::Bare),
            AUTH_ANSWER => Some(Self::Answer),
            _ => None,
        }
    }

    fn family(self) -> Family {
        match self {
            Self::Whole => FORWARDED,
            Self::Bare | Self::Answer => ORIGINAL,
        }
    }
}

/// Why a sub-request describes nothing. The proxy's configuration is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undescribed {
    /// The peer is not one of those that may.
    Stranger,
    /// There is no method, or more than one, or none that can be read.
    Method,
    /// The same of the path.
    Uri,
    /// The same of the host.
    Host,
}

impl Undescribed {
    fn text(self) -> &'static str {
        match self {
            Self::Stranger => {
                "this peer is not one that may ask for others; help: `authorizer.trustedPeers`"
            }
            Self::Method => {
                "the method of the request is not told once; help: `X-Forwarded-Method`, for nginx `X-Original-Method`"
            }
            Self::Uri => {
                "the path of the request is not told once; help: `X-Forwarded-Uri`, for nginx `X-Original-URI`"
            }
            Self::Host => {
                "the host of the request is not told once; help: `X-Forwarded-Host`, for nginx `Host`"
            }
        }
    }
}

/// Answers one sub-request.
pub(super) async fn answer(
    worker: Rc<Worker>,
    peer: &Rc<Peer>,
    mut parts: Parts,
    body: Unread,
    mut entry: Box<Entry>,
    form: Form,
) -> Response<Body> {
    entry.frontend = Frontend::ForwardAuth;
    let described = if is_trusted(&worker, peer) {
        describe(&mut parts, &form.family())
    } else {
        Err(Undescribed::Stranger)
    };
    if let Err(fault) = described {
        tracing::warn!(peer = %peer.address, "{}", fault.text());
        entry.became = Became::Refuse;
        return body.unwanted(answer::send(told(fault), entry));
    }
    match (
        judge(
            worker,
            peer,
            parts,
            Given::Unread(body),
            entry,
            Said::Headers,
        )
        .await,
        form,
    ) {
        (Judged::Pass(passed), Form::Whole | Form::Bare) => allow(*passed),
        (Judged::Pass(passed), Form::Answer) => go_on(*passed),
        (Judged::Stop { response, .. }, Form::Whole) => as_denial(*response),
        (Judged::Stop { response, signs_in }, Form::Bare) => bare(*response, signs_in),
        (Judged::Stop { response, .. }, Form::Answer) => *response,
    }
}

/// Makes `parts` those of the request that they describe.
fn describe(parts: &mut Parts, family: &Family) -> Result<(), Undescribed> {
    let Family { method, uri, host } = family;
    let headers = &mut parts.headers;
    let method = only(headers, method)
        .and_then(|value| Method::from_bytes(value.as_bytes()).ok())
        .ok_or(Undescribed::Method)?;
    let target = only(headers, uri)
        .filter(|value| value.as_bytes().starts_with(b"/"))
        .and_then(|value| PathAndQuery::try_from(value.as_bytes()).ok())
        .ok_or(Undescribed::Uri)?;
    if let Some(host) = host {
        let host = only(headers, host).ok_or(Undescribed::Host)?.clone();
        headers.insert(HOST, host);
    } else if only(headers, &HOST).is_none() {
        return Err(Undescribed::Host);
    }
    for name in [FORWARDED, ORIGINAL].iter().flat_map(|family| {
        [&family.method, &family.uri]
            .into_iter()
            .chain(&family.host)
    }) {
        headers.remove(name);
    }
    // The body stays with the proxy.
    headers.remove(CONTENT_LENGTH);
    parts.method = method;
    parts.uri = Uri::from(target);
    Ok(())
}

/// The value of a header that is there once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

fn told(fault: Undescribed) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(fault.text().as_bytes()));
    *response.status_mut() = StatusCode::FORBIDDEN;
    let plain = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// 202 with the headers that the request is to have. Cookies and credentials are told as they are to
/// be even where they stay as they came: a proxy that sets every name from the answer would lose
/// them.
fn allow(passed: Passed) -> Response<Body> {
    let mut edits = Edits::of(&passed);
    for name in [COOKIE, AUTHORIZATION] {
        if !edits.remove.contains(&name)
            && !edits.set.contains_key(&name)
            && let Some(value) = passed.parts.headers.get(&name)
        {
            edits.set.insert(name, value.clone());
        }
    }
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::ACCEPTED;
    *response.headers_mut() = edits.set;
    carry(&mut response, passed.renewed);
    answer::send(response, passed.entry)
}

/// Who may pass meanwhile asks again.
fn go_on(passed: Passed) -> Response<Body> {
    let mut response = Response::new(Bytes::new());
    let target = passed.parts.uri.path_and_query();
    let target = target
        .map_or("/", PathAndQuery::as_str)
        .trim_start_matches('/');
    // One slash: two would name a host.
    match HeaderValue::try_from(format!("/{target}")) {
        Ok(target) => {
            *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
            response.headers_mut().insert(LOCATION, target);
        }
        Err(_) => *response.status_mut() = StatusCode::FORBIDDEN,
    }
    answer::send(response, passed.entry)
}

/// Makes sure that an answer is taken for no.
fn as_denial(mut response: Response<Body>) -> Response<Body> {
    if response.status().is_success() || response.status().is_informational() {
        *response.status_mut() = StatusCode::FORBIDDEN;
    }
    response
}

/// As nginx understands it: 401 where signing in helps, 403 where it does not. It takes anything
/// else for a failure and lets nobody through.
fn bare(mut response: Response<Body>, signs_in: bool) -> Response<Body> {
    let status = match response.status() {
        _ if signs_in => StatusCode::UNAUTHORIZED,
        StatusCode::UNAUTHORIZED => StatusCode::UNAUTHORIZED,
        status if status.is_server_error() => status,
        _ => StatusCode::FORBIDDEN,
    };
    *response.status_mut() = status;
    response.headers_mut().remove(LOCATION);
    response
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn described(family: &Family, headers: &[(&str, &str)]) -> Result<String, Undescribed> {
        let mut request = Request::get("/doorward/forward-auth");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        describe(&mut parts, family)?;
        let host = parts.headers[HOST].to_str().unwrap();
        Ok(format!("{} {host}{}", parts.method, parts.uri))
    }

    #[test]
    fn each_family_is_read_alone() {
        let both = [
            ("host", "own.example"),
            ("x-forwarded-method", "POST"),
            ("x-forwarded-uri", "/a?b"),
            ("x-forwarded-host", "a.example"),
            ("x-original-method", "PUT"),
            ("x-original-uri", "/c"),
        ];
        let said = |family: &Family| described(family, &both);
        assert_eq!(said(&FORWARDED), Ok("POST a.example/a?b".into()));
        assert_eq!(said(&ORIGINAL), Ok("PUT own.example/c".into()));
    }

    #[test]
    fn a_description_is_whole_and_said_once() {
        let whole = [
            ("x-forwarded-method", "GET"),
            ("x-forwarded-uri", "/"),
            ("x-forwarded-host", "a"),
        ];
        let faults = [Undescribed::Method, Undescribed::Uri, Undescribed::Host];
        for (number, fault) in faults.into_iter().enumerate() {
            let mut less = whole.to_vec();
            let gone = less.remove(number);
            assert_eq!(described(&FORWARDED, &less), Err(fault));
            let mut twice = whole.to_vec();
            twice.push(gone);
            assert_eq!(described(&FORWARDED, &twice), Err(fault));
        }
        for bad in ["", "app", "http://a/app", "*", "a.example:443"] {
            let odd = [whole[0], ("x-forwarded-uri", bad), whole[2]];
            assert_eq!(described(&FORWARDED, &odd), Err(Undescribed::Uri), "{bad}");
        }
    }

    #[test]
    fn nothing_but_a_permission_is_a_success() {
        let told = |tell: fn(Response<Body>) -> Response<Body>, status: u16| {
            let mut response = Response::new(Body::unrecorded());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            tell(response).status().as_u16()
        };
        for (said, whole, plain) in [
            (200, 403, 403),
            (204, 403, 403),
            (302, 302, 403),
            (401, 401, 401),
            (403, 403, 403),
            (404, 404, 403),
            (503, 503, 503),
        ] {
            assert_eq!(told(as_denial, said), whole);
            assert_eq!(told(|it| bare(it, false), said), plain);
            assert_eq!(told(|it| bare(it, true), said), 401);
        }
    }
}
