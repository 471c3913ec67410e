//! The compiled world: immutable, compared as a whole, asked through query methods.
//!
//! Readers take the pointer once per request; nothing in here changes after [`crate::compile()`].

mod closure;
mod computed;
mod connector;
mod cors;
mod destination;
mod forward;
mod gateway;
mod listener;
mod login;
mod mesh;
mod policy;
mod policy_list;
mod program;
mod protocol;
mod provider;
mod re2;
mod route;
mod stream;
mod table;
mod tenancy;
#[cfg(feature = "testing")]
mod testing;
mod text;
mod text_list;
mod tls;
mod token;
mod traffic;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use closure::Closure;
pub use computed::ComputedHost;
pub use connector::{
    AuthProxyConnector, BitbucketConnector, ConnectorKind, CrowdConnector, GitHubConnector,
    GitLabConnector, GiteaConnector, GoogleConnector, KeystoneConnector, LdapConnector, LdapGroups,
    LdapMatcher, LdapScope, LdapSecurity, LdapUsers, MicrosoftConnector, NewGroup, OAuthConnector,
    OidcConnector, OidcOverrides, OidcPkce, OpenShiftConnector, Organization, ProviderConnector,
    ServiceAccount, TeamName, UpstreamClient,
};
pub use cors::{Cors, OriginMatch};
pub use destination::{
    Destination, Endpoints, Place as UpstreamPlace, PlayedBy, ServiceRef, UpstreamProtocol,
};
pub use forward::{
    Abort, FaultInjection, Forward, GrpcStatus, HeaderEdits, Mirror, PathRewrite, Retries, RetryOn,
    Rewrite, Share, Weighted,
};
pub use gateway::{Identity, VirtualHosts};
pub use listener::{Chain, HostIndex, Listener, ListenerProtocol, Serves};
pub use login::{
    AuthServiceShape, EmailVerified, EntryRule, ExtraIssuer, IssuerTls, IssuerTlsClient, Login,
    LoginClientAuth, LoginShape, RefreshFailure, SkipRule, UserInfo, WhenOffered,
};
pub use mesh::{Authorizer, AuthorizerKind, HeaderName, HeaderPattern, Normalization};
pub use policy::{
    Action, Attribute, Guard, Policy, PolicyInfo, PolicyRule, PolicySet, PrincipalPattern, Test,
    Values,
};
pub use policy_list::PolicyList;
pub use program::{
    AuthService, Mount, MountedUpstream, OAuth2Proxy, Ping, Program, SignOutPath, ToClient,
    ToUpstream, Transformer, TrustedPeers, fixed,
};
pub use protocol::{
    AccessTokenForm, ClientAuthentication, ClientRules, Conformance, FrontChannel, GrantType,
    Introspection, PromptRule, ProviderProtocol, RefreshRules, RequestRule, Rotation, SessionRules,
    SignatureAlgorithm, TokenBinding,
};
pub use provider::{
    Provider, ProviderClient, ProviderPassword, ProviderPkce, ProviderTheme, ProviderWeb,
};
pub use route::{
    ClaimTest, HeaderMatch, HeaderTest, PseudoHeader, PseudoTest, Redirect, RedirectPort, Respond,
    Route, RouteAction, RouteInfo, RouteMatch, UriMatch,
};
pub use stream::{StreamDestination, StreamRoute};
pub use table::{Candidates, RouteTable};
pub use tenancy::{Binding, Named, Profile, Role, Stands, Subject, SubjectKind, Tenancy};
pub use text::{PathTemplate, Regex, TextMatch, TextPattern};
pub use text_list::TextList;
pub use tls::{
    CipherSuite, ClientAuth, ClientTrust, ForwardClientCert, ServedCertificate, ServerTls,
    SpareCertificate, TlsVersion, WantedCertificate,
};
pub use token::{Authentication, ClaimHeader, JwtRule, KeySource, TokenLocation, TokenPlace};
pub use traffic::{Balance, HashKey, KeyPair, Outliers, Traffic, Trust, UpstreamTls};

/// What the manifests say, linked and validated.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub(crate) identity: Identity,
    pub(crate) root_namespace: Arc<str>,
    pub(crate) trust_domains: Vec<Arc<str>>,
    pub(crate) normalization: Normalization,
    pub(crate) trusted_hops: usize,
    pub(crate) forward_client_cert: ForwardClientCert,
    pub(crate) proxy_protocol: bool,
    pub(crate) listeners: BTreeMap<u16, Listener>,
    pub(crate) gateway_policies: PolicySet,
    pub(crate) gateway_authentication: Authentication,
    pub(crate) token_places: Vec<TokenPlace>,
    pub(crate) authorizers: HashMap<Arc<str>, Arc<Authorizer>>,
    pub(crate) logins: Vec<Arc<Login>>,
    pub(crate) providers: Vec<Arc<Provider>>,
    pub(crate) identity_headers: Vec<HeaderName>,
    pub(crate) user_header: UserHeader,
    pub(crate) certificates: Vec<ServedCertificate>,
    pub(crate) spare_certificates: Vec<SpareCertificate>,
    pub(crate) wanted_certificates: Vec<WantedCertificate>,
    pub(crate) computed_hosts: Vec<ComputedHost>,
    pub(crate) tenancy: Tenancy,
    pub(crate) objects: BTreeMap<Arc<str>, usize>,
    pub(crate) program: Option<Arc<Program>>,
}

