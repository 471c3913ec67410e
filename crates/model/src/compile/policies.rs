//! Which policies apply to which workload.

mod workloads;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::profiles::Profiles;
use crate::finding::{Finding, Severity, codes};
use crate::manifest::authorization_policy::AuthorizationPolicy;
use crate::manifest::request_authentication::RequestAuthentication;
use crate::manifest::selection::{Selection, TargetKind, Targets};
use crate::names::{ObjectRef, Place};
use crate::snapshot::{
    Action, Authentication, Identity, Policy, PolicyInfo, PolicyList, PolicySet, TextPattern,
    TokenPlace, Values,
};
use crate::world::World;

pub(super) use workloads::Workloads;

type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// All policies, by name, then namespace.
pub(super) struct Policies {
    root_namespace: Arc<str>,
    authorization: Vec<AuthorizationPolicy>,
    authentication: Vec<RequestAuthentication>,
    /// Where those of each namespace are in the two lists.
    authorization_in: HashMap<Arc<str>, Vec<usize>>,
    authentication_in: HashMap<Arc<str>, Vec<usize>>,
}

impl Policies {
    /// Reads all of them.
    pub(super) fn read(
        world: &World,
        root_namespace: &Arc<str>,
        trust_domains: &[Arc<str>],
        (doors, profiles): (Vec<AuthorizationPolicy>, &Profiles),
        findings: &mut Vec<Finding>,
    ) -> Self {
        let authorization = world.of_kind("AuthorizationPolicy").iter();
        let mut authorization: Vec<_> = authorization
            .map(|object| AuthorizationPolicy::read(object, trust_domains, findings))
            .collect();
        authorization.extend(doors);
        authorization.extend(profiles.policies.iter().cloned());
        for entry in &mut authorization {
            profiles.contributors.apply(entry);
        }
        let authentication = world.of_kind("RequestAuthentication").iter();
        let mut authentication: Vec<_> = authentication
            .map(|object| RequestAuthentication::read(object, findings))
            .collect();
        for broken in &world.broken {
            match &*broken.object.kind {
                "AuthorizationPolicy" => {
                    authorization.push(AuthorizationPolicy::broken(broken, root_namespace))
                }
                "RequestAuthentication" => {
                    authentication.push(RequestAuthentication::broken(broken, root_namespace));
                }
                _ => {}
            }
        }
        authorization
            .sort_by(|a, b| order(&a.policy.info.object).cmp(&order(&b.policy.info.object)));
        authentication.sort_by(|a, b| order(&a.info.object).cmp(&order(&b.info.object)));
        Self {
            root_namespace: Arc::clone(root_namespace),
            authorization_in: by_namespace(authorization.iter().map(|one| &one.selection)),
            authentication_in: by_namespace(authentication.iter().map(|one| &one.selection)),
            authorization,
            authentication,
        }
    }

    /// What applies to pods of a namespace with these labels.
    pub(super) fn of(&self, namespace: &str, labels: &Labels) -> (PolicySet, Authentication) {
        self.meant(namespace, |selection| {
            selection.covers(&self.root_namespace, namespace, labels)
        })
    }

    /// What attaches to an object by name.
    pub(super) fn attached(
        &self,
        kind: TargetKind,
        namespace: &str,
        name: &str,
    ) -> (PolicySet, Authentication) {
        self.meant(namespace, |selection| {
            selection.names(&self.root_namespace, kind, namespace, name)
        })
    }

    /// What attaches to a Gateway by its name or its class.
    pub(super) fn attached_to_gateway(
        &self,
        namespace: &str,
        name: &str,
        class: &str,
    ) -> PolicySet {
        let root = &*self.root_namespace;
        let names = |selection: &Selection| {
            selection.names(root, TargetKind::Gateway, namespace, name)
                || selection.names(root, TargetKind::GatewayClass, namespace, class)
        };
        let (mut set, _) = self.meant(namespace, names);
        for at in self.near(&self.authentication_in, namespace) {
            let entry = &self.authentication[at];
            if names(&entry.selection) {
                set.deny.extend(entry.closed_gateways.iter().cloned());
            }
        }
        set
    }

