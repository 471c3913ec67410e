//! Routes: what a `VirtualService` says about one kind of request.

use std::sync::Arc;

use super::closure::Closure;
use super::cors::Cors;
use super::forward::{Forward, HeaderEdits, PathRewrite};
use super::mesh::HeaderName;
use super::policy::Guard;
use super::text::TextMatch;
use crate::names::{ObjectRef, Place};

/// Which route, for reasons and logs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RouteInfo {
    /// The object.
    pub object: ObjectRef,
    /// Where the `http[]` entry stands.
    pub place: Place,
    /// Its `name`, or `http[N]`.
    pub name: Arc<str>,
}

/// One `http[]` entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Which one.
    pub info: Arc<RouteInfo>,
    /// Alternatives; empty matches every request.
    pub matches: Vec<RouteMatch>,
    /// Which pages of other origins may read the answers; `None` leaves that to the application.
    pub cors: Option<Arc<Cors>>,
    /// What has to be passed at the gateway, where policies attach to the Gateway that it hangs on;
    /// `None` where that is what has to be passed everywhere.
    pub guard: Option<Arc<Guard>>,
    /// What happens.
    pub action: RouteAction,
}

/// One `match[]` entry: every condition must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteMatch {
    /// Condition on the path without query.
    pub uri: Option<UriMatch>,
    /// Condition on the scheme.
    pub scheme: Option<TextMatch>,
    /// Condition on the method, with letter case.
    pub method: Option<TextMatch>,
    /// Condition on the whole `Host`, port included.
    pub authority: Option<TextMatch>,
    /// Conditions on headers, `withoutHeaders` included.
    pub headers: Vec<HeaderTest>,
    /// Conditions on the first line that are written as conditions on headers.
    pub pseudo: Vec<PseudoTest>,
    /// Conditions on query parameters.
    pub query: Vec<(Arc<str>, TextMatch)>,
    /// Conditions on claims of the verified token: `@request.auth.claims`. No token, no match.
    pub claims: Vec<ClaimTest>,
    /// Port of the `Gateway` server.
    pub port: Option<u16>,
}

/// A condition on the path.
#[derive(Clone, Debug, PartialEq)]
pub struct UriMatch {
    /// The pattern.
    pub text: TextMatch,
    /// `ignoreUriCase`, for exact and prefix.
    pub ignore_case: bool,
    /// A prefix ends where a segment ends, as `PathPrefix` of the Gateway API does: `/foo` matches
    /// `/foo` and `/foo/bar`, not `/foobar`. A `/` at the end of the prefix counts for nothing.
    pub whole_segments: bool,
}

/// A condition on one claim.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimTest {
    /// Names from the outside in.
    pub path: Arc<[Arc<str>]>,
    /// What its value, or one of its values, must be.
    pub value: TextMatch,
    /// From `withoutHeaders`: the condition must not hold.
    pub negate: bool,
}

/// A condition on a pseudo-header.
#[derive(Clone, Debug, PartialEq)]
pub struct PseudoTest {
    /// Which.
    pub which: PseudoHeader,
    /// What its value must be.
    pub value: TextMatch,
    /// From `withoutHeaders`: the condition must not hold.
    pub negate: bool,
}

/// A part of the request's first line under its name of HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PseudoHeader {
    /// `:method`.
    Method,
    /// `:path`: path and query.
    Path,
    /// `:authority`: the whole `Host`, port included.
    Authority,
    /// `:scheme`.
    Scheme,
}

/// A condition on one header.
#[derive(Clone, Debug, PartialEq)]
pub struct HeaderTest {
    /// Header name.
    pub name: HeaderName,
    /// What its value must be.
    pub value: HeaderMatch,
    /// From `withoutHeaders`: the condition must not hold.
    pub negate: bool,
}

/// What a header value must be.
#[derive(Clone, Debug, PartialEq)]
pub enum HeaderMatch {
    /// It is there.
    Present,
    /// Its value matches.
    Text(TextMatch),
}

/// What happens to a matching request.
#[derive(Clone, Debug, PartialEq)]
pub enum RouteAction {
    /// It goes to a destination.
    Forward(Forward),
    /// It is answered with a redirect.
    Redirect(Redirect),
    /// It is answered here.
    Respond(Respond),
    /// The manifest is wrong: answered 503.
    Closed(Arc<Closure>),
}

/// `redirect`.
#[derive(Clone, Debug, PartialEq)]
pub struct Redirect {
    /// Changes the path; the query stays unless a whole path that replaces it has a `?`.
    pub path: Option<PathRewrite>,
    /// Replaces the host.
    pub authority: Option<Arc<str>>,
    /// Replaces the scheme.
    pub scheme: Option<Arc<str>>,
    /// Adds a port.
    pub port: RedirectPort,
    /// 301, 302, 303, 307 or 308.
    pub code: u16,
    /// Edits of the answer's headers.
    pub headers: HeaderEdits,
}

/// Port of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectPort {
    /// As in the request's `Host`.
    Keep,
    /// This one.
    Number(u16),
    /// Port of the `Gateway` server.
    FromRequest,
    /// This one, or that of the `Gateway` server, in place of any in the request's `Host`: the
    /// Gateway API. The scheme's own is not written.
    Replace(Option<u16>),
}

/// `directResponse`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    /// Status, 200 to 599.
    pub status: u16,
    /// Body, at most 1 MB.
    pub body: Arc<[u8]>,
    /// Edits of the answer's headers.
    pub headers: HeaderEdits,
}
