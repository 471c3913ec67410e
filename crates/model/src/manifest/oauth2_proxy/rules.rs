//! Lists of patterns, issuers and upstreams.

use super::settings::{Origin, Settings};
use crate::finding::{Severity, codes};
use crate::snapshot::{ExtraIssuer, Regex, SkipRule};

fn pattern(settings: &mut Settings<'_>, at: &Origin, name: &str, source: &str) -> Option<Regex> {
    match Regex::anywhere(source) {
        Ok(regex) => Some(regex),
        Err(error) => {
            let fault = format!("a pattern of `{name}` cannot be read: `{source}`: {error}");
            let remedy = "write RE2 syntax".to_owned();
            settings.close(at, codes::LOGIN_OPTION_VALUE, fault, remedy);
            None
        }
    }
}

pub(super) fn api_routes(settings: &mut Settings<'_>) -> Vec<Regex> {
    let at = settings.origin("api_routes");
    let sources = settings.list("api_routes");
    sources
        .iter()
        .filter_map(|source| pattern(settings, &at, "api_routes", source))
        .collect()
}

/// `METHOD=pattern`, `METHOD!=pattern`, `pattern`, `!=pattern`; the first `=` divides.
pub(super) fn skip_rules(settings: &mut Settings<'_>) -> Vec<SkipRule> {
    let mut rules = Vec::new();
    let at = settings.origin("skip_auth_regex");
    for source in settings.list("skip_auth_regex") {
        let path = pattern(settings, &at, "skip_auth_regex", &source);
        rules.extend(path.map(|path| SkipRule {
            method: None,
            path,
            negate: false,
        }));
    }
    let at = settings.origin("skip_auth_routes");
    for entry in settings.list("skip_auth_routes") {
        let (method, source) = match entry.split_once('=') {
            Some((method, source)) => (method.strip_suffix('!').unwrap_or(method), source),
            None => ("", &*entry),
        };
        if !method.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            let fault = format!("`{entry}` exempts nothing: `{method}` is read as a method");
            let remedy = format!("write `={entry}`");
            let warning = Severity::Warning;
            settings.report(&at, codes::LOGIN_SKIP_RULE, warning, fault, remedy);
        }
        let method = (!method.is_empty()).then(|| method.to_uppercase().into());
        let path = pattern(settings, &at, "skip_auth_routes", source);
        rules.extend(path.map(|path| SkipRule {
            method,
            path,
            negate: entry.contains("!="),
        }));
    }
    if rules
        .iter()
        .any(|rule| rule.path.source().is_empty() && !rule.negate)
    {
        let fault = "an empty pattern exempts every path from the login".to_owned();
        let remedy = "remove the empty entry".to_owned();
        settings.close(&at, codes::LOGIN_SKIP_RULE, fault, remedy);
    }
    rules
}

pub(super) fn extra_issuers(settings: &mut Settings<'_>) -> Vec<ExtraIssuer> {
    let at = settings.origin("extra_jwt_issuers");
    let mut issuers = Vec::new();
    for entry in settings.list("extra_jwt_issuers") {
        match entry.split_once('=') {
            Some((issuer, audience)) if !issuer.is_empty() && !audience.is_empty() => {
                issuers.push(ExtraIssuer {
                    issuer: issuer.into(),
                    audience: audience.into(),
                });
            }
            _ => {
                let fault = format!("`{entry}` is no issuer with its audience");
                let remedy = "write `ISSUER=AUDIENCE`".to_owned();
                settings.close(&at, codes::LOGIN_OPTION_VALUE, fault, remedy);
            }
        }
    }
    issuers
}

/// Only the answer 200 of its own is played: an upstream that answered would decide too.
pub(super) fn upstreams(settings: &mut Settings<'_>) {
    let at = settings.origin("upstreams");
    let upstreams = settings.list("upstreams");
    if upstreams.is_empty() && !settings.unresolved {
        let fault = "no upstream is set, so the original would answer 404 to what it lets through";
        let remedy = "add `upstreams = [\"static://200\"]`".to_owned();
        let warning = Severity::Warning;
        settings.report(
            &at,
            codes::LOGIN_UPSTREAM,
            warning,
            fault.to_owned(),
            remedy,
        );
    }
    for upstream in upstreams {
        let answer = upstream.strip_prefix("static://");
        if answer.is_some_and(|status| status.parse::<u16>().unwrap_or(200) == 200) {
            continue;
        }
        let fault = format!("the upstream `{upstream}` is not played yet, so nobody is let in");
        let remedy = "use `static://200` and route to the application with a `VirtualService`";
        settings.close(&at, codes::LOGIN_UPSTREAM, fault, remedy.to_owned());
    }
}
