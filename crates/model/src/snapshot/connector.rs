//! Ways to sign in at a provider: one settings type for each kind of Dex's connectors. Options have
//! Dex's names.

use std::sync::Arc;

use super::IssuerTls;
use super::text::Regex;
use crate::names::Secret;

/// `connectors[]`, or the password list.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderConnector {
    /// `id`, part of everybody's `sub`.
    pub id: Arc<str>,
    /// `name`, on the page that lists the ways to sign in.
    pub name: Arc<str>,
    /// `type` and `config`.
    pub kind: ConnectorKind,
    /// `groupPrefix`, which Dex does not have: put before every group, so that two connectors never
    /// give out the same one.
    pub group_prefix: Arc<str>,
    /// `grantTypes`: the only grants that may use it; any when absent.
    pub grants: Option<Vec<Arc<str>>>,
}

impl ProviderConnector {
    /// The password list: id `local`, name `Email`.
    pub fn local() -> Self {
        Self {
            id: "local".into(),
            name: "Email".into(),
            kind: ConnectorKind::Local,
            group_prefix: "".into(),
            grants: None,
        }
    }
}

/// Where somebody proves who they are.
#[derive(Clone, Debug, PartialEq)]
pub enum ConnectorKind {
    /// The password list of the configuration.
    Local,
    /// `mockCallback`: everybody is the same person; for trying things out.
    MockCallback,
    /// `mockPassword`: the same person behind a password.
    MockPassword {
        /// `username`.
        username: Arc<str>,
        /// `password`.
        password: Secret,
    },
    /// `oidc`.
    Oidc(Box<OidcConnector>),
    /// `oauth`.
    OAuth(Box<OAuthConnector>),
    /// `ldap`.
    Ldap(Box<LdapConnector>),
    /// `authproxy`.
    AuthProxy(Box<AuthProxyConnector>),
    /// `github`.
    GitHub(Box<GitHubConnector>),
    /// `gitlab`.
    GitLab(Box<GitLabConnector>),
    /// `google`.
    Google(Box<GoogleConnector>),
    /// `microsoft`.
    Microsoft(Box<MicrosoftConnector>),
    /// `gitea`.
    Gitea(Box<GiteaConnector>),
    /// `bitbucket-cloud`.
    BitbucketCloud(Box<BitbucketConnector>),
    /// `linkedin`.
    LinkedIn(UpstreamClient),
    /// `openshift`.
    OpenShift(Box<OpenShiftConnector>),
    /// `atlassian-crowd`.
    AtlassianCrowd(Box<CrowdConnector>),
    /// `keystone`.
    Keystone(Box<KeystoneConnector>),
}

/// What we are at an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamClient {
    /// `clientID`.
    pub id: Arc<str>,
    /// `clientSecret`.
    pub secret: Secret,
    /// `redirectURI`; has to be the issuer's `/callback`.
    pub redirect_uri: Arc<str>,
}

/// `oidc`.
#[derive(Clone, Debug, PartialEq)]
pub struct OidcConnector {
    /// `clientID`, `clientSecret`, `redirectURI`.
    pub client: UpstreamClient,
    /// `issuer`.
    pub issuer: Arc<str>,
    /// `issuerAlias`: the issuer that the discovery document and the tokens name instead.
    pub issuer_alias: Option<Arc<str>>,
    /// `providerDiscoveryOverrides`.
    pub overrides: OidcOverrides,
    /// `basicAuthUnsupported`; what the issuer's host tells when absent.
    pub basic_auth_unsupported: Option<bool>,
    /// `scopes`, without `openid`.
    pub scopes: Vec<Arc<str>>,
    /// `rootCAs`, `insecureSkipVerify`.
    pub tls: IssuerTls,
    /// `insecureSkipEmailVerified`.
    pub skip_email_verified: bool,
    /// `insecureEnableGroups`.
    pub enable_groups: bool,
    /// `allowedGroups`.
    pub allowed_groups: Vec<Arc<str>>,
    /// `acrValues`.
    pub acr_values: Vec<Arc<str>>,
    /// `getUserInfo`.
    pub user_info: bool,
    /// `userIDKey`.
    pub user_id_key: Arc<str>,
    /// `userNameKey`.
    pub user_name_key: Arc<str>,
    /// `promptType`; sent with `offline_access` only.
    pub prompt: Arc<str>,
    /// `pkceChallenge`; what the issuer offers when absent.
    pub pkce: Option<OidcPkce>,
    /// `overrideClaimMapping`.
    pub override_claims: bool,
    /// `claimMapping.preferred_username`.
    pub preferred_username_key: Arc<str>,
    /// `claimMapping.email`.
    pub email_key: Arc<str>,
    /// `claimMapping.groups`.
    pub groups_key: Arc<str>,
    /// `claimModifications.filterGroupClaims.groupsFilter`.
    pub groups_filter: Option<Regex>,
    /// `claimModifications.modifyGroupNames.prefix`.
    pub groups_prefix: Arc<str>,
    /// `claimModifications.modifyGroupNames.suffix`.
    pub groups_suffix: Arc<str>,
    /// `claimModifications.newGroupFromClaims`.
    pub new_groups: Vec<NewGroup>,
}

