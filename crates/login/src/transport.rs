//! The way to an identity provider, as a port: the rim decides whether it is a socket or a function
//! call.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

/// What [`Transport::send`] gives back.
pub type Sent<'a> =
    Pin<Box<dyn Future<Output = Result<http::Response<Bytes>, TransportFault>> + Send + 'a>>;

/// Carries one request to an identity provider and brings the whole answer back.
///
/// The URI is absolute. An implementation bounds time and body size, follows no redirect, and lets a
/// caller go away at any await without harm.
pub trait Transport: Send + Sync {
    /// Sends `request`.
    fn send(&self, request: http::Request<Bytes>) -> Sent<'_>;
}

/// Why no answer came. The upstream's fault, or the operator's who named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportFault {
    /// The name does not resolve, nobody listens, or the connection broke.
    Unreachable,
    /// No whole answer in time.
    TimedOut,
    /// The certificate is not trusted, or TLS failed otherwise.
    Untrusted,
    /// The answer is longer than is accepted.
    TooLarge,
    /// The URI is not one that can be asked.
    BadAddress,
}

impl fmt::Display for TransportFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "the issuer cannot be reached",
            Self::TimedOut => "the issuer did not answer in time",
            Self::Untrusted => "the issuer's certificate is not trusted",
            Self::TooLarge => "the issuer's answer is too long",
            Self::BadAddress => "the issuer's address is not a URL that can be asked",
        })
    }
}

impl std::error::Error for TransportFault {}
