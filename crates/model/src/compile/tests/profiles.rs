//! What follows from a `Profile`, and from the objects of its contributors.

use super::*;
use crate::finding::codes;
use crate::snapshot::{self, Attribute, Policy, SubjectKind, TextPattern, Values};

/// The Profile `apps`, whose namespace [`BASE`] has.
fn profile(spec: &str) -> String {
    format!(
        "apiVersion: kubeflow.org/v1\nkind: Profile\nmetadata: {{name: apps}}\nspec: {{{spec}}}\n---\n"
    )
}

const OWNER: &str = "owner: {kind: User, name: ann@example.com}";

/// [`BASE`] without its Namespace, the route to `web`, and more documents.
fn without_namespace(more: &str) -> Compiled {
    let start = BASE.find("apiVersion: v1\nkind: Namespace").unwrap();
    let end = start + BASE[start..].find("---\n").unwrap() + 4;
    let base = format!("{}{}", &BASE[..start], &BASE[end..]);
    compile(&text(&format!("{base}{}{more}", web())))
}

fn web() -> String {
    virtual_service("v", "  - {route: [{destination: {host: web}}]}")
}

fn web_of(compiled: &Compiled) -> Destination {
    destination(&routes(compiled, 80, "h")[0]).clone()
}

fn names(list: &[Arc<Policy>]) -> Vec<&str> {
    list.iter()
        .map(|policy| &*policy.info.object.name)
        .collect()
}

fn codes_of(compiled: &Compiled) -> Vec<crate::finding::Code> {
    compiled
        .findings
        .iter()
        .map(|finding| finding.code)
        .filter(|code| (1101..1200).contains(&code.0))
        .collect()
}

#[test]
fn a_profile_alone_isolates_its_namespace() {
    let compiled = without_namespace(&profile(OWNER));
    let web = web_of(&compiled);
    assert_eq!(names(&web.policies.allow), ["ns-owner-access-istio"]);
    let policy = &web.policies.allow[0];
    let line = compiled.snapshot.tenancy().profiles["apps"].place.line;
    assert_eq!(policy.info.place.line, line);
    assert_eq!(
        policy.info.object.to_string(),
        "AuthorizationPolicy apps/ns-owner-access-istio"
    );
    let [owner, inside, probes, culling] = &policy.rules[..] else {
        panic!("{policy:?}");
    };
    let exact = |all: &[&str]| {
        let all = all.iter().map(|one| TextPattern::Exact((*one).into()));
        Some(Values::Text(all.collect()))
    };
    assert_eq!(
        owner.from[0][0].any_of,
        exact(&[
            "cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account",
            "cluster.local/ns/kubeflow/sa/ml-pipeline-ui",
        ])
    );
    let user = http::HeaderName::from_static("kubeflow-userid");
    assert_eq!(owner.when[0].attribute, Attribute::Header(user));
    assert_eq!(owner.when[0].any_of, exact(&["ann@example.com"]));
    assert!(owner.to.is_empty() && inside.from.is_empty() && inside.to.is_empty());
    assert_eq!(inside.when[0].attribute, Attribute::Namespace);
    assert_eq!(
        probes.to[0][0].any_of,
        exact(&["/healthz", "/metrics", "/wait-for-drain"])
    );
    assert!(probes.from.is_empty() && probes.when.is_empty());
    assert_eq!(
        culling.from[0][0].any_of,
        exact(&["cluster.local/ns/kubeflow/sa/notebook-controller-service-account"])
    );
    assert_eq!(culling.to[0].len(), 2);
    assert_eq!(codes_of(&compiled), []);
}

#[test]
fn the_controllers_settings_count() {
    let settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: profiles-config-1, namespace: kubeflow}\n\
         data: {USERID_HEADER: x-user, USERID_PREFIX: 'p:', ISTIO_INGRESS_GATEWAY_PRINCIPAL: cluster.local/ns/a/sa/b, ADMIN: 'root@example.com, '}\n---\n";
    let compiled = without_namespace(&(profile(OWNER) + settings));
    let policy = &web_of(&compiled).policies.allow[0];
    let said = format!("{:?}", policy.rules[0]);
    assert!(
        said.contains("cluster.local/ns/a/sa/b")
            && said.contains("p:ann@example.com")
            && said.contains("x-user"),
        "{said}"
    );
    assert_eq!(
        *compiled.snapshot.tenancy().cluster_admins,
        ["root@example.com".into()]
    );
    let other = settings
        .replace("config-1", "config-2")
        .replace("root@", "eve@");
    let compiled = without_namespace(&(profile(OWNER) + settings + &other));
    assert!(compiled.snapshot.tenancy().cluster_admins.is_empty());
    assert_eq!(codes_of(&compiled), [codes::PROFILE_SETTING]);
}

