//! Connectors that ask for a password: `ldap`, `atlassian-crowd`, `keystone`.

use super::{authorities, base_url, flag, list_or, needed_url, or, pem, secret};
use crate::manifest::dex::config::Surroundings;
use crate::manifest::dex::section::Section;
use crate::names::Secret;
use crate::objects::Fault;
use crate::snapshot::{
    CrowdConnector, IssuerTls, IssuerTlsClient, KeystoneConnector, LdapConnector, LdapGroups,
    LdapMatcher, LdapScope, LdapSecurity, LdapUsers,
};

pub(super) fn ldap(
    config: &Section<'_>,
    around: &Surroundings<'_>,
) -> Result<LdapConnector, Fault> {
    let security = match (flag(config, "insecureNoSSL")?, flag(config, "startTLS")?) {
        (true, true) => {
            let fault = "`insecureNoSSL` and `startTLS` exclude each other";
            return Err(config.field.fault(fault, "keep one of them"));
        }
        (true, false) => LdapSecurity::Plain,
        (false, true) => LdapSecurity::StartTls,
        (false, false) => LdapSecurity::Tls,
    };
    let written = config.needed("host")?;
    let (host, port) = match written.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !port.contains(']') => {
            let read = port.parse().map_err(|_| {
                let fault = format!("`host` has no port that can be used: `{written}`");
                config
                    .field
                    .fault(fault, "write it as `ldap.example.com:636`")
            })?;
            (host.trim_matches(['[', ']']).into(), read)
        }
        // Dex takes 636 for `startTLS` too, where nobody speaks plain LDAP first.
        _ => {
            let port = if security == LdapSecurity::Tls {
                636
            } else {
                389
            };
            (written.trim_matches(['[', ']']).into(), port)
        }
    };
    let users = config.section("userSearch")?.ok_or_else(|| {
        let fault = "`userSearch` is missing";
        config.field.fault(fault, "add where people are found")
    })?;
    Ok(LdapConnector {
        host,
        port,
        security,
        tls: IssuerTls {
            authorities: authorities(config, &["rootCA", "rootCAData"], around)?,
            system_too: false,
            unverified: flag(config, "insecureSkipVerify")?,
            client: own_certificate(config, around)?,
        },
        bind_dn: or(config, "bindDN", "")?,
        bind_password: Secret::new(or(config, "bindPW", "")?.as_bytes()),
        prompt: or(config, "usernamePrompt", "Username")?,
        users: people(&users)?,
        groups: match config.section("groupSearch")? {
            None => None,
            Some(section) => groups(&section)?,
        },
    })
}

fn own_certificate(
    config: &Section<'_>,
    around: &Surroundings<'_>,
) -> Result<Option<IssuerTlsClient>, Fault> {
    let (Some(certificate), Some(key)) = (config.text("clientCert")?, config.text("clientKey")?)
    else {
        return Ok(None);
    };
    let certificates = pem(config, "clientCert", &certificate, around)?;
    Ok(Some(IssuerTlsClient {
        certificates: certificates.expose_str().unwrap_or_default().into(),
        key: pem(config, "clientKey", &key, around)?,
    }))
}

fn people(section: &Section<'_>) -> Result<LdapUsers, Fault> {
    let usernames = match section.child("username") {
        Some(field) if field.node.items().is_some() => section.texts("username")?,
        _ => vec![section.needed("username")?],
    };
    let users = LdapUsers {
        base: section.needed("baseDN")?,
        filter: filter(section)?,
        usernames,
        scope: scope(section)?,
        // Without it Dex refuses everybody, at the sign-in.
        id: section.needed("idAttr")?,
        email: or(section, "emailAttr", "")?,
        name: or(section, "nameAttr", "")?,
        preferred_username: or(section, "preferredUsernameAttr", "")?,
        email_suffix: or(section, "emailSuffix", "")?,
    };
    if users.email.is_empty() && users.email_suffix.is_empty() {
        let fault = "`userSearch` names no e-mail";
        return Err(section
            .field
            .fault(fault, "add `emailAttr` or `emailSuffix`"));
    }
    if !users.email_suffix.is_empty() && users.name.is_empty() {
        let fault = "`emailSuffix` has no effect without `nameAttr`";
        return Err(section.field.fault(fault, "add `nameAttr`"));
    }
    Ok(users)
}

fn groups(section: &Section<'_>) -> Result<Option<LdapGroups>, Fault> {
    let Some(base) = section.text("baseDN")? else {
        return Ok(None);
    };
    let mut matchers = Vec::new();
    for item in section.items("userMatchers")? {
        let item = Section::of(item)?;
        matchers.push(LdapMatcher {
            user: item.needed("userAttr")?,
            group: item.needed("groupAttr")?,
            recursion: or(&item, "recursionGroupAttr", "")?,
        });
    }
    if matchers.is_empty() {
        matchers.push(LdapMatcher {
            user: section.needed("userAttr")?,
            group: section.needed("groupAttr")?,
            recursion: "".into(),
        });
    }
    Ok(Some(LdapGroups {
        base,
        filter: filter(section)?,
        scope: scope(section)?,
        name: section.needed("nameAttr")?,
        matchers,
    }))
}

/// A filter in its parentheses, or nothing.
fn filter(section: &Section<'_>) -> Result<std::sync::Arc<str>, Fault> {
    let text = or(section, "filter", "")?;
    match text.is_empty() || (text.starts_with('(') && text.ends_with(')')) {
        true => Ok(text),
        false => {
            let fault = format!("`filter` has no parentheses around it: `{text}`");
            let remedy = "write it as `(objectClass=person)`";
            Err(section.field.fault(fault, remedy))
        }
    }
}

fn scope(section: &Section<'_>) -> Result<LdapScope, Fault> {
    match section.text("scope")?.as_deref() {
        None | Some("sub") => Ok(LdapScope::Subtree),
        Some("one") => Ok(LdapScope::OneLevel),
        Some(other) => {
            let fault = format!("`scope` cannot be `{other}`");
            Err(section.field.fault(fault, "write `sub` or `one`"))
        }
    }
}

pub(super) fn crowd(config: &Section<'_>) -> Result<CrowdConnector, Fault> {
    needed_url(config, "baseURL")?;
    let preferred = or(config, "preferredUsernameField", "")?;
    if !matches!(&*preferred, "" | "key" | "name" | "email") {
        let fault = format!("`preferredUsernameField` cannot be `{preferred}`");
        return Err(config.field.fault(fault, "write `key`, `name` or `email`"));
    }
    Ok(CrowdConnector {
        base_url: base_url(config, "baseURL", "")?,
        client_id: config.needed("clientID")?,
        client_secret: secret(config, "clientSecret")?,
        groups: list_or(config, "groups", &[])?,
        preferred_username: preferred,
        prompt: or(config, "usernamePrompt", "Username")?,
    })
}

pub(super) fn keystone(config: &Section<'_>) -> Result<KeystoneConnector, Fault> {
    needed_url(config, "keystoneHost")?;
    Ok(KeystoneConnector {
        host: base_url(config, "keystoneHost", "")?,
        username: config.needed("keystoneUsername")?,
        password: secret(config, "keystonePassword")?,
        domain: or(config, "domain", "default")?,
    })
}
