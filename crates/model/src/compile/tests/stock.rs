//! The stock Kubeflow and the seed manifests, as they stand.

use super::*;
use crate::finding::codes;
use crate::snapshot::{ListenerProtocol, PlayedBy, Policy, TextMatch};

fn ours(compiled: &Compiled) -> Vec<String> {
    // Findings of login, provider and certificates are tested beside their kinds.
    let findings = compiled
        .findings
        .iter()
        .filter(|finding| finding.code.0 < 600);
    let one = |finding: &Finding| {
        let place = finding
            .place
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let object = finding
            .object
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        format!("{} {} {place} {object}", finding.severity, finding.code)
    };
    findings.map(one).collect()
}

#[test]
fn stock_kubeflow_compiles_with_these_findings() {
    let compiled = compile(&tree("kubeflow-26.03"));
    assert_eq!(
        ours(&compiled),
        [
            "warning DW0319 20-istio-networking.yaml:66 DestinationRule kubeflow/jupyter-web-app",
            "warning DW0319 20-istio-networking.yaml:135 DestinationRule kubeflow/ml-pipeline-ui",
            "warning DW0319 20-istio-networking.yaml:164 DestinationRule kubeflow/tensorboards-web-app",
            "warning DW0319 20-istio-networking.yaml:178 DestinationRule kubeflow/volumes-web-app",
            "warning DW0201 20-istio-networking.yaml:227 Gateway kubeflow/kubeflow-gateway",
            "warning DW0310 20-istio-networking.yaml:351 VirtualService kubeflow/metadata-grpc",
            "warning DW0408 30-istio-security.yaml:51 AuthorizationPolicy istio-system/istio-ingressgateway-oauth2-proxy",
            "warning DW0408 30-istio-security.yaml:77 AuthorizationPolicy istio-system/istio-ingressgateway-require-jwt",
            "note DW0206 20-istio-networking.yaml:180 Gateway istio-system/cluster-local-gateway",
            "note DW0206 20-istio-networking.yaml:489 Gateway knative-serving/knative-local-gateway",
        ]
    );
}

#[test]
fn stock_kubeflow_signs_in_on_plain_http() {
    let compiled = compile(&tree("kubeflow-26.03"));
    let mut findings = compiled.findings.iter();
    let plain = findings
        .find(|finding| finding.code == codes::PLAIN_HTTP)
        .unwrap();
    assert_eq!(
        plain.fault,
        "`Gateway kubeflow/kubeflow-gateway` serves sign-in on plain HTTP: port 80 has no TLS"
    );
}

#[test]
fn stock_kubeflow_routes_in_istios_order() {
    let compiled = compile(&tree("kubeflow-26.03"));
    let listener = compiled.snapshot.listener(80).unwrap();
    assert_eq!(listener.protocol, ListenerProtocol::Http);
    assert_eq!(listener.workload_port, 8080);
    let routes = routes(&compiled, 80, "anything.example");
    let seen: Vec<String> = routes
        .iter()
        .map(|route| {
            let TextMatch::Prefix(prefix) = &route.matches[0].uri.as_ref().unwrap().text else {
                panic!("no prefix");
            };
            let to = destination(route);
            format!("{prefix} {} {}", to.service, to.target_port)
        })
        .collect();
    assert_eq!(
        seen,
        [
            "/dex/ dex.auth:5556 5556",
            "/jupyter/ jupyter-web-app-service.kubeflow:80 5000",
            "/katib/ katib-ui.kubeflow:80 8080",
            "/kserve-endpoints/ kserve-models-web-application.kubeflow:80 5000",
            "/ml_metadata metadata-envoy-service.kubeflow:9090 9090",
            "/pipeline ml-pipeline-ui.kubeflow:80 3000",
            "/oauth2/ oauth2-proxy.oauth2-proxy:80 4180",
            "/kfam/ profiles-kfam.kubeflow:8081 8081",
            "/tensorboards/ tensorboards-web-app-service.kubeflow:80 5000",
            "/volumes/ volumes-web-app-service.kubeflow:80 5000",
            "/ centraldashboard.kubeflow:80 8082",
        ]
    );
    assert_eq!(
        forward(&routes[5]).timeout,
        Some(std::time::Duration::from_secs(300))
    );
    assert_eq!(forward(&routes[1]).request_headers.add[0].1, "/jupyter");
}

#[test]
fn stock_kubeflow_knows_who_it_is_and_what_it_plays() {
    let compiled = compile(&tree("kubeflow-26.03"));
    let identity = compiled.snapshot.identity();
    assert_eq!(
        &*identity.principal,
        "cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account"
    );
    assert_eq!(
        &*identity.labels["service.istio.io/canonical-name"],
        "istio-ingressgateway"
    );
    let routes = routes(&compiled, 80, "h");
    assert_eq!(destination(&routes[0]).played_by, PlayedBy::Provider(0));
    assert_eq!(destination(&routes[6]).played_by, PlayedBy::Login(0));
    assert_eq!(destination(&routes[10]).played_by, PlayedBy::Upstream);
    let authorizer = compiled.snapshot.authorizer("oauth2-proxy").unwrap();
    assert_eq!(authorizer.kind, crate::snapshot::AuthorizerKind::Login(0));
}

