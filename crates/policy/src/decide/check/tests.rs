use http::HeaderMap;
use model::objects::{File, ObjectSet};

use super::*;
use crate::decision::Refusal;
use crate::request::RequestHead;

const MANIFESTS: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: apps}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: canary, namespace: apps}
spec: {selector: {app: canary}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: apps}
spec:
  gateways: [istio-system/front]
  hosts: ['*']
  http:
  - match: [{uri: {prefix: /split}}]
    fault: {abort: {httpStatus: 500, percentage: {value: 100}}}
    route:
    - {destination: {host: web, port: {number: 80}}, weight: 1}
    - {destination: {host: canary, port: {number: 80}}, weight: 99}
  - match: [{uri: {prefix: /off}}]
    route:
    - {destination: {host: web, port: {number: 80}}, weight: 100}
    - {destination: {host: canary, port: {number: 80}}, weight: 0}
  - match: [{uri: {prefix: /old}}]
    redirect: {uri: /new}
  - match: [{uri: {prefix: /lost}}]
    route: [{destination: {host: gone, port: {number: 80}}}]
  - match: [{uri: {prefix: /web}}]
    route: [{destination: {host: web, port: {number: 80}}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-post, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  action: DENY
  rules: [{to: [{operation: {methods: [POST]}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: closed, namespace: apps}
spec:
  selector: {matchLabels: {app: canary}}
  action: DENY
  rules: [{}]
";

fn said(method: &http::Method, path: &str) -> String {
    let file = File {
        name: "m.yaml".into(),
        text: MANIFESTS.to_owned(),
    };
    let snapshot = model::compile(&ObjectSet { files: vec![file] }).snapshot;
    let headers = HeaderMap::new();
    let head = RequestHead {
        method,
        ..RequestHead::sample("h", path, &headers)
    };
    let request = Request::read(head, snapshot.normalization()).unwrap();
    let check = check(&request, &snapshot, &Session::anonymous());
    match check.outcome {
        Checked::Pass(pass) => match pass.destination() {
            Some(destination) => format!("pass to {}", destination.service.name),
            None => "pass".to_owned(),
        },
        Checked::Stop(Outcome::Refuse(Refusal::Denied)) => "denied".to_owned(),
        Checked::Stop(Outcome::Refuse(Refusal::Closed(_))) => "closed".to_owned(),
        Checked::Stop(other) => format!("{other:?}"),
    }
}

fn get(path: &str) -> String {
    said(&http::Method::GET, path)
}

#[test]
fn routes_are_somebody_elses_and_rules_are_not() {
    assert_eq!(get("/web"), "pass to web");
    assert_eq!(get("/nowhere"), "pass");
    assert_eq!(get("/old"), "pass");
    for path in ["/web", "/nowhere", "/old"] {
        assert_eq!(said(&http::Method::POST, path), "denied", "{path}");
    }
}

#[test]
fn every_destination_that_may_be_drawn_has_to_let_it_in() {
    // One request in a hundred would get in.
    assert_eq!(get("/split"), "denied");
    assert_eq!(get("/off"), "pass to web");
}

#[test]
fn a_destination_that_does_not_exist_is_closed() {
    assert_eq!(get("/lost"), "closed");
}
