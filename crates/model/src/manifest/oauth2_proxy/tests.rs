//! Manifests in, login proxies out.

use super::*;
use crate::finding::Severity;
use crate::names::{Duration, ObjectRef, Place, Secret};
use crate::objects::{File, ObjectSet};
use crate::snapshot::{ExtraIssuer, Regex, SkipRule};

const STOCK: [&str; 3] = [
    include_str!("../../../../../fixtures/kubeflow-26.03/15-config.yaml"),
    include_str!("../../../../../fixtures/kubeflow-26.03/60-workloads.yaml"),
    include_str!("../../../../../fixtures/kubeflow-26.03/10-services.yaml"),
];
const CHARTS: &str = include_str!("../../../testdata/onprem-charts.yaml");

/// Enough to sign people in.
const ENOUGH: &str = "provider = 'oidc'\noidc_issuer_url = 'https://a.example/dex'\nemail_domains = '*'\nupstreams = 'static://200'\nclient_id = 'c'\nclient_secret = 's'\ncookie_secret = '0123456789abcdef'\n";

fn find(texts: &[&str]) -> (Vec<FoundLogin>, Vec<Finding>) {
    let file = |text: &&str| File {
        name: "proxy.yaml".into(),
        text: (*text).to_owned(),
    };
    let files = texts.iter().map(file).collect();
    let mut findings = Vec::new();
    let world = World::read(&ObjectSet { files }, &mut findings);
    assert_eq!(findings, []);
    let found = find_logins(&world, &mut findings);
    (found, findings)
}

/// A ConfigMap alone; the text of the file begins on line 5.
fn alone(config: &str) -> (Result<Login, Arc<Closure>>, Vec<Finding>) {
    let body: String = config.lines().map(|line| format!("    {line}\n")).collect();
    let head = "apiVersion: v1\nkind: ConfigMap\ndata:\n  oauth2_proxy.cfg: |\n";
    let tail = "metadata: {name: oauth2-proxy-hk55gm96k4, namespace: auth}\n";
    let (mut found, findings) = find(&[&format!("{head}{body}{tail}")]);
    assert_eq!(found.len(), 1);
    (found.remove(0).login, findings)
}

/// A Deployment with these arguments and variables; arguments begin on line 11.
fn running(args: &[&str], env: &str) -> (Result<Login, Arc<Closure>>, Vec<Finding>) {
    let args: String = args
        .iter()
        .map(|arg| format!("        - '{arg}'\n"))
        .collect();
    let head = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: door, namespace: auth}\nspec:\n  template:\n    spec:\n      containers:\n      - name: x\n        image: registry:5000/a/oauth2-proxy:v7@sha256:00\n        args:\n";
    let (mut found, findings) = find(&[&format!("{head}{args}        env: {env}\n")]);
    assert_eq!(found.len(), 1);
    (found.remove(0).login, findings)
}

const ENOUGH_ARGS: [&str; 7] = [
    "--provider=oidc",
    "--oidc-issuer-url=https://a.example/dex",
    "--email-domain=*",
    "--upstream=static://200",
    "--client-id=c",
    "--client-secret=s",
    "--cookie-secret=0123456789abcdef",
];

fn faults(findings: &[Finding]) -> Vec<(u16, u32, &str)> {
    let line = |finding: &Finding| finding.place.as_ref().map_or(0, |place| place.line);
    findings
        .iter()
        .map(|finding| (finding.code.0, line(finding), &*finding.fault))
        .collect()
}

fn texts(texts: &[&str]) -> Vec<Arc<str>> {
    texts.iter().map(|text| Arc::from(*text)).collect()
}

fn patterns(texts: &[&str]) -> Vec<Regex> {
    texts
        .iter()
        .map(|text| Regex::anywhere(text).unwrap())
        .collect()
}

