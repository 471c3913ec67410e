//! Hosts and routes of Knative and KServe.

use super::*;
use crate::snapshot::{PathRewrite, PlayedBy, TextMatch, VirtualHosts};

/// A domain, a Gateway for it, and KServe bound to that Gateway.
const KUBEFLOW: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: config-domain, namespace: knative-serving}
data: {kf.io: '', _example: 'not: [read'}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: config-istio, namespace: knative-serving}
data: {gateway.istio-system.main: istio-ingressgateway.istio-system.svc.cluster.local}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: inferenceservice-config, namespace: kubeflow}
data:
  ingress: |-
    {\"ingressGateway\": \"istio-system/main\", \"ingressDomain\": \"models.kf.io\",
     \"additionalIngressDomains\": [\"other.io\"]}
---
";

const FLAT: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: config-network, namespace: knative-serving}
data: {domainTemplate: '{{.Name}}-{{.Namespace}}.{{.Domain}}'}
---
";

fn kubeflow(more: &str) -> Compiled {
    with(&format!("{KUBEFLOW}{more}"))
}

fn knative(name: &str, namespace: &str, rest: &str) -> String {
    format!(
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\n{rest}\n---\n"
    )
}

fn model(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {{name: {name}, namespace: team}}\nspec: {spec}\n---\n"
    )
}

const PREDICTOR: &str = "{predictor: {model: {modelFormat: {name: sklearn}}}}";

fn table(compiled: &Compiled) -> &VirtualHosts {
    let listener = compiled.snapshot.listener(80).unwrap();
    listener.virtual_hosts().next().unwrap()
}

/// Every host of port 80 that is one name.
fn hosts(compiled: &Compiled) -> Vec<String> {
    let mut hosts: Vec<String> = table(compiled)
        .iter()
        .map(|(pattern, _)| pattern.to_string())
        .filter(|host| host != "*")
        .collect();
    hosts.sort();
    hosts
}

fn set(route: &Route, name: &str) -> Option<String> {
    let forward = forward(route);
    let edits = [
        &forward.destinations[0].request_headers,
        &forward.request_headers,
    ];
    let mut all = edits.iter().flat_map(|edits| &edits.set);
    all.find(|(header, _)| header == name)
        .map(|(_, value)| value.to_str().unwrap().to_owned())
}

#[test]
fn a_knative_service_is_served_under_the_name_that_the_template_makes() {
    let service = knative("hello", "team", "");
    let nested = kubeflow(&service);
    assert_eq!(hosts(&nested), ["hello.team.kf.io"]);
    assert_eq!(said(&nested), [""; 0]);
    let flat = kubeflow(&format!("{FLAT}{service}"));
    assert_eq!(hosts(&flat), ["hello-team.kf.io"]);
    let route = &routes(&flat, 80, "hello-team.kf.io")[0];
    assert_eq!(route.info.object.to_string(), "Service team/hello");
    assert_eq!(
        destination(route).service.to_string(),
        "hello.team:80",
        "by name: its Service is not in the files"
    );
    assert_eq!(destination(route).played_by, PlayedBy::Upstream);
    assert_eq!(forward(route).timeout, None);
    assert_eq!(forward(route).retries, None);
    assert_eq!(set(route, "knative-serving-namespace").unwrap(), "team");
    assert_eq!(set(route, "knative-serving-revision"), None);
    let computed: Vec<String> = flat
        .snapshot
        .computed_hosts()
        .iter()
        .map(|one| one.host.to_string())
        .collect();
    assert_eq!(computed, ["hello-team.kf.io"]);
}

