//! `Ingress`es.

use super::*;
use crate::snapshot::{PlayedBy, RouteAction, TextMatch};

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: apps}
spec: {selector: {app: web}, ports: [{name: http, port: 80}, {name: admin, port: 81}]}
---
";

fn ingress(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: apps}}\nspec:\n{spec}\n---\n"
    )
}

fn class(name: &str, controller: &str, is_default: bool) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {{name: {name}, annotations: {{ingressclass.kubernetes.io/is-default-class: '{is_default}'}}}}\nspec: {{controller: {controller}}}\n---\n"
    )
}

const ANY: &str = "  defaultBackend: {service: {name: web, port: {number: 80}}}";

fn serves(more: &str) -> bool {
    let compiled = compile(&text(&format!("{SERVICE}{more}")));
    compiled.snapshot.listener(80).is_some()
}

#[test]
fn the_class_says_whose_an_ingress_is() {
    let of = |class: &str| ingress("i", &format!("  ingressClassName: {class}\n{ANY}"));
    let plain = ingress("i", ANY);
    let old = |class: &str| {
        ingress("i", ANY).replace(
            "namespace: apps}\nspec",
            &format!(
                "namespace: apps, annotations: {{kubernetes.io/ingress.class: {class}}}}}\nspec"
            ),
        )
    };
    let mesh = |mode: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata: {{mesh: 'ingressControllerMode: {mode}'}}\n---\n"
        )
    };
    let table = [
        (of("doorward"), true),
        (of("istio"), true),
        (of("nginx"), false),
        (plain.clone(), false),
        (old("istio"), true),
        (old("nginx"), false),
        // What the class says goes before what it is called.
        (
            of("doorward") + &class("doorward", "example.com/other", false),
            false,
        ),
        (
            of("edge") + &class("edge", "doorward.dev/ingress", false),
            true,
        ),
        (
            plain.clone() + &class("edge", "doorward.dev/ingress", true),
            true,
        ),
        (
            plain.clone() + &class("nginx", "k8s.io/ingress-nginx", true),
            false,
        ),
        (plain.clone() + &mesh("DEFAULT"), true),
        (plain + &mesh("STRICT"), false),
        (of("istio") + &mesh("OFF"), false),
        (of("doorward") + &mesh("OFF"), true),
    ];
    for (more, wanted) in table {
        assert_eq!(serves(&more), wanted, "{more}");
    }
}

