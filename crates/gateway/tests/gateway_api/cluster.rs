//! What the suite would apply to a cluster: its manifests, with what the API server and the suite
//! itself would add.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::format::{Step, Test};
use super::pairs::Pairs;

const FIXTURE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../fixtures/gateway-api-1.6.1/"
);

/// The class of the suite's Gateways.
const CLASS: &str = "doorward";

/// The objects that are there.
pub(crate) struct Cluster {
    /// By kind, namespace and name.
    objects: BTreeMap<(String, String, String), Value>,
}

impl Cluster {
    /// The base and the manifests of a test.
    pub(crate) fn of(test: &Test, pairs: &Pairs) -> Self {
        let mut cluster = Self {
            objects: BTreeMap::new(),
        };
        cluster.set(&read("base.yaml"));
        for name in &test.manifests {
            cluster.set(&read(&format!("tests/{name}")));
        }
        cluster.put(json!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "GatewayClass",
            "metadata": { "name": CLASS },
            "spec": { "controllerName": "doorward.dev/gateway" },
        }));
        for object in pairs.objects() {
            cluster.put(object.clone());
        }
        cluster
    }

    /// Applies what a step changes.
    pub(crate) fn apply(&mut self, step: &Step) {
        for gone in &step.remove {
            let (kind, name) = gone.split_once(' ').unwrap();
            let (namespace, name) = name.split_once('/').unwrap();
            let key = (kind.to_owned(), namespace.to_owned(), name.to_owned());
            assert!(self.objects.remove(&key).is_some(), "{gone}");
        }
        self.set(&step.set);
        for object in self.objects.values_mut() {
            object["metadata"]["generation"] = step.generation.into();
        }
    }

    /// Every object as one text.
    pub(crate) fn manifests(&self) -> String {
        let texts = self.objects.values().map(Value::to_string);
        texts.collect::<Vec<_>>().join("\n---\n")
    }

    /// Every Service with a selector of an application: namespace, name, application.
    pub(crate) fn services(&self) -> Vec<(String, String, String)> {
        let services = self
            .objects
            .iter()
            .filter(|((kind, ..), _)| kind == "Service");
        services
            .filter_map(|((_, namespace, name), object)| {
                let app = object["spec"]["selector"]["app"].as_str()?;
                Some((namespace.clone(), name.clone(), app.to_owned()))
            })
            .collect()
    }

    fn set(&mut self, text: &str) {
        let text = text
            .replace("{GATEWAY_CLASS_NAME}", CLASS)
            .replace("{GATEWAY_CONTROLLER_NAME}", "doorward.dev/gateway");
        if text.trim().is_empty() {
            return;
        }
        let documents: Vec<Option<Map<String, Value>>> =
            serde_saphyr::from_multiple(&text).unwrap();
        for object in documents.into_iter().flatten() {
            self.put(Value::Object(object));
        }
    }

    fn put(&mut self, object: Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &object["metadata"];
        let key = (
            text(&object["kind"]),
            text(&metadata["namespace"]),
            text(&metadata["name"]),
        );
        self.objects.insert(key, object);
    }
}

fn read(name: &str) -> String {
    std::fs::read_to_string(format!("{FIXTURE}{name}")).unwrap()
}
