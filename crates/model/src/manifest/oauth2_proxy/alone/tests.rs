//! Words, variables and a file in, a program out.

use super::*;
use crate::snapshot::{MountedUpstream, OAuth2Proxy, Program, RouteAction, TrustedPeers};

/// What Kubeflow's own manifests give the program: `common/oauth2-proxy`.
const KUBEFLOW: &str = r#"
provider = "oidc"
oidc_issuer_url = "http://dex.auth.svc.cluster.local:5556/dex"
scope = "profile email groups openid"
email_domains = [ "*" ]
skip_oidc_discovery = true
login_url = "/dex/auth"
redeem_url = "http://dex.auth.svc.cluster.local:5556/dex/token"
oidc_jwks_url = "http://dex.auth.svc.cluster.local:5556/dex/keys"
upstreams = [ "static://200" ]
skip_auth_routes = [ "^/dex/" ]
api_routes = [ "/api/", "/apis/", "^/ml_metadata" ]
skip_provider_button = false
provider_display_name = "Dex"
custom_sign_in_logo = "/custom-theme/kubeflow-logo.svg"
banner = "-"
footer = "-"
prompt = "none"
set_authorization_header = true
set_xauthrequest = true
cookie_name = "oauth2_proxy_kubeflow"
cookie_expire = "24h"
cookie_refresh = 0
code_challenge_method = "S256"
redirect_url = "/oauth2/callback"
relative_redirect_url = true
"#;

const KUBEFLOW_VARIABLES: [(&str, &str); 7] = [
    ("OAUTH2_PROXY_CLIENT_ID", "kubeflow-oidc-authservice"),
    ("OAUTH2_PROXY_CLIENT_SECRET", "s"),
    (
        "OAUTH2_PROXY_COOKIE_SECRET",
        "0123456789abcdef0123456789abcdef",
    ),
    ("OAUTH2_PROXY_COOKIE_SECURE", "false"),
    ("OAUTH2_PROXY_SSL_INSECURE_SKIP_VERIFY", "true"),
    ("OAUTH2_PROXY_SKIP_JWT_BEARER_TOKENS", "true"),
    ("OAUTH2_PROXY_EXTRA_JWT_ISSUERS", ""),
];

/// Enough to sign people in.
const ENOUGH: [&str; 6] = [
    "--provider=oidc",
    "--oidc-issuer-url=https://a.example/dex",
    "--email-domain=*",
    "--client-id=c",
    "--client-secret=s",
    "--cookie-secret=0123456789abcdef",
];

fn started(
    words: &[&str],
    variables: &[(&str, &str)],
    file: Option<&str>,
) -> Result<Standing, Vec<Finding>> {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let environment: Vec<_> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let around = Surroundings {
        environment: &environment,
        file: file.map(|text| ("proxy.cfg", text)),
        read: &|path| match path {
            "/secret" => Some(Secret::new("0123456789abcdef")),
            "/emails" => Some(Secret::new("# who\nAnn@a.example,x\n \"b@b.example\"\n\n")),
            _ => None,
        },
    };
    CommandLine::read(&words).stand_in(&around)
}

pub(super) fn with(more: &[&str]) -> Result<Standing, Vec<Finding>> {
    let words: Vec<&str> = ENOUGH.iter().chain(more).copied().collect();
    started(&words, &[], None)
}

fn proxy(standing: &Standing) -> &OAuth2Proxy {
    match standing.snapshot.program().map(|program| &**program) {
        Some(Program::OAuth2Proxy(proxy)) => proxy,
        other => panic!("{other:?}"),
    }
}

pub(super) fn faults(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| &*finding.fault).collect()
}

#[test]
fn the_settings_of_kubeflow_are_taken_unchanged() {
    let words = ["--http-address=0.0.0.0:4180", "--config=/etc/proxy.cfg"];
    let standing = started(&words, &KUBEFLOW_VARIABLES, Some(KUBEFLOW)).unwrap();
    let wanted = ["`custom_sign_in_logo` has no effect here: the pages have the look of doorward"];
    assert_eq!(faults(&standing.findings), wanted);
    assert_eq!(
        standing.findings[0].place.as_ref().unwrap().to_string(),
        "proxy.cfg:15"
    );
    assert_eq!(standing.listens.http.as_deref(), Some("0.0.0.0:4180"));
    assert!(standing.trust.anybody);
    let login = &standing.snapshot.logins()[0];
    assert_eq!(&*login.cookie_name, "oauth2_proxy_kubeflow");
    assert_eq!(login.login_url.as_deref(), Some("/dex/auth"));
    assert!(!login.cookie_secure && login.skip_jwt_bearer_tokens && login.extra_issuers.is_empty());
    let proxy = proxy(&standing);
    assert!(proxy.to_client.user && proxy.to_client.bearer && !proxy.to_client.access_token);
    assert_eq!(proxy.mounts.len(), 1);
    assert_eq!(proxy.trust, TrustedPeers::Nobody);
}

