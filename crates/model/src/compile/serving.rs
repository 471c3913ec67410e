//! Hosts and routes that Knative and KServe make of their own kinds.
//!
//! In a cluster their controllers write VirtualServices; where those are among the manifests they
//! count. Otherwise the same routes are made here, and lead to the revision at once: the local
//! gateway between the two is what this process stands in for.

mod backing;
mod hosts;
mod inference;
mod knative;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::finding::Finding;
use crate::manifest::gateway::Gateway;
use crate::manifest::inference_service::{InferenceService, IngressConfig};
use crate::manifest::knative::{Knative, Serving};
use crate::manifest::virtual_service::{HttpEntry, VirtualService};
use crate::manifest::visibility::Visibility;
use crate::names::{Host, HostPattern};
use crate::objects::Object;
use crate::snapshot::{Closure, ComputedHost, Identity};
use crate::world::{KNATIVE_SERVICE, Key, World};
use hosts::Hosts;
pub(super) use knative::EXAMPLE_DOMAIN;

/// What they make.
#[derive(Default)]
pub(super) struct Made {
    pub(super) services: Vec<VirtualService>,
    pub(super) hosts: Vec<ComputedHost>,
}

/// A host and what is served on it.
#[derive(Clone)]
struct Proposal {
    object: Arc<Object>,
    host: String,
    gateways: Vec<Key>,
    http: Vec<HttpEntry>,
    /// Several objects have routes on this host by intent.
    is_shared: bool,
    closed: Option<Arc<Closure>>,
}

/// What the makers read.
struct Sources<'a> {
    world: &'a World,
    knative: Knative,
    /// Knative Services and Routes, by namespace and name.
    servings: BTreeMap<Key, Serving>,
}

/// Makes the routes of every Knative `Service`, `Route` and `InferenceService` for which there are
/// no VirtualServices yet.
pub(super) fn make(
    world: &World,
    written: &[VirtualService],
    gateways: &[Gateway],
    identity: &Identity,
    findings: &mut Vec<Finding>,
) -> Made {
    let knative = Knative::read(world, findings);
    let ingress = IngressConfig::read(world, findings);
    let mut servings = BTreeMap::new();
    // A Service has a Route of its own name; where both are there, it knows more.
    for kind in [KNATIVE_SERVICE, "Route"] {
        for object in world.of_kind(kind) {
            let key = (Arc::clone(object.namespace()), Arc::clone(object.name()));
            servings
                .entry(key)
                .or_insert_with(|| Serving::read(object, findings));
        }
    }
    let models: Vec<InferenceService> = world
        .of_kind("InferenceService")
        .iter()
        .map(|object| InferenceService::read(object, findings))
        .collect();
    let sources = Sources {
        world,
        knative,
        servings,
    };
    let owned = Owned::of(written);
    let mut made = knative::Maker::new(&sources);
    for serving in sources.servings.values() {
        if !owned.route(serving) {
            made.route(serving, findings);
        }
    }
    if let Some(ingress) = &ingress {
        for model in &models {
            inference::make(model, ingress, &owned, &mut made, findings);
        }
    }
    let proposals = made.finish(findings);
    Hosts::new(written, gateways, identity, &sources, ingress.as_ref()).serve(proposals, findings)
}

/// What has VirtualServices of its controller's own.
struct Owned<'a> {
    routes: HashSet<(&'a str, &'a str)>,
    models: HashSet<(&'a str, &'a str)>,
}

impl<'a> Owned<'a> {
    fn of(written: &'a [VirtualService]) -> Self {
        let mut owned = Self {
            routes: HashSet::new(),
            models: HashSet::new(),
        };
        for service in written {
            let object = &service.object;
            let label = object
                .root
                .path(&["metadata", "labels"])
                .and_then(|labels| labels.entry("serving.knative.dev/route"))
                .and_then(|label| label.text());
            owned
                .routes
                .extend(label.map(|route| (&**object.namespace(), route)));
            let owners = object.root.path(&["metadata", "ownerReferences"]);
            let owners = owners.and_then(|owners| owners.items()).unwrap_or_default();
            for owner in owners {
                let text = |name| owner.entry(name).and_then(|node| node.text());
                if let (Some("InferenceService"), Some(name)) = (text("kind"), text("name")) {
                    owned.models.insert((object.namespace(), name));
                }
            }
        }
        owned
    }

    fn route(&self, serving: &Serving) -> bool {
        self.routes.contains(&(&*serving.namespace, &*serving.name))
    }

    fn model(&self, object: &Object) -> bool {
        self.models.contains(&(object.namespace(), object.name()))
    }
}

impl Proposal {
    /// The VirtualService that a controller would write.
    fn into_service(self, host: Host, gateways: Vec<Key>) -> VirtualService {
        VirtualService {
            object: self.object,
            hosts: vec![HostPattern::Exact(host)],
            gateways,
            mesh_only: false,
            gateways_unreadable: false,
            visibility: Visibility::Everywhere,
            http: self.http,
            streams: Vec::new(),
            closed: self.closed,
        }
    }
}