#[test]
fn stock_kubeflow_is_read_whole() {
    let (found, findings) = find(&STOCK);
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].services,
        [("oauth2-proxy".into(), "oauth2-proxy".into())]
    );
    let login = found[0].login.as_ref().unwrap();
    let usual = Login::with_defaults(
        ObjectRef::new("Deployment", "oauth2-proxy", "oauth2-proxy"),
        Place::new("proxy.yaml", 321),
        "http://dex.auth.svc.cluster.local:5556/dex".into(),
        "kubeflow-oidc-authservice".into(),
    );
    let wanted = Login {
        prefix: "/oauth2".into(),
        client_secret: Secret::new("pUBnBOY80SnXgjibTYM9ZWNzY2xreNGQok"),
        scopes: texts(&["profile", "email", "groups", "openid"]),
        login_url: Some("/dex/auth".into()),
        redeem_url: Some("http://dex.auth.svc.cluster.local:5556/dex/token".into()),
        jwks_url: Some("http://dex.auth.svc.cluster.local:5556/dex/keys".into()),
        redirect_url: Some("/oauth2/callback".into()),
        relative_redirect_url: true,
        prompt: Some("none".into()),
        pkce: true,
        cookie_name: "oauth2_proxy_kubeflow".into(),
        cookie_expire: Duration::from_secs(86_400),
        cookie_secure: false,
        cookie_samesite: "Lax".into(),
        cookie_domains: vec![],
        skip_provider_button: false,
        display_name: "Dex".into(),
        skip_routes: vec![SkipRule {
            method: None,
            path: Regex::anywhere("^/dex/").unwrap(),
            negate: false,
        }],
        skip_preflight: false,
        api_routes: patterns(&["/api/", "/apis/", "^/ml_metadata"]),
        force_json_errors: false,
        email_domains: texts(&["*"]),
        allowed_groups: vec![],
        whitelist_domains: vec![],
        set_authorization_header: true,
        set_xauthrequest: true,
        pass_access_token: false,
        skip_jwt_bearer_tokens: true,
        extra_issuers: vec![],
        email_claim: "email".into(),
        groups_claim: "groups".into(),
        cookie_secret: Secret::new("7d16fee92f8d11b8940b081b3f8b8acb"),
        ..usual
    };
    assert_eq!(*login, wanted);
    assert_eq!(&*login.place.file, "proxy.yaml");
    let wanted = [
        (
            607,
            896,
            "`ssl_insecure_skip_verify` has no effect: doorward never leaves that check out",
        ),
        (609, 949, "`client_secret` is a published sample"),
        (609, 950, "`cookie_secret` is a published sample"),
    ];
    assert_eq!(faults(&findings), wanted);
    assert_eq!(
        findings[1].object,
        Some(ObjectRef::new(
            "Secret",
            "oauth2-proxy",
            "oauth2-proxy-h675gf55ht"
        ))
    );
}

#[test]
fn the_chart_is_read_from_its_config_map_and_secret() {
    let (found, findings) = find(&[CHARTS]);
    assert_eq!(found[0].services, [("auth".into(), "oauth2-proxy".into())]);
    let login = found[0].login.as_ref().unwrap();
    assert_eq!(&*login.issuer, "https://192.168.1.240/dex");
    assert_eq!((&login.login_url, &login.redirect_url), (&None, &None));
    assert_eq!(
        (&*login.cookie_name, &*login.cookie_samesite),
        ("_oauth2_proxy", "Lax")
    );
    assert_eq!(login.cookie_expire, Duration::from_secs(604_800));
    assert_eq!(login.scopes, texts(&["openid", "email", "profile"]));
    assert!(login.skip_provider_button && login.cookie_secure && !login.pkce);
    let wanted = [
        (603, 79, "`provider_ca_files` is not acted on yet"),
        (609, 98, "`client_secret` is a published sample"),
    ];
    assert_eq!(faults(&findings), wanted);
}

