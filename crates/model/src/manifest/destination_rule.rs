//! Istio `DestinationRule` (networking.istio.io): how destinations of a host are spoken to.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::traffic_policy::{self, TrafficPolicy};
use super::visibility::Visibility;
use crate::finding::{Finding, codes};
use crate::names::HostPattern;
use crate::objects::{Fault, Field, Object};
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

fn policy(field: &Field<'_>, findings: &mut Vec<Finding>) -> Result<Option<TrafficPolicy>, Fault> {
    let policy = field.child("trafficPolicy");
    policy
        .map(|policy| traffic_policy::read(&policy, findings))
        .transpose()
}

fn host(field: &Field<'_>, namespace: &str) -> Result<HostPattern, Fault> {
    let text = field.text()?.to_ascii_lowercase();
    let full = if text.contains(['.', '*', ':']) || text.is_empty() {
        text
    } else {
        format!("{text}.{namespace}.svc.cluster.local")
    };
    HostPattern::parse(&full).ok_or_else(|| {
        let fault = format!("`{full}` is no host: `*` may only stand alone or as the first label");
        field.fault(fault, "write a name, `*.` and a name, or `*`")
    })
}