    fn meant(
        &self,
        namespace: &str,
        covers: impl Fn(&Selection) -> bool,
    ) -> (PolicySet, Authentication) {
        let mut set = PolicySet::default();
        let mut legacy = PolicyList::default();
        for at in self.near(&self.authorization_in, namespace) {
            let entry = &self.authorization[at];
            if entry.dry_run || !covers(&entry.selection) {
                continue;
            }
            let list = match entry.policy.action {
                Action::Allow if entry.is_legacy => &mut legacy,
                Action::Custom(_) => &mut set.custom,
                Action::Audit => &mut set.audit,
                Action::Deny => &mut set.deny,
                Action::Allow => &mut set.allow,
            };
            list.push(Arc::clone(&entry.policy));
        }
        if set.allow.is_empty() {
            set.allow = legacy;
        }
        let mut authentication = Authentication::default();
        for at in self.near(&self.authentication_in, namespace) {
            let entry = &self.authentication[at];
            if !covers(&entry.selection) {
                continue;
            }
            authentication.rules.extend(entry.rules.iter().cloned());
            set.deny.extend(entry.closed.iter().cloned());
        }
        authentication.rules.sort_by(|a, b| a.issuer.cmp(&b.issuer));
        (set, authentication)
    }

    /// Numbers of what may be about a namespace: its own and those of the root, in order.
    fn near(&self, all: &HashMap<Arc<str>, Vec<usize>>, namespace: &str) -> Vec<usize> {
        let of = |namespace: &str| all.get(namespace).into_iter().flatten().copied();
        let mut near: Vec<usize> = of(namespace).chain(of(&self.root_namespace)).collect();
        near.sort_unstable();
        near.dedup();
        near
    }

    /// All CUSTOM policies with the authorizer they name and the line of the name.
    pub(super) fn custom(&self) -> impl Iterator<Item = (&Arc<str>, &Policy, u32)> {
        self.authorization
            .iter()
            .filter_map(|entry| match &entry.policy.action {
                Action::Custom(name) => Some((name, &*entry.policy, entry.provider_line)),
                _ => None,
            })
    }

    /// Every issuer whose tokens some workload trusts, and where that is said.
    pub(super) fn issuers(&self) -> impl Iterator<Item = (&Arc<str>, &PolicyInfo)> {
        let rules = self.authentication.iter().flat_map(|entry| &entry.rules);
        rules.map(|rule| (&rule.issuer, &*rule.info))
    }

    /// Where the rules of other workloads than the gateway look for tokens.
    pub(super) fn token_places(&self, identity: &Identity) -> Vec<TokenPlace> {
        let mut places: Vec<TokenPlace> = Vec::new();
        let is_of_gateway = |selection: &Selection| {
            let Identity {
                namespace, labels, ..
            } = identity;
            !selection.labels.is_empty()
                && selection.covers(&self.root_namespace, namespace, labels)
        };
        let entries = self.authentication.iter();
        let entries = entries.filter(|entry| !is_of_gateway(&entry.selection));
        for rule in entries.flat_map(|entry| &entry.rules) {
            for location in &rule.locations {
                let at = places.iter().position(|place| place.location == *location);
                let at = at.unwrap_or_else(|| {
                    places.push(TokenPlace {
                        location: location.clone(),
                        issuers: HashMap::new(),
                    });
                    places.len() - 1
                });
                let keys = places[at]
                    .issuers
                    .entry(Arc::clone(&rule.issuer))
                    .or_default();
                if !keys.contains(&rule.keys) {
                    keys.push(rule.keys.clone());
                }
            }
        }
        places
    }

    /// Every header that a token's claims become, wherever the rule applies.
    pub(super) fn claim_headers(&self) -> impl Iterator<Item = &http::HeaderName> {
        let rules = self.authentication.iter().flat_map(|entry| &entry.rules);
        rules.flat_map(|rule| {
            let claims = rule.claim_headers.iter().map(|claim| &claim.header);
            claims.chain(&rule.payload_header)
        })
    }

    /// Policies whose selector means no workload in the manifests, and principals of a gateway
    /// that is not there.
    pub(super) fn check(&self, known: &Workloads<'_>, findings: &mut Vec<Finding>) {
        for entry in &self.authorization {
            let info = &entry.policy.info;
            self.check_selection(
                known,
                &entry.selection,
                (&info.object, &info.place),
                codes::POLICY_SELECTS_NOTHING,
                findings,
            );
            check_principals(known.world, known.identity, &entry.policy, findings);
        }
        for entry in &self.authentication {
            self.check_selection(
                known,
                &entry.selection,
                (&entry.info.object, &entry.info.place),
                codes::AUTHENTICATION_SELECTS_NOTHING,
                findings,
            );
        }
    }

