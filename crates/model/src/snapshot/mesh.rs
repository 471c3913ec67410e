//! What `meshConfig` says.

use std::sync::Arc;

use super::closure::Closure;
use super::destination::ServiceRef;

/// A header name; always lower case.
pub use http::HeaderName;

/// `meshConfig.pathNormalization.normalization`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Normalization {
    /// As received.
    None,
    /// Dot segments, backslashes, unreserved percent escapes.
    #[default]
    Base,
    /// [`Self::Base`], then `//` becomes `/`.
    MergeSlashes,
    /// Decode escaped slashes first, then [`Self::MergeSlashes`].
    DecodeAndMergeSlashes,
}

/// An entry of `meshConfig.extensionProviders` that authorizes requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Authorizer {
    /// `name`.
    pub name: Arc<str>,
    /// Host of its Service; empty where only a policy knows the name.
    pub host: Arc<str>,
    /// Who answers.
    pub kind: AuthorizerKind,
    /// Answer headers that overwrite the request's on allow.
    pub upstream_on_allow: Vec<HeaderPattern>,
    /// Answer headers that reach the client on deny; empty means all.
    pub downstream_on_deny: Vec<HeaderPattern>,
    /// Whether an authorizer that cannot be reached lets requests through.
    pub fail_open: bool,
    /// Status when it cannot be reached.
    pub status_on_error: u16,
}

/// Who answers for an [`Authorizer`].
#[derive(Clone, Debug, PartialEq)]
pub enum AuthorizerKind {
    /// The login proxy with this index in [`super::Snapshot::logins`], in this process.
    Login(usize),
    /// A Service that this version does not call: every question is answered no.
    External(ServiceRef),
    /// The entry could not be read: every question is answered no.
    Closed(Arc<Closure>),
}

/// An entry of a header list: exact, `abc*`, `*abc`; without letter case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderPattern {
    /// The whole name.
    Exact(Arc<str>),
    /// Names that begin so.
    Prefix(Arc<str>),
    /// Names that end so.
    Suffix(Arc<str>),
}

impl HeaderPattern {
    /// Whether `name` (lower case) is meant.
    pub fn covers(&self, name: &str) -> bool {
        match self {
            Self::Exact(text) => **text == *name,
            Self::Prefix(text) => name.starts_with(&**text),
            Self::Suffix(text) => name.ends_with(&**text),
        }
    }
}
