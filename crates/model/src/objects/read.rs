//! Files to objects.

use std::collections::HashMap;
use std::sync::Arc;

use super::documents;
use super::node::{Node, Value};
use super::object::Object;
use super::remains::{Remains, remains};
use super::{File, ObjectSet, yaml};
use crate::finding::{Finding, Severity, codes};
use crate::names::{ObjectRef, Place};
use crate::snapshot::{Closure, TextMatch};

/// A document that could not be read, and what its text still tells.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Broken {
    /// As far as it is readable; empty texts where it is not.
    pub(crate) object: ObjectRef,
    /// Whether the namespace was readable; otherwise it is a guess.
    pub(crate) namespace_known: bool,
    /// Items of its first `hosts` list.
    pub(crate) hosts: Vec<String>,
    /// Its first `host`.
    pub(crate) host: Option<String>,
    /// Paths of requests that it was about.
    pub(crate) paths: Vec<TextMatch>,
    /// Where it begins.
    pub(crate) place: Place,
    /// Why.
    pub(crate) closure: Arc<Closure>,
}

/// The kind whose remains close paths and hosts.
pub(crate) const VIRTUAL_SERVICE: &str = "VirtualService";

/// Kinds that belong to no namespace.
const CLUSTER_SCOPED: [&str; 13] = [
    "APIService",
    "ClusterIssuer",
    "ClusterRbacConfig",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "GatewayClass",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "PriorityClass",
    "Profile",
    "ValidatingWebhookConfiguration",
];

/// Reads every object of the set, in the order in which Istio breaks ties: name, then namespace.
/// Where the same object stands twice with the same content, one is kept.
pub(crate) fn read(
    set: &ObjectSet,
    findings: &mut Vec<Finding>,
) -> (Vec<Arc<Object>>, Vec<Broken>) {
    let mut objects = Vec::new();
    let mut broken = Vec::new();
    for read in in_parts(&set.files) {
        objects.extend(read.objects);
        broken.extend(read.broken);
        findings.extend(read.findings);
    }
    // Place breaks the tie among copies of one object only.
    objects.sort_by(|a, b| order(a).cmp(&order(b)));
    (without_copies(objects, findings), broken)
}

/// What some files hold.
#[derive(Default)]
struct Part {
    objects: Vec<Object>,
    broken: Vec<Broken>,
    findings: Vec<Finding>,
}

/// Text for which another thread is worth its while.
const WORTH_A_THREAD: usize = 1 << 20;

/// Reads the files, in their order. Parsing is most of what a change of a large tree costs, and one
/// file has nothing to do with the next: what comes of them does not depend on who read which.
fn in_parts(files: &[File]) -> Vec<Part> {
    let size: usize = files.iter().map(|file| file.text.len()).sum();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let parts = threads.min(size / WORTH_A_THREAD).max(1);
    if parts == 1 {
        return vec![part(files)];
    }
    std::thread::scope(|scope| {
        let running: Vec<_> = files
            .chunks(files.len().div_ceil(parts).max(1))
            .map(|files| (files, scope.spawn(move || part(files))))
            .collect();
        let read = running
            .into_iter()
            .map(|(files, thread)| thread.join().unwrap_or_else(|_| part(files)));
        read.collect()
    })
}

fn part(files: &[File]) -> Part {
    let mut read = Part::default();
    for file in files {
        for document in documents::split(&file.text) {
            match yaml::parse(document.text, document.line) {
                Ok(Some(root)) => unpack(file, root, &mut read.objects, &mut read.findings),
                Ok(None) => {}
                Err(fault) => {
                    let remains = remains(document.text);
                    read.broken.extend(broken_document(
                        file,
                        document.line,
                        &fault,
                        remains,
                        &mut read.findings,
                    ));
                }
            }
        }
    }
    read
}