/// `providerDiscoveryOverrides`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OidcOverrides {
    /// `authURL`.
    pub authorization: Option<Arc<str>>,
    /// `tokenURL`.
    pub token: Option<Arc<str>>,
    /// `jwksURL`.
    pub keys: Option<Arc<str>>,
    /// `userInfoURL`.
    pub user_info: Option<Arc<str>>,
}

impl OidcOverrides {
    /// Whether anything is overridden: the methods of PKCE are not taken from the document then.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `pkceChallenge`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OidcPkce {
    /// `S256`.
    S256,
    /// `plain`.
    Plain,
    /// Empty: none.
    None,
}

/// `newGroupFromClaims[]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGroup {
    /// `claims`.
    pub claims: Vec<Arc<str>>,
    /// `delimiter`.
    pub delimiter: Arc<str>,
    /// `clearDelimiter`: the delimiter is taken out of the claims first.
    pub clear_delimiter: bool,
    /// `prefix`.
    pub prefix: Arc<str>,
}

/// `oauth`.
#[derive(Clone, Debug, PartialEq)]
pub struct OAuthConnector {
    /// `clientID`, `clientSecret`, `redirectURI`.
    pub client: UpstreamClient,
    /// `tokenURL`.
    pub token_url: Arc<str>,
    /// `authorizationURL`.
    pub authorization_url: Arc<str>,
    /// `userInfoURL`.
    pub user_info_url: Arc<str>,
    /// `scopes`.
    pub scopes: Vec<Arc<str>>,
    /// `rootCAs`, `insecureSkipVerify`.
    pub tls: IssuerTls,
    /// `userIDKey`.
    pub user_id_key: Arc<str>,
    /// `claimMapping.userNameKey`.
    pub user_name_key: Arc<str>,
    /// `claimMapping.preferredUsernameKey`.
    pub preferred_username_key: Arc<str>,
    /// `claimMapping.groupsKey`.
    pub groups_key: Arc<str>,
    /// `claimMapping.emailKey`.
    pub email_key: Arc<str>,
    /// `claimMapping.emailVerifiedKey`.
    pub email_verified_key: Arc<str>,
}

/// `ldap`.
#[derive(Clone, Debug, PartialEq)]
pub struct LdapConnector {
    /// Host of `host`.
    pub host: Arc<str>,
    /// Port of `host`, or the usual one.
    pub port: u16,
    /// `insecureNoSSL`, `startTLS`.
    pub security: LdapSecurity,
    /// `rootCA`, `rootCAData`, `insecureSkipVerify`, `clientCert`, `clientKey`.
    pub tls: IssuerTls,
    /// `bindDN`; anonymous when empty.
    pub bind_dn: Arc<str>,
    /// `bindPW`.
    pub bind_password: Secret,
    /// `usernamePrompt`.
    pub prompt: Arc<str>,
    /// `userSearch`.
    pub users: LdapUsers,
    /// `groupSearch`; none without a `baseDN`.
    pub groups: Option<LdapGroups>,
}

/// How the line to a directory is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LdapSecurity {
    /// LDAPS.
    Tls,
    /// `startTLS`.
    StartTls,
    /// `insecureNoSSL`.
    Plain,
}

/// How deep a search goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LdapScope {
    /// `sub`.
    #[default]
    Subtree,
    /// `one`.
    OneLevel,
}

