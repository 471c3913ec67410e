//! `AuthorizationPolicy` after compilation: rules over attributes, in the order Istio asks them.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

use super::closure::Closure;
use super::mesh::HeaderName;
use super::policy_list::PolicyList;
use super::text::TextPattern;
use super::text_list::TextList;
use crate::names::{ObjectRef, Place};

/// Which policy, for reasons and logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyInfo {
    /// The object.
    pub object: ObjectRef,
    /// Where it stands.
    pub place: Place,
}

/// What a matching rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the named authorizer.
    Custom(Arc<str>),
    /// Refuse.
    Deny,
    /// Let through.
    Allow,
    /// Note in the log.
    Audit,
}

/// One policy that applies to a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Which one.
    pub info: Arc<PolicyInfo>,
    /// What a match does.
    pub action: Action,
    /// A match of any rule is a match of the policy; none matches nothing.
    pub rules: Vec<PolicyRule>,
    /// Set when the manifest could not be read and this policy stands in as a closed door.
    pub closed: Option<Arc<Closure>>,
}

/// One rule: (any `from`) and (any `to`) and (all of `when`). An empty list asks nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyRule {
    /// Alternatives; within one, every test must hold.
    pub from: Vec<Vec<Test>>,
    /// Alternatives; within one, every test must hold.
    pub to: Vec<Vec<Test>>,
    /// Every test must hold.
    pub when: Vec<Test>,
    /// Line of the rule.
    pub line: u32,
}

/// One field of a rule and its `not…` twin: the attribute matches any of `any_of` (when given) and
/// none of `none_of`. A missing attribute fails `any_of` and passes `none_of`.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// What is looked at.
    pub attribute: Attribute,
    /// Values of the positive field; `None` when it is not given.
    pub any_of: Option<Values>,
    /// Values of the negative field; `None` when it is not given.
    pub none_of: Option<Values>,
}

/// Values of one field, in the form their attribute needs.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Text patterns.
    Text(TextList),
    /// Addresses.
    Networks(Vec<IpNet>),
    /// Ports.
    Ports(Vec<u16>),
    /// `requestPrincipals` forms.
    Principals(Vec<PrincipalPattern>),
}

/// A `requestPrincipals` value, split at its last `/` into issuer and subject patterns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrincipalPattern {
    /// Pattern over `iss`.
    pub issuer: TextPattern,
    /// Pattern over `sub`; an exact empty text where Istio wants an empty subject.
    pub subject: TextPattern,
}

/// As a manifest spells it.
impl fmt::Display for PrincipalPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use TextPattern::{Exact, Prefix, Present, Suffix};

        let Self { issuer, subject } = self;
        match (issuer, subject) {
            (Present, Present) => f.write_str("*"),
            (Present, Suffix(end)) => write!(f, "*{end}"),
            (Prefix(start), Present) => write!(f, "{start}*"),
            (Exact(whole), Exact(nothing)) if nothing.is_empty() => f.write_str(whole),
            _ => write!(f, "{issuer}/{subject}"),
        }
    }
}

/// An attribute of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// SPIFFE id of the peer without `spiffe://`: `principals`, `source.principal`.
    Principal,
    /// Namespace part of the SPIFFE id.
    Namespace,
    /// `namespace/service-account` of the SPIFFE id.
    ServiceAccount,
    /// Trust domain of the SPIFFE id.
    TrustDomain,
    /// `iss/sub` of the verified token.
    RequestPrincipal,
    /// TCP peer: `ipBlocks`, `source.ip`.
    SourceIp,
    /// Client after the trusted hops: `remoteIpBlocks`, `remote.ip`.
    RemoteIp,
    /// `Host` with its port, compared without letter case.
    Host,
    /// Port of the workload: `ports`, `destination.port`.
    Port,
    /// Method.
    Method,
    /// Normalised path without query.
    Path,
    /// `request.headers[name]`.
    Header(HeaderName),
    /// `request.auth.audiences`.
    Audiences,
    /// `request.auth.presenter`.
    Presenter,
    /// `request.auth.claims[a][b]`.
    Claim(Arc<[Arc<str>]>),
    /// A group of whoever sent the request, as the session or the accepted token tells: what the
    /// policies of a group in a profile's namespace mean by their user.
    Group,
    /// `destination.ip`.
    DestinationIp,
    /// `connection.sni`.
    Sni,
    /// Always missing: `experimental.envoy.filters…`.
    Missing,
}

impl Attribute {
    /// Whether only a request has it: nobody can ask a connection whose bytes are passed on.
    pub fn is_of_requests(&self) -> bool {
        match self {
            Self::RequestPrincipal
            | Self::Host
            | Self::Method
            | Self::Path
            | Self::Header(_)
            | Self::Audiences
            | Self::Presenter
            | Self::Claim(_)
            | Self::Group => true,
            Self::Principal
            | Self::Namespace
            | Self::ServiceAccount
            | Self::TrustDomain
            | Self::SourceIp
            | Self::RemoteIp
            | Self::Port
            | Self::DestinationIp
            | Self::Sni
            | Self::Missing => false,
        }
    }
}

/// The policies of one workload, split by action. Order inside a list is the object order of
/// Istio: name, then namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicySet {
    /// CUSTOM.
    pub custom: PolicyList,
    /// AUDIT.
    pub audit: PolicyList,
    /// DENY.
    pub deny: PolicyList,
    /// ALLOW.
    pub allow: PolicyList,
}

/// What has to be passed at a Gateway that policies attach to: both sets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Guard {
    /// The policies of the whole gateway; and those that attach, but for ALLOW.
    pub gateway: PolicySet,
    /// The ALLOW policies that attach.
    pub attached: PolicySet,
}
