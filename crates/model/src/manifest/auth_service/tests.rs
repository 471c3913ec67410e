//! Variables in, a program out.

use super::*;

/// What the Azure guide of Kubeflow sets: the oldest generation.
const AZURE: [(&str, &str); 11] = [
    (
        "OIDC_PROVIDER",
        "https://login.microsoftonline.com/tenant/v2.0",
    ),
    (
        "OIDC_AUTH_URL",
        "https://login.microsoftonline.com/tenant/oauth2/v2.0/authorize",
    ),
    ("REDIRECT_URL", "https://kubeflow.example/login/oidc"),
    ("CLIENT_ID", "client"),
    ("CLIENT_SECRET", "secret"),
    ("OIDC_SCOPES", "profile email"),
    ("SKIP_AUTH_URI", ""),
    ("USERID_HEADER", "kubeflow-userid"),
    ("USERID_PREFIX", ""),
    ("PORT", "8080"),
    ("STORE_PATH", "/var/lib/authservice/data.db"),
];

/// What Kubeflow 1.8 sets.
const KUBEFLOW: [(&str, &str); 11] = [
    (
        "OIDC_PROVIDER",
        "http://dex.auth.svc.cluster.local:5556/dex",
    ),
    ("OIDC_AUTH_URL", "/dex/auth"),
    ("OIDC_SCOPES", "profile email groups"),
    ("AUTHSERVICE_URL_PREFIX", "/authservice/"),
    ("SKIP_AUTH_URLS", "/dex"),
    ("AFTER_LOGOUT_URL", "/"),
    ("USERID_HEADER", "kubeflow-userid"),
    ("USERID_CLAIM", "email"),
    ("PORT", "8080"),
    ("CLIENT_ID", "client"),
    ("CLIENT_SECRET", "secret"),
];

fn started(variables: &[(&str, &str)]) -> Result<Standing, Vec<Finding>> {
    let environment: Vec<_> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    stand_in(&environment)
}

fn service(standing: &Standing) -> &AuthService {
    match standing.snapshot.program().map(|program| &**program) {
        Some(Program::AuthService(service)) => service,
        other => panic!("{other:?}"),
    }
}

fn faults(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| &*finding.fault).collect()
}

#[test]
fn the_parameters_of_the_azure_guide_are_taken_unchanged() {
    let standing = started(&AZURE).unwrap();
    assert_eq!(faults(&standing.findings), [""; 0]);
    let login = &standing.snapshot.logins()[0];
    assert_eq!(&*login.cookie_name, "authservice_session");
    assert_eq!(login.scopes.join(" "), "openid profile email");
    assert_eq!(
        login.redirect_url.as_deref(),
        Some("https://kubeflow.example/login/oidc")
    );
    assert!(!login.relative_redirect_url && !login.cookie_secure);
    let service = service(&standing);
    assert_eq!(&*service.callback, "/login/oidc");
    let sign_outs: Vec<_> = service
        .sign_outs
        .iter()
        .map(|one| (&*one.path, one.by_get))
        .collect();
    assert_eq!(
        sign_outs,
        [("/authservice/logout", false), ("/logout", true)]
    );
    assert_eq!(
        service.token_header.as_ref().unwrap(),
        "kubeflow-userid-token"
    );
    assert_eq!((&*standing.judge, &*standing.readiness), (":8080", ":8081"));
}

