//! Options as a login proxy.

use std::collections::BTreeSet;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;

use super::rules::{api_routes, extra_issuers, skip_rules, upstreams};
use super::settings::Settings;
use crate::finding::{Severity, codes};
use crate::manifest::published_samples::is_published;
use crate::names::{Duration, Secret};
use crate::snapshot::{Closure, EmailVerified, Login, LoginShape, UserInfo};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// Files that options name, as the container would see them.
pub(super) type Files<'a> = &'a dyn Fn(&str) -> Option<Secret>;

/// Makes the login proxy. Every fault is reported; the first one closes it.
pub(super) fn login(mut settings: Settings<'_>, files: Files<'_>) -> Result<Login, Arc<Closure>> {
    let settings = &mut settings;
    settings.judge_unused();
    provider(settings);
    let client_secret = secret(settings, "client_secret", files);
    let cookie_secret = secret(settings, "cookie_secret", files);
    if !cookie_secret.is_empty() && !is_cipher_key(cookie_secret.expose()) {
        let at = settings.origin("cookie_secret");
        let fault = "`cookie_secret` is not 16, 24 or 32 bytes long".to_owned();
        let remedy = "make one with `openssl rand -base64 32 | tr -- '+/' '-_'`".to_owned();
        settings.close(&at, codes::LOGIN_OPTION_VALUE, fault, remedy);
    }
    let client_id = required(settings, "client_id");
    let issuer = address(settings, "oidc_issuer_url", Relative::Never);
    let issuer = issuer.unwrap_or_else(|| required(settings, "oidc_issuer_url"));
    let endpoints = endpoints(settings);
    let prefix = prefix(settings);
    let redirect_url = redirect_url(settings, &prefix);
    let allowed_groups = settings.list("allowed_groups");
    let skip_routes = skip_rules(settings);
    let api_routes = api_routes(settings);
    let extra_issuers = extra_issuers(settings);
    let email_domains = settings.list("email_domains");
    let emails = emails(settings, files);
    if email_domains.is_empty() && settings.text("authenticated_emails_file").is_none() {
        missing(
            settings,
            "email_domains",
            "add `email_domains = [\"*\"]`, or the domains you mean",
        );
    }
    if !settings.alone {
        upstreams(settings);
    }
    let (object, line) = settings.home.clone();
    let usual = Login::with_defaults(object.reference.clone(), object.at(line), issuer, client_id);
    let login = Login {
        prefix,
        client_secret,
        scopes: scopes(settings, !allowed_groups.is_empty()),
        login_url: endpoints.login,
        redeem_url: endpoints.redeem,
        jwks_url: endpoints.jwks,
        user_info_url: address(settings, "profile_url", Relative::Never),
        user_info: match settings.flag("skip_claims_from_profile_url", false) {
            true => UserInfo::Never,
            false => UserInfo::WhenMissing,
        },
        redirect_url,
        relative_redirect_url: settings.flag("relative_redirect_url", false),
        prompt: settings.text("prompt"),
        pkce: pkce(settings),
        cookie_name: cookie_name(settings),
        cookie_expire: cookie_expire(settings),
        cookie_secure: settings.flag("cookie_secure", true),
        cookie_samesite: cookie_samesite(settings),
        cookie_domains: settings.list("cookie_domains"),
        skip_provider_button: settings.flag("skip_provider_button", false),
        display_name: settings
            .text("provider_display_name")
            .unwrap_or(usual.display_name),
        skip_routes,
        skip_preflight: settings.flag("skip_auth_preflight", false),
        api_routes,
        force_json_errors: settings.flag("force_json_errors", false),
        email_domains,
        allowed_groups,
        whitelist_domains: settings.list("whitelist_domains"),
        set_authorization_header: settings.flag("set_authorization_header", false),
        set_xauthrequest: settings.flag("set_xauthrequest", false),
        pass_access_token: settings.flag("pass_access_token", false),
        skip_jwt_bearer_tokens: settings.flag("skip_jwt_bearer_tokens", false),
        extra_issuers,
        email_verified: match settings.flag("insecure_oidc_allow_unverified_email", false) {
            true => EmailVerified::Any,
            false => EmailVerified::NotDenied,
        },
        email_claim: email_claim(settings),
        groups_claim: settings
            .text("oidc_groups_claim")
            .unwrap_or(usual.groups_claim),
        emails: Arc::new(emails),
        cookie_secret,
        shape: LoginShape::OAuth2Proxy,
        ..usual
    };
    let login = further(settings, login);
    settings.closed.take().map_or(Ok(login), Err)
}

