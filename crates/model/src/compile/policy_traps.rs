//! Policies that are enforced as written and probably not as meant.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use crate::finding::{Code, Finding, Severity, codes};
use crate::names::{ObjectRef, Place};
use crate::snapshot::{
    Attribute, Authentication, Destination, Listener, Policy, PolicyRule, PolicySet, Provider,
    RouteAction, Serves, Test, TextPattern, UserHeader, Values, VirtualHosts,
};
use crate::world::World;

/// What these traps are looked for in.
pub(super) struct Seen<'a> {
    pub(super) world: &'a World,
    pub(super) listeners: &'a BTreeMap<u16, Listener>,
    pub(super) policies: &'a PolicySet,
    pub(super) authentication: &'a Authentication,
    pub(super) user_header: &'a UserHeader,
    pub(super) providers: &'a [Arc<Provider>],
}

impl Seen<'_> {
    /// Looks for all of them.
    pub(super) fn look(&self, findings: &mut Vec<Finding>) {
        let destinations = destinations(self.listeners);
        let gateway = (self.policies, self.authentication);
        let workloads = destinations
            .iter()
            .map(|one| (&one.policies, &one.authentication));
        let mut said = HashSet::new();
        for (policies, authentication) in std::iter::once(gateway).chain(workloads) {
            for policy in all(policies) {
                // A policy that selects many workloads is looked at once.
                if said.insert((Arc::as_ptr(&policy.info), authentication.rules.is_empty())) {
                    tokens(policy, authentication, findings);
                    methods(policy, findings);
                }
            }
        }
        for policy in all(self.policies) {
            ports(policy, self.listeners, findings);
        }
        for policy in &self.policies.deny {
            closes_streams(policy, self.listeners, findings);
        }
        self.spellings(&destinations, findings);
    }

    /// People whose name is written in two ways: letter case counts everywhere.
    fn spellings(&self, destinations: &[&Destination], findings: &mut Vec<Finding>) {
        let mut names: BTreeMap<String, BTreeMap<Arc<str>, (ObjectRef, Place)>> = BTreeMap::new();
        let mut add = |name: &str, object: &ObjectRef, place: Place| {
            if name.contains('@') {
                let spellings = names.entry(name.to_lowercase()).or_default();
                spellings
                    .entry(name.into())
                    .or_insert_with(|| (object.clone(), place));
            }
        };
        for object in self.world.of_kind("Profile") {
            let owner = object.spec().and_then(|spec| spec.child("owner"));
            if let Some(name) = owner.and_then(|owner| owner.child("name"))
                && let Some(text) = name.node.text()
            {
                add(text, &object.reference, object.at(name.line()));
            }
        }
        for provider in self.providers {
            for password in &provider.passwords {
                add(&password.email, &provider.object, provider.place.clone());
            }
        }
        let workloads = destinations.iter().map(|one| &one.policies);
        for policy in std::iter::once(self.policies)
            .chain(workloads)
            .flat_map(all)
        {
            for (rule, test) in tests(policy) {
                for name in self.people(test) {
                    add(name, &policy.info.object, line_of(policy, rule));
                }
            }
        }
        for spellings in names.into_values() {
            let mut spellings = spellings.into_iter();
            let Some((first, (first_object, first_place))) = spellings.next() else {
                continue;
            };
            for (other, (object, place)) in spellings {
                findings.push(Finding {
                    code: codes::SPELLING,
                    severity: Severity::Warning,
                    place: Some(place),
                    object: Some(object),
                    field: String::new(),
                    fault: format!(
                        "`{other}` stands here and `{first}` in `{first_object}` ({first_place}): letter case counts, so they are two people"
                    ),
                    remedy: "write the name as the issuer tells it, everywhere".to_owned(),
                });
            }
        }
    }

    /// People whom a test names.
    fn people<'t>(&self, test: &'t Test) -> Vec<&'t str> {
        let is_user = match &test.attribute {
            Attribute::Header(name) => *name == self.user_header.user,
            Attribute::Claim(path) => matches!(&**path, [claim] if **claim == *"email"),
            _ => false,
        };
        let values = [&test.any_of, &test.none_of].into_iter().flatten();
        let texts = values.flat_map(|values| match values {
            Values::Text(patterns) => &**patterns,
            _ => &[],
        });
        let exact = texts.filter_map(|pattern| match pattern {
            TextPattern::Exact(name) => Some(&**name),
            _ => None,
        });
        let prefix = &*self.user_header.prefix;
        exact
            .filter(|_| is_user)
            .map(|name| name.strip_prefix(prefix).unwrap_or(name))
            .collect()
    }
}

fn all(policies: &PolicySet) -> impl Iterator<Item = &Arc<Policy>> {
    let PolicySet {
        custom,
        audit,
        deny,
        allow,
    } = policies;
    [custom, audit, deny, allow].into_iter().flatten()
}

