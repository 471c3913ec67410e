//! Login proxy, provider and policies against each other.

use super::*;
use crate::finding::codes;

/// A provider `auth/dex`, its settings below `c.example`; clients as given.
fn provider(clients: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: dex, namespace: auth}}\ndata:\n  config.yaml: |\n    \
         issuer: https://c.example/dex\n    storage: {{type: memory}}\n    enablePasswordDB: true\n    staticClients: {clients}\n---\n"
    )
}

/// A login proxy `auth/oauth2-proxy` with this client and these further settings.
fn login(id: &str, secret: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: oauth2-proxy, namespace: auth}}\ndata:\n  oauth2_proxy.cfg: |\n    \
         provider = 'oidc'\n    oidc_issuer_url = 'https://c.example/dex'\n    email_domains = '*'\n    upstreams = 'static://200'\n    \
         cookie_secret = '0123456789abcdef'\n    client_id = '{id}'\n    client_secret = '{secret}'\n    {more}\n---\n"
    )
}

/// A client `kf` whose secret is `right`.
fn client(redirects: &str) -> String {
    provider(&format!(
        "[{{id: kf, name: K, secret: right, redirectURIs: [{redirects}]}}]"
    ))
}

const RELATIVE: &str = "redirect_url = '/oauth2/callback'\n    relative_redirect_url = true";

fn mismatches(compiled: &Compiled) -> Vec<&Finding> {
    let ours = [
        codes::LOGIN_CLIENT,
        codes::LOGIN_CLIENT_SECRET,
        codes::LOGIN_REDIRECT,
        codes::ISSUER_ALMOST,
    ];
    assert_eq!(compiled.snapshot.logins().len(), 1);
    assert_eq!(compiled.snapshot.providers().len(), 1);
    let findings = compiled.findings.iter();
    findings
        .filter(|finding| ours.contains(&finding.code))
        .collect()
}

#[test]
fn a_client_that_the_provider_does_not_have_is_named_with_both_places() {
    let tree = client("/oauth2/callback") + &login("kg", "right", RELATIVE);
    let compiled = with(&tree);
    let found = mismatches(&compiled);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].code, codes::LOGIN_CLIENT);
    assert_eq!(found[0].severity, crate::Severity::Error);
    assert_eq!(
        found[0].fault,
        "`ConfigMap auth/oauth2-proxy` signs in as the client `kg`, which `ConfigMap auth/dex` (a.yaml:24) does not have"
    );
    assert_eq!(found[0].remedy, "did you mean `kf`?");
    assert_eq!(found[0].place.as_ref().unwrap().to_string(), "a.yaml:34");
}

#[test]
fn a_secret_that_differs_is_told_and_not_shown() {
    let compiled = with(&(client("/oauth2/callback") + &login("kf", "wrong", RELATIVE)));
    let found = mismatches(&compiled);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].code, codes::LOGIN_CLIENT_SECRET);
    assert_eq!(
        found[0].fault,
        "the secret of the client `kf` is not the same in `ConfigMap auth/oauth2-proxy` and in `ConfigMap auth/dex` (a.yaml:24)"
    );
    let all = format!("{:?}", compiled.findings);
    assert!(!all.contains("wrong") && !all.contains("right"));
    // A public client has none.
    let public = provider("[{id: kf, name: K, public: true, redirectURIs: [/oauth2/callback]}]");
    assert_eq!(
        mismatches(&with(&(public + &login("kf", "any", RELATIVE)))).len(),
        0
    );
}

#[test]
fn the_address_that_is_sent_has_to_be_registered() {
    let cases = [
        (RELATIVE, "/oauth2/callback", true),
        (RELATIVE, "https://c.example/oauth2/callback", false),
        (RELATIVE, "/oauth2/callback/", false),
        (
            "redirect_url = 'https://c.example/cb'",
            "https://c.example/cb",
            true,
        ),
        (
            "redirect_url = 'https://c.example/cb'",
            "https://d.example/cb",
            false,
        ),
        // Completed with the served host: any host of a Gateway will do.
        ("", "https://c.example/oauth2/callback", true),
        ("", "http://c.example/oauth2/callback", false),
        (
            "cookie_secure = false",
            "http://c.example/oauth2/callback",
            true,
        ),
        ("", "/oauth2/callback", false),
        (
            "proxy_prefix = '/in'",
            "https://c.example/oauth2/callback",
            false,
        ),
        (
            "proxy_prefix = '/in'",
            "https://c.example/in/callback",
            true,
        ),
    ];
    for (settings, registered, fits) in cases {
        let compiled = with(&(client(registered) + &login("kf", "right", settings)));
        let found: Vec<_> = mismatches(&compiled).iter().map(|one| one.code).collect();
        let expected = if fits {
            vec![]
        } else {
            vec![codes::LOGIN_REDIRECT]
        };
        assert_eq!(found, expected, "{settings} {registered}");
    }
    let compiled = with(&(client("https://c.example/x") + &login("kf", "right", "")));
    assert_eq!(
        mismatches(&compiled)[0].fault,
        "`ConfigMap auth/oauth2-proxy` sends people back to `/oauth2/callback` on the served host, which `ConfigMap auth/dex` (a.yaml:24) does not know for the client `kf`"
    );
    assert_eq!(
        mismatches(&compiled)[0].remedy,
        "add `https://HOST/oauth2/callback`, with each host that people use, to `redirectURIs` of the client"
    );
}

