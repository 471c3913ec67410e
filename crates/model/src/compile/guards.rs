//! Doors that have to be closed although no policy says so: something that guards them is there
//! and cannot be read, or is of a kind that is not acted on.

use std::sync::Arc;

use super::legacy::CONFIGS;
use crate::finding::{Finding, Severity, codes};
use crate::manifest::authorization_policy::{AuthorizationPolicy, object_info};
use crate::manifest::envoy_filter;
use crate::manifest::mesh::AuthorizerEntry;
use crate::manifest::selection::Selection;
use crate::names::Place;
use crate::objects::{Node, Object, string_map};
use crate::snapshot::{Closure, PolicyInfo};
use crate::world::World;

/// Name of the ConfigMap with the mesh configuration.
const MESH: &str = "istio";

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
) -> (Vec<AuthorizationPolicy>, Vec<AuthorizerEntry>) {
    let mut doors = Vec::new();
    let mut authorizers = Vec::new();
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
        let wide = mesh || CONFIGS.contains(&kind);
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
        match ext_authz(object, findings) {
            Some((policy, entry)) => {
                doors.push(policy);
                authorizers.push(entry);
            }
            None => doors.extend(envoy_filter(object, findings)),
        }
    }
    (doors, authorizers)
}

fn door(
    selection: Selection,
    info: Arc<PolicyInfo>,
    closure: &Arc<Closure>,
) -> AuthorizationPolicy {
    AuthorizationPolicy::door(selection, info, Arc::clone(closure))
}

/// A filter that is an external authorizer and nothing else, as Kubeflow up to 1.8 had it: the
/// CUSTOM policy that means the same, and whom it asks.
fn ext_authz(
    object: &Arc<Object>,
    findings: &mut Vec<Finding>,
) -> Option<(AuthorizationPolicy, AuthorizerEntry)> {
    if object.closed.is_some() {
        return None;
    }
    let entry = envoy_filter::authorizer(object).ok()?;
    let line = object.place.line;
    let labels = selected(object);
    let mut spec = vec![
        ("action", Node::of_text(line, "CUSTOM")),
        (
            "provider",
            Node::of_entries(
                line,
                [("name", Node::of_text(line, Arc::clone(&entry.name)))],
            ),
        ),
        (
            "rules",
            Node::of_items(line, vec![Node::of_entries::<&str>(line, [])]),
        ),
    ];
    if let Some(labels) = labels {
        let selector = Node::of_entries(line, [("matchLabels", labels.clone())]);
        spec.push(("selector", selector));
    }
    let root = Node::of_entries(line, [("spec", Node::of_entries(line, spec))]);
    let provider = envoy_filter::provider(&entry);
    let remedy = format!(
        "write `{provider}` into `extensionProviders` of the mesh configuration and the `AuthorizationPolicy` `{}` instead",
        root.json()
    );
    let mut policy = AuthorizationPolicy::read(
        &Object {
            root,
            ..(**object).clone()
        },
        &[],
        findings,
    );
    // The filter is one of gateways, wherever a policy of the root namespace would be.
    policy.selection.is_local = true;
    let mut say = |code, fault: &str, remedy: String| {
        let warning = Severity::Warning;
        findings.push(object.finding(code, warning, line, "", fault, remedy));
    };
    let fault = "this `EnvoyFilter` is how Kubeflow up to 1.8 asked an external authorizer; it is enforced as the policy that means the same";
    say(codes::LEGACY_EXT_AUTHZ, fault, remedy);
    if entry.fail_open {
        let fault = "requests pass when the authorizer cannot be reached";
        let remedy = "remove `failureModeAllow`".to_owned();
        say(codes::AUTHORIZER_SETTING, fault, remedy);
    }
    Some((policy, entry))
}

/// The labels of the workloads that a filter is put into.
fn selected(object: &Object) -> Option<&Node> {
    let labels = object.root.path(&["spec", "workloadSelector", "labels"]);
    labels.or_else(|| object.root.path(&["spec", "workloadLabels"]))
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
    let selection = Selection {
        labels: string_map(selected(object)),
        ..Selection::whole(object.namespace())
    };
    Some(AuthorizationPolicy::door(
        selection,
        object_info(object),
        closure,
    ))
}
