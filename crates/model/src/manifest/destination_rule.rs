//! Istio `DestinationRule` (networking.istio.io): how destinations of a host are spoken to.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::traffic_policy::{self, TrafficPolicy};
use super::visibility::Visibility;
use crate::finding::{Finding, codes};
use crate::names::HostPattern;
use crate::objects::{Broken, Fault, Field, Object};
use crate::snapshot::Closure;

/// A DestinationRule.
#[derive(Clone, Debug)]
pub(crate) struct DestinationRule {
    pub(crate) object: Arc<Object>,
    /// The hosts that it is about; `None` when that cannot be read, so it is about every host of its
    /// namespace.
    pub(crate) host: Option<HostPattern>,
    pub(crate) visibility: Visibility,
    pub(crate) policy: Option<TrafficPolicy>,
    pub(crate) subsets: Vec<Subset>,
    /// Set when it cannot be read.
    pub(crate) closed: Option<Arc<Closure>>,
}

/// A document that is no YAML, and what its text still tells.
#[derive(Clone, Debug)]
pub(crate) struct UnreadRule {
    /// `None` where it cannot be told.
    pub(crate) namespace: Option<Arc<str>>,
    /// `host` as written.
    host: Option<String>,
    pub(crate) closed: Arc<Closure>,
}

/// One of `subsets`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Subset {
    pub(crate) name: Arc<str>,
    pub(crate) labels: BTreeMap<Arc<str>, Arc<str>>,
    pub(crate) policy: Option<TrafficPolicy>,
}

impl DestinationRule {
    /// Reads a DestinationRule. One that cannot be read closes the destinations that it is about.
    pub(crate) fn read(object: &Arc<Object>, findings: &mut Vec<Finding>) -> Self {
        let mut rule = Self {
            object: Arc::clone(object),
            host: None,
            visibility: Visibility::Everywhere,
            policy: None,
            subsets: Vec::new(),
            closed: object.closed.clone(),
        };
        if let Err(mut fault) = rule.fill(object, findings) {
            fault.code = codes::DESTINATION_RULE;
            rule.closed = Some(Arc::new(Closure::of(&fault)));
            findings.push(*fault);
        }
        rule
    }

    fn fill(&mut self, object: &Arc<Object>, findings: &mut Vec<Finding>) -> Result<(), Fault> {
        let spec = object.top().required("spec")?;
        self.host = Some(host(&spec.required("host")?, object.namespace())?);
        spec.only(&[
            "host",
            "trafficPolicy",
            "subsets",
            "exportTo",
            "workloadSelector",
        ])?;
        self.visibility = Visibility::of(&spec.texts("exportTo")?, object.namespace());
        if spec.child("workloadSelector").is_some() {
            // It is about the sidecars of those workloads, and the gateway is none.
            self.visibility = Visibility::Only(Vec::new());
        }
        self.policy = policy(&spec, findings)?;
        for item in spec.child_items("subsets")? {
            item.only(&["name", "labels", "trafficPolicy"])?;
            let mut labels = BTreeMap::new();
            if let Some(map) = item.child("labels") {
                for (name, value) in map.entries()? {
                    labels.insert(name, value.text()?.into());
                }
            }
            self.subsets.push(Subset {
                name: item.required("name")?.text()?.into(),
                labels,
                policy: policy(&item, findings)?,
            });
        }
        Ok(())
    }
}

impl UnreadRule {
    /// What is left of a DestinationRule.
    pub(crate) fn of(broken: &Broken) -> Self {
        let namespace = &broken.object.namespace;
        Self {
            namespace: broken.namespace_known.then(|| Arc::clone(namespace)),
            host: broken.host.as_deref().map(str::to_ascii_lowercase),
            closed: Arc::clone(&broken.closure),
        }
    }

    /// Whether it may be about `host`, a destination of `namespace`. One without a host is about its
    /// own namespace, and about every one where that cannot be told either.
    pub(crate) fn may_be_about(&self, host: &str, namespace: &str) -> bool {
        let own = self.namespace.as_deref();
        match (&self.host, own) {
            (None, own) => own.is_none_or(|own| own == namespace),
            (Some(short), None) if !is_whole(short) => host
                .strip_prefix(short.as_str())
                .is_some_and(|rest| rest.starts_with('.')),
            (Some(text), own) => HostPattern::parse(&whole(text, own.unwrap_or_default()))
                .is_none_or(|pattern| pattern.covers(host)),
        }
    }
}

fn policy(field: &Field<'_>, findings: &mut Vec<Finding>) -> Result<Option<TrafficPolicy>, Fault> {
    let policy = field.child("trafficPolicy");
    policy
        .map(|policy| traffic_policy::read(&policy, findings))
        .transpose()
}

fn host(field: &Field<'_>, namespace: &str) -> Result<HostPattern, Fault> {
    let full = whole(&field.text()?.to_ascii_lowercase(), namespace);
    HostPattern::parse(&full).ok_or_else(|| {
        let fault = format!("`{full}` is no host: `*` may only stand alone or as the first label");
        field.fault(fault, "write a name, `*.` and a name, or `*`")
    })
}

fn is_whole(host: &str) -> bool {
    host.contains(['.', '*', ':']) || host.is_empty()
}

/// A short name is one of the namespace of the rule.
fn whole(host: &str, namespace: &str) -> String {
    if is_whole(host) {
        host.to_owned()
    } else {
        format!("{host}.{namespace}.svc.cluster.local")
    }
}
