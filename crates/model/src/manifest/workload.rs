//! `Deployment` and `StatefulSet`: what runs, with which labels, arguments, environment and files.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::finding::Finding;
use crate::objects::{Fault, Field, Node, Object, string_map};

/// A Deployment or StatefulSet.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) object: Arc<Object>,
    pub(crate) namespace: Arc<str>,
    /// Labels of the pod template.
    pub(crate) labels: BTreeMap<Arc<str>, Arc<str>>,
    /// Annotations of the pod template.
    pub(crate) annotations: BTreeMap<Arc<str>, Arc<str>>,
    /// `serviceAccountName`; `default` unless set.
    pub(crate) service_account: Arc<str>,
    pub(crate) containers: Vec<Container>,
    pub(crate) volumes: Vec<Volume>,
}

/// A container of the pod template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Container {
    pub(crate) name: Arc<str>,
    pub(crate) image: Arc<str>,
    pub(crate) command: Vec<Arc<str>>,
    pub(crate) args: Vec<Arc<str>>,
    pub(crate) env: Vec<EnvVar>,
    pub(crate) env_from: Vec<EnvFrom>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) ports: Vec<ContainerPort>,
    /// Where it begins.
    pub(crate) line: u32,
}

/// `env[]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnvVar {
    pub(crate) name: Arc<str>,
    pub(crate) value: EnvValue,
    pub(crate) line: u32,
}

/// Where the value of a variable comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EnvValue {
    Text(Arc<str>),
    ConfigMapKey {
        name: Arc<str>,
        key: Arc<str>,
        optional: bool,
    },
    SecretKey {
        name: Arc<str>,
        key: Arc<str>,
        optional: bool,
    },
    /// `fieldRef.fieldPath`, such as `metadata.namespace`.
    Field(Arc<str>),
    /// Only known in a running pod.
    Unknown,
}

/// `envFrom[]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnvFrom {
    pub(crate) prefix: Arc<str>,
    pub(crate) source: FileSource,
    pub(crate) line: u32,
}

/// A ConfigMap or Secret that is named whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileSource {
    ConfigMap {
        name: Arc<str>,
        optional: bool,
        items: Vec<(Arc<str>, Arc<str>)>,
    },
    Secret {
        name: Arc<str>,
        optional: bool,
        items: Vec<(Arc<str>, Arc<str>)>,
    },
}

/// `volumeMounts[]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) volume: Arc<str>,
    pub(crate) path: Arc<str>,
    pub(crate) sub_path: Option<Arc<str>>,
}

/// `volumes[]`: the sources that bring files; none for every other kind of volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) name: Arc<str>,
    pub(crate) sources: Vec<FileSource>,
}

/// `ports[]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContainerPort {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) number: u16,
}

impl Workload {
    /// Reads a workload. Of one that cannot be read the labels stay, for policies select by them.
    pub(crate) fn read(object: &Arc<Object>, findings: &mut Vec<Finding>) -> Self {
        let template = object.root.path(&["spec", "template"]);
        let metadata = |name| string_map(template.and_then(|node| node.path(&["metadata", name])));
        let mut workload = Self {
            object: Arc::clone(object),
            namespace: Arc::clone(object.namespace()),
            labels: metadata("labels"),
            annotations: metadata("annotations"),
            service_account: "default".into(),
            containers: Vec::new(),
            volumes: Vec::new(),
        };
        if let Err(fault) = workload.fill(object) {
            findings.push(*fault);
        }
        workload
    }

