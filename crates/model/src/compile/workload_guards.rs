//! The policies of the workloads behind a destination.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::policies::Policies;
use crate::manifest::knative::Pods;
use crate::manifest::selection::TargetKind;
use crate::manifest::service::Service;
use crate::manifest::service_entry::ServiceEntry;
use crate::snapshot::{
    Attribute, Authentication, Policy, PolicyList, PolicyRule, PolicySet, Test, TextPattern, Values,
};
use crate::world::World;

pub(super) type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// Policies of the workloads behind a Service. Where several different ones stand behind it, a
/// request has to pass what any of them asks. `known` are the pods where no workload tells them.
pub(super) fn of_service(
    world: &World,
    policies: &Policies,
    service: &Service,
    known: Option<&Pods>,
) -> (PolicySet, Authentication) {
    let none = Labels::new();
    let mut pods: Vec<(Labels, &Labels)> = Vec::new();
    for workload in world.workloads_of(service) {
        let mut labels = service.selector.clone();
        labels.extend(
            workload
                .labels
                .iter()
                .map(|(key, value)| (Arc::clone(key), Arc::clone(value))),
        );
        pods.push((labels, &workload.annotations));
    }
    if pods.is_empty() {
        let mut labels = service.selector.clone();
        labels.extend(known.map(|pods| pods.labels.clone()).unwrap_or_default());
        pods.push((labels, known.map_or(&none, |pods| &pods.annotations)));
    }
    let namespace = &*service.namespace;
    let guarded = pods
        .iter()
        .filter(|(labels, annotations)| world.in_mesh(namespace, labels, annotations))
        .map(|(labels, _)| policies.of(namespace, labels));
    let own = guarded.reduce(strictest).unwrap_or_default();
    with_attached(
        policies,
        (TargetKind::Service, namespace, &service.name),
        own,
    )
}

/// Policies of the endpoints of a ServiceEntry; none where they are outside the mesh.
pub(super) fn of_entry(
    world: &World,
    policies: &Policies,
    entry: &ServiceEntry,
) -> (PolicySet, Authentication) {
    let namespace = &**entry.object.namespace();
    let none = Labels::new();
    let mut labels: Vec<&Labels> = entry.endpoints.iter().map(|one| &one.labels).collect();
    if labels.is_empty() {
        labels.push(&none);
    }
    let guarded = labels
        .into_iter()
        .filter(|labels| entry.in_mesh && world.in_mesh(namespace, labels, &none))
        .map(|labels| policies.of(namespace, labels));
    let own = guarded.reduce(strictest).unwrap_or_default();
    let name = entry.object.name();
    with_attached(policies, (TargetKind::ServiceEntry, namespace, name), own)
}

/// The same and what attaches to the Service or ServiceEntry itself, which holds with or without a
/// sidecar at its pods.
pub(super) fn with_attached(
    policies: &Policies,
    (kind, namespace, name): (TargetKind, &str, &str),
    own: (PolicySet, Authentication),
) -> (PolicySet, Authentication) {
    strictest(own, policies.attached(kind, namespace, name))
}

/// Leaves out the ALLOW policies that let only certain workloads of the mesh in, if `gateway` is
/// none of them: KFAM does not check who may ask, so its policy lets the dashboard in and nobody
/// else. Played here it checks by itself. Any other set of policies stays as it is.
pub(super) fn without_callers(policies: &mut PolicySet, gateway: &str) {
    let is_other = |pattern: &TextPattern| match pattern {
        TextPattern::Exact(principal) => **principal != *gateway,
        _ => false,
    };
    let names_others = |test: &Test| {
        test.attribute == Attribute::Principal
            && matches!(&test.any_of, Some(Values::Text(all)) if all.iter().all(is_other))
    };
    let is_for_others = |rule: &PolicyRule| {
        let mut from = rule.from.iter();
        !rule.from.is_empty() && from.all(|source| source.iter().any(names_others))
    };
    let mut allow = policies.allow.iter();
    let only_others = allow.all(|policy| policy.rules.iter().all(is_for_others));
    let somebody = policies.allow.iter().any(|policy| !policy.rules.is_empty());
    if only_others && somebody {
        policies.allow.clear();
    }
}

/// What a request must pass that comes to several Gateways at once.
pub(super) fn strictest_set(a: PolicySet, b: PolicySet) -> PolicySet {
    strictest(
        (a, Authentication::default()),
        (b, Authentication::default()),
    )
    .0
}

/// The stricter of two sets: everything that refuses, and only what both allow.
fn strictest(
    (mut a, mut tokens): (PolicySet, Authentication),
    (b, more): (PolicySet, Authentication),
) -> (PolicySet, Authentication) {
    let join = |list: &mut PolicyList, other: PolicyList| {
        for policy in other {
            if !list.contains(&policy) {
                list.push(policy);
            }
        }
    };
    join(&mut a.custom, b.custom);
    join(&mut a.audit, b.audit);
    join(&mut a.deny, b.deny);
    let nothing = a.allow.first().or(b.allow.first()).map(|policy| {
        // No policy lets the request into both, so it is let into neither.
        Arc::new(Policy {
            rules: Vec::new(),
            ..(**policy).clone()
        })
    });
    if !b.allow.is_empty() {
        if a.allow.is_empty() {
            a.allow = b.allow;
        } else {
            a.allow.retain(|policy| b.allow.contains(policy));
            if a.allow.is_empty() {
                a.allow.extend(nothing);
            }
        }
    }
    for rule in more.rules {
        if !tokens.rules.contains(&rule) {
            tokens.rules.push(rule);
        }
    }
    tokens.rules.sort_by(|a, b| a.issuer.cmp(&b.issuer));
    (a, tokens)
}
