//! A login proxy: what an OAuth2 Proxy configuration says, whatever form it came in.

use std::sync::Arc;

use super::text::Regex;
use crate::names::{Duration, ObjectRef, Place, Secret};

/// One login proxy that doorward plays. Names of options are OAuth2 Proxy's.
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    /// The ConfigMap or Deployment it was read from.
    pub object: ObjectRef,
    /// Where.
    pub place: Place,
    /// `proxy_prefix`: where its own pages are, no slash at the end; `/oauth2`.
    pub prefix: Arc<str>,
    /// `oidc_issuer_url`.
    pub issuer: Arc<str>,
    /// `client_id`.
    pub client_id: Arc<str>,
    /// `client_secret`.
    pub client_secret: Secret,
    /// `scope`, split.
    pub scopes: Vec<Arc<str>>,
    /// `login_url`, when discovery is skipped; may be relative to the served host.
    pub login_url: Option<Arc<str>>,
    /// `redeem_url`, when discovery is skipped.
    pub redeem_url: Option<Arc<str>>,
    /// `oidc_jwks_url`, when discovery is skipped.
    pub jwks_url: Option<Arc<str>>,
    /// `redirect_url`: absolute, or relative to the served host; `None` means prefix + `/callback`
    /// on the served host.
    pub redirect_url: Option<Arc<str>>,
    /// `relative_redirect_url`: `redirect_url` is sent to the issuer as it stands.
    pub relative_redirect_url: bool,
    /// `prompt`.
    pub prompt: Option<Arc<str>>,
    /// `code_challenge_method` is S256. doorward sends PKCE either way; kept for `doctor`.
    pub pkce: bool,
    /// `cookie_name`.
    pub cookie_name: Arc<str>,
    /// `cookie_expire`.
    pub cookie_expire: Duration,
    /// `cookie_secure`: even on plain HTTP. On HTTPS the cookie is always `Secure`.
    pub cookie_secure: bool,
    /// `cookie_samesite`; `Lax` unless set.
    pub cookie_samesite: Arc<str>,
    /// `cookie_domains`; empty means host-only.
    pub cookie_domains: Vec<Arc<str>>,
    /// `skip_provider_button`: straight to the issuer instead of the sign-in page.
    pub skip_provider_button: bool,
    /// `provider_display_name`.
    pub display_name: Arc<str>,
    /// `skip_auth_routes` and `skip_auth_regex`.
    pub skip_routes: Vec<SkipRule>,
    /// `skip_auth_preflight`.
    pub skip_preflight: bool,
    /// `api_routes`: patterns over path and query that answer 401 instead of a page.
    pub api_routes: Vec<Regex>,
    /// `force_json_errors`.
    pub force_json_errors: bool,
    /// `email_domains`; `*` means anyone.
    pub email_domains: Vec<Arc<str>>,
    /// `allowed_groups`; empty means any.
    pub allowed_groups: Vec<Arc<str>>,
    /// `whitelist_domains`: hosts that a redirect after sign-in or sign-out may name.
    pub whitelist_domains: Vec<Arc<str>>,
    /// `set_authorization_header`: `Authorization: Bearer <id token>` on the check answer.
    pub set_authorization_header: bool,
    /// `set_xauthrequest`: `X-Auth-Request-*` on the check answer.
    pub set_xauthrequest: bool,
    /// `pass_access_token`: `X-Auth-Request-Access-Token` too.
    pub pass_access_token: bool,
    /// `skip_jwt_bearer_tokens`: a bearer token of the issuer is a session.
    pub skip_jwt_bearer_tokens: bool,
    /// `extra_jwt_issuers`.
    pub extra_issuers: Vec<ExtraIssuer>,
    /// `insecure_oidc_allow_unverified_email`.
    pub allow_unverified_email: bool,
    /// `oidc_email_claim`.
    pub email_claim: Arc<str>,
    /// `oidc_groups_claim`.
    pub groups_claim: Arc<str>,
}

impl Login {
    /// Tells login proxies apart across snapshots: `namespace/name`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.object.namespace, self.object.name)
    }
}

/// `skip_auth_routes[]`: an optional method, a pattern over the decoded path, and whether it is
/// negated.
#[derive(Clone, Debug, PartialEq)]
pub struct SkipRule {
    /// Method, `None` for any.
    pub method: Option<Arc<str>>,
    /// Pattern, unanchored.
    pub path: Regex,
    /// `!=`: the path must not match.
    pub negate: bool,
}

/// `extra_jwt_issuers[]`: `issuer=audience`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraIssuer {
    /// Issuer.
    pub issuer: Arc<str>,
    /// Audience.
    pub audience: Arc<str>,
}