#[test]
fn without_a_deployment_the_secret_of_the_chart_is_found() {
    let parts: Vec<&str> = CHARTS.split("\n---\n").collect();
    let config = parts
        .iter()
        .find(|part| part.contains("oauth2_proxy.cfg: |"))
        .unwrap();
    let secret = parts
        .iter()
        .find(|part| part.contains("client-id: "))
        .unwrap();
    let (found, _) = find(&[config, secret]);
    let login = found[0].login.as_ref().unwrap();
    assert_eq!(&*login.client_id, "oauth2-proxy");
    assert_eq!(
        login.object,
        ObjectRef::new("ConfigMap", "auth", "oauth2-proxy")
    );
    assert_eq!(found[0].services, [("auth".into(), "oauth2-proxy".into())]);

    let (found, findings) = find(&[config]);
    assert!(found[0].login.is_err());
    let wanted = [
        "`client_secret` is missing",
        "`cookie_secret` is missing",
        "`client_id` is missing",
    ];
    let missing = findings
        .iter()
        .filter(|finding| finding.code == codes::LOGIN_OPTION_MISSING);
    assert_eq!(
        missing.map(|finding| &*finding.fault).collect::<Vec<_>>(),
        wanted
    );
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let (found, findings) = find(&[&CHARTS
        .replace(
            "        - --http-address=0.0.0.0:4180\n",
            "        - --cookie-name=flag\n        - --whitelist-domain\n        - a\n        - --whitelist-domain=$(EXTRA),c\n        - --cookie-secure=false\n        - --force-json-errors\n",
        )
        .replace(
            "        env:\n        - name: OAUTH2_PROXY_CLIENT_ID\n",
            "        env:\n        - {name: EXTRA, value: b}\n        - {name: OAUTH2_PROXY_COOKIE_NAME, value: env}\n        - {name: OAUTH2_PROXY_COOKIE_SAMESITE, value: strict}\n        - {name: OAUTH2_PROXY_WHITELIST_DOMAINS, value: z}\n        - {name: OAUTH2_PROXY_EMAIL_DOMAINS, value: ''}\n        - {name: OAUTH2_PROXY_ALLOWED_GROUPS, value: 'g1,g2'}\n        - name: OAUTH2_PROXY_CLIENT_ID\n",
        )]);
    let login = found[0].login.as_ref().unwrap();
    assert_eq!(
        (&*login.cookie_name, &*login.cookie_samesite),
        ("flag", "Strict")
    );
    assert_eq!(login.whitelist_domains, texts(&["a", "b", "c"]));
    assert_eq!(login.email_domains, texts(&["*"]));
    assert_eq!(login.allowed_groups, texts(&["g1", "g2"]));
    assert_eq!(
        login.scopes,
        texts(&["openid", "email", "profile", "groups"])
    );
    assert!(login.force_json_errors && !login.cookie_secure);
    assert_eq!(findings.len(), 2);
}

#[test]
fn the_file_is_lenient_where_the_original_is() {
    let (login, findings) = alone(&format!(
        "{ENOUGH}cookie_refresh = 0\ncookie_expire = 3_600_000_000_000\nskip_auth_preflight = \"true\"\nextra_jwt_issuers = \"https://k=a,https://l=b=c\"\nuser_id_claim = \"upn\"\nCookie_Name = \"n\"\n",
    ));
    assert_eq!(findings, []);
    let login = login.unwrap();
    assert_eq!(login.cookie_expire, Duration::from_secs(3600));
    assert!(login.skip_preflight);
    assert_eq!(&*login.email_claim, "upn");
    assert_eq!(&*login.cookie_name, "n");
    let issuer = |issuer: &str, audience: &str| ExtraIssuer {
        issuer: issuer.into(),
        audience: audience.into(),
    };
    assert_eq!(
        login.extra_issuers,
        [issuer("https://k", "a"), issuer("https://l", "b=c")]
    );
}

#[test]
fn skip_rules_have_four_forms() {
    let (login, findings) = alone(&format!(
        "{ENOUGH}skip_auth_routes = [\"^/a\", \"get=^/b\", \"POST!=^/c\", \"!=^/d\", \"^/e?x=1\"]\nskip_auth_regex = [\"x=y\"]\n",
    ));
    let rule = |method: Option<&str>, path: &str, negate: bool| SkipRule {
        method: method.map(Arc::from),
        path: Regex::anywhere(path).unwrap(),
        negate,
    };
    let wanted = [
        rule(None, "x=y", false),
        rule(None, "^/a", false),
        rule(Some("GET"), "^/b", false),
        rule(Some("POST"), "^/c", true),
        rule(None, "^/d", true),
        rule(Some("^/E?X"), "1", false),
    ];
    assert_eq!(login.unwrap().skip_routes, wanted);
    let wanted = [(
        610,
        12,
        "`^/e?x=1` exempts nothing: `^/e?x` is read as a method",
    )];
    assert_eq!(faults(&findings), wanted);
    assert_eq!(findings[0].remedy, "write `=^/e?x=1`");
}