#[test]
fn what_the_manifests_have_counts_and_what_differs_is_said() {
    let own = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: ns-owner-access-istio, namespace: apps}\nspec: {rules: [{to: [{operation: {paths: [/x]}}]}]}\n---\n";
    let compiled = without_namespace(&(profile(OWNER) + own));
    let web = web_of(&compiled);
    assert_eq!(web.policies.allow.len(), 1);
    assert_eq!(web.policies.allow[0].rules.len(), 1);
    assert_eq!(codes_of(&compiled), [codes::PROFILE_DIFFERS]);

    let usual = include_str!("../../../../../cases/kubeflow-profile/profile.yaml");
    let profile = "---\napiVersion: kubeflow.org/v1\nkind: Profile\nmetadata: {name: kubeflow-user-example-com}\nspec: {owner: {kind: User, name: user@example.com}}\n";
    let compiled = compile(&text(&format!("{usual}{profile}")));
    assert_eq!(codes_of(&compiled), [], "{:?}", compiled.findings);
    assert_eq!(
        compiled.snapshot.tenancy().profiles["kubeflow-user-example-com"]
            .own
            .len(),
        4
    );
}

#[test]
fn a_profile_that_cannot_be_read_closes_its_namespace() {
    for (spec, code) in [
        ("", codes::PROFILE_INVALID),
        ("owner: {kind: User}", codes::PROFILE_INVALID),
        ("owner: {kind: User, name: ''}", codes::PROFILE_INVALID),
        ("owner: {kind: Robot, name: a}", codes::PROFILE_INVALID),
        ("owner: {kind: Group, name: 'a*'}", codes::PROFILE_INVALID),
        ("owner: {kind: User, nam: a}", codes::UNKNOWN_FIELD),
        ("owners: {kind: User, name: a}", codes::UNKNOWN_FIELD),
        ("owner: {kind: User, name: '${OWNER}'}", codes::PLACEHOLDER),
    ] {
        let compiled = without_namespace(&profile(spec));
        let web = web_of(&compiled);
        assert!(
            web.policies
                .deny
                .iter()
                .any(|policy| policy.closed.is_some()),
            "{spec}"
        );
        assert!(
            compiled.findings.iter().any(|finding| finding.code == code),
            "{spec}"
        );
        assert!(compiled.snapshot.tenancy().profiles.is_empty());
    }
    let broken = without_namespace(
        "apiVersion: kubeflow.org/v1\nkind: Profile\nmetadata:\n  name: apps\nspec: {owner: [}\n---\n",
    );
    assert!(web_of(&broken).policies.deny[0].closed.is_some());
}

#[test]
fn two_profiles_of_one_namespace_close_it() {
    let two = profile(OWNER) + &profile("owner: {kind: User, name: eve@example.com}");
    let compiled = without_namespace(&two);
    assert!(web_of(&compiled).policies.deny[0].closed.is_some());
    assert!(
        said(&compiled)
            .iter()
            .any(|line| line.starts_with("error DW0104"))
    );
    let same = without_namespace(&(profile(OWNER) + &profile(OWNER)));
    assert!(web_of(&same).policies.deny.is_empty());
    assert_eq!(web_of(&same).policies.allow.len(), 1);
}

#[test]
fn a_namespace_of_somebody_else_is_closed_and_never_taken_over() {
    let namespace = |owner: &str| {
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: apps, annotations: {{{owner}}}}}\n---\n"
        )
    };
    for owner in ["", "owner: eve@example.com"] {
        let compiled = without_namespace(&(profile(OWNER) + &namespace(owner)));
        let web = web_of(&compiled);
        assert!(web.policies.deny[0].closed.is_some() && web.policies.allow.is_empty());
        assert_eq!(codes_of(&compiled), [codes::PROFILE_NAMESPACE]);
    }
    // The label that turns sidecars on is not what isolation hangs on.
    let compiled = without_namespace(&(profile(OWNER) + &namespace("owner: ann@example.com")));
    assert_eq!(web_of(&compiled).policies.allow.len(), 1);
    let off = namespace("owner: ann@example.com").replace(
        "name: apps,",
        "name: apps, labels: {istio-injection: disabled},",
    );
    let compiled = without_namespace(&(profile(OWNER) + &off));
    assert_eq!(codes_of(&compiled), [codes::PROFILE_UNGUARDED]);
}

#[test]
fn the_mesh_itself_is_nobodys_profile() {
    let reserved = profile(OWNER).replace("name: apps", "name: istio-system");
    let compiled = without_namespace(&reserved);
    assert_eq!(codes_of(&compiled), [codes::PROFILE_RESERVED]);
    let web = web_of(&compiled);
    assert!(web.policies.allow.is_empty() && web.policies.deny.is_empty());
    assert!(compiled.snapshot.gateway_policies().allow.is_empty());
}

#[test]
fn plugins_are_recognised() {
    let plugins = |kind: &str| format!("{OWNER}, plugins: [{{kind: {kind}}}]");
    let known = without_namespace(&profile(&plugins("WorkloadIdentity")));
    let unknown = without_namespace(&profile(&plugins("Workload")));
    let severity = |compiled: &Compiled| {
        let mut findings = compiled.findings.iter();
        findings
            .find(|finding| finding.code == codes::PROFILE_PLUGIN)
            .unwrap()
            .severity
    };
    assert_eq!(severity(&known), crate::Severity::Note);
    assert_eq!(severity(&unknown), crate::Severity::Warning);
    assert_eq!(web_of(&known).policies.allow.len(), 1);
}

