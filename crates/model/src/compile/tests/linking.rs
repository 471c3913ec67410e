//! Gateways, hosts, Services and identity.

use super::*;
use crate::finding::codes;
use crate::snapshot::{ListenerProtocol, PlayedBy};

const WEB: &str = "  - {route: [{destination: {host: web}}]}";

fn find(compiled: &Compiled, code: crate::finding::Code) -> &Finding {
    compiled
        .findings
        .iter()
        .find(|finding| finding.code == code)
        .unwrap()
}

#[test]
fn an_unknown_service_suggests_the_same_name_elsewhere() {
    let compiled = with(&virtual_service(
        "v",
        "  - {route: [{destination: {host: web.prod.svc.cluster.local}}]}",
    ));
    let finding = find(&compiled, codes::UNKNOWN_SERVICE);
    assert_eq!(finding.remedy, "did you mean `web.apps.svc.cluster.local`?");
    let routes = routes(&compiled, 80, "h");
    assert!(
        matches!(&destination(&routes[0]).played_by, PlayedBy::Nobody(closure) if closure.code == codes::UNKNOWN_SERVICE)
    );
}

#[test]
fn a_port_that_is_left_out_is_the_only_one_or_that_of_the_listener() {
    let compiled = with(&virtual_service("v", WEB));
    let to = |compiled: &Compiled| destination(&routes(compiled, 80, "h")[0]).clone();
    assert_eq!(
        (to(&compiled).service.port, to(&compiled).target_port),
        (80, 8080)
    );
    let two = "apiVersion: v1\nkind: Service\nmetadata: {name: two, namespace: apps}\nspec: {ports: [{port: 81}, {port: 82}]}\n---\n";
    let compiled = with(
        &(two.to_owned() + &virtual_service("v", "  - {route: [{destination: {host: two}}]}")),
    );
    let finding = find(&compiled, codes::PORT_ABSENT);
    assert_eq!(
        finding.fault,
        "the Service `Service apps/two` has no port 80"
    );
    assert_eq!(finding.remedy, "it has the ports 81, 82");
}

#[test]
fn the_demo_application_is_played_here() {
    let compiled = with(&virtual_service(
        "v",
        "  - {route: [{destination: {host: whoami.doorward.svc.cluster.local}}]}",
    ));
    assert_eq!(
        destination(&routes(&compiled, 80, "h")[0]).played_by,
        PlayedBy::Whoami
    );
    assert_eq!(said(&compiled), [""; 0]);
}

#[test]
fn gateways_that_do_not_exist_or_share_no_host_are_named() {
    let service = |spec: &str| {
        with(&format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: v, namespace: apps}}\nspec: {{{spec}, http: [{{route: [{{destination: {{host: web}}}}]}}]}}\n"
        ))
    };
    let compiled = service("hosts: [a.com], gateways: [main]");
    assert_eq!(
        find(&compiled, codes::UNKNOWN_GATEWAY).remedy,
        "did you mean `istio-system/main`?"
    );
    let compiled = service("gateways: [istio-system/main]");
    assert_eq!(said(&compiled), ["error DW0302:19 VirtualService apps/v"]);
    let compiled = service("hosts: [a.com]");
    assert_eq!(said(&compiled), ["warning DW0303:19 VirtualService apps/v"]);
    let compiled = service("hosts: [a.com], gateways: [istio-system/main], exportTo: ['.']");
    assert_eq!(said(&compiled), ["error DW0313:22 VirtualService apps/v"]);
}

fn gateway(name: &str, server: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: {name}, namespace: istio-system}}\n\
         spec:\n  selector: {{istio: ingressgateway}}\n  servers:\n{server}\n---\n"
    )
}

#[test]
fn the_namespace_before_a_server_host_filters_virtual_services() {
    let server = "  - {port: {number: 81, name: h, protocol: HTTP}, hosts: [other/*]}";
    let routes = virtual_service("v", WEB).replace("istio-system/main", "istio-system/b");
    let compiled = with(&(gateway("b", server) + &routes));
    let listener = compiled.snapshot.listener(81).unwrap();
    assert!(virtual_hosts(listener, "h").routes("h").is_none());
    assert_eq!(said(&compiled), ["error DW0304:31 VirtualService apps/v"]);
}

