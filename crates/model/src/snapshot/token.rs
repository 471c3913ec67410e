//! `RequestAuthentication` after compilation.

use std::collections::HashMap;
use std::sync::Arc;

use super::mesh::HeaderName;
use super::policy::PolicyInfo;

/// All `RequestAuthentication` rules that apply to one workload, in byte order of issuer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Authentication {
    /// The rules; none validates nothing.
    pub rules: Vec<JwtRule>,
}

/// One `jwtRules[]` entry.
#[derive(Clone, Debug, PartialEq)]
pub struct JwtRule {
    /// The object it stands in.
    pub info: Arc<PolicyInfo>,
    /// Compared exactly with `iss`.
    pub issuer: Arc<str>,
    /// Empty means any; else the token must name one.
    pub audiences: Vec<Arc<str>>,
    /// Where the keys come from.
    pub keys: KeySource,
    /// Where a token is looked for; never empty.
    pub locations: Vec<TokenLocation>,
    /// Claims that become request headers.
    pub claim_headers: Vec<ClaimHeader>,
    /// `outputPayloadToHeader`.
    pub payload_header: Option<HeaderName>,
    /// Whether the token itself travels on.
    pub forward_original: bool,
    /// `spaceDelimitedClaims`: claims that are a list of words written as one text, besides those
    /// that are so everywhere.
    pub space_delimited: Vec<Arc<str>>,
}

/// A place where the rules of some destinations look for tokens, and the issuers that they expect
/// there. Tokens are proven before it is known which destination a request has.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenPlace {
    /// The place.
    pub location: TokenLocation,
    /// Keys of each issuer; several where rules do not agree.
    pub issuers: HashMap<Arc<str>, Vec<KeySource>>,
}

/// Where the keys of an issuer come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// OpenID discovery at the issuer.
    Discovery,
    /// `jwksUri`.
    Uri(Arc<str>),
    /// `jwks`, as JSON text.
    Inline(Arc<str>),
}

/// A place where a token may lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenLocation {
    /// A header and the text before the token.
    Header {
        /// Header name.
        name: HeaderName,
        /// Such as `Bearer `; may be empty.
        prefix: Arc<str>,
    },
    /// A query parameter.
    Query(Arc<str>),
    /// A cookie.
    Cookie(Arc<str>),
}

/// `outputClaimToHeaders[]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimHeader {
    /// Header that is set, or removed when the claim is missing.
    pub header: HeaderName,
    /// Claim path, split at `.`.
    pub claim: Arc<[Arc<str>]>,
}
