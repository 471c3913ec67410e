//! `BackendTLSPolicy`s: which one is about a Service, and what it asks for.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::certificates::{authorities, joined};
use super::listeners::{Denial, Verdict};
use crate::finding::{Finding, Severity, codes};
use crate::manifest::gateway_api::Reference;
use crate::manifest::gateway_api::backend_tls_policy::{BackendTlsPolicy, Validation};
use crate::manifest::gateway_api::gateway::Gateway;
use crate::manifest::gateway_api::gateway_class::CONTROLLER;
use crate::names::ObjectRef;
use crate::snapshot::{Closure, Trust, UpstreamTls};
use crate::status::{ParentStatus, RouteStatus};
use crate::world::World;

use super::conditions::{self, generation};

/// All of them.
pub(super) struct TlsPolicies<'a> {
    /// The oldest first.
    all: Vec<Policy<'a>>,
    /// Namespaces of those that are no YAML, as far as that can be told, and the doors they close.
    unread: Vec<(Option<Arc<str>>, Arc<Closure>)>,
}

/// Namespace, Service and port name.
type Target = (Arc<str>, Arc<str>, Option<Arc<str>>);

struct Policy<'a> {
    manifest: &'a BackendTlsPolicy,
    resolved: Verdict,
    accepted: Verdict,
    tls: Result<UpstreamTls, Arc<Closure>>,
    /// Gateways whose routes lead to what it is about.
    ancestors: Vec<ObjectRef>,
}

impl<'a> TlsPolicies<'a> {
    /// Reads what they ask for, and which of several about one Service counts.
    pub(super) fn read(
        policies: &'a [BackendTlsPolicy],
        world: &World,
        findings: &mut Vec<Finding>,
    ) -> Self {
        let mut sorted: Vec<&BackendTlsPolicy> = policies.iter().collect();
        sorted.sort_by_key(|policy| {
            let object = &policy.object;
            let age = (policy.created.is_none(), policy.created.clone());
            (
                age,
                Arc::clone(object.namespace()),
                Arc::clone(object.name()),
            )
        });
        let mut taken: BTreeSet<Target> = BTreeSet::new();
        let mut all = Vec::new();
        for manifest in sorted {
            let mut policy = Policy {
                manifest,
                resolved: Ok(()),
                accepted: Ok(()),
                tls: Err(closure(manifest, "it cannot be read")),
                ancestors: Vec::new(),
            };
            policy.fill(world);
            let targets = manifest.targets.iter().flatten();
            let keys = targets.map(|(target, section)| {
                let namespace = Arc::clone(manifest.object.namespace());
                (namespace, Arc::clone(&target.name), section.clone())
            });
            let mut fresh = false;
            for key in keys {
                fresh |= taken.insert(key);
            }
            if policy.accepted.is_ok() && !fresh {
                let message = "an older policy is already about the same Service";
                policy.accepted = Err(Denial::new("Conflicted", message));
            }
            for denial in [&policy.resolved, &policy.accepted]
                .into_iter()
                .filter_map(|verdict| verdict.as_ref().err())
                .take(1)
            {
                findings.push(
                    manifest.object.finding(
                        codes::BACKEND_TLS_POLICY,
                        Severity::Error,
                        manifest
                            .validation
                            .as_ref()
                            .map_or(manifest.object.place.line, |validation| validation.line),
                        "spec.validation",
                        denial.message.clone(),
                        "correct the policy; until then the Service is not connected to without it",
                    ),
                );
            }
            all.push(policy);
        }
        let broken = world.broken.iter();
        let unread = broken.filter(|broken| &*broken.object.kind == "BackendTLSPolicy");
        let unread = unread.map(|broken| {
            let namespace = Arc::clone(&broken.object.namespace);
            let namespace = broken.namespace_known.then_some(namespace);
            (namespace, Arc::clone(&broken.closure))
        });
        Self {
            all,
            unread: unread.collect(),
        }
    }