#[test]
fn each_of_these_lets_nobody_in() {
    for (line, code, fault) in [
        (
            "cookie_nam = 'x'",
            602,
            "`cookie_nam` is no option of OAuth2 Proxy",
        ),
        (
            "authenticated_emails_file = '/x'",
            119,
            "`authenticated_emails_file` names `/x`, which is not in the manifests",
        ),
        (
            "htpasswd_file = '/x'",
            604,
            "`htpasswd_file` is not enforced yet, so nobody is let in",
        ),
        (
            "oidc_audience_claims = ['azp']",
            604,
            "`oidc_audience_claims` is not enforced yet, so nobody is let in",
        ),
        (
            "cookie_secure = 'yes'",
            605,
            "`cookie_secure` has to be `true` or `false`",
        ),
        (
            "cookie_expire = '1d'",
            605,
            "`cookie_expire` has to be a span of time such as `24h`",
        ),
        (
            "cookie_samesite = 'Lax'",
            605,
            "`cookie_samesite` is unknown: `Lax`",
        ),
        (
            "cookie_name = 'a b'",
            605,
            "`cookie_name` is no cookie name: `a b`",
        ),
        (
            "allowed_groups = [1]",
            605,
            "`allowed_groups` has to be a list of texts",
        ),
        (
            "skip_auth_routes = ['']",
            610,
            "an empty pattern exempts every path from the login",
        ),
        (
            "extra_jwt_issuers = ['https://k']",
            605,
            "`https://k` is no issuer with its audience",
        ),
        (
            "client_secret_file = '/x'",
            605,
            "`client_secret` and `client_secret_file` exclude each other",
        ),
        (
            "redirect_url = '//evil'",
            605,
            "`redirect_url` is no web address: `//evil`",
        ),
        (
            "proxy_prefix = 'oauth2'",
            605,
            "`proxy_prefix` is no path below `/`: `oauth2`",
        ),
        (
            "skip_oidc_discovery = true\nlogin_url = '/a'\nredeem_url = 'https://a/t'",
            606,
            "`oidc_jwks_url` is missing",
        ),
        (
            "skip_oidc_discovery = true\nlogin_url = '/a'\nredeem_url = '/t'\noidc_jwks_url = 'https://a/k'",
            605,
            "`redeem_url` is no web address: `/t`",
        ),
    ] {
        let (login, findings) = alone(&format!("{ENOUGH}{line}\n"));
        let finding = &findings[0];
        assert_eq!((finding.code.0, &*finding.fault), (code, fault), "{line}");
        assert_eq!(finding.severity, Severity::Error);
        assert_eq!(login.unwrap_err(), Arc::new(Closure::of(finding)), "{line}");
    }
}

#[test]
fn each_of_these_is_missed() {
    for (from, to, code, fault) in [
        (
            "'oidc'",
            "'github'",
            601,
            "the provider `github` is not supported yet",
        ),
        (
            "provider = 'oidc'\n",
            "",
            601,
            "the provider `google` is not supported yet",
        ),
        (
            "email_domains = '*'\n",
            "",
            606,
            "`email_domains` is missing",
        ),
        (
            "client_id = 'c'",
            "client_id = ''",
            606,
            "`client_id` is missing",
        ),
        (
            "client_secret = 's'\n",
            "",
            606,
            "`client_secret` is missing",
        ),
        (
            "0123456789abcdef",
            "0123456789abcde",
            605,
            "`cookie_secret` is not 16, 24 or 32 bytes long",
        ),
        (
            "https://a.example/dex",
            "https://${HOST}/dex",
            108,
            "the placeholder in `oidc_issuer_url` was never filled in: `https://${HOST}/dex`",
        ),
        (
            "static://200",
            "http://app:80",
            608,
            "the upstream `http://app:80` is not played yet, so nobody is let in",
        ),
        (
            "static://200",
            "static://202",
            608,
            "the upstream `static://202` is not played yet, so nobody is let in",
        ),
    ] {
        let (login, findings) = alone(&ENOUGH.replace(from, to));
        let finding = findings.last().unwrap();
        assert_eq!((finding.code.0, &*finding.fault), (code, fault), "{to}");
        assert!(login.is_err(), "{to}");
        assert!(
            findings
                .iter()
                .all(|finding| !finding.fault.contains("0123"))
        );
    }
}

