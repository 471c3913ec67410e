//! Access rules of early Istio versions.

use super::*;
use crate::finding::codes;
use crate::snapshot::{Attribute, Policy, TextPattern, Values};

fn rbac(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: rbac.istio.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, namespace: apps}}\nspec: {{{spec}}}\n---\n"
    )
}

fn config(spec: &str) -> String {
    rbac("ClusterRbacConfig", "default", spec)
}

const ROLE: &str = "rules: [{services: ['*']}]";
const EVERYBODY: &str = "subjects: [{user: '*'}], roleRef: {kind: ServiceRole, name: r}";

fn at(more: &str) -> (Compiled, Destination) {
    let web = virtual_service("v", "  - {route: [{destination: {host: web}}]}");
    let compiled = with(&(web + more));
    let web = destination(&routes(&compiled, 80, "h")[0]).clone();
    (compiled, web)
}

fn rules(list: &[Arc<Policy>]) -> usize {
    list.iter().map(|policy| policy.rules.len()).sum()
}

fn codes_of(compiled: &Compiled) -> Vec<u16> {
    let mut all: Vec<u16> = compiled
        .findings
        .iter()
        .map(|one| one.code.0)
        .filter(|code| *code >= 1301)
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn says(compiled: &Compiled, text: &str) -> bool {
    compiled
        .findings
        .iter()
        .any(|finding| finding.remedy.contains(text))
}

#[test]
fn a_mode_refuses_what_no_role_allows() {
    let (compiled, web) = at(&config("mode: ON"));
    assert_eq!(
        (web.policies.allow.len(), rules(&web.policies.allow)),
        (1, 0)
    );
    let gateway = compiled.snapshot.gateway_policies();
    assert_eq!((gateway.allow.len(), rules(&gateway.allow)), (1, 0));
    assert_eq!(codes_of(&compiled), [1301, 1303]);
    assert!(says(
        &compiled,
        "write the `AuthorizationPolicy` instead: `istio-system/default`: `{\"spec\":{}}`"
    ));

    let (compiled, web) = at(&config("mode: 'OFF'"));
    assert!(web.policies.allow.is_empty() && codes_of(&compiled).is_empty());
    let (compiled, web) = at(&config("mode: ON, enforcementMode: PERMISSIVE"));
    assert!(web.policies.allow.is_empty());
    assert_eq!(codes_of(&compiled), [1304]);
}

#[test]
fn namespaces_and_services_are_included_and_excluded() {
    let lists = |spec: &str| {
        let (compiled, web) = at(&config(spec));
        let gateway = compiled.snapshot.gateway_policies();
        let of = |list: &[Arc<Policy>]| (list.len(), rules(list));
        (of(&web.policies.allow), of(&gateway.allow))
    };
    assert_eq!(
        lists("mode: ON_WITH_INCLUSION, inclusion: {namespaces: [apps]}"),
        ((1, 0), (0, 0))
    );
    assert_eq!(
        lists("mode: ON_WITH_INCLUSION, inclusion: {namespaces: [others]}"),
        ((0, 0), (0, 0))
    );
    let service = "services: [web.apps.svc.cluster.local]";
    assert_eq!(
        lists(&format!(
            "mode: ON_WITH_INCLUSION, inclusion: {{{service}}}"
        )),
        ((1, 0), (0, 0))
    );
    assert_eq!(
        lists("mode: ON_WITH_INCLUSION, inclusion: {services: [gone.apps.svc.cluster.local]}"),
        ((1, 0), (0, 0))
    );
    assert_eq!(
        lists("mode: ON_WITH_EXCLUSION, exclusion: {namespaces: [apps]}"),
        ((2, 1), (1, 0))
    );
    assert_eq!(
        lists(&format!(
            "mode: ON_WITH_EXCLUSION, exclusion: {{{service}}}"
        )),
        ((2, 1), (1, 0))
    );
    assert_eq!(
        lists("mode: ON_WITH_EXCLUSION, exclusion: {namespaces: [istio-system]}"),
        ((1, 0), (2, 1))
    );
}

#[test]
fn a_binding_allows_what_its_role_says() {
    let role = "rules: [{services: ['*'], methods: [GET], paths: ['/a/*'], ports: [8080], constraints: [{key: 'request.headers[x-b]', values: [c, d]}]}]";
    let binding = "subjects: [{properties: {'request.headers[kubeflow-userid]': ann@example.com}}, {names: [x], notNamespaces: [y], groups: [z], ips: [10.0.0.0/8]}], roleRef: {kind: ServiceRole, name: r}";
    let (compiled, web) = at(&(config("mode: ON")
        + &rbac("ServiceRole", "r", role)
        + &rbac("ServiceRoleBinding", "b", binding)));
    let [bound, nothing] = &web.policies.allow[..] else {
        panic!("{:?}", web.policies.allow);
    };
    assert_eq!(bound.info.object.to_string(), "ServiceRoleBinding apps/b");
    assert!(nothing.rules.is_empty());
    let [header, named] = &bound.rules[..] else {
        panic!("{bound:?}");
    };
    let user = Attribute::Header(http::HeaderName::from_static("kubeflow-userid"));
    assert_eq!(header.when[0].attribute, user);
    let exact = Values::Text(vec![TextPattern::Exact("ann@example.com".into())].into());
    assert_eq!(header.when[0].any_of, Some(exact));
    assert_eq!(
        (header.from.len(), header.to[0].len(), header.when.len()),
        (0, 3, 2)
    );
    assert_eq!(
        (named.from[0].len(), named.to[0].len(), named.when.len()),
        (3, 3, 2)
    );
    assert!(says(
        &compiled,
        r#""when":[{"key":"request.headers[kubeflow-userid]","values":["ann@example.com"]}"#
    ));
}

#[test]
fn roles_name_services_whole_or_by_beginning_or_end() {
    let lets = |pattern: &str| {
        let role = format!("rules: [{{services: ['{pattern}']}}]");
        let (_, web) = at(&(config("mode: ON")
            + &rbac("ServiceRole", "r", &role)
            + &rbac("ServiceRoleBinding", "b", EVERYBODY)));
        rules(&web.policies.allow) == 1
    };
    for covers in [
        "*",
        "web.apps.svc.cluster.local",
        "web.*",
        "*.apps.svc.cluster.local",
    ] {
        assert!(lets(covers), "{covers}");
    }
    for not in [
        "web",
        "other.apps.svc.cluster.local",
        "*.other.svc.cluster.local",
    ] {
        assert!(!lets(not), "{not}");
    }
}

#[test]
fn what_cannot_be_read_lets_nobody_in() {
    for (kind, spec) in [
        (
            "ServiceRole",
            "rules: [{services: ['*'], paths: [/], pahts: [/a]}]",
        ),
        ("ServiceRole", "rules: [{methods: [GET]}]"),
        (
            "ServiceRole",
            "rules: [{services: ['*'], constraints: [{key: destination.user, values: [a]}]}]",
        ),
        (
            "ServiceRoleBinding",
            "subjects: [{usr: '*'}], roleRef: {kind: ServiceRole, name: r}",
        ),
        (
            "ServiceRoleBinding",
            "subjects: [{}], roleRef: {kind: ServiceRole, name: r}",
        ),
        (
            "ServiceRoleBinding",
            "subjects: [{properties: {no.such.key: a}}], roleRef: {kind: ServiceRole, name: r}",
        ),
    ] {
        let (role, binding) = match kind {
            "ServiceRole" => (spec, EVERYBODY),
            _ => (ROLE, spec),
        };
        let (compiled, web) = at(&(config("mode: ON")
            + &rbac("ServiceRole", "r", role)
            + &rbac("ServiceRoleBinding", "b", binding)));
        assert_eq!(rules(&web.policies.allow), 0, "{spec}");
        assert!(!web.policies.allow.is_empty());
        assert!(
            codes_of(&compiled).contains(&1302),
            "{spec}: {:?}",
            compiled.findings
        );
    }
    for spec in [
        "mode: MAYBE",
        "",
        "mode: ON_WITH_EXCLUSION",
        "mode: ON, inclsion: {}",
    ] {
        let (compiled, web) = at(&config(spec));
        assert!(web.policies.deny[0].closed.is_some(), "{spec}");
        assert!(
            compiled
                .findings
                .iter()
                .any(|one| one.code == codes::LEGACY_RBAC_INVALID)
        );
    }
}

#[test]
fn a_role_of_the_root_namespace_is_one_of_that_namespace() {
    let gateway = |text: String| text.replace("namespace: apps", "namespace: istio-system");
    let role =
        gateway(rbac("ServiceRole", "r", ROLE) + &rbac("ServiceRoleBinding", "b", EVERYBODY));
    let (compiled, web) = at(&(config("mode: ON") + &role));
    assert_eq!(
        (web.policies.allow.len(), rules(&web.policies.allow)),
        (1, 0)
    );
    assert_eq!(rules(&compiled.snapshot.gateway_policies().allow), 1);
    assert_eq!(codes_of(&compiled), [1301]);
}

#[test]
fn what_has_no_effect_is_said() {
    let role = rbac("ServiceRole", "r", ROLE);
    let off = role.clone() + &rbac("ServiceRoleBinding", "b", EVERYBODY);
    let (compiled, web) = at(&off);
    assert!(web.policies.allow.is_empty());
    assert_eq!(codes_of(&compiled), [1304]);
    let (compiled, _) =
        at(&(config("mode: ON_WITH_INCLUSION, inclusion: {namespaces: [apps]}") + &role));
    assert_eq!(codes_of(&compiled), [1301, 1304]);
}

#[test]
fn roles_are_not_asked_where_policies_allow() {
    let modern = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: apps}\nspec: {rules: [{to: [{operation: {paths: [/x]}}]}]}\n---\n";
    let (_, web) = at(&(config("mode: ON")
        + &rbac("ServiceRole", "r", ROLE)
        + &rbac("ServiceRoleBinding", "b", EVERYBODY)
        + modern));
    assert_eq!(web.policies.allow.len(), 1);
    assert_eq!(&*web.policies.allow[0].info.object.name, "p");
}

