//! The Gateway API beyond what its conformance suite asks.

use super::*;
use crate::snapshot::{
    OriginMatch, PathRewrite, PlayedBy, Retries, RouteAction, TextMatch, Trust, UpstreamProtocol,
};

const DOOR: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: doorward}
spec: {controllerName: doorward.dev/gateway}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: door, namespace: apps, generation: 7}
spec:
  gatewayClassName: doorward
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: apps}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
";

fn route(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: apps}}\n\
         spec:\n  parentRefs: [{{name: door}}]\n{spec}\n---\n"
    )
}

fn door(more: &str) -> Compiled {
    compile(&text(&format!("{DOOR}{more}")))
}

fn paths(routes: &[Arc<Route>]) -> Vec<String> {
    let path = |route: &Arc<Route>| match &route.matches[0].uri.as_ref().unwrap().text {
        TextMatch::Exact(text) => format!("={text}"),
        TextMatch::Prefix(text) => format!("{text}*"),
        TextMatch::Regex(regex) => format!("~{}", regex.source()),
    };
    routes.iter().map(path).collect()
}

#[test]
fn the_closest_match_goes_first_whatever_stands_where() {
    let rules = "  rules:
  - backendRefs: [{name: web, port: 80}]
    matches:
    - {path: {value: /}}
    - {path: {type: RegularExpression, value: '/v[0-9]+'}}
    - {path: {value: /a}}
    - {path: {value: /a}, headers: [{name: x, value: '1'}, {name: X, value: '2'}]}
    - {path: {value: /a}, headers: [{name: x, value: '1'}, {name: y, value: '2'}]}
    - {path: {value: /a}, method: GET}
    - {path: {value: /a}, queryParams: [{name: q, value: '1'}]}
    - {path: {value: /long/prefix}}
    - {path: {type: Exact, value: /e}}";
    let compiled = door(&route("all", rules));
    assert_eq!(said(&compiled), [""; 0]);
    let routes = routes(&compiled, 80, "any.example");
    assert_eq!(
        paths(&routes),
        [
            "=/e",
            "/long/prefix*",
            "/a*",
            "/a*",
            "/a*",
            "/a*",
            "/a*",
            "~/v[0-9]+",
            "/*"
        ]
    );
    let conditions = |index: usize| {
        let one = &routes[index].matches[0];
        (one.method.is_some(), one.headers.len(), one.query.len())
    };
    let order = [
        (true, 0, 0),
        (false, 2, 0),
        // Of two headers with one name, the first counts.
        (false, 1, 0),
        (false, 0, 1),
        (false, 0, 0),
    ];
    for (index, wanted) in order.into_iter().enumerate() {
        assert_eq!(conditions(index + 2), wanted, "{index}");
    }
}

#[test]
fn the_older_route_goes_first_and_a_file_is_the_youngest() {
    let old = |name: &str, year: &str| {
        route(name, "  rules: [{backendRefs: [{name: web, port: 80}]}]").replace(
            "namespace: apps}",
            &format!("namespace: apps, creationTimestamp: '{year}-01-01T00:00:00Z'}}"),
        )
    };
    let file = route(
        "a-file",
        "  rules: [{backendRefs: [{name: web, port: 80}]}]",
    );
    let compiled = door(&(file + &old("b-young", "2026") + &old("c-old", "2020")));
    let found = names(&routes(&compiled, 80, "h"));
    assert_eq!(
        found,
        ["c-old rules[0]", "b-young rules[0]", "a-file rules[0]"]
    );
}

#[test]
fn a_request_that_meets_no_match_of_a_closer_host_falls_through_to_a_wider_one() {
    let rules = |host: &str, path: &str| {
        format!(
            "  hostnames: ['{host}']\n  rules: [{{matches: [{{path: {{value: {path}}}}}], backendRefs: [{{name: web, port: 80}}]}}]"
        )
    };
    let compiled = door(
        &(route("wide", &rules("*.example.com", "/"))
            + &route("close", &rules("a.example.com", "/only"))),
    );
    let found = names(&routes(&compiled, 80, "a.example.com"));
    assert_eq!(found, ["close rules[0]", "wide rules[0]"]);
    assert_eq!(
        names(&routes(&compiled, 80, "b.example.com")),
        ["wide rules[0]"]
    );
}

