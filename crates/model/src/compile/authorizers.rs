//! External authorizers that CUSTOM policies name, and who answers for them.

use std::collections::HashMap;
use std::sync::Arc;

use super::destinations::service_key;
use super::policies::Policies;
use crate::finding::{Finding, Severity, codes};
use crate::manifest::mesh::{AuthorizerEntry, Mesh};
use crate::names::Place;
use crate::objects::closest;
use crate::snapshot::{Authorizer, AuthorizerKind, Closure, PlayedBy, ServiceRef};
use crate::world::{Key, World};

/// Every authorizer of the mesh, and a closed one for each name that only policies know.
pub(super) fn link(
    mesh: &Mesh,
    world: &World,
    policies: &Policies,
    played: &HashMap<Key, PlayedBy>,
    findings: &mut Vec<Finding>,
) -> HashMap<Arc<str>, Arc<Authorizer>> {
    let mut authorizers: HashMap<Arc<str>, Arc<Authorizer>> = HashMap::new();
    let used: Vec<&Arc<str>> = policies.custom().map(|(name, ..)| name).collect();
    for entry in &mesh.authorizers {
        let kind = kind(entry, world, played, used.contains(&&entry.name), findings);
        let authorizer = Authorizer {
            name: Arc::clone(&entry.name),
            host: Arc::clone(&entry.service_host),
            kind,
            upstream_on_allow: entry.upstream_on_allow.clone(),
            downstream_on_deny: entry.downstream_on_deny.clone(),
            fail_open: entry.fail_open,
            status_on_error: entry.status_on_error,
        };
        authorizers.insert(Arc::clone(&entry.name), Arc::new(authorizer));
    }
    for (name, policy, line) in policies.custom() {
        let known = mesh.authorizers.iter().any(|entry| entry.name == *name);
        if known {
            continue;
        }
        let names = mesh.authorizers.iter().map(|entry| &*entry.name);
        let remedy = match closest(name, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "add it to `extensionProviders` of the mesh configuration".to_owned(),
        };
        let finding = Finding {
            code: codes::AUTHORIZER_UNKNOWN,
            severity: Severity::Error,
            place: Some(Place {
                file: Arc::clone(&policy.info.place.file),
                line,
            }),
            object: Some(policy.info.object.clone()),
            field: "spec.provider.name".to_owned(),
            fault: format!(
                "the mesh defines no authorizer `{name}`, so what this policy matches is refused"
            ),
            remedy,
        };
        let closure = Arc::new(Closure::of(&finding));
        findings.push(finding);
        authorizers
            .entry(Arc::clone(name))
            .or_insert_with(|| Arc::new(closed(name, closure)));
    }
    authorizers
}

fn closed(name: &Arc<str>, closure: Arc<Closure>) -> Authorizer {
    Authorizer {
        name: Arc::clone(name),
        host: "".into(),
        kind: AuthorizerKind::Closed(closure),
        upstream_on_allow: Vec::new(),
        downstream_on_deny: Vec::new(),
        fail_open: false,
        status_on_error: 403,
    }
}

fn kind(
    entry: &AuthorizerEntry,
    world: &World,
    played: &HashMap<Key, PlayedBy>,
    used: bool,
    findings: &mut Vec<Finding>,
) -> AuthorizerKind {
    if let Some(closure) = &entry.closed {
        return AuthorizerKind::Closed(Arc::clone(closure));
    }
    // `namespace/host`; the host names the namespace again.
    let host = entry
        .service_host
        .rsplit('/')
        .next()
        .unwrap_or(&entry.service_host);
    let key = service_key(host);
    let say = |code, fault: String, remedy: &str| Finding {
        code,
        severity: if used {
            Severity::Error
        } else {
            Severity::Note
        },
        place: Some(entry.place.clone()),
        object: None,
        field: "extensionProviders".to_owned(),
        fault,
        remedy: remedy.to_owned(),
    };
    match key.as_ref().and_then(|key| played.get(key)) {
        Some(PlayedBy::Login(index)) => return AuthorizerKind::Login(*index),
        Some(PlayedBy::Nobody(closure)) => return AuthorizerKind::Closed(Arc::clone(closure)),
        _ => {}
    }
    let service = key
        .as_ref()
        .and_then(|(namespace, name)| world.service(namespace, name));
    match service {
        Some(service) => {
            let fault = format!(
                "the authorizer `{}` is `{}`, which doorward does not play, so it answers no",
                entry.name, service.object.reference
            );
            let remedy =
                "add the Deployment and configuration of its OAuth2 Proxy to the manifests";
            findings.push(say(codes::AUTHORIZER_ELSEWHERE, fault, remedy));
            AuthorizerKind::External(ServiceRef {
                namespace: Arc::clone(&service.namespace),
                name: Arc::clone(&service.name),
                port: entry.port,
            })
        }
        None => {
            let fault = format!(
                "the authorizer `{}` is `{host}`, which is no Service in the manifests",
                entry.name
            );
            let finding = say(
                codes::UNKNOWN_SERVICE,
                fault,
                "add the Service, or mend the name",
            );
            let closure = Arc::new(Closure::of(&finding));
            findings.push(finding);
            AuthorizerKind::Closed(closure)
        }
    }
}
