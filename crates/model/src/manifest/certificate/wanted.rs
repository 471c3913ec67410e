//! `Certificate`s of cert-manager as wishes, and what issuers they name.

use std::net::IpAddr;
use std::sync::Arc;

use super::TlsServer;
use crate::finding::{Code, Finding, Severity, codes};
use crate::names::{Duration, HostPattern};
use crate::objects::{Fault, Field, Object};
use crate::snapshot::{Identity, WantedCertificate};
use crate::world::World;

/// `duration` of a `Certificate` that says none.
const NINETY_DAYS: Duration = Duration::from_secs(2160 * 3600);
const HOUR: Duration = Duration::from_secs(3600);

/// The `Certificate` that fills a Secret of the gateway's namespace.
pub(super) fn asked_for<'a>(
    world: &'a World,
    identity: &Identity,
    secret: &str,
) -> Option<&'a Arc<Object>> {
    let mut all = world.of_kind("Certificate").iter();
    all.find(|object| {
        let name = object
            .root
            .path(&["spec", "secretName"])
            .and_then(|name| name.text());
        *object.namespace() == identity.namespace && name == Some(secret) && object.closed.is_none()
    })
}

pub(super) fn for_gateway(server: &TlsServer) -> WantedCertificate {
    let names = server
        .hosts
        .iter()
        .filter(|host| **host != HostPattern::Any);
    WantedCertificate {
        object: server.gateway.reference.clone(),
        hosts: server.hosts.clone(),
        dns_names: names.map(|host| host.to_string().into()).collect(),
        addresses: Vec::new(),
        duration: NINETY_DAYS,
    }
}

/// What is wrong with one name or number leaves that one out.
pub(super) fn for_certificate(
    world: &World,
    object: &Arc<Object>,
    server: &TlsServer,
    findings: &mut Vec<Finding>,
) -> WantedCertificate {
    let mut wanted = WantedCertificate {
        object: object.reference.clone(),
        hosts: server.hosts.clone(),
        dns_names: Vec::new(),
        addresses: Vec::new(),
        duration: NINETY_DAYS,
    };
    let Some(spec) = object.spec() else {
        return wanted;
    };
    let mut note = |result: Result<(), Fault>| {
        if let Err(mut fault) = result {
            fault.code = codes::CERTIFICATE_INVALID;
            findings.push(*fault);
        }
    };
    note(names(&spec, &mut wanted));
    note(addresses(&spec, &mut wanted));
    note(duration(&spec, &mut wanted));
    let reference = &object.reference;
    let mut say = |field: &Field<'_>, code: Code, severity, fault: String, remedy: &str| {
        findings.push(field.finding(code, severity, fault, remedy));
    };
    let unusual = codes::CERTIFICATE_UNUSUAL;
    if *object.version != *"v1" {
        let fault = format!("`cert-manager.io/{}` is an old version", object.version);
        say(
            &spec,
            unusual,
            Severity::Warning,
            fault,
            "write `cert-manager.io/v1`",
        );
    }
    if let Some(authority) = spec
        .child("isCA")
        .filter(|field| field.boolean().unwrap_or(false))
    {
        let fault = format!("{reference} is for a server and asks to be an authority");
        say(
            &authority,
            unusual,
            Severity::Warning,
            fault,
            "remove `isCA`",
        );
    }
    for host in &server.hosts {
        let HostPattern::Exact(host) = host else {
            continue;
        };
        if !covered(&wanted, host.as_str()) {
            let fault = format!("the gateway serves `{host}`, which {reference} does not name");
            say(
                &spec,
                unusual,
                Severity::Warning,
                fault,
                "add it to `dnsNames`",
            );
        }
    }
    if let Some((at, severity, issuer)) = issuer(world, object, &spec) {
        let fault = format!("doorward's own authority signs {reference}, not {issuer}");
        let remedy = "trust doorward's authority, or add the Secret that the issuer made";
        say(&at, codes::ISSUER_NOT_USED, severity, fault, remedy);
    }
    wanted
}

