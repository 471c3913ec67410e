//! An OpenID provider: what a Dex configuration says.

use std::sync::Arc;

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
    /// What is offered beyond Dex's names for it.
    pub protocol: ProviderProtocol,
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
    /// What else is known of it.
    pub rules: ClientRules,
}

/// A way to sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderConnector {
    /// The password list: id `local`, name `Email`.
    Local,
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