#[test]
fn the_older_objects_of_a_profile_stand_for_its_policy() {
    let profile = "apiVersion: kubeflow.org/v1beta1\nkind: Profile\nmetadata: {name: apps}\nspec: {owner: {kind: User, name: ann@example.com}}\n---\n";
    let binding = "subjects: [{properties: {'request.headers[kubeflow-userid]': ann@example.com}}], roleRef: {kind: ServiceRole, name: r}";
    let older = rbac("ServiceRole", "r", ROLE)
        + &rbac("ServiceRoleBinding", "owner-binding-istio", binding);
    let base = BASE.replace(
        "name: apps, labels",
        "name: apps, annotations: {owner: ann@example.com}, labels",
    );
    let web = virtual_service("v", "  - {route: [{destination: {host: web}}]}");
    let names = |more: &str| {
        let compiled = compile(&text(&format!("{base}{web}{profile}{older}{more}")));
        let web = destination(&routes(&compiled, 80, "h")[0]).clone();
        web.policies
            .allow
            .iter()
            .map(|policy| policy.info.object.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(&config("mode: ON")),
        ["default", "owner-binding-istio"]
    );
    // Nobody asks for roles here: then the policy of today isolates.
    assert_eq!(names(""), ["ns-owner-access-istio"]);
    let elsewhere = "mode: ON_WITH_INCLUSION, inclusion: {namespaces: [others]}";
    assert_eq!(names(&config(elsewhere)), ["ns-owner-access-istio"]);
    let excluded = "mode: ON_WITH_EXCLUSION, exclusion: {namespaces: [apps]}";
    assert_eq!(names(&config(excluded)), ["ns-owner-access-istio"]);
    // Where a policy allows somebody, roles are not asked: the owner needs one, too.
    let modern = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: apps}\nspec: {rules: [{}]}\n---\n";
    assert_eq!(
        names(&(config("mode: ON") + modern)),
        ["ns-owner-access-istio", "p"]
    );
}

