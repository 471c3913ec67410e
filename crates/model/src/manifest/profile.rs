//! Kubeflow `Profile` (kubeflow.org): a namespace and whose it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::config_map::ConfigMap;
use super::role_binding::OWNER_BINDING;
use crate::finding::{Finding, Severity, codes};
use crate::names::{ObjectRef, is_label};
use crate::objects::{Fault, Field, Node, Object, parse, string_map};
use crate::snapshot::{Closure, Named, Subject, SubjectKind};
use crate::world::Key;

/// Plugins of the profile controller, and what they do in the cluster.
const PLUGINS: [(&str, &[&str]); 2] = [
    ("WorkloadIdentity", &["gcpServiceAccount"]),
    ("AwsIamForServiceAccount", &["awsIamRole", "annotateOnly"]),
];

/// Whose the namespace of a Profile is. That of one that cannot be read is nobody's.
pub(crate) fn owner(object: &Object, findings: &mut Vec<Finding>) -> Result<Subject, Arc<Closure>> {
    if let Some(closure) = &object.closed {
        return Err(Arc::clone(closure));
    }
    convert(object, findings).map_err(|mut fault| {
        if fault.code == codes::FIELD {
            fault.code = codes::PROFILE_INVALID;
        }
        let closure = Arc::new(Closure::of(&fault));
        findings.push(*fault);
        closure
    })
}

fn convert(object: &Object, findings: &mut Vec<Finding>) -> Result<Subject, Fault> {
    let top = object.top();
    if !is_label(object.name()) {
        let fault = format!("`{}` cannot be the name of a namespace", object.name());
        return Err(top.fault(
            fault,
            "write up to 63 small letters, digits and `-`, with a letter or digit at both ends",
        ));
    }
    let spec = top.required("spec")?;
    spec.only(&["owner", "plugins", "resourceQuotaSpec"])?;
    let owner = spec.required("owner")?;
    owner.only(&["kind", "apiGroup", "name", "namespace"])?;
    let kind = owner.required("kind")?;
    let Some(subject_kind) = SubjectKind::parse(kind.text()?) else {
        let fault = format!("`{}` is no kind of owner", kind.text()?);
        return Err(kind.fault(fault, "write `User`, `Group` or `ServiceAccount`"));
    };
    let name = owner.required("name")?;
    let text = name.text()?;
    if text.is_empty() {
        return Err(name.fault("the owner has no name", "write the e-mail of the owner"));
    }
    if text.starts_with('*') || text.ends_with('*') {
        // In the policy that follows it would be a pattern.
        let fault = format!("`{text}` is nobody's name");
        return Err(name.fault(fault, "name one owner, without `*`"));
    }
    for plugin in spec.child_items("plugins")? {
        check_plugin(&plugin, findings)?;
    }
    Ok(Subject {
        kind: subject_kind,
        name: text.into(),
    })
}

/// Plugins act in the cluster, not on requests: only what they are is said.
fn check_plugin(plugin: &Field<'_>, findings: &mut Vec<Finding>) -> Result<(), Fault> {
    plugin.only(&["apiVersion", "kind", "spec"])?;
    let kind = plugin.required("kind")?;
    let kind_text = kind.text()?;
    let (severity, fault, remedy) = match PLUGINS.iter().find(|(known, _)| *known == kind_text) {
        Some((known, fields)) => {
            if let Some(spec) = plugin.child("spec") {
                spec.only(fields)?;
            }
            (
                Severity::Note,
                format!("the plugin `{known}` is for the profile controller of the cluster"),
                "nothing to do: it does not concern requests",
            )
        }
        None => (
            Severity::Warning,
            format!("`{kind_text}` is no plugin of the profile controller"),
            "write `WorkloadIdentity` or `AwsIamForServiceAccount`, or remove it",
        ),
    };
    let (line, path) = (kind.line(), kind.path.clone());
    let code = codes::PROFILE_PLUGIN;
    let object = plugin.object;
    findings.push(object.finding(code, severity, line, path, fault, remedy));
    Ok(())
}

/// The policy that the controller makes for the owner.
pub(crate) const OWNER_POLICY: &str = "ns-owner-access-istio";

/// Whether an object is one that the controller makes in the namespace of every Profile.
pub(crate) fn is_of_controller(object: &ObjectRef) -> bool {
    matches!(
        (&*object.kind, &*object.name),
        (
            "ServiceAccount" | "RoleBinding",
            "default-editor" | "default-viewer"
        ) | ("RoleBinding", OWNER_BINDING)
            | ("ResourceQuota", "kf-resource-quota")
            | ("AuthorizationPolicy", OWNER_POLICY)
    )
}

