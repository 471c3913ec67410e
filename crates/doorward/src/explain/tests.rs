use clap::Parser;
use serde_json::{Value, json};

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: ExplainArgs,
}

const MANIFESTS: &str = r#"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gateway, namespace: apps}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: apps}
spec: {ports: [{port: 80, targetPort: 3000}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: apps}
spec:
  hosts: ["*"]
  gateways: [gateway]
  http:
  - match: [{uri: {prefix: /web/}}]
    rewrite: {uri: /}
    headers: {request: {set: {x-way: in}, remove: [x-out]}}
    route: [{destination: {host: web}}]
  - match: [{uri: {prefix: /away}}]
    redirect: {uri: /web/, redirectCode: 302}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-secrets, namespace: istio-system}
spec:
  action: DENY
  rules:
  - to: [{operation: {paths: ["/web/secret/*"]}}]
"#;

pub(super) struct Bench {
    root: tempfile::TempDir,
}

impl Bench {
    pub(super) fn new(manifests: &str) -> Self {
        let root = tempfile::TempDir::new().unwrap();
        std::fs::write(root.path().join("a.yaml"), manifests).unwrap();
        Self { root }
    }

    fn run(&self, flags: &[&str]) -> (ExitCode, String) {
        self.ask(&[&["--host", "Apps.example.com:8443"], flags].concat())
    }

    /// Where the manifests are.
    pub(super) fn path(&self) -> String {
        self.root.path().to_str().unwrap().to_owned()
    }

    /// Without a host.
    pub(super) fn ask(&self, flags: &[&str]) -> (ExitCode, String) {
        let manifests = self.root.path().to_str().unwrap();
        let line = ["explain", "--manifests", manifests];
        let line = Line::try_parse_from(line.iter().chain(flags)).unwrap();
        let mut out = anstream::StripStream::new(Vec::new());
        let code = run(&line.args, &mut out);
        (code, String::from_utf8(out.into_inner()).unwrap())
    }

    fn told(&self, flags: &[&str]) -> (ExitCode, Value) {
        let (code, text) = self.run(&[flags, &["--format", "json"]].concat());
        (code, serde_json::from_str(&text).unwrap())
    }
}

#[test]
fn a_forwarded_request_is_told_with_what_the_application_receives() {
    let bench = Bench::new(MANIFESTS);
    let flags = [
        "--path",
        "/web/a?b=c",
        "--header",
        "X-Out=1",
        "--header",
        "Kubeflow_UserId=evil",
    ];
    let (code, told) = bench.told(&flags);
    assert_eq!(code, ExitCode::SUCCESS);
    assert_eq!(told["outcome"], "forward");
    assert_eq!(told["exit"], 0);
    assert_eq!(told["destination"], "web.apps:80");
    assert_eq!(told["path"], "/a?b=c");
    assert_eq!(
        told["headers"],
        json!([["host", "Apps.example.com:8443"], ["x-way", "in"]])
    );
    assert_eq!(told["reason"], json!({ "default": "no_allow_policy" }));
    assert_eq!(told["route"]["object"], "VirtualService apps/web");
    assert_eq!(told["request"]["port"], 80);
    let notes = told["notes"].to_string();
    assert!(notes.contains("kubeflow_userid"), "{notes}");
}

#[test]
fn the_text_names_route_and_policies_with_their_lines() {
    let (code, text) = Bench::new(MANIFESTS).run(&["--path", "/web/secret/x"]);
    assert_eq!(code, ExitCode::from(3));
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some("GET https://Apps.example.com:8443/web/secret/x by nobody known")
    );
    assert_eq!(lines.next(), Some("refuse: a policy says no"));
    let route = lines.next().unwrap();
    assert!(
        route.starts_with("  route       VirtualService apps/web `http[0]`  "),
        "{route}"
    );
    assert!(route.ends_with("a.yaml:22"), "{route}");
    let decided = lines.next().unwrap();
    assert!(
        decided.contains("AuthorizationPolicy istio-system/no-secrets"),
        "{decided}"
    );
    assert!(decided.ends_with("a.yaml:35"), "{decided}");
    assert_eq!(lines.next(), Some("at the gateway"));
    let policy = lines.next().unwrap();
    assert!(
        policy.starts_with("  DENY    AuthorizationPolicy istio-system/no-secrets  matched "),
        "{policy}"
    );
    assert_eq!(lines.next(), None);
}

#[test]
fn every_outcome_has_its_exit_code() {
    let bench = Bench::new(MANIFESTS);
    let code = |path: &str| {
        let (code, told) = bench.told(&["--path", path]);
        (code, told["outcome"].as_str().unwrap().to_owned())
    };
    assert_eq!(code("/away"), (ExitCode::SUCCESS, "redirect".to_owned()));
    assert_eq!(code("/nowhere"), (ExitCode::from(3), "refuse".to_owned()));
    assert_eq!(code("/%00"), (ExitCode::from(3), "refuse".to_owned()));
    let (_, told) = bench.told(&["--path", "no-path"]);
    assert_eq!(told["refusal"]["kind"], "unreadable");
}

