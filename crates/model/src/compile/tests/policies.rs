//! Which policies reach which workload, and what they say.

use super::*;
use crate::finding::codes;
use crate::snapshot::{
    Attribute, AuthorizerKind, KeySource, Test, TextPattern, TokenLocation, Values,
};

fn policy(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n---\n"
    )
}

const WEB: &str = "  - {route: [{destination: {host: web}}]}";

fn at_web(more: &str) -> Destination {
    let compiled = with(&(virtual_service("v", WEB) + more));
    destination(&routes(&compiled, 80, "h")[0]).clone()
}

#[test]
fn policies_reach_workloads_by_namespace_and_labels() {
    let all = policy("a", "istio-system", "")
        + &policy(
            "b",
            "istio-system",
            "selector: {matchLabels: {app: web}}, rules: [{}]",
        )
        + &policy("c", "apps", "action: DENY, rules: [{}]")
        + &policy(
            "d",
            "apps",
            "selector: {matchLabels: {app: other}}, rules: [{}]",
        )
        + &policy("e", "elsewhere", "rules: [{}]");
    let web = at_web(&all);
    let names = |list: &[Arc<crate::snapshot::Policy>]| {
        list.iter()
            .map(|policy| policy.info.object.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&web.policies.allow), ["a", "b"]);
    assert_eq!(names(&web.policies.deny), ["c"]);
}

#[test]
fn labels_of_the_deployment_behind_a_service_count() {
    let deployment = |extra: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: apps}}\nspec: {{template: {{metadata: {{labels: {{app: web, tier: front{extra}}}}}, spec: {{containers: []}}}}}}\n---\n"
        )
    };
    let guard = policy(
        "p",
        "apps",
        "action: DENY, selector: {matchLabels: {tier: front}}, rules: [{}]",
    );
    assert_eq!(at_web(&guard).policies.deny.len(), 0);
    assert_eq!(at_web(&(deployment("") + &guard)).policies.deny.len(), 1);
    // Without a sidecar nobody enforces anything.
    let outside = deployment(", sidecar.istio.io/inject: 'false'");
    assert_eq!(at_web(&(outside + &guard)).policies.deny.len(), 0);
}

#[test]
fn two_workloads_behind_one_service_ask_for_both() {
    let deployment = |name: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: apps}}\nspec: {{template: {{metadata: {{labels: {{app: web, v: {name}}}}}, spec: {{containers: []}}}}}}\n---\n"
        )
    };
    let allow = |name: &str| {
        policy(
            name,
            "apps",
            &format!("selector: {{matchLabels: {{v: {name}}}}}, rules: [{{}}]"),
        )
    };
    let both = at_web(&(deployment("a") + &deployment("b") + &allow("a") + &allow("b")));
    assert_eq!(both.policies.allow.len(), 1);
    assert!(both.policies.allow[0].rules.is_empty());
    let deny = policy(
        "d",
        "apps",
        "action: DENY, selector: {matchLabels: {v: b}}, rules: [{}]",
    );
    assert_eq!(
        at_web(&(deployment("a") + &deployment("b") + &deny))
            .policies
            .deny
            .len(),
        1
    );
}

#[test]
fn a_policy_becomes_tests_over_attributes() {
    let web = at_web(&policy(
        "p",
        "apps",
        "rules: [{from: [{source: {principals: [cluster.local/ns/a/sa/b], notNamespaces: ['x*y']}}], \
         to: [{operation: {hosts: ['A.com'], methods: [GET], notPaths: ['/dex/*', '/a/{*}']}}], \
         when: [{key: 'request.headers[X-A]', notValues: ['*']}, {key: 'request.auth.claims[a][b]', values: [c]}]}]",
    ));
    let rule = &web.policies.allow[0].rules[0];
    let exact = |text: &str| Values::Text(vec![TextPattern::Exact(text.into())].into());
    let test = |attribute, any_of, none_of| Test {
        attribute,
        any_of,
        none_of,
    };
    assert_eq!(
        rule.from,
        [[
            test(
                Attribute::Principal,
                Some(exact("cluster.local/ns/a/sa/b")),
                None
            ),
            test(
                Attribute::Namespace,
                None,
                Some(Values::Text(
                    vec![TextPattern::Wildcard(["x".into(), "y".into()].into())].into()
                ))
            ),
        ]]
    );
    assert_eq!(
        rule.to[0][0],
        test(Attribute::Host, Some(exact("a.com")), None)
    );
    assert_eq!(
        rule.to[0][1],
        test(Attribute::Method, Some(exact("GET")), None)
    );
    let Some(Values::Text(paths)) = &rule.to[0][2].none_of else {
        panic!("no paths")
    };
    assert_eq!(paths[0], TextPattern::Prefix("/dex/".into()));
    assert!(matches!(&paths[1], TextPattern::Template(template) if template.head.len() == 2));
    assert_eq!(
        rule.when,
        [
            test(
                Attribute::Header("x-a".parse().unwrap()),
                None,
                Some(Values::Text(vec![TextPattern::Present].into()))
            ),
            test(
                Attribute::Claim(["a".into(), "b".into()].into()),
                Some(exact("c")),
                None
            ),
        ]
    );
}

