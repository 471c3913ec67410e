//! Files that ConfigMaps and Secrets bring into a container.

use std::sync::Arc;

use super::described;
use crate::finding::{Finding, Severity, codes};
use crate::manifest::config_map::ConfigMap;
use crate::manifest::secret::SecretData;
use crate::manifest::workload::{Container, FileSource, Workload};
use crate::names::Secret;
use crate::objects::{self, Field, Node, Object, Value, YamlFault};
use crate::world::World;

/// A text that a container reads as a file, and where it stands in the manifests.
pub(crate) struct ConfigFile {
    pub(crate) object: Arc<Object>,
    pub(crate) key: Arc<str>,
    value: Secret,
    /// Where the key is in the object.
    map: &'static str,
    /// Line of the key.
    line: u32,
    /// Whether the text stands below its key, line by line.
    block: bool,
}

impl ConfigFile {
    /// An entry of a ConfigMap.
    pub(crate) fn of_config_map(config_map: &ConfigMap, key: &str) -> Option<Self> {
        let (key, text) = config_map.data.get_key_value(key)?;
        Some(Self {
            object: Arc::clone(&config_map.object),
            key: Arc::clone(key),
            value: Secret::new(text.text.as_bytes()),
            map: "data",
            line: text.line,
            block: is_block(&config_map.object, text.line, &text.text),
        })
    }

    /// A file by itself, which `object` stands for.
    pub(crate) fn of_text(object: &Arc<Object>, text: &str) -> Self {
        Self {
            object: Arc::clone(object),
            key: "".into(),
            value: Secret::new(text.as_bytes()),
            map: "",
            line: 0,
            block: true,
        }
    }

    /// An entry of a Secret.
    pub(crate) fn of_secret(secret: &SecretData, key: &str) -> Option<Self> {
        let (key, value) = secret.data.get_key_value(key)?;
        let line = secret
            .lines
            .get(key)
            .copied()
            .unwrap_or(secret.object.place.line);
        // Text in base64 has no lines in the file.
        let plain = secret
            .object
            .root
            .path(&["stringData"])
            .is_some_and(|data| data.entry(key).is_some());
        let text = value.expose_str().unwrap_or_default();
        Some(Self {
            object: Arc::clone(&secret.object),
            key: Arc::clone(key),
            block: plain && is_block(&secret.object, line, text),
            value: value.clone(),
            map: if plain { "stringData" } else { "data" },
            line,
        })
    }

    /// The bytes.
    pub(crate) fn value(&self) -> &Secret {
        &self.value
    }

    /// The text; a file that is no text reads as an empty one.
    pub(crate) fn text(&self) -> &str {
        self.value.expose_str().unwrap_or_default()
    }

    /// Line in the manifest of the `nth` line of the text, from 0.
    pub(crate) fn line(&self, nth: u32) -> u32 {
        if self.block {
            self.line + 1 + nth
        } else {
            self.line
        }
    }

    /// Path of the text in its object.
    pub(crate) fn field(&self) -> String {
        format!("{}[{}]", self.map, self.key)
    }

    /// The text as YAML, its lines those of the manifest; an empty mapping when it is empty.
    ///
    /// # Errors
    /// The syntax error.
    pub(crate) fn yaml(&self) -> Result<Node, YamlFault> {
        let empty = || Node {
            value: Value::Map(Vec::new()),
            line: self.line,
        };
        if self.block {
            return Ok(objects::parse(self.text(), self.line + 1)?.unwrap_or_else(empty));
        }
        let mut node = match objects::parse(self.text(), 1) {
            Ok(node) => node.unwrap_or_else(empty),
            Err(fault) => {
                return Err(YamlFault {
                    line: self.line,
                    ..fault
                });
            }
        };
        flatten(&mut node, self.line);
        Ok(node)
    }

    /// For reading the YAML with findings.
    pub(crate) fn top<'a>(&'a self, node: &'a Node) -> Field<'a> {
        Field {
            object: &self.object,
            node,
            path: self.field(),
        }
    }
}

fn flatten(node: &mut Node, line: u32) {
    node.line = line;
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| flatten(item, line)),
        Value::Map(entries) => entries.iter_mut().for_each(|(_, item)| flatten(item, line)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => {}
    }
}

/// A block scalar begins on the line below its key; quoted text begins beside it, and other keys
/// follow sooner than the text has lines.
fn is_block(object: &Object, line: u32, text: &str) -> bool {
    let flow = |data: &str| {
        object
            .root
            .field(data)
            .is_some_and(|data| data.line == line)
    };
    if flow("data") || flow("stringData") {
        return false;
    }
    let lines = u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
    let mut clash = false;
    object.root.each_text(&mut |_, other| {
        clash |= other > line && other <= line.saturating_add(lines);
    });
    !clash && text.contains('\n')
}

/// The file that a container sees under `path`; the deepest mount wins.
///
/// # Errors
/// A finding when nothing is mounted there, or what is mounted is not in the manifests.
pub(crate) fn file(
    world: &World,
    workload: &Workload,
    container: &Container,
    path: &str,
) -> Result<ConfigFile, Box<Finding>> {
    let absent = |fault: String, remedy: &str| {
        let (code, error) = (codes::FILE_ABSENT, Severity::Error);
        Box::new(workload.object.finding(
            code,
            error,
            container.line,
            "volumeMounts",
            fault,
            remedy,
        ))
    };
    let mounts = container.mounts.iter().filter_map(|mount| {
        let base = mount.path.trim_end_matches('/');
        let below = path.strip_prefix(base)?;
        let inner = match (below.strip_prefix('/'), &mount.sub_path) {
            (Some(rest), Some(sub)) => format!("{}/{rest}", sub.trim_end_matches('/')),
            (Some(rest), None) => rest.to_owned(),
            (None, Some(sub)) if below.is_empty() => sub.to_string(),
            (None, _) => return None,
        };
        Some((base.len(), &mount.volume, inner))
    });
    let Some((_, volume, inner)) = mounts.max_by_key(|(depth, ..)| *depth) else {
        return Err(absent(
            format!("nothing is mounted at `{path}`"),
            "mount the ConfigMap or Secret that holds it",
        ));
    };
    let sources = workload.volumes.iter().find(|other| other.name == *volume);
    let sources = sources.map_or(&[][..], |volume| &volume.sources);
    let mut wanted = Vec::new();
    for source in sources {
        let (FileSource::ConfigMap { items, .. } | FileSource::Secret { items, .. }) = source;
        let key = match items.iter().find(|(_, path)| **path == *inner) {
            Some((key, _)) => Arc::clone(key),
            None if items.is_empty() => inner.as_str().into(),
            None => continue,
        };
        let found = match source {
            FileSource::ConfigMap { name, .. } => world
                .config_map(&workload.namespace, name)
                .and_then(|found| ConfigFile::of_config_map(found, &key)),
            FileSource::Secret { name, .. } => world
                .secret(&workload.namespace, name)
                .and_then(|found| ConfigFile::of_secret(found, &key)),
        };
        match found {
            Some(found) => return Ok(found),
            None => wanted.push(described(source, Some(&key), &workload.namespace)),
        }
    }
    if wanted.is_empty() {
        let fault = format!("the volume `{volume}` brings no file for `{path}`");
        return Err(absent(fault, "take it from a ConfigMap or a Secret"));
    }
    let fault = format!(
        "the file `{path}` needs {}, which is not here",
        wanted.join(" or ")
    );
    Err(absent(fault, "add it to the manifests"))
}