#[test]
fn a_listener_that_is_closer_to_a_host_keeps_the_routes_of_wider_ones_out() {
    let gateway = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: two, namespace: apps}
spec:
  gatewayClassName: doorward
  listeners:
  - {name: close, port: 80, protocol: HTTP, hostname: a.example.com}
---
";
    let anybody = route(
        "anybody",
        "  rules: [{backendRefs: [{name: web, port: 80}]}]",
    );
    let compiled = door(&(gateway.to_owned() + &anybody));
    assert_eq!(names(&routes(&compiled, 80, "a.example.com")), [""; 0]);
    assert_eq!(
        names(&routes(&compiled, 80, "b.example.com")),
        ["anybody rules[0]"]
    );
}

#[test]
fn a_process_may_stand_for_one_gateway_of_several() {
    let other = DOOR.replace("name: door,", "name: other,");
    let other = other.split("---\n").nth(1).unwrap();
    let rules = "  rules: [{backendRefs: [{name: web, port: 80}]}]";
    let there = route("there", rules).replace("[{name: door}]", "[{name: other}]");
    let all = format!("{DOOR}{other}---\n{}{there}", route("here", rules));
    let only = |name: &str| Role {
        gateways: Some(vec![("apps".into(), name.into())]),
        ..Role::default()
    };
    let compiled = compile_as(&text(&all), &only("door"));
    assert_eq!(names(&routes(&compiled, 80, "h")), ["here rules[0]"]);
    assert_eq!(compiled.statuses.gateways.len(), 1);
    assert_eq!(said(&compiled), [""; 0]);
    let compiled = compile(&text(&all));
    assert_eq!(
        names(&routes(&compiled, 80, "h")),
        ["here rules[0]", "there rules[0]"]
    );
}

#[test]
fn classes_say_whose_a_gateway_is() {
    let elsewhere = DOOR.replace("doorward.dev/gateway", "example.com/other");
    let compiled = compile(&text(&elsewhere));
    assert!(compiled.snapshot.listeners().is_empty());
    assert!(compiled.statuses.gateways.is_empty() && compiled.statuses.classes.is_empty());
    let codes = |compiled: &Compiled| -> Vec<u16> {
        let findings = compiled.findings.iter();
        findings.map(|finding| finding.code.0).collect()
    };
    assert!(codes(&compiled).contains(&902));
    let istio = DOOR.replace("doorward.dev/gateway", "istio.io/gateway-controller");
    assert!(compile(&text(&istio)).snapshot.listener(80).is_some());
    let unknown = DOOR.replace("name: doorward}", "name: another}");
    let compiled = compile(&text(&unknown));
    assert!(compiled.snapshot.listener(80).is_some());
    assert!(codes(&compiled).contains(&901));
    let status = compiled.statuses.gateway("apps", "door").unwrap();
    assert_eq!(status.generation, Some(7));
    assert!(status.condition("Programmed").unwrap().holds);
}

