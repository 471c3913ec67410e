//! Doors that have to be closed although no policy says so: something that guards them is there
//! and cannot be read, or is of a kind that is not acted on.

use std::sync::Arc;

use crate::finding::{Finding, Severity, codes};
use crate::manifest::authorization_policy::{AuthorizationPolicy, object_info};
use crate::manifest::selection::Selection;
use crate::names::Place;
use crate::objects::{Object, string_map};
use crate::snapshot::{Closure, PolicyInfo};
use crate::world::World;

/// Name of the ConfigMap with the mesh configuration.
const MESH: &str = "istio";

/// Kinds that turn on the access rules of early Istio versions.
const RBAC: [&str; 2] = ["ClusterRbacConfig", "RbacConfig"];

/// Words in an `EnvoyFilter` that decides who gets in.
const GUARDING: [&str; 8] = [
    "ext_authz",
    "jwt_authn",
    "rbac",
    "oauth2",
    "basic_auth",
    "wasm",
    ":respond(",
    ":httpcall(",
];

/// A closed policy for each guard that is not understood.
pub(super) fn unread(
    world: &World,
    mesh_closed: Option<&Arc<Closure>>,
    root_namespace: &Arc<str>,
    findings: &mut Vec<Finding>,
) -> Vec<AuthorizationPolicy> {
    let mut doors = Vec::new();
    let everything = Selection::whole(root_namespace);
    let mesh_objects = world
        .of_kind("ConfigMap")
        .iter()
        .filter(|object| &**object.name() == MESH);
    if let Some(closure) = mesh_closed {
        let (object, place) = (closure.object.clone(), closure.place.clone());
        let info = object
            .zip(place)
            .map(|(object, place)| PolicyInfo { object, place });
        let info = info.map(Arc::new).or_else(|| {
            mesh_objects
                .clone()
                .next()
                .map(|object| object_info(object))
        });
        doors.extend(info.map(|info| door(everything.clone(), info, closure)));
    }
    for object in mesh_objects.filter(|object| {
        world
            .config_map(object.namespace(), object.name())
            .is_none()
    }) {
        let closure = Closure {
            code: codes::FIELD,
            object: Some(object.reference.clone()),
            place: Some(object.place.clone()),
            fault: "the mesh configuration cannot be read".into(),
        };
        doors.push(door(
            everything.clone(),
            object_info(object),
            &Arc::new(closure),
        ));
    }
    for broken in &world.broken {
        let kind = &*broken.object.kind;
        let mesh = kind == "ConfigMap" && &*broken.object.name == MESH;
        let wide = mesh || RBAC.contains(&kind);
        if wide || kind == "EnvoyFilter" {
            let info = PolicyInfo {
                object: broken.object.clone(),
                place: broken.place.clone(),
            };
            let selection = if wide {
                everything.clone()
            } else {
                Selection::of_broken(broken, root_namespace)
            };
            doors.push(door(selection, Arc::new(info), &broken.closure));
        }
    }
    for object in world.of_kind("EnvoyFilter") {
        doors.extend(envoy_filter(object, findings));
    }
    for object in RBAC.iter().flat_map(|kind| world.of_kind(kind)) {
        let mode = object
            .root
            .path(&["spec", "mode"])
            .and_then(|mode| mode.text());
        if mode != Some("OFF") {
            let finding = object.finding(
                codes::KIND_NOT_READ,
                Severity::Error,
                object.place.line,
                "spec.mode",
                "this turns on role-based access of an Istio before 1.6, which is not read here, so everything is closed",
                "write `AuthorizationPolicy` objects instead, or set the mode to `OFF`",
            );
            let closure = Arc::new(Closure::of(&finding));
            findings.push(finding);
            doors.push(door(everything.clone(), object_info(object), &closure));
        }
    }
    doors
}

fn door(
    selection: Selection,
    info: Arc<PolicyInfo>,
    closure: &Arc<Closure>,
) -> AuthorizationPolicy {
    AuthorizationPolicy::door(selection, info, Arc::clone(closure))
}

/// A filter that decides who gets in closes the workloads it is put into; any other is left out.
fn envoy_filter(object: &Arc<Object>, findings: &mut Vec<Finding>) -> Option<AuthorizationPolicy> {
    let mut guards = object.root.path(&["spec"]).is_none();
    object.root.each_text(&mut |text, _| {
        let text = text.to_ascii_lowercase();
        guards |= GUARDING.iter().any(|word| text.contains(word));
    });
    let Place { line, .. } = object.place;
    let remedy = "use an `AuthorizationPolicy` with the action CUSTOM, or remove the filter";
    if !guards {
        let fault = "an `EnvoyFilter` has no effect here";
        findings.push(object.finding(
            codes::KIND_NOT_READ,
            Severity::Warning,
            line,
            "",
            fault,
            remedy,
        ));
        return None;
    }
    let fault =
        "this `EnvoyFilter` decides who gets in and is not read here, so what it selects is closed";
    let finding = object.finding(
        codes::KIND_NOT_READ,
        Severity::Error,
        line,
        "",
        fault,
        remedy,
    );
    let closure = Arc::new(Closure::of(&finding));
    findings.push(finding);
    let labels = object.root.path(&["spec", "workloadSelector", "labels"]);
    let labels = labels.or_else(|| object.root.path(&["spec", "workloadLabels"]));
    let selection = Selection {
        labels: string_map(labels),
        ..Selection::whole(object.namespace())
    };
    Some(AuthorizationPolicy::door(
        selection,
        object_info(object),
        closure,
    ))
}