    fn fill(&mut self, object: &Object) -> Result<(), Fault> {
        let pod = object
            .top()
            .required("spec")?
            .required("template")?
            .required("spec")?;
        if let Some(account) = pod.child_text("serviceAccountName")? {
            self.service_account = account;
        }
        let containers = pod.child_items("containers")?;
        self.volumes = pod
            .child_items("volumes")?
            .iter()
            .map(volume)
            .collect::<Result<_, _>>()?;
        self.containers = containers.iter().map(container).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// The number of a named container port.
    pub(crate) fn port_named(&self, name: &str) -> Option<u16> {
        let mut ports = self
            .containers
            .iter()
            .flat_map(|container| &container.ports);
        ports
            .find(|port| port.name.as_deref() == Some(name))
            .map(|port| port.number)
    }
}

fn container(field: &Field<'_>) -> Result<Container, Fault> {
    let env = field.child_items("env")?;
    let env_from = field.child_items("envFrom")?;
    let mounts = field.child_items("volumeMounts")?;
    Ok(Container {
        name: field.child_text("name")?.unwrap_or_default(),
        image: field.child_text("image")?.unwrap_or_default(),
        command: field.texts("command")?,
        args: field.texts("args")?,
        env: env.iter().map(env_var).collect::<Result<_, _>>()?,
        env_from: env_from
            .iter()
            .filter_map(|entry| env_source(entry).transpose())
            .collect::<Result<_, _>>()?,
        mounts: mounts.iter().map(mount).collect::<Result<_, _>>()?,
        ports: container_ports(field.node.field("ports")),
        line: field.line(),
    })
}

fn env_var(field: &Field<'_>) -> Result<EnvVar, Fault> {
    let name = field.required("name")?.text()?.into();
    let value = match field.child("valueFrom") {
        None => EnvValue::Text(field.child_text("value")?.unwrap_or_default()),
        Some(from) => {
            let key_of = |reference: &Field<'_>| -> Result<_, Fault> {
                let name = reference.required("name")?.text()?.into();
                Ok((
                    name,
                    reference.required("key")?.text()?.into(),
                    reference.flag("optional")?,
                ))
            };
            if let Some(reference) = from.child("secretKeyRef") {
                let (name, key, optional) = key_of(&reference)?;
                EnvValue::SecretKey {
                    name,
                    key,
                    optional,
                }
            } else if let Some(reference) = from.child("configMapKeyRef") {
                let (name, key, optional) = key_of(&reference)?;
                EnvValue::ConfigMapKey {
                    name,
                    key,
                    optional,
                }
            } else if let Some(path) = from.node.path(&["fieldRef", "fieldPath"]) {
                EnvValue::Field(path.text().unwrap_or_default().into())
            } else {
                EnvValue::Unknown
            }
        }
    };
    Ok(EnvVar {
        name,
        value,
        line: field.line(),
    })
}

fn env_source(field: &Field<'_>) -> Result<Option<EnvFrom>, Fault> {
    let prefix = field.child_text("prefix")?.unwrap_or_default();
    let source = if let Some(reference) = field.child("configMapRef") {
        file_source(&reference, "name", |name, optional, items| {
            FileSource::ConfigMap {
                name,
                optional,
                items,
            }
        })?
    } else if let Some(reference) = field.child("secretRef") {
        file_source(&reference, "name", |name, optional, items| {
            FileSource::Secret {
                name,
                optional,
                items,
            }
        })?
    } else {
        return Ok(None);
    };
    Ok(Some(EnvFrom {
        prefix,
        source,
        line: field.line(),
    }))
}

type Items = Vec<(Arc<str>, Arc<str>)>;

fn file_source(
    field: &Field<'_>,
    name: &str,
    make: impl FnOnce(Arc<str>, bool, Items) -> FileSource,
) -> Result<FileSource, Fault> {
    let mut items = Vec::new();
    for item in field.child_items("items")? {
        items.push((
            item.required("key")?.text()?.into(),
            item.required("path")?.text()?.into(),
        ));
    }
    Ok(make(
        field.required(name)?.text()?.into(),
        field.flag("optional")?,
        items,
    ))
}

fn mount(field: &Field<'_>) -> Result<Mount, Fault> {
    Ok(Mount {
        volume: field.required("name")?.text()?.into(),
        path: field.required("mountPath")?.text()?.into(),
        sub_path: field.child_text("subPath")?,
    })
}

fn volume(field: &Field<'_>) -> Result<Volume, Fault> {
    let mut sources = Vec::new();
    sources.extend(volume_source(field, "secretName")?);
    if let Some(projected) = field.child("projected") {
        for source in projected.child_items("sources")? {
            sources.extend(volume_source(&source, "name")?);
        }
    }
    Ok(Volume {
        name: field.required("name")?.text()?.into(),
        sources,
    })
}

fn volume_source(field: &Field<'_>, secret_name: &str) -> Result<Option<FileSource>, Fault> {
    if let Some(source) = field.child("configMap") {
        return file_source(&source, "name", |name, optional, items| {
            FileSource::ConfigMap {
                name,
                optional,
                items,
            }
        })
        .map(Some);
    }
    if let Some(source) = field.child("secret") {
        return file_source(&source, secret_name, |name, optional, items| {
            FileSource::Secret {
                name,
                optional,
                items,
            }
        })
        .map(Some);
    }
    Ok(None)
}

/// Ports that cannot be read are left out: they only lend numbers to names.
fn container_ports(list: Option<&Node>) -> Vec<ContainerPort> {
    let items = list.and_then(Node::items).unwrap_or_default();
    let ports = items.iter().filter_map(|port| {
        let number = port.field("containerPort")?.scalar()?.parse().ok()?;
        Some(ContainerPort {
            name: port.field("name").and_then(Node::text).map(Arc::from),
            number,
        })
    });
    ports.collect()
}