#[test]
fn flags_win_over_variables_and_those_over_the_file() {
    let file = "cookie_name = 'file'\nclient_id = 'file'\nallowed_groups = ['file']\n";
    let variables = [
        ("OAUTH2_PROXY_COOKIE_NAME", "variable"),
        ("OAUTH2_PROXY_CLIENT_ID", "variable"),
        ("OAUTH2_PROXY_ALLOWED_GROUPS", "variable"),
        ("OAUTH2_PROXY_WHITELIST_DOMAINS", "a,b"),
        ("OAUTH2_PROXY_PROXY_PREFIX", ""),
    ];
    let mut words = ENOUGH.to_vec();
    words.retain(|word| !word.contains("client-id"));
    words.extend([
        "-cookie-name",
        "flag",
        "--allowed-group=x,y",
        "-allowed-group=z",
    ]);
    let standing = started(&words, &variables, Some(file)).unwrap();
    let login = &standing.snapshot.logins()[0];
    let texts = |all: &[Arc<str>]| all.join(" ");
    assert_eq!(
        (&*login.cookie_name, &*login.client_id),
        ("flag", "variable")
    );
    assert_eq!(texts(&login.allowed_groups), "x y z");
    assert_eq!(texts(&login.whitelist_domains), "a b");
    assert_eq!(&*login.prefix, "/oauth2");
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let words = [
        "--cookie-nam=x",
        "--email-domains=x",
        "stray",
        "--cookie-refresh=5",
        "--banner",
    ];
    let findings = started(&words, &[], Some("colour = 'red'\nprovider = 'github'\n")).unwrap_err();
    let wanted = [
        "`colour` is no option of OAuth2 Proxy",
        "`--cookie-nam` is no flag of OAuth2 Proxy",
        "`--email-domains` is no flag of OAuth2 Proxy",
        "an argument is no flag",
        "`cookie_refresh` has to be a span of time such as `24h`",
        "`--banner` has no value",
        "the provider `github` is not supported yet",
        "`client_secret` is missing",
        "`cookie_secret` is missing",
        "`client_id` is missing",
        "`oidc_issuer_url` is missing",
        "`email_domains` is missing",
    ];
    assert_eq!(faults(&findings), wanted);
    assert_eq!(
        findings[0].place.as_ref().unwrap().to_string(),
        "proxy.cfg:1"
    );
}

#[test]
fn secrets_and_lists_come_from_files() {
    let words = [
        "--provider=oidc",
        "--oidc-issuer-url=https://a.example/dex",
        "--authenticated-emails-file=/emails",
        "--client-id=c",
        "--client-secret-file=/secret",
        "--cookie-secret-file=/secret",
    ];
    let standing = started(&words, &[], None).unwrap();
    let login = &standing.snapshot.logins()[0];
    assert_eq!(login.client_secret.expose(), b"0123456789abcdef");
    let emails: Vec<&str> = login.emails.iter().map(|email| &**email).collect();
    assert_eq!(emails, ["ann@a.example", "b@b.example"]);
    assert!(login.email_domains.is_empty());
    assert_eq!(standing.watched, ["/emails".into()]);
    let findings = with(&["--authenticated-emails-file=/none"]).unwrap_err();
    let wanted = ["`authenticated_emails_file` names `/none`, which cannot be read"];
    assert_eq!(faults(&findings), wanted);
}

#[test]
fn upstreams_are_mounted_where_their_paths_say() {
    let standing = with(&[
        "--upstream=http://app:8080/",
        "--upstream=https://secure.example/api/",
        "--upstream=http://[::1]:9/exact",
        "--upstream=file:///var/www#/static/",
        "--upstream=file:///srv/a/",
    ])
    .unwrap();
    let proxy = proxy(&standing);
    let told = |upstream: &MountedUpstream| match upstream {
        MountedUpstream::Files(directory) => directory.to_string(),
        MountedUpstream::Route(route) => match &route.action {
            RouteAction::Forward(forward) => {
                let destination = &forward.destinations[0].destination;
                let tls = if destination.tls.is_some() {
                    "tls "
                } else {
                    ""
                };
                format!("{tls}{}:{}", destination.host, destination.service.port)
            }
            other => format!("{other:?}"),
        },
    };
    let mounts: Vec<_> = proxy
        .mounts
        .iter()
        .map(|mount| (&*mount.path, told(&mount.upstream)))
        .collect();
    let wanted = [
        ("/static/", "/var/www"),
        ("/srv/a/", "/srv/a/"),
        ("/exact", "::1:9"),
        ("/api/", "tls secure.example:443"),
        ("/", "app:8080"),
    ];
    assert_eq!(mounts.len(), wanted.len());
    for wanted in wanted {
        assert!(
            mounts.contains(&(wanted.0, wanted.1.to_owned())),
            "{wanted:?}"
        );
    }
    for (upstream, fault) in [
        ("ftp://x/", "the upstream `ftp://x/` is no address"),
        ("app:80", "the upstream `app:80` is no address"),
        (
            "unix:///run/x",
            "the upstream `unix:///run/x` cannot be reached: sockets of files are not",
        ),
    ] {
        let findings = with(&[&format!("--upstream={upstream}")]).unwrap_err();
        assert_eq!(faults(&findings), [fault]);
    }
    let twice = with(&["--upstream=http://a/", "--upstream=http://b/"]).unwrap_err();
    assert_eq!(faults(&twice), ["two upstreams are mounted at `/`"]);
}

