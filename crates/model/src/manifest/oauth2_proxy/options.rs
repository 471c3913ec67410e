//! Every option of OAuth2 Proxy, and what becomes of it here.

use Effect::{Acted, Harmless, Later, Narrows, Weakens};
use Kind::{Flag, List, Number, Span, Text};

/// The type of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Flag,
    List,
    Span,
    Number,
}

/// What becomes of an option. The text is the value that changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The login is made from it.
    Acted,
    /// Nobody who asks or signs in can tell whether it is set.
    Harmless,
    /// Not acted on yet; without it less happens, and nobody more gets in.
    Later(&'static str),
    /// Narrows who may enter, and is not enforced: it closes the login.
    Narrows(&'static str),
    /// Would switch a check off; the check stays on.
    Weakens(&'static str),
}

/// One option.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// As the configuration file spells it.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) effect: Effect,
}

impl Known {
    /// The option of this name in the file; viper looks names up without letter case.
    pub(super) fn in_file(name: &str) -> Option<&'static Self> {
        OPTIONS
            .iter()
            .find(|option| option.name.eq_ignore_ascii_case(name))
    }

    /// The option of this flag, without its dashes.
    pub(super) fn of_flag(flag: &str) -> Option<&'static Self> {
        OPTIONS.iter().find(|option| option.flag() == flag)
    }

    /// The flag: `-` for `_`, and one item for a list.
    pub(super) fn flag(&self) -> String {
        let plural = self.name == "extra_jwt_issuers" || self.name.ends_with("_urls");
        let name = match self.name.strip_suffix('s') {
            Some(one) if self.kind == List && !plural => one,
            _ => self.name,
        };
        name.replace('_', "-")
    }

    /// Names of all options in the file.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        OPTIONS.iter().map(|option| option.name)
    }
}

const fn known(name: &'static str, kind: Kind, effect: Effect) -> Known {
    Known { name, kind, effect }
}

