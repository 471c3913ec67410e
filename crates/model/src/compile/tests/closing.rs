//! What cannot be read closes what it selects, and nothing else.

use super::*;
use crate::finding::codes;
use crate::snapshot::{Action, PlayedBy};

const WEB: &str = "  - {route: [{destination: {host: web}}]}";

#[test]
fn a_syntax_error_in_the_middle_loses_one_document_only() {
    let broken = "apiVersion: v1\nkind: Service\nmetadata:\n\tname: bad\n  namespace: apps\n---\n";
    let compiled = with(&(broken.to_owned() + &virtual_service("web", WEB)));
    let finding = &compiled.findings[0];
    assert_eq!(
        (finding.code, finding.severity),
        (codes::SYNTAX, crate::Severity::Error)
    );
    // Line 22 of the file: the tab.
    assert_eq!(finding.place.as_ref().unwrap().to_string(), "a.yaml:22");
    assert_eq!(
        finding.object.as_ref().unwrap().to_string(),
        "Service apps/bad"
    );
    assert_eq!(
        destination(&routes(&compiled, 80, "h")[0]).played_by,
        PlayedBy::Upstream
    );
}

#[test]
fn a_policy_that_is_no_yaml_closes_its_namespace() {
    let broken = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: p\n  namespace: apps\nspec:\n  rules: [{\n---\n";
    let compiled = with(&(broken.to_owned() + &virtual_service("web", WEB)));
    let routes = routes(&compiled, 80, "h");
    let deny = &destination(&routes[0]).policies.deny;
    assert_eq!(deny.len(), 1);
    assert_eq!(deny[0].closed.as_ref().unwrap().code, codes::SYNTAX);
    assert!(compiled.snapshot.gateway_policies().deny.is_empty());
}

#[test]
fn a_policy_whose_namespace_is_unreadable_closes_everything() {
    let broken = "kind: AuthorizationPolicy\nmetadata: {name: p, namespace: apps\n---\n";
    let compiled = with(broken);
    assert!(
        compiled.snapshot.gateway_policies().deny[0]
            .closed
            .is_some()
    );
}

#[test]
fn a_list_that_is_no_yaml_closes_what_stands_in_it() {
    let policy = "\"kind\": \"AuthorizationPolicy\", \"metadata\": {\"name\": \"p\"}";
    for broken in [
        "kind: List\nitems:\n- kind: AuthorizationPolicy\n  metadata: {name: p}\n- kind: [\n---\n"
            .to_owned(),
        format!("{{\n  \"items\": [{{{policy}}}],\n  \"kind\": \"List\",,\n---\n"),
        format!("{{\n  {policy}, [\n---\n"),
    ] {
        let compiled = with(&broken);
        let deny = &compiled.snapshot.gateway_policies().deny;
        assert_eq!(deny.len(), 1, "{broken}");
        assert_eq!(deny[0].closed.as_ref().unwrap().code, codes::SYNTAX);
    }
    let compiled = with("kind: List\nitems:\n- kind: Role\n- kind: [\n---\n");
    assert!(compiled.snapshot.gateway_policies().deny.is_empty());
}

#[test]
fn an_invalid_policy_closes_the_workload_that_it_selects() {
    let policy = |spec: &str| {
        with(&format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: istio-system}}\nspec:\n  selector: {{matchLabels: {{app: istio-ingressgateway}}}}\n{spec}"
        ))
    };
    let bad = [
        "  action: DENY",
        "  action: REFUSE\n  rules: [{}]",
        "  rules: [{form: []}]",
        "  rules: [{from: []}]",
        "  rules: [{from: [{source: {}}]}]",
        "  rules: [{to: [{operation: {path: [/a]}}]}]",
        "  rules: [{to: [{operation: {paths: ['']}}]}]",
        "  rules: [{to: [{operation: {paths: [/a{*}]}}]}]",
        "  rules: [{to: [{operation: {ports: [80]}}]}]",
        "  rules: [{to: [{operation: {ports: ['eighty']}}]}]",
        "  rules: [{from: [{source: {ipBlocks: [10.0.0]}}]}]",
        "  rules: [{from: }]",
        "  rules: [{when: [{key: destination.labels[a], values: [b]}]}]",
        "  rules: [{when: [{key: 'request.headers[]', values: [b]}]}]",
        "  rules: [{when: [{key: source.ip}]}]",
        "  provider: {name: x}\n  rules: [{}]",
        "  action: CUSTOM\n  rules: [{}]",
        "  action: CUSTOM\n  provider: {name: x}\n  rules: [{from: [{source: {principals: ['*']}}]}]",
        "  rules: [{to: [{operation: {hosts: ['${HOST}']}}]}]",
    ];
    for spec in bad {
        let compiled = policy(spec);
        let deny = &compiled.snapshot.gateway_policies().deny;
        assert_eq!(deny.len(), 1, "{spec}");
        assert_eq!(deny[0].action, Action::Deny, "{spec}");
        assert!(deny[0].closed.is_some(), "{spec}");
        assert_eq!(
            compiled.findings[0].severity,
            crate::Severity::Error,
            "{spec}"
        );
    }
    // The same object, mended, closes nothing.
    let compiled = policy("  rules: [{to: [{operation: {paths: [/a]}}]}]");
    assert!(compiled.snapshot.gateway_policies().deny.is_empty());
    assert_eq!(compiled.snapshot.gateway_policies().allow.len(), 1);
}