#[test]
fn what_cannot_be_asked_is_bad_usage() {
    let bench = Bench::new(MANIFESTS);
    // Nobody can sign in here.
    assert_eq!(
        bench.run(&["--path", "/", "--user", "a@example.com"]).0,
        ExitCode::from(2)
    );
    let missing = [
        "explain",
        "--manifests",
        "/no/such",
        "--host",
        "x",
        "--path",
        "/",
    ];
    let line = Line::try_parse_from(missing).unwrap();
    assert_eq!(run(&line.args, &mut Vec::new()), ExitCode::from(2));
    for flags in [
        &["--path", "/"][..],
        &["--manifests", "m", "--host", "x"],
        &[
            "--manifests",
            "m",
            "--host",
            "x",
            "--path",
            "/",
            "--group",
            "g",
        ],
        &[
            "--manifests",
            "m",
            "--host",
            "x",
            "--path",
            "/",
            "--user",
            "u",
            "--anonymous",
        ],
        &[
            "--manifests",
            "m",
            "--host",
            "x",
            "--path",
            "/",
            "--header",
            "no-value",
        ],
        &[
            "--manifests",
            "m",
            "--host",
            "x",
            "--path",
            "/",
            "--header",
            "a b=c",
        ],
    ] {
        assert!(
            Line::try_parse_from([&["explain"], flags].concat()).is_err(),
            "{flags:?}"
        );
    }
}

#[test]
fn a_bad_token_is_told_and_never_shown() {
    let bench = Bench::new(MANIFESTS);
    let (_, told) = bench.told(&["--path", "/web/a", "--token", "very.secret.token"]);
    assert_eq!(told["outcome"], "forward", "no rule asks for a token here");
    let headers = told["headers"].to_string();
    assert!(headers.contains("Bearer (not shown)"), "{headers}");
    assert!(!told.to_string().contains("very.secret"));
}

#[test]
fn a_stock_kubeflow_names_route_policy_and_identity() {
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/kubeflow-26.03");
    let ask = |flags: &[&str]| {
        let line = [
            "explain",
            "--manifests",
            fixture,
            "--host",
            "x",
            "--format",
            "json",
        ];
        let line = Line::try_parse_from(line.iter().chain(flags)).unwrap();
        let mut out = Vec::new();
        let code = run(&line.args, &mut out);
        (code, serde_json::from_slice::<Value>(&out).unwrap())
    };
    let user = [
        "--path",
        "/pipeline/",
        "--user",
        "user@example.com",
        "--group",
        "team",
    ];
    let (code, told) = ask(&user);
    assert_eq!(code, ExitCode::SUCCESS, "{told:#}");
    assert_eq!(
        told["route"]["object"],
        "VirtualService kubeflow/ml-pipeline-ui"
    );
    assert_eq!(
        told["reason"]["policy"],
        "AuthorizationPolicy kubeflow/ml-pipeline-ui"
    );
    let headers = told["headers"].as_array().unwrap();
    assert!(
        headers.contains(&json!(["kubeflow-userid", "user@example.com"])),
        "{headers:?}"
    );
    assert!(
        headers.contains(&json!(["kubeflow-groups", "team"])),
        "{headers:?}"
    );

    let (code, told) = ask(&["--path", "/pipeline/"]);
    assert_eq!(code, ExitCode::from(4), "{told:#}");
    assert_eq!(
        told["signIn"],
        json!({ "login": 0, "how": "page", "absence": "no_cookie" })
    );
    let (_, told) = ask(&[
        "--path",
        "/pipeline/",
        "--header",
        "accept=application/json",
    ]);
    assert_eq!(told["signIn"]["how"], "unauthorized");
}

/// Two teams behind a login, and what policies say of them.
pub(super) const TEAMS: &str = include_str!("teams.yaml");

fn answers(told: &Value) -> Vec<(&str, &str, bool, &str)> {
    let rows = told["reach"].as_array().unwrap().iter();
    rows.map(|row| {
        let only = row["only"].as_array().unwrap().first();
        let method = only.map_or("", |one| one["method"].as_str().unwrap());
        (
            row["path"].as_str().unwrap(),
            method,
            row["answer"]["allowed"].as_bool().unwrap_or_default(),
            row["answer"]["reason"]["policy"]
                .as_str()
                .unwrap_or_default(),
        )
    })
    .collect()
}

#[test]
fn what_somebody_can_reach_is_told_route_by_route_with_its_policy() {
    let bench = Bench::new(TEAMS);
    let ask = |flags: &[&str]| {
        let (code, text) = bench.ask(&[flags, &["--format", "json"]].concat());
        assert_eq!(code, ExitCode::SUCCESS);
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let (a, b) = (
        "AuthorizationPolicy team-a/members",
        "AuthorizationPolicy team-b/members",
    );
    let told = ask(&["--user", "alice@example.com"]);
    assert_eq!(
        answers(&told),
        [
            ("/a/*", "", true, a),
            (
                "/a/*",
                "GET",
                false,
                "AuthorizationPolicy team-a/no-secrets"
            ),
            ("/b/*", "", false, b),
            ("/hidden", "", false, ""),
            ("/a/hidden*", "", false, ""),
        ]
    );
    assert_eq!(
        told["namespaces"],
        json!({
            "team-a": { "allowed": 1, "signIn": 0, "refused": 1 },
            "team-b": { "allowed": 0, "signIn": 0, "refused": 1 },
        })
    );
    assert_eq!(told["reach"][3]["answer"]["outcome"], "refuse");
    assert_eq!(told["reach"][4]["elsewhere"], "VirtualService apps/all");

    // By group, and only to read.
    let told = ask(&["--user", "bob@example.com", "--group", "readers"]);
    let of_b: Vec<_> = answers(&told)
        .into_iter()
        .filter(|row| row.0 == "/b/*")
        .collect();
    assert_eq!(of_b, [("/b/*", "", true, b), ("/b/*", "POST", false, b)]);

    let told = ask(&["--anonymous"]);
    assert!(answers(&told).iter().all(|row| !row.2), "{told:#}");
    assert_eq!(told["namespaces"]["team-a"]["signIn"], 2);

    let (code, text) = bench.ask(&["--user", "alice@example.com", "--host", "other.example.com"]);
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(
        text.contains("namespace team-a: 1 allowed, 1 refused\n"),
        "{text}"
    );
    assert!(text.contains("such as /a/secret"), "{text}");
}
