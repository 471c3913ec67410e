//! What a container finds when it starts: its environment, and the files that ConfigMaps and
//! Secrets bring.

mod files;
mod process;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::workload::{Container, EnvValue, FileSource, Workload};
use crate::finding::{Finding, Severity, codes};
use crate::names::Secret;
use crate::objects::Object;
use crate::snapshot::Closure;
use crate::world::{Key, World};
pub(crate) use files::{ConfigFile, file};
pub(crate) use process::{named, of_process};

/// The environment of one container.
#[derive(Default)]
pub(crate) struct Environment {
    variables: BTreeMap<Arc<str>, Variable>,
    /// What a real pod could not start without.
    pub(crate) missing: Vec<Missing>,
}

/// One variable. The value may be a secret whatever it came from.
#[derive(Clone)]
pub(crate) struct Variable {
    pub(crate) value: Secret,
    /// The object that holds the value.
    pub(crate) object: Arc<Object>,
    pub(crate) line: u32,
    /// Path of the value in that object.
    pub(crate) field: String,
}

/// A ConfigMap, Secret or key that is named and not there.
pub(crate) struct Missing {
    /// The variable; `None` when a whole object of unknown variables is missing.
    pub(crate) variable: Option<Arc<str>>,
    pub(crate) closure: Arc<Closure>,
}

impl Environment {
    /// Resolves `envFrom`, then `env`, as the kubelet does: later entries win.
    pub(crate) fn of(
        world: &World,
        workload: &Workload,
        container: &Container,
        findings: &mut Vec<Finding>,
    ) -> Self {
        let mut environment = Self::default();
        let namespace = &*workload.namespace;
        for from in &container.env_from {
            match entries(world, namespace, &from.source) {
                Ok(all) => {
                    for entry in all {
                        let name = format!("{}{}", from.prefix, entry.key);
                        environment
                            .variables
                            .insert(name.into(), entry.into_variable());
                    }
                }
                Err(absence) => {
                    environment.note(workload, from.line, "envFrom", None, absence, findings);
                }
            }
        }
        for variable in &container.env {
            let resolved = match &variable.value {
                EnvValue::Text(text) => Ok(Some(Variable {
                    value: Secret::new(environment.expand(text)),
                    object: Arc::clone(&workload.object),
                    line: variable.line,
                    field: format!("env[{}]", variable.name),
                })),
                EnvValue::ConfigMapKey {
                    name,
                    key,
                    optional,
                } => {
                    let name = Arc::clone(name);
                    let source = FileSource::ConfigMap {
                        name,
                        optional: *optional,
                        items: vec![],
                    };
                    one(world, namespace, &source, key)
                }
                EnvValue::SecretKey {
                    name,
                    key,
                    optional,
                } => {
                    let name = Arc::clone(name);
                    let source = FileSource::Secret {
                        name,
                        optional: *optional,
                        items: vec![],
                    };
                    one(world, namespace, &source, key)
                }
                EnvValue::Field(path) => Ok(field_of(workload, path).map(|value| Variable {
                    value: Secret::new(value.as_bytes()),
                    object: Arc::clone(&workload.object),
                    line: variable.line,
                    field: format!("env[{}]", variable.name),
                })),
                EnvValue::Unknown => Ok(None),
            };
            match resolved {
                Ok(Some(value)) => {
                    environment
                        .variables
                        .insert(Arc::clone(&variable.name), value);
                }
                Ok(None) => {
                    environment.variables.remove(&variable.name);
                }
                Err(absence) => {
                    environment.variables.remove(&variable.name);
                    let name = Some(Arc::clone(&variable.name));
                    environment.note(workload, variable.line, "env", name, absence, findings);
                }
            }
        }
        environment
    }

    fn note(
        &mut self,
        workload: &Workload,
        line: u32,
        field: &str,
        variable: Option<Arc<str>>,
        absence: Absence,
        findings: &mut Vec<Finding>,
    ) {
        let closure = match absence {
            Absence::Closed(closure) => closure,
            Absence::Missing(what) => {
                let fault = match &variable {
                    Some(name) => format!("the variable `{name}` needs {what}, which is not here"),
                    None => format!("the environment needs {what}, which is not here"),
                };
                let remedy = "add it to the manifests, or mark the reference `optional`";
                let (code, error) = (codes::ENVIRONMENT_SOURCE, Severity::Error);
                let finding = workload
                    .object
                    .finding(code, error, line, field, fault, remedy);
                let closure = Arc::new(Closure::of(&finding));
                findings.push(finding);
                closure
            }
        };
        self.missing.push(Missing { variable, closure });
    }

