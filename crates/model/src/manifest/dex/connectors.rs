//! `connectors` and the password list.

mod read;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::config::Surroundings;
use super::expand::expand;
use super::section::Section;
use super::walk::canonical;
use crate::finding::{Finding, Severity, codes};
use crate::objects::{Fault, Field, Node, Value};
use crate::snapshot::{ConnectorKind, ProviderConnector};

/// Reads the ways to sign in; one that is wrong is a finding and is left out.
///
/// # Errors
/// When none is left.
pub(super) fn connectors(
    top: &Section<'_>,
    issuer: &str,
    around: &Surroundings<'_>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<ProviderConnector>, Fault> {
    let mut found = Vec::new();
    let mut ids = BTreeSet::new();
    let local = top.flag("enablePasswordDB")?.unwrap_or(false);
    if local {
        ids.insert(Arc::<str>::from("local"));
    }
    for item in top.items("connectors")? {
        let read = connector(&item, issuer, around, findings).and_then(|connector| {
            if ids.insert(Arc::clone(&connector.id)) {
                return Ok(connector);
            }
            let fault = format!("the connector `{}` stands here twice", connector.id);
            Err(item.fault(fault, "give each an `id` of its own"))
        });
        match read {
            Ok(connector) => found.push(connector),
            Err(mut fault) => {
                fault.code = codes::PROVIDER_CONNECTOR;
                findings.push(*fault);
            }
        }
    }
    if local {
        found.push(ProviderConnector::local());
    } else if let Some(list) = top.child("staticPasswords") {
        let fault = "`staticPasswords` has no effect without `enablePasswordDB`";
        return Err(list.fault(fault, "add `enablePasswordDB: true`"));
    }
    if found.is_empty() {
        return Err(top.field.fault(
            "nobody can sign in: no way to do so is left",
            "add `enablePasswordDB: true`, or a connector",
        ));
    }
    Ok(found)
}

fn connector(
    item: &Field<'_>,
    issuer: &str,
    around: &Surroundings<'_>,
    findings: &mut Vec<Finding>,
) -> Result<ProviderConnector, Fault> {
    let section = Section::of(item.clone())?;
    let kind = section.needed("type")?;
    let id = section.needed("id")?;
    let name = section.needed("name")?;
    let expands = around.is_set("DEX_EXPAND_ENV", true);
    let config = match section.child("config") {
        Some(field) if expands => expand(field.node, around.environment),
        Some(field) => field.node.clone(),
        None => Node {
            value: Value::Map(Vec::new()),
            line: item.node.line,
        },
    };
    let config = Section::of(Field {
        object: item.object,
        node: &config,
        path: format!("{}.config", item.path),
    })?;
    let kind = read::kind(canonical(&kind), &id, &config, around)?;
    check_redirect(&kind, issuer, &config, findings);
    Ok(ProviderConnector {
        id,
        name,
        kind,
        group_prefix: section.text("groupPrefix")?.unwrap_or_default(),
        grants: match section.child("grantTypes") {
            Some(_) => Some(section.texts("grantTypes")?),
            None => None,
        },
    })
}

/// The upstream sends people to one address; Dex finds out at the first sign-in that it is another.
fn check_redirect(
    kind: &ConnectorKind,
    issuer: &str,
    config: &Section<'_>,
    findings: &mut Vec<Finding>,
) {
    let Some(client) = kind.upstream_client() else {
        return;
    };
    let wanted = format!("{}/callback", issuer.trim_end_matches('/'));
    if *client.redirect_uri == *wanted {
        return;
    }
    let field = config.child("redirectURI");
    let field = field.as_ref().unwrap_or(&config.field);
    findings.push(field.finding(
        codes::PROVIDER_CONNECTOR,
        Severity::Warning,
        format!("`redirectURI` is not `{wanted}`, so nobody comes back from there"),
        format!("write `redirectURI: {wanted}`, here and at the upstream"),
    ));
}
