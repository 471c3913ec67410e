//! DestinationRules, subsets, ServiceEntries, addresses and protocols of destinations.

use super::*;
use crate::finding::codes;
use crate::names::Duration;
use crate::snapshot::{
    Balance, Endpoints, HashKey, Outliers, PlayedBy, Traffic, Trust, UpstreamPlace,
    UpstreamProtocol, UpstreamTls,
};

const WEB: &str = "  - {route: [{destination: {host: web}}]}";

/// A DestinationRule `NAMESPACE/NAME`.
fn rule(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n---\n"
    )
}

fn entry(spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: out, namespace: apps}}\nspec: {{{spec}}}\n---\n"
    )
}

fn deployment(name: &str, labels: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: apps}}\nspec: {{template: {{metadata: {{labels: {{{labels}}}}}, spec: {{containers: [{{name: c, image: i}}]}}}}}}\n---\n"
    )
}

fn service(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: apps}}\nspec: {{{spec}}}\n---\n"
    )
}

/// The destination of a route to `to` with these documents beside it.
fn asked(to: &str, more: &str) -> (Destination, Vec<String>) {
    let http = format!("  - {{route: [{{destination: {to}}}]}}");
    let compiled = with(&(virtual_service("v", &http) + more));
    (
        destination(&routes(&compiled, 80, "h")[0]).clone(),
        said(&compiled),
    )
}

fn closed(destination: &Destination) -> Option<crate::finding::Code> {
    match &destination.played_by {
        PlayedBy::Nobody(closure) => Some(closure.code),
        _ => None,
    }
}

fn pending(destination: &Destination) -> Option<u32> {
    destination.traffic.max_pending
}

fn pool(pending: u32) -> String {
    format!("trafficPolicy: {{connectionPool: {{http: {{http1MaxPendingRequests: {pending}}}}}}}")
}

#[test]
fn the_settings_of_a_rule_reach_the_destination() {
    let more = rule(
        "r",
        "apps",
        "host: web, trafficPolicy: {connectionPool: {tcp: {maxConnections: 1, connectTimeout: 2s}, http: {http1MaxPendingRequests: 3, http2MaxRequests: 4, maxRequestsPerConnection: 5, maxRetries: 6, idleTimeout: 7s, h2UpgradePolicy: UPGRADE}}, loadBalancer: {simple: ROUND_ROBIN}, outlierDetection: {consecutive5xxErrors: 8, consecutiveGatewayErrors: 9, baseEjectionTime: 10s, maxEjectionPercent: 11, interval: 1s}}",
    );
    let (destination, said) = asked("{host: web}", &more);
    assert_eq!(said, [""; 0]);
    let span = Duration::from_secs;
    let wanted = Traffic {
        connect_timeout: Some(span(2)),
        max_connections: Some(1),
        max_pending: Some(3),
        max_requests: Some(4),
        requests_per_connection: Some(5),
        max_retries: Some(6),
        idle_timeout: Some(span(7)),
        balance: Balance::RoundRobin,
        outliers: Some(Outliers {
            consecutive_5xx: 8,
            consecutive_gateway_errors: 9,
            base_ejection: span(10),
            max_ejection_percent: 11,
        }),
    };
    assert_eq!(*destination.traffic, wanted);
    assert_eq!(destination.protocol, UpstreamProtocol::Http2);
}

#[test]
fn every_thing_that_a_choice_may_hang_on_is_read() {
    let hash = |key: &str| {
        let spec =
            format!("host: web, trafficPolicy: {{loadBalancer: {{consistentHash: {{{key}}}}}}}");
        asked("{host: web}", &rule("r", "apps", &spec)).0
    };
    let balance = |key: &str| hash(key).traffic.balance.clone();
    let by = Balance::Consistent;
    assert_eq!(
        balance("httpHeaderName: X-User"),
        by(HashKey::Header("x-user".parse().unwrap()))
    );
    assert_eq!(balance("useSourceIp: true"), by(HashKey::SourceIp));
    assert_eq!(
        balance("httpQueryParameterName: q"),
        by(HashKey::QueryParameter("q".into()))
    );
    assert_eq!(
        balance("httpCookie: {name: c, path: /p, ttl: 0s}, minimumRingSize: 10"),
        by(HashKey::Cookie {
            name: "c".into(),
            path: Some("/p".into()),
            ttl: Some(Duration::ZERO)
        })
    );
    for bad in ["", "useSourceIp: true, httpHeaderName: a", "httpHeader: a"] {
        assert_eq!(closed(&hash(bad)), Some(codes::DESTINATION_RULE), "{bad}");
    }
}

