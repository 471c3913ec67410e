//! Findings about servers, sign-in and certificates that are probably not as meant.

use super::*;
use crate::Severity;
use crate::finding::{Code, codes};

/// Severity, line and fault of the findings with this code.
fn found(more: &str, code: Code) -> Vec<(Severity, u32, String)> {
    let findings = with(more).findings.into_iter();
    findings
        .filter(|finding| finding.code == code)
        .map(|finding| {
            let line = finding.place.map_or(0, |place| place.line);
            (finding.severity, line, finding.fault)
        })
        .collect()
}

fn gateway(server: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: tls, namespace: istio-system}}\n\
         spec:\n  selector: {{istio: ingressgateway}}\n  servers:\n{server}---\n"
    )
}

#[test]
fn an_https_server_without_a_redirect_is_noted() {
    const TLS: &str = "  - {port: {number: 443, name: s, protocol: HTTPS}, hosts: [a.com], tls: {mode: SIMPLE, credentialName: c}}\n";
    let redirect = |host: &str| {
        format!(
            "  - {{port: {{number: 80, name: h, protocol: HTTP}}, hosts: ['{host}'], tls: {{httpsRedirect: true}}}}\n"
        )
    };
    let of = |servers: &str| found(&gateway(servers), codes::NO_HTTPS_REDIRECT);
    let told = of(TLS);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, Severity::Note);
    assert_eq!(told[0].2, "no server leads plain HTTP for `a.com` to HTTPS");
    assert_eq!(of(&(TLS.to_owned() + &redirect("a.com"))), []);
    assert_eq!(of(&(TLS.to_owned() + &redirect("*.com"))), []);
    assert_eq!(of(&(TLS.to_owned() + &redirect("b.com"))).len(), 1);
}

#[test]
fn a_balancer_that_speaks_http_has_to_be_trusted() {
    let ingress = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: i\n  namespace: istio-system\n  annotations: {alb.ingress.kubernetes.io/scheme: internet-facing}\n\
        spec:\n  ingressClassName: alb\n  defaultBackend: {service: {name: x, port: {number: 80}}}\n---\n";
    let mesh = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    defaultConfig: {gatewayTopology: {numTrustedProxies: 1}}\n---\n";
    assert_eq!(found(ingress, codes::BALANCER_DISTRUSTED).len(), 1);
    let both = ingress.to_owned() + mesh;
    assert_eq!(found(&both, codes::BALANCER_DISTRUSTED), []);
}

#[test]
fn a_sign_out_is_no_lasting_redirect() {
    let of = |path: &str, code: &str| {
        let entry = format!(
            "  - {{match: [{{uri: {{exact: {path}}}}}], redirect: {{uri: /oauth2/sign_out{code}}}}}"
        );
        found(&virtual_service("v", &entry), codes::LASTING_SIGN_OUT)
    };
    assert_eq!(of("/logout", "").len(), 1, "301 unless said otherwise");
    assert_eq!(of("/logout/", ", redirectCode: 308").len(), 1);
    assert_eq!(of("/logout", ", redirectCode: 302"), []);
    assert_eq!(of("/elsewhere", ""), []);
}

#[test]
fn people_come_back_from_sign_in_to_a_served_host() {
    let of = |host: &str| {
        let login = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: oauth2-proxy, namespace: auth}}\ndata:\n  oauth2_proxy.cfg: |\n    \
             provider = 'oidc'\n    oidc_issuer_url = 'https://i.example'\n    email_domains = '*'\n    upstreams = 'static://200'\n    \
             cookie_secret = '0123456789abcdef'\n    client_id = 'c'\n    client_secret = 's'\n    redirect_url = 'https://{host}/oauth2/callback'\n---\n"
        );
        let narrow = gateway(
            "  - {port: {number: 443, name: s, protocol: HTTPS}, hosts: [a.com], tls: {mode: SIMPLE, credentialName: c}}\n",
        );
        let tree = BASE.replace("hosts: ['*']", "hosts: [a.com]") + &login + &narrow;
        let findings = compile(&text(&tree)).findings;
        findings
            .iter()
            .filter(|finding| finding.code == codes::FOREIGN_CALLBACK)
            .count()
    };
    assert_eq!(of("a.com"), 0);
    assert_eq!(of("b.com"), 1);
}

