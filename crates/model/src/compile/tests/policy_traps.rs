//! Findings about policies that are enforced as written and probably not as meant.

use super::*;
use crate::finding::{Code, codes};

fn policy(action: &str, namespace: &str, rules: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: {namespace}}}\n\
         spec:\n  action: {action}\n  rules: {rules}\n---\n"
    )
}

fn authentication(namespace: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: r, namespace: {namespace}}}\n\
         spec: {{jwtRules: [{{issuer: 'https://i', jwks: '{{\"keys\":[]}}'}}]}}\n---\n"
    )
}

/// Line, object and remedy of the findings with this code.
fn found(more: &str, code: Code) -> Vec<(u32, String, String)> {
    let all = virtual_service("v", "  - {route: [{destination: {host: web}}]}");
    let findings = with(&(all + more)).findings;
    let of_code = findings.into_iter().filter(|finding| finding.code == code);
    of_code
        .map(|finding| {
            assert_eq!(finding.severity, crate::Severity::Warning);
            let line = finding.place.map_or(0, |place| place.line);
            let object = finding.object.map(|object| object.to_string());
            (line, object.unwrap_or_default(), finding.remedy)
        })
        .collect()
}

#[test]
fn a_rule_about_tokens_needs_somebody_who_checks_them() {
    let code = codes::TOKEN_UNCHECKED;
    for (namespace, rules) in [
        (
            "istio-system",
            "[{from: [{source: {notRequestPrincipals: ['*']}}]}]",
        ),
        (
            "apps",
            "[{when: [{key: 'request.auth.claims[email]', values: [a]}]}]",
        ),
    ] {
        let policy = policy("DENY", namespace, rules);
        let told = found(&policy, code);
        assert_eq!(told.len(), 1, "{namespace}");
        assert_eq!(told[0].0, 33);
        assert_eq!(told[0].1, format!("AuthorizationPolicy {namespace}/p"));
        assert_eq!(found(&(policy + &authentication(namespace)), code), []);
    }
    let other = policy("DENY", "apps", "[{to: [{operation: {paths: [/x]}}]}]");
    assert_eq!(found(&other, code), []);
}

#[test]
fn ports_are_those_of_the_pods_and_methods_have_capital_letters() {
    let ports = |number: u16| {
        policy(
            "DENY",
            "istio-system",
            &format!("[{{to: [{{operation: {{ports: ['{number}']}}}}]}}]"),
        )
    };
    let told = found(&ports(80), codes::POLICY_PORT);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].2, "write `\"8080\"`");
    assert_eq!(found(&ports(8080), codes::POLICY_PORT), []);
    assert_eq!(found(&ports(9999), codes::POLICY_PORT), []);

    let methods = |method: &str| {
        policy(
            "ALLOW",
            "apps",
            &format!("[{{to: [{{operation: {{methods: [{method}]}}}}]}}]"),
        )
    };
    let told = found(&methods("get"), codes::METHOD_CASE);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].2, "write `GET`");
    assert_eq!(found(&methods("GET"), codes::METHOD_CASE), []);
    assert_eq!(found(&methods("'*'"), codes::METHOD_CASE), []);
}

#[test]
fn a_deny_rule_about_requests_denies_every_stream() {
    let stream = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: tcp, namespace: istio-system}\n\
        spec:\n  selector: {istio: ingressgateway}\n  servers:\n  - {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}\n---\n";
    let paths = policy(
        "DENY",
        "istio-system",
        "[{to: [{operation: {paths: [/x]}}]}]",
    );
    let code = codes::DENIES_STREAMS;
    assert_eq!(found(&(stream.to_owned() + &paths), code).len(), 1);
    assert_eq!(found(&paths, code), [], "nothing goes by bytes");
    let networks = policy(
        "DENY",
        "istio-system",
        "[{from: [{source: {ipBlocks: [10.0.0.0/8]}}]}]",
    );
    assert_eq!(found(&(stream.to_owned() + &networks), code), []);
}

#[test]
fn one_name_in_two_spellings_is_told_once_with_both_places() {
    let profile = |owner: &str| {
        format!(
            "apiVersion: kubeflow.org/v1\nkind: Profile\nmetadata: {{name: team}}\nspec: {{owner: {{kind: User, name: {owner}}}}}\n---\n"
        )
    };
    let rule = "[{when: [{key: 'request.headers[kubeflow-userid]', values: [alice@example.com]}]}]";
    let policy = policy("ALLOW", "apps", rule);
    let told = found(&(profile("Alice@Example.com") + &policy), codes::SPELLING);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        found(&(profile("alice@example.com") + &policy), codes::SPELLING),
        []
    );
}