#[test]
fn a_filter_that_is_not_served_closes_its_rule_and_no_other() {
    let rules = "  rules:
  - {matches: [{path: {value: /a}}], filters: [{type: ExtensionRef, extensionRef: {group: x, kind: Y, name: z}}], backendRefs: [{name: web, port: 80}]}
  - {matches: [{path: {value: /b}}], filters: [{type: URLRewrite, urlRewrite: {hostname: h}}, {type: RequestRedirect, requestRedirect: {hostname: h}}]}
  - {matches: [{path: {value: /c}, header: []}], backendRefs: [{name: web, port: 80}]}
  - {matches: [{path: {value: /d}}], backendRefs: [{name: web, port: 80, weight: 0}]}
  - {matches: [{path: {value: /e}}], backendRefs: [{name: web, port: 80}]}";
    let compiled = door(&route("mixed", rules));
    let routes = routes(&compiled, 80, "h");
    assert_eq!(paths(&routes), ["/a*", "/b*", "/c*", "/d*", "/e*"]);
    for closed in &routes[..4] {
        match &closed.action {
            RouteAction::Closed(closure) => assert_eq!(closure.status(), 500),
            other => panic!("{other:?}"),
        }
    }
    forward(&routes[4]);
    let found = said(&compiled);
    let codes: Vec<&str> = found
        .iter()
        .map(|line| line.split(':').next().unwrap())
        .collect();
    assert_eq!(
        codes,
        [
            "error DW0909",
            "error DW0909",
            "error DW0909",
            "warning DW0911"
        ]
    );
    let status = compiled
        .statuses
        .route("HTTPRoute", "apps", "mixed")
        .unwrap();
    let parent = &status.parents[0];
    assert!(parent.condition("Accepted").unwrap().holds);
    assert_eq!(
        parent.condition("PartiallyInvalid").unwrap().reason,
        "UnsupportedValue"
    );
}

#[test]
fn backends_have_filters_of_their_own() {
    let rules = "  rules:
  - matches: [{path: {value: /old}}]
    filters: [{type: RequestMirror, requestMirror: {backendRef: {name: web, port: 80}, fraction: {numerator: 1, denominator: 8}}}]
    backendRefs:
    - {name: web, port: 80, filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}]}
    - {name: web, port: 80, weight: 3, filters: [{type: RequestRedirect, requestRedirect: {statusCode: 308, path: {type: ReplaceFullPath, replaceFullPath: /x}}}]}
    - {name: gone, port: 80}";
    let compiled = door(&route("own", rules));
    let routes = routes(&compiled, 80, "h");
    let forward = forward(&routes[0]);
    let weights: Vec<u32> = forward.destinations.iter().map(|one| one.weight).collect();
    assert_eq!(weights, [1, 3, 1]);
    let rewrite = forward.destinations[0].rewrite.as_ref().unwrap();
    assert_eq!(rewrite.path, Some(PathRewrite::Segments("/new".into())));
    assert!(matches!(
        &forward.destinations[1].destination.played_by,
        PlayedBy::Redirect(redirect) if redirect.code == 308
    ));
    assert!(matches!(
        &forward.destinations[2].destination.played_by,
        PlayedBy::Nobody(closure) if closure.status() == 500
    ));
    assert_eq!(forward.mirrors.len(), 1);
    let copied = (0..800_000).filter(|draw| forward.mirrors[0].share.includes(*draw));
    assert_eq!(copied.count(), 125_000);
}

#[test]
fn timeouts_retries_and_origins_are_those_of_the_rule() {
    let rules = "  rules:
  - {matches: [{path: {value: /a}}], timeouts: {request: 10s, backendRequest: 2s}, backendRefs: [{name: web, port: 80}]}
  - {matches: [{path: {value: /b}}], timeouts: {request: 10s, backendRequest: 2s}, retry: {codes: [503], attempts: 4, backoff: 100ms}, backendRefs: [{name: web, port: 80}]}
  - {matches: [{path: {value: /c}}], timeouts: {request: 0s}, filters: [{type: CORS, cors: {allowOrigins: ['*', 'https://a.com', 'https://*.b.com:8443'], allowMethods: [GET, PUT]}}], backendRefs: [{name: web, port: 80}]}";
    let compiled = door(&route("patient", rules));
    assert_eq!(said(&compiled), [""; 0]);
    let routes = routes(&compiled, 80, "h");
    let seconds = std::time::Duration::from_secs;
    let (a, b, c) = (
        forward(&routes[0]),
        forward(&routes[1]),
        forward(&routes[2]),
    );
    assert_eq!(a.timeout, Some(seconds(2)));
    assert_eq!(a.retries.as_deref(), Some(&Retries::istio_default()));
    assert_eq!(b.timeout, Some(seconds(10)));
    let retries = b.retries.as_ref().unwrap();
    assert_eq!(
        (retries.attempts, retries.attempt_timeout),
        (4, Some(seconds(2)))
    );
    assert_eq!(retries.on.statuses, [503]);
    assert_eq!(c.timeout, None);
    let cors = routes[2].cors.as_ref().unwrap();
    let wildcard = OriginMatch::Wildcard {
        scheme: "https://".into(),
        suffix: ".b.com:8443".into(),
    };
    let exact = OriginMatch::Text(TextMatch::Exact("https://a.com".into()));
    assert_eq!(cors.origins, [OriginMatch::Any, exact, wildcard]);
    assert_eq!(cors.methods.as_ref().unwrap(), "GET, PUT");
    assert_eq!(cors.max_age, Some(seconds(5)));
}

