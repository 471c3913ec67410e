//! Conditions of Gateways, listeners, classes and routes.

use super::GatewayApi;
use super::certificates::{PairFault, pair};
use super::links::{Bound, Link};
use super::listeners::{Denial, Seat, Verdict};
use crate::finding::{Finding, Severity, codes};
use crate::manifest::gateway_api::gateway::Gateway;
use crate::manifest::gateway_api::gateway_class::{CONTROLLER, GatewayClass};
use crate::objects::Object;
use crate::status::{
    ClassStatus, Condition, GatewayStatus, ListenerStatus, ParentStatus, RouteStatus,
};
use crate::world::World;

/// `metadata.generation`; a file has none.
pub(super) fn generation(object: &Object) -> Option<i64> {
    let node = object.root.path(&["metadata", "generation"])?;
    node.scalar()?.parse().ok()
}

/// A condition that holds with this reason, or does not with that of the denial.
pub(super) fn of(kind: &'static str, reason: &'static str, verdict: &Verdict) -> Condition {
    match verdict {
        Ok(()) => Condition {
            kind,
            holds: true,
            reason,
            message: String::new(),
        },
        Err(denial) => Condition {
            kind,
            holds: false,
            reason: denial.reason,
            message: denial.message.clone(),
        },
    }
}

/// Classes of this controller. A class of Istio's is Istio's to accept.
pub(super) fn classes(classes: &[GatewayClass]) -> Vec<ClassStatus> {
    let own = classes
        .iter()
        .filter(|class| &*class.controller == CONTROLLER);
    own.map(|class| {
        let accepted = if class.has_parameters {
            let message = "`spec.parametersRef` names settings, and doorward has none there";
            Err(Denial::new("InvalidParameters", message))
        } else {
            Ok(())
        };
        ClassStatus {
            object: class.object.reference.clone(),
            generation: generation(&class.object),
            conditions: vec![of("Accepted", "Accepted", &accepted)],
        }
    })
    .collect()
}

