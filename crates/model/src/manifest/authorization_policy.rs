//! Istio `AuthorizationPolicy` (security.istio.io).

use std::sync::Arc;

use super::policy_rule;
use super::selection::Selection;
use crate::finding::{Finding, Severity, codes};
use crate::objects::{Broken, Fault, Object};
use crate::snapshot::{Action, Closure, Policy, PolicyInfo};

/// An AuthorizationPolicy and whom it is about.
#[derive(Clone, Debug)]
pub(crate) struct AuthorizationPolicy {
    pub(crate) selection: Selection,
    pub(crate) policy: Arc<Policy>,
    /// Whether it is only to be logged.
    pub(crate) dry_run: bool,
    /// Where the provider of a CUSTOM policy is named.
    pub(crate) provider_line: u32,
    /// Whether it stands for older access rules, which are not asked where policies allow.
    pub(crate) is_legacy: bool,
}

impl AuthorizationPolicy {
    /// Reads a policy. One that cannot be read denies everything to the workloads it selects, as
    /// far as that is readable, or to all of its namespace.
    pub(crate) fn read(
        object: &Object,
        trust_domains: &[Arc<str>],
        findings: &mut Vec<Finding>,
    ) -> Self {
        let mut selection = Selection::whole(object.namespace());
        let result = match &object.closed {
            Some(closure) => {
                if let Some(Ok(read)) = object.spec().map(|spec| Selection::read(object, &spec)) {
                    selection = read;
                }
                Err(Arc::clone(closure))
            }
            None => {
                convert(object, trust_domains, &mut selection, findings).map_err(|mut fault| {
                    if fault.code == codes::FIELD {
                        fault.code = codes::POLICY_INVALID;
                    }
                    let closure = Arc::new(Closure::of(&fault));
                    findings.push(*fault);
                    closure
                })
            }
        };
        match result {
            Ok(read) => read,
            Err(closure) => {
                selection.doubt(object);
                Self::door(selection, object_info(object), closure)
            }
        }
    }

    /// Whether another one, wherever it stands, selects, asks and does the same.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        let rules = |entry: &Self| {
            let mut rules = entry.policy.rules.clone();
            rules.iter_mut().for_each(|rule| rule.line = 0);
            rules
        };
        self.selection == other.selection
            && self.policy.action == other.policy.action
            && self.dry_run == other.dry_run
            && rules(self) == rules(other)
    }

    /// Stands in for a document that is no YAML. One whose namespace is unreadable might have been
    /// about everything.
    pub(crate) fn broken(broken: &Broken, root_namespace: &Arc<str>) -> Self {
        let info = PolicyInfo {
            object: broken.object.clone(),
            place: broken.place.clone(),
        };
        let selection = Selection::of_broken(broken, root_namespace);
        Self::door(selection, Arc::new(info), Arc::clone(&broken.closure))
    }

    /// Denies everything to what is selected.
    pub(crate) fn door(selection: Selection, info: Arc<PolicyInfo>, closure: Arc<Closure>) -> Self {
        let policy = Arc::new(closed_policy(info, closure));
        Self {
            selection,
            policy,
            dry_run: false,
            provider_line: 0,
            is_legacy: false,
        }
    }
}

/// Name and place of a policy object.
pub(crate) fn object_info(object: &Object) -> Arc<PolicyInfo> {
    Arc::new(PolicyInfo {
        object: object.reference.clone(),
        place: object.place.clone(),
    })
}

/// A policy that denies everything because something cannot be read.
pub(crate) fn closed_policy(info: Arc<PolicyInfo>, closure: Arc<Closure>) -> Policy {
    Policy {
        info,
        action: Action::Deny,
        rules: Vec::new(),
        closed: Some(closure),
    }
}

fn convert(
    object: &Object,
    trust_domains: &[Arc<str>],
    selection: &mut Selection,
    findings: &mut Vec<Finding>,
) -> Result<AuthorizationPolicy, Fault> {
    let top = object.top();
    let Some(spec) = top.child("spec") else {
        // The API server stores it so; it means `spec: {}`.
        let policy = Policy {
            info: object_info(object),
            action: Action::Allow,
            rules: Vec::new(),
            closed: None,
        };
        let policy = Arc::new(policy);
        let selection = selection.clone();
        return Ok(AuthorizationPolicy {
            selection,
            policy,
            dry_run: false,
            provider_line: 0,
            is_legacy: false,
        });
    };
    *selection = Selection::read(object, &spec)?;
    spec.strict(&[
        "selector",
        "targetRef",
        "targetRefs",
        "rules",
        "action",
        "provider",
    ])?;
    let provider = spec.child("provider");
    let name = match &provider {
        None => None,
        Some(provider) => {
            provider.strict(&["name"])?;
            Some(provider.required("name")?.text()?)
        }
    };
    let action_field = spec.child("action");
    let action_name = action_field
        .as_ref()
        .map_or(Ok("ALLOW"), |action| action.text())?;
    let action = match (action_name, name) {
        ("ALLOW", None) => Action::Allow,
        ("DENY", None) => Action::Deny,
        ("AUDIT", None) => Action::Audit,
        ("CUSTOM", Some(name)) if !name.is_empty() => Action::Custom(name.into()),
        ("CUSTOM", _) => {
            return Err(spec.fault(
                "a CUSTOM policy has to name its `provider`",
                "add `provider.name`",
            ));
        }
        ("ALLOW" | "DENY" | "AUDIT", Some(_)) => {
            let fault = format!("`provider` has no meaning in an {action_name} policy");
            return Err(spec.fault(fault, "remove it, or make the action CUSTOM"));
        }
        (other, _) => {
            let fault = format!("`{other}` is no action");
            return Err(spec.fault(fault, "write ALLOW, DENY, AUDIT or CUSTOM"));
        }
    };
    let dry_run = object
        .annotation("istio.io/dry-run")
        .is_some_and(|value| matches!(value, "true" | "True" | "TRUE" | "t" | "T" | "1"));
    if dry_run && matches!(action, Action::Custom(_)) {
        return Err(spec.fault(
            "a CUSTOM policy cannot be a dry run",
            "remove the annotation `istio.io/dry-run`",
        ));
    }
    let custom = matches!(action, Action::Custom(_));
    let mut rules = Vec::new();
    for rule in spec.child_items("rules")? {
        rules.push(policy_rule::read(
            &rule,
            custom,
            object.namespace(),
            trust_domains,
            findings,
        )?);
    }
    if rules.is_empty() && matches!(action, Action::Deny | Action::Custom(_)) {
        let fault = format!("a {action_name} policy without rules means nothing");
        return Err(spec.fault(fault, "add `rules`; `rules: [{}]` matches every request"));
    }
    note_dry_run(object, dry_run, findings);
    Ok(AuthorizationPolicy {
        selection: selection.clone(),
        policy: Arc::new(Policy {
            info: object_info(object),
            action,
            rules,
            closed: None,
        }),
        dry_run,
        provider_line: provider.map_or(0, |provider| provider.line()),
        is_legacy: false,
    })
}

fn note_dry_run(object: &Object, dry_run: bool, findings: &mut Vec<Finding>) {
    let line = object.place.line;
    if dry_run {
        findings.push(object.finding(
            codes::DRY_RUN,
            Severity::Note,
            line,
            "metadata.annotations",
            "this policy is a dry run: nothing enforces it",
            "remove the annotation `istio.io/dry-run` to enforce it",
        ));
    }
}
