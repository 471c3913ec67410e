use http::HeaderMap;
use model::objects::{File, ObjectSet};

use super::*;
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
kind: Namespace
metadata: {name: apps, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: apps}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: apps}
spec:
  gateways: [istio-system/front]
  hosts: ['*']
  http:
  - route: [{destination: {host: web, port: {number: 80}}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: watch, namespace: istio-system}
spec: {action: AUDIT, rules: [{}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-post, namespace: apps}
spec: {action: DENY, rules: [{to: [{operation: {methods: [POST]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: all, namespace: apps}
spec:
  rules:
  - to: [{operation: {paths: [/nothing]}}]
  - {}
";

#[derive(Default)]
struct Told(Vec<String>);

impl Record for Told {
    fn step(&mut self, step: Step) {
        self.0.push(match step {
            Step::Route(route) => {
                format!("route {:?}", route.map(|route| route.object.to_string()))
            }
            Step::Policy {
                stage,
                policy,
                action,
                matched,
                unmet,
            } => {
                assert_eq!(matched.is_some(), unmet.is_empty());
                let said = if matched.is_some() {
                    "matches"
                } else {
                    "does not match"
                };
                format!("{stage:?} {action} {} {said}", policy.object.name)
            }
            other => format!("{other:?}"),
        });
    }
}

#[test]
fn every_step_is_told_in_its_order_and_changes_nothing() {
    let file = File {
        name: "m.yaml".into(),
        text: MANIFESTS.to_owned(),
    };
    let snapshot = model::compile(&ObjectSet { files: vec![file] }).snapshot;
    let headers = HeaderMap::new();
    let head = RequestHead::sample("h", "/x", &headers);
    let request = Request::read(head, snapshot.normalization()).unwrap();
    let mut told = Told::default();
    let decision = decide_recording(&request, &snapshot, &Session::anonymous(), &mut told);
    assert_eq!(
        told.0,
        [
            "route Some(\"VirtualService apps/web\")",
            "Gateway AUDIT watch matches",
            "Destination AUDIT watch matches",
            "Destination DENY no-post does not match",
            "Destination ALLOW all matches",
        ]
    );
    let quiet = decide(&request, &snapshot, &Session::anonymous());
    assert_eq!(quiet.reason, decision.reason);
    let Reason::Rule { policy, line } = decision.reason else {
        panic!("a rule decides")
    };
    assert_eq!((&*policy.object.name, line), ("all", 44));
    let Outcome::Forward(permit) = decision.outcome else {
        panic!("{:?}", decision.outcome)
    };
    assert_eq!(permit.path_and_query(), None);
}
