//! The way to an upstream over HTTP, as a port: the rim of the process has the sockets.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::{Request, Response};
use model::snapshot::{IssuerTls, LdapConnector, LdapScope};

/// What [`Upstream::send`] gives back.
pub type Sent<'a> =
    Pin<Box<dyn Future<Output = Result<Response<Bytes>, UpstreamFault>> + Send + 'a>>;

/// Carries one request to an upstream and brings the whole answer back.
///
/// The URI is absolute. An implementation bounds time and size and follows no redirect.
pub trait Upstream: Send + Sync {
    /// Sends `request`, trusting whom `tls` says.
    fn send<'a>(&'a self, tls: &'a IssuerTls, request: Request<Bytes>) -> Sent<'a>;

    /// A line to a directory, opened at the first question.
    fn directory<'a>(&'a self, settings: &'a LdapConnector) -> Box<dyn Directory + 'a>;
}

/// What [`Directory::ask`] gives back.
pub type Told<'a> = Pin<Box<dyn Future<Output = Result<DirectoryTold, UpstreamFault>> + Send + 'a>>;

/// A line to a directory (RFC 4511). Questions go over one connection.
pub trait Directory: Send {
    /// Asks, and waits for the whole answer.
    fn ask<'a>(&'a mut self, question: DirectoryAsk) -> Told<'a>;
}

/// A question to a directory.
#[derive(Clone, PartialEq, Eq)]
pub enum DirectoryAsk {
    /// Simple bind; both empty for nobody in particular.
    Bind {
        /// Who.
        dn: String,
        /// The password.
        password: String,
    },
    /// Entries.
    Search {
        /// Where.
        base: String,
        /// How deep.
        scope: LdapScope,
        /// Which (RFC 4515).
        filter: String,
        /// What of them.
        attributes: Vec<String>,
    },
}

impl fmt::Debug for DirectoryAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { dn, .. } => write!(f, "Bind({dn})"),
            Self::Search { base, filter, .. } => write!(f, "Search({base}, {filter})"),
        }
    }
}

/// What a directory answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryTold {
    /// The result code, zero when it was granted.
    Code(u32),
    /// The entries that were found.
    Entries(Vec<DirectoryEntry>),
}

/// An entry of a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Its name.
    pub dn: String,
    /// Its attributes that are text.
    pub attributes: Vec<(String, Vec<String>)>,
}

/// Why no answer came. The upstream's fault, or the operator's who named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamFault {
    /// The name does not resolve, nobody listens, or the connection broke.
    Unreachable,
    /// No whole answer in time.
    TimedOut,
    /// The certificate is not trusted, or TLS failed otherwise.
    Untrusted,
    /// The answer is longer than is accepted.
    TooLarge,
}

impl fmt::Display for UpstreamFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "the upstream cannot be reached",
            Self::TimedOut => "the upstream did not answer in time",
            Self::Untrusted => "the upstream's certificate is not trusted",
            Self::TooLarge => "the upstream's answer is too long",
        })
    }
}

impl std::error::Error for UpstreamFault {}

/// No way to anywhere, until one is given.
pub(crate) struct Nowhere;

impl Upstream for Nowhere {
    fn send<'a>(&'a self, _: &'a IssuerTls, _: Request<Bytes>) -> Sent<'a> {
        Box::pin(std::future::ready(Err(UpstreamFault::Unreachable)))
    }

    fn directory<'a>(&'a self, _: &'a LdapConnector) -> Box<dyn Directory + 'a> {
        Box::new(Self)
    }
}

impl Directory for Nowhere {
    fn ask<'a>(&'a mut self, _: DirectoryAsk) -> Told<'a> {
        Box::pin(std::future::ready(Err(UpstreamFault::Unreachable)))
    }
}