#[test]
fn a_grpc_route_is_paths_over_http2() {
    let grpc = route(
        "calls",
        "  rules:
  - {matches: [{method: {method: Say}}], backendRefs: [{name: web, port: 80}]}
  - {matches: [{method: {service: a.Greeter}}], backendRefs: [{name: web, port: 80}]}
  - {matches: [{method: {service: a.Greeter, method: Say}}], backendRefs: [{name: web, port: 80}]}
  - {matches: [{method: {type: RegularExpression, service: 'a\\..*'}}], backendRefs: [{name: web, port: 80}]}",
    );
    let compiled = door(&grpc.replace("HTTPRoute", "GRPCRoute"));
    assert_eq!(said(&compiled), [""; 0]);
    let routes = routes(&compiled, 80, "h");
    assert_eq!(
        paths(&routes),
        [
            "=/a.Greeter/Say",
            "/a.Greeter/*",
            "~/(?:a\\..*)/[^/]+",
            "~/[^/]+/Say"
        ]
    );
    assert_eq!(destination(&routes[0]).protocol, UpstreamProtocol::Http2);
    assert_eq!(
        compiled.statuses.gateways[0].listeners[0].attached_routes,
        1
    );
}

#[test]
fn a_backend_tls_policy_verifies_and_one_that_cannot_closes() {
    let policy = |name: &str, section: &str, trust: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {{name: {name}, namespace: apps}}\n\
             spec:\n  targetRefs: [{{group: '', kind: Service, name: web{section}}}]\n  validation: {{hostname: web.example, {trust}}}\n---\n"
        )
    };
    let rules = route(
        "secure",
        "  rules: [{backendRefs: [{name: web, port: 80}]}]",
    );
    let system = "wellKnownCACertificates: System";
    let missing = "caCertificateRefs: [{group: '', kind: ConfigMap, name: gone}]";
    // The one about the port goes before the one about the Service.
    let compiled = door(
        &(rules.clone() + &policy("a", "", missing) + &policy("b", ", sectionName: http", system)),
    );
    let found = routes(&compiled, 80, "h");
    let tls = destination(&found[0]).tls.as_ref().unwrap();
    assert_eq!(tls.trust, Trust::System);
    assert_eq!(tls.server_name.as_deref(), Some("web.example"));
    let compiled = door(&(rules + &policy("a", "", missing)));
    let found = routes(&compiled, 80, "h");
    assert!(matches!(
        &destination(&found[0]).played_by,
        PlayedBy::Nobody(closure) if closure.status() == 500
    ));
    let status = &compiled.statuses.policies[0].parents[0];
    assert_eq!(
        status.condition("Accepted").unwrap().reason,
        "NoValidCACertificate"
    );
    assert_eq!(
        status.condition("ResolvedRefs").unwrap().reason,
        "InvalidCACertificateRef"
    );
}

const TLS_DOOR: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: safe, namespace: apps}
spec:
  gatewayClassName: doorward
  tls:
    frontend:
      default: {validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name: clients}]}}
      perPort: [{port: 8443, tls: {validation: {caCertificateRefs: [{group: '', kind: ConfigMap, name: gone}]}}}, {port: 9443}]
  listeners:
  - {name: web, port: 443, protocol: HTTPS, hostname: web.example, tls: {certificateRefs: [{name: pair}]}}
  - {name: ended, port: 443, protocol: TLS, hostname: ended.example, tls: {certificateRefs: [{name: pair}]}}
  - {name: passed, port: 443, protocol: TLS, hostname: '*.passed.example', tls: {mode: Passthrough}}
  - {name: nobody, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: pair}]}}
  - {name: anybody, port: 9443, protocol: HTTPS, tls: {certificateRefs: [{name: pair}]}}
