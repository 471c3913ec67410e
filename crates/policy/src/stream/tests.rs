//! Streams of small trees.

use model::objects::{File, ObjectSet};

use super::*;

const TREE: &str = r"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 8443, name: pass, protocol: TLS}, hosts: ['*.example.com'], tls: {mode: PASSTHROUGH}}
  - {port: {number: 9000, name: bytes, protocol: TCP}, hosts: ['*']}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: data}
spec: {ports: [{name: tcp, port: 5432}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: db, namespace: data}
spec:
  hosts: ['*.example.com']
  gateways: [istio-system/door]
  tls:
  - match: [{sniHosts: [db.example.com], destinationSubnets: [10.0.0.0/8]}]
    route: [{destination: {host: db, port: {number: 5432}}}]
  - match: [{sniHosts: ['*.deep.example.com']}]
    route: [{destination: {host: gone}}]
  tcp:
  - match: [{port: 9000}]
    route: [{destination: {host: db, port: {number: 5432}}}]
---
apiVersion: v1
kind: Namespace
metadata: {name: data, labels: {istio-injection: enabled}}
---
";

fn ask(more: &str, port: u16, sni: Option<&str>, local: &str) -> (String, String) {
    let files = vec![File {
        name: "t.yaml".into(),
        text: format!("{TREE}{more}"),
    }];
    let snapshot = model::compile(&ObjectSet { files }).snapshot;
    let head = ConnectionHead {
        port,
        peer: "192.0.2.7".parse().unwrap(),
        local: local.parse().unwrap(),
        sni,
        principal: None,
        draw: 7,
    };
    let decision = decide_connection(&head, &snapshot);
    let outcome = match &decision.outcome {
        Ok(permit) => permit.destination().service.to_string(),
        Err(refusal) => refusal.as_str().to_owned(),
    };
    let reason = match decision.reason {
        Reason::Default(reason) => reason.as_str().to_owned(),
        Reason::Rule { policy, .. } => policy.object.name.to_string(),
    };
    (outcome, reason)
}

fn policy(spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: istio-system}}\nspec:\n  selector: {{matchLabels: {{istio: ingressgateway}}}}\n{spec}"
    )
}

#[test]
fn the_server_name_and_the_address_choose_the_route() {
    let db = ("db.data:5432".to_owned(), "no_allow_policy".to_owned());
    let none = ("no_route".to_owned(), "no_route".to_owned());
    assert_eq!(ask("", 8443, Some("db.example.com"), "10.1.2.3"), db);
    assert_eq!(ask("", 8443, Some("db.example.com"), "127.0.0.1"), none);
    assert_eq!(ask("", 8443, Some("x.example.com"), "10.1.2.3"), none);
    assert_eq!(ask("", 8443, None, "10.1.2.3"), none);
    assert_eq!(ask("", 9000, None, "10.1.2.3"), db);
    assert_eq!(ask("", 9001, None, "10.1.2.3"), none);
    let closed = ask("", 8443, Some("a.deep.example.com"), "10.1.2.3");
    assert_eq!(closed, ("closed".to_owned(), "closed_door".to_owned()));
}

#[test]
fn a_deny_rule_restrains_bytes_even_by_what_only_requests_have() {
    let denied = ("denied".to_owned(), "p".to_owned());
    let deny = |rule: &str| policy(&format!("  action: DENY\n  rules: [{rule}]\n"));
    for rule in [
        "{from: [{source: {ipBlocks: [192.0.2.0/24]}}]}",
        "{to: [{operation: {paths: [/admin]}}]}",
        "{to: [{operation: {notMethods: [GET]}}]}",
    ] {
        assert_eq!(ask(&deny(rule), 9000, None, "10.0.0.1"), denied, "{rule}");
    }
    let other = deny("{from: [{source: {ipBlocks: [198.51.100.0/24]}}]}");
    assert_eq!(ask(&other, 9000, None, "10.0.0.1").0, "db.data:5432");
}

#[test]
fn an_allow_rule_grants_nothing_by_what_only_requests_have() {
    let allow = |rule: &str| policy(&format!("  action: ALLOW\n  rules: [{rule}]\n"));
    let ask = |rule: &str| ask(&allow(rule), 9000, None, "10.0.0.1").0;
    assert_eq!(ask("{to: [{operation: {notPaths: [/admin]}}]}"), "denied");
    assert_eq!(
        ask("{from: [{source: {ipBlocks: [192.0.2.0/24]}}]}"),
        "db.data:5432"
    );
}

#[test]
fn a_custom_policy_over_everything_refuses_what_nobody_can_be_asked_about() {
    let custom = |rule: &str| {
        policy(&format!(
            "  action: CUSTOM\n  provider: {{name: x}}\n  rules: [{rule}]\n"
        ))
    };
    let of_paths = "{to: [{operation: {notPaths: [/dex/*]}}]}";
    let asked = |custom: &str| ask(custom, 9000, None, "10.0.0.1").0;
    assert_eq!(asked(&custom("{}")), "denied");
    assert_eq!(asked(&custom(of_paths)), "db.data:5432");
    // Of the destination, too.
    let selected = "  selector: {matchLabels: {istio: ingressgateway}}\n";
    let of_data = |rule: &str| {
        custom(rule)
            .replace("namespace: istio-system", "namespace: data")
            .replace(selected, "")
    };
    assert_eq!(asked(&of_data("{}")), "denied");
    assert_eq!(asked(&of_data(of_paths)), "db.data:5432");
}

#[test]
fn policies_that_attach_to_a_gateway_hold_for_its_streams() {
    let tree = |rules: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: pass, namespace: data}}
spec:
  gatewayClassName: doorward
  listeners: [{{name: tls, port: 6443, protocol: TLS, tls: {{mode: Passthrough}}}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {{name: db, namespace: data}}
spec:
  parentRefs: [{{name: pass}}]
  hostnames: [db.example.com]
  rules: [{{backendRefs: [{{name: db, port: 5432}}]}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: near, namespace: data}}
spec:
  targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: pass}}]
{rules}
"
        )
    };
    let asked = |rules: &str| ask(&tree(rules), 6443, Some("db.example.com"), "10.1.2.3");
    let from =
        |network: &str| format!("  rules: [{{from: [{{source: {{ipBlocks: [{network}]}}}}]}}]");
    let (outcome, reason) = asked(&from("192.0.2.0/24"));
    assert!(outcome.contains("db"), "{outcome}");
    assert_eq!(reason, "near");
    assert_eq!(asked(&from("198.51.100.0/24")).0, "denied");
    assert_eq!(asked("  action: DENY\n  rules: [{}]").0, "denied");
    let custom = "  action: CUSTOM\n  provider: {name: nobody}\n  rules: [{}]";
    assert_eq!(asked(custom).0, "denied");
}
