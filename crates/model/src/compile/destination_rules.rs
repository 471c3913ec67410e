//! Which `DestinationRule` is about a destination.

use std::sync::Arc;

use crate::manifest::destination_rule::{DestinationRule, Subset, UnreadRule};
use crate::manifest::traffic_policy::TrafficPolicy;
use crate::names::HostPattern;
use crate::objects::Object;
use crate::snapshot::Closure;
use crate::world::World;

/// All rules, as the gateway sees them.
pub(super) struct Rules<'a> {
    rules: &'a [DestinationRule],
    /// Those that are no YAML.
    unread: Vec<UnreadRule>,
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
}

impl<'a> Rule<'a> {
    /// The subset of this name; the first one, where several rules have it.
    pub(super) fn subset(&self, name: &str) -> Option<&'a Subset> {
        let mut subsets = self.subsets.iter();
        subsets.find(|subset| *subset.name == *name).copied()
    }
}

impl<'a> Rules<'a> {
    pub(super) fn new(world: &'a World, client: &Arc<str>, root: &Arc<str>) -> Self {
        let unread = world
            .broken
            .iter()
            .filter(|broken| &*broken.object.kind == "DestinationRule");
        Self {
            rules: &world.destination_rules,
            unread: unread.map(UnreadRule::of).collect(),
            client: Arc::clone(client),
            root: Arc::clone(root),
        }
    }

    /// The rule for `host`, a destination of `namespace`: of the gateway's own namespace, else of the
    /// destination's, else of the root. In each the closest host wins.
    ///
    /// # Errors
    /// The door of one that cannot be read and is, or may be, the rule for it.
    pub(super) fn of(&self, host: &str, namespace: &str) -> Result<Option<Rule<'a>>, Arc<Closure>> {
        let (client, root) = (&*self.client, &*self.root);
        let is_seen = |rule: &UnreadRule| {
            let own = rule.namespace.as_deref();
            own.is_none_or(|own| [client, namespace, root].contains(&own))
        };
        let mut unread = self.unread.iter();
        if let Some(rule) = unread.find(|rule| is_seen(rule) && rule.may_be_about(host, namespace))
        {
            return Err(Arc::clone(&rule.closed));
        }
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
            .transpose()
    }

    fn closest(
        &self,
        is_meant: impl Fn(&DestinationRule) -> bool,
    ) -> Option<Result<Rule<'a>, Arc<Closure>>> {
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
        if let Some(closure) = same.clone().find_map(|rule| rule.closed.as_ref()) {
            return Some(Err(Arc::clone(closure)));
        }
        let first = same.next()?;
        let mut joined = Rule {
            object: &first.object,
            policy: first.policy.as_ref(),
            subsets: first.subsets.iter().collect(),
        };
        for more in same {
            joined.policy = joined.policy.or(more.policy.as_ref());
            joined.subsets.extend(&more.subsets);
        }
        Some(Ok(joined))
    }
}