/// `userSearch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdapUsers {
    /// `baseDN`.
    pub base: Arc<str>,
    /// `filter`.
    pub filter: Arc<str>,
    /// `username`: attributes that the typed name is compared with; one has to match.
    pub usernames: Vec<Arc<str>>,
    /// `scope`.
    pub scope: LdapScope,
    /// `idAttr`; `DN` is the name of the entry.
    pub id: Arc<str>,
    /// `emailAttr`.
    pub email: Arc<str>,
    /// `nameAttr`.
    pub name: Arc<str>,
    /// `preferredUsernameAttr`.
    pub preferred_username: Arc<str>,
    /// `emailSuffix`.
    pub email_suffix: Arc<str>,
}

/// `groupSearch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdapGroups {
    /// `baseDN`.
    pub base: Arc<str>,
    /// `filter`.
    pub filter: Arc<str>,
    /// `scope`.
    pub scope: LdapScope,
    /// `nameAttr`.
    pub name: Arc<str>,
    /// `userMatchers`.
    pub matchers: Vec<LdapMatcher>,
}

/// `userMatchers[]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdapMatcher {
    /// `userAttr`.
    pub user: Arc<str>,
    /// `groupAttr`.
    pub group: Arc<str>,
    /// `recursionGroupAttr`; empty for none.
    pub recursion: Arc<str>,
}

/// `authproxy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthProxyConnector {
    /// `userHeader`.
    pub user: Arc<str>,
    /// `userIDHeader`.
    pub user_id: Arc<str>,
    /// `userNameHeader`.
    pub user_name: Arc<str>,
    /// `emailHeader`.
    pub email: Arc<str>,
    /// `groupHeader`.
    pub groups: Arc<str>,
    /// `groupHeaderSeparator`.
    pub separator: Arc<str>,
    /// `staticGroups`.
    pub static_groups: Vec<Arc<str>>,
}

/// An organization, and the only teams of it that count; any when there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// `name`.
    pub name: Arc<str>,
    /// `teams`.
    pub teams: Vec<Arc<str>>,
}

/// `github`.
#[derive(Clone, Debug, PartialEq)]
pub struct GitHubConnector {
    /// `clientID`, `clientSecret`, `redirectURI`.
    pub client: UpstreamClient,
    /// `orgs`, or `org` alone.
    pub organizations: Vec<Organization>,
    /// `org`: groups are teams without the name of the organization.
    pub bare_teams: bool,
    /// `loadAllGroups`.
    pub load_all_groups: bool,
    /// `teamNameField`.
    pub team_name: TeamName,
    /// `hostName`: GitHub Enterprise.
    pub host: Option<Arc<str>>,
    /// `rootCA`.
    pub tls: IssuerTls,
    /// `useLoginAsID`.
    pub login_as_id: bool,
    /// `preferredEmailDomain`.
    pub preferred_email_domain: Arc<str>,
}

/// `teamNameField`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TeamName {
    /// `name`.
    #[default]
    Name,
    /// `slug`.
    Slug,
    /// `both`.
    Both,
}

/// `gitlab`.
#[derive(Clone, Debug, PartialEq)]
pub struct GitLabConnector {
    /// `clientID`, `clientSecret`, `redirectURI`.
    pub client: UpstreamClient,
    /// `baseURL`, no slash at the end.
    pub base_url: Arc<str>,
    /// `groups`: one of them is needed.
    pub groups: Vec<Arc<str>>,
    /// `useLoginAsID`.
    pub login_as_id: bool,
    /// `getGroupsPermission`.
    pub permissions: bool,
    /// `rootCAData`.
    pub tls: IssuerTls,
}

/// `google`.
#[derive(Clone, Debug, PartialEq)]
pub struct GoogleConnector {
    /// `clientID`, `clientSecret`, `redirectURI`.
    pub client: UpstreamClient,
    /// `scopes`, without `openid`.
    pub scopes: Vec<Arc<str>>,
    /// `hostedDomains`.
    pub hosted_domains: Vec<Arc<str>>,
    /// `groups`: one of them is needed.
    pub groups: Vec<Arc<str>>,
    /// `serviceAccountFilePath`: who asks for groups.
    pub service_account: Option<ServiceAccount>,
    /// `domainToAdminEmail`: domain or `*`, and the administrator that is acted for.
    pub administrators: Vec<(Arc<str>, Arc<str>)>,
    /// `fetchTransitiveGroupMembership`.
    pub transitive: bool,
    /// `promptType`.
    pub prompt: Arc<str>,
}

/// A service account of Google.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceAccount {
    /// `client_email`.
    pub email: Arc<str>,
    /// `private_key`, PEM.
    pub key: Secret,
    /// `private_key_id`.
    pub key_id: Arc<str>,
    /// `token_uri`.
    pub token_uri: Arc<str>,
}

