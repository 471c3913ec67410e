//! Cross-origin resource sharing of a route.

use super::text::TextMatch;
use crate::names::Duration;

/// `corsPolicy`: which pages of other origins may call, and what they may read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cors {
    /// Origins that may; [`OriginMatch::Any`] is `*`.
    pub origins: Vec<OriginMatch>,
    /// `Access-Control-Allow-Methods`.
    pub methods: Option<http::HeaderValue>,
    /// `Access-Control-Allow-Headers`.
    pub headers: Option<http::HeaderValue>,
    /// `Access-Control-Expose-Headers`.
    pub expose: Option<http::HeaderValue>,
    /// `Access-Control-Max-Age`.
    pub max_age: Option<Duration>,
    /// `Access-Control-Allow-Credentials: true`.
    pub credentials: bool,
    /// A preflight of another origin goes to the application; else it is answered here, without
    /// permission.
    pub forward_unmatched: bool,
}

/// One of the origins that may.
#[derive(Clone, Debug, PartialEq)]
pub enum OriginMatch {
    /// `*`.
    Any,
    /// A pattern over the whole origin.
    Text(TextMatch),
    /// Scheme, `*.suffix` and port of the Gateway API: `https://*.example.com`.
    Wildcard {
        /// Up to and with `://`.
        scheme: std::sync::Arc<str>,
        /// What the host ends with, from its first dot: `.example.com`, its port included.
        suffix: std::sync::Arc<str>,
    },
}