/// Labels that the controller gives a namespace unless a file says others.
const LABELS: [(&str, &str); 4] = [
    ("app.kubernetes.io/part-of", "kubeflow-profile"),
    ("katib.kubeflow.org/metrics-collector-injection", "enabled"),
    ("pipelines.kubeflow.org/enabled", "true"),
    ("serving.kubeflow.org/inferenceservice", "enabled"),
];

/// Key of the file with labels.
const LABELS_FILE: &str = "namespace-labels.yaml";

type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// The labels of a namespace that the controller makes: the file that it is given, if it can be
/// read. An empty value takes a label away.
pub(crate) fn namespace_labels(config_maps: &BTreeMap<Key, ConfigMap>) -> Labels {
    let injection = [(Arc::from("istio-injection"), Arc::from("enabled"))];
    let mut maps = config_maps.values();
    let file = maps.find_map(|map| map.data.get(LABELS_FILE));
    let root = file.and_then(|file| parse(&file.text, 1).ok()?);
    let listed: Labels = match &root {
        Some(root) => string_map(Some(root)),
        None => LABELS
            .iter()
            .map(|(key, value)| (Arc::from(*key), Arc::from(*value)))
            .collect(),
    };
    let mut labels: Labels = injection.into_iter().chain(listed).collect();
    labels.retain(|_, value| !value.is_empty());
    labels
}

/// The Namespace that the controller makes of a Profile.
pub(crate) fn namespace(profile: &Object, labels: &Labels) -> Object {
    let line = profile.place.line;
    let owner = profile.root.path(&["spec", "owner", "name"]);
    let owner = owner.and_then(|name| name.text()).unwrap_or_default();
    let labels = labels
        .iter()
        .map(|(key, value)| (Arc::clone(key), Node::of_text(line, Arc::clone(value))));
    let metadata = [
        ("name", Node::of_text(line, Arc::clone(profile.name()))),
        (
            "annotations",
            Node::of_entries(line, [("owner", Node::of_text(line, owner))]),
        ),
        ("labels", Node::of_entries(line, labels)),
    ];
    Object {
        reference: ObjectRef::new("Namespace", "", Arc::clone(profile.name())),
        group: "".into(),
        version: "v1".into(),
        place: profile.place.clone(),
        root: Node::of_entries(line, [("metadata", Node::of_entries(line, metadata))]),
        closed: profile.closed.clone(),
    }
}

/// `ns-owner-access-istio` as the controller makes it.
pub(crate) fn owner_policy(profile: &Object, owner: &Subject, named: &Named) -> Object {
    let line = profile.place.line;
    let text = |text: &str| Node::of_text(line, text);
    let texts = |all: &[&str]| Node::of_items(line, all.iter().map(|one| text(one)).collect());
    let one = |node| Node::of_items(line, vec![node]);
    let map = |entries: Vec<(&'static str, Node)>| Node::of_entries(line, entries);
    let from = |principals: &[&str]| {
        let source = map(vec![("principals", texts(principals))]);
        ("from", one(map(vec![("source", source)])))
    };
    let to = |operation| ("to", one(map(vec![("operation", map(operation))])));
    let when = |key: &str, value: &str| {
        let condition = map(vec![("key", text(key)), ("values", texts(&[value]))]);
        ("when", one(condition))
    };
    let user = format!("{}{}", named.prefix, owner.name);
    let header = format!("request.headers[{}]", named.header);
    let rules = vec![
        map(vec![
            from(&[&named.gateway, &named.pipelines]),
            when(&header, &user),
        ]),
        map(vec![when("source.namespace", profile.name())]),
        map(vec![to(vec![(
            "paths",
            texts(&["/healthz", "/metrics", "/wait-for-drain"]),
        )])]),
        map(vec![
            from(&[&named.notebooks]),
            to(vec![
                ("methods", texts(&["GET"])),
                ("paths", texts(&["*/api/kernels"])),
            ]),
        ]),
    ];
    let spec = map(vec![
        ("action", text("ALLOW")),
        ("rules", Node::of_items(line, rules)),
    ]);
    Object {
        reference: ObjectRef::new(
            "AuthorizationPolicy",
            Arc::clone(profile.name()),
            OWNER_POLICY,
        ),
        group: "security.istio.io".into(),
        version: "v1".into(),
        place: profile.place.clone(),
        root: map(vec![("spec", spec)]),
        closed: None,
    }
}