/// `microsoft`.
#[derive(Clone, Debug, PartialEq)]
pub struct MicrosoftConnector {
    /// `clientID`, `clientSecret`, `redirectURI`.
    pub client: UpstreamClient,
    /// `tenant`.
    pub tenant: Arc<str>,
    /// `groups`: one of them is needed.
    pub groups: Vec<Arc<str>>,
    /// `useGroupsAsWhitelist`.
    pub only_those: bool,
    /// `onlySecurityGroups`.
    pub only_security: bool,
    /// `groupNameFormat: id`.
    pub group_ids: bool,
    /// `emailToLowercase`.
    pub lower_case: bool,
    /// `scopes`.
    pub scopes: Vec<Arc<str>>,
    /// `promptType`.
    pub prompt: Arc<str>,
    /// `domainHint`.
    pub domain_hint: Arc<str>,
    /// `apiURL`, no slash at the end.
    pub api_url: Arc<str>,
    /// `graphURL`, no slash at the end.
    pub graph_url: Arc<str>,
    /// `preferredUsernameField`.
    pub preferred_username: Arc<str>,
}

/// `gitea`.
#[derive(Clone, Debug, PartialEq)]
pub struct GiteaConnector {
    /// `clientID`, `clientSecret`, `redirectURI`.
    pub client: UpstreamClient,
    /// `baseURL`, no slash at the end.
    pub base_url: Arc<str>,
    /// `orgs`.
    pub organizations: Vec<Organization>,
    /// `loadAllGroups`.
    pub load_all_groups: bool,
    /// `useLoginAsID`.
    pub login_as_id: bool,
}

/// `bitbucket-cloud`.
#[derive(Clone, Debug, PartialEq)]
pub struct BitbucketConnector {
    /// `clientID`, `clientSecret`, `redirectURI`.
    pub client: UpstreamClient,
    /// `teams`: workspaces, one of which is needed.
    pub teams: Vec<Arc<str>>,
    /// `getWorkspacePermissions`.
    pub permissions: bool,
}

/// `openshift`.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenShiftConnector {
    /// `clientID`, `clientSecret`, `redirectURI`.
    pub client: UpstreamClient,
    /// `issuer`, no slash at the end.
    pub issuer: Arc<str>,
    /// `groups`: one of them is needed.
    pub groups: Vec<Arc<str>>,
    /// `rootCA`, `insecureCA`.
    pub tls: IssuerTls,
}

/// `atlassian-crowd`.
#[derive(Clone, Debug, PartialEq)]
pub struct CrowdConnector {
    /// `baseURL`, no slash at the end.
    pub base_url: Arc<str>,
    /// `clientID`.
    pub client_id: Arc<str>,
    /// `clientSecret`.
    pub client_secret: Secret,
    /// `groups`: one of them is needed.
    pub groups: Vec<Arc<str>>,
    /// `preferredUsernameField`: `key`, `name` or `email`.
    pub preferred_username: Arc<str>,
    /// `usernamePrompt`.
    pub prompt: Arc<str>,
}

/// `keystone`.
#[derive(Clone, Debug, PartialEq)]
pub struct KeystoneConnector {
    /// `keystoneHost`, no slash at the end.
    pub host: Arc<str>,
    /// `keystoneUsername`.
    pub username: Arc<str>,
    /// `keystonePassword`.
    pub password: Secret,
    /// `domain`.
    pub domain: Arc<str>,
}

impl ConnectorKind {
    /// What we are at the upstream, where people are sent to it.
    pub fn upstream_client(&self) -> Option<&UpstreamClient> {
        match self {
            Self::Oidc(one) => Some(&one.client),
            Self::OAuth(one) => Some(&one.client),
            Self::GitHub(one) => Some(&one.client),
            Self::GitLab(one) => Some(&one.client),
            Self::Google(one) => Some(&one.client),
            Self::Microsoft(one) => Some(&one.client),
            Self::Gitea(one) => Some(&one.client),
            Self::BitbucketCloud(one) => Some(&one.client),
            Self::LinkedIn(client) => Some(client),
            Self::OpenShift(one) => Some(&one.client),
            Self::Local
            | Self::MockCallback
            | Self::MockPassword { .. }
            | Self::Ldap(_)
            | Self::AuthProxy(_)
            | Self::AtlassianCrowd(_)
            | Self::Keystone(_) => None,
        }
    }
}