#[test]
fn the_nearest_namespace_and_the_closest_host_win() {
    let of = |rules: &[String]| pending(&asked("{host: web}", &rules.concat()).0);
    let service = rule("s", "apps", &format!("host: web, {}", pool(1)));
    let root = rule(
        "r",
        "istio-system",
        &format!("host: '*.svc.cluster.local', {}", pool(2)),
    );
    assert_eq!(of(std::slice::from_ref(&root)), Some(2));
    assert_eq!(of(&[root, service.clone()]), Some(1));
    // What is private to the gateway's namespace goes first, though its host is wider.
    let own = rule(
        "o",
        "istio-system",
        &format!("host: '*', exportTo: ['.'], {}", pool(3)),
    );
    assert_eq!(of(&[own, service.clone()]), Some(3));
    let wide = rule(
        "a",
        "apps",
        &format!("host: '*.apps.svc.cluster.local', {}", pool(4)),
    );
    assert_eq!(of(std::slice::from_ref(&wide)), Some(4));
    assert_eq!(of(&[wide, service]), Some(1));
    let elsewhere = rule(
        "e",
        "other",
        &format!("host: web.apps.svc.cluster.local, {}", pool(5)),
    );
    assert_eq!(of(&[elsewhere]), None);
    let hidden = rule(
        "h",
        "apps",
        &format!("host: web, exportTo: [other], {}", pool(6)),
    );
    assert_eq!(of(&[hidden]), None);
    let sidecars = rule(
        "w",
        "apps",
        &format!(
            "host: web, workloadSelector: {{matchLabels: {{a: b}}}}, {}",
            pool(7)
        ),
    );
    assert_eq!(of(&[sidecars]), None);
}

#[test]
fn settings_of_a_port_replace_and_those_of_a_subset_lie_on_top() {
    let more = rule(
        "r",
        "apps",
        "host: web, trafficPolicy: {loadBalancer: {simple: RANDOM}, connectionPool: {http: {http1MaxPendingRequests: 1}}, portLevelSettings: [{port: {number: 80}, connectionPool: {http: {http1MaxPendingRequests: 2}}}]}, subsets: [{name: all, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}]",
    );
    let (whole, _) = asked("{host: web}", &more);
    assert_eq!(
        (pending(&whole), &whole.traffic.balance),
        (Some(2), &Balance::LeastRequest)
    );
    let (subset, said) = asked("{host: web, subset: all}", &more);
    assert_eq!(
        (pending(&subset), &subset.traffic.balance),
        (Some(2), &Balance::RoundRobin)
    );
    assert_eq!(said, [""; 0]);
}

#[test]
fn a_subset_is_asked_where_just_its_workloads_are() {
    let rule = rule(
        "r",
        "apps",
        "host: web, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}, {name: v3, labels: {version: v3}}]",
    );
    let one = deployment("web-1", "app: web, version: v1");
    let two = deployment("web-2", "app: web, version: v2");
    let to = |subset: &str, more: &[&str]| {
        let (destination, said) =
            asked(&format!("{{host: web, subset: {subset}}}"), &more.concat());
        (
            destination.service.to_string(),
            closed(&destination),
            said.len(),
        )
    };
    // It chooses everything.
    assert_eq!(to("v1", &[&rule, &one]), ("web.apps:80".into(), None, 0));
    // It has a Service of its own.
    let own = service(
        "web-v2",
        "selector: {app: web, version: v2}, ports: [{port: 8000, targetPort: 8080}]",
    );
    assert_eq!(
        to("v2", &[&rule, &one, &two, &own]),
        ("web-v2.apps:8000".into(), None, 0)
    );
    // It has none, its label nobody has, or no rule knows it.
    let no = ("web.apps:80".to_owned(), Some(codes::SUBSET), 1);
    assert_eq!(to("v1", &[&rule, &one, &two, &own]), no);
    assert_eq!(to("v3", &[&rule, &one]), no);
    assert_eq!(to("v4", &[&rule, &one]), no);
    assert_eq!(to("v1", &[&one]), no);
}

