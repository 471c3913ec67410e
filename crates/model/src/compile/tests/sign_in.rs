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
