//! Namespaces, written and made, and whether a sidecar stands in them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::World;
use crate::manifest::namespace::Namespace;
use crate::manifest::profile;

impl World {
    /// Which namespaces get sidecars. Where that cannot be read, policies are enforced; and the
    /// namespace of a Profile gets them from its controller. A namespace that is not in the files but
    /// holds policies is one where somebody wants them enforced.
    pub(super) fn injection(&self) -> BTreeMap<Arc<str>, Namespace> {
        let mut namespaces: BTreeMap<Arc<str>, Namespace> = BTreeMap::new();
        let profiles: HashSet<&Arc<str>> = self
            .of_kind("Profile")
            .iter()
            .map(|profile| profile.name())
            .collect();
        for object in self.of_kind("Namespace") {
            let mut namespace = Namespace::read(object);
            // What isolates a profile is not left to a label that was forgotten.
            let is_guarded = profiles.contains(object.name()) && !namespace.is_exempt;
            namespace.injected |= is_guarded || object.closed.is_some();
            namespaces
                .entry(Arc::clone(object.name()))
                .or_insert(namespace);
        }
        let broken = self
            .broken
            .iter()
            .filter(|broken| matches!(&*broken.object.kind, "Namespace" | "Profile"));
        let unread = broken.map(|broken| &broken.object.name);
        let policies = [
            "AuthorizationPolicy",
            "RequestAuthentication",
            "ServiceRole",
        ];
        let guarded = policies
            .iter()
            .flat_map(|kind| self.of_kind(kind))
            .map(|object| object.namespace());
        for name in unread.chain(profiles).chain(guarded) {
            namespaces
                .entry(Arc::clone(name))
                .or_insert(Namespace::GUARDED);
        }
        namespaces
    }

    /// Namespaces that the profile controller would make, each where its Profile stands.
    pub(super) fn add_namespaces(&mut self) {
        let labels = profile::namespace_labels(&self.config_maps);
        let there: HashSet<&Arc<str>> = self
            .of_kind("Namespace")
            .iter()
            .map(|namespace| namespace.name())
            .chain(
                self.broken
                    .iter()
                    .filter(|broken| &*broken.object.kind == "Namespace")
                    .map(|broken| &broken.object.name),
            )
            .collect();
        let absent = self.of_kind("Profile").iter();
        let made: Vec<_> = absent
            .filter(|profile| !there.contains(profile.name()))
            .map(|profile| Arc::new(profile::namespace(profile, &labels)))
            .collect();
        if !made.is_empty() {
            let names = made.iter().map(|namespace| Arc::clone(namespace.name()));
            self.made.extend(names);
            let namespaces = self.objects.entry(("Namespace", "")).or_default();
            namespaces.extend(made);
        }
    }

    /// Whether pods of a namespace with these labels have a sidecar that enforces policies.
    pub(crate) fn in_mesh(
        &self,
        namespace: &str,
        labels: &BTreeMap<Arc<str>, Arc<str>>,
        annotations: &BTreeMap<Arc<str>, Arc<str>>,
    ) -> bool {
        const INJECT: &str = "sidecar.istio.io/inject";
        match labels
            .get(INJECT)
            .or_else(|| annotations.get(INJECT))
            .map(|value| &**value)
        {
            Some("false") => false,
            Some("true") => true,
            _ => self
                .namespaces
                .get(namespace)
                .is_some_and(|namespace| namespace.injected),
        }
    }
}