/// The filter of Kubeflow 1.3 to 1.8, with the login proxy of the tree as authorizer.
const FILTER: &str = "apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: authn-filter, namespace: istio-system}
spec:
  workloadSelector: {labels: {istio: ingressgateway}}
  configPatches:
  - applyTo: HTTP_FILTER
    match:
      context: GATEWAY
      listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}
    patch:
      operation: INSERT_BEFORE
      value:
        name: envoy.filters.http.ext_authz
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
          http_service:
            server_uri:
              uri: http://oauth2-proxy.auth.svc.cluster.local
              cluster: outbound|4180||oauth2-proxy.auth.svc.cluster.local
              timeout: 10s
            authorization_request: {allowed_headers: {patterns: [{exact: authorization}, {exact: cookie}]}}
            authorization_response: {allowed_upstream_headers: {patterns: [{exact: kubeflow-userid}, {exact: X-Own}]}}
          status_on_error: {code: GatewayTimeout}
";

/// The same of Istio 1.1.
const OLDER: &str = "apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: authn-filter, namespace: istio-system}
spec:
  workloadLabels: {istio: ingressgateway}
  filters:
  - filterName: envoy.ext_authz
    filterType: HTTP
    insertPosition: {index: FIRST}
    listenerMatch: {listenerType: GATEWAY}
    filterConfig:
      httpService:
        serverUri:
          uri: http://oauth2-proxy.auth.svc.cluster.local
          cluster: outbound|4180||oauth2-proxy.auth.svc.cluster.local
          failureModeAllow: false
          timeout: 10s
        authorizationRequest: {allowedHeaders: {patterns: [{exact: cookie}]}}
        authorizationResponse: {allowedUpstreamHeaders: {patterns: [{exact: kubeflow-userid}, {exact: x-own}]}}
      statusOnError: {code: GatewayTimeout}
