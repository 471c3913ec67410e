//! A login proxy: what an OAuth2 Proxy configuration says, whatever form it came in.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::text::Regex;
use crate::names::{Duration, ObjectRef, Place, Secret};

/// One login proxy that doorward plays. Names of options are OAuth2 Proxy's, where it has them.
///
/// [`Login::with_defaults`] has every option at the value that counts when nobody sets it.
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
    /// `client_secret`; empty for a client without one.
    pub client_secret: Secret,
    /// How the client proves who it is (OpenID Connect Core §9).
    pub client_auth: LoginClientAuth,
    /// Whether authorization requests are pushed first (RFC 9126).
    pub pushed_requests: WhenOffered,
    /// Whether authorization requests are signed (RFC 9101); takes the key of `private_key_jwt`.
    pub signed_requests: WhenOffered,
    /// Further issuers that people may choose from on the sign-in page. Each has the options of its
    /// issuer and its client; its place, prefix, cookies and who may enter are those of this one, and
    /// `others` of its own is empty.
    pub others: Vec<Arc<Login>>,
    /// Tells the issuers of one login proxy apart, in addresses; letters, digits, `-` and `_`. Empty
    /// where there is one.
    pub choice: Arc<str>,
    /// `scope`, split.
    pub scopes: Vec<Arc<str>>,
    /// `login_url`, when discovery is skipped; may be relative to the served host.
    pub login_url: Option<Arc<str>>,
    /// `redeem_url`, when discovery is skipped.
    pub redeem_url: Option<Arc<str>>,
    /// `oidc_jwks_url`, when discovery is skipped.
    pub jwks_url: Option<Arc<str>>,
    /// `profile_url`: the userinfo endpoint, instead of what discovery says.
    pub user_info_url: Option<Arc<str>>,
    /// When the userinfo endpoint is asked; `skip_claims_from_profile_url` is [`UserInfo::Never`].
    pub user_info: UserInfo,
    /// Where sessions of the issuer end (RP-Initiated Logout 1.0 §2), when discovery is skipped.
    pub end_session_url: Option<Arc<str>>,
    /// `redirect_url`: absolute, or relative to the served host; `None` means prefix + `/callback`
    /// on the served host.
    pub redirect_url: Option<Arc<str>>,
    /// `relative_redirect_url`: `redirect_url` is sent to the issuer as it stands.
    pub relative_redirect_url: bool,
    /// `prompt`.
    pub prompt: Option<Arc<str>>,
    /// Further parameters of the authorization request, such as `acr_values`.
    pub login_parameters: Vec<(Arc<str>, Arc<str>)>,
    /// `oidc_extra_audiences`: audiences of ID tokens that count as ours.
    pub extra_audiences: Vec<Arc<str>>,
    /// `oidc_enabled_signing_algs`: algorithms that ID tokens may be signed with; empty means every
    /// asymmetric one.
    pub signing_algorithms: Vec<Arc<str>>,
    /// How far the issuer's clock may be off.
    pub clock_skew: Duration,
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
    /// `cookie_path`.
    pub cookie_path: Arc<str>,
    /// `cookie_refresh`: tokens are renewed when the latest are as old as this, beside whenever they
    /// are about to expire; `None` for only then.
    pub cookie_refresh: Option<Duration>,
    /// What becomes of a session whose tokens cannot be renewed because the issuer does not answer.
    pub refresh_failure: RefreshFailure,
    /// `cookie_csrf_expire`: how long a person may take at the issuer.
    pub attempt_lifetime: Duration,
    /// `cookie_csrf_per_request_limit`: how many sign-ins one browser may have begun at once; the
    /// oldest make room.
    pub attempt_limit: usize,
    /// `cookie_csrf_samesite`; `None` means as `cookie_samesite`, but never `Strict`.
    pub attempt_samesite: Option<Arc<str>>,
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
    /// `authenticated_emails_file`: whoever is on the list may enter beside `email_domains`. Lower
    /// case.
    pub emails: Arc<BTreeSet<Box<str>>>,
    /// `allowed_groups`; empty means any.
    pub allowed_groups: Vec<Arc<str>>,
    /// Who may enter some hosts and paths only.
    pub entry_rules: Vec<EntryRule>,
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
    /// What an e-mail must be to count. `insecure_oidc_allow_unverified_email` is
    /// [`EmailVerified::Any`].
    pub email_verified: EmailVerified,
    /// The claim that says who it is; `sub`. Claims are named as they stand, or by a path with dots
    /// into nested objects.
    pub user_claim: Arc<str>,
    /// `oidc_email_claim`.
    pub email_claim: Arc<str>,
    /// `oidc_groups_claim`: a text, or a list.
    pub groups_claim: Arc<str>,
    /// The claim with the name that people call themselves; `preferred_username`.
    pub preferred_username_claim: Arc<str>,
    /// Whether signing out ends the session at the issuer too, where the issuer offers that.
    pub logout_at_issuer: bool,
    /// A path of the served hosts that ends the session here and at the issuer, such as `/logout`.
    pub logout_path: Option<Arc<str>>,
    /// `backend_logout_url`: asked with GET when somebody signs out; `{id_token}` in it is the
    /// session's ID token.
    pub backend_logout_url: Option<Arc<str>>,
    /// `cookie_secret`: sessions that an OAuth2 Proxy with the same one began are honoured. Empty
    /// where there are none.
    pub cookie_secret: Secret,
    /// Which program's paths and cookies it has.
    pub shape: LoginShape,
    /// How the issuer is reached over TLS.
    pub issuer_tls: IssuerTls,
}