/// Gateways that this process serves, and findings about what they ask for as a whole.
pub(super) fn gateways(
    api: &GatewayApi,
    world: &World,
    seats: &[Seat<'_>],
    findings: &mut Vec<Finding>,
) -> Vec<GatewayStatus> {
    let status = |gateway: &Gateway| {
        let own: Vec<&Seat<'_>> = seats
            .iter()
            .filter(|seat| std::ptr::eq(seat.gateway, gateway))
            .collect();
        let accepted = accepted(gateway, &own);
        let programmed = programmed(gateway, &own, &accepted);
        let mut conditions = vec![accepted, of("Programmed", "Programmed", &programmed)];
        if let Some(reference) = &gateway.client_certificate {
            let from = ("Gateway", &**gateway.object.namespace());
            let resolved = pair(api, world, from, reference).map(|_| ());
            let resolved = resolved.map_err(|(fault, message, remedy)| {
                let object = &gateway.object;
                findings.push(object.finding(
                    codes::LISTENER_CERTIFICATE,
                    Severity::Error,
                    reference.line,
                    reference.path.clone(),
                    message.clone(),
                    remedy,
                ));
                let reason = match fault {
                    PairFault::NotPermitted => "RefNotPermitted",
                    PairFault::Unusable => "InvalidClientCertificateRef",
                };
                Denial::new(reason, message)
            });
            conditions.push(of("ResolvedRefs", "ResolvedRefs", &resolved));
        }
        GatewayStatus {
            object: gateway.object.reference.clone(),
            generation: generation(&gateway.object),
            conditions,
            listeners: own.iter().map(|seat| listener(seat)).collect(),
        }
    };
    api.gateways.iter().map(status).collect()
}

/// Whether a Gateway can be had as a whole: a reason and a finding where it cannot.
pub(super) fn refusal(gateway: &Gateway) -> Result<(), (&'static str, Box<Finding>)> {
    let refuse = |reason, (line, path): (u32, &str), fault: String, remedy: &str| {
        let object = &gateway.object;
        let (code, severity) = (codes::GATEWAY_REFUSED, Severity::Error);
        let finding = object.finding(code, severity, line, path, fault, remedy);
        Err((reason, Box::new(finding)))
    };
    if let Some(parameters) = &gateway.parameters {
        let fault = format!("doorward has no settings of kind `{}`", parameters.kind);
        let at = (parameters.line, &*parameters.path);
        return refuse("InvalidParameters", at, fault, "remove `parametersRef`");
    }
    let known = ["IPAddress", "Hostname"];
    let mut addresses = gateway.addresses.iter();
    match addresses.find(|address| !known.contains(&&*address.kind)) {
        Some(address) => {
            let fault = format!("an address of type `{}` cannot be had", address.kind);
            let remedy = "write `IPAddress` or `Hostname`, or leave addresses out";
            let at = (address.line, &*address.path);
            refuse("UnsupportedAddress", at, fault, remedy)
        }
        None => Ok(()),
    }
}

/// A Gateway is accepted while one of its listeners is; that another is not shows in the reason.
fn accepted(gateway: &Gateway, own: &[&Seat<'_>]) -> Condition {
    let kind = "Accepted";
    if let Err((reason, finding)) = refusal(gateway) {
        return of(kind, kind, &Err(Denial::new(reason, finding.fault)));
    }
    let valid = own.iter().filter(|seat| seat.is_programmed()).count();
    if valid == own.len() && valid > 0 {
        return of(kind, kind, &Ok(()));
    }
    Condition {
        kind,
        holds: valid > 0,
        reason: "ListenersNotValid",
        message: format!("{valid} of {} listeners can be served", own.len()),
    }
}

fn programmed(gateway: &Gateway, own: &[&Seat<'_>], accepted: &Condition) -> Verdict {
    if !accepted.holds {
        return Err(Denial::new("Invalid", accepted.message.clone()));
    }
    let mut fixed = gateway.addresses.iter();
    let fixed = fixed.find(|address| &*address.kind == "IPAddress" && address.value.is_some());
    if let Some(address) = fixed.and_then(|address| address.value.as_ref()) {
        // The address is that of the Service or machine that doorward runs on.
        let message = format!("doorward cannot take the address `{address}` by itself");
        return Err(Denial::new("AddressNotUsable", message));
    }
    if own.iter().any(|seat| seat.serves()) {
        Ok(())
    } else {
        Err(Denial::new("Invalid", "no listener can be served"))
    }
}

fn listener(seat: &Seat<'_>) -> ListenerStatus {
    let programmed = match (&seat.accepted, &seat.conflict, &seat.closed) {
        (Err(denial), _, _) | (_, Err(denial), _) => {
            Err(Denial::new("Invalid", denial.message.clone()))
        }
        (_, _, Some(closure)) => Err(Denial::new("Invalid", &*closure.fault)),
        (Ok(()), Ok(()), None) => Ok(()),
    };
    let accepted = match &seat.conflict {
        Err(denial) => Err(denial.clone()),
        Ok(()) => seat.accepted.clone(),
    };
    let conflicted = match &seat.conflict {
        Ok(()) => Condition {
            kind: "Conflicted",
            holds: false,
            reason: "NoConflicts",
            message: String::new(),
        },
        Err(denial) => Condition {
            kind: "Conflicted",
            holds: true,
            reason: denial.reason,
            message: denial.message.clone(),
        },
    };
    ListenerStatus {
        name: seat.listener.name.clone(),
        supported_kinds: seat.kinds.clone(),
        attached_routes: seat.attached,
        conditions: vec![
            of("Accepted", "Accepted", &accepted),
            of("ResolvedRefs", "ResolvedRefs", &seat.resolved),
            of("Programmed", "Programmed", &programmed),
            conflicted,
        ],
    }
}

/// Routes at their parents.
pub(super) fn routes(links: &[Link<'_>]) -> Vec<RouteStatus> {
    let status = |link: &Link<'_>| RouteStatus {
        object: link.route.head.object.reference.clone(),
        generation: generation(&link.route.head.object),
        parents: link
            .parents
            .iter()
            .map(|bound| parent(link, bound))
            .collect(),
    };
    links.iter().map(status).collect()
}

fn parent(link: &Link<'_>, bound: &Bound<'_>) -> ParentStatus {
    let mut conditions = vec![
        of("Accepted", "Accepted", &bound.accepted),
        of("ResolvedRefs", "ResolvedRefs", &link.built.resolved),
    ];
    if let Some(denial) = link
        .built
        .partly
        .as_ref()
        .filter(|_| bound.accepted.is_ok())
    {
        conditions.push(Condition {
            kind: "PartiallyInvalid",
            holds: true,
            reason: denial.reason,
            message: denial.message.clone(),
        });
    }
    ParentStatus {
        parent: bound.gateway.object.reference.clone(),
        section: bound.parent.section.clone(),
        port: bound.parent.port,
        controller: CONTROLLER,
        conditions,
    }
}