---
apiVersion: v1
kind: Secret
metadata: {name: pair, namespace: apps}
stringData:
  tls.crt: \"-----BEGIN CERTIFICATE-----\\nAA==\\n-----END CERTIFICATE-----\"
  tls.key: \"-----BEGIN PRIVATE KEY-----\\nAA==\\n-----END PRIVATE KEY-----\"
---
apiVersion: v1
kind: ConfigMap
metadata: {name: clients, namespace: apps}
data: {ca.crt: \"-----BEGIN CERTIFICATE-----\\nAA==\\n-----END CERTIFICATE-----\"}
---
apiVersion: gateway.networking.k8s.io/v1
kind: TLSRoute
metadata: {name: bytes, namespace: apps}
spec:
  parentRefs: [{name: safe}]
  hostnames: [ended.example, a.passed.example, '*.passed.example']
  rules: [{backendRefs: [{name: web, port: 80}]}]
---
";

#[test]
fn a_tls_listener_passes_on_ends_or_asks_for_certificates() {
    let compiled = door(TLS_DOOR);
    let found = said(&compiled);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("error DW0906"));
    let listener = compiled.snapshot.listener(443).unwrap();
    let asks = |host: &str| {
        let chain = listener.chain(host).unwrap();
        chain.tls.as_ref().map(|tls| tls.client.trust().is_some())
    };
    assert_eq!(asks("web.example"), Some(true));
    assert_eq!(asks("ended.example"), Some(true));
    assert_eq!(asks("a.passed.example"), None);
    let Serves::Stream(streams) = &listener.chain("a.passed.example").unwrap().serves else {
        panic!("no stream");
    };
    let names: Vec<String> = streams
        .iter()
        .map(|stream| stream.server_names[0].to_string())
        .collect();
    assert_eq!(names, ["a.passed.example", "*.passed.example"]);
    assert_eq!(streams[0].destinations.len(), 1);
    // A listener that asks for certificates nobody can verify is not there.
    assert!(compiled.snapshot.listener(8443).is_none());
    let status = compiled.statuses.gateway("apps", "safe").unwrap();
    let nobody = status.listener("nobody").unwrap();
    assert_eq!(
        nobody.condition("Accepted").unwrap().reason,
        "NoValidCACertificate"
    );
    let open = compiled.snapshot.listener(9443).unwrap();
    let tls = open.chain("h").unwrap().tls.as_ref().unwrap();
    assert!(tls.client.trust().is_none());
}

#[test]
fn listeners_that_contradict_each_other_are_refused() {
    let both = DOOR.replace(
        "[{name: http, port: 80, protocol: HTTP}]",
        "[{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol: HTTP}, {name: c, port: 81, protocol: HTTP}]",
    );
    let compiled = compile(&text(&both));
    let gateway = &compiled.statuses.gateways[0];
    for name in ["a", "b"] {
        let listener = gateway.listener(name).unwrap();
        let conflict = listener.condition("Conflicted").unwrap();
        assert_eq!(
            (conflict.holds, conflict.reason),
            (true, "HostnameConflict")
        );
        assert!(!listener.condition("Programmed").unwrap().holds);
    }
    assert!(compiled.snapshot.listener(80).is_none());
    assert!(compiled.snapshot.listener(81).is_some());
}

#[test]
fn a_port_that_istio_uses_for_tls_stays_istios() {
    let istio = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: main, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: https, protocol: HTTPS}, hosts: ['*'], tls: {mode: SIMPLE, credentialName: x}}
