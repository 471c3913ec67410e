//! `oauth2`, `expiry`, `signer`, `frontend`, `web`, `sessions`.

use std::sync::Arc;

use super::config::Surroundings;
use super::section::Section;
use crate::finding::{Finding, Severity, codes};
use crate::names::Duration;
use crate::objects::Fault;
use crate::snapshot::{
    FrontChannel, GrantType, Provider, ProviderTheme, Rotation, SessionRules, SignatureAlgorithm,
};

/// `oauth2`.
pub(super) fn oauth2(top: &Section<'_>, provider: &mut Provider) -> Result<(), Fault> {
    let Some(section) = top.section("oauth2")? else {
        return Ok(());
    };
    let mut words: Vec<Arc<str>> = Vec::new();
    let protocol = &mut provider.protocol;
    let items = section.items("responseTypes")?;
    for (item, text) in items.iter().zip(section.texts("responseTypes")?) {
        for word in text.split(' ') {
            if !matches!(word, "code" | "token" | "id_token") {
                let known = "`code`, `token`, `id_token`";
                let fault = format!("`{text}` is no response type");
                return Err(item.fault(fault, format!("write words of {known}")));
            }
        }
        // Requests are looked at word by word, so a text of several words enables none of them.
        if !text.contains(' ') && !words.contains(&text) {
            words.push(text);
        }
    }
    let has = |word: &str| words.iter().any(|one| **one == *word);
    protocol.responses = match (has("id_token"), has("token")) {
        (true, true) => FrontChannel::Tokens,
        (true, false) => FrontChannel::IdToken,
        // A request for an access token alone is never granted.
        (false, _) => FrontChannel::Code,
    };
    if section.child("grantTypes").is_some() {
        let named: Vec<_> = section.texts("grantTypes")?;
        // Dex drops what it does not know without a word.
        protocol.grants = named.iter().filter_map(|name| grant(name)).collect();
    }
    provider.skip_approval = section.flag("skipApprovalScreen")?.unwrap_or(false);
    provider.always_show_login = section.flag("alwaysShowLoginScreen")?.unwrap_or(false);
    provider.password_connector = section.text("passwordConnector")?;
    if let Some(pkce) = section.section("pkce")? {
        provider.pkce.enforced = pkce.flag("enforce")?.unwrap_or(false);
        let methods = pkce.texts("codeChallengeMethodsSupported")?;
        for (item, method) in pkce
            .items("codeChallengeMethodsSupported")?
            .iter()
            .zip(&methods)
        {
            if !matches!(&**method, "S256" | "plain") {
                let fault = format!("`{method}` is no method of PKCE");
                return Err(item.fault(fault, "write `S256` or `plain`"));
            }
        }
        if !methods.is_empty() {
            provider.pkce.methods = methods;
        }
    }
    Ok(())
}

fn grant(name: &str) -> Option<GrantType> {
    Some(match name {
        "authorization_code" => GrantType::AuthorizationCode,
        "refresh_token" => GrantType::RefreshToken,
        "urn:ietf:params:oauth:grant-type:device_code" => GrantType::DeviceCode,
        "urn:ietf:params:oauth:grant-type:token-exchange" => GrantType::TokenExchange,
        "client_credentials" => GrantType::ClientCredentials,
        "urn:ietf:params:oauth:grant-type:jwt-bearer" => GrantType::JwtBearer,
        _ => return None,
    })
}

