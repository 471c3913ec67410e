//! Routes: what a `VirtualService` says about one kind of request.

use std::sync::Arc;

use super::closure::Closure;
use super::destination::Destination;
use super::mesh::HeaderName;
use super::text::{Regex, TextMatch};
use crate::names::{Duration, ObjectRef, Place};

/// Which route, for reasons and logs.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Conditions on query parameters.
    pub query: Vec<(Arc<str>, TextMatch)>,
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
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every route forwards; boxing it would cost each request a jump"
)]
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

/// Forwarding.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// Destinations by weight; at least one, and the weights do not sum to 0.
    pub destinations: Vec<Weighted>,
    /// Change of path or host.
    pub rewrite: Option<Rewrite>,
    /// Edits of the request's headers.
    pub request_headers: HeaderEdits,
    /// Edits of the answer's headers.
    pub response_headers: HeaderEdits,
    /// Time until the whole answer; `None` waits for ever.
    pub timeout: Option<Duration>,
}

/// A destination and its share.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighted {
    /// Share relative to the sum.
    pub weight: u32,
    /// Where.
    pub destination: Arc<Destination>,
}

/// `rewrite`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rewrite {
    /// `uri`: replaces the matched prefix, or the whole path when the match is no prefix.
    pub uri: Option<Arc<str>>,
    /// `uriRegexRewrite`: pattern and replacement over the path.
    pub regex: Option<(Regex, Arc<str>)>,
    /// `authority`: replaces `Host`.
    pub authority: Option<Arc<str>>,
}

/// Header edits in their effective order: removes, then sets, then adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Removed.
    pub remove: Vec<HeaderName>,
    /// Overwritten or created.
    pub set: Vec<(HeaderName, http::HeaderValue)>,
    /// Appended.
    pub add: Vec<(HeaderName, http::HeaderValue)>,
}

/// `redirect`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Replaces the whole path; the query stays unless this has a `?`.
    pub uri: Option<Arc<str>>,
    /// Replaces the host.
    pub authority: Option<Arc<str>>,
    /// Replaces the scheme.
    pub scheme: Option<Arc<str>>,
    /// Adds a port.
    pub port: RedirectPort,
    /// 301, 302, 303, 307 or 308.
    pub code: u16,
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
}

/// `directResponse`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    /// Status, 200 to 599.
    pub status: u16,
    /// Body, at most 1 MB.
    pub body: Arc<[u8]>,
}