/// Which program's paths and cookies a login proxy has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LoginShape {
    /// OAuth2 Proxy's.
    #[default]
    OAuth2Proxy,
    /// AuthService's.
    AuthService(AuthServiceShape),
}

/// Paths and places of AuthService.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthServiceShape {
    /// The callback's path.
    pub callback: Arc<str>,
    /// `HOMEPAGE_URL`: where a callback without code leads.
    pub homepage: Arc<str>,
    /// `AFTER_LOGIN_URL`, and whether what was wanted is added to it as `next`.
    pub after_login: Option<(Arc<str>, bool)>,
    /// `AFTER_LOGOUT_URL`: what a sign-out answers.
    pub after_logout: Arc<str>,
    /// `AUTH_HEADER`: the header that may carry the value of the session cookie.
    pub session_headers: Vec<super::mesh::HeaderName>,
    /// `ID_TOKEN_HEADER`: where tokens of clients are looked for, after `Bearer `.
    pub token_header: super::mesh::HeaderName,
    /// `ACCESS_TOKEN_AUTHN` is `opaque`: the issuer is asked whose a token is.
    pub opaque_tokens: bool,
    /// `KUBERNETES_AUTHN_ENABLED` and `AUDIENCES`: for whom a token has to be that the API server
    /// reviews.
    pub reviews: Option<Vec<Arc<str>>>,
    /// `CACHE_ENABLED` and `CACHE_EXPIRATION_MINUTES`: how long it is remembered whose a token is.
    pub remembered: Option<Duration>,
    /// `STRICT_SESSION_VALIDATION`: the issuer is asked about a session each time.
    pub strict: bool,
}

/// How a client proves who it is at the issuer (OpenID Connect Core §9, RFC 8705 §2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LoginClientAuth {
    /// `client_secret_basic`, then `client_secret_post` if that is refused; what was taken is
    /// remembered. Nothing for a client without secret.
    #[default]
    Secret,
    /// `client_secret_basic`.
    SecretBasic,
    /// `client_secret_post`.
    SecretPost,
    /// `private_key_jwt`.
    PrivateKeyJwt {
        /// PKCS#8 in PEM: RSA of 2048 bits or more, P-256 or Ed25519.
        key: Secret,
        /// `kid`, as the issuer knows the key.
        key_id: Option<Arc<str>>,
    },
    /// `tls_client_auth` and `self_signed_tls_client_auth`: the certificate of
    /// [`IssuerTls::client`].
    Tls,
}

/// Whether something that not every issuer offers is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenOffered {
    /// Where the issuer offers it.
    #[default]
    Auto,
    /// Always; sign-in fails where it is not offered.
    Always,
    /// Never; sign-in fails where it is required.
    Never,
}

/// When the userinfo endpoint is asked (OpenID Connect Core §5.3). What the ID token says counts
/// before what that endpoint says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserInfo {
    /// Where the ID token has no claim for the user, the e-mail or the groups, and the endpoint is
    /// known.
    #[default]
    WhenMissing,
    /// At every sign-in and renewal.
    Always,
    /// Never.
    Never,
}

/// What becomes of a session whose tokens cannot be renewed although they may be: the issuer does
/// not answer. One whose renewal the issuer refuses has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RefreshFailure {
    /// It goes on as long as its tokens are good.
    #[default]
    KeepWhileValid,
    /// It has ended.
    End,
}

/// What an e-mail must be to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmailVerified {
    /// The issuer does not say that it is not verified.
    #[default]
    NotDenied,
    /// The issuer says that it is verified.
    Required,
    /// Anything.
    Any,
}

