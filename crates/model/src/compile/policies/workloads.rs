//! What policies may be about.

use std::sync::Arc;

use super::Labels;
use crate::manifest::gateway_api::GROUP;
use crate::manifest::selection::{Target, TargetKind};
use crate::manifest::virtual_service::VirtualService;
use crate::objects::Object;
use crate::snapshot::Identity;
use crate::world::World;

/// Every workload that the manifests tell of.
pub(in crate::compile) struct Workloads<'a> {
    pub(in crate::compile) world: &'a World,
    pub(in crate::compile) identity: &'a Identity,
    /// Pods that Knative and KServe make stand behind their routes.
    pub(in crate::compile) routes: &'a [VirtualService],
}

impl Workloads<'_> {
    /// Whether what a policy attaches to is in the manifests.
    pub(super) fn has(&self, target: &Target, namespace: &Arc<str>) -> bool {
        let named = |objects: &[Arc<Object>], in_namespace: bool| {
            let mut objects = objects.iter();
            objects.any(|object| {
                *object.name() == target.name && (!in_namespace || object.namespace() == namespace)
            })
        };
        let world = self.world;
        match target.kind {
            TargetKind::Gateway => named(world.of_group(GROUP, "Gateway"), true),
            TargetKind::GatewayClass => named(world.of_group(GROUP, "GatewayClass"), false),
            TargetKind::Service => world.service(namespace, &target.name).is_some(),
            TargetKind::ServiceEntry => {
                let mut entries = world.service_entries.iter();
                entries.any(|entry| {
                    *entry.object.name() == target.name && entry.object.namespace() == namespace
                })
            }
        }
    }

    pub(super) fn any(&self, covers: impl Fn(&str, &Labels) -> bool) -> bool {
        let (world, identity) = (self.world, self.identity);
        let mut workloads = world.workloads.iter();
        let mut services = world.services.values();
        covers(&identity.namespace, &identity.labels)
            || workloads.any(|one| covers(&one.namespace, &one.labels))
            || services.any(|one| covers(&one.namespace, &one.selector))
            || self.routes.iter().any(|route| {
                let namespace = route.object.namespace();
                let mut backings = route.backings();
                backings.any(|pods| covers(namespace, &pods.labels))
            })
    }
}
