//! `google`, `microsoft`, `openshift`.

use std::sync::Arc;

use super::{base_url, client, flag, list_or, needed_url, or, or_empty, tls};
use crate::manifest::dex::config::Surroundings;
use crate::manifest::dex::section::Section;
use crate::names::Secret;
use crate::objects::Fault;
use crate::snapshot::{GoogleConnector, MicrosoftConnector, OpenShiftConnector, ServiceAccount};

pub(super) fn google(
    config: &Section<'_>,
    around: &Surroundings<'_>,
) -> Result<GoogleConnector, Fault> {
    let mut administrators: Vec<(Arc<str>, Arc<str>)> = Vec::new();
    if let Some(email) = config.text("adminEmail")? {
        administrators.push(("*".into(), email));
    }
    if let Some(map) = config.section("domainToAdminEmail")? {
        for (domain, node) in map.field.node.entries().unwrap_or_default() {
            let email = node.text().unwrap_or_default();
            administrators.push((Arc::clone(domain), email.into()));
        }
    }
    let service_account = match config.text("serviceAccountFilePath")? {
        None => None,
        Some(path) => Some(service_account(config, &path, around)?),
    };
    let groups = config.texts("groups")?;
    if service_account.is_none() && (!groups.is_empty() || !administrators.is_empty()) {
        let fault = "groups of Google cannot be asked for without `serviceAccountFilePath`";
        return Err(config
            .field
            .fault(fault, "add the key file of a service account"));
    }
    if service_account.is_some() && administrators.is_empty() {
        let fault = "`serviceAccountFilePath` needs an administrator to act for";
        return Err(config.field.fault(fault, "add `domainToAdminEmail`"));
    }
    let mut scopes = list_or(config, "scopes", &["profile", "email"])?;
    scopes.retain(|scope| **scope != *"openid");
    Ok(GoogleConnector {
        client: client(config)?,
        scopes,
        hosted_domains: config.texts("hostedDomains")?,
        groups,
        service_account,
        administrators,
        transitive: flag(config, "fetchTransitiveGroupMembership")?,
        prompt: or_empty(config, "promptType", "consent")?,
    })
}

fn service_account(
    config: &Section<'_>,
    path: &str,
    around: &Surroundings<'_>,
) -> Result<ServiceAccount, Fault> {
    let fault = |what: &str| {
        let fault = format!("`serviceAccountFilePath` names `{path}`, {what}");
        config
            .field
            .fault(fault, "mount the JSON key of a service account")
    };
    let file = (around.read)(path).ok_or_else(|| fault("which is not here"))?;
    let read: serde_json::Value =
        serde_json::from_slice(file.expose()).map_err(|_| fault("which is no JSON"))?;
    let member = |name: &str| read.get(name).and_then(serde_json::Value::as_str);
    let needed = |name: &str| member(name).ok_or_else(|| fault("which is no key of an account"));
    Ok(ServiceAccount {
        email: needed("client_email")?.into(),
        key: Secret::new(needed("private_key")?.as_bytes()),
        key_id: member("private_key_id").unwrap_or_default().into(),
        token_uri: member("token_uri")
            .unwrap_or("https://oauth2.googleapis.com/token")
            .into(),
    })
}

pub(super) fn microsoft(config: &Section<'_>) -> Result<MicrosoftConnector, Fault> {
    let tenant = or(config, "tenant", "common")?;
    let groups = config.texts("groups")?;
    let shared = matches!(&*tenant, "common" | "consumers" | "organizations");
    if shared && !groups.is_empty() {
        // Dex lets everybody in.
        let fault = format!("`groups` cannot be asked for at the tenant `{tenant}`");
        return Err(config.field.fault(fault, "name the directory in `tenant`"));
    }
    let group_ids = match config.text("groupNameFormat")?.as_deref() {
        None | Some("name") => false,
        Some("id") => true,
        Some(other) => {
            let fault = format!("`groupNameFormat` cannot be `{other}`");
            return Err(config.field.fault(fault, "write `name` or `id`"));
        }
    };
    let preferred_username = or(config, "preferredUsernameField", "")?;
    let known = [
        "",
        "name",
        "email",
        "mailNickname",
        "onPremisesSamAccountName",
    ];
    if !known.contains(&&*preferred_username) {
        let fault = format!("`preferredUsernameField` cannot be `{preferred_username}`");
        return Err(config
            .field
            .fault(fault, "write `name`, `email` or `mailNickname`"));
    }
    Ok(MicrosoftConnector {
        client: client(config)?,
        tenant,
        groups,
        only_those: flag(config, "useGroupsAsWhitelist")?,
        only_security: flag(config, "onlySecurityGroups")?,
        group_ids,
        lower_case: flag(config, "emailToLowercase")?,
        scopes: list_or(config, "scopes", &["user.read"])?,
        prompt: or(config, "promptType", "")?,
        domain_hint: or(config, "domainHint", "")?,
        api_url: base_url(config, "apiURL", "https://login.microsoftonline.com")?,
        graph_url: base_url(config, "graphURL", "https://graph.microsoft.com")?,
        preferred_username,
    })
}

pub(super) fn openshift(
    config: &Section<'_>,
    around: &Surroundings<'_>,
) -> Result<OpenShiftConnector, Fault> {
    needed_url(config, "issuer")?;
    Ok(OpenShiftConnector {
        client: client(config)?,
        issuer: base_url(config, "issuer", "")?,
        groups: config.texts("groups")?,
        tls: tls(config, &["rootCA"], "insecureCA", around)?,
    })
}