#[test]
fn a_rule_that_cannot_be_read_closes_its_destinations() {
    let of = |spec: &str| asked("{host: web}", &rule("r", "apps", spec));
    for bad in [
        "host: web, trafficPolicy: {loadBalancer: {simple: FASTEST}}",
        "host: web, trafficPolicy: {tls: {mode: MAYBE}}",
        "host: web, trafficPolicy: {tls: {mode: MUTUAL}}",
        "host: web, traficPolicy: {}",
        "trafficPolicy: {}",
        "host: 'w*b', trafficPolicy: {}",
    ] {
        let (destination, said) = of(bad);
        assert_eq!(closed(&destination), Some(codes::DESTINATION_RULE), "{bad}");
        assert_eq!(said.len(), 1, "{bad}");
    }
    let (other, _) = of("host: other, trafficPolicy: {tls: {mode: MAYBE}}");
    assert_eq!(closed(&other), None);
    // Without a host it is about its own namespace, were it the root's.
    let (other, _) = asked(
        "{host: web}",
        &rule("r", "istio-system", "trafficPolicy: {}"),
    );
    assert_eq!(closed(&other), None);
    let (told, said) =
        of("host: web, trafficPolicy: {tunnel: {}, loadBalancer: {localityLbSetting: {}}}");
    assert_eq!((closed(&told), said.len()), (None, 2));
}

const PEM: &str = "'-----BEGIN CERTIFICATE-----\\nx\\n-----END CERTIFICATE-----'";

fn tls(
    settings: &str,
    more: &str,
) -> (
    Option<UpstreamTls>,
    Option<crate::finding::Code>,
    Vec<String>,
) {
    let spec = format!("host: web, trafficPolicy: {{tls: {{{settings}}}}}");
    let (destination, said) = asked("{host: web}", &(rule("r", "apps", &spec) + more));
    (
        destination.tls.as_deref().cloned(),
        closed(&destination),
        said,
    )
}

#[test]
fn tls_is_made_as_the_rule_says() {
    assert_eq!(tls("mode: DISABLE", ""), (None, None, vec![]));
    let (made, closed, _) = tls("mode: SIMPLE, sni: a.com, subjectAltNames: [b.com]", "");
    let made = made.unwrap();
    assert_eq!(closed, None);
    assert_eq!(
        (made.trust, made.server_name.as_deref()),
        (Trust::System, Some("a.com"))
    );
    assert_eq!(made.subject_alt_names, ["b.com".into()]);
    let (made, ..) = tls("mode: SIMPLE, insecureSkipVerify: true", "");
    assert_eq!(made.unwrap().trust, Trust::Anybody);
}

#[test]
fn certificates_come_from_the_gateways_namespace() {
    let secret = |name: &str, data: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: istio-system}}\nstringData: {{{data}}}\n---\n"
        )
    };
    let trusted = |settings: &str, more: &str| tls(settings, more).0.map(|made| made.trust);
    let text: Arc<str> = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----".into();
    let pem = PEM.replace('\'', "\"");
    let authority = secret("c", &format!("ca.crt: {pem}"));
    let beside = secret("c-cacert", &format!("cacert: {pem}"));
    let found = Some(Trust::Authorities(Arc::clone(&text)));
    assert_eq!(
        trusted("mode: SIMPLE, credentialName: c", &authority),
        found
    );
    assert_eq!(trusted("mode: SIMPLE, credentialName: c", &beside), found);
    let mounted = secret("istio-ingressgateway-ca-certs", &format!("a.pem: {pem}"));
    let path = "mode: SIMPLE, caCertificates: /etc/istio/ingressgateway-ca-certs/a.pem";
    assert_eq!(trusted(path, &mounted), found);
    let pair = secret(
        "p",
        &format!("tls.crt: {pem}, tls.key: \"-----BEGIN PRIVATE KEY-----\""),
    );
    let (made, ..) = tls("mode: MUTUAL, credentialName: p", &pair);
    let made = made.unwrap();
    assert_eq!(
        (made.trust, made.client.unwrap().chain),
        (Trust::System, text)
    );
    for (settings, more) in [
        ("mode: SIMPLE, credentialName: c", ""),
        ("mode: SIMPLE, credentialName: p", pair.as_str()),
        ("mode: MUTUAL, credentialName: c", authority.as_str()),
        ("mode: SIMPLE, caCertificates: /nowhere/a.pem", ""),
    ] {
        let (made, closed, said) = tls(settings, more);
        assert_eq!(
            (made, closed),
            (None, Some(codes::UPSTREAM_CREDENTIAL)),
            "{settings}"
        );
        assert_eq!(said.len(), 1, "{settings}");
        assert!(said[0].contains("DestinationRule apps/r"), "{settings}");
    }
}

#[test]
fn tls_of_the_mesh_becomes_plain_text_with_a_warning() {
    let (made, closed, said) = tls("mode: ISTIO_MUTUAL", "");
    assert_eq!((made, closed), (None, None));
    assert_eq!(said, ["warning DW0319:31 DestinationRule apps/r"]);
    // A rule that no route meets is nobody's trouble.
    let unused = rule(
        "r",
        "apps",
        "host: other, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}",
    );
    assert_eq!(said_of(&unused), [""; 0]);
}