/// What acts besides: lifetimes, cookies, further audiences, the sign-out at a back end.
fn further(settings: &mut Settings<'_>, login: Login) -> Login {
    let second = Duration::from_secs(1);
    let refresh = settings.span("cookie_refresh");
    if refresh.is_some_and(|span| span >= login.cookie_expire) {
        let at = settings.origin("cookie_refresh");
        let fault = "`cookie_refresh` has to be less than `cookie_expire`".to_owned();
        let remedy = "renew earlier, or let sessions last longer".to_owned();
        settings.close(&at, codes::LOGIN_OPTION_VALUE, fault, remedy);
    }
    let samesite = settings.text("cookie_csrf_samesite");
    let attempt_samesite = samesite.as_deref().and_then(|text| match text {
        "lax" => Some("Lax".into()),
        "none" => Some("None".into()),
        "strict" => Some("Strict".into()),
        _ => {
            let at = settings.origin("cookie_csrf_samesite");
            let fault = format!("`cookie_csrf_samesite` is unknown: `{text}`");
            let remedy = "write `lax`, `strict` or `none`".to_owned();
            settings.close(&at, codes::LOGIN_OPTION_VALUE, fault, remedy);
            None
        }
    });
    let path = settings.text("cookie_path").unwrap_or_else(|| "/".into());
    if !path.starts_with('/') || path.contains([';', ' ']) {
        let at = settings.origin("cookie_path");
        let fault = format!("`cookie_path` is no path: `{path}`");
        let remedy = "write it as `/`".to_owned();
        settings.close(&at, codes::LOGIN_OPTION_VALUE, fault, remedy);
    }
    let limit = settings.number("cookie_csrf_per_request_limit");
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let contexts = settings.text("acr_values");
    Login {
        cookie_path: path,
        cookie_refresh: refresh.filter(|span| *span >= second),
        attempt_lifetime: settings
            .span("cookie_csrf_expire")
            .filter(|span| *span >= second)
            .unwrap_or(login.attempt_lifetime),
        attempt_limit: limit
            .filter(|limit| *limit > 0)
            .unwrap_or(login.attempt_limit),
        attempt_samesite,
        extra_audiences: settings.list("oidc_extra_audiences"),
        signing_algorithms: settings.list("oidc_enabled_signing_algs"),
        login_parameters: contexts
            .map(|contexts| ("acr_values".into(), contexts))
            .into_iter()
            .collect(),
        backend_logout_url: address(settings, "backend_logout_url", Relative::Never),
        ..login
    }
}

fn missing(settings: &mut Settings<'_>, name: &str, remedy: &str) {
    if settings.unresolved {
        return; // It may stand in what is not here, and that was said.
    }
    let at = settings.origin(name);
    let fault = format!("`{name}` is missing");
    settings.close(&at, codes::LOGIN_OPTION_MISSING, fault, remedy.to_owned());
}

fn required(settings: &mut Settings<'_>, name: &str) -> Arc<str> {
    settings.text(name).unwrap_or_else(|| {
        missing(
            settings,
            name,
            "add it to the configuration file or the environment",
        );
        "".into()
    })
}

fn provider(settings: &mut Settings<'_>) {
    let provider = settings.text("provider").unwrap_or_else(|| "google".into());
    let unknown = settings.unresolved && settings.text("provider").is_none();
    // Roles, which is what Keycloak's own provider adds, are refused as an option.
    let is_keycloak = settings.alone && *provider == *"keycloak-oidc";
    if *provider != *"oidc" && !unknown && !is_keycloak {
        let at = settings.origin("provider");
        let fault = format!("the provider `{provider}` is not supported yet");
        let remedy = "use `provider = \"oidc\"` with the issuer of that provider".to_owned();
        settings.close(&at, codes::LOGIN_CONFIG, fault, remedy);
    }
}