/// How applications learn who the user is: Kubeflow's `USERID_HEADER` and `USERID_PREFIX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserHeader {
    /// Header that carries the e-mail; `kubeflow-userid` unless configured.
    pub user: HeaderName,
    /// Header that carries the groups, joined with `,`; `kubeflow-groups` unless configured.
    pub groups: HeaderName,
    /// What stands before the e-mail.
    pub prefix: Arc<str>,
}

impl Snapshot {
    /// Who this gateway is when policies select workloads or name principals.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// `meshConfig.rootNamespace`.
    pub fn root_namespace(&self) -> &str {
        &self.root_namespace
    }

    /// `meshConfig.trustDomain`, then its aliases.
    pub fn trust_domains(&self) -> &[Arc<str>] {
        &self.trust_domains
    }

    /// `meshConfig.pathNormalization`.
    pub fn normalization(&self) -> Normalization {
        self.normalization
    }

    /// `gatewayTopology.numTrustedProxies`: of `meshConfig.defaultConfig`, or of the annotation
    /// `proxy.istio.io/config` on the gateway's pods.
    pub fn trusted_hops(&self) -> usize {
        self.trusted_hops
    }

    /// `gatewayTopology.forwardClientCertDetails`, from the same places.
    pub fn forward_client_cert(&self) -> ForwardClientCert {
        self.forward_client_cert
    }

    /// `gatewayTopology.proxyProtocol`, from the same places: every connection begins with a PROXY
    /// protocol header.
    pub fn proxy_protocol(&self) -> bool {
        self.proxy_protocol
    }

    /// Every port that a `Gateway` opens here, by its Service port number.
    pub fn listeners(&self) -> &BTreeMap<u16, Listener> {
        &self.listeners
    }

    /// What is served on one `Gateway` port.
    pub fn listener(&self, port: u16) -> Option<&Listener> {
        self.listeners.get(&port)
    }

    /// Policies that select this gateway.
    pub fn gateway_policies(&self) -> &PolicySet {
        &self.gateway_policies
    }

    /// `RequestAuthentication`s that select this gateway.
    pub fn gateway_authentication(&self) -> &Authentication {
        &self.gateway_authentication
    }

    /// Where `RequestAuthentication`s that select other workloads look for tokens.
    pub fn token_places(&self) -> &[TokenPlace] {
        &self.token_places
    }

    /// The external authorizer that CUSTOM policies name.
    pub fn authorizer(&self, name: &str) -> Option<&Arc<Authorizer>> {
        self.authorizers.get(name)
    }

    /// The login proxies that doorward plays.
    pub fn logins(&self) -> &[Arc<Login>] {
        &self.logins
    }

    /// The OpenID providers that doorward plays.
    pub fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    /// Headers that tell an application who the user is, in normal form (lower case, `-`). They are
    /// removed from every request that comes from outside.
    pub fn identity_headers(&self) -> &[HeaderName] {
        &self.identity_headers
    }

    /// The user and group headers and the user prefix.
    pub fn user_header(&self) -> &UserHeader {
        &self.user_header
    }

    /// Key pairs that the manifests bring.
    pub fn certificates(&self) -> &[ServedCertificate] {
        &self.certificates
    }

    /// Certificates in TLS Secrets that no server names, where any is served from a Secret.
    pub fn spare_certificates(&self) -> &[SpareCertificate] {
        &self.spare_certificates
    }

    /// Certificates that somebody has to issue.
    pub fn wanted_certificates(&self) -> &[WantedCertificate] {
        &self.wanted_certificates
    }

    /// Hosts that Knative and KServe make, and that are served here.
    pub fn computed_hosts(&self) -> &[ComputedHost] {
        &self.computed_hosts
    }

    /// Profiles and their contributors.
    pub fn tenancy(&self) -> &Tenancy {
        &self.tenancy
    }

    /// How many objects of each kind were seen, kinds that mean nothing here included.
    pub fn objects(&self) -> &BTreeMap<Arc<str>, usize> {
        &self.objects
    }

    /// The program that this process stands in for.
    pub fn program(&self) -> Option<&Arc<Program>> {
        self.program.as_ref()
    }
}