    fn check_selection(
        &self,
        known: &Workloads<'_>,
        selection: &Selection,
        (object, place): (&ObjectRef, &Place),
        code: crate::finding::Code,
        findings: &mut Vec<Finding>,
    ) {
        if let Targets::Named(targets) = &selection.targets {
            let mut targets = targets.iter();
            if let Some(target) = targets.find(|target| !known.has(target, &selection.namespace)) {
                findings.push(Finding {
                    code,
                    severity: Severity::Warning,
                    place: Some(Place {
                        file: Arc::clone(&place.file),
                        line: target.line,
                    }),
                    object: Some(object.clone()),
                    field: "spec.targetRefs".to_owned(),
                    fault: format!(
                        "`{}` is not in the manifests, so nothing attaches to it",
                        target.title()
                    ),
                    remedy: "add it, or name one of the policy's own namespace".to_owned(),
                });
            }
            return;
        }
        if selection.labels.is_empty() || selection.targets == Targets::Unreadable {
            return;
        }
        let covers = |namespace: &str, labels: &Labels| {
            selection.covers(&self.root_namespace, namespace, labels)
        };
        if known.any(covers) {
            return;
        }
        let identity = known.identity;
        // Meant for the gateway, but in a namespace where it has no effect: nothing guards it.
        let elsewhere =
            selection.covers(&selection.namespace, &selection.namespace, &identity.labels);
        let (severity, remedy) = if elsewhere {
            let namespace = &identity.namespace;
            (
                Severity::Error,
                format!("the ingress gateway is in `{namespace}`: move it there"),
            )
        } else {
            (
                Severity::Warning,
                "check `selector.matchLabels` and the namespace".to_owned(),
            )
        };
        findings.push(Finding {
            code,
            severity,
            place: Some(place.clone()),
            object: Some(object.clone()),
            field: "spec.selector.matchLabels".to_owned(),
            fault: "this selects no workload in the manifests, so it has no effect".to_owned(),
            remedy,
        });
    }
}

fn by_namespace<'a>(
    selections: impl Iterator<Item = &'a Selection>,
) -> HashMap<Arc<str>, Vec<usize>> {
    let mut all: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
    for (at, selection) in selections.enumerate() {
        let namespace = Arc::clone(&selection.namespace);
        all.entry(namespace).or_default().push(at);
    }
    all
}

fn order(object: &ObjectRef) -> (&str, &str) {
    (&object.name, &object.namespace)
}

/// A moved gateway leaves policies behind that name its old principal.
fn check_principals(
    world: &World,
    identity: &Identity,
    policy: &Policy,
    findings: &mut Vec<Finding>,
) {
    for rule in &policy.rules {
        let tests = rule.from.iter().flatten().chain(&rule.when);
        let texts = tests.filter(|test| test.attribute == crate::snapshot::Attribute::Principal);
        for values in texts.filter_map(|test| test.any_of.as_ref()) {
            let Values::Text(patterns) = values else {
                continue;
            };
            let exact = patterns.iter().filter_map(|pattern| match pattern {
                TextPattern::Exact(text) => Some(text),
                _ => None,
            });
            let mut stale = exact.filter(|text| is_stale_gateway(world, identity, text));
            if let Some(principal) = stale.next() {
                findings.push(Finding {
                    code: codes::PRINCIPAL_UNKNOWN,
                    severity: Severity::Error,
                    place: Some(Place {
                        file: Arc::clone(&policy.info.place.file),
                        line: rule.line,
                    }),
                    object: Some(policy.info.object.clone()),
                    field: "spec.rules".to_owned(),
                    fault: format!("no workload is `{principal}`"),
                    remedy: format!("this gateway is `{}`", identity.principal),
                });
            }
        }
    }
}

/// Whether a principal reads like an ingress gateway and is none that is known.
fn is_stale_gateway(world: &World, identity: &Identity, principal: &str) -> bool {
    let parts: Vec<&str> = principal.split('/').collect();
    let [_, "ns", namespace, "sa", account] = parts[..] else {
        return false;
    };
    let known = world
        .workloads
        .iter()
        .any(|one| *one.namespace == *namespace && *one.service_account == *account);
    let own = *identity.namespace == *namespace && *identity.service_account == *account;
    account.contains("ingressgateway") && !own && !known
}
