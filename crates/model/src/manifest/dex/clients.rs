//! `staticClients`.

use super::config::Surroundings;
use super::section::Section;
use crate::finding::{Finding, Severity, codes};
use crate::manifest::environment::Environment;
use crate::manifest::published_samples::is_published;
use crate::names::Secret;
use crate::objects::{Fault, Field};
use crate::snapshot::{ClientRules, ProviderClient};

/// Reads the clients; one that is wrong is a finding and is left out.
pub(super) fn clients(
    top: &Section<'_>,
    around: &Surroundings<'_>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<ProviderClient>, Fault> {
    let mut clients: Vec<ProviderClient> = Vec::new();
    for item in top.items("staticClients")? {
        let read = client(item.clone(), around, findings).and_then(|client| {
            if clients.iter().any(|other| other.id == client.id) {
                let fault = format!("the client `{}` stands here twice", client.id);
                return Err(item.fault(fault, "remove one of them"));
            }
            Ok(client)
        });
        match read {
            Ok(client) => clients.push(client),
            Err(mut fault) => {
                fault.code = codes::PROVIDER_CLIENT;
                findings.push(*fault);
            }
        }
    }
    Ok(clients)
}

fn client(
    item: Field<'_>,
    around: &Surroundings<'_>,
    findings: &mut Vec<Finding>,
) -> Result<ProviderClient, Fault> {
    let section = Section::of(item)?;
    let environment = around.environment;
    let id = value(&section, "id", "idEnv", environment)?;
    let id = id
        .as_ref()
        .and_then(Secret::expose_str)
        .filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| {
        section
            .field
            .fault("a client has no id", "add `id` or `idEnv`")
    })?;
    let name = section.text("name")?.ok_or_else(|| {
        section
            .field
            .fault(format!("the client `{id}` has no name"), "add `name`")
    })?;
    if section.child("mfaChain").is_some() {
        let fault = format!("the second factor of the client `{id}` is not supported yet");
        return Err(section.field.fault(fault, "remove `mfaChain`"));
    }
    let public = section.flag("public")?.unwrap_or(false);
    let secret =
        value(&section, "secret", "secretEnv", environment)?.unwrap_or_else(|| Secret::new([]));
    if secret.is_empty() && !public {
        let fault = format!("the client `{id}` has no secret");
        return Err(section
            .field
            .fault(fault, "add `secret` or `secretEnv`, or `public: true`"));
    }
    if is_published(secret.expose()) {
        findings.push(section.field.finding(
            codes::PUBLISHED_SECRET,
            Severity::Warning,
            format!("the secret of the client `{id}` is a published sample"),
            "make a random one, here and where the client reads it",
        ));
    }
    let own = section.section("clientCredentialsClaims")?;
    Ok(ProviderClient {
        id: id.into(),
        secret,
        name,
        redirect_uris: section.texts("redirectURIs")?,
        public,
        trusted_peers: section.texts("trustedPeers")?,
        logo: section.text("logoURL")?,
        allowed_connectors: section.texts("allowedConnectors")?,
        refresh_ends_with_session: match section.text("refreshTokenLifetime")?.as_deref() {
            None | Some("standalone") => false,
            Some("session") => true,
            Some(other) => {
                let fault = format!("`refreshTokenLifetime` cannot be `{other}`");
                return Err(section
                    .field
                    .fault(fault, "write `standalone` or `session`"));
            }
        },
        shares_sign_in_with: match section.child("ssoSharedWith") {
            Some(_) => Some(section.texts("ssoSharedWith")?),
            None => None,
        },
        own_groups: match own {
            Some(own) => own.texts("groups")?,
            None => Vec::new(),
        },
        rules: ClientRules {
            after_logout: section.texts("postLogoutRedirectURIs")?,
            back_channel_logout: section.text("backchannelLogoutURI")?,
            ..ClientRules::default()
        },
    })
}

/// A value that is written out, or that a variable holds; never both, and never an unset variable.
fn value(
    section: &Section<'_>,
    plain: &str,
    variable: &str,
    environment: &Environment,
) -> Result<Option<Secret>, Fault> {
    match (section.text(plain)?, section.text(variable)?) {
        (Some(_), Some(_)) => {
            let fault = format!("`{plain}` and `{variable}` exclude each other");
            Err(section.field.fault(fault, "keep one of them"))
        }
        (Some(text), None) => Ok(Some(Secret::new(text.as_bytes()))),
        (None, None) => Ok(None),
        (None, Some(name)) => {
            let found = environment
                .variable(&name)
                .filter(|found| !found.value.is_empty());
            let unset = || {
                let field = section
                    .child(variable)
                    .unwrap_or_else(|| section.field.clone());
                let fault = format!("`{variable}` names the variable `{name}`, which is not set");
                field.fault(fault, "set it through `env` or `envFrom` of the container")
            };
            found
                .map(|found| Some(found.value.clone()))
                .ok_or_else(unset)
        }
    }
}