/// A secret that is written out or that a file holds; one of both is required.
fn secret(settings: &mut Settings<'_>, name: &'static str, files: Files<'_>) -> Secret {
    let in_file = format!("{name}_file");
    let none = Secret::new([]);
    let (found, at) = match (settings.text(name), settings.text(&in_file)) {
        (Some(_), Some(_)) => {
            let at = settings.origin(&in_file);
            let fault = format!("`{name}` and `{in_file}` exclude each other");
            settings.close(
                &at,
                codes::LOGIN_OPTION_VALUE,
                fault,
                "keep one of them".to_owned(),
            );
            return none;
        }
        (Some(text), None) => (Secret::new(text.as_bytes()), settings.origin(name)),
        (None, Some(path)) => {
            let at = settings.origin(&in_file);
            let Some(found) = files(&path).filter(|found| !found.is_empty()) else {
                let (fault, remedy) = match settings.alone {
                    true => (
                        format!("`{in_file}` names `{path}`, which cannot be read"),
                        "let this process read it",
                    ),
                    false => (
                        format!("`{in_file}` names `{path}`, which is not in the manifests"),
                        "mount the Secret that holds it, and add that to the manifests",
                    ),
                };
                settings.close(&at, codes::FILE_ABSENT, fault, remedy.to_owned());
                return none;
            };
            (found, at)
        }
        (None, None) => {
            missing(
                settings,
                name,
                "take it from a Secret through the environment",
            );
            return none;
        }
    };
    if found.expose_str().is_some_and(|text| text.contains("${")) {
        let fault = format!("the placeholder in `{name}` was never filled in");
        settings.close(&at, codes::PLACEHOLDER, fault, "write the value".to_owned());
    }
    if is_published(found.expose()) {
        let fault = format!("`{name}` is a published sample");
        let remedy = "make a random one".to_owned();
        settings.report(
            &at,
            codes::PUBLISHED_SECRET,
            Severity::Warning,
            fault,
            remedy,
        );
    }
    found
}

/// `authenticated_emails_file`: comma-separated values, of which the first column counts.
fn emails(settings: &mut Settings<'_>, files: Files<'_>) -> BTreeSet<Box<str>> {
    let Some(path) = settings.text("authenticated_emails_file") else {
        return BTreeSet::new();
    };
    let Some(file) = files(&path) else {
        let at = settings.origin("authenticated_emails_file");
        let (why, remedy) = match settings.alone {
            true => ("cannot be read", "let this process read it"),
            false => (
                "is not in the manifests",
                "mount the ConfigMap that holds it, and add that to the manifests",
            ),
        };
        let fault = format!("`authenticated_emails_file` names `{path}`, which {why}");
        settings.close(&at, codes::FILE_ABSENT, fault, remedy.to_owned());
        return BTreeSet::new();
    };
    let lines = file.expose_str().unwrap_or_default().lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(',').next())
        .map(|email| email.trim().trim_matches('"').to_lowercase())
        .filter(|email| !email.is_empty())
        .map(Box::from)
        .collect()
}