#[test]
fn an_address_on_a_host_that_no_gateway_has_does_not_count() {
    let tree = client("https://c.example/oauth2/callback") + &login("kf", "right", "");
    let gateway = BASE.replace("hosts: ['*']", "hosts: [d.example]");
    let compiled = compile(&text(&(gateway + &tree)));
    assert_eq!(mismatches(&compiled)[0].code, codes::LOGIN_REDIRECT);
}

#[test]
fn a_login_with_another_issuer_is_not_compared() {
    let elsewhere = login("other", "wrong", "").replace("c.example", "d.example");
    assert_eq!(mismatches(&with(&(client("/x") + &elsewhere))).len(), 0);
}

#[test]
fn an_issuer_that_is_almost_the_providers_is_pointed_out() {
    let trusting = |issuer: &str| {
        let tree = client("/oauth2/callback") + &login("kf", "right", RELATIVE);
        let rule = format!(
            "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: r, namespace: istio-system}}\n\
             spec: {{jwtRules: [{{issuer: '{issuer}'}}]}}\n"
        );
        with(&(tree + &rule))
    };
    for slip in [
        "https://c.example/dex/",
        "http://c.example/dex",
        "http://dex.auth.svc.cluster.local:5556/dex",
    ] {
        let compiled = trusting(slip);
        let found = mismatches(&compiled);
        assert_eq!(found.len(), 1, "{slip}");
        assert_eq!(
            (found[0].code, found[0].severity),
            (codes::ISSUER_ALMOST, crate::Severity::Warning)
        );
        assert_eq!(
            found[0].fault,
            format!(
                "tokens of `{slip}` are trusted, but `ConfigMap auth/dex` (a.yaml:24) issues as `https://c.example/dex`"
            )
        );
        assert_eq!(found[0].remedy, "write `https://c.example/dex`");
    }
    for other in [
        "https://c.example/dex",
        "https://c.example/other",
        "https://kubernetes.default.svc.cluster.local",
    ] {
        assert_eq!(mismatches(&trusting(other)).len(), 0, "{other}");
    }
    // One that a login accepts on purpose is none.
    let extra = "redirect_url = '/oauth2/callback'\n    relative_redirect_url = true\n    extra_jwt_issuers = 'http://d.example/dex=kf'";
    let tree = client("/oauth2/callback") + &login("kf", "right", extra);
    let rule = "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: r, namespace: istio-system}\nspec: {jwtRules: [{issuer: 'http://d.example/dex'}]}\n";
    assert_eq!(mismatches(&with(&(tree + rule))).len(), 0);
}

#[test]
fn the_stock_login_and_provider_fit() {
    assert_eq!(mismatches(&compile(&tree("kubeflow-26.03"))).len(), 0);
}

/// Compiled with a native login of `https://corp.example`.
fn natively(more: &str) -> Compiled {
    let login = crate::snapshot::Login::with_defaults(
        crate::names::ObjectRef::new("Settings", "doorward", "login"),
        crate::names::Place::new("doorward.yaml", 1),
        "https://corp.example".into(),
        "door".into(),
    );
    let role = Role {
        login: Some(Arc::new(login)),
        ..Role::default()
    };
    compile_as(&text(&format!("{BASE}{more}")), &role)
}

#[test]
fn a_native_login_takes_the_place_of_those_of_the_manifests() {
    // One that can be read, and one that cannot.
    let readable = client("/oauth2/callback") + &login("kf", "right", RELATIVE);
    let broken = client("/oauth2/callback") + &login("kf", "right", "nonsense = 1");
    let asked = "
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    extensionProviders:
    - name: door
      envoyExtAuthzHttp: {service: oauth2-proxy.auth.svc.cluster.local, port: 80}
---
apiVersion: v1
kind: Service
metadata: {name: oauth2-proxy, namespace: auth}
spec: {selector: {app: oauth2-proxy}, ports: [{port: 80, targetPort: 4180}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: istio-system}
spec:
  action: CUSTOM
  provider: {name: door}
  rules: [{to: [{operation: {paths: ['/app/*']}}]}]
---
";
    for manifests in [readable, broken] {
        let compiled = natively(&format!("{manifests}{asked}"));
        let [only] = compiled.snapshot.logins() else {
            panic!("{:?}", compiled.snapshot.logins());
        };
        assert_eq!(&*only.issuer, "https://corp.example");
        let authorizer = compiled.snapshot.authorizer("door").unwrap();
        assert_eq!(authorizer.kind, crate::snapshot::AuthorizerKind::Login(0));
        // The policies say which requests it is asked about.
        assert_eq!(compiled.snapshot.gateway_policies().custom.len(), 1);
        // Pages of the provider in this process are open to those who sign in there.
        assert!(only.skip_routes[0].path.is_match("/dex/auth"));
        assert!(!only.skip_routes[0].path.is_match("/dexter"));
    }
}

#[test]
fn a_native_login_that_no_policy_asks_guards_everything() {
    let compiled = natively("");
    let custom = &compiled.snapshot.gateway_policies().custom;
    assert_eq!(custom.len(), 1);
    let policy = custom.iter().next().unwrap();
    let crate::snapshot::Action::Custom(name) = &policy.action else {
        panic!("{:?}", policy.action)
    };
    let rule = &policy.rules[0];
    assert!(rule.from.is_empty() && rule.to.is_empty() && rule.when.is_empty());
    let authorizer = compiled.snapshot.authorizer(name).unwrap();
    assert_eq!(authorizer.kind, crate::snapshot::AuthorizerKind::Login(0));
    assert!(!authorizer.fail_open);
    assert!(with("").snapshot.gateway_policies().custom.is_empty());
}