fn covered(wanted: &WantedCertificate, host: &str) -> bool {
    let below = host
        .split_once('.')
        .map(|(_, parent)| format!("*.{parent}"));
    let named = |name: &Arc<str>| **name == *host || below.as_deref() == Some(&**name);
    wanted.dns_names.iter().any(named)
        || wanted
            .addresses
            .iter()
            .any(|address| address.to_string() == host)
}

/// `commonName` counts too, because browsers no longer look at it by itself.
fn names(spec: &Field<'_>, wanted: &mut WantedCertificate) -> Result<(), Fault> {
    if let Some(name) = spec.child("commonName") {
        let text = name.text()?.to_ascii_lowercase();
        if let Ok(address) = text.parse() {
            wanted.addresses.push(address);
        } else if is_dns_name(&text) {
            wanted.dns_names.push(text.into());
        }
    }
    let mut result = Ok(());
    for item in spec.child_items("dnsNames")? {
        let text = item.text()?.to_ascii_lowercase();
        if !is_dns_name(&text) {
            // A placeholder is reported where every object is searched for them.
            if !text.contains("${") {
                result =
                    Err(item.fault(format!("`{text}` is no DNS name"), "correct or remove it"));
            }
        } else if !wanted.dns_names.iter().any(|other| **other == *text) {
            wanted.dns_names.push(text.into());
        }
    }
    result
}

fn addresses(spec: &Field<'_>, wanted: &mut WantedCertificate) -> Result<(), Fault> {
    let mut result = Ok(());
    for item in spec.child_items("ipAddresses")? {
        let text = item.text()?;
        match text.parse::<IpAddr>() {
            Ok(address) if !wanted.addresses.contains(&address) => wanted.addresses.push(address),
            Ok(_) => {}
            Err(_) if text.contains("${") => {}
            Err(_) => {
                result =
                    Err(item.fault(format!("`{text}` is no IP address"), "correct or remove it"));
            }
        }
    }
    result
}

fn duration(spec: &Field<'_>, wanted: &mut WantedCertificate) -> Result<(), Fault> {
    if let Some(field) = spec.child("duration") {
        let span = field.duration()?;
        if span < HOUR {
            return Err(field.fault("a certificate lasts an hour at least", "write `2160h`"));
        }
        wanted.duration = span;
    }
    Ok(())
}

fn is_dns_name(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let label = |label: &str| {
        let edge = label.starts_with('-') || label.ends_with('-');
        let letters = label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        !label.is_empty() && label.len() <= 63 && letters && !edge
    };
    name.len() <= 253 && name.split('.').all(label) && name.parse::<IpAddr>().is_err()
}

/// The issuer that is not used, in words, and how much that matters. A self-signed one would be no
/// more trusted than doorward is.
fn issuer<'a>(
    world: &World,
    object: &Object,
    spec: &Field<'a>,
) -> Option<(Field<'a>, Severity, String)> {
    let Some(reference) = spec.child("issuerRef") else {
        return Some((
            spec.clone(),
            Severity::Warning,
            "an issuer, because it names none".to_owned(),
        ));
    };
    let text = |name: &str, usual: &str| {
        let found = reference.node.field(name).and_then(|field| field.text());
        found.unwrap_or(usual).to_owned()
    };
    let (name, kind) = (text("name", ""), text("kind", "Issuer"));
    let group = text("group", "cert-manager.io");
    if group != "cert-manager.io" {
        return Some((
            reference,
            Severity::Warning,
            format!("the {kind} `{name}` of `{group}`"),
        ));
    }
    let found = world.of_kind(&kind).iter().find(|issuer| {
        let here = kind == "ClusterIssuer" || issuer.namespace() == object.namespace();
        **issuer.name() == *name && here
    });
    let Some(found) = found else {
        let words = format!("{kind} `{name}`, which is not here");
        return Some((reference, Severity::Warning, words));
    };
    let spec = found.root.field("spec");
    let way = ["selfSigned", "ca", "acme", "vault", "venafi"]
        .into_iter()
        .find(|way| spec.is_some_and(|spec| spec.field(way).is_some()));
    let severity = if way == Some("selfSigned") {
        Severity::Note
    } else {
        Severity::Warning
    };
    let words = format!("{} (`{}`)", found.reference, way.unwrap_or("nothing"));
    Some((reference, severity, words))
}
