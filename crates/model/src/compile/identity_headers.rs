//! Headers that tell an application who the user is.

use std::sync::Arc;

use http::HeaderName;

use super::policies::Policies;
use crate::finding::{Finding, Severity, codes};
use crate::snapshot::{Authorizer, HeaderPattern, UserHeader};
use crate::world::World;

/// Names that are always taken for identity.
const ALWAYS: [&str; 13] = [
    "x-auth-request-user",
    "x-auth-request-email",
    "x-auth-request-groups",
    "x-auth-request-preferred-username",
    "x-auth-request-access-token",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-forwarded-preferred-username",
    "x-forwarded-access-token",
    "gap-auth",
    "x-doorward-assertion",
    "kubeflow-userid",
];

/// The user header that the components of Kubeflow are told to read: `USERID_HEADER` and
/// `USERID_PREFIX` in their ConfigMaps.
pub(super) fn user_header(world: &World, findings: &mut Vec<Finding>) -> UserHeader {
    let user = setting(
        world,
        &["USERID_HEADER", "CD_USERID_HEADER", "userid-header"],
        findings,
    );
    let prefix = setting(
        world,
        &["USERID_PREFIX", "CD_USERID_PREFIX", "userid-prefix"],
        findings,
    );
    let groups = setting(world, &["GROUPS_HEADER", "groups-header"], findings);
    let header = |text: Option<Arc<str>>, usual: &'static str| {
        let named = text.and_then(|text| HeaderName::from_bytes(text.as_bytes()).ok());
        named.unwrap_or(HeaderName::from_static(usual))
    };
    UserHeader {
        user: header(user, "kubeflow-userid"),
        groups: header(groups, "kubeflow-groups"),
        prefix: prefix.unwrap_or_default(),
    }
}

/// The first value of any of these keys; others that differ are a finding.
fn setting(world: &World, keys: &[&str], findings: &mut Vec<Finding>) -> Option<Arc<str>> {
    let mut found: Option<(Arc<str>, String)> = None;
    for config_map in world.config_maps.values() {
        for (key, entry) in keys
            .iter()
            .filter_map(|key| config_map.data.get_key_value(*key))
        {
            match &found {
                None => {
                    found = Some((
                        Arc::clone(&entry.text),
                        config_map.object.reference.to_string(),
                    ))
                }
                Some((text, first)) if *text != entry.text => {
                    findings.push(config_map.object.finding(
                        codes::USER_HEADER,
                        Severity::Error,
                        entry.line,
                        format!("data[{key}]"),
                        format!("`{key}` is `{}`, and `{text}` in `{first}`", entry.text),
                        "make all components read the same user header and prefix",
                    ));
                }
                Some(_) => {}
            }
        }
    }
    found.map(|(text, _)| text)
}

/// Everything that is removed from requests from outside.
pub(super) fn all<'a>(
    user: &UserHeader,
    policies: &Policies,
    authorizers: impl Iterator<Item = &'a Arc<Authorizer>>,
) -> Vec<HeaderName> {
    let mut names: Vec<HeaderName> = ALWAYS
        .iter()
        .map(|name| HeaderName::from_static(name))
        .collect();
    names.extend([user.user.clone(), user.groups.clone()]);
    names.push(HeaderName::from_static("kubeflow-groups"));
    names.extend(policies.claim_headers().cloned());
    for pattern in authorizers.flat_map(|authorizer| &authorizer.upstream_on_allow) {
        if let HeaderPattern::Exact(name) = pattern
            && let Ok(name) = HeaderName::from_bytes(name.as_bytes())
        {
            names.push(name);
        }
    }
    // Credentials are checked, not believed; `path` names no header that applications trust.
    names.retain(|name| !matches!(name.as_str(), "authorization" | "cookie" | "path"));
    names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    names
}