#[test]
fn a_dry_run_is_not_enforced_and_said() {
    let dry = policy("p", "apps", "action: DENY, rules: [{}]").replace(
        "namespace: apps",
        "namespace: apps, annotations: {istio.io/dry-run: 'true'}",
    );
    assert_eq!(at_web(&dry).policies.deny.len(), 0);
    assert!(
        with(&dry)
            .findings
            .iter()
            .any(|finding| finding.code == codes::DRY_RUN)
    );
    let other = dry.replace("'true'", "'yes'");
    assert_eq!(at_web(&other).policies.deny.len(), 1);
}

#[test]
fn an_authorizer_that_nobody_defines_refuses() {
    let compiled = with(&policy(
        "p",
        "istio-system",
        "action: CUSTOM, provider: {name: nobody}, selector: {matchLabels: {istio: ingressgateway}}, rules: [{}]",
    ));
    assert_eq!(
        said(&compiled),
        ["error DW0403:22 AuthorizationPolicy istio-system/p"]
    );
    let authorizer = compiled.snapshot.authorizer("nobody").unwrap();
    assert!(matches!(authorizer.kind, AuthorizerKind::Closed(_)));
}

#[test]
fn a_policy_in_the_wrong_namespace_is_an_error_when_it_was_meant_for_the_gateway() {
    let selector = "selector: {matchLabels: {istio: ingressgateway}}, rules: [{}]";
    let here = policy("here", "istio-system", selector);
    let compiled = with(&(here + &policy("p", "apps", selector)));
    assert_eq!(
        said(&compiled),
        ["error DW0402:24 AuthorizationPolicy apps/p"]
    );
    let compiled = with(&policy(
        "p",
        "apps",
        "selector: {matchLabels: {app: none}}, rules: [{}]",
    ));
    assert_eq!(
        said(&compiled),
        ["warning DW0402:19 AuthorizationPolicy apps/p"]
    );
}

#[test]
fn the_principal_of_a_moved_gateway_is_named() {
    let compiled = with(&policy(
        "p",
        "apps",
        "rules: [{from: [{source: {principals: [cluster.local/ns/ingress/sa/istio-ingressgateway]}}]}]",
    ));
    let finding = compiled
        .findings
        .iter()
        .find(|one| one.code == codes::PRINCIPAL_UNKNOWN)
        .unwrap();
    assert_eq!(
        finding.fault,
        "no workload is `cluster.local/ns/ingress/sa/istio-ingressgateway`"
    );
}

#[test]
fn token_rules_are_sorted_by_issuer_and_look_where_istio_looks() {
    let compiled = with(
        "apiVersion: security.istio.io/v1beta1\nkind: RequestAuthentication\nmetadata: {name: r, namespace: istio-system}\n\
         spec:\n  jwtRules:\n  - {issuer: z, jwks: '{}', fromCookies: [c], outputClaimToHeaders: [{header: X-A, claim: a.b}]}\n  - {issuer: a, audiences: [x], forwardOriginalToken: true}\n",
    );
    let rules = &compiled.snapshot.gateway_authentication().rules;
    assert_eq!((&*rules[0].issuer, &*rules[1].issuer), ("a", "z"));
    assert_eq!(rules[0].keys, KeySource::Discovery);
    assert_eq!(
        rules[0].locations,
        [
            TokenLocation::Header {
                name: http::header::AUTHORIZATION,
                prefix: "Bearer ".into()
            },
            TokenLocation::Query("access_token".into()),
        ]
    );
    assert!(rules[0].forward_original && !rules[1].forward_original);
    assert_eq!(rules[1].locations, [TokenLocation::Cookie("c".into())]);
    assert_eq!(&*rules[1].claim_headers[0].claim, ["a".into(), "b".into()]);
    assert!(
        compiled
            .snapshot
            .identity_headers()
            .contains(&"x-a".parse().unwrap())
    );
}
