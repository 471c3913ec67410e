//! Key pairs of listeners.

use std::sync::Arc;

use data_encoding::BASE64;

use super::GatewayApi;
use super::listeners::{Denial, Seat};
use crate::finding::{Finding, Severity, codes};
use crate::manifest::gateway_api::Reference;
use crate::manifest::secret::SecretData;
use crate::names::Secret;
use crate::snapshot::{Closure, ServedCertificate};
use crate::world::World;

/// Finds the key pairs of an HTTPS listener. One without any is closed.
pub(super) fn find(
    api: &GatewayApi,
    world: &World,
    seat: &mut Seat<'_>,
    findings: &mut Vec<Finding>,
) {
    let object = &seat.gateway.object;
    let references = seat
        .listener
        .tls
        .as_ref()
        .map_or(&[][..], |tls| &tls.certificates);
    let mut first = None;
    if references.is_empty() {
        let message = format!("`{}` names no certificate", seat.listener.path);
        let denial = Denial::new("InvalidCertificateRef", message);
        findings.push(object.finding(
            codes::LISTENER_CERTIFICATE,
            Severity::Error,
            seat.listener.line,
            seat.listener.path.clone(),
            denial.message.clone(),
            "add `tls.certificateRefs`",
        ));
        first = Some(denial);
    }
    for reference in references {
        match key_pair(api, world, seat, reference) {
            Ok(pair) => seat.certificates.push(pair),
            Err((denial, remedy)) => {
                findings.push(object.finding(
                    codes::LISTENER_CERTIFICATE,
                    Severity::Error,
                    reference.line,
                    reference.path.clone(),
                    denial.message.clone(),
                    remedy,
                ));
                first.get_or_insert(denial);
            }
        }
    }
    if let Some(denial) = first {
        if seat.certificates.is_empty() {
            seat.closed.get_or_insert_with(|| {
                Arc::new(Closure {
                    code: codes::LISTENER_CERTIFICATE,
                    object: Some(object.reference.clone()),
                    place: Some(object.at(seat.listener.line)),
                    fault: denial.message.as_str().into(),
                })
            });
        }
        seat.resolved = Err(denial);
    }
}

fn key_pair(
    api: &GatewayApi,
    world: &World,
    seat: &Seat<'_>,
    reference: &Reference,
) -> Result<ServedCertificate, (Denial, &'static str)> {
    let object = &seat.gateway.object;
    let (secret, chain, key) = pair(api, world, ("Gateway", object.namespace()), reference)
        .map_err(|(fault, message, remedy)| {
            let reason = match fault {
                PairFault::NotPermitted => "RefNotPermitted",
                PairFault::Unusable => "InvalidCertificateRef",
            };
            (Denial::new(reason, message), remedy)
        })?;
    Ok(ServedCertificate {
        object: secret.object.reference.clone(),
        place: secret.object.place.clone(),
        hosts: vec![seat.listener.hostname.clone()],
        chain,
        key,
    })
}

/// Why a reference leads to no key pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PairFault {
    /// No `ReferenceGrant` lets it.
    NotPermitted,
    /// It is absent, of another kind, or holds no key pair.
    Unusable,
}

/// A Secret with its chain and key.
pub(super) type Pair<'w> = (&'w SecretData, Arc<str>, Secret);

/// Why there is none, in words, and a remedy.
pub(super) type NoPair = (PairFault, String, &'static str);

/// The key pair that an object names: its Secret, chain and key; else the fault in words and a
/// remedy.
pub(super) fn pair<'w>(
    api: &GatewayApi,
    world: &'w World,
    (kind, namespace): (&str, &str),
    reference: &Reference,
) -> Result<Pair<'w>, NoPair> {
    let Reference {
        group,
        kind: target,
        namespace: home,
        name,
        ..
    } = reference;
    if !group.is_empty() || &**target != "Secret" {
        let message = format!("`{target}` of `{group}` holds no certificate that is read here");
        return Err((PairFault::Unusable, message, "name a `Secret`"));
    }
    if !api.permits(kind, namespace, reference) {
        let message = format!(
            "no `ReferenceGrant` lets a `{kind}` of `{namespace}` use `Secret {home}/{name}`"
        );
        let remedy = "add a `ReferenceGrant` to the Secret's namespace";
        return Err((PairFault::NotPermitted, message, remedy));
    }
    let secret = world
        .secret(home, name)
        .filter(|secret| secret.object.closed.is_none());
    let Some(secret) = secret else {
        let message = format!("`Secret {home}/{name}` with the certificate is not here");
        return Err((PairFault::Unusable, message, "add it to the manifests"));
    };
    let text = |key: &str| {
        let value = secret.data.get(key)?;
        std::str::from_utf8(value.expose()).ok()
    };
    let chain = text("tls.crt").filter(|text| is_pem(text, "CERTIFICATE"));
    let key = text("tls.key").filter(|text| is_pem(text, "PRIVATE KEY"));
    match chain.zip(key) {
        Some((chain, key)) => Ok((secret, chain.into(), Secret::new(key.as_bytes()))),
        None => Err((
            PairFault::Unusable,
            format!("`Secret {home}/{name}` holds no certificate and key as PEM"),
            "put a PEM chain into `tls.crt` and its key into `tls.key`",
        )),
    }
}

/// The authorities in `ca.crt` of a ConfigMap or Secret, as far as it can be relied on.
pub(super) fn authorities<'w>(
    world: &'w World,
    kind: &str,
    namespace: &str,
    name: &str,
) -> Result<&'w str, String> {
    let text = match kind {
        "ConfigMap" => world
            .config_map(namespace, name)
            .filter(|map| map.object.closed.is_none())
            .and_then(|map| map.data.get("ca.crt"))
            .map(|entry| &*entry.text),
        _ => world
            .secret(namespace, name)
            .filter(|secret| secret.object.closed.is_none())
            .and_then(|secret| secret.data.get("ca.crt")?.expose_str()),
    };
    text.filter(|text| is_pem(text, "CERTIFICATE"))
        .ok_or_else(|| {
            format!("`{kind} {namespace}/{name}` has no `ca.crt` with a certificate as PEM")
        })
}

/// What several references lead to, one text below the other. One that leads nowhere is left out
/// while another does not; `None` where none is given.
pub(super) fn joined<'w>(
    found: impl Iterator<Item = Result<&'w str, Denial>>,
) -> Option<Result<Arc<str>, Denial>> {
    let mut pem = String::new();
    let mut first = None;
    for one in found {
        match one {
            Ok(text) => {
                pem.push_str(text);
                pem.push('\n');
            }
            Err(denial) => {
                first.get_or_insert(denial);
            }
        }
    }
    if pem.is_empty() {
        return first.map(Err);
    }
    Some(Ok(pem.into()))
}

/// Whether a text has a PEM block whose label ends so. What is in it is looked at where it is used.
fn is_pem(text: &str, label: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    let begins = |line: &str| {
        line.strip_prefix("-----BEGIN ")
            .and_then(|rest| rest.strip_suffix("-----"))
            .is_some_and(|found| found.ends_with(label))
    };
    if !lines.by_ref().any(begins) {
        return false;
    }
    let body: String = lines
        .take_while(|line| !line.starts_with("-----END "))
        .filter(|line| !line.contains(':'))
        .collect();
    !body.is_empty() && BASE64.decode(body.as_bytes()).is_ok()
}