#[test]
fn a_tls_server_without_a_mode_is_closed() {
    let server = "  - {port: {number: 443, name: h, protocol: HTTPS}, hosts: [a.com], tls: {credentialName: c}}";
    let compiled = with(&gateway("b", server));
    assert_eq!(
        find(&compiled, codes::TLS_MODE)
            .place
            .as_ref()
            .unwrap()
            .line,
        25
    );
    let listener = compiled.snapshot.listener(443).unwrap();
    assert_eq!(listener.protocol, ListenerProtocol::Tls);
    let routes = virtual_hosts(listener, "a.com").routes("a.com").unwrap();
    assert!(
        matches!(&routes[0].action, RouteAction::Closed(closure) if closure.code == codes::TLS_MODE)
    );
}

#[test]
fn servers_that_contradict_an_earlier_one_are_left_out() {
    let servers = "  - {port: {number: 80, name: a, protocol: HTTPS}, hosts: [a.com], tls: {mode: SIMPLE, credentialName: c}}\n  - {port: {number: 81, name: b, protocol: TCP}, hosts: ['*']}";
    let compiled = with(&gateway("z", servers));
    let conflict = find(&compiled, codes::SERVER_CONFLICT);
    assert_eq!(conflict.field, "spec.servers[0]");
    assert_eq!(
        compiled.snapshot.listener(80).unwrap().protocol,
        ListenerProtocol::Http
    );
    assert_eq!(
        find(&compiled, codes::STREAM_WITHOUT_ROUTE).field,
        "spec.servers[1]"
    );
    assert_eq!(
        compiled.snapshot.listener(81).unwrap().protocol,
        ListenerProtocol::Tcp
    );
    let twice = "  - {port: {number: 80, name: a, protocol: HTTP}, hosts: ['*']}\n  - {port: {number: 81, name: a, protocol: HTTP}, hosts: ['*']}";
    assert_eq!(
        find(&with(&gateway("z", twice)), codes::GATEWAY_INVALID).severity,
        crate::Severity::Error
    );
}

#[test]
fn one_tls_chain_does_not_lend_its_routes_to_another() {
    let tls = |host: &str| {
        format!(
            "  - {{port: {{number: 443, name: h, protocol: HTTPS}}, hosts: ['{host}'], tls: {{mode: SIMPLE, credentialName: c}}}}"
        )
    };
    let wide = virtual_service("wide", WEB).replace("istio-system/main", "istio-system/b");
    let compiled = with(&(gateway("b", &tls("*")) + &gateway("c", &tls("a.com")) + &wide));
    let listener = compiled.snapshot.listener(443).unwrap();
    let routes = |host: &str| {
        virtual_hosts(listener, host)
            .routes(host)
            .map(|it| it.len())
    };
    assert_eq!((routes("a.com"), routes("b.com")), (None, Some(1)));
    assert_eq!(
        &*listener.chain("a.com").unwrap().name,
        "https.443.h.c.istio-system"
    );
    // The same host again is a conflict.
    let compiled = with(&(gateway("b", &tls("a.com")) + &gateway("c", &tls("a.com"))));
    assert_eq!(
        find(&compiled, codes::SERVER_CONFLICT)
            .object
            .as_ref()
            .unwrap()
            .to_string(),
        "Gateway istio-system/c"
    );
}

#[test]
fn plain_servers_share_one_table_and_redirects_are_kept() {
    let server = "  - {port: {number: 80, name: h, protocol: http}, hosts: [a.com], tls: {httpsRedirect: true}}";
    let compiled = with(&gateway("b", server));
    let listener = compiled.snapshot.listener(80).unwrap();
    let hosts: Vec<String> = listener.hosts().map(ToString::to_string).collect();
    assert_eq!(hosts, ["a.com", "*"]);
    let hosts = virtual_hosts(listener, "a.com");
    assert!(hosts.redirects_to_https("a.com") && !hosts.redirects_to_https("b.com"));
}