#[test]
fn splits_and_tags_lead_to_their_revisions() {
    let service = knative(
        "hello",
        "team",
        "spec: {template: {metadata: {labels: {app: hello}}}}\nstatus: {traffic: [{revisionName: hello-1, percent: 90}, {revisionName: hello-2, percent: 10}, {revisionName: hello-2, tag: next}]}",
    );
    let compiled = kubeflow(&service);
    assert_eq!(
        hosts(&compiled),
        ["hello.team.kf.io", "next-hello.team.kf.io"]
    );
    let main = &routes(&compiled, 80, "hello.team.kf.io")[0];
    let shares: Vec<(u32, String)> = forward(main)
        .destinations
        .iter()
        .map(|one| (one.weight, one.destination.service.to_string()))
        .collect();
    assert_eq!(
        shares,
        [
            (90, "hello-1.team:80".to_owned()),
            (10, "hello-2.team:80".to_owned())
        ]
    );
    let tag = &routes(&compiled, 80, "next-hello.team.kf.io")[0];
    assert_eq!(destination(tag).service.to_string(), "hello-2.team:80");
    assert_eq!(set(tag, "knative-serving-revision").unwrap(), "hello-2");
    let own_tags = format!(
        "{service}apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: config-network, namespace: knative-serving}}\ndata: {{tag-template: '{{{{.Name}}}}-{{{{.Tag}}}}', tagTemplate: x, domain-template: '{{{{index .Labels \"a\"}}}}{{{{.Name}}}}-{{{{.Namespace}}}}.{{{{.Domain}}}}'}}\n---\n"
    );
    let compiled = kubeflow(&own_tags);
    assert_eq!(
        hosts(&compiled),
        ["hello-next-team.kf.io", "hello-team.kf.io"]
    );
    assert_eq!(said(&compiled).len(), 1, "{:?}", compiled.findings);
    assert!(said(&compiled)[0].starts_with("warning DW1002"));
}

#[test]
fn a_revision_that_is_there_is_asked_itself_and_its_policies_count() {
    let service = knative(
        "hello",
        "apps",
        "spec: {template: {metadata: {labels: {tier: gold}}}}\nstatus: {latestReadyRevisionName: hello-7}",
    );
    let revision = "apiVersion: v1\nkind: Service\nmetadata: {name: hello-7, namespace: apps}\nspec: {ports: [{name: http, port: 80, targetPort: 8012}]}\n---\n";
    let placeholder = "apiVersion: v1\nkind: Service\nmetadata: {name: hello, namespace: apps}\nspec: {type: ExternalName, externalName: knative-local-gateway.istio-system.svc.cluster.local}\n---\n";
    let policy = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: gold, namespace: apps}\nspec: {selector: {matchLabels: {tier: gold, serving.knative.dev/service: hello}}, action: DENY, rules: [{}]}\n---\n";
    let there = kubeflow(&format!("{service}{revision}{placeholder}{policy}"));
    let route = &routes(&there, 80, "hello.apps.kf.io")[0];
    assert_eq!(destination(route).service.to_string(), "hello-7.apps:80");
    assert_eq!(destination(route).target_port, 8012);
    assert_eq!(destination(route).policies.deny.len(), 1);
    assert_eq!(said(&there), [""; 0]);
    let alone = kubeflow(&format!("{service}{placeholder}{policy}"));
    let route = &routes(&alone, 80, "hello.apps.kf.io")[0];
    assert_eq!(destination(route).service.to_string(), "hello.apps:80");
    assert_eq!(destination(route).policies.deny.len(), 1);
}

#[test]
fn domains_are_chosen_by_label_and_none_keeps_a_route_inside() {
    let domains = |data: &str, labels: &str| {
        let config = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: config-domain, namespace: knative-serving}}\ndata:\n{data}---\n"
        );
        let rest = KUBEFLOW.split_once("---\n").unwrap().1;
        let service = format!(
            "apiVersion: serving.knative.dev/v1\nkind: Route\nmetadata: {{name: r, namespace: team, labels: {{{labels}}}}}\nspec: {{traffic: [{{percent: 100, latestRevision: true}}]}}\n---\n"
        );
        with(&format!("{config}{rest}{service}"))
    };
    let chosen = "  b.io: ''\n  a.io: ''\n  gold.io: |\n    selector: {tier: gold}\n  eu.io: |\n    selector:\n      tier: gold\n      zone: eu\n";
    assert_eq!(hosts(&domains(chosen, "")), ["r.team.a.io"]);
    assert_eq!(hosts(&domains(chosen, "tier: gold")), ["r.team.gold.io"]);
    assert_eq!(
        hosts(&domains(chosen, "tier: gold, zone: eu")),
        ["r.team.eu.io"]
    );
    let local = "networking.knative.dev/visibility: cluster-local";
    let inside = domains(chosen, local);
    assert_eq!((hosts(&inside), said(&inside)), (vec![], vec![]));
    let homeless = domains("  _example: x\n", "");
    assert_eq!(hosts(&homeless), [""; 0]);
    assert_eq!(said(&homeless).len(), 1);
    assert!(said(&homeless)[0].starts_with("warning DW1006"));
    let example = domains("  example.com: ''\n", "");
    assert_eq!(hosts(&example), ["r.team.example.com"]);
    assert!(said(&example)[0].starts_with("warning DW1007"));
    let broken = domains("  Bad_Domain: ''\n  a.io: 'selector: ['\n", "");
    let codes: Vec<u16> = broken.findings.iter().map(|one| one.code.0).collect();
    assert_eq!(codes.iter().filter(|code| **code == 1001).count(), 2);
    assert_eq!(hosts(&broken), [""; 0]);
}

