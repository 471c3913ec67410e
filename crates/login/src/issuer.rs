//! The only file that calls an identity provider.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Method, StatusCode, Uri};
use oidc::discovery::ProviderMetadata;
use oidc::jose::KeySet;
use serde_json::Value;

use crate::transport::{Transport, TransportFault};

/// The longest discovery document or key set that is read, bytes.
const LONGEST_DOCUMENT: usize = 512 * 1024;

/// The most keys a set may have: each is tried for a token without `kid`.
const MOST_KEYS: usize = 100;

/// Asks identity providers.
pub(crate) struct Issuer {
    transport: Arc<dyn Transport>,
}

/// Why an issuer's answer cannot be used. The issuer's fault, or the operator's who named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IssuerFault {
    /// No answer.
    Transport(TransportFault),
    /// The address is no absolute `http` or `https` URL.
    BadAddress,
    /// An answer other than 200.
    Status(StatusCode),
    /// The document is not what was asked for.
    Unreadable,
    /// The discovery document is another issuer's (OpenID Connect Discovery 1.0 §4.3).
    AnotherIssuer,
    /// The document or key set is too long.
    TooLarge,
    /// Asked a moment ago, and it failed.
    TriedJustNow,
    /// The private key that we prove ourselves with cannot be read, or does not sign.
    ClientKey,
    /// The issuer does not offer what the settings ask for, or asks for what they forbid.
    NotOffered,
}

impl fmt::Display for IssuerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(fault) => fault.fmt(f),
            Self::BadAddress => f.write_str("the issuer's address is not an absolute URL"),
            Self::Status(status) => write!(f, "the issuer answered {}", status.as_u16()),
            Self::Unreadable => f.write_str("the issuer's answer is not what was asked for"),
            Self::AnotherIssuer => f.write_str("the discovery document names another issuer"),
            Self::TooLarge => f.write_str("the issuer's answer is too long"),
            Self::TriedJustNow => f.write_str("the issuer failed a moment ago"),
            Self::ClientKey => f.write_str("the client's private key cannot be used"),
            Self::NotOffered => f.write_str("the issuer does not offer what the settings ask for"),
        }
    }
}

impl Issuer {
    pub(crate) fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport }
    }

    /// The discovery document of `issuer`.
    pub(crate) async fn metadata(&self, issuer: &str) -> Result<ProviderMetadata, IssuerFault> {
        let base = issuer.strip_suffix('/').unwrap_or(issuer);
        let body = self
            .document(&format!("{base}/.well-known/openid-configuration"))
            .await?;
        let metadata: ProviderMetadata =
            serde_json::from_slice(&body).map_err(|_| IssuerFault::Unreadable)?;
        if metadata.issuer != issuer {
            return Err(IssuerFault::AnotherIssuer);
        }
        Ok(metadata)
    }

    /// The key set at `uri`.
    pub(crate) async fn key_set(&self, uri: &str) -> Result<(KeySet, Bytes), IssuerFault> {
        let body = self.document(uri).await?;
        let text = std::str::from_utf8(&body).map_err(|_| IssuerFault::Unreadable)?;
        Ok((read_key_set(text)?, body))
    }

    /// An endpoint's answer, whatever it is.
    pub(crate) async fn ask(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, IssuerFault> {
        if !is_absolute(request.uri()) {
            return Err(IssuerFault::BadAddress);
        }
        self.transport
            .send(request)
            .await
            .map_err(IssuerFault::Transport)
    }

    async fn document(&self, uri: &str) -> Result<Bytes, IssuerFault> {
        let request = http::Request::builder()
            .method(Method::GET)
            .uri(uri)
            .header(ACCEPT, "application/json")
            .body(Bytes::new())
            .map_err(|_| IssuerFault::BadAddress)?;
        if !is_absolute(request.uri()) {
            return Err(IssuerFault::BadAddress);
        }
        let answer = self
            .transport
            .send(request)
            .await
            .map_err(IssuerFault::Transport)?;
        match answer.status() {
            StatusCode::OK if answer.body().len() <= LONGEST_DOCUMENT => Ok(answer.into_body()),
            StatusCode::OK => Err(IssuerFault::TooLarge),
            status => Err(IssuerFault::Status(status)),
        }
    }
}

/// A key set of bounded size.
pub(crate) fn read_key_set(text: &str) -> Result<KeySet, IssuerFault> {
    let document: Value = serde_json::from_str(text).map_err(|_| IssuerFault::Unreadable)?;
    let count = document
        .get("keys")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    if count > MOST_KEYS {
        return Err(IssuerFault::TooLarge);
    }
    KeySet::from_json(text).map_err(|_| IssuerFault::Unreadable)
}

fn is_absolute(uri: &Uri) -> bool {
    matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some()
}