#[test]
fn stock_kubeflow_guards_the_gateway_and_the_dashboard() {
    fn objects(list: &[Arc<Policy>]) -> Vec<String> {
        list.iter()
            .map(|policy| policy.info.object.to_string())
            .collect()
    }
    let compiled = compile(&tree("kubeflow-26.03"));
    let gateway = compiled.snapshot.gateway_policies();
    assert_eq!(
        objects(&gateway.custom),
        ["AuthorizationPolicy istio-system/istio-ingressgateway-oauth2-proxy"]
    );
    assert_eq!(
        objects(&gateway.deny),
        ["AuthorizationPolicy istio-system/istio-ingressgateway-require-jwt"]
    );
    assert_eq!(
        objects(&gateway.allow),
        [
            "AuthorizationPolicy istio-system/global-deny-all",
            "AuthorizationPolicy istio-system/istio-ingressgateway",
        ]
    );
    let rules = &compiled.snapshot.gateway_authentication().rules;
    assert_eq!(rules.len(), 1);
    assert_eq!(
        &*rules[0].issuer,
        "http://dex.auth.svc.cluster.local:5556/dex"
    );

    let routes = routes(&compiled, 80, "h");
    let dashboard = destination(&routes[10]);
    assert_eq!(
        objects(&dashboard.policies.allow),
        [
            "AuthorizationPolicy kubeflow/central-dashboard",
            "AuthorizationPolicy istio-system/global-deny-all",
        ]
    );
    assert!(dashboard.policies.custom.is_empty() && dashboard.policies.deny.is_empty());
    assert!(dashboard.authentication.rules.is_empty());
    // No sidecar in the namespaces of Dex and OAuth2 Proxy, so nobody enforces anything there.
    assert_eq!(destination(&routes[0]).policies, Default::default());
    assert_eq!(destination(&routes[6]).policies, Default::default());
}

#[test]
fn stock_kubeflow_names_every_identity_header() {
    let compiled = compile(&tree("kubeflow-26.03"));
    let names: Vec<&str> = compiled
        .snapshot
        .identity_headers()
        .iter()
        .map(|name| name.as_str())
        .collect();
    for name in [
        "kubeflow-userid",
        "kubeflow-groups",
        "x-auth-request-email",
        "gap-auth",
    ] {
        assert!(names.contains(&name), "{name}");
    }
    for name in ["authorization", "cookie", "path"] {
        assert!(!names.contains(&name), "{name}");
    }
    assert_eq!(compiled.snapshot.user_header().user, "kubeflow-userid");
    assert_eq!(compiled.snapshot.objects()["DestinationRule"], 10);
}

#[test]
fn the_order_of_files_means_nothing() {
    let mut set = tree("kubeflow-26.03");
    set.files.sort_by(|a, b| a.name.cmp(&b.name));
    let forward = compile(&set);
    set.files.reverse();
    assert_eq!(compile(&set), forward);
}

#[test]
fn the_onprem_seed_compiles_with_its_mistakes_named() {
    let compiled = compile(&tree("seeds/onprem"));
    assert_eq!(
        ours(&compiled),
        [
            "error DW0108 02-certificate-gateway-cert-in-ingress.yaml:9 Certificate ingress/gateway-cert",
            "error DW0306 05-virtualservice-dex.yaml:17 VirtualService auth/dex",
            "error DW0108 06-certificate-gateway-cert-in-auth.yaml:9 Certificate auth/gateway-cert",
            // The mesh asks the login on another port than the route does.
            "error DW0305 07-virtualservice-oauth2-proxy.yaml:17 VirtualService auth/oauth2-proxy",
            "error DW0306 07-virtualservice-oauth2-proxy.yaml:17 VirtualService auth/oauth2-proxy",
            "error DW0302 20-virtualservice-centraldashboard.yaml:1 VirtualService default/centraldashboard",
            "error DW0306 istio-values.yaml:3 ",
            "warning DW0329 20-virtualservice-centraldashboard.yaml:9 VirtualService default/centraldashboard",
            "warning DW0112 istio-values.yaml:7 MeshConfig values",
            "note DW0207 03-gateway-ingress-gateway.yaml:1 Gateway ingress/ingress-gateway",
            "note DW0214 03-gateway-ingress-gateway.yaml:11 Gateway ingress/ingress-gateway",
            "note DW0102 dex-values.yaml:1 ",
            "note DW0102 oauth2-proxy-values.yaml:1 ",
        ]
    );
    // The policy that asks the login proxy tells in which namespace the gateway is.
    assert_eq!(
        &*compiled.snapshot.identity().principal,
        "cluster.local/ns/ingress/sa/istio-ingressgateway"
    );
    assert_eq!(compiled.snapshot.gateway_policies().custom.len(), 1);
}

#[test]
fn the_onprem_seed_beside_its_services_shows_the_wrong_port() {
    let mut set = tree("seeds/onprem");
    let service = |name: &str, port: u16| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: auth}}\n\
             spec: {{selector: {{app: {name}}}, ports: [{{port: {port}}}]}}\n---\n"
        )
    };
    let text = service("dex", 5556) + &service("oauth2-proxy", 80);
    set.files.push(File {
        name: "services.yaml".into(),
        text,
    });
    let compiled = compile(&set);
    let port = compiled
        .findings
        .iter()
        .find(|finding| finding.code == codes::PORT_ABSENT)
        .unwrap();
    assert_eq!(
        port.fault,
        "the Service `Service auth/oauth2-proxy` has no port 5556"
    );
    assert_eq!(port.remedy, "write 80, its only port");
    assert_eq!(port.field, "spec.http[0].route[0].destination.port.number");
    assert_eq!(
        port.place.as_ref().unwrap().to_string(),
        "07-virtualservice-oauth2-proxy.yaml:17"
    );
}

#[test]
fn an_empty_tree_is_an_empty_snapshot_and_a_note() {
    let compiled = compile(&ObjectSet::default());
    assert_eq!(compiled.findings.len(), 1);
    assert_eq!(compiled.findings[0].code, codes::EMPTY);
    assert!(compiled.snapshot.listeners().is_empty());
}
