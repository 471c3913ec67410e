//! Which headers decisions depend on, so that a log can hold what a decision was made from.

use std::collections::BTreeSet;

use http::HeaderName;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN};
use model::Snapshot;
use model::snapshot::{Attribute, PolicySet, Route, RouteAction, VirtualHosts};

/// The headers from outside that policies and routes of `snapshot` compare; those that say who the
/// user is are not among them, because nobody outside may send them.
pub fn tested_headers(snapshot: &Snapshot) -> Vec<HeaderName> {
    let mut names = BTreeSet::new();
    let mut add = |name: &HeaderName| {
        names.insert(name.as_str().to_owned());
    };
    of_policies(snapshot.gateway_policies(), &mut add);
    let hosts = snapshot
        .listeners()
        .values()
        .flat_map(|one| one.virtual_hosts());
    for (_, routes) in hosts.flat_map(VirtualHosts::iter) {
        for route in routes.iter() {
            of_route(route, &mut add);
        }
    }
    let identity = snapshot.identity_headers();
    let names = names.into_iter().filter_map(|name| name.parse().ok());
    names
        .filter(|name| *name != HOST && !identity.contains(name))
        .collect()
}

fn of_route(route: &Route, add: &mut impl FnMut(&HeaderName)) {
    let tests = route.matches.iter().flat_map(|one| &one.headers);
    tests.for_each(|test| add(&test.name));
    if route.cors.is_some() {
        add(&ORIGIN);
        add(&ACCESS_CONTROL_REQUEST_METHOD);
    }
    if let Some(guard) = &route.guard {
        of_policies(&guard.gateway, add);
        of_policies(&guard.attached, add);
    }
    if let RouteAction::Forward(forward) = &route.action {
        for one in &forward.destinations {
            of_policies(&one.destination.policies, add);
        }
    }
}

fn of_policies(policies: &PolicySet, add: &mut impl FnMut(&HeaderName)) {
    let PolicySet {
        custom,
        audit: _,
        deny,
        allow,
    } = policies;
    let rules = [custom, deny, allow]
        .into_iter()
        .flatten()
        .flat_map(|policy| &policy.rules);
    for test in rules.flat_map(|rule| &rule.when) {
        if let Attribute::Header(name) = &test.attribute {
            add(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use model::objects::{File, ObjectSet};

    use super::*;

    #[test]
    fn headers_of_policies_and_routes_are_told_and_identity_is_not() {
        let text = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gateway, namespace: apps}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: apps}
spec:
  hosts: ['*']
  gateways: [gateway]
  http:
  - match: [{headers: {x-beta: {exact: 'on'}}}]
    corsPolicy: {allowOrigins: [{exact: 'https://a'}]}
    directResponse: {status: 200}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: istio-system}
spec:
  action: DENY
  rules:
  - when:
    - {key: 'request.headers[Authorization]', notValues: ['*']}
    - {key: 'request.headers[kubeflow-userid]', values: [a]}
    - {key: 'request.headers[x-team]', values: [a]}
";
        let file = File {
            name: "m.yaml".into(),
            text: text.into(),
        };
        let snapshot = model::compile(&ObjectSet { files: vec![file] }).snapshot;
        assert_eq!(
            tested_headers(&snapshot),
            [
                "access-control-request-method",
                "authorization",
                "origin",
                "x-beta",
                "x-team"
            ]
        );
    }
}
