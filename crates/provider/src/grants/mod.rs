//! Grants: what a client shows at the token endpoint for tokens. One file a grant, pure: facts in, the
//! tokens to issue or a refusal out.

pub(crate) mod code;
pub(crate) mod credentials;
pub(crate) mod device;
pub(crate) mod exchange;
pub(crate) mod refresh;

use model::snapshot::GrantType;

/// The grants that are built, in the order in which discovery names them.
pub(crate) const BUILT: [GrantType; 5] = [
    GrantType::AuthorizationCode,
    GrantType::ClientCredentials,
    GrantType::RefreshToken,
    GrantType::DeviceCode,
    GrantType::TokenExchange,
];

/// On the wire.
pub(crate) fn name(grant: GrantType) -> &'static str {
    match grant {
        GrantType::AuthorizationCode => "authorization_code",
        GrantType::RefreshToken => "refresh_token",
        GrantType::DeviceCode => "urn:ietf:params:oauth:grant-type:device_code",
        GrantType::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
        GrantType::ClientCredentials => "client_credentials",
        GrantType::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
    }
}

/// From `grant_type`.
pub(crate) fn named(text: &str) -> Option<GrantType> {
    BUILT.into_iter().find(|grant| name(*grant) == text)
}
