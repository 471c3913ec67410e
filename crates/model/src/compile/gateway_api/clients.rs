//! Client certificates: whose a listener asks for.

use std::sync::Arc;

use super::GatewayApi;
use super::certificates::{authorities, joined};
use super::listeners::{Denial, Seat};
use crate::finding::{Finding, Severity, codes};
use crate::manifest::gateway_api::Reference;
use crate::manifest::gateway_api::gateway::ClientValidation;
use crate::snapshot::{ClientAuth, ClientTrust, Closure};
use crate::world::World;

/// Finds the authorities of a listener that ends TLS. One that asks for certificates and has no
/// authority to verify them is refused.
pub(super) fn find(
    api: &GatewayApi,
    world: &World,
    seat: &mut Seat<'_>,
    findings: &mut Vec<Finding>,
) {
    let Some(validation) = seat.gateway.clients_on(seat.listener.port) else {
        return;
    };
    let object = &seat.gateway.object;
    match trust(api, world, seat, validation) {
        Ok(trust) => seat.clients = ClientAuth::Required(Arc::new(trust)),
        Err(denial) => {
            let finding = object.finding(
                codes::LISTENER_CERTIFICATE,
                Severity::Error,
                validation.line,
                validation.path.clone(),
                denial.message.clone(),
                "name a ConfigMap with the authorities in `ca.crt`",
            );
            seat.closed
                .get_or_insert_with(|| Arc::new(Closure::of(&finding)));
            findings.push(finding);
            seat.accepted = Err(Denial::new("NoValidCACertificate", denial.message.clone()));
            seat.resolved = Err(denial);
        }
    }
}

fn trust(
    api: &GatewayApi,
    world: &World,
    seat: &Seat<'_>,
    validation: &ClientValidation,
) -> Result<ClientTrust, Denial> {
    let object = &seat.gateway.object;
    if validation.insecure {
        let message = format!(
            "`{}` lets certificates in that nobody vouches for, which is not served here",
            validation.path
        );
        return Err(Denial::new("InvalidCACertificateRef", message));
    }
    let mut trust = ClientTrust {
        object: object.reference.clone(),
        place: object.at(validation.line),
        authorities: "".into(),
        revoked: None,
        names: Vec::new(),
        keys: Vec::new(),
        certificates: Vec::new(),
    };
    let references = validation.authorities.iter();
    let found = references.map(|one| authority(api, world, object.namespace(), one));
    trust.authorities = joined(found).unwrap_or_else(|| {
        let message = format!("`{}` names no authority", validation.path);
        Err(Denial::new("InvalidCACertificateRef", message))
    })?;
    Ok(trust)
}

fn authority<'w>(
    api: &GatewayApi,
    world: &'w World,
    namespace: &str,
    reference: &Reference,
) -> Result<&'w str, Denial> {
    let Reference {
        group,
        kind,
        namespace: home,
        name,
        ..
    } = reference;
    if !group.is_empty() || !matches!(&**kind, "ConfigMap" | "Secret") {
        let message = format!("a `{kind}` of `{group}` holds no authorities that are read here");
        return Err(Denial::new("InvalidCACertificateKind", message));
    }
    if !api.permits("Gateway", namespace, reference) {
        let message = format!(
            "no `ReferenceGrant` lets a `Gateway` of `{namespace}` use `{kind} {home}/{name}`"
        );
        return Err(Denial::new("RefNotPermitted", message));
    }
    authorities(world, kind, home, name)
        .map_err(|message| Denial::new("InvalidCACertificateRef", message))
}