#[test]
fn two_certificates_do_not_share_a_secret() {
    let certificate = |name: &str, namespace: &str, secret: &str| {
        format!(
            "apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             spec: {{secretName: {secret}, dnsNames: [a.com], issuerRef: {{name: i, kind: ClusterIssuer}}}}\n---\n"
        )
    };
    let shared = |more: &str| {
        let told = found(more, codes::CERTIFICATE_UNUSUAL);
        let shared = told
            .into_iter()
            .filter(|one| one.2.contains("also that of"));
        shared.count()
    };
    let first = certificate("one", "apps", "s");
    assert_eq!(
        shared(&(first.clone() + &certificate("two", "apps", "s"))),
        1
    );
    assert_eq!(
        shared(&(first.clone() + &certificate("two", "apps", "t"))),
        0
    );
    assert_eq!(shared(&(first + &certificate("two", "other", "s"))), 0);
}

#[test]
fn values_of_istios_chart_tell_the_port_of_the_authorizer() {
    let values = "meshConfig:\n  extensionProviders:\n  - name: login\n    envoyExtAuthzHttp: {service: login.apps.svc.cluster.local, port: 80}\n---\n";
    let route = |port: u16| {
        let entry =
            format!("  - {{route: [{{destination: {{host: login, port: {{number: {port}}}}}}}]}}");
        virtual_service("v", &entry)
    };
    let told = found(&(values.to_owned() + &route(5556)), codes::PORT_ABSENT);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, Severity::Error);
    assert!(
        told[0]
            .2
            .contains("is asked on port 80 as the authorizer `login`")
    );
    assert_eq!(
        found(&(values.to_owned() + &route(80)), codes::PORT_ABSENT),
        []
    );
    // A ConfigMap is what is in force.
    let mesh = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: ''}\n---\n";
    let both = values.to_owned() + mesh + &route(5556);
    assert_eq!(found(&both, codes::PORT_ABSENT), []);
    // So is one that cannot be read, as far as anybody knows.
    let broken =
        "kind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {\n---\n";
    let both = values.to_owned() + &route(5556) + broken;
    assert_eq!(found(&both, codes::PORT_ABSENT), []);
}

#[test]
fn a_field_that_a_virtual_service_does_not_have_is_told() {
    let of = |field: &str| {
        let service = virtual_service("v", "  - {route: [{destination: {host: web}}]}")
            .replace("gateways:", field);
        let told = found(&service, codes::UNKNOWN_FIELD);
        told.into_iter()
            .map(|one| (one.0, one.2))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("gateways:"), []);
    let told = of("gatewayz:");
    assert_eq!(
        told,
        [(Severity::Warning, "`spec.gatewayz` is no field".to_owned())]
    );
}

#[test]
fn a_workload_that_takes_only_tls_of_the_mesh_is_not_reached() {
    let peer = |namespace: &str, more: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: p, namespace: {namespace}}}\n\
             spec: {{{more}}}\n---\n"
        )
    };
    let route = virtual_service("v", "  - {route: [{destination: {host: web}}]}");
    let of = |peer: &str| found(&(route.clone() + peer), codes::STRICT_PEER).len();
    let strict = "mtls: {mode: STRICT}";
    assert_eq!(of(&peer("apps", strict)), 1);
    assert_eq!(of(&peer("istio-system", strict)), 1, "the whole mesh");
    assert_eq!(of(&peer("apps", "mtls: {mode: PERMISSIVE}")), 0);
    assert_eq!(of(&peer("other", strict)), 0);
    let selecting = |app: &str| {
        peer(
            "apps",
            &format!("{strict}, selector: {{matchLabels: {{app: {app}}}}}"),
        )
    };
    let pods = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: apps}\n\
        spec: {template: {metadata: {labels: {app: web}}, spec: {containers: []}}}\n---\n";
    assert_eq!(of(&(selecting("web") + pods)), 1);
    assert_eq!(of(&(selecting("other") + pods)), 0);
}