/// In the order of OAuth2 Proxy's own documentation: listener, who may enter, client, cookies,
/// headers and upstreams, pages and logs, single providers.
static OPTIONS: &[Known] = &[
    known("http_address", Text, Harmless),
    known("https_address", Text, Harmless),
    known("tls_cert_file", Text, Harmless),
    known("tls_key_file", Text, Harmless),
    known("tls_min_version", Text, Harmless),
    known("tls_cipher_suites", List, Harmless),
    known("metrics_address", Text, Harmless),
    known("metrics_secure_address", Text, Harmless),
    known("metrics_tls_cert_file", Text, Harmless),
    known("metrics_tls_key_file", Text, Harmless),
    known("force_https", Flag, Harmless),
    known("proxy_prefix", Text, Acted),
    known("ping_path", Text, Harmless),
    known("ready_path", Text, Harmless),
    known("ping_user_agent", Text, Harmless),
    known("gcp_healthchecks", Flag, Harmless),
    // The gateway itself knows scheme, host and client.
    known("reverse_proxy", Flag, Harmless),
    known("trusted_proxy_ips", List, Harmless),
    known("real_client_ip_header", Text, Harmless),
    known("trusted_ips", List, Later("")),
    known("allow_query_semicolons", Flag, Harmless),
    known("email_domains", List, Acted),
    known("authenticated_emails_file", Text, Narrows("")),
    known("htpasswd_file", Text, Narrows("")),
    known("htpasswd_user_groups", List, Harmless),
    known("display_htpasswd_form", Flag, Harmless),
    known("allowed_groups", List, Acted),
    known("allowed_roles", List, Narrows("")),
    known("skip_auth_routes", List, Acted),
    known("skip_auth_regex", List, Acted),
    known("api_routes", List, Acted),
    known("force_json_errors", Flag, Acted),
    known("skip_auth_preflight", Flag, Acted),
    known("skip_provider_button", Flag, Acted),
    known("skip_jwt_bearer_tokens", Flag, Acted),
    known("bearer_token_login_fallback", Flag, Later("true")),
    known("extra_jwt_issuers", List, Acted),
    known("whitelist_domains", List, Acted),
    known("provider", Text, Acted),
    known("client_id", Text, Acted),
    known("client_secret", Text, Acted),
    known("client_secret_file", Text, Acted),
    known("redirect_url", Text, Acted),
    known("relative_redirect_url", Flag, Acted),
    known("oidc_issuer_url", Text, Acted),
    known("skip_oidc_discovery", Flag, Acted),
    known("login_url", Text, Acted),
    known("redeem_url", Text, Acted),
    known("oidc_jwks_url", Text, Acted),
    known("profile_url", Text, Later("")),
    known("validate_url", Text, Harmless),
    known("oidc_public_key_files", List, Later("")),
    known("oidc_enabled_signing_algs", List, Later("")),
    known("oidc_email_claim", Text, Acted),
    known("oidc_groups_claim", Text, Acted),
    known("oidc_audience_claims", List, Narrows("aud")),
    known("oidc_extra_audiences", List, Later("")),
    known("user_id_claim", Text, Acted),
    known("scope", Text, Acted),
    known("prompt", Text, Acted),
    // No part of OpenID Connect.
    known("approval_prompt", Text, Harmless),
    known("acr_values", Text, Later("")),
    known("resource", Text, Harmless),
    known("auth_request_response_mode", Text, Later("")),
    known("code_challenge_method", Text, Acted),
    known("force_code_challenge_method", Text, Acted),
    known("insecure_oidc_skip_nonce", Flag, Harmless),
    known("insecure_oidc_allow_unverified_email", Flag, Acted),
    known(
        "insecure_oidc_skip_issuer_verification",
        Flag,
        Weakens("false"),
    ),
    known("skip_claims_from_profile_url", Flag, Harmless),
    known("encode_state", Flag, Harmless),
    known("backend_logout_url", Text, Later("")),
    known("provider_ca_files", List, Later("")),
    known("use_system_trust_store", Flag, Harmless),
    known("ssl_insecure_skip_verify", Flag, Weakens("false")),
    known("cookie_name", Text, Acted),
    known("cookie_secret", Text, Acted),
    known("cookie_secret_file", Text, Acted),
    known("cookie_domains", List, Acted),
    known("cookie_path", Text, Later("/")),
    known("cookie_expire", Span, Acted),
    known("cookie_refresh", Span, Later("0ns")),
    known("cookie_secure", Flag, Acted),
    known("cookie_httponly", Flag, Weakens("true")),
    known("cookie_samesite", Text, Acted),
    known("cookie_csrf_per_request", Flag, Harmless),
    known("cookie_csrf_per_request_limit", Number, Harmless),
    known("cookie_csrf_expire", Span, Harmless),
    known("cookie_csrf_samesite", Text, Harmless),
    // Sessions live in doorward's own store.
    known("session_store_type", Text, Harmless),
    known("session_cookie_minimal", Flag, Harmless),
    known("redis_connection_url", Text, Harmless),
    known("redis_username", Text, Harmless),
    known("redis_password", Text, Harmless),
    known("redis_use_sentinel", Flag, Harmless),
    known("redis_sentinel_master_name", Text, Harmless),
    known("redis_sentinel_password", Text, Harmless),
    known("redis_sentinel_connection_urls", List, Harmless),
    known("redis_use_cluster", Flag, Harmless),
    known("redis_cluster_connection_urls", List, Harmless),
    known("redis_ca_path", Text, Harmless),
    known("redis_insecure_skip_tls_verify", Flag, Harmless),
    known("redis_connection_idle_timeout", Number, Harmless),
    known("set_xauthrequest", Flag, Acted),
    known("set_authorization_header", Flag, Acted),
    known("set_basic_auth", Flag, Later("false")),
    // What goes to upstreams, of which there are none.
    known("pass_user_headers", Flag, Harmless),
    known("pass_basic_auth", Flag, Harmless),
    known("pass_access_token", Flag, Acted),
    known("pass_authorization_header", Flag, Harmless),
    known("basic_auth_password", Text, Harmless),
    known("prefer_email_to_user", Flag, Later("false")),
    known("signature_key", Text, Harmless),
    known("skip_auth_strip_headers", Flag, Weakens("true")),
    known("upstreams", List, Acted),
    known("upstream_timeout", Span, Harmless),
    known("flush_interval", Span, Harmless),
    known("pass_host_header", Flag, Harmless),
    known("proxy_websockets", Flag, Harmless),
    known("ssl_upstream_insecure_skip_verify", Flag, Harmless),
    known("disable_keep_alives", Flag, Harmless),
    known("provider_display_name", Text, Acted),
    known("banner", Text, Harmless),
    known("footer", Text, Harmless),
    known("custom_sign_in_logo", Text, Harmless),
    known("custom_templates_dir", Text, Later("")),
    known("show_debug_on_error", Flag, Weakens("false")),
    known("standard_logging", Flag, Harmless),
    known("auth_logging", Flag, Harmless),
    known("request_logging", Flag, Harmless),
    known("standard_logging_format", Text, Harmless),
    known("auth_logging_format", Text, Harmless),
    known("request_logging_format", Text, Harmless),
    known("errors_to_info_log", Flag, Harmless),
    known("silence_ping_logging", Flag, Harmless),
    known("exclude_logging_paths", List, Harmless),
    known("logging_local_time", Flag, Harmless),
    known("logging_filename", Text, Harmless),
    known("logging_max_size", Number, Harmless),
    known("logging_max_age", Number, Harmless),
    known("logging_max_backups", Number, Harmless),
    known("logging_compress", Flag, Harmless),
    known("request_id_header", Text, Harmless),
    // Other providers than `oidc` are refused as a whole.
    known("azure_tenant", Text, Harmless),
    known("azure_graph_group_field", Text, Harmless),
    known("entra_id_allowed_tenants", List, Harmless),
    known("entra_id_federated_token_auth", Flag, Harmless),
    known("keycloak_groups", List, Harmless),
    known("github_org", Text, Harmless),
    known("github_team", Text, Harmless),
    known("github_repo", Text, Harmless),
    known("github_token", Text, Harmless),
    known("github_users", List, Harmless),
    known("gitlab_groups", List, Harmless),
    known("gitlab_projects", List, Harmless),
    known("bitbucket_team", Text, Harmless),
    known("bitbucket_repository", Text, Harmless),
    known("google_groups", List, Harmless),
    known("google_group", List, Harmless),
    known("google_admin_email", Text, Harmless),
    known("google_service_account_json", Text, Harmless),
    known("google_target_principal", Text, Harmless),
    known("google_admin_api_user_scope", Text, Harmless),
    known("google_use_application_default_credentials", Flag, Harmless),
    known("google_use_organization_id", Flag, Harmless),
    known("jwt_key", Text, Harmless),
    known("jwt_key_file", Text, Harmless),
    known("pubjwk_url", Text, Harmless),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_lists_name_one_item() {
        for (name, flag) in [
            ("email_domains", "email-domain"),
            ("skip_auth_regex", "skip-auth-regex"),
            ("extra_jwt_issuers", "extra-jwt-issuers"),
            (
                "redis_cluster_connection_urls",
                "redis-cluster-connection-urls",
            ),
            ("trusted_ips", "trusted-ip"),
            ("cookie_httponly", "cookie-httponly"),
            ("acr_values", "acr-values"),
        ] {
            assert_eq!(Known::in_file(name).unwrap().flag(), flag);
            assert_eq!(Known::of_flag(flag).unwrap().name, name);
        }
        assert_eq!(Known::of_flag("email-domains"), None);
        assert_eq!(Known::in_file("email-domains"), None);
        assert!(Known::in_file("Email_Domains").is_some());
    }

    #[test]
    fn no_option_stands_here_twice() {
        let mut names: Vec<_> = Known::names().collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
