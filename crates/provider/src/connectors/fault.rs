//! Why a connector does not say who somebody is.

use std::fmt;

use oidc::id_token::IdTokenFault;
use oidc::jose::{KeySetFault, VerifyFault};

use super::UpstreamFault;

/// Why a connector does not say who somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConnectorFault {
    /// The person, or the upstream for them, said no.
    Refused,
    /// The person is in none of the groups that are let in.
    NotAMember,
    /// What came back was not asked for here, or not in this way. The browser's fault.
    Unasked,
    /// The connector cannot do what it is asked to.
    NotForThis,
    /// The upstream cannot be reached.
    Upstream(UpstreamFault),
    /// The upstream answered with this status.
    Status(u16),
    /// The upstream's answer is not what was asked for; in words for the log.
    Answer(&'static str),
    /// The upstream's keys cannot be read.
    Keys(KeySetFault),
    /// The upstream's token is not signed by it.
    Signature(VerifyFault),
    /// The upstream's token is not meant for us.
    Token(IdTokenFault),
    /// A claim that is needed is missing or no text.
    Claim(&'static str),
    /// An address of the settings or of the upstream cannot be asked.
    Address,
    /// The directory refused what is not about the person: its code.
    Directory(u32),
    /// More than one entry has this name.
    Ambiguous,
    /// The person is there no more, or is another one by now.
    Gone,
}

impl fmt::Display for ConnectorFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("the upstream refused the sign-in"),
            Self::NotAMember => f.write_str("the person is in no group that is let in"),
            Self::Unasked => f.write_str("nobody was asked for this answer"),
            Self::NotForThis => f.write_str("the connector cannot do this"),
            Self::Upstream(fault) => fault.fmt(f),
            Self::Status(status) => write!(f, "the upstream answered {status}"),
            Self::Answer(what) => f.write_str(what),
            Self::Keys(fault) => write!(f, "keys of the upstream: {fault}"),
            Self::Signature(fault) => write!(f, "token of the upstream: {fault}"),
            Self::Token(fault) => fault.fmt(f),
            Self::Claim(name) => write!(f, "the claim for `{name}` is missing or no text"),
            Self::Address => f.write_str("the upstream's address is no URL that can be asked"),
            Self::Directory(code) => write!(f, "the directory answered with the code {code}"),
            Self::Ambiguous => f.write_str("several entries of the directory have this name"),
            Self::Gone => f.write_str("the person is not there any more"),
        }
    }
}

impl std::error::Error for ConnectorFault {}

impl From<UpstreamFault> for ConnectorFault {
    fn from(fault: UpstreamFault) -> Self {
        Self::Upstream(fault)
    }
}