/// Who may enter where. Each rule that covers a request must admit, beside what the login proxy asks
/// of everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryRule {
    /// Hosts: a name, or `*.d` for what is below `d`, lower case; empty means every host.
    pub hosts: Vec<Arc<str>>,
    /// Paths; empty means every path. Each covers itself and what is below it.
    pub paths: Vec<Arc<str>>,
    /// Any of these groups; empty means any group or none.
    pub groups: Vec<Arc<str>>,
    /// Any of these e-mails, lower case, or one of `email_domains`; both empty means anybody.
    pub emails: BTreeSet<Box<str>>,
    /// As [`Login::email_domains`].
    pub email_domains: Vec<Arc<str>>,
}

/// How an issuer is reached over TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IssuerTls {
    /// `provider_ca_files`: certificates in PEM that are trusted instead of the system's.
    pub authorities: Option<Arc<str>>,
    /// `use_system_trust_store`: the system's are trusted beside `authorities`.
    pub system_too: bool,
    /// `ssl_insecure_skip_verify`: any certificate is taken.
    pub unverified: bool,
    /// A certificate of our own.
    pub client: Option<IssuerTlsClient>,
}

/// A certificate that is shown to an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerTlsClient {
    /// The certificate and what signed it, PEM.
    pub certificates: Arc<str>,
    /// Its key, PEM.
    pub key: Secret,
}

impl Login {
    /// A login proxy for `client_id` of `issuer` with every other option at its default. It admits
    /// nobody until `email_domains` or `emails` does.
    pub fn with_defaults(
        object: ObjectRef,
        place: Place,
        issuer: Arc<str>,
        client_id: Arc<str>,
    ) -> Self {
        Self {
            object,
            place,
            prefix: "/oauth2".into(),
            issuer,
            client_id,
            client_secret: Secret::new([]),
            client_auth: LoginClientAuth::default(),
            pushed_requests: WhenOffered::default(),
            signed_requests: WhenOffered::default(),
            others: Vec::new(),
            choice: "".into(),
            scopes: ["openid", "email", "profile"].map(Arc::from).to_vec(),
            login_url: None,
            redeem_url: None,
            jwks_url: None,
            user_info_url: None,
            user_info: UserInfo::default(),
            end_session_url: None,
            redirect_url: None,
            relative_redirect_url: false,
            prompt: None,
            login_parameters: Vec::new(),
            extra_audiences: Vec::new(),
            signing_algorithms: Vec::new(),
            clock_skew: Duration::from_secs(60),
            pkce: true,
            cookie_name: "_oauth2_proxy".into(),
            cookie_expire: Duration::from_secs(7 * 24 * 3600),
            cookie_secure: true,
            cookie_samesite: "Lax".into(),
            cookie_domains: Vec::new(),
            cookie_path: "/".into(),
            cookie_refresh: None,
            refresh_failure: RefreshFailure::default(),
            attempt_lifetime: Duration::from_secs(15 * 60),
            attempt_limit: 10,
            attempt_samesite: None,
            skip_provider_button: false,
            display_name: "OpenID Connect".into(),
            skip_routes: Vec::new(),
            skip_preflight: false,
            api_routes: Vec::new(),
            force_json_errors: false,
            email_domains: Vec::new(),
            emails: Arc::default(),
            allowed_groups: Vec::new(),
            entry_rules: Vec::new(),
            whitelist_domains: Vec::new(),
            set_authorization_header: false,
            set_xauthrequest: false,
            pass_access_token: false,
            skip_jwt_bearer_tokens: false,
            extra_issuers: Vec::new(),
            email_verified: EmailVerified::default(),
            user_claim: "sub".into(),
            email_claim: "email".into(),
            groups_claim: "groups".into(),
            preferred_username_claim: "preferred_username".into(),
            logout_at_issuer: false,
            logout_path: None,
            backend_logout_url: None,
            cookie_secret: Secret::new([]),
            shape: LoginShape::default(),
            issuer_tls: IssuerTls::default(),
        }
    }

    /// This login proxy and those of its [`Self::others`]: one for each issuer, in the order in
    /// which people choose.
    pub fn choices(&self) -> impl Iterator<Item = &Login> {
        std::iter::once(self).chain(self.others.iter().map(|other| &**other))
    }

    /// The header in which clients send tokens of their own.
    pub fn bearer_header(&self) -> &super::mesh::HeaderName {
        static USUAL: super::mesh::HeaderName = http::header::AUTHORIZATION;
        match &self.shape {
            LoginShape::OAuth2Proxy => &USUAL,
            LoginShape::AuthService(shape) => &shape.token_header,
        }
    }

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
