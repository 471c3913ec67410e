//! Which Service answers for a Route or for a part of a model, and what is said to it.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::Sources;
use crate::manifest::header_edits::Edits;
use crate::manifest::http_retries::RetrySetting;
use crate::manifest::http_route::{EntryAction, EntryDestination, EntryForward};
use crate::manifest::knative::{Pods, Serving, Target};
use crate::manifest::virtual_service::{EntryMatch, HttpEntry};
use crate::objects::Object;
use crate::snapshot::{HeaderEdits, Rewrite, RouteInfo};

/// The port that Knative and KServe give to every Service.
const PORT: u16 = 80;

/// The full name of a Service.
pub(super) fn full_name(name: &str, namespace: &str) -> String {
    format!("{name}.{namespace}.svc.cluster.local")
}

/// A header to set; `None` where the value cannot be one.
pub(super) fn header(name: &'static str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let value = HeaderValue::from_str(value).ok()?;
    Some((HeaderName::from_static(name), value))
}

/// The splits of the Route's own host: the targets that have a share of its requests.
pub(super) fn splits(sources: &Sources<'_>, serving: &Serving) -> Vec<EntryDestination> {
    let shares: Vec<&Target> = serving
        .traffic
        .iter()
        .filter(|target| target.percent > 0)
        .collect();
    let is_whole = shares.len() == 1;
    shares
        .into_iter()
        .map(|target| split(sources, serving, target, is_whole.then_some(&serving.name)))
        .collect()
}

/// One target. `whole` is the Service that answers for it, too, where it gets every request.
pub(super) fn split(
    sources: &Sources<'_>,
    serving: &Serving,
    target: &Target,
    whole: Option<&Arc<str>>,
) -> EntryDestination {
    let namespace = &serving.namespace;
    let is_there = |name: &str| sources.world.service(namespace, name).is_some();
    let revision = target.revision.as_ref();
    let name = match (revision, whole) {
        (Some(revision), whole) if whole.is_none() || is_there(revision) => revision,
        (_, Some(whole)) => whole,
        (_, None) => &serving.name,
    };
    let mut pods = serving.pods.clone();
    let mut set = Vec::new();
    set.extend(header("knative-serving-namespace", namespace));
    if let Some(revision) = revision {
        set.extend(header("knative-serving-revision", revision));
        pods.labels
            .insert("serving.knative.dev/revision".into(), Arc::clone(revision));
    }
    let request_headers = HeaderEdits {
        set,
        ..HeaderEdits::default()
    };
    let destination = destination(
        sources,
        &serving.object,
        name,
        namespace,
        pods,
        request_headers,
    );
    EntryDestination {
        weight: target.percent,
        ..destination
    }
}

/// A Service by name, whether the manifests hold it or not.
pub(super) fn destination(
    sources: &Sources<'_>,
    object: &Object,
    name: &str,
    namespace: &str,
    pods: Pods,
    request: HeaderEdits,
) -> EntryDestination {
    let ports = sources.world.service(namespace, name);
    let ports = ports.map_or(&[][..], |service| service.ports.as_slice());
    let usual = ports.iter().find(|port| port.number == PORT);
    let port = usual.or(ports.first()).map_or(PORT, |port| port.number);
    EntryDestination {
        weight: 100,
        host: full_name(name, namespace).into(),
        port: Some(port),
        path: "spec".to_owned(),
        line: object.place.line,
        subset: None,
        edits: Edits {
            request,
            ..Edits::default()
        },
        backing: Some(Arc::new(pods)),
    }
}

/// What an entry changes on the way.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) rewrite: Option<Rewrite>,
    pub(super) request_headers: HeaderEdits,
}

/// A route of `object`.
pub(super) fn entry(
    object: &Arc<Object>,
    name: &str,
    matches: Vec<EntryMatch>,
    destinations: Vec<EntryDestination>,
    changes: Changes,
) -> HttpEntry {
    let info = RouteInfo {
        object: object.reference.clone(),
        place: object.place.clone(),
        name: name.into(),
    };
    HttpEntry {
        info: Arc::new(info),
        scope: Arc::clone(object),
        matches,
        cors: None,
        action: EntryAction::Forward(EntryForward {
            destinations,
            rewrite: changes.rewrite,
            request_headers: changes.request_headers,
            response_headers: HeaderEdits::default(),
            // The revision watches over its own time.
            timeout: None,
            retries: RetrySetting::Off,
            mirrors: Vec::new(),
            fault: None,
        }),
    }
}