#[test]
fn the_identity_is_the_workload_behind_the_used_gateway() {
    let workload = |name: &str, label: &str, image: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: edge}}\nspec: {{template: {{metadata: {{labels: {{istio: {label}}}}}, spec: {{serviceAccountName: {name}, containers: [{{name: c, image: '{image}'}}]}}}}}}\n---\n"
        )
    };
    let unused = gateway(
        "aa",
        "  - {port: {number: 80, name: h, protocol: HTTP}, hosts: ['*']}",
    )
    .replace("istio: ingressgateway", "istio: local");
    let compiled = with(
        &(workload("a", "local", "r/proxyv2:1")
            + &workload("b", "ingressgateway", "r/istio/proxyv2@sha256:1")
            + &workload("c", "ingressgateway", "web:1")
            + &unused
            + &virtual_service("v", WEB)),
    );
    assert_eq!(
        &*compiled.snapshot.identity().principal,
        "cluster.local/ns/edge/sa/b"
    );
    assert_eq!(
        find(&compiled, codes::OTHER_GATEWAY)
            .object
            .as_ref()
            .unwrap()
            .to_string(),
        "Gateway istio-system/aa"
    );
}

#[test]
fn a_list_and_old_spellings_are_read() {
    let compiled = compile(&text(
        "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\n\
         {\"apiVersion\": \"networking.istio.io/v1alpha3\", \"kind\": \"Gateway\", \"metadata\": {\"name\": \"g\", \"namespace\": \"istio-system\"},\n\
         \"spec\": {\"selector\": {\"istio\": \"ingressgateway\"}, \"servers\": [{\"port\": {\"number\": 80, \"name\": \"h\", \"protocol\": \"HTTP\"}, \"hosts\": [\"*\"], \"tls\": {\"https_redirect\": true}}]}}]}",
    ));
    let listener = compiled.snapshot.listener(80).unwrap();
    assert!(virtual_hosts(listener, "a").redirects_to_https("a"));
    assert_eq!(compiled.snapshot.objects()["Gateway"], 1);
}

#[test]
fn a_service_is_suggested_only_when_it_is_near() {
    let remedy = |host: &str| {
        let compiled = with(&virtual_service(
            "v",
            &format!("  - {{route: [{{destination: {{host: {host}}}}}]}}"),
        ));
        find(&compiled, codes::UNKNOWN_SERVICE).remedy.clone()
    };
    assert_eq!(remedy("wep"), "did you mean `web.apps.svc.cluster.local`?");
    assert_eq!(
        remedy("dex.auth.svc.cluster.local"),
        "add the Service to the manifests, or mend the name"
    );
}

#[test]
fn the_gateways_own_pods_say_how_many_proxies_stand_before_them() {
    let mesh = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: 'defaultConfig: {gatewayTopology: {numTrustedProxies: 1}}'\n---\n";
    let gateway = |config: &str| {
        with(&format!(
            "{mesh}apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: gw, namespace: istio-system}}\nspec:\n  template:\n    metadata:\n      \
             labels: {{istio: ingressgateway}}\n      annotations:\n        proxy.istio.io/config: {config}\n    \
             spec: {{containers: [{{name: istio-proxy, image: istio/proxyv2, args: [proxy, router]}}]}}\n"
        ))
    };
    for (config, hops) in [
        ("'{\"gatewayTopology\": {\"numTrustedProxies\": 2}}'", 2),
        (
            "|\n          gatewayTopology:\n            numTrustedProxies: 3",
            3,
        ),
        ("'concurrency: 2'", 1),
        ("''", 1),
    ] {
        let compiled = gateway(config);
        assert_eq!(compiled.snapshot.trusted_hops(), hops, "{config}");
        assert!(compiled.snapshot.gateway_policies().deny.is_empty());
    }
    for config in [
        "'gatewayTopology: {'",
        "'gatewayTopology: {numTrustedProxies: many}'",
    ] {
        let compiled = gateway(config);
        let finding = find(&compiled, codes::MESH_INVALID);
        assert_eq!(
            finding.object.as_ref().unwrap().to_string(),
            "Deployment istio-system/gw"
        );
        let deny = &compiled.snapshot.gateway_policies().deny;
        assert!(deny[0].closed.is_some(), "{config}");
    }
}
