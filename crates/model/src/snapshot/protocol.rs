//! What an OpenID provider offers, beyond Dex's names for it.

use std::sync::Arc;

use crate::names::{Duration, Secret};

/// Protocol settings of a provider. The default is what Dex does without further configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderProtocol {
    /// Whose rules count where Dex and the specifications differ.
    pub conformance: Conformance,
    /// Words of `response_type` that are offered beside `code` (`oauth2.responseTypes`).
    pub responses: FrontChannel,
    /// Grants offered at the token endpoint (`oauth2.grantTypes`).
    pub grants: Vec<GrantType>,
    /// How tokens are signed (`signer.config.algorithm`).
    pub signature: SignatureAlgorithm,
    /// `expiry.refreshTokens`.
    pub refresh: RefreshRules,
    /// Remembered sign-ins (`sessions`). Without, every request asks for a sign-in.
    pub sessions: Option<SessionRules>,
    /// `expiry.deviceRequests`.
    pub device_lifetime: Duration,
    /// Who may ask what a token is.
    pub introspection: Introspection,
    /// The initial access token of dynamic registration (RFC 7591 §3). Without, nobody registers.
    pub registration: Option<Secret>,
}

/// Whose rules count where Dex and the specifications differ. Each difference is a row in
/// `docs/dex-compatibility.md`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conformance {
    /// Dex's: what runs with Dex goes on running.
    #[default]
    Compatible,
    /// The specifications'.
    Strict,
}

/// What the authorization endpoint gives out by itself, beside codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FrontChannel {
    /// Nothing.
    #[default]
    Code,
    /// ID tokens.
    IdToken,
    /// ID tokens, and access tokens with them.
    Tokens,
}

/// A grant of the token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GrantType {
    /// RFC 6749 §4.1.
    AuthorizationCode,
    /// RFC 6749 §6.
    RefreshToken,
    /// RFC 8628.
    DeviceCode,
    /// RFC 8693.
    TokenExchange,
    /// RFC 6749 §4.4.
    ClientCredentials,
    /// RFC 7523 §2.1.
    JwtBearer,
}

/// A signature algorithm (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// RSA with PKCS#1 v1.5 padding.
    #[default]
    Rs256,
    /// RSA with PSS padding.
    Ps256,
    /// ECDSA on P-256.
    Es256,
    /// EdDSA on Ed25519.
    EdDsa,
}

/// How refresh tokens change and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshRules {
    /// What a use does to the token.
    pub rotation: Rotation,
    /// How long a family lives whatever happens; for ever without.
    pub absolute: Option<Duration>,
    /// How long a token may lie unused; for ever without.
    pub idle: Option<Duration>,
}

/// What a use does to a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// Nothing (`disableRotation`).
    Never,
    /// It is replaced; the one before still works for this long (`reuseInterval`).
    Each {
        /// Zero for not at all.
        reuse: Duration,
    },
}

/// How long a sign-in is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRules {
    /// Name of the cookie.
    pub cookie: Arc<str>,
    /// At most this long.
    pub absolute: Duration,
    /// At most this long after the last use.
    pub idle: Duration,
}

/// Who may ask what a token is (RFC 7662 §2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Introspection {
    /// Clients that prove who they are.
    #[default]
    Authenticated,
    /// Everybody, as with Dex.
    Open,
}

impl Default for ProviderProtocol {
    fn default() -> Self {
        const DAY: u64 = 86_400;
        Self {
            conformance: Conformance::default(),
            responses: FrontChannel::default(),
            grants: vec![
                GrantType::AuthorizationCode,
                GrantType::RefreshToken,
                GrantType::DeviceCode,
                GrantType::TokenExchange,
            ],
            signature: SignatureAlgorithm::default(),
            refresh: RefreshRules {
                rotation: Rotation::Each {
                    reuse: Duration::ZERO,
                },
                absolute: None,
                // Dex keeps them for ever; a token that nobody used for a season is forgotten.
                idle: Some(Duration::from_secs(90 * DAY)),
            },
            sessions: None,
            device_lifetime: Duration::from_secs(300),
            introspection: Introspection::default(),
            registration: None,
        }
    }
}

/// What else is known of a client. The default is a client of Dex.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientRules {
    /// How it proves who it is.
    pub authentication: ClientAuthentication,
    /// The grants it may use; all that are offered without.
    pub grants: Option<Vec<GrantType>>,
    /// The combinations of response types it may ask for; all that are offered without.
    pub responses: Option<Vec<Arc<str>>>,
    /// What its access tokens look like.
    pub access_tokens: AccessTokenForm,
    /// Its public keys: a JWK set document.
    pub keys: Option<Arc<str>>,
    /// Where people may be sent after a sign-out, exact strings (`postLogoutRedirectURIs`).
    pub after_logout: Vec<Arc<str>>,
    /// Where it is told of ended sessions (`backchannelLogoutURI`).
    pub back_channel_logout: Option<Arc<str>>,
    /// The page that ends its session in an iframe (Front-Channel Logout 1.0 §2).
    pub front_channel_logout: Option<Arc<str>>,
    /// What its authorization requests must be.
    pub requests: RequestRule,
    /// Whether its access tokens are bound to a key of its own (RFC 9449 §5.2).
    pub binding: TokenBinding,
    /// Whether `prompt` counts for it in compatible mode too.
    pub prompt: PromptRule,
}

/// How a client proves who it is (OpenID Connect Core §9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// By its secret, in the header or the form, as with Dex; a public one by nothing.
    #[default]
    SecretAnywhere,
    /// `client_secret_basic`.
    SecretBasic,
    /// `client_secret_post`.
    SecretPost,
    /// `client_secret_jwt`.
    SecretJwt,
    /// `private_key_jwt`.
    PrivateKeyJwt,
}

/// What access tokens look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessTokenForm {
    /// As Dex's: like an ID token.
    #[default]
    Dex,
    /// RFC 9068.
    Rfc9068,
}

/// What authorization requests must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestRule {
    /// Any way they come.
    #[default]
    Any,
    /// Pushed (RFC 9126 §6).
    Pushed,
}

/// Whether access tokens are bound to a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenBinding {
    /// When the client shows one.
    #[default]
    Offered,
    /// Always (`dpop_bound_access_tokens`).
    Demanded,
}

/// Whether `prompt=none` counts for a client of a provider in compatible mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PromptRule {
    /// Only when sign-ins are remembered: stock Kubeflow's OAuth2 Proxy always sends `prompt=none`.
    #[default]
    WithSessions,
    /// Always.
    Always,
}