#[test]
fn the_longest_path_wins_and_prefixes_end_at_segments() {
    let rules = "  ingressClassName: doorward
  defaultBackend: {service: {name: web, port: {name: admin}}}
  rules:
  - host: a.example.com
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
      - {path: /foo/, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
      - {path: /foo, pathType: Exact, backend: {service: {name: web, port: {number: 80}}}}
      - {path: /foo/bar, pathType: ImplementationSpecific, backend: {service: {name: web, port: {name: http}}}}";
    let compiled = compile(&text(&format!("{SERVICE}{}", ingress("i", rules))));
    // `/` leaves nothing to the default.
    assert_eq!(said(&compiled), ["warning DW0327:7 Ingress apps/i"]);
    let hidden = &compiled.findings[0];
    assert_eq!(hidden.field, "spec.rules");
    assert!(hidden.remedy.contains("`defaultBackend` comes last"));
    let routes = routes(&compiled, 80, "a.example.com");
    let found: Vec<String> = routes
        .iter()
        .map(|route| match &route.matches[0].uri {
            None => "default".to_owned(),
            Some(uri) => match &uri.text {
                TextMatch::Exact(path) => format!("={path}"),
                TextMatch::Prefix(path) if uri.whole_segments => format!("{path}*"),
                other => panic!("{other:?}"),
            },
        })
        .collect();
    assert_eq!(found, ["/foo/bar*", "=/foo", "/foo/*", "/*", "default"]);
    assert_eq!(destination(&routes[4]).service.port, 81);
    assert!(compiled.snapshot.listener(443).is_none());
}

#[test]
fn a_star_covers_one_label() {
    let rules = "  ingressClassName: doorward
  rules: [{host: '*.example.com', http: {paths: [{pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]";
    let compiled = compile(&text(&format!("{SERVICE}{}", ingress("i", rules))));
    let routes = routes(&compiled, 80, "a.example.com");
    let Some(TextMatch::Regex(host)) = &routes[0].matches[0].authority else {
        panic!("{routes:?}");
    };
    assert!(host.is_match("a.example.com") && host.is_match("a.example.com:8080"));
    assert!(!host.is_match("a.b.example.com") && !host.is_match("aXexample.com"));
}

#[test]
fn tls_opens_its_hosts_and_a_secret_that_is_none_is_said() {
    let pem =
        |label: &str| format!("'-----BEGIN {label}-----\\n\\nAA==\\n\\n-----END {label}-----'");
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: pair, namespace: apps}}\nstringData: {{tls.crt: {}, tls.key: {}}}\n---\n",
        pem("CERTIFICATE"),
        pem("PRIVATE KEY")
    );
    let rules = "  ingressClassName: doorward
  tls: [{hosts: [a.example.com], secretName: pair}, {hosts: [b.example.com], secretName: gone}]
  rules:
  - {host: a.example.com, http: {paths: [{pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}
  - {host: b.example.com, http: {paths: [{pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}
  - {host: c.example.com, http: {paths: [{pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}";
    let compiled = compile(&text(&format!("{SERVICE}{secret}{}", ingress("i", rules))));
    let secure = compiled.snapshot.listener(443).unwrap();
    let hosts: Vec<String> = secure.hosts().map(ToString::to_string).collect();
    assert_eq!(hosts, ["a.example.com", "b.example.com"]);
    assert_eq!(compiled.snapshot.certificates()[0].hosts.len(), 1);
    assert_eq!(said(&compiled), ["error DW0924:17 Ingress apps/i"]);
}

#[test]
fn what_cannot_be_served_is_closed_where_it_stands() {
    let rules = "  ingressClassName: doorward
  rules:
  - host: a.example.com
    http:
      paths:
      - {path: /gone, pathType: Prefix, backend: {service: {name: gone, port: {number: 80}}}}
      - {path: /port, pathType: Prefix, backend: {service: {name: web, port: {name: other}}}}
      - {path: /bucket, pathType: Prefix, backend: {resource: {apiGroup: x, kind: Bucket, name: b}}}
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}";
    let compiled = compile(&text(&format!("{SERVICE}{}", ingress("i", rules))));
    let found = said(&compiled);
    let codes: Vec<&str> = found
        .iter()
        .map(|line| line.split(':').next().unwrap())
        .collect();
    assert_eq!(codes, ["error DW0923", "error DW0923", "error DW0921"]);
    let routes = routes(&compiled, 80, "a.example.com");
    assert!(matches!(&routes[0].action, RouteAction::Closed(closure) if closure.status() == 503));
    for nobody in &routes[1..3] {
        assert!(matches!(destination(nobody).played_by, PlayedBy::Nobody(_)));
    }
    assert!(matches!(
        destination(&routes[3]).played_by,
        PlayedBy::Upstream
    ));
}

#[test]
fn what_cannot_be_read_closes_its_host_and_the_hosts_behind_it() {
    let host = |host: &str, path: &str| {
        format!(
            "\n  - {{host: {host}, http: {{paths: [{{path: {path}, pathType: Prefix, backend: {{service: {{name: web, port: {{number: 80}}}}}}}}]}}}}"
        )
    };
    // Another Ingress would take what the closed one leaves.
    let any = ingress("any", &format!("  ingressClassName: doorward\n{ANY}"));
    let is_closed = |name: &str, rules: &str| {
        let one = ingress("i", &format!("  ingressClassName: doorward\n{rules}"));
        let compiled = compile(&text(&format!("{SERVICE}{any}{one}")));
        let routes = routes(&compiled, 80, name);
        matches!(&routes[0].action, RouteAction::Closed(closure) if closure.status() == 503)
    };
    let broken = format!(
        "  rules:{}{}",
        host("a.example.com", "nowhere"),
        host("b.example.com", "/")
    );
    for (name, closed) in [
        ("a.example.com", true),
        ("b.example.com", true),
        ("c.example.com", false),
    ] {
        assert_eq!(is_closed(name, &broken), closed, "{name}");
    }
    let sound = broken.replace("nowhere", "/somewhere");
    assert!(!is_closed("a.example.com", &sound));
    // Paths that are no list, and a host that is none before one that is.
    assert!(is_closed(
        "a.example.com",
        "  rules: [{host: a.example.com, http: {paths: x}}]"
    ));
    let unnamed = format!(
        "  rules:{}{}",
        host("'*.*'", "/"),
        host("b.example.com", "/")
    );
    assert!(is_closed("b.example.com", &unnamed));
}