/// `expiry` and `signer`.
pub(super) fn expiry(
    top: &Section<'_>,
    provider: &mut Provider,
    findings: &mut Vec<Finding>,
) -> Result<(), Fault> {
    if let Some(section) = top.section("expiry")? {
        let or = |name: &str, usual| -> Result<Duration, Fault> {
            Ok(section.span(name)?.unwrap_or(usual))
        };
        provider.token_lifetime = or("idTokens", provider.token_lifetime)?;
        provider.request_lifetime = or("authRequests", provider.request_lifetime)?;
        provider.key_rotation = or("signingKeys", provider.key_rotation)?;
        let protocol = &mut provider.protocol;
        protocol.device_lifetime = or("deviceRequests", protocol.device_lifetime)?;
        if let Some(tokens) = section.section("refreshTokens")? {
            let refresh = &mut protocol.refresh;
            if tokens.flag("disableRotation")?.unwrap_or(false) {
                refresh.rotation = Rotation::Never;
            } else if let Some(reuse) = tokens.span_or_zero("reuseInterval")? {
                refresh.rotation = Rotation::Each { reuse };
            }
            refresh.absolute = tokens.span_or_zero("absoluteLifetime")?;
            if tokens.child("validIfNotUsedFor").is_some() {
                refresh.idle = tokens.span_or_zero("validIfNotUsedFor")?;
            }
        }
    }
    let Some(signer) = top.section("signer")? else {
        return Ok(());
    };
    let kind = signer.text("type")?.unwrap_or_else(|| "local".into());
    match (&*kind, signer.section("config")?) {
        ("local", None) => {}
        ("local", Some(config)) => {
            provider.key_rotation = config
                .span("keysRotationPeriod")?
                .unwrap_or(provider.key_rotation);
            if let Some(algorithm) = config.text("algorithm")? {
                provider.protocol.signature = match &*algorithm {
                    "RS256" => SignatureAlgorithm::Rs256,
                    "PS256" => SignatureAlgorithm::Ps256,
                    "ES256" => SignatureAlgorithm::Es256,
                    "EdDSA" => SignatureAlgorithm::EdDsa,
                    _ => {
                        let field = config.child("algorithm").unwrap_or(config.field);
                        let fault = format!("keys for `{algorithm}` are not made");
                        return Err(field.fault(fault, "write `RS256` or `ES256`"));
                    }
                };
            }
        }
        ("vault", _) => {
            let fault = "keys of a `vault` signer are not used; doorward has its own";
            let (code, warning) = (codes::PROVIDER_FIELD_IGNORED, Severity::Warning);
            let field = &signer.field;
            findings.push(field.finding(code, warning, fault, "remove `signer`"));
        }
        _ => {
            let fault = format!("there is no signer of type `{kind}`");
            return Err(signer.field.fault(fault, "write `local`"));
        }
    }
    Ok(())
}

/// `frontend`.
pub(super) fn frontend(top: &Section<'_>, provider: &mut Provider) -> Result<(), Fault> {
    let Some(section) = top.section("frontend")? else {
        return Ok(());
    };
    if let Some(name) = section.text("issuer")? {
        provider.name = name;
    }
    // The file that Dex brings along.
    let own = |logo: &Arc<str>| **logo != *"theme/logo.png";
    provider.logo = section.text("logoURL")?.filter(own);
    provider.theme = match section.text("theme")?.as_deref() {
        None => ProviderTheme::System,
        Some("dark") => ProviderTheme::Dark,
        Some(_) => ProviderTheme::Light,
    };
    Ok(())
}

/// The only headers that Dex lets be set.
const HEADERS: [&str; 5] = [
    "Content-Security-Policy",
    "X-Frame-Options",
    "X-Content-Type-Options",
    "X-XSS-Protection",
    "Strict-Transport-Security",
];

/// `web`, without the listeners.
pub(super) fn web(top: &Section<'_>, provider: &mut Provider) -> Result<(), Fault> {
    let Some(section) = top.section("web")? else {
        return Ok(());
    };
    let web = &mut provider.web;
    if let Some(headers) = section.section("headers")? {
        for name in HEADERS {
            if let Some(value) = headers.text(name)? {
                let readable = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
                if !readable {
                    let fault = format!("`{name}` cannot be sent as it is written");
                    return Err(headers.field.fault(fault, "write it in one line of ASCII"));
                }
                web.headers.push((name.into(), value));
            }
        }
    }
    web.allowed_origins = section.texts("allowedOrigins")?;
    web.allowed_headers = match section.child("allowedHeaders") {
        Some(_) => section.texts("allowedHeaders")?,
        None => vec!["Authorization".into()],
    };
    Ok(())
}

/// `sessions`, which Dex has only with its flag.
pub(super) fn sessions(
    top: &Section<'_>,
    provider: &mut Provider,
    around: &Surroundings<'_>,
    findings: &mut Vec<Finding>,
) -> Result<(), Fault> {
    let section = top.section("sessions")?;
    if !around.is_set("DEX_SESSIONS_ENABLED", false) {
        if let Some(section) = section {
            findings.push(section.field.finding(
                codes::PROVIDER_FIELD_IGNORED,
                Severity::Warning,
                "`sessions` has no effect without the variable `DEX_SESSIONS_ENABLED`",
                "set `DEX_SESSIONS_ENABLED=true`, without which Dex would not start",
            ));
        }
        return Ok(());
    }
    let mut sessions = SessionRules {
        cookie: "dex_session".into(),
        absolute: Duration::from_secs(86_400),
        idle: Duration::from_secs(3600),
    };
    if let Some(section) = section {
        sessions.absolute = section
            .span("absoluteLifetime")?
            .unwrap_or(sessions.absolute);
        sessions.idle = section.span("validIfNotUsedFor")?.unwrap_or(sessions.idle);
        if sessions.idle > sessions.absolute {
            let fault = "`sessions.validIfNotUsedFor` is longer than `sessions.absoluteLifetime`";
            return Err(section.field.fault(fault, "make it shorter"));
        }
        if let Some(name) = section.text("cookieName")? {
            sessions.cookie = name;
        }
    }
    provider.protocol.sessions = Some(sessions);
    Ok(())
}