/// What AES takes: the bytes that base64url stands for, else the text itself.
fn is_cipher_key(secret: &[u8]) -> bool {
    let bare = secret
        .iter()
        .rposition(|byte| *byte != b'=')
        .map_or(0, |last| last + 1);
    let decoded = BASE64URL_NOPAD.decode(&secret[..bare]).ok();
    let fits = |length: usize| matches!(length, 16 | 24 | 32);
    decoded.is_some_and(|key| fits(key.len())) || fits(secret.len())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Relative {
    Allowed,
    Never,
}

/// A web address, or a path on the served host where that is allowed.
fn address(settings: &mut Settings<'_>, name: &str, relative: Relative) -> Option<Arc<str>> {
    let text = settings.text(name)?;
    let at = settings.origin(name);
    if text.contains("${") {
        let fault = format!("the placeholder in `{name}` was never filled in: `{text}`");
        settings.close(
            &at,
            codes::PLACEHOLDER,
            fault,
            "write the address".to_owned(),
        );
        return Some(text);
    }
    let web = url::Url::parse(&text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let path = relative == Relative::Allowed && text.starts_with('/') && !text.starts_with("//");
    if !web && !path {
        let fault = format!("`{name}` is no web address: `{text}`");
        let remedy = "write it as `https://example.com/path`".to_owned();
        settings.close(&at, codes::LOGIN_OPTION_VALUE, fault, remedy);
    }
    Some(text)
}

#[derive(Default)]
struct Endpoints {
    login: Option<Arc<str>>,
    redeem: Option<Arc<str>>,
    jwks: Option<Arc<str>>,
}

/// Endpoints count only where discovery is skipped, and then all of them are needed.
fn endpoints(settings: &mut Settings<'_>) -> Endpoints {
    if !settings.flag("skip_oidc_discovery", false) {
        return Endpoints::default();
    }
    let mut endpoint = |name, relative| {
        let found = address(settings, name, relative);
        if found.is_none() {
            missing(
                settings,
                name,
                "add it, or let `skip_oidc_discovery` be false",
            );
        }
        found
    };
    Endpoints {
        login: endpoint("login_url", Relative::Allowed),
        redeem: endpoint("redeem_url", Relative::Never),
        jwks: endpoint("oidc_jwks_url", Relative::Never),
    }
}

fn prefix(settings: &mut Settings<'_>) -> Arc<str> {
    let text = settings
        .text("proxy_prefix")
        .unwrap_or_else(|| "/oauth2".into());
    let bare = text.trim_end_matches('/');
    if !bare.starts_with('/') || bare.contains("//") || bare.contains(['?', '#', '%', ' ']) {
        let at = settings.origin("proxy_prefix");
        let fault = format!("`proxy_prefix` is no path below `/`: `{text}`");
        let remedy = "write it as `/oauth2`".to_owned();
        settings.close(&at, codes::LOGIN_OPTION_VALUE, fault, remedy);
    }
    bare.into()
}

fn redirect_url(settings: &mut Settings<'_>, prefix: &str) -> Option<Arc<str>> {
    let text = address(settings, "redirect_url", Relative::Allowed)?;
    let path = match url::Url::parse(&text) {
        Ok(url) => url.path().to_owned(),
        Err(_) => text.to_string(),
    };
    if path != "/" && !path.is_empty() && path != format!("{prefix}/callback") {
        let at = settings.origin("redirect_url");
        let fault =
            format!("`redirect_url` leads to `{path}`, but the answer is `{prefix}/callback`");
        let remedy = format!("write `{prefix}/callback`, or leave it out");
        settings.report(
            &at,
            codes::LOGIN_OPTION_VALUE,
            Severity::Warning,
            fault,
            remedy,
        );
    }
    Some(text)
}

fn scopes(settings: &Settings<'_>, groups: bool) -> Vec<Arc<str>> {
    let usual = if groups {
        "openid email profile groups"
    } else {
        "openid email profile"
    };
    let scope = settings.text("scope");
    scope
        .as_deref()
        .unwrap_or(usual)
        .split_whitespace()
        .map(Arc::from)
        .collect()
}

fn pkce(settings: &Settings<'_>) -> bool {
    let method = settings.text("code_challenge_method");
    let method = method.or_else(|| settings.text("force_code_challenge_method"));
    method.as_deref() == Some("S256")
}

fn cookie_name(settings: &mut Settings<'_>) -> Arc<str> {
    let name = settings
        .text("cookie_name")
        .unwrap_or_else(|| "_oauth2_proxy".into());
    // A cookie name is a token, as a header name is (RFC 6265 §4.1.1).
    if name.len() > 256 || http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        let at = settings.origin("cookie_name");
        let fault = format!("`cookie_name` is no cookie name: `{name}`");
        let remedy = "use letters, digits, `-` and `_`".to_owned();
        settings.close(&at, codes::LOGIN_OPTION_VALUE, fault, remedy);
    }
    name
}

fn cookie_expire(settings: &mut Settings<'_>) -> Duration {
    let span = settings.span("cookie_expire").unwrap_or(WEEK);
    if span >= Duration::from_secs(1) {
        return span;
    }
    let at = settings.origin("cookie_expire");
    let fault = "a session without an end is not offered; it ends after a week".to_owned();
    let remedy = "write `cookie_expire` as `24h`; a bare number counts nanoseconds".to_owned();
    settings.report(
        &at,
        codes::LOGIN_OPTION_VALUE,
        Severity::Warning,
        fault,
        remedy,
    );
    WEEK
}

fn cookie_samesite(settings: &mut Settings<'_>) -> Arc<str> {
    let text = settings
        .text("cookie_samesite")
        .unwrap_or_else(|| "lax".into());
    match &*text {
        "lax" => "Lax".into(),
        "strict" => "Strict".into(),
        "none" => "None".into(),
        _ => {
            let at = settings.origin("cookie_samesite");
            let fault = format!("`cookie_samesite` is unknown: `{text}`");
            let remedy = "write `lax`, `strict` or `none`".to_owned();
            settings.close(&at, codes::LOGIN_OPTION_VALUE, fault, remedy);
            "Lax".into()
        }
    }
}

/// `user_id_claim` is the older name and wins when it says something else than `email`.
fn email_claim(settings: &Settings<'_>) -> Arc<str> {
    let older = settings
        .text("user_id_claim")
        .filter(|claim| **claim != *"email");
    older
        .or_else(|| settings.text("oidc_email_claim"))
        .unwrap_or_else(|| "email".into())
}
