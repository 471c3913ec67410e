//! Whole trees: the stock installation, the seeds, and small ones that break.

mod closing;
mod delegates;
mod gateway_api;
mod ingress;
mod legacy;
mod linking;
mod policies;
mod policy_targets;
mod policy_traps;
mod profiles;
mod routes;
mod server_traps;
mod servers;
mod serving;
mod sign_in;
mod stock;
mod traffic;
mod traps;
mod unread;

use std::sync::Arc;

use super::*;
use crate::objects::File;
use crate::snapshot::{Destination, Forward, Route, RouteAction, RouteTable, Serves, VirtualHosts};

/// The YAML files of a folder below `fixtures/`.
fn tree(folder: &str) -> ObjectSet {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/");
    let entries = std::fs::read_dir(format!("{root}{folder}")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let yaml = paths.filter(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    let files = yaml.map(|path| File {
        name: path.file_name().unwrap().to_string_lossy().as_ref().into(),
        text: std::fs::read_to_string(&path).unwrap(),
    });
    ObjectSet {
        files: files.collect(),
    }
}

/// One file `a.yaml`.
fn text(text: &str) -> ObjectSet {
    ObjectSet {
        files: vec![File {
            name: "a.yaml".into(),
            text: text.to_owned(),
        }],
    }
}

/// A gateway for `*` on port 80, the namespace `apps` with sidecars, and the Service `web` there.
const BASE: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: main, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}
---
apiVersion: v1
kind: Namespace
metadata: {name: apps, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: apps}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
";

/// [`BASE`] and more documents.
fn with(more: &str) -> Compiled {
    compile(&text(&format!("{BASE}{more}")))
}

/// A VirtualService `apps/NAME` for `*` on the gateway of [`BASE`].
fn virtual_service(name: &str, http: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: apps}}\n\
         spec:\n  hosts: ['*']\n  gateways: [istio-system/main]\n  http:\n{http}\n---\n"
    )
}

/// Code, line and object of every finding but notes.
fn said(compiled: &Compiled) -> Vec<String> {
    let worse = compiled
        .findings
        .iter()
        .filter(|finding| finding.severity > crate::Severity::Note);
    let line = |finding: &Finding| {
        let place = finding.place.as_ref().map_or(0, |place| place.line);
        let object = finding
            .object
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        format!("{} {}:{place} {object}", finding.severity, finding.code)
    };
    worse.map(line).collect()
}

fn routes(compiled: &Compiled, port: u16, host: &str) -> Arc<RouteTable> {
    let listener = compiled.snapshot.listener(port).unwrap();
    Arc::clone(virtual_hosts(listener, host).routes(host).unwrap())
}

/// The virtual hosts of the chain for a host.
fn virtual_hosts<'a>(listener: &'a Listener, host: &str) -> &'a VirtualHosts {
    match &listener.chain(host).unwrap().serves {
        Serves::Http(hosts) => hosts,
        other => panic!("no HTTP: {other:?}"),
    }
}

fn names(routes: &[Arc<Route>]) -> Vec<String> {
    routes
        .iter()
        .map(|route| format!("{} {}", route.info.object.name, route.info.name))
        .collect()
}

fn forward(route: &Route) -> &Forward {
    match &route.action {
        RouteAction::Forward(forward) => forward,
        other => panic!("no forward: {other:?}"),
    }
}

fn destination(route: &Route) -> &Destination {
    &forward(route).destinations[0].destination
}