    /// The variable of this name.
    pub(crate) fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.get(name)
    }

    /// Every variable, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Variable)> {
        self.variables.iter()
    }

    /// Adds a variable that no container declares, when there is one.
    pub(crate) fn insert(&mut self, name: &str, variable: Option<Variable>) {
        self.variables
            .extend(variable.map(|variable| (name.into(), variable)));
    }

    /// `$(NAME)` in arguments and values; an unknown name stays as it is, `$$` is one `$`.
    pub(crate) fn expand(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(tail) = rest.strip_prefix('$') {
                out.push('$');
                rest = tail;
            } else if let Some((name, tail)) =
                rest.strip_prefix('(').and_then(|r| r.split_once(')'))
            {
                match self
                    .variable(name)
                    .and_then(|variable| variable.value.expose_str())
                {
                    Some(value) => out.push_str(value),
                    None => out.extend(["$(", name, ")"]),
                }
                rest = tail;
            } else {
                out.push('$');
            }
        }
        out.push_str(rest);
        out
    }
}

/// The downward API, as far as it is known without a running pod.
fn field_of(workload: &Workload, path: &str) -> Option<Arc<str>> {
    match path {
        "metadata.namespace" => Some(Arc::clone(&workload.namespace)),
        "spec.serviceAccountName" => Some(Arc::clone(&workload.service_account)),
        _ => None,
    }
}

/// The Services in front of a workload; its own name when no Service is in the manifests.
pub(crate) fn services(world: &World, workload: &Workload) -> Vec<Key> {
    let keys = world.services_of(workload);
    let keys: Vec<Key> = keys
        .map(|service| (Arc::clone(&service.namespace), Arc::clone(&service.name)))
        .collect();
    if keys.is_empty() {
        return vec![(
            Arc::clone(&workload.namespace),
            Arc::clone(workload.object.name()),
        )];
    }
    keys
}

struct Entry {
    key: Arc<str>,
    value: Secret,
    object: Arc<Object>,
    line: u32,
}

impl Entry {
    fn into_variable(self) -> Variable {
        let field = format!("data[{}]", self.key);
        Variable {
            value: self.value,
            object: self.object,
            line: self.line,
            field,
        }
    }
}

enum Absence {
    Missing(String),
    /// It is there, and must not be relied on.
    Closed(Arc<Closure>),
}

fn described(source: &FileSource, key: Option<&str>, namespace: &str) -> String {
    let (kind, name) = match source {
        FileSource::ConfigMap { name, .. } => ("ConfigMap", name),
        FileSource::Secret { name, .. } => ("Secret", name),
    };
    match key {
        Some(key) => format!("the key `{key}` of {kind} `{namespace}/{name}`"),
        None => format!("{kind} `{namespace}/{name}`"),
    }
}

fn entries(world: &World, namespace: &str, source: &FileSource) -> Result<Vec<Entry>, Absence> {
    let (found, object, optional) = match source {
        FileSource::ConfigMap { name, optional, .. } => {
            let found = world.config_map(namespace, name);
            let all = found.map(|config_map| {
                let entries = config_map.data.iter().map(|(key, text)| Entry {
                    key: Arc::clone(key),
                    value: Secret::new(text.text.as_bytes()),
                    object: Arc::clone(&config_map.object),
                    line: text.line,
                });
                entries.collect::<Vec<_>>()
            });
            (all, found.map(|config_map| &config_map.object), *optional)
        }
        FileSource::Secret { name, optional, .. } => {
            let found = world.secret(namespace, name);
            let all = found.map(|secret| {
                let entries = secret.data.iter().map(|(key, value)| Entry {
                    key: Arc::clone(key),
                    value: value.clone(),
                    object: Arc::clone(&secret.object),
                    line: secret
                        .lines
                        .get(key)
                        .copied()
                        .unwrap_or(secret.object.place.line),
                });
                entries.collect::<Vec<_>>()
            });
            (all, found.map(|secret| &secret.object), *optional)
        }
    };
    if let Some(closure) = object.and_then(|object| object.closed.as_ref()) {
        return Err(Absence::Closed(Arc::clone(closure)));
    }
    match found {
        Some(found) => Ok(found),
        None if optional => Ok(Vec::new()),
        None => Err(Absence::Missing(described(source, None, namespace))),
    }
}

