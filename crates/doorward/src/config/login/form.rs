//! How the section is written.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::super::Switch;

/// The whole section.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct LoginConfig {
    /// Where its own pages are.
    #[serde(default = "usual_prefix")]
    pub(super) prefix: String,
    /// At least one; with several, people choose.
    pub(super) issuers: Vec<IssuerConfig>,
    #[serde(default)]
    pub(super) cookie: CookieConfig,
    #[serde(default)]
    pub(super) refresh: RefreshConfig,
    #[serde(default)]
    pub(super) attempts: AttemptsConfig,
    /// A path that signs out here and at the issuer; empty for none.
    #[serde(default = "usual_logout_path")]
    pub(super) logout_path: String,
    #[serde(default)]
    pub(super) logout_at_issuer: Option<Switch>,
    /// Straight to the one issuer instead of the page.
    #[serde(default)]
    pub(super) skip_page: Option<Switch>,
    /// Domains of e-mail addresses that may enter; `*` for anyone.
    #[serde(default)]
    pub(super) email_domains: Vec<String>,
    #[serde(default)]
    pub(super) emails: Vec<String>,
    /// One address a line; read again when it changes.
    #[serde(default)]
    pub(super) emails_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) groups: Vec<String>,
    #[serde(default)]
    pub(super) rules: Vec<RuleConfig>,
    /// Patterns over the path that need no sign-in, `METHOD=pattern` or a pattern.
    #[serde(default)]
    pub(super) exempt: Vec<String>,
    /// Patterns over path and query that answer 401 instead of a page.
    #[serde(default)]
    pub(super) api_paths: Vec<String>,
    /// Further hosts that people may be sent to after signing in or out.
    #[serde(default)]
    pub(super) redirect_hosts: Vec<String>,
    /// Whether a bearer token of an issuer is a session.
    #[serde(default)]
    pub(super) bearer_tokens: Option<Switch>,
    /// Whether applications get the ID token in `Authorization`.
    #[serde(default)]
    pub(super) pass_id_token: Option<Switch>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct IssuerConfig {
    /// Tells it from the others, in addresses.
    #[serde(default)]
    pub(super) name: String,
    /// What the button says after "Sign in with".
    #[serde(default)]
    pub(super) label: Option<String>,
    pub(super) issuer: String,
    pub(super) client_id: String,
    #[serde(default)]
    pub(super) client_secret: Option<SecretConfig>,
    #[serde(default)]
    pub(super) client_auth: ProvenBy,
    #[serde(default)]
    pub(super) client_key: Option<SecretConfig>,
    #[serde(default)]
    pub(super) client_key_id: Option<String>,
    #[serde(default)]
    pub(super) pushed_requests: Offered,
    #[serde(default)]
    pub(super) signed_requests: Offered,
    #[serde(default)]
    pub(super) scopes: Option<Vec<String>>,
    #[serde(default)]
    pub(super) endpoints: Option<EndpointsConfig>,
    #[serde(default)]
    pub(super) claims: ClaimsConfig,
    /// When the userinfo endpoint is asked.
    #[serde(default)]
    pub(super) user_info: AskUserInfo,
    #[serde(default)]
    pub(super) email_verified: Verified,
    #[serde(default)]
    pub(super) extra_audiences: Vec<String>,
    #[serde(default)]
    pub(super) signing_algorithms: Vec<String>,
    #[serde(default)]
    pub(super) clock_skew: Option<Span>,
    #[serde(default)]
    pub(super) prompt: Option<String>,
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) redirect_url: Option<String>,
    #[serde(default)]
    pub(super) tls: TlsConfig,
}

/// A secret, from a file or the environment; never the value itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct SecretConfig {
    #[serde(default)]
    pub(super) file: Option<PathBuf>,
    #[serde(default)]
    pub(super) env: Option<String>,
}

/// Instead of discovery.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct EndpointsConfig {
    pub(super) authorization: String,
    pub(super) token: String,
    pub(super) keys: String,
    #[serde(default)]
    pub(super) user_info: Option<String>,
    #[serde(default)]
    pub(super) end_session: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct ClaimsConfig {
    pub(super) user: Option<String>,
    pub(super) email: Option<String>,
    pub(super) groups: Option<String>,
    pub(super) preferred_username: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct TlsConfig {
    /// Certificates that are trusted instead of the system's.
    pub(super) authorities: Option<PathBuf>,
    /// The system's too.
    pub(super) system_too: Option<Switch>,
    /// Our own certificate, for `tls_client_auth`.
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<SecretConfig>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct CookieConfig {
    pub(super) name: Option<String>,
    pub(super) domains: Vec<String>,
    pub(super) path: Option<String>,
    pub(super) lifetime: Option<Span>,
    pub(super) same_site: Option<String>,
    /// `off` serves plain HTTP.
    pub(super) secure: Option<Switch>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RefreshConfig {
    /// Sooner than shortly before the tokens expire.
    pub(super) after: Option<Span>,
    pub(super) failure: Failure,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct AttemptsConfig {
    pub(super) lifetime: Option<Span>,
    pub(super) limit: Option<usize>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RuleConfig {
    pub(super) hosts: Vec<String>,
    pub(super) paths: Vec<String>,
    pub(super) groups: Vec<String>,
    pub(super) emails: Vec<String>,
    pub(super) email_domains: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ProvenBy {
    /// Basic, then post.
    #[default]
    ClientSecret,
    ClientSecretBasic,
    ClientSecretPost,
    PrivateKeyJwt,
    TlsClientAuth,
    None,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Offered {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verified {
    #[default]
    NotDenied,
    Required,
    Any,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum AskUserInfo {
    #[default]
    WhenMissing,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Failure {
    #[default]
    Keep,
    End,
}

/// `90s`, `15m`, `24h`, `7d`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Span(pub(super) Duration);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no span of time such as `15m`");
        let at = text.find(|letter: char| !letter.is_ascii_digit());
        let (number, unit) = text.split_at(at.ok_or_else(wrong)?);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 24 * 3600,
            _ => return Err(wrong()),
        };
        let seconds = number.checked_mul(seconds).ok_or_else(wrong)?;
        Ok(Self(Duration::from_secs(seconds)))
    }
}

fn usual_prefix() -> String {
    "/oauth2".to_owned()
}

fn usual_logout_path() -> String {
    "/logout".to_owned()
}
