//! `config` of each type of connector.

mod directories;
mod forges;
mod platforms;

use std::sync::Arc;

use data_encoding::BASE64;

use super::super::config::Surroundings;
use super::super::section::Section;
use crate::names::Secret;
use crate::objects::Fault;
use crate::snapshot::{
    AuthProxyConnector, ConnectorKind, IssuerTls, NewGroup, OAuthConnector, OidcConnector,
    OidcOverrides, OidcPkce, Regex, UpstreamClient,
};

/// Types that are built.
const BUILT: &[&str] = &[
    "mockCallback",
    "mockPassword",
    "oidc",
    "ldap",
    "authproxy",
    "oauth",
    "gitlab",
];

pub(super) fn kind(
    kind: &str,
    id: &str,
    config: &Section<'_>,
    around: &Surroundings<'_>,
) -> Result<ConnectorKind, Fault> {
    if !BUILT.contains(&kind) {
        let fault =
            format!("the connector `{id}` of type `{kind}` is not supported yet and is left out");
        let remedy = "let its users sign in with the password list for now";
        return Err(config.field.fault(fault, remedy));
    }
    Ok(match kind {
        "mockCallback" => ConnectorKind::MockCallback,
        "mockPassword" => ConnectorKind::MockPassword {
            username: config.needed("username")?,
            password: secret(config, "password")?,
        },
        "oidc" => ConnectorKind::Oidc(Box::new(oidc(config, around)?)),
        "oauth" => ConnectorKind::OAuth(Box::new(oauth(config, around)?)),
        "authproxy" => ConnectorKind::AuthProxy(Box::new(auth_proxy(config)?)),
        "ldap" => ConnectorKind::Ldap(Box::new(directories::ldap(config, around)?)),
        "atlassian-crowd" => ConnectorKind::AtlassianCrowd(Box::new(directories::crowd(config)?)),
        "keystone" => ConnectorKind::Keystone(Box::new(directories::keystone(config)?)),
        "github" => ConnectorKind::GitHub(Box::new(forges::github(config, around)?)),
        "gitlab" => ConnectorKind::GitLab(Box::new(forges::gitlab(config, around)?)),
        "gitea" => ConnectorKind::Gitea(Box::new(forges::gitea(config)?)),
        "bitbucket-cloud" => ConnectorKind::BitbucketCloud(Box::new(forges::bitbucket(config)?)),
        "google" => ConnectorKind::Google(Box::new(platforms::google(config, around)?)),
        "microsoft" => ConnectorKind::Microsoft(Box::new(platforms::microsoft(config)?)),
        "linkedin" => ConnectorKind::LinkedIn(client(config)?),
        "openshift" => ConnectorKind::OpenShift(Box::new(platforms::openshift(config, around)?)),
        other => {
            let fault = format!("there is no connector of type `{other}`");
            return Err(config
                .field
                .fault(fault, "see docs/dex-compatibility.md for those there are"));
        }
    })
}

fn secret(config: &Section<'_>, name: &str) -> Result<Secret, Fault> {
    Ok(Secret::new(config.needed(name)?.as_bytes()))
}

fn client(config: &Section<'_>) -> Result<UpstreamClient, Fault> {
    let text = config.text("clientSecret")?.unwrap_or_default();
    Ok(UpstreamClient {
        id: config.needed("clientID")?,
        secret: Secret::new(text.as_bytes()),
        redirect_uri: config.needed("redirectURI")?,
    })
}

/// A URL without a slash at its end.
fn base_url(config: &Section<'_>, name: &str, usual: &str) -> Result<Arc<str>, Fault> {
    let Some(text) = config.text(name)? else {
        return Ok(usual.into());
    };
    web_address(config, name, &text)?;
    Ok(text.trim_end_matches('/').into())
}

fn needed_url(config: &Section<'_>, name: &str) -> Result<Arc<str>, Fault> {
    let text = config.needed(name)?;
    web_address(config, name, &text)?;
    Ok(text)
}

fn url(config: &Section<'_>, name: &str) -> Result<Option<Arc<str>>, Fault> {
    let text = config.text(name)?;
    if let Some(text) = &text {
        web_address(config, name, text)?;
    }
    Ok(text)
}

fn web_address(config: &Section<'_>, name: &str, text: &str) -> Result<(), Fault> {
    let read = url::Url::parse(text);
    if read.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
        return Ok(());
    }
    let field = config.child(name);
    let field = field.as_ref().unwrap_or(&config.field);
    Err(field.fault(
        format!("`{name}` is no web address: `{text}`"),
        "write it as `https://example.com`",
    ))
}

