//! Names whose Service is not among the manifests and that are answered all the same.

use std::sync::Arc;

use super::spoken::Spoken;
use super::{Destinations, bare, nobody};
use crate::compile::workload_guards::{self, Labels};
use crate::manifest::http_route::EntryDestination;
use crate::manifest::knative::Pods;
use crate::manifest::selection::TargetKind;
use crate::manifest::service::ServicePort;
use crate::objects::Object;
use crate::snapshot::{Authentication, Destination, PlayedBy, PolicySet};
use crate::world::Key;

impl Destinations<'_> {
    /// A name whose Service is not among the manifests, while its pods are known.
    pub(super) fn by_name(
        &mut self,
        (object, entry): (&Object, &EntryDestination),
        (host, key, port): (Arc<str>, Option<Key>, u16),
        backing: &Pods,
    ) -> Arc<Destination> {
        let cached = (host, port, None, true);
        if let Some(destination) = self.resolved.get(&cached) {
            return Arc::clone(destination);
        }
        let namespace = key.as_ref().map_or("", |(namespace, _)| namespace);
        let spoken = self.rules.of(&cached.0, namespace).and_then(|rule| {
            let plain = ServicePort::plain(port);
            self.spoken((object, entry), rule.as_ref(), None, &plain)
        });
        let Spoken {
            protocol,
            tls,
            traffic,
        } = match spoken {
            Ok(spoken) => spoken,
            Err(closure) => return nobody(&cached.0, key, port, closure),
        };
        let mut destination = Destination {
            protocol,
            tls,
            traffic,
            ..bare(&cached.0, key, port, PlayedBy::Upstream)
        };
        let namespace = &destination.service.namespace;
        let Pods {
            labels,
            annotations,
        } = backing;
        let in_mesh = self.world.in_mesh(namespace, labels, annotations);
        let of_pods = in_mesh.then(|| self.policies.of(namespace, labels));
        (destination.policies, destination.authentication) =
            self.of_reference(&destination, of_pods);
        let destination = Arc::new(destination);
        self.resolved.insert(cached, Arc::clone(&destination));
        destination
    }

    /// Policies of pods, and of the Service that leads to them and is not in the manifests.
    fn of_reference(
        &self,
        destination: &Destination,
        of_pods: Option<(PolicySet, Authentication)>,
    ) -> (PolicySet, Authentication) {
        let service = &destination.service;
        let target = (TargetKind::Service, &*service.namespace, &*service.name);
        workload_guards::with_attached(self.policies, target, of_pods.unwrap_or_default())
    }

    /// What this process plays answers without a Service, too; policies of its whole namespace
    /// count.
    pub(super) fn without_service(
        &self,
        host: &Arc<str>,
        key: Option<Key>,
        port: u16,
        played_by: PlayedBy,
    ) -> Arc<Destination> {
        let mut destination = bare(host, key, port, played_by);
        let namespace = &destination.service.namespace;
        let none = Labels::new();
        let in_mesh = self.world.in_mesh(namespace, &none, &none);
        let of_pods = in_mesh.then(|| self.policies.of(namespace, &none));
        (destination.policies, destination.authentication) =
            self.of_reference(&destination, of_pods);
        Arc::new(destination)
    }
}
