//! KFAM, Kubeflow's access management, found by what runs or by the name of its Service.

use std::sync::Arc;

use super::environment::services;
use super::workload::Container;
use crate::world::{Key, World};

/// Name of its Service where no workload tells.
const SERVICE: &str = "profiles-kfam";

/// The Services that lead to it.
pub(crate) fn find_services(world: &World) -> Vec<Key> {
    let runs = world
        .workloads
        .iter()
        .filter(|workload| workload.containers.iter().any(is_kfam));
    let mut found: Vec<Key> = runs
        .flat_map(|workload| services(world, workload))
        .collect();
    let named = world.services.values();
    let named = named.filter(|service| &*service.name == SERVICE);
    found.extend(named.map(|service| (Arc::clone(&service.namespace), Arc::clone(&service.name))));
    found
}

fn is_kfam(container: &Container) -> bool {
    let image = container.image.split('@').next().unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    let mut command = container.command.iter();
    last.split(':').next() == Some("kfam")
        || command.any(|word| word.rsplit('/').next() == Some("access-management"))
}