---
";
    let compiled = door(istio);
    let crossed = compiled
        .findings
        .iter()
        .find(|finding| finding.code.0 == 905);
    assert!(
        crossed
            .unwrap()
            .fault
            .contains("another protocol on port 80")
    );
    let chains = compiled.snapshot.listener(80).unwrap().chains();
    assert_eq!(chains.len(), 1);
}

#[test]
fn a_route_beside_a_virtual_service_is_tried_after_it() {
    let service = virtual_service(
        "first",
        "  - match: [{uri: {prefix: /v}}]\n    route: [{destination: {host: web}}]",
    );
    let more = route(
        "second",
        "  rules: [{backendRefs: [{name: web, port: 80}]}]",
    );
    let gateway = DOOR.split("---\n").nth(1).unwrap();
    let compiled = with(&format!("{gateway}---\n{service}{more}"));
    let found = names(&routes(&compiled, 80, "h"));
    assert_eq!(found, ["first http[0]", "second rules[0]"]);
}

#[test]
fn a_backend_tls_policy_that_cannot_be_read_leaves_no_service_without_it() {
    let secure = "  rules: [{backendRefs: [{name: web, port: 80}]}]";
    let policy = |namespace: &str, targets: &str, rest: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata:\n  name: p\n{namespace}\
             spec:\n  targetRefs: {targets}\n  validation: {{hostname: web.example, wellKnownCACertificates: System{rest}\n---\n"
        )
    };
    const APPS: &str = "  namespace: apps\n";
    let web = "[{group: '', kind: Service, name: web}]";
    for (text, is_closed) in [
        (policy(APPS, web, ""), true),
        (policy("", web, ""), true),
        (policy("  namespace: team\n", web, ""), false),
        (policy(APPS, "web", "}"), true),
        (
            policy(APPS, "[{kind: Service, name: web, port: 80}]", "}"),
            true,
        ),
        (policy("  namespace: team\n", "web", "}"), false),
    ] {
        let compiled = door(&(route("secure", secure) + &text));
        let found = routes(&compiled, 80, "h");
        let to = destination(&found[0]);
        let closed = matches!(to.played_by, PlayedBy::Nobody(_));
        assert_eq!(closed, is_closed, "{text}");
    }
}

#[test]
fn authorities_that_stand_twice_are_none() {
    let map = |text: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: ca, namespace: apps}}\n\
             data: {{ca.crt: \"-----BEGIN CERTIFICATE-----\\n{text}\\n-----END CERTIFICATE-----\"}}\n---\n"
        )
    };
    let policy = "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: p, namespace: apps}\n\
                  spec:\n  targetRefs: [{group: '', kind: Service, name: web}]\n  \
                  validation: {hostname: web.example, caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}\n---\n";
    let secure = "  rules: [{backendRefs: [{name: web, port: 80}]}]";
    let to = |maps: &str| {
        let compiled = door(&(route("secure", secure) + policy + maps));
        destination(&routes(&compiled, 80, "h")[0]).clone()
    };
    assert!(to(&map("AA==")).tls.is_some());
    let twice = map("AA==") + &map("AQ==");
    assert!(matches!(to(&twice).played_by, PlayedBy::Nobody(_)));
}

#[test]
fn a_gateway_that_may_ask_for_certificates_is_closed_when_that_cannot_be_read() {
    for (tls, is_closed) in [
        ("{}", false),
        ("{frontend: {perPort: []}}", false),
        ("{frontend: {default: {validate: {}}}}", true),
        ("{frontend: {perPort: [{port: 80, mode: x}]}}", true),
        ("{front: {}}", true),
        ("x", true),
    ] {
        let route = route("web", "  rules: [{backendRefs: [{name: web, port: 80}]}]");
        let text = DOOR.replace("\n  listeners", &format!("\n  tls: {tls}\n  listeners"));
        let compiled = compile(&self::text(&format!("{text}{route}")));
        let listener = compiled.snapshot.listener(80).unwrap();
        let closed = virtual_hosts(listener, "h").closure("h").is_some();
        assert_eq!(closed, is_closed, "{tls}");
    }
}
