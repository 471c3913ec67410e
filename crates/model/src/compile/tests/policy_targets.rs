//! Policies that attach to objects by name.

use super::*;
use crate::finding::{Severity, codes};

const DOORS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: doorward}
spec: {controllerName: doorward.dev/gateway}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: a, namespace: apps}
spec:
  gatewayClassName: doorward
  listeners: [{name: http, port: 80, protocol: HTTP, hostname: a.example}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: b, namespace: apps}
spec:
  gatewayClassName: doorward
  listeners: [{name: http, port: 80, protocol: HTTP, hostname: b.example}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: apps}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: apps}
spec:
  parentRefs: [{name: a}, {name: b}]
  rules: [{backendRefs: [{name: web, port: 80}]}]
---
";

fn policy(kind: &str, targets: &str, more: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: {kind}\nmetadata: {{name: p, namespace: apps}}\n\
         spec:\n  targetRefs: [{targets}]\n{more}\n---\n"
    )
}

fn deny(targets: &str) -> Compiled {
    let more = "  action: DENY\n  rules: [{}]";
    compile(&text(&format!(
        "{DOORS}{}",
        policy("AuthorizationPolicy", targets, more)
    )))
}

/// Whether the route of a host has a guard of its own.
fn is_guarded(compiled: &Compiled, host: &str) -> bool {
    let listener = compiled.snapshot.listener(80).unwrap();
    let tables = listener.virtual_hosts().next().unwrap();
    let (_, routes) = tables
        .iter()
        .find(|(pattern, _)| pattern.to_string() == host)
        .unwrap();
    routes[0].guard.is_some()
}

#[test]
fn a_gateway_that_is_named_is_guarded_and_no_other() {
    let compiled = deny("{group: gateway.networking.k8s.io, kind: Gateway, name: a}");
    assert_eq!(said(&compiled), [""; 0]);
    assert!(is_guarded(&compiled, "a.example"));
    assert!(!is_guarded(&compiled, "b.example"));
    assert!(compiled.snapshot.gateway_policies().deny.is_empty());
}

#[test]
fn a_reference_that_leads_nowhere_is_said() {
    for target in [
        "{group: gateway.networking.k8s.io, kind: Gateway, name: gone}",
        "{group: '', kind: Service, name: gone}",
        "{group: networking.istio.io, kind: ServiceEntry, name: gone}",
        "{group: gateway.networking.k8s.io, kind: GatewayClass, name: gone}",
    ] {
        let compiled = deny(target);
        let finding = &compiled.findings[0];
        assert_eq!(finding.code, codes::POLICY_SELECTS_NOTHING, "{target}");
        assert_eq!(finding.severity, Severity::Warning);
        assert_eq!(finding.field, "spec.targetRefs");
        assert!(!is_guarded(&compiled, "a.example"), "{target}");
    }
}

#[test]
fn a_reference_that_cannot_be_told_closes_all_that_it_may_mean() {
    let many = vec!["{kind: Service, name: web}"; 17].join(", ");
    for targets in [
        "{group: apps, kind: Deployment, name: web}",
        "{group: networking.istio.io, kind: Gateway, name: a}",
        "{kind: Service, name: web, namespace: elsewhere}",
        "{kind: Service}",
        "{kind: Service, name: web, port: 80}",
        &many,
    ] {
        let compiled = deny(targets);
        let finding = &compiled.findings[0];
        assert_eq!(finding.severity, Severity::Error, "{targets}");
        for host in ["a.example", "b.example"] {
            assert!(is_guarded(&compiled, host), "{targets}");
        }
    }
}

#[test]
fn tokens_of_one_gateway_close_it_and_those_of_a_service_are_judged_there() {
    let rules = "  jwtRules: [{issuer: 'https://issuer.example', jwks: '{\"keys\":[]}'}]";
    let of = |target: &str| {
        let more = policy("RequestAuthentication", target, rules);
        compile(&text(&format!("{DOORS}{more}")))
    };
    let compiled = of("{group: gateway.networking.k8s.io, kind: Gateway, name: a}");
    let finding = &compiled.findings[0];
    assert_eq!(finding.code, codes::TARGET_REF);
    assert_eq!(finding.severity, Severity::Error);
    assert!(is_guarded(&compiled, "a.example"));
    assert!(!is_guarded(&compiled, "b.example"));

    let compiled = of("{kind: Service, name: web}");
    assert_eq!(said(&compiled), [""; 0]);
    assert!(!is_guarded(&compiled, "a.example"));
    assert!(compiled.snapshot.gateway_authentication().rules.is_empty());
    let listener = compiled.snapshot.listener(80).unwrap();
    let tables = listener.virtual_hosts().next().unwrap();
    let (_, routes) = tables.iter().next().unwrap();
    let RouteAction::Forward(forward) = &routes[0].action else {
        panic!("no forward");
    };
    let destination = &forward.destinations[0].destination;
    assert_eq!(destination.authentication.rules.len(), 1);
}