    /// What connections to a port of a Service have to do; a policy about this port wins over one
    /// about the whole Service, then the oldest. One that cannot be met closes the Service; so does
    /// one that may be about it, whatever the others say.
    pub(super) fn of(
        &mut self,
        namespace: &str,
        service: &str,
        port: Option<&str>,
        gateways: &[&Gateway],
    ) -> Option<Result<UpstreamTls, Arc<Closure>>> {
        let is_near = |policy: &Policy<'_>| **policy.manifest.object.namespace() == *namespace;
        let about = |policy: &Policy<'_>, section: Option<&str>| {
            let mut targets = policy.manifest.targets.iter().flatten();
            is_near(policy)
                && targets.any(|(target, wanted)| {
                    is_service(target) && *target.name == *service && wanted.as_deref() == section
                })
        };
        let mut unread = self.unread.iter();
        let unread = unread.find(|(own, _)| own.as_deref().is_none_or(|own| own == namespace));
        if let Some((_, closure)) = unread {
            return Some(Err(Arc::clone(closure)));
        }
        let mut all = self.all.iter();
        let doubt = all.find(|policy| policy.manifest.targets.is_none() && is_near(policy));
        if let Some(policy) = doubt {
            return Some(policy.tls.clone());
        }
        let near = port.and_then(|port| {
            let mut all = self.all.iter();
            all.position(|policy| about(policy, Some(port)))
        });
        let chosen = near.or_else(|| self.all.iter().position(|policy| about(policy, None)))?;
        // Those that lost hang on the same Gateways, and say so.
        for policy in &mut self.all {
            if about(policy, None) || port.is_some_and(|port| about(policy, Some(port))) {
                for gateway in gateways {
                    let reference = &gateway.object.reference;
                    if !policy.ancestors.contains(reference) {
                        policy.ancestors.push(reference.clone());
                    }
                }
            }
        }
        Some(self.all[chosen].tls.clone())
    }

    /// Their conditions.
    pub(super) fn statuses(&self) -> Vec<RouteStatus> {
        let status = |policy: &Policy<'_>| RouteStatus {
            object: policy.manifest.object.reference.clone(),
            generation: generation(&policy.manifest.object),
            parents: policy
                .ancestors
                .iter()
                .map(|gateway| ParentStatus {
                    parent: gateway.clone(),
                    section: None,
                    port: None,
                    controller: CONTROLLER,
                    conditions: vec![
                        conditions::of("Accepted", "Accepted", &policy.accepted),
                        conditions::of("ResolvedRefs", "ResolvedRefs", &policy.resolved),
                    ],
                })
                .collect(),
        };
        self.all.iter().map(status).collect()
    }
}

impl Policy<'_> {
    fn fill(&mut self, world: &World) {
        if let Some(closed) = &self.manifest.object.closed {
            self.tls = Err(Arc::clone(closed));
            self.accepted = Err(Denial::new("Invalid", &*closed.fault));
            return;
        }
        let Some(validation) = &self.manifest.validation else {
            self.accepted = Err(Denial::new("Invalid", "the policy cannot be read"));
            return;
        };
        match trust(validation, self.manifest, world) {
            Ok(trust) => {
                self.tls = Ok(UpstreamTls {
                    server_name: Some(Arc::clone(&validation.hostname)),
                    trust,
                    subject_alt_names: validation.names.clone(),
                    client: None,
                });
            }
            Err(denial) => {
                self.tls = Err(closure(self.manifest, &denial.message));
                self.accepted = Err(Denial::new("NoValidCACertificate", denial.message.clone()));
                self.resolved = Err(denial);
            }
        }
    }
}

fn is_service(target: &Reference) -> bool {
    target.group.is_empty() && &*target.kind == "Service"
}

fn closure(policy: &BackendTlsPolicy, fault: &str) -> Arc<Closure> {
    Arc::new(Closure {
        code: codes::BACKEND_TLS_POLICY,
        object: Some(policy.object.reference.clone()),
        place: Some(policy.object.place.clone()),
        fault: fault.into(),
    })
}

fn trust(
    validation: &Validation,
    policy: &BackendTlsPolicy,
    world: &World,
) -> Result<Trust, Denial> {
    if validation.system {
        return Ok(Trust::System);
    }
    let references = validation.authorities.iter();
    let found = references.map(|one| authority(one, policy, world));
    let none = || Ok(Arc::from(""));
    joined(found).unwrap_or_else(none).map(Trust::Authorities)
}

fn authority<'w>(
    reference: &Reference,
    policy: &BackendTlsPolicy,
    world: &'w World,
) -> Result<&'w str, Denial> {
    let Reference {
        group, kind, name, ..
    } = reference;
    if !group.is_empty() || !matches!(&**kind, "ConfigMap" | "Secret") {
        let message = format!("a `{kind}` of `{group}` holds no authorities that are read here");
        return Err(Denial::new("InvalidKind", message));
    }
    authorities(world, kind, policy.object.namespace(), name)
        .map_err(|message| Denial::new("InvalidCACertificateRef", message))
}
