//! What a proxy is told to do with the headers of a request that may pass.
//!
//! Names that say who somebody is are either set or removed: a proxy that is told nothing of one
//! leaves what the client sent under it.

use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue};

use model::snapshot::HeaderEdits;

use super::judge::Passed;
use crate::facts::{View, without_session_cookies};

/// Names of request headers that Envoy removes, after it set those that it was told to set.
pub(super) const REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

const ASSERTION: HeaderName = HeaderName::from_static("x-doorward-assertion");

/// Changes of a request's headers.
pub(super) struct Edits {
    /// Replace any of the same name.
    pub(super) set: HeaderMap,
    /// Go, those in `set` not among them.
    pub(super) remove: Vec<HeaderName>,
}

impl Edits {
    /// Those that a request needs which may pass.
    pub(super) fn of(passed: &Passed) -> Self {
        let Passed {
            view,
            facts,
            parts,
            pass,
            ..
        } = passed;
        let mut set = HeaderMap::with_capacity(16);
        for (name, value) in pass.identity() {
            set.insert(name, value.clone());
        }
        if let Some(assertion) = &facts.assertion {
            set.insert(ASSERTION, assertion.clone());
        }
        let mut remove: Vec<HeaderName> = Vec::new();
        match cookies_left(&parts.headers, view) {
            Left::All => {}
            Left::Some(value) => {
                set.insert(COOKIE, value);
            }
            Left::None => remove.push(COOKIE),
        }
        let names = view.identity.iter().chain(pass.remove());
        remove.extend(names.filter(|name| !set.contains_key(*name)).cloned());
        Self { set, remove }
    }

    /// The names to remove and all their look-alikes, as one header value has them.
    pub(super) fn removed(&self, view: &View) -> Option<HeaderValue> {
        listed(self.remove.iter(), view)
    }
}

/// What an answer of a program that this process stands in for makes Envoy remove: every name that
/// says who somebody is and that `edits` do not set.
pub(crate) fn unsaid(view: &View, edits: &[HeaderEdits]) -> HeaderEdits {
    let is_said = |name: &&HeaderName| {
        let mut set = edits.iter().flat_map(|edits| &edits.set);
        set.any(|(said, _)| said == *name)
    };
    let names = listed(view.identity.iter().filter(|name| !is_said(name)), view);
    HeaderEdits {
        set: names.into_iter().map(|names| (REMOVE, names)).collect(),
        ..HeaderEdits::default()
    }
}

/// Names and all the look-alikes of names, as one header value.
fn listed<'a>(
    names: impl Iterator<Item = &'a HeaderName> + Clone,
    view: &'a View,
) -> Option<HeaderValue> {
    let mut last = view.removed.borrow_mut();
    // Nothing was listed yet, or it is never anything.
    if last.1.is_none() || !last.0.iter().eq(names.clone()) {
        *last = (names.clone().cloned().collect(), joined(names, view));
    }
    last.1.clone()
}

fn joined<'a>(names: impl Iterator<Item = &'a HeaderName>, view: &'a View) -> Option<HeaderValue> {
    let mut text = String::with_capacity(view.look_alikes.len() + 256);
    for name in names
        .map(HeaderName::as_str)
        .chain([&*view.look_alikes])
        .filter(|it| !it.is_empty())
    {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(name);
    }
    HeaderValue::try_from(text).ok().filter(|it| !it.is_empty())
}

/// What is left of the cookies without those of sessions.
enum Left {
    All,
    Some(HeaderValue),
    None,
}

fn cookies_left(headers: &HeaderMap, view: &View) -> Left {
    let Some(all) = headers.get(COOKIE) else {
        return Left::All;
    };
    let mut cookies = HeaderMap::with_capacity(1);
    cookies.insert(COOKIE, all.clone());
    without_session_cookies(&mut cookies, &view.cookies);
    match cookies.remove(COOKIE) {
        Some(left) if left == *all => Left::All,
        Some(left) => Left::Some(left),
        None => Left::None,
    }
}