#[test]
fn a_misspelled_field_names_the_right_one() {
    let compiled = with(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: apps}\n\
         spec:\n  action: DENY\n  rules:\n  - to:\n    - operation:\n        notPath: [/a]\n",
    );
    let finding = &compiled.findings[0];
    assert_eq!(finding.code, codes::UNKNOWN_FIELD);
    assert_eq!(finding.field, "spec.rules[0].to[0].operation.notPath");
    assert_eq!(finding.place.as_ref().unwrap().line, 27);
    assert_eq!(finding.remedy, "did you mean `notPaths`?");
}

#[test]
fn an_invalid_request_authentication_closes_what_it_selects() {
    let compiled = with(
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: r, namespace: istio-system}\n\
         spec:\n  selector: {matchLabels: {istio: ingressgateway}}\n  jwtRules: [{jwks: '{}', jwksUri: 'https://a'}]\n",
    );
    assert_eq!(compiled.findings[0].code, codes::AUTHENTICATION_INVALID);
    let deny = &compiled.snapshot.gateway_policies().deny;
    assert_eq!(
        deny[0].info.object.to_string(),
        "RequestAuthentication istio-system/r"
    );
    assert!(compiled.snapshot.gateway_authentication().rules.is_empty());
}

#[test]
fn a_route_that_cannot_be_served_as_written_is_closed_where_it_stands() {
    let entries = [
        "  - {match: [{uri: {prefix: /x}}], delegate: {name: d}, route: [{destination: {host: web}}]}",
        "  - {match: [{uri: {prefix: /x}}], delegate: {}}",
        "  - {match: [{uri: {prefix: /x}}], fault: {abort: {httpStatus: 500}}, redirect: {uri: /y}}",
        "  - {match: [{uri: {prefix: /x}}], route: [{destination: {host: web, subsets: v1}}]}",
        "  - {match: [{uri: {prefix: /x}}], redirect: {uri: /y}, route: [{destination: {host: web}}]}",
        "  - {match: [{uri: {prefix: /x}}], redirect: {uri: /y, redirectCode: 304}}",
        "  - {match: [{uri: {prefix: /x}}], redirect: {}}",
        "  - {match: [{uri: {prefix: /x}}]}",
        "  - {match: [{uri: {prefix: /x}}], directResponse: {status: 99}}",
        "  - {match: [{uri: {prefix: /x}}], rout: [{destination: {host: web}}]}",
        "  - {match: [{uri: {prefix: /x}}], headers: {request: {set: {a: '%REQ(b)%'}}}, route: [{destination: {host: web}}]}",
        "  - {match: [{uri: {prefix: /x}, headers: {'@request.auth.a': {exact: b}}}], route: [{destination: {host: web}}]}",
        "  - {match: [{uri: {prefix: /x}, ur: {prefix: /}}], route: [{destination: {host: web}}]}",
    ];
    for entry in entries {
        let compiled = with(&virtual_service("v", &format!("{entry}\n{WEB}")));
        let routes = routes(&compiled, 80, "h");
        assert!(
            matches!(routes[0].action, RouteAction::Closed(_)),
            "{entry}"
        );
        assert_eq!(routes[0].matches.len(), 1, "{entry}");
        assert_eq!(
            destination(&routes[1]).played_by,
            PlayedBy::Upstream,
            "{entry}"
        );
        assert_eq!(
            said(&compiled),
            ["error DW0308:26 VirtualService apps/v"],
            "{entry}"
        );
    }
}

