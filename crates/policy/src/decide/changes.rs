//! Changes of the request's headers and query on its way through the stages.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use model::snapshot::HeaderEdits;
use smallvec::SmallVec;

use crate::authorization::Headers;
use crate::decision::USUAL;
use crate::token_place::is_parameter;

/// What has changed so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    pub(super) set: SmallVec<[(HeaderName, HeaderValue); USUAL]>,
    pub(super) removed: Vec<HeaderName>,
    /// Query parameters that held a consumed token.
    pub(super) consumed_parameters: Vec<Arc<str>>,
}

impl Changes {
    pub(super) fn set(&mut self, name: &HeaderName, value: HeaderValue) {
        match self.set.iter_mut().find(|(other, _)| other == name) {
            Some((_, old)) => *old = value,
            None => self.set.push((name.clone(), value)),
        }
    }

    /// What `name` was set to.
    pub(super) fn said(&self, name: &HeaderName) -> Option<&HeaderValue> {
        let set = self.set.iter().find(|(other, _)| other == name);
        set.map(|(_, value)| value)
    }

    pub(super) fn set_some(&mut self, name: &HeaderName, value: Option<&HeaderValue>) {
        if let Some(value) = value {
            self.set(name, value.clone());
        }
    }

    /// Makes `name` absent, wherever it came from.
    pub(super) fn remove(&mut self, name: &HeaderName, received: &HeaderMap) {
        self.set.retain(|(other, _)| other != name);
        if received.contains_key(name) && !self.removed.contains(name) {
            self.removed.push(name.clone());
        }
    }

    pub(super) fn over<'a>(
        &'a self,
        received: &'a HeaderMap,
        edits: [Option<&'a HeaderEdits>; 2],
    ) -> Headers<'a> {
        Headers {
            received,
            removed: &self.removed,
            set: &self.set,
            edits,
        }
    }

    /// The query without the parameters that held a consumed token.
    pub(super) fn query<'q>(&self, query: Option<&'q str>) -> Option<Cow<'q, str>> {
        let query = query?;
        if self.consumed_parameters.is_empty() {
            return Some(Cow::Borrowed(query));
        }
        let kept: Vec<_> = query
            .split('&')
            .filter(|pair| {
                let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
                !self
                    .consumed_parameters
                    .iter()
                    .any(|consumed| is_parameter(name, consumed))
            })
            .collect();
        (!kept.is_empty()).then(|| Cow::Owned(kept.join("&")))
    }
}