fn one(
    world: &World,
    namespace: &str,
    source: &FileSource,
    key: &str,
) -> Result<Option<Variable>, Absence> {
    let (FileSource::ConfigMap { optional, .. } | FileSource::Secret { optional, .. }) = source;
    let found = entries(world, namespace, source)?
        .into_iter()
        .find(|entry| &*entry.key == key);
    match found {
        Some(entry) => Ok(Some(entry.into_variable())),
        None if *optional => Ok(None),
        None => Err(Absence::Missing(described(source, Some(key), namespace))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::{File, ObjectSet};

    fn world(text: &str) -> World {
        let files = vec![File {
            name: "pod.yaml".into(),
            text: text.to_owned(),
        }];
        let mut findings = Vec::new();
        let world = World::read(&ObjectSet { files }, &mut findings);
        assert_eq!(findings, []);
        world
    }

    /// A Deployment whose container has these fields, and objects beside it.
    fn pod(container: &str, volumes: &str) -> String {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d, namespace: n}}\nspec:\n  template:\n    spec:\n      serviceAccountName: sa\n      containers:\n      - name: c\n        {container}\n      volumes: {volumes}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m, namespace: n}}\ndata:\n  A: a\n  B: from the map\n  text: |\n    one: 1\n    two: 2\n---\napiVersion: v1\nkind: Secret\nmetadata: {{name: s, namespace: n}}\ndata:\n  K: a2V5\nstringData:\n  B: from the secret\n"
        )
    }

    fn environment(container: &str) -> (Environment, Vec<Finding>) {
        let world = world(&pod(container, "[]"));
        let workload = &world.workloads[0];
        let mut findings = Vec::new();
        let found = Environment::of(&world, workload, &workload.containers[0], &mut findings);
        (found, findings)
    }

    fn value<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
        environment
            .variable(name)
            .and_then(|variable| variable.value.expose_str())
    }

    #[test]
    fn later_sources_win_and_single_variables_last() {
        let (found, findings) = environment(
            "{envFrom: [{configMapRef: {name: m}}, {secretRef: {name: s}, prefix: ''}, {configMapRef: {name: m}, prefix: P_}], env: [{name: A, value: own}, {name: C, value: '$(A)-$(P_A)-$$(A)-$(NO)-$'}, {name: NS, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}, {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]}"
                .trim_start_matches('{')
                .trim_end_matches('}')
                .replace(", env:", "\n        env:")
                .as_str(),
        );
        assert_eq!(findings, []);
        assert_eq!(value(&found, "A"), Some("own"));
        assert_eq!(value(&found, "B"), Some("from the secret"));
        assert_eq!(value(&found, "P_B"), Some("from the map"));
        assert_eq!(value(&found, "K"), Some("key"));
        assert_eq!(value(&found, "C"), Some("own-a-$(A)-$(NO)-$"));
        assert_eq!(value(&found, "NS"), Some("n"));
        assert_eq!(value(&found, "IP"), None);
        let variable = found.variable("K").unwrap();
        assert_eq!((variable.line, &*variable.field), (28, "data[K]"));
    }

    #[test]
    fn what_is_missing_is_an_error_unless_it_is_optional() {
        let (found, findings) = environment(
            "env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: no}}}, {name: B, valueFrom: {configMapKeyRef: {name: no, key: k}}}, {name: C, valueFrom: {secretKeyRef: {name: no, key: k, optional: true}}}, {name: D, valueFrom: {configMapKeyRef: {name: m, key: no, optional: true}}}]\n        envFrom: [{secretRef: {name: no}}, {secretRef: {name: no2, optional: true}}]",
        );
        let faults: Vec<_> = findings.iter().map(|finding| &*finding.fault).collect();
        let wanted = [
            "the environment needs Secret `n/no`, which is not here",
            "the variable `A` needs the key `no` of Secret `n/s`, which is not here",
            "the variable `B` needs ConfigMap `n/no`, which is not here",
        ];
        assert_eq!(faults, wanted);
        let missing: Vec<_> = found
            .missing
            .iter()
            .map(|one| one.variable.as_deref())
            .collect();
        assert_eq!(missing, [None, Some("A"), Some("B")]);
        assert!(
            ["A", "B", "C", "D"]
                .iter()
                .all(|name| found.variable(name).is_none())
        );
    }

    fn mounted(mounts: &str, volumes: &str, path: &str) -> Result<(String, u32), String> {
        let world = world(&pod(&format!("volumeMounts: {mounts}"), volumes));
        let workload = &world.workloads[0];
        let found = file(&world, workload, &workload.containers[0], path);
        found
            .map(|file| (file.text().to_owned(), file.line(1)))
            .map_err(|finding| finding.fault)
    }

    #[test]
    fn files_are_found_through_mounts() {
        let text = || Ok(("one: 1\ntwo: 2\n".to_owned(), 21));
        let whole = "[{name: v, configMap: {name: m}}]";
        let items = "[{name: v, configMap: {name: m, items: [{key: text, path: in/x.yaml}]}}]";
        let both =
            "[{name: v, projected: {sources: [{secret: {name: s}}, {configMap: {name: m}}]}}]";
        let at = |path: &str| format!("[{{name: v, mountPath: {path}}}]");
        assert_eq!(mounted(&at("/etc/x/"), whole, "/etc/x/text"), text());
        assert_eq!(mounted(&at("/etc/x"), items, "/etc/x/in/x.yaml"), text());
        assert_eq!(mounted(&at("/etc/x"), both, "/etc/x/text"), text());
        let sub = "[{name: o, mountPath: /etc}, {name: v, mountPath: /etc/y.cfg, subPath: text}]";
        assert_eq!(mounted(sub, whole, "/etc/y.cfg"), text());
        let sub = "[{name: v, mountPath: /etc/y, subPath: in}]";
        assert_eq!(mounted(sub, items, "/etc/y/x.yaml"), text());
    }

    #[test]
    fn files_that_are_not_there_say_why() {
        let whole = "[{name: v, configMap: {name: m}}]";
        let fault =
            |mounts: &str, volumes: &str, path: &str| mounted(mounts, volumes, path).unwrap_err();
        let at = "[{name: v, mountPath: /etc/x}]";
        assert_eq!(
            fault("[]", whole, "/etc/x/text"),
            "nothing is mounted at `/etc/x/text`"
        );
        assert_eq!(
            fault(at, whole, "/etc/xy/text"),
            "nothing is mounted at `/etc/xy/text`"
        );
        let wanted =
            "the file `/etc/x/no` needs the key `no` of ConfigMap `n/m`, which is not here";
        assert_eq!(fault(at, whole, "/etc/x/no"), wanted);
        let wanted = "the volume `v` brings no file for `/etc/x/text`";
        assert_eq!(
            fault(at, "[{name: v, emptyDir: {}}]", "/etc/x/text"),
            wanted
        );
    }

    #[test]
    fn only_block_texts_have_lines_of_their_own() {
        let lines = |text: &str, key: &str| {
            let world = world(text);
            let file = ConfigFile::of_config_map(world.config_map("n", "m").unwrap(), key).unwrap();
            [file.line(0), file.line(1)]
        };
        let block = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m, namespace: n}\ndata:\n  a: |-\n    x: 1\n    y: 2\n  b: \"x: 1\\ny: 2\\n\"\n  c: z\n";
        assert_eq!(lines(block, "a"), [6, 7]);
        assert_eq!(lines(block, "b"), [8, 8]);
        let json = "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"m\", \"namespace\": \"n\"}, \"data\": {\"a\": \"x: 1\\ny: 2\\n\"}}";
        assert_eq!(lines(json, "a"), [1, 1]);
    }
}