fn order(object: &Object) -> (&str, &str, &str, &str, &Place) {
    let ObjectRef {
        kind,
        namespace,
        name,
    } = &object.reference;
    (name, namespace, kind, &object.group, &object.place)
}

/// A document that is no YAML: one finding, and what is left of each kind of object in it.
fn broken_document(
    file: &File,
    line: u32,
    fault: &yaml::YamlFault,
    remains: Remains,
    findings: &mut Vec<Finding>,
) -> Vec<Broken> {
    let kind = remains.kind.unwrap_or_default();
    let namespace_known = remains.namespace.is_some();
    let namespace = match remains.namespace {
        Some(namespace) => namespace,
        None if CLUSTER_SCOPED.contains(&kind.as_str()) => String::new(),
        None => "default".to_owned(),
    };
    let object = ObjectRef::new(kind, namespace, remains.name.unwrap_or_default());
    let mut kinds: Vec<Arc<str>> = remains
        .inner
        .iter()
        .map(|kind| kind.as_str().into())
        .collect();
    // Which of several objects these were about cannot be told.
    let host = remains.host.filter(|_| kinds.is_empty());
    kinds.push(Arc::clone(&object.kind));
    let finding = Finding {
        code: codes::SYNTAX,
        severity: Severity::Error,
        place: Some(Place::new(Arc::clone(&file.name), fault.line)),
        object: (!object.kind.is_empty()).then(|| object.clone()),
        field: String::new(),
        fault: format!("this is no YAML: {}", fault.message),
        remedy: if kinds.iter().any(|kind| &**kind == VIRTUAL_SERVICE) {
            // Which part is closed depends on who else serves its hosts: said when that is known.
            "mend the document".to_owned()
        } else {
            "mend the document; until then what it selects is closed".to_owned()
        },
    };
    let closure = Arc::new(Closure::of(&finding));
    findings.push(finding);
    let broken = kinds.into_iter().map(|kind| Broken {
        object: ObjectRef {
            kind,
            ..object.clone()
        },
        namespace_known,
        hosts: remains.hosts.clone(),
        host: host.clone(),
        paths: remains.paths.clone(),
        place: Place::new(Arc::clone(&file.name), line),
        closure: Arc::clone(&closure),
    });
    broken.collect()
}

/// One document: an object, or a `List` of objects.
fn unpack(file: &File, root: Node, objects: &mut Vec<Object>, findings: &mut Vec<Finding>) {
    let place = Place::new(Arc::clone(&file.name), root.line);
    let note = |severity, fault: &str, remedy: &str, code| Finding {
        code,
        severity,
        place: Some(place.clone()),
        object: None,
        field: String::new(),
        fault: fault.to_owned(),
        remedy: remedy.to_owned(),
    };
    let kind = root.entry("kind").and_then(Node::text).map(str::to_owned);
    let version = root
        .entry("apiVersion")
        .and_then(Node::text)
        .map(str::to_owned);
    if kind.is_none() && version.is_none() && root.entry("meshConfig").is_some() {
        objects.push(mesh_values(place, root));
        return;
    }
    let (Some(kind), Some(version)) = (kind, version) else {
        findings.push(note(
            Severity::Note,
            "this document is no Kubernetes object: it has no `kind` and `apiVersion`",
            "remove it from the manifests, or add both",
            codes::NOT_AN_OBJECT,
        ));
        return;
    };
    if kind.ends_with("List") && root.entry("items").is_some() {
        if let Value::Map(entries) = root.value {
            let items = entries.into_iter().find(|(key, _)| &**key == "items");
            if let Some((
                _,
                Node {
                    value: Value::List(items),
                    ..
                },
            )) = items
            {
                items
                    .into_iter()
                    .for_each(|item| unpack(file, item, objects, findings));
            }
        }
        return;
    }
    let Some(reference) = reference(&root) else {
        findings.push(note(
            Severity::Error,
            &format!("this `{kind}` has no `metadata.name`"),
            "name it",
            codes::NAMELESS,
        ));
        return;
    };
    let (group, version) = version.split_once('/').unwrap_or(("", &version));
    objects.push(Object {
        group: group.into(),
        version: version.into(),
        reference,
        place: place.clone(),
        root,
        closed: None,
    });
}

