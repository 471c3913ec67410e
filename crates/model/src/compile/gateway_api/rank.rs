//! Which of several matches goes first.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::objects::Object;
use crate::snapshot::{RouteMatch, TextMatch};

/// Smaller goes first: the path, the method, most headers, most query parameters; then the oldest
/// object, its namespace and name, and the order of its rules and matches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    path: (u8, Reverse<usize>),
    method: Reverse<bool>,
    headers: Reverse<usize>,
    query: Reverse<usize>,
    /// A file has no time of creation: it counts as younger than any.
    age: (bool, Option<Arc<str>>),
    name: (Arc<str>, Arc<str>),
    number: (usize, usize),
}

impl Rank {
    /// The rank of a match: the number of its rule, and its own.
    pub(crate) fn of(
        one: &RouteMatch,
        object: &Object,
        created: Option<&Arc<str>>,
        number: (usize, usize),
    ) -> Self {
        Self {
            path: path(one),
            method: Reverse(one.method.is_some()),
            headers: Reverse(one.headers.len()),
            query: Reverse(one.query.len()),
            age: (created.is_none(), created.cloned()),
            name: (Arc::clone(object.namespace()), Arc::clone(object.name())),
            number,
        }
    }
}

/// Exact paths, then prefixes by their length, then patterns, then `/`. The specification leaves
/// the place of patterns open; behind `/` none would ever be reached.
fn path(one: &RouteMatch) -> (u8, Reverse<usize>) {
    match one.uri.as_ref().map(|uri| &uri.text) {
        Some(TextMatch::Exact(path)) => (0, Reverse(path.len())),
        Some(TextMatch::Prefix(path)) if path.len() > 1 => (1, Reverse(path.len())),
        Some(TextMatch::Regex(regex)) => (2, Reverse(regex.source().len())),
        Some(TextMatch::Prefix(_)) | None => (3, Reverse(0)),
    }
}
