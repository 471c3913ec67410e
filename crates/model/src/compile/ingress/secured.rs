//! `tls` of an `Ingress`: its hosts and key pairs.

use crate::finding::{Finding, Severity, codes};
use crate::manifest::certificate::add_served;
use crate::manifest::ingress::{Ingress, IngressTls};
use crate::names::HostPattern;
use crate::snapshot::ServedCertificate;
use crate::world::World;

/// The hosts that one entry of `tls` is for: those of the rules where it names none.
pub(super) fn secured_hosts(ingress: &Ingress, tls: &IngressTls) -> Vec<HostPattern> {
    if tls.hosts.is_empty() {
        let rules = ingress.rules.iter();
        let mut hosts: Vec<HostPattern> = rules.map(|rule| rule.host.clone()).collect();
        if hosts.is_empty() {
            hosts.push(HostPattern::Any);
        }
        hosts
    } else {
        tls.hosts.clone()
    }
}

/// The key pair of one entry of `tls`. Where it cannot be had, doorward's own authority signs one.
pub(super) fn key_pair(
    ingress: &Ingress,
    tls: &IngressTls,
    hosts: &[HostPattern],
    world: &World,
    certificates: &mut Vec<ServedCertificate>,
    findings: &mut Vec<Finding>,
) {
    let Some(name) = &tls.secret else {
        return;
    };
    let object = &ingress.object;
    let namespace = object.namespace();
    let secret = world
        .secret(namespace, name)
        .filter(|secret| secret.object.closed.is_none());
    let pair = secret.and_then(|secret| {
        let chain = secret.data.get("tls.crt")?.expose_str()?;
        let key = secret.data.get("tls.key")?;
        let is_pem = |text: &str, mark| text.contains(mark);
        let right = is_pem(chain, "-----BEGIN CERTIFICATE-----")
            && is_pem(key.expose_str()?, "PRIVATE KEY-----");
        right.then(|| ServedCertificate {
            object: secret.object.reference.clone(),
            place: secret.object.place.clone(),
            hosts: hosts.to_vec(),
            chain: chain.into(),
            key: key.clone(),
        })
    });
    match pair {
        Some(pair) => add_served(certificates, pair),
        None => findings.push(object.finding(
            codes::INGRESS_CERTIFICATE,
            Severity::Error,
            tls.line,
            format!("{}.secretName", tls.path),
            match secret {
                Some(_) => {
                    format!("`Secret {namespace}/{name}` holds no certificate and key as PEM")
                }
                None => format!("`Secret {namespace}/{name}` with the certificate is not here"),
            },
            "add it with `tls.crt` and `tls.key`; until then doorward's own authority signs one",
        )),
    }
}