/// PEM text, the path of a file of it, or either in base64.
fn pem(
    config: &Section<'_>,
    name: &str,
    text: &str,
    around: &Surroundings<'_>,
) -> Result<Secret, Fault> {
    const BEGIN: &str = "-----BEGIN";
    if text.contains(BEGIN) {
        return Ok(Secret::new(text.as_bytes()));
    }
    if let Some(file) = (around.read)(text) {
        return Ok(file);
    }
    let plain: String = text.split_ascii_whitespace().collect();
    if let Ok(bytes) = BASE64.decode(plain.as_bytes())
        && std::str::from_utf8(&bytes).is_ok_and(|text| text.contains(BEGIN))
    {
        return Ok(Secret::new(bytes));
    }
    let field = config.child(name);
    let field = field.as_ref().unwrap_or(&config.field);
    // It may be a key.
    Err(field.fault(
        format!("`{name}` names no file that is here, and is no PEM"),
        "mount the file, or write its text",
    ))
}

/// Certificates of `names`, one after the other.
fn authorities(
    config: &Section<'_>,
    names: &[&str],
    around: &Surroundings<'_>,
) -> Result<Option<Arc<str>>, Fault> {
    let mut text = String::new();
    for name in names {
        let Some(field) = config.child(name) else {
            continue;
        };
        let entries = match field.node.items() {
            Some(_) => config.texts(name)?,
            None => config.text(name)?.into_iter().collect(),
        };
        for entry in entries {
            let read = pem(config, name, &entry, around)?;
            text.push_str(read.expose_str().unwrap_or_default());
            text.push('\n');
        }
    }
    Ok((!text.is_empty()).then(|| text.into()))
}

fn tls(
    config: &Section<'_>,
    certificates: &[&str],
    unverified: &str,
    around: &Surroundings<'_>,
) -> Result<IssuerTls, Fault> {
    Ok(IssuerTls {
        authorities: authorities(config, certificates, around)?,
        // Certificates that are named are trusted beside those of the system.
        system_too: true,
        unverified: match unverified {
            "" => false,
            name => config.flag(name)?.unwrap_or(false),
        },
        client: None,
    })
}

fn or(config: &Section<'_>, name: &str, usual: &str) -> Result<Arc<str>, Fault> {
    Ok(config.text(name)?.unwrap_or_else(|| usual.into()))
}

/// Text that may be empty on purpose.
fn or_empty(config: &Section<'_>, name: &str, usual: &str) -> Result<Arc<str>, Fault> {
    match config.child(name) {
        None => Ok(usual.into()),
        Some(_) => Ok(config.text(name)?.unwrap_or_default()),
    }
}

fn list_or(config: &Section<'_>, name: &str, usual: &[&str]) -> Result<Vec<Arc<str>>, Fault> {
    let found = config.texts(name)?;
    match found.is_empty() {
        true => Ok(usual.iter().map(|word| Arc::from(*word)).collect()),
        false => Ok(found),
    }
}

fn flag(config: &Section<'_>, name: &str) -> Result<bool, Fault> {
    Ok(config.flag(name)?.unwrap_or(false))
}

fn oidc(config: &Section<'_>, around: &Surroundings<'_>) -> Result<OidcConnector, Fault> {
    if let Some(domains) = config.child("hostedDomains") {
        return Err(domains.fault(
            "`hostedDomains` is no option of `oidc`",
            "use the connector `google`, or `allowedGroups`",
        ));
    }
    let mut overrides = OidcOverrides::default();
    if let Some(section) = config.section("providerDiscoveryOverrides")? {
        overrides.authorization = url(&section, "authURL")?;
        overrides.token = url(&section, "tokenURL")?;
        overrides.keys = url(&section, "jwksURL")?;
        overrides.user_info = url(&section, "userInfoURL")?;
    }
    let mut read = OidcConnector {
        client: client(config)?,
        issuer: needed_url(config, "issuer")?,
        issuer_alias: config.text("issuerAlias")?,
        overrides,
        basic_auth_unsupported: config.flag("basicAuthUnsupported")?,
        scopes: list_or(config, "scopes", &["profile", "email"])?,
        tls: tls(config, &["rootCAs"], "insecureSkipVerify", around)?,
        skip_email_verified: flag(config, "insecureSkipEmailVerified")?,
        enable_groups: flag(config, "insecureEnableGroups")?,
        allowed_groups: config.texts("allowedGroups")?,
        acr_values: config.texts("acrValues")?,
        user_info: flag(config, "getUserInfo")?,
        user_id_key: or(config, "userIDKey", "sub")?,
        user_name_key: or(config, "userNameKey", "name")?,
        prompt: or_empty(config, "promptType", "consent")?,
        pkce: None,
        override_claims: flag(config, "overrideClaimMapping")?,
        preferred_username_key: "preferred_username".into(),
        email_key: "email".into(),
        groups_key: "groups".into(),
        groups_filter: None,
        groups_prefix: "".into(),
        groups_suffix: "".into(),
        new_groups: Vec::new(),
    };
    read.scopes.retain(|scope| **scope != *"openid");
    if config.child("pkceChallenge").is_some() {
        read.pkce = Some(match config.text("pkceChallenge")?.as_deref() {
            Some("S256") => OidcPkce::S256,
            Some("plain") => OidcPkce::Plain,
            None => OidcPkce::None,
            Some(other) => {
                let fault = format!("`pkceChallenge` cannot be `{other}`");
                return Err(config.field.fault(fault, "write `S256` or `plain`"));
            }
        });
    }
    if let Some(mapping) = config.section("claimMapping")? {
        read.preferred_username_key = or(&mapping, "preferred_username", "preferred_username")?;
        read.email_key = or(&mapping, "email", "email")?;
        read.groups_key = or(&mapping, "groups", "groups")?;
    }
    if let Some(changes) = config.section("claimModifications")? {
        claim_changes(&changes, &mut read)?;
    }
    Ok(read)
}