#[test]
fn the_settings_of_kubeflow_are_taken_unchanged() {
    let standing = started(&KUBEFLOW).unwrap();
    assert_eq!(faults(&standing.findings), [""; 0]);
    let login = &standing.snapshot.logins()[0];
    assert_eq!(login.login_url.as_deref(), Some("/dex/auth"));
    assert_eq!(
        login.redirect_url.as_deref(),
        Some("/authservice/oidc/callback")
    );
    assert!(login.relative_redirect_url);
    let service = service(&standing);
    assert_eq!(service.skipped, ["/dex".into()]);
    assert_eq!(service.sign_outs.len(), 1);
    assert_eq!(&*service.verify, "/authservice/verify");
    let LoginShape::AuthService(shape) = &login.shape else {
        panic!("{:?}", login.shape);
    };
    assert_eq!(
        (&*shape.after_logout, &*shape.callback),
        ("/", "/authservice/oidc/callback")
    );
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let findings = started(&[
        ("OIDC_PROVIDER", "dex"),
        ("CLIENT_ID", "c"),
        ("SESSION_MAX_AGE", "1d"),
        ("IDTOKEN_AUTHN_ENABLED", "on"),
        ("EXTERNAL_AUTHZ_URL", "authorizer"),
        ("ACCESS_TOKEN_AUTHN", "both"),
        ("USERID_HEADER", "user id"),
        ("USERID_TRANSFORMERS", "[{\"matches\": \"(\"}]"),
        ("SKIP_AUTH_URLS", "dex"),
        ("THEME", "dark"),
    ])
    .unwrap_err();
    let mut told = faults(&findings);
    told.sort_unstable();
    let wanted = [
        "`ACCESS_TOKEN_AUTHN` is neither `jwt` nor `opaque`",
        "`CLIENT_SECRET` is missing",
        "`EXTERNAL_AUTHZ_URL` is no web address",
        "`IDTOKEN_AUTHN_ENABLED` has to be `true` or `false`",
        "`OIDC_PROVIDER` is no web address",
        "`SESSION_MAX_AGE` has to be a whole number",
        "`SKIP_AUTH_URLS` has something that is no path",
        "`THEME` has no effect here: the pages have the look of doorward",
        "`USERID_HEADER` is no name of a header",
        "`USERID_TRANSFORMERS` has an entry that cannot be read",
    ];
    assert_eq!(told, wanted);
}

#[test]
fn the_page_lists_every_variable_and_what_becomes_of_it() {
    const PAGE: &str = include_str!("../../../../../docs/authservice.md");
    let mut table = "| variable | here |\n|---|---|\n".to_owned();
    for (name, becomes) in variables() {
        let becomes = match becomes {
            Becomes::Acts => "acts".to_owned(),
            Becomes::Warns(_, why) => format!("warns: {why}"),
        };
        table.push_str(&format!("| `{name}` | {becomes} |\n"));
    }
    assert!(
        PAGE.contains(&table),
        "docs/authservice.md should have\n{table}"
    );
}

#[test]
fn who_else_is_asked_is_as_the_environment_says() {
    let with = |more: &[(&'static str, &'static str)]| {
        let standing = started(&[&KUBEFLOW[..], more].concat()).unwrap();
        let LoginShape::AuthService(shape) = standing.snapshot.logins()[0].shape.clone() else {
            panic!("the shape is AuthService's");
        };
        let authorizer = service(&standing).authorizer.clone();
        (shape, authorizer)
    };
    let (shape, authorizer) = with(&[]);
    let usual: &[Arc<str>] = &["istio-ingressgateway.istio-system.svc.cluster.local".into()];
    assert_eq!(shape.reviews.as_deref(), Some(usual));
    assert_eq!(
        (
            shape.opaque_tokens,
            shape.strict,
            shape.remembered,
            authorizer
        ),
        (false, false, None, None)
    );
    assert_eq!(shape.token_header, "authorization");
    let (shape, authorizer) = with(&[
        ("KUBERNETES_AUTHN_ENABLED", "false"),
        ("ACCESS_TOKEN_AUTHN", "opaque"),
        ("STRICT_SESSION_VALIDATION", "1"),
        ("CACHE_ENABLED", "true"),
        ("CACHE_EXPIRATION_MINUTES", "2"),
        ("ID_TOKEN_HEADER", "X-Token"),
        ("EXTERNAL_AUTHZ_URL", "http://judge:8080/x"),
    ]);
    assert_eq!(shape.reviews, None);
    assert!(shape.opaque_tokens && shape.strict);
    assert_eq!(shape.remembered, Some(Duration::from_secs(120)));
    assert_eq!(shape.token_header, "x-token");
    assert_eq!(authorizer.as_deref(), Some("http://judge:8080/x"));
    let (shape, _) = with(&[
        ("ACCESS_TOKEN_AUTHN_ENABLED", "false"),
        ("ACCESS_TOKEN_AUTHN", "opaque"),
    ]);
    assert!(!shape.opaque_tokens);
}