/// RoleBinding and AuthorizationPolicy of a contributor, as KFAM writes them.
fn contributor(kind: &str, user: &str, role: &str) -> String {
    let meta = format!(
        "metadata: {{name: n-{role}, namespace: apps, annotations: {{user: {user}, role: {role}}}}}"
    );
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\n{meta}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: kubeflow-{role}}}\n\
         subjects: [{{kind: {kind}, name: {user}}}]\n---\n\
         apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n{meta}\n\
         spec: {{rules: [{{from: [{{source: {{principals: [x]}}}}], when: [{{key: 'request.headers[kubeflow-userid]', values: [{user}]}}]}}]}}\n---\n"
    )
}

#[test]
fn groups_own_and_contribute() {
    let group = profile("owner: {kind: Group, name: team}");
    let compiled = without_namespace(
        &(group + &contributor("Group", "guests", "edit") + &contributor("User", "bob", "view")),
    );
    let web = web_of(&compiled);
    assert_eq!(
        names(&web.policies.allow),
        ["n-edit", "n-view", "ns-owner-access-istio"]
    );
    let when = |at: usize| &web.policies.allow[at].rules[0].when;
    let exact = |text: &str| Some(Values::Text(vec![TextPattern::Exact(text.into())].into()));
    assert_eq!(
        (&when(0)[0].attribute, &when(0)[0].any_of),
        (&Attribute::Group, &exact("guests"))
    );
    assert!(matches!(when(1)[0].attribute, Attribute::Header(_)));
    assert_eq!(when(1).len(), 1);
    assert_eq!(
        (&when(2)[0].attribute, &when(2)[0].any_of),
        (&Attribute::Group, &exact("team"))
    );
    let bindings = &compiled.snapshot.tenancy().profiles["apps"].bindings;
    let told: Vec<_> = bindings
        .iter()
        .map(|one| (one.subject.kind, one.role))
        .collect();
    assert_eq!(
        told,
        [
            (SubjectKind::Group, snapshot::Role::Edit),
            (SubjectKind::User, snapshot::Role::View)
        ]
    );
}

#[test]
fn strict_viewers_only_look() {
    let tree = format!(
        "{BASE}{}{}{}",
        web(),
        profile(OWNER),
        contributor("User", "bob", "view") + &contributor("User", "cat", "edit")
    );
    let tree = tree.replace(
        "name: apps, labels",
        "name: apps, annotations: {owner: ann@example.com}, labels",
    );
    let role = Role {
        strict_viewers: true,
        ..Role::default()
    };
    let compiled = compile_as(&text(&tree), &role);
    let web = web_of(&compiled);
    assert_eq!(
        names(&web.policies.allow),
        ["n-edit", "n-view", "ns-owner-access-istio"]
    );
    let count = |at: usize| web.policies.allow[at].rules[0].when.len();
    assert_eq!((count(0), count(1), count(2)), (1, 3, 1));
}

#[test]
fn a_binding_that_does_not_say_who_it_is_binds_nobody() {
    let two = contributor("User", "bob", "edit")
        .replace("subjects: [", "subjects: [{kind: User, name: eve}, ");
    let compiled = without_namespace(&(profile(OWNER) + &two));
    assert_eq!(codes_of(&compiled), [codes::BINDING_INVALID]);
    assert!(
        compiled.snapshot.tenancy().profiles["apps"]
            .bindings
            .is_empty()
    );
}

#[test]
fn what_a_profile_leaves_behind_is_known() {
    let compiled = without_namespace(&profile(OWNER));
    let occupied = compiled.snapshot.tenancy().profiles["apps"]
        .occupied
        .clone()
        .unwrap();
    assert_eq!(occupied.namespace.as_ref(), "apps");
    let other = profile(OWNER).replace("name: apps", "name: empty");
    let account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default-editor, namespace: empty}\n---\n";
    let compiled = without_namespace(&(other + account));
    let tenancy = compiled.snapshot.tenancy();
    assert_eq!(tenancy.profiles["empty"].occupied, None);
    for namespace in ["apps", "empty", "istio-system"] {
        assert!(tenancy.namespaces.contains(namespace), "{namespace}");
    }
    assert!(!tenancy.self_service);
}

#[test]
fn half_a_contributor_and_a_viewer_who_may_write_are_told() {
    let both = contributor("User", "bob", "edit");
    let (binding, policy) = both.split_once("---\n").unwrap();
    for half in [binding, policy] {
        let compiled = without_namespace(&(profile(OWNER) + half));
        assert_eq!(codes_of(&compiled), [codes::CONTRIBUTOR_HALF]);
    }
    let viewer = without_namespace(&(profile(OWNER) + &contributor("User", "bob", "view")));
    assert_eq!(codes_of(&viewer), [codes::VIEWER_CHANGES]);
    let whole = without_namespace(&(profile(OWNER) + &both));
    assert_eq!(codes_of(&whole), []);
}
