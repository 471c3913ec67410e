//! Single texts of the section: addresses, paths, patterns.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::snapshot::{Regex, SkipRule};

use super::form::EndpointsConfig;
use super::{LoginFault, fault};

pub(super) fn texts(list: &[String]) -> Vec<Arc<str>> {
    list.iter().map(|text| text.as_str().into()).collect()
}

pub(super) fn lower(list: &[String]) -> BTreeSet<Box<str>> {
    list.iter().filter_map(|text| address(text)).collect()
}

/// The first column of a line, as OAuth2 Proxy's list has it; nothing for a comment.
pub(super) fn address(line: &str) -> Option<Box<str>> {
    let first = line.split(',').next().unwrap_or_default().trim();
    let first = first.trim_matches('"');
    (!first.is_empty() && !first.starts_with('#')).then(|| first.to_lowercase().into())
}

pub(super) fn host(issuer: &str) -> Arc<str> {
    let url = url::Url::parse(issuer).ok();
    let host = url.as_ref().and_then(url::Url::host_str);
    host.unwrap_or("OpenID Connect").into()
}

pub(super) fn addresses(endpoints: &Option<EndpointsConfig>) -> Vec<(&'static str, &String)> {
    let Some(EndpointsConfig {
        authorization,
        token,
        keys,
        user_info,
        end_session,
    }) = endpoints
    else {
        return Vec::new();
    };
    let named = [
        ("endpoints.authorization", authorization),
        ("endpoints.token", token),
        ("endpoints.keys", keys),
    ];
    let info = user_info.iter().map(|info| ("endpoints.userInfo", info));
    let end = end_session.iter().map(|end| ("endpoints.endSession", end));
    named.into_iter().chain(info).chain(end).collect()
}

pub(super) fn is_web_address(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.fragment().is_none()
    })
}

pub(super) fn is_plain_path(text: &str) -> bool {
    text.len() > 1
        && text.starts_with('/')
        && !text.contains("//")
        && !text.contains(['?', '#', '%', ' '])
}

pub(super) fn cookie_name(name: &str) -> Result<Arc<str>, LoginFault> {
    // A cookie name is a token, as a header name is (RFC 6265 §4.1.1).
    match !name.is_empty() && http::HeaderName::from_bytes(name.as_bytes()).is_ok() {
        true => Ok(name.into()),
        false => fault("cookie.name", "use letters, digits, `-` and `_`"),
    }
}

pub(super) fn patterns(key: &str, list: &[String]) -> Result<Vec<Regex>, LoginFault> {
    list.iter()
        .map(|text| Regex::anywhere(text).or_else(|error| fault(key, format!("`{text}`: {error}"))))
        .collect()
}

pub(super) fn skip_rule(text: &str) -> Result<SkipRule, LoginFault> {
    let (method, pattern) = match text.split_once('=') {
        Some((method, rest)) if method.bytes().all(|byte| byte.is_ascii_uppercase()) => {
            ((!method.is_empty()).then(|| Arc::from(method)), rest)
        }
        _ => (None, text),
    };
    // One that is not anchored exempts more than it seems to.
    if !pattern.starts_with('^') {
        return fault(
            "exempt",
            format!("`{text}` does not begin with `^`, so it would match anywhere in a path"),
        );
    }
    let path =
        Regex::anywhere(pattern).or_else(|error| fault("exempt", format!("`{text}`: {error}")))?;
    Ok(SkipRule {
        method,
        path,
        negate: false,
    })
}