#[test]
fn a_model_has_its_own_host_and_one_for_each_part() {
    let spec = "{predictor: {}, transformer: {labels: {a: b}}, explainer: {}}";
    let compiled = kubeflow(&format!("{FLAT}{}", model("iris", spec)));
    assert_eq!(
        hosts(&compiled),
        [
            "iris-explainer-team.kf.io",
            "iris-predictor-team.kf.io",
            "iris-team.kf.io",
            "iris-team.other.io",
            "iris-transformer-team.kf.io"
        ]
    );
    let own = routes(&compiled, 80, "iris-team.kf.io");
    assert_eq!(names(&own), ["iris explainer", "iris transformer"]);
    let Some(uri) = &own[0].matches[0].uri else {
        panic!("no path");
    };
    let TextMatch::Regex(explain) = &uri.text else {
        panic!("no pattern");
    };
    assert!(explain.is_match("/v1/models/iris-2:explain"));
    assert!(!explain.is_match("/v1/models/iris:predict"));
    let entry = &own[1];
    assert_eq!(
        destination(entry).service.to_string(),
        "iris-transformer.team:80"
    );
    assert_eq!(set(entry, "kserve-isvc-name").unwrap(), "iris");
    assert_eq!(set(entry, "kserve-isvc-namespace").unwrap(), "team");
    let rewrite = forward(entry).rewrite.as_ref().unwrap();
    assert_eq!(
        rewrite.authority.as_deref(),
        Some("iris-transformer.team.svc.cluster.local")
    );
    assert_eq!(said(&compiled), [""; 0]);
}

#[test]
fn a_model_with_a_path_is_served_below_the_shared_host() {
    let config = KUBEFLOW.replace(
        "\"ingressDomain\"",
        "\"pathTemplate\": \"/serving/{{ .Namespace }}/{{ .Name }}\", \"ingressDomain\"",
    );
    let models = model("a", "{predictor: {}, explainer: {}}") + &model("b", PREDICTOR);
    let rest = virtual_service("dashboard", "  - {route: [{destination: {host: web}}]}");
    let compiled = with(&format!("{config}{models}{rest}"));
    let shared = routes(&compiled, 80, "models.kf.io");
    assert_eq!(
        names(&shared),
        ["a explainer", "a predictor", "b predictor"]
    );
    let Some(PathRewrite::Regex(pattern, with)) =
        &forward(&shared[0]).rewrite.as_ref().unwrap().path
    else {
        panic!("no pattern");
    };
    assert_eq!(
        pattern.replace_all("/serving/team/a/v1/models/a:explain", with),
        "/v1/models/a:explain"
    );
    let texts: Vec<_> = shared[1]
        .matches
        .iter()
        .map(|one| one.uri.as_ref().unwrap().text.clone())
        .collect();
    assert_eq!(
        texts,
        [
            TextMatch::Prefix("/serving/team/a/".into()),
            TextMatch::Exact("/serving/team/a".into())
        ]
    );
    assert_eq!(
        forward(&shared[1]).rewrite.as_ref().unwrap().path,
        Some(PathRewrite::Matched("/".into()))
    );
    let hidden: Vec<_> = said(&compiled);
    assert_eq!(hidden.len(), 1, "{hidden:?}");
    assert!(hidden[0].starts_with("error DW1011"));
}

