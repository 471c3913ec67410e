//! An OpenID provider: what a Dex configuration says.

use std::sync::Arc;

use super::ProviderConnector;
use super::protocol::{ClientRules, ProviderProtocol};
use crate::names::{Duration, ObjectRef, Place, Secret};

/// One OpenID provider that doorward plays. Names of settings are Dex's.
#[derive(Clone, Debug, PartialEq)]
pub struct Provider {
    /// The ConfigMap it was read from.
    pub object: ObjectRef,
    /// Where.
    pub place: Place,
    /// `issuer`, exactly as configured; every path hangs below its path.
    pub issuer: Arc<str>,
    /// Path of the issuer, no slash at the end: `/dex`.
    pub path: Arc<str>,
    /// `staticClients`.
    pub clients: Vec<ProviderClient>,
    /// Ways to sign in; the password list is the connector `local`.
    pub connectors: Vec<ProviderConnector>,
    /// `staticPasswords`.
    pub passwords: Vec<ProviderPassword>,
    /// `oauth2.skipApprovalScreen`.
    pub skip_approval: bool,
    /// `oauth2.alwaysShowLoginScreen`.
    pub always_show_login: bool,
    /// `expiry.idTokens`.
    pub token_lifetime: Duration,
    /// `expiry.authRequests`.
    pub request_lifetime: Duration,
    /// `expiry.signingKeys`.
    pub key_rotation: Duration,
    /// `frontend.issuer`: name on the pages.
    pub name: Arc<str>,
    /// `frontend.logoURL`, when it is another picture than ours.
    pub logo: Option<Arc<str>>,
    /// `frontend.theme`.
    pub theme: ProviderTheme,
    /// What is offered beyond Dex's names for it.
    pub protocol: ProviderProtocol,
    /// `oauth2.passwordConnector`: connector of the password grant.
    pub password_connector: Option<Arc<str>>,
    /// `oauth2.pkce`.
    pub pkce: ProviderPkce,
    /// `web`: what every answer carries, and who may read it.
    pub web: ProviderWeb,
}

/// `frontend.theme`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProviderTheme {
    /// None named: what the person's system prefers.
    #[default]
    System,
    /// `light`, or one that Dex takes for it.
    Light,
    /// `dark`.
    Dark,
}

/// `oauth2.pkce`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderPkce {
    /// `enforce`.
    pub enforced: bool,
    /// `codeChallengeMethodsSupported`.
    pub methods: Vec<Arc<str>>,
}

impl Default for ProviderPkce {
    fn default() -> Self {
        Self {
            enforced: false,
            methods: vec!["S256".into(), "plain".into()],
        }
    }
}

/// `web`, as far as it says what answers look like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderWeb {
    /// `headers`.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// `allowedOrigins`.
    pub allowed_origins: Vec<Arc<str>>,
    /// `allowedHeaders`.
    pub allowed_headers: Vec<Arc<str>>,
}

/// `staticClients[]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderClient {
    /// `id` or the value that `idEnv` names.
    pub id: Arc<str>,
    /// `secret` or the value that `secretEnv` names; empty only when public.
    pub secret: Secret,
    /// `name`.
    pub name: Arc<str>,
    /// `redirectURIs`, exact strings, may be relative.
    pub redirect_uris: Vec<Arc<str>>,
    /// `public`.
    pub public: bool,
    /// `trustedPeers`.
    pub trusted_peers: Vec<Arc<str>>,
    /// `logoURL`.
    pub logo: Option<Arc<str>>,
    /// `allowedConnectors`; any when empty.
    pub allowed_connectors: Vec<Arc<str>>,
    /// `refreshTokenLifetime: session`.
    pub refresh_ends_with_session: bool,
    /// `ssoSharedWith`; what `sessions.ssoSharedWithDefault` says when absent.
    pub shares_sign_in_with: Option<Vec<Arc<str>>>,
    /// `clientCredentialsClaims.groups`.
    pub own_groups: Vec<Arc<str>>,
    /// What else is known of it.
    pub rules: ClientRules,
}

impl ProviderClient {
    /// A client with every other setting at its default; public where the secret is empty.
    pub fn with_defaults(id: &str, secret: Secret, redirect_uris: Vec<Arc<str>>) -> Self {
        Self {
            id: id.into(),
            public: secret.is_empty(),
            secret,
            name: id.into(),
            redirect_uris,
            trusted_peers: Vec::new(),
            logo: None,
            allowed_connectors: Vec::new(),
            refresh_ends_with_session: false,
            shares_sign_in_with: None,
            own_groups: Vec::new(),
            rules: ClientRules::default(),
        }
    }
}

impl Provider {
    /// A provider with every other setting at its default.
    pub fn with_defaults(object: ObjectRef, place: Place, issuer: &str, path: &str) -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            object,
            place,
            issuer: issuer.into(),
            path: path.into(),
            clients: Vec::new(),
            connectors: Vec::new(),
            passwords: Vec::new(),
            skip_approval: false,
            always_show_login: false,
            token_lifetime: DAY,
            request_lifetime: DAY,
            key_rotation: Duration::from_secs(6 * 3600),
            name: "dex".into(),
            logo: None,
            theme: ProviderTheme::System,
            protocol: ProviderProtocol::default(),
            password_connector: None,
            pkce: ProviderPkce::default(),
            web: ProviderWeb::default(),
        }
    }
}

/// `staticPasswords[]`.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderPassword {
    /// `email`, the login name; compared in lower case.
    pub email: Arc<str>,
    /// bcrypt string.
    pub hash: Secret,
    /// `username`.
    pub username: Arc<str>,
    /// `name`; the user name unless set.
    pub name: Arc<str>,
    /// `preferredUsername`.
    pub preferred_username: Arc<str>,
    /// `emailVerified`.
    pub email_verified: bool,
    /// `userID`, part of `sub`.
    pub user_id: Arc<str>,
    /// `groups`.
    pub groups: Vec<Arc<str>>,
}