/// Stands for the group of what is no object: values of a Helm chart.
pub(crate) const HELM: &str = "helm";

/// Values of Istio's Helm chart, which hold the mesh configuration in the place of a ConfigMap.
fn mesh_values(place: Place, root: Node) -> Object {
    Object {
        group: HELM.into(),
        version: "".into(),
        reference: ObjectRef::new("MeshConfig", "", "values"),
        place,
        root,
        closed: None,
    }
}

/// Kind, namespace and name of an object that has a kind and a name.
pub(super) fn reference(root: &Node) -> Option<ObjectRef> {
    let kind = root.entry("kind")?.text()?;
    let metadata = |name| root.path(&["metadata", name]).and_then(Node::scalar);
    let name = metadata("name").filter(|name| !name.is_empty())?;
    let namespace = match metadata("namespace") {
        _ if CLUSTER_SCOPED.contains(&kind) => "".into(),
        Some(namespace) if !namespace.is_empty() => namespace,
        _ => "default".into(),
    };
    Some(ObjectRef::new(kind, &*namespace, &*name))
}

/// Drops equal copies; copies that differ are all kept and closed, for nobody can say which one
/// is meant.
fn without_copies(objects: Vec<Object>, findings: &mut Vec<Finding>) -> Vec<Arc<Object>> {
    let mut kept: Vec<Object> = Vec::with_capacity(objects.len());
    let mut first: HashMap<(ObjectRef, Arc<str>), usize> = HashMap::new();
    for mut object in objects {
        let key = (object.reference.clone(), Arc::clone(&object.group));
        let Some(&at) = first.get(&key) else {
            first.insert(key, kept.len());
            kept.push(object);
            continue;
        };
        let same = same_content(&kept[at].root, &object.root);
        let (severity, how) = if same {
            (Severity::Warning, "")
        } else {
            (Severity::Error, " with other content")
        };
        let fault = format!(
            "`{}` also stands at `{}`{how}",
            object.reference, kept[at].place
        );
        let line = object.place.line;
        let finding = object.finding(
            codes::DUPLICATE,
            severity,
            line,
            "",
            fault,
            "keep one of them",
        );
        if !same {
            let closure = Arc::new(Closure::of(&finding));
            kept[at].closed = Some(Arc::clone(&closure));
            object.closed = Some(closure);
            kept.push(object);
        }
        findings.push(finding);
    }
    kept.into_iter().map(Arc::new).collect()
}

/// Equality without lines.
fn same_content(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_content(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            let others: HashMap<&str, &Node> =
                b.iter().map(|(name, node)| (&**name, node)).collect();
            let same = |(key, node): &(Arc<str>, Node)| {
                let other = others.get(&**key);
                other.is_some_and(|other| same_content(node, other))
            };
            a.len() == b.len() && a.iter().all(same)
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_in_parts_is_what_is_read_in_one() {
        let filler = "x".repeat(WORTH_A_THREAD / 8);
        let file = |at: usize| File {
            name: format!("{at}.yaml").into(),
            text: format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m-{at}}}\ndata: {{a: {filler}}}\n---\nkind: [\n---\nkind: nothing\n"
            ),
        };
        let files: Vec<File> = (0..33).map(file).collect();
        let parts = in_parts(&files);
        let whole = part(&files);
        let objects: Vec<_> = parts.iter().flat_map(|part| part.objects.clone()).collect();
        let findings: Vec<_> = parts
            .iter()
            .flat_map(|part| part.findings.clone())
            .collect();
        assert_eq!((objects.len(), whole.broken.len()), (33, 33));
        assert!(objects == whole.objects && findings == whole.findings);
    }
}