#[test]
fn a_model_of_deployments_follows_the_template_of_kserve() {
    let raw = model("iris", PREDICTOR).replace(
        "namespace: team}",
        "namespace: team, annotations: {serving.kserve.io/deploymentMode: RawDeployment}}",
    );
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: iris-predictor, namespace: team}\nspec: {selector: {app: isvc.iris-predictor}, ports: [{port: 8081}]}\n---\n";
    let compiled = kubeflow(&format!("{raw}{service}"));
    assert_eq!(
        hosts(&compiled),
        [
            "iris-predictor-team.models.kf.io",
            "iris-team.models.kf.io",
            "iris-team.other.io"
        ]
    );
    let route = &routes(&compiled, 80, "iris-team.models.kf.io")[0];
    assert_eq!(
        destination(route).service.to_string(),
        "iris-predictor.team:8081"
    );
    assert_eq!(forward(route).rewrite, None);
    let by_gateway_api = kubeflow(&raw.clone()).snapshot;
    assert_eq!(by_gateway_api.computed_hosts().len(), 3);
    let config = KUBEFLOW.replace(
        "\"ingressDomain\"",
        "\"enableGatewayApi\": true, \"ingressDomain\"",
    );
    let elsewhere = with(&format!("{config}{raw}"));
    assert_eq!(hosts(&elsewhere), [""; 0]);
    assert!(said(&elsewhere)[0].starts_with("warning DW1014"));
}

#[test]
fn what_is_local_is_not_served_outside() {
    for label in ["networking.knative.dev", "networking.kserve.io"] {
        let local = model("iris", PREDICTOR).replace(
            "namespace: team}",
            &format!("namespace: team, labels: {{{label}/visibility: cluster-local}}}}"),
        );
        let compiled = kubeflow(&local);
        assert_eq!((hosts(&compiled), said(&compiled)), (vec![], vec![]));
    }
}

#[test]
fn two_objects_with_one_host_are_both_closed() {
    let both = knative("a-b", "c", "") + &knative("a", "b-c", "") + &knative("d", "e", "");
    let compiled = kubeflow(&format!("{FLAT}{both}"));
    let tables = table(&compiled);
    assert!(tables.closure("a-b-c.kf.io").is_some());
    assert!(tables.closure("d-e.kf.io").is_none());
    let said = said(&compiled);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said.iter().all(|one| one.starts_with("error DW1005")));
    let nested = kubeflow(&both);
    assert_eq!(hosts(&nested), ["a-b.c.kf.io", "a.b-c.kf.io", "d.e.kf.io"]);
}

#[test]
fn a_virtual_service_that_is_there_already_wins() {
    let models = model("iris", PREDICTOR);
    let written = virtual_service(
        "iris-predictor-ingress",
        "  - {name: written, route: [{destination: {host: web}}]}",
    )
    .replace(
        "hosts: ['*']",
        "hosts: [iris-predictor.team.kf.io, iris.team.kf.io]",
    );
    let compiled = kubeflow(&format!("{models}{written}"));
    for host in ["iris-predictor.team.kf.io", "iris.team.kf.io"] {
        assert_eq!(
            names(&routes(&compiled, 80, host)),
            ["iris-predictor-ingress written"]
        );
    }
    assert_eq!(
        names(&routes(&compiled, 80, "iris.team.other.io")),
        ["iris predictor"]
    );
    let owned = written.replace(
        "metadata: {name: iris-predictor-ingress, namespace: apps}",
        "metadata: {name: iris, namespace: team, ownerReferences: [{kind: InferenceService, name: iris}], labels: {serving.knative.dev/route: hello}}",
    );
    let hello = knative("hello", "team", "");
    let compiled = kubeflow(&format!("{models}{hello}{owned}"));
    assert_eq!(
        hosts(&compiled),
        ["iris-predictor.team.kf.io", "iris.team.kf.io"]
    );
}