#[test]
fn a_fault_of_the_file_names_the_line_of_the_manifest() {
    let (login, findings) =
        alone("provider = \"oidc\"\nskip_provider_button = yes\nclient_id = \"c\"\n");
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].code, codes::LOGIN_CONFIG);
    assert_eq!(findings[0].place, Some(Place::new("proxy.yaml", 6)));
    assert_eq!(findings[0].field, "data[oauth2_proxy.cfg]");
    assert_eq!(login.unwrap_err(), Arc::new(Closure::of(&findings[0])));
}

#[test]
fn options_that_only_do_less_are_warned_about() {
    let (login, findings) = alone(&format!(
        "{ENOUGH}cookie_refresh = '1h'\ntrusted_ips = ['10.0.0.1']\ncookie_path = '/app'\nredirect_url = 'https://a/cb'\n",
    ));
    let login = login.unwrap();
    assert_eq!(login.cookie_refresh, Some(Duration::from_secs(3600)));
    assert_eq!(&*login.cookie_path, "/app");
    let wanted = [
        (603, 13, "`trusted_ips` is not acted on yet"),
        (
            605,
            15,
            "`redirect_url` leads to `/cb`, but the answer is `/oauth2/callback`",
        ),
    ];
    assert_eq!(faults(&findings), wanted);
    assert!(
        findings
            .iter()
            .all(|finding| finding.severity == Severity::Warning)
    );
}

#[test]
fn bad_arguments_close_the_login_and_name_their_line() {
    let run = |more: &[&str]| {
        let args: Vec<&str> = ENOUGH_ARGS.iter().chain(more).copied().collect();
        running(&args, "[]")
    };
    assert!(run(&[]).0.is_ok());
    for (more, fault) in [
        (
            &["--email-domains=x"][..],
            "`--email-domains` is no flag of OAuth2 Proxy",
        ),
        (
            &["--alpha-config", "/x"],
            "the alpha configuration is not supported yet",
        ),
        (&["--cookie-secure", "false"], "an argument is no flag"),
        (&["--cookie-name"], "`--cookie-name` has no value"),
        (
            &["--cookie-refresh=5"],
            "`cookie_refresh` has to be a span of time such as `24h`",
        ),
        (&["--config=/etc/x"], "nothing is mounted at `/etc/x`"),
    ] {
        let (login, findings) = run(more);
        assert_eq!(&*findings[0].fault, fault);
        let line = if fault.contains("is no flag") && more.len() > 1 {
            19
        } else {
            18
        };
        assert_eq!(
            findings[0].place,
            Some(Place::new("proxy.yaml", line)),
            "{fault}"
        );
        assert!(login.is_err(), "{fault}");
    }
}

#[test]
fn a_variable_whose_secret_is_missing_closes_the_login() {
    let variable = |name: &str| {
        format!("[{{name: {name}, valueFrom: {{secretKeyRef: {{name: s, key: k}}}}}}]")
    };
    let (login, findings) = running(&ENOUGH_ARGS, &variable("OAUTH2_PROXY_ALLOWED_GROUPS"));
    let fault =
        "the variable `OAUTH2_PROXY_ALLOWED_GROUPS` needs Secret `auth/s`, which is not here";
    assert_eq!(faults(&findings), [(118, 18, fault)]);
    assert_eq!(login.unwrap_err(), Arc::new(Closure::of(&findings[0])));
    let (login, findings) = running(&ENOUGH_ARGS, &variable("OTHER"));
    assert_eq!((login.is_ok(), findings.len()), (true, 1));
    let (login, findings) = running(
        &ENOUGH_ARGS,
        "[{name: OAUTH2_PROXY_ALLOWED_GROUP, value: a}]",
    );
    assert!(login.is_ok());
    assert_eq!(
        findings[0].remedy,
        "did you mean `OAUTH2_PROXY_ALLOWED_GROUPS`?"
    );
    assert_eq!(findings[0].severity, Severity::Warning);
}

#[test]
fn a_name_loses_only_the_hash_of_kustomize() {
    assert_eq!(without_hash("oauth2-proxy-hk55gm96k4"), "oauth2-proxy");
    assert_eq!(without_hash("oauth2-proxy"), "oauth2-proxy");
    assert_eq!(without_hash("my-oauth2proxy"), "my-oauth2proxy");
}
