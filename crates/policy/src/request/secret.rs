//! Headers whose values are nobody's business.

use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE};

/// Parts of names of headers that carry a secret, or proof of who somebody is.
const PARTS: [&str; 8] = [
    "token",
    "secret",
    "password",
    "api-key",
    "apikey",
    "assertion",
    "signature",
    "amzn-oidc-data",
];

/// Whether what a header of this name says must not be told.
pub fn is_secret(name: &HeaderName) -> bool {
    [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, SET_COOKIE].contains(name) || {
        let plain = name.as_str().replace('_', "-");
        PARTS.iter().any(|part| plain.contains(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proves_who_somebody_is_is_a_secret() {
        for (name, expected) in [
            ("authorization", true),
            ("cookie", true),
            ("x-auth-request-access-token", true),
            ("x_api_key", true),
            ("x-doorward-assertion", true),
            ("x-amzn-oidc-data", true),
            ("kubeflow-userid", false),
            ("x-team", false),
            ("x-amzn-oidc-identity", false),
        ] {
            let name = HeaderName::from_static(name);
            assert_eq!(is_secret(&name), expected, "{name}");
        }
    }
}