#[test]
fn copies_that_differ_close_what_they_are_about() {
    let one = virtual_service("v", WEB);
    let other = virtual_service(
        "v",
        "  - {match: [{uri: {prefix: /x}}], route: [{destination: {host: web}}]}",
    );
    let compiled = with(&(one.clone() + &other));
    assert_eq!(said(&compiled), ["error DW0104:28 VirtualService apps/v"]);
    for route in routes(&compiled, 80, "h").iter() {
        assert!(matches!(route.action, RouteAction::Closed(_)));
    }
    let compiled = with(&(one.clone() + &one));
    assert_eq!(said(&compiled), ["warning DW0104:28 VirtualService apps/v"]);
    assert_eq!(
        destination(&routes(&compiled, 80, "h")[0]).played_by,
        PlayedBy::Upstream
    );
}

#[test]
fn a_mesh_configuration_that_cannot_be_read_closes_the_gateway() {
    let mesh = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: 'rootNamespace: ['\n";
    let compiled = with(mesh);
    assert!(
        compiled.snapshot.gateway_policies().deny[0]
            .closed
            .is_some()
    );
    let broken = "kind: ConfigMap\nmetadata:\n  name: istio\n  namespace: istio-system\ndata: {\n";
    assert!(
        with(broken).snapshot.gateway_policies().deny[0]
            .closed
            .is_some()
    );
}

#[test]
fn a_filter_that_guards_closes_and_one_that_does_not_is_left_out() {
    let filter = |name: &str| {
        with(&format!(
            "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {{name: f, namespace: istio-system}}\n\
             spec: {{workloadSelector: {{labels: {{istio: ingressgateway}}}}, configPatches: [{{patch: {{value: {{name: {name}}}}}}}]}}\n"
        ))
    };
    let guarded = filter("envoy.filters.http.ext_authz");
    assert_eq!(
        said(&guarded),
        ["error DW0121:19 EnvoyFilter istio-system/f"]
    );
    assert_eq!(guarded.snapshot.gateway_policies().deny.len(), 1);
    let harmless = filter("envoy.filters.http.gzip");
    assert_eq!(
        said(&harmless),
        ["warning DW0121:19 EnvoyFilter istio-system/f"]
    );
    assert!(harmless.snapshot.gateway_policies().deny.is_empty());
}

#[test]
fn an_unknown_version_of_a_policy_closes_what_it_selects() {
    let compiled = with(
        "apiVersion: security.istio.io/v9\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: istio-system}\n\
         spec: {selector: {matchLabels: {istio: ingressgateway}}, rules: [{}]}\n",
    );
    assert_eq!(
        said(&compiled),
        ["error DW0105:19 AuthorizationPolicy istio-system/p"]
    );
    assert_eq!(compiled.snapshot.gateway_policies().deny.len(), 1);
}

#[test]
fn a_tree_that_is_cut_anywhere_still_compiles() {
    for file in &tree("kubeflow-26.03").files {
        for tenth in 1..10 {
            let mut cut = file.text.len() * tenth / 10;
            while !file.text.is_char_boundary(cut) {
                cut -= 1;
            }
            let halves = [&file.text[..cut], &file.text[cut..]];
            for half in halves {
                let compiled = compile(&text(half));
                assert!(!compiled.findings.is_empty(), "{} {tenth}", file.name);
            }
        }
    }
}

#[test]
fn a_namespace_that_is_not_in_the_files_but_holds_policies_is_guarded() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: far}\nspec: {ports: [{port: 80}]}\n---\n";
    let route = virtual_service(
        "v",
        "  - {route: [{destination: {host: s.far.svc.cluster.local}}]}",
    );
    let policy = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: far}\nspec: {}\n";
    let guarded = |more: &str| {
        let compiled = with(&(service.to_owned() + &route + more));
        destination(&routes(&compiled, 80, "h")[0])
            .policies
            .allow
            .len()
    };
    assert_eq!(guarded(policy), 1);
    assert_eq!(guarded(""), 0);
}