fn claim_changes(changes: &Section<'_>, read: &mut OidcConnector) -> Result<(), Fault> {
    if let Some(filter) = changes.section("filterGroupClaims")?
        && let Some(text) = filter.text("groupsFilter")?
    {
        // Dex logs it and lets every group pass.
        let broken = |why| {
            let fault = format!("`groupsFilter` is no regular expression: {why}");
            filter.field.fault(fault, "correct it")
        };
        read.groups_filter = Some(Regex::anywhere(&text).map_err(broken)?);
    }
    if let Some(names) = changes.section("modifyGroupNames")? {
        read.groups_prefix = or(&names, "prefix", "")?;
        read.groups_suffix = or(&names, "suffix", "")?;
    }
    for item in changes.items("newGroupFromClaims")? {
        let item = Section::of(item)?;
        read.new_groups.push(NewGroup {
            claims: item.texts("claims")?,
            delimiter: or(&item, "delimiter", "")?,
            clear_delimiter: flag(&item, "clearDelimiter")?,
            prefix: or(&item, "prefix", "")?,
        });
    }
    Ok(())
}

fn oauth(config: &Section<'_>, around: &Surroundings<'_>) -> Result<OAuthConnector, Fault> {
    let mut read = OAuthConnector {
        client: client(config)?,
        token_url: needed_url(config, "tokenURL")?,
        authorization_url: needed_url(config, "authorizationURL")?,
        user_info_url: needed_url(config, "userInfoURL")?,
        scopes: config.texts("scopes")?,
        tls: tls(config, &["rootCAs"], "insecureSkipVerify", around)?,
        user_id_key: or(config, "userIDKey", "id")?,
        user_name_key: "user_name".into(),
        preferred_username_key: "preferred_username".into(),
        groups_key: "groups".into(),
        email_key: "email".into(),
        email_verified_key: "email_verified".into(),
    };
    if let Some(mapping) = config.section("claimMapping")? {
        read.user_name_key = or(&mapping, "userNameKey", "user_name")?;
        read.preferred_username_key = or(&mapping, "preferredUsernameKey", "preferred_username")?;
        read.groups_key = or(&mapping, "groupsKey", "groups")?;
        read.email_key = or(&mapping, "emailKey", "email")?;
        read.email_verified_key = or(&mapping, "emailVerifiedKey", "email_verified")?;
    }
    Ok(read)
}

fn auth_proxy(config: &Section<'_>) -> Result<AuthProxyConnector, Fault> {
    Ok(AuthProxyConnector {
        user: header(config, "userHeader", "X-Remote-User")?,
        user_id: header(config, "userIDHeader", "X-Remote-User-Id")?,
        user_name: header(config, "userNameHeader", "X-Remote-User-Name")?,
        email: header(config, "emailHeader", "X-Remote-User-Email")?,
        groups: header(config, "groupHeader", "X-Remote-Group")?,
        separator: or(config, "groupHeaderSeparator", ",")?,
        static_groups: config.texts("staticGroups")?,
    })
}

/// The name of a header, in lower case.
fn header(config: &Section<'_>, name: &str, usual: &str) -> Result<Arc<str>, Fault> {
    let text = or(config, name, usual)?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !text.bytes().all(token) {
        let fault = format!("`{name}` is no name of a header: `{text}`");
        return Err(config.field.fault(fault, "write it as `X-Remote-User`"));
    }
    Ok(text.to_ascii_lowercase().into())
}
