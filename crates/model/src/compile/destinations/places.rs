//! Where destinations are found, when the manifests say more than a name.

use std::sync::Arc;

use super::Destinations;
use crate::compile::workload_guards::Labels;
use crate::manifest::service::{Service, ServicePort, TargetPort, is_subset};
use crate::manifest::service_entry::{EntryEndpoint, ServiceEntry};
use crate::snapshot::{Closure, Endpoints, UpstreamPlace};

impl Destinations<'_> {
    /// The addresses of a Service, where the manifests have them.
    pub(super) fn endpoints(
        &self,
        service: &Service,
        port: &ServicePort,
    ) -> Result<Endpoints, Arc<Closure>> {
        if let Some(name) = &service.external_name {
            return Ok(Endpoints::At(Arc::from([UpstreamPlace {
                host: Arc::clone(name),
                port: port.number,
                weight: 1,
            }])));
        }
        let key = (Arc::clone(&service.namespace), Arc::clone(&service.name));
        let listed = self
            .world
            .endpoints
            .get(&key)
            .map_or(&[][..], Vec::as_slice);
        if let Some(closure) = listed.iter().find_map(|one| one.closed.as_ref()) {
            return Err(Arc::clone(closure));
        }
        let places: Vec<UpstreamPlace> = listed
            .iter()
            .flat_map(|one| one.places(port.name.as_deref()))
            .collect();
        Ok(if places.is_empty() {
            Endpoints::ByHost
        } else {
            Endpoints::At(places.into())
        })
    }
}

/// Where the endpoints with these labels are; `None` when there are none with them.
pub(super) fn entry_endpoints(
    entry: &ServiceEntry,
    port: &ServicePort,
    labels: &Labels,
    host: &Arc<str>,
) -> Option<Endpoints> {
    let TargetPort::Number(target) = port.target else {
        return None;
    };
    if entry.endpoints.is_empty() {
        let place = UpstreamPlace {
            host: Arc::clone(host),
            port: target,
            weight: 1,
        };
        return labels.is_empty().then(|| {
            if target == port.number {
                Endpoints::ByHost
            } else {
                Endpoints::At(Arc::from([place]))
            }
        });
    }
    let named = |one: &EntryEndpoint| {
        let name = port.name.as_ref()?;
        one.ports.get(name).copied()
    };
    let places: Vec<UpstreamPlace> = entry
        .endpoints
        .iter()
        .filter(|one| is_subset(labels, &one.labels))
        .map(|one| UpstreamPlace {
            host: Arc::clone(&one.address),
            port: named(one).unwrap_or(target),
            weight: one.weight,
        })
        .collect();
    (!places.is_empty()).then(|| Endpoints::At(places.into()))
}