#[test]
fn each_of_these_does_not_start() {
    for (more, fault) in [
        (
            &["--htpasswd-file=/x"][..],
            "`htpasswd_file` cannot be kept: local users are not played",
        ),
        (
            &["--set-basic-auth"],
            "`set_basic_auth` needs `basic_auth_password`",
        ),
        (
            &[
                "--set-basic-auth",
                "--basic-auth-password=p",
                "--set-authorization-header",
            ],
            "`set_authorization_header` and `set_basic_auth` both set `Authorization`",
        ),
        (
            &["--basic-auth-password=p", "--pass-authorization-header"],
            "`pass_authorization_header` and `basic_auth_password` both set `Authorization`",
        ),
        (
            &["--trusted-ip=10.0.0.1/8"],
            "`trusted_ips` has `10.0.0.1/8`, which is no address and no network",
        ),
        (
            &["--reverse-proxy", "--real-client-ip-header=X-Who"],
            "`real_client_ip_header` is unknown: `x-who`",
        ),
        (&["--tls-cert-file=/c"], "`tls_key_file` is missing"),
        (
            &["--skip-auth-route=("],
            "a pattern of `skip_auth_routes` cannot be read: `(`: ",
        ),
    ] {
        let findings = with(more).unwrap_err();
        let errors: Vec<&Finding> = findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .collect();
        assert!(
            errors.len() == 1 && errors[0].fault.starts_with(fault),
            "{more:?}: {:?}",
            faults(&findings)
        );
    }
}

#[test]
fn lifetimes_and_further_audiences_act() {
    let standing = with(&[
        "--cookie-refresh=59m",
        "--cookie-path=/app",
        "--cookie-csrf-expire=5m",
        "--cookie-csrf-per-request-limit=3",
        "--cookie-csrf-samesite=none",
        "--oidc-extra-audience=a",
        "--oidc-enabled-signing-alg=ES256",
        "--acr-values=loa2",
        "--backend-logout-url=https://a.example/out?t={id_token}",
    ])
    .unwrap();
    assert_eq!(faults(&standing.findings), [""; 0]);
    let login = &standing.snapshot.logins()[0];
    assert_eq!(login.cookie_refresh.unwrap().as_secs(), 59 * 60);
    assert_eq!(login.attempt_lifetime.as_secs(), 300);
    assert_eq!((&*login.cookie_path, login.attempt_limit), ("/app", 3));
    assert_eq!(login.attempt_samesite.as_deref(), Some("None"));
    assert_eq!(login.extra_audiences, ["a".into()]);
    assert_eq!(login.signing_algorithms, ["ES256".into()]);
    assert_eq!(
        login.login_parameters,
        [("acr_values".into(), "loa2".into())]
    );
    assert!(login.backend_logout_url.is_some());
    let late = with(&["--cookie-refresh=200h"]).unwrap_err();
    assert_eq!(
        faults(&late),
        ["`cookie_refresh` has to be less than `cookie_expire`"]
    );
}

#[test]
fn trust_in_whoever_asks_is_told() {
    let standing = with(&["--reverse-proxy"]).unwrap();
    let wanted =
        ["`reverse_proxy` without `trusted_proxy_ips` believes everybody's `X-Forwarded-…`"];
    assert_eq!(faults(&standing.findings), wanted);
    assert_eq!(proxy(&standing).trust, TrustedPeers::Everybody);
    let standing = with(&["--reverse-proxy", "--trusted-proxy-ip=10.0.0.0/8"]).unwrap();
    assert_eq!(faults(&standing.findings), [""; 0]);
    let networks = vec!["10.0.0.0/8".parse().unwrap()];
    assert_eq!(proxy(&standing).trust, TrustedPeers::In(networks));
}

#[test]
fn a_secret_on_the_command_line_is_not_printed() {
    let words = ["--client-secret=hidden".to_owned()];
    let printed = format!("{:?}", CommandLine::read(&words));
    assert!(!printed.contains("hidden"), "{printed}");
}

#[test]
fn the_page_lists_every_option_and_what_becomes_of_it() {
    const PAGE: &str = include_str!("../../../../../../docs/oauth2-proxy.md");
    let mut table = "| option | here |\n|---|---|\n".to_owned();
    for (name, _, becomes) in options() {
        let becomes = match becomes {
            Alone::Acts => "acts".to_owned(),
            Alone::Warns(_, why) => format!("warns: {why}"),
            Alone::Refuses(_, why) => format!("refused: {why}"),
        };
        table.push_str(&format!("| `{name}` | {becomes} |\n"));
    }
    assert!(
        PAGE.contains(&table),
        "docs/oauth2-proxy.md should have\n{table}"
    );
}
