//! Which `DestinationRule` is about a destination.

use std::sync::Arc;

use crate::manifest::destination_rule::{DestinationRule, Subset};
use crate::manifest::traffic_policy::TrafficPolicy;
use crate::names::HostPattern;
use crate::objects::Object;
use crate::snapshot::Closure;

/// All rules, as the gateway sees them.
pub(super) struct Rules<'a> {
    rules: &'a [DestinationRule],
    /// Namespace of the gateway.
    client: Arc<str>,
    /// `meshConfig.rootNamespace`.
    root: Arc<str>,
}

/// What the rules of one host in one namespace say together.
#[derive(Clone)]
pub(super) struct Rule<'a> {
    /// The first of them.
    pub(super) object: &'a Arc<Object>,
    pub(super) policy: Option<&'a TrafficPolicy>,
    subsets: Vec<&'a Subset>,
    /// Set when one of them cannot be read.
    pub(super) closed: Option<&'a Arc<Closure>>,
}

impl<'a> Rule<'a> {
    /// The subset of this name; the first one, where several rules have it.
    pub(super) fn subset(&self, name: &str) -> Option<&'a Subset> {
        let mut subsets = self.subsets.iter();
        subsets.find(|subset| *subset.name == *name).copied()
    }
}

impl<'a> Rules<'a> {
    pub(super) fn new(rules: &'a [DestinationRule], client: &Arc<str>, root: &Arc<str>) -> Self {
        Self {
            rules,
            client: Arc::clone(client),
            root: Arc::clone(root),
        }
    }

    /// The rule for `host`, a destination of `namespace`: of the gateway's own namespace, else of the
    /// destination's, else of the root. In each the closest host wins.
    pub(super) fn of(&self, host: &str, namespace: &str) -> Option<Rule<'a>> {
        let (client, root) = (&*self.client, &*self.root);
        let lives_in = |rule: &DestinationRule, name: &str| **rule.object.namespace() == *name;
        // In the root namespace only what is private to it means the gateway first.
        let own = |rule: &DestinationRule| {
            let is_private = !rule.visibility.covers("");
            lives_in(rule, client)
                && rule.visibility.covers(client)
                && (client != root || is_private)
        };
        let exported = |rule: &DestinationRule, name: &str| {
            lives_in(rule, name) && rule.visibility.covers(client)
        };
        // One whose host cannot be read is taken to be about its own namespace.
        let about = |rule: &DestinationRule| match &rule.host {
            Some(pattern) => pattern.covers(host),
            None => lives_in(rule, namespace),
        };
        self.closest(|rule| about(rule) && own(rule))
            .or_else(|| self.closest(|rule| about(rule) && exported(rule, namespace)))
            .or_else(|| self.closest(|rule| about(rule) && exported(rule, root)))
    }

    fn closest(&self, is_meant: impl Fn(&DestinationRule) -> bool) -> Option<Rule<'a>> {
        let covers = |rule: &&DestinationRule| is_meant(rule);
        let seen: Vec<&'a DestinationRule> = self.rules.iter().filter(covers).collect();
        // One whose host cannot be read may be the closest.
        let closeness = |rule: &DestinationRule| {
            rule.host
                .as_ref()
                .map_or(usize::MAX, HostPattern::closeness)
        };
        let most = seen.iter().map(|rule| closeness(rule)).max()?;
        let mut same = seen.into_iter().filter(|rule| closeness(rule) == most);
        let first = same.next()?;
        let mut joined = Rule {
            object: &first.object,
            policy: first.policy.as_ref(),
            subsets: first.subsets.iter().collect(),
            closed: first.closed.as_ref(),
        };
        for more in same {
            joined.policy = joined.policy.or(more.policy.as_ref());
            joined.subsets.extend(&more.subsets);
            joined.closed = joined.closed.or(more.closed.as_ref());
        }
        Some(joined)
    }
}