";

const LOGIN: &str = "---
apiVersion: v1
kind: ConfigMap
metadata: {name: oauth2-proxy, namespace: auth}
data:
  oauth2_proxy.cfg: |
    provider = 'oidc'
    oidc_issuer_url = 'https://c.example/dex'
    email_domains = '*'
    upstreams = 'static://200'
    cookie_secret = '0123456789abcdef'
    client_id = 'kf'
    client_secret = 'right'
---
apiVersion: v1
kind: Service
metadata: {name: oauth2-proxy, namespace: auth}
spec: {ports: [{port: 4180}]}
";

#[test]
fn an_external_authorizer_of_old_is_a_custom_policy() {
    for filter in [FILTER, OLDER] {
        let (compiled, web) = at(&format!("{filter}{LOGIN}"));
        let gateway = compiled.snapshot.gateway_policies();
        assert!(
            gateway.deny.is_empty() && gateway.custom.len() == 1,
            "{:?}",
            compiled.findings
        );
        assert!(web.policies.custom.is_empty());
        let policy = &gateway.custom[0];
        assert_eq!(
            policy.info.object.to_string(),
            "EnvoyFilter istio-system/authn-filter"
        );
        assert_eq!(policy.rules.len(), 1);
        let authorizer = compiled
            .snapshot
            .authorizer("authn-filter.istio-system")
            .unwrap();
        assert_eq!(authorizer.kind, crate::snapshot::AuthorizerKind::Login(0));
        assert_eq!(
            (authorizer.status_on_error, authorizer.fail_open),
            (504, false)
        );
        let own = http::HeaderName::from_static("x-own");
        assert!(compiled.snapshot.identity_headers().contains(&own));
        assert_eq!(codes_of(&compiled), [1305]);
        assert!(says(
            &compiled,
            r#""provider":{"name":"authn-filter.istio-system"}"#
        ));
    }
}

#[test]
fn any_other_filter_that_decides_who_gets_in_stays_closed() {
    for (from, to) in [
        ("GATEWAY", "SIDECAR_INBOUND"),
        ("INSERT_BEFORE", "MERGE"),
        ("HTTP_FILTER", "NETWORK_FILTER"),
        ("outbound|4180||", "outbound|4180|v1|"),
        (
            "outbound|4180||oauth2-proxy.auth.svc.cluster.local",
            "ext-authz",
        ),
        (
            "svc.cluster.local\n              cluster",
            "svc.cluster.local/check\n              cluster",
        ),
        ("{exact: X-Own}", "{prefix: x-}"),
        ("GatewayTimeout", "Fine"),
        (
            "listener: {filterChain",
            "listener: {portNumber: 80, filterChain",
        ),
        (
            "          status_on_error",
            "          with_request_body: {max_request_bytes: 1}\n          status_on_error",
        ),
    ] {
        let filter = FILTER.replace(from, to);
        assert_ne!(filter, FILTER, "{from}");
        let (compiled, _) = at(&format!("{filter}{LOGIN}"));
        let gateway = compiled.snapshot.gateway_policies();
        assert!(
            gateway.deny[0].closed.is_some() && gateway.custom.is_empty(),
            "{to}"
        );
    }
    // Nobody here is the AuthService of old: then it answers no.
    let elsewhere = FILTER.replace("oauth2-proxy.auth", "authservice.istio-system");
    let (compiled, _) = at(&format!("{elsewhere}{LOGIN}"));
    let authorizer = compiled
        .snapshot
        .authorizer("authn-filter.istio-system")
        .unwrap();
    assert!(matches!(
        authorizer.kind,
        crate::snapshot::AuthorizerKind::Closed(_)
    ));
}