fn said_of(more: &str) -> Vec<String> {
    said(&with(&(virtual_service("v", WEB) + more)))
}

#[test]
fn names_of_ports_say_what_is_spoken() {
    let spoken = |port: &str| {
        let two = service("two", &format!("ports: [{{port: 80, {port}}}]"));
        let (destination, said) = asked("{host: two}", &two);
        (destination.protocol, said.len())
    };
    let (one, two) = (UpstreamProtocol::Http1, UpstreamProtocol::Http2);
    for (port, wanted) in [
        ("name: http", one),
        ("name: http2", two),
        ("name: http2-x", two),
        ("name: grpc", two),
        ("name: grpc-web", two),
        ("name: grpcx", one),
        ("name: http, appProtocol: kubernetes.io/h2c", two),
        ("name: x, appProtocol: grpc", two),
        ("name: grpc, appProtocol: http", one),
        ("name: http-grpc", one),
    ] {
        assert_eq!(spoken(port), (wanted, 0), "{port}");
    }
    // As Istio does: plain text, unless a rule says TLS.
    assert_eq!(spoken("name: https"), (one, 1));
    assert_eq!(spoken("name: tls-x"), (one, 1));
}

fn places(destination: &Destination) -> Vec<String> {
    match &destination.endpoints {
        Endpoints::ByHost => vec!["by host".into()],
        Endpoints::At(places) => {
            let one = |UpstreamPlace { host, port, weight }: &UpstreamPlace| {
                format!("{host}:{port}*{weight}")
            };
            places.iter().map(one).collect()
        }
    }
}

#[test]
fn a_host_outside_is_found_where_its_entry_says() {
    let at = |to: &str, spec: &str| {
        let (destination, said) = asked(to, &entry(spec));
        assert_eq!(said, [""; 0], "{spec}");
        places(&destination)
    };
    let to = "{host: api.example.com, port: {number: 443}}";
    let ports = "hosts: [api.example.com], ports: [{number: 443, name: web, protocol: HTTP}]";
    assert_eq!(at(to, &format!("{ports}, resolution: DNS")), ["by host"]);
    assert_eq!(at(to, ports), ["by host"]);
    assert_eq!(
        at(
            to,
            &format!(
                "{ports}, resolution: STATIC, endpoints: [{{address: 10.0.0.1}}, {{address: 10.0.0.2, ports: {{web: 8443}}, weight: 3}}]"
            )
        ),
        ["10.0.0.1:443*0", "10.0.0.2:8443*3"]
    );
    assert_eq!(
        at(
            to,
            "hosts: [api.example.com], ports: [{number: 443, name: web, protocol: HTTP, targetPort: 8080}], resolution: DNS, endpoints: [{address: a.example.com}]"
        ),
        ["a.example.com:8080*0"]
    );
    // Its only port is meant.
    assert_eq!(
        at(
            "{host: api.example.com}",
            &format!("{ports}, resolution: DNS")
        ),
        ["by host"]
    );
    let (destination, _) = asked(to, &entry(&format!("{ports}, resolution: DNS")));
    assert_eq!(destination.service.to_string(), "api.example.com:443");
}

#[test]
fn an_entry_that_cannot_be_used_closes_its_hosts() {
    let to = "{host: api.example.com, port: {number: 443}}";
    let ports = "hosts: [api.example.com], ports: [{number: 443, name: web, protocol: HTTP}]";
    for (more, code) in [
        ("resolution: STATIC", codes::SERVICE_ENTRY),
        (
            "resolution: DNS, workloadSelector: {labels: {a: b}}",
            codes::SERVICE_ENTRY,
        ),
        (
            "resolution: STATIC, endpoints: [{address: 'unix:///x'}]",
            codes::SERVICE_ENTRY,
        ),
        ("resolution: SOMEHOW", codes::SERVICE_ENTRY),
        ("endpoints: [{address: 10.0.0.1}]", codes::SERVICE_ENTRY),
        ("resolution: DNS, exportTo: [other]", codes::UNKNOWN_SERVICE),
    ] {
        let (destination, said) = asked(to, &entry(&format!("{ports}, {more}")));
        assert_eq!(closed(&destination), Some(code), "{more}");
        assert_eq!(said.len(), 1, "{more}");
    }
    let (destination, _) = asked("{host: api.example.com, port: {number: 80}}", &entry(ports));
    assert_eq!(closed(&destination), Some(codes::PORT_ABSENT));
}

