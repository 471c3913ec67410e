//! The shape of a log line.

use std::fmt::Display;
use std::net::IpAddr;

use model::names::Duration;
use policy::Reason;
use serde::{Serialize, Serializer};

use super::Entry;

/// One line. A query never gets in: it may carry codes and tokens.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    time: &'a str,
    method: &'a str,
    host: &'a str,
    path: &'a str,
    status: u16,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<Shown<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<PolicyPlace<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    duration_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_us: Option<u64>,
    bytes: u64,
    #[serde(skip_serializing_if = "is_true")]
    complete: bool,
    request_id: &'a str,
    client: IpAddr,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature serde asks for"
)]
fn is_true(value: &bool) -> bool {
    *value
}

impl<'a> Line<'a> {
    /// `time` is RFC 3339.
    pub(super) fn new(entry: &'a Entry, time: &'a str, duration: Duration, complete: bool) -> Self {
        let text = |value: &'a Option<http::HeaderValue>| {
            value
                .as_ref()
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let (policy, place, reason) = match &entry.reason {
            Some(Reason::Rule { policy, line }) => (
                Some(Shown(&policy.object)),
                Some(PolicyPlace {
                    file: &policy.place.file,
                    line: *line,
                }),
                None,
            ),
            Some(Reason::Default(reason)) => (None, None, Some(reason.as_str())),
            None => (None, None, None),
        };
        Self {
            time,
            method: entry.method.as_str(),
            host: text(&entry.host),
            path: entry.target.as_ref().map_or("", |target| target.path()),
            status: entry.status,
            outcome: entry.became.as_str(),
            route: entry.route.as_ref().map(|route| Shown(&route.object)),
            policy,
            place,
            reason,
            user: entry.user.as_deref(),
            duration_us: micros(duration),
            upstream_us: entry.upstream.map(micros),
            bytes: entry.bytes,
            complete,
            request_id: text(&entry.request_id),
            client: entry.client,
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// An object, written without an intermediate string.
struct Shown<'a>(&'a dyn Display);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

/// `file:line` of a rule.
struct PolicyPlace<'a> {
    file: &'a str,
    line: u32,
}

impl Serialize for PolicyPlace<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}:{}", self.file, self.line))
    }
}