#[test]
fn what_cannot_be_read_or_made_is_said_and_not_served() {
    let faulty = knative("hello", "team", "spec: {traffic: [{percent: 101}]}");
    let compiled = kubeflow(&faulty);
    assert!(said(&compiled)[0].starts_with("error DW1013"));
    let tables = table(&compiled);
    assert!(tables.closure("hello.team.kf.io").is_some());

    let template = FLAT.replace("{{.Name}}-", "{{.Name | lower}}-");
    let compiled = kubeflow(&format!("{template}{}", model("iris", PREDICTOR)));
    assert!(said(&compiled)[0].starts_with("error DW1003"));
    assert_eq!(hosts(&compiled), [""; 0]);

    let long = model(&"m".repeat(50), PREDICTOR);
    let compiled = kubeflow(&format!("{FLAT}{long}"));
    assert!(
        said(&compiled)
            .iter()
            .all(|one| one.starts_with("error DW1004"))
    );
    assert_eq!(said(&compiled).len(), 1);
    let own = format!("{}-team.kf.io", "m".repeat(50));
    assert_eq!(
        hosts(&compiled),
        [""; 0],
        "no host is made of a part of {own}"
    );

    let broken = model("iris", "{transformer: {}}");
    let compiled = kubeflow(&broken);
    let tables = table(&compiled);
    for host in ["iris.team.kf.io", "iris-predictor.team.kf.io"] {
        assert!(tables.closure(host).is_some(), "{host}");
    }
    let typo = FLAT.replace("domainTemplate", "domainTemplates");
    let compiled = kubeflow(&typo);
    assert!(said(&compiled)[0].starts_with("warning DW1002"));
    assert!(compiled.findings[0].remedy.contains("`domainTemplate`"));
}

#[test]
fn a_gateway_that_is_absent_or_has_other_hosts_is_an_error() {
    let models = model("iris", PREDICTOR);
    let config = KUBEFLOW.replace("gateway.istio-system.main", "gateway.istio-system.none");
    let config = config.replace("istio-system/main", "istio-system/gone");
    let compiled = with(&format!("{config}{models}"));
    let errors = said(&compiled);
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors.iter().all(|one| one.starts_with("error DW1008")));
    let narrow = BASE.replace("hosts: ['*']", "hosts: [kf.io]");
    let compiled = compile(&text(&format!("{narrow}{KUBEFLOW}{models}")));
    let errors = said(&compiled);
    assert!(
        errors.iter().all(|one| one.starts_with("error DW1009")),
        "{errors:?}"
    );
    assert_eq!(errors.len(), 3);
    assert_eq!(
        compiled.findings[0].remedy,
        "add `*.team.kf.io` to `hosts` of a server"
    );
}

#[test]
fn gateways_are_chosen_from_the_list_by_label() {
    let lists = KUBEFLOW.replace(
        "data: {gateway.istio-system.main: istio-ingressgateway.istio-system.svc.cluster.local}",
        "data:\n  gateway.a.b: c\n  external-gateways: |\n    - {name: main, namespace: istio-system, service: s}\n    - name: elsewhere\n      namespace: istio-system\n      service: s\n      labelSelector:\n        matchExpressions: [{key: tier, operator: In, values: [gold]}]",
    );
    let other = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: elsewhere, namespace: istio-system}\nspec: {selector: {istio: other}, servers: [{port: {number: 80, name: h, protocol: HTTP}, hosts: ['*']}]}\n---\n";
    let gold = knative("gold", "team", "")
        .replace("namespace: team}", "namespace: team, labels: {tier: gold}}");
    let plain = knative("plain", "team", "");
    let rest = virtual_service("rest", "  - {route: [{destination: {host: web}}]}");
    let compiled = with(&format!("{lists}{other}{gold}{plain}{rest}"));
    assert_eq!(hosts(&compiled), ["plain.team.kf.io"]);
    assert_eq!(said(&compiled).len(), 1, "the older key beside the list");
    assert!(said(&compiled)[0].starts_with("warning DW1002"));
}

#[test]
fn a_model_whose_service_is_absent_is_spoken_to_as_the_rule_for_it_says() {
    let model = format!("{FLAT}{}", model("iris", PREDICTOR));
    let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r, namespace: team}\n\
                spec: {host: iris-predictor, trafficPolicy: {tls: {mode: SIMPLE, sni: iris}}}\n---\n";
    let to = |rule: &str| {
        let compiled = kubeflow(&format!("{model}{rule}"));
        let routes = routes(&compiled, 80, "iris-team.kf.io");
        destination(&routes[0]).clone()
    };
    assert_eq!(to("").tls, None);
    let named = to(rule).tls.unwrap().server_name.clone();
    assert_eq!(named.as_deref(), Some("iris"));
    let broken = rule.replace("mode: SIMPLE", "mode: [");
    let PlayedBy::Nobody(closure) = to(&broken).played_by else {
        panic!("open");
    };
    assert_eq!(closure.code, crate::finding::codes::SYNTAX);
}