#[test]
fn a_subset_of_an_entry_chooses_among_its_endpoints() {
    let more = rule(
        "r",
        "apps",
        "host: api.example.com, subsets: [{name: a, labels: {zone: a}}, {name: c, labels: {zone: c}}]",
    ) + &entry(
        "hosts: [api.example.com], ports: [{number: 80, name: web, protocol: HTTP2}], resolution: STATIC, endpoints: [{address: 10.0.0.1, labels: {zone: a}}, {address: 10.0.0.2, labels: {zone: b}}]",
    );
    let (destination, _) = asked("{host: api.example.com, subset: a}", &more);
    assert_eq!(places(&destination), ["10.0.0.1:80*0"]);
    assert_eq!(destination.protocol, UpstreamProtocol::Http2);
    let (destination, _) = asked("{host: api.example.com, subset: c}", &more);
    assert_eq!(closed(&destination), Some(codes::SUBSET));
}

#[test]
fn addresses_behind_a_service_are_used_where_the_manifests_have_them() {
    let two = service("two", "ports: [{port: 80, name: http, targetPort: 8080}]");
    let slice = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: two-x, namespace: apps, labels: {kubernetes.io/service-name: two}}\naddressType: IPv4\nports: [{name: http, port: 8080}, {name: other, port: 9}]\nendpoints: [{addresses: [10.0.0.1]}, {addresses: [10.0.0.2], conditions: {ready: false}}, {addresses: [10.0.0.3], conditions: {ready: true}}]\n---\n";
    let at = |more: &str| places(&asked("{host: two}", &(two.clone() + more)).0);
    assert_eq!(at(""), ["by host"]);
    assert_eq!(at(slice), ["10.0.0.1:8080*1", "10.0.0.3:8080*1"]);
    let endpoints = "apiVersion: v1\nkind: Endpoints\nmetadata: {name: two, namespace: apps}\nsubsets: [{addresses: [{ip: 10.0.0.4}], ports: [{name: http, port: 81}]}]\n---\n";
    assert_eq!(at(endpoints), ["10.0.0.4:81*1"]);
    // The newer form says the same once more.
    assert_eq!(
        at(&(slice.to_owned() + endpoints)),
        ["10.0.0.1:8080*1", "10.0.0.3:8080*1"]
    );
    let broken = slice.replace("port: 8080", "port: many");
    let (destination, _) = asked("{host: two}", &(two.clone() + &broken));
    assert_eq!(closed(&destination), Some(codes::SERVICE_ENTRY));
}

#[test]
fn an_external_name_is_asked_under_that_name() {
    let out = service("out", "type: ExternalName, externalName: Api.Example.com.");
    let (destination, said) = asked("{host: out, port: {number: 8080}}", &out);
    assert_eq!(said, [""; 0]);
    assert_eq!(places(&destination), ["api.example.com:8080*1"]);
    let (destination, _) = asked("{host: out}", &service("out", "type: ExternalName"));
    assert_eq!(closed(&destination), Some(codes::FIELD));
}

/// A DestinationRule that is no YAML.
fn broken_rule(metadata: &str, host: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: r\n{metadata}spec:\n{host}  trafficPolicy: [{{\n---\n"
    )
}

#[test]
fn a_rule_that_is_no_yaml_closes_what_it_was_about() {
    const APPS: &str = "  namespace: apps\n";
    let good = rule("good", "apps", &format!("host: web, {}", pool(1)));
    let long = "  host: web.apps.svc.cluster.local\n";
    for (metadata, host, is_closed) in [
        (APPS, "  host: web\n", true),
        (APPS, long, true),
        (APPS, "  host: '*.local'\n", true),
        (APPS, "", true),
        (APPS, "  host: other\n", false),
        ("  namespace: istio-system\n", long, true),
        ("  namespace: istio-system\n", "  host: web\n", false),
        ("  namespace: istio-system\n", "", false),
        ("  namespace: elsewhere\n", long, false),
        // Without a namespace it may be anybody's.
        ("", "  host: web\n", true),
        ("", "  host: other\n", false),
        ("", long, true),
        ("", "", true),
    ] {
        let broken = broken_rule(metadata, host);
        let (destination, _) = asked("{host: web}", &(broken.clone() + &good));
        let wanted = is_closed.then_some(codes::SYNTAX);
        assert_eq!(closed(&destination), wanted, "{broken}");
    }
}

#[test]
fn a_rule_that_is_no_yaml_closes_hosts_outside_too() {
    let outside = entry(
        "hosts: [x.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS",
    );
    let broken = broken_rule("  namespace: apps\n", "  host: x.example\n");
    let (destination, _) = asked("{host: x.example}", &(outside + &broken));
    assert_eq!(closed(&destination), Some(codes::SYNTAX));
}