fn tests(policy: &Policy) -> impl Iterator<Item = (&PolicyRule, &Test)> {
    policy.rules.iter().flat_map(|rule| {
        let alternatives = rule.from.iter().chain(&rule.to).flatten();
        alternatives.chain(&rule.when).map(move |test| (rule, test))
    })
}

/// Every destination of a request, each once.
fn destinations(listeners: &BTreeMap<u16, Listener>) -> Vec<&Destination> {
    let hosts = listeners.values().flat_map(Listener::virtual_hosts);
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for (_, routes) in hosts.flat_map(VirtualHosts::iter) {
        for route in routes.iter() {
            if let RouteAction::Forward(forward) = &route.action {
                let all = forward.destinations.iter().map(|one| &one.destination);
                found.extend(
                    all.filter(|one| seen.insert(Arc::as_ptr(one)))
                        .map(|one| &**one),
                );
            }
        }
    }
    found
}

fn line_of(policy: &Policy, rule: &PolicyRule) -> Place {
    Place::new(Arc::clone(&policy.info.place.file), rule.line)
}

fn said(policy: &Policy, rule: &PolicyRule, code: Code, fault: String, remedy: String) -> Finding {
    Finding {
        code,
        severity: Severity::Warning,
        place: Some(line_of(policy, rule)),
        object: Some(policy.info.object.clone()),
        field: "spec.rules".to_owned(),
        fault,
        remedy,
    }
}

/// Rules about tokens where nothing checks one.
fn tokens(policy: &Policy, authentication: &Authentication, findings: &mut Vec<Finding>) {
    if !authentication.rules.is_empty() {
        return;
    }
    let of_token = tests(policy).find(|(_, test)| {
        matches!(
            test.attribute,
            Attribute::RequestPrincipal
                | Attribute::Audiences
                | Attribute::Presenter
                | Attribute::Claim(_)
        )
    });
    if let Some((rule, _)) = of_token {
        findings.push(said(
            policy,
            rule,
            codes::TOKEN_UNCHECKED,
            "this rule looks at a token, and no `RequestAuthentication` accepts one for this workload, so there never is any".to_owned(),
            "add a `RequestAuthentication` with the issuer, with the same `selector` and namespace".to_owned(),
        ));
    }
}

/// Methods in letters that no request has.
fn methods(policy: &Policy, findings: &mut Vec<Finding>) {
    for (rule, test) in tests(policy) {
        if test.attribute != Attribute::Method {
            continue;
        }
        let values = [&test.any_of, &test.none_of].into_iter().flatten();
        for values in values {
            let Values::Text(patterns) = values else {
                continue;
            };
            for pattern in patterns {
                let text = pattern.to_string();
                if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
                    let upper = text.to_ascii_uppercase();
                    let fault = format!("no request has the method `{text}`: letter case counts");
                    let remedy = format!("write `{upper}`");
                    findings.push(said(policy, rule, codes::METHOD_CASE, fault, remedy));
                }
            }
        }
    }
}

/// Ports of the Service where those of the pods are meant.
fn ports(policy: &Policy, listeners: &BTreeMap<u16, Listener>, findings: &mut Vec<Finding>) {
    let is_of_pods = |port: u16| listeners.values().any(|one| one.workload_port == port);
    let mut told = BTreeSet::new();
    for (rule, test) in tests(policy) {
        let values = [&test.any_of, &test.none_of].into_iter().flatten();
        for values in values {
            let Values::Ports(ports) = values else {
                continue;
            };
            for port in ports {
                let Some(listener) = listeners.get(port).filter(|_| !is_of_pods(*port)) else {
                    continue;
                };
                if !told.insert(*port) {
                    continue;
                }
                let own = listener.workload_port;
                let fault = format!(
                    "policies see the port of the gateway's pods, which is {own} where the Service has {port}"
                );
                findings.push(said(
                    policy,
                    rule,
                    codes::POLICY_PORT,
                    fault,
                    format!("write `\"{own}\"`"),
                ));
            }
        }
    }
}

/// DENY rules about requests, where bytes are passed on: what cannot be looked at is denied.
fn closes_streams(
    policy: &Policy,
    listeners: &BTreeMap<u16, Listener>,
    findings: &mut Vec<Finding>,
) {
    let of_bytes = listeners.values().find(|listener| {
        let mut chains = listener.chains().iter();
        chains.any(|chain| matches!(chain.serves, Serves::Stream(_)))
    });
    let Some(listener) = of_bytes else { return };
    let of_request = tests(policy).find(|(_, test)| test.attribute.is_of_requests());
    if let Some((rule, _)) = of_request {
        let port = listener.port;
        findings.push(said(
            policy,
            rule,
            codes::DENIES_STREAMS,
            format!(
                "this rule denies by what only requests have, so it denies every connection of port {port}, whose bytes are passed on"
            ),
            format!(
                "add `ports` to the rule, without {}, or select another workload",
                listener.workload_port
            ),
        ));
    }
}
