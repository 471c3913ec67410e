use std::process::ExitCode;

use serde_json::{Value, json};

use crate::explain::tests::{Bench, TEAMS};

/// Lets Dave in with Alice, and nobody write to the second team.
fn changed() -> String {
    TEAMS
        .replace(
            "values: [alice@example.com]",
            "values: [dave@example.com, alice@example.com]",
        )
        .replace("methods: [GET, POST]", "methods: [GET]")
}

fn told(was: &Bench, flags: &[&str]) -> (ExitCode, Value) {
    let (code, text) = was.ask(&[flags, &["--format", "json"]].concat());
    (code, serde_json::from_str(&text).unwrap())
}

/// Way, people, and what becomes of it now.
fn changes(told: &Value) -> Vec<(&str, Vec<&str>, &str, &str)> {
    let changes = told["changes"].as_array().unwrap().iter();
    changes
        .map(|one| {
            let who = one["who"].as_array().unwrap().iter();
            (
                one["way"].as_str().unwrap(),
                who.map(|who| who.as_str().unwrap()).collect(),
                one["places"][0]["path"].as_str().unwrap(),
                one["now"]["reason"]["policy"].as_str().unwrap_or_default(),
            )
        })
        .collect()
}

#[test]
fn two_trees_are_compared_by_who_gets_where() {
    let (was, is) = (Bench::new(TEAMS), Bench::new(&changed()));
    let other = is.path();
    let (code, said) = told(&was, &["--diff", &other]);
    assert_eq!(code, ExitCode::from(1), "{said:#}");
    let (a, b) = (
        "AuthorizationPolicy team-a/members",
        "AuthorizationPolicy team-b/members",
    );
    assert_eq!(
        changes(&said),
        [
            ("opens", vec!["dave@example.com"], "/a/*", a),
            ("closes", vec!["carol@example.com"], "/b/*", b),
        ]
    );
    let closes = &said["changes"][1];
    let requests = closes["places"][0]["requests"].as_array().unwrap();
    assert!(
        requests.iter().all(|one| one["method"] == "POST"),
        "{requests:?}"
    );
    assert_eq!(closes["was"]["allowed"], true);
    assert_eq!(closes["now"]["reason"]["line"], 112);
    assert!(said["asked"]["requests"].as_u64().unwrap() > 20);
    assert_eq!(said["asked"]["placesCut"], 0);

    let (code, text) = was.ask(&["--diff", &other]);
    assert_eq!(code, ExitCode::from(1));
    for line in [
        "more is let through",
        "  dave@example.com",
        "less is let through",
        "  carol@example.com",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is missing in\n{text}"
        );
    }
    assert!(!text.contains("hunter2"));
    // Only for somebody.
    let (code, said) = told(&was, &["--diff", &other, "--user", "carol@example.com"]);
    assert_eq!(code, ExitCode::from(1));
    assert_eq!(changes(&said).len(), 1);
    let (code, said) = told(&was, &["--diff", &other, "--user", "alice@example.com"]);
    assert_eq!(
        (code, said["changes"].clone()),
        (ExitCode::SUCCESS, json!([]))
    );
}

#[test]
fn nothing_changes_between_a_tree_and_itself() {
    let (was, is) = (Bench::new(TEAMS), Bench::new(TEAMS));
    let (code, text) = was.ask(&["--diff", &is.path()]);
    assert_eq!(code, ExitCode::SUCCESS, "{text}");
    assert!(text.contains("\nnothing changes ("), "{text}");
}

#[test]
fn a_route_that_leads_elsewhere_or_is_gone_is_a_change() {
    let was = Bench::new(TEAMS);
    let is = Bench::new(&TEAMS.replace("{prefix: /b/}", "{prefix: /c/}"));
    let (_, said) = told(&was, &["--diff", &is.path()]);
    let ways: Vec<_> = changes(&said)
        .into_iter()
        .map(|one| (one.0, one.2))
        .collect();
    // Seen from either tree.
    assert!(ways.contains(&("closes", "/b/*")), "{said:#}");
    assert!(ways.contains(&("opens", "/c/*")), "{said:#}");
}

#[test]
fn what_cannot_be_compared_is_trouble() {
    let was = Bench::new(TEAMS);
    for flags in [["--diff", "/no/such/tree"], ["--replay", "/no/such/log"]] {
        assert_eq!(was.ask(&flags).0, ExitCode::from(2), "{flags:?}");
    }
}

#[test]
fn a_file_that_is_no_log_is_trouble_and_an_empty_log_is_none() {
    let was = Bench::new(TEAMS);
    let aside = tempfile::TempDir::new().unwrap();
    for (text, code) in [
        ("hello\n", ExitCode::from(2)),
        (
            "{\"outcome\": \"forward\", \"policy\": \"x\"}\n",
            ExitCode::from(2),
        ),
        ("", ExitCode::SUCCESS),
    ] {
        let log = aside.path().join("log");
        std::fs::write(&log, text).unwrap();
        assert_eq!(
            was.ask(&["--replay", log.to_str().unwrap()]).0,
            code,
            "{text}"
        );
    }
}

fn line(more: Value) -> String {
    let mut line = json!({
        "time": "2026-11-18T11:06:40Z", "method": "GET", "host": "apps.example.com", "path": "/b/x",
        "status": 200, "outcome": "forward", "route": "VirtualService apps/all",
        "policy": "AuthorizationPolicy team-b/members", "place": "a.yaml:134",
        "user": "carol@example.com", "via": "session", "port": 80, "scheme": "https",
        "duration_us": 1, "bytes": 0, "request_id": "x", "client": "127.0.0.1",
    });
    for (name, value) in more.as_object().unwrap() {
        line[name] = value.clone();
    }
    line.to_string()
}

#[test]
fn decisions_of_a_log_are_made_once_more() {
    let was = Bench::new(TEAMS);
    let aside = tempfile::TempDir::new().unwrap();
    let log = aside.path().join("access.log");
    let lines = [
        line(json!({})),
        line(json!({ "method": "POST" })),
        line(json!({
            "path": "/b/x", "user": "erin@example.com", "groups": ["readers"],
        })),
        line(json!({
            "outcome": "refuse", "status": 403, "user": "erin@example.com",
        })),
        line(json!({
            "outcome": "sign_in", "status": 403, "user": null, "absence": "expired",
            "policy": "AuthorizationPolicy istio-system/sign-in", "place": "a.yaml:97",
        })),
        // No decision, and nothing of ours.
        line(json!({ "outcome": "malformed", "policy": null, "place": null })),
        json!({ "stream": true, "outcome": "forward", "port": 9000 }).to_string(),
        "not JSON".to_owned(),
        String::new(),
    ];
    std::fs::write(&log, lines.join("\n")).unwrap();
    let log = log.to_str().unwrap();
    let (code, said) = told(&was, &["--replay", log]);
    assert_eq!(code, ExitCode::SUCCESS, "{said:#}");
    assert_eq!(
        said["replayed"],
        json!({ "decisions": 5, "others": 2, "unread": 1 })
    );

    // Held against another tree, what was recorded is what counts.
    let is = Bench::new(&changed());
    let (code, said) = told(&is, &["--replay", log]);
    assert_eq!(code, ExitCode::from(1));
    let b = "AuthorizationPolicy team-b/members";
    let carol = vec!["carol@example.com"];
    assert_eq!(
        changes(&said),
        [("closes", carol, "VirtualService apps/all", b)],
        "{said:#}"
    );
    let requests = &said["changes"][0]["places"][0]["requests"];
    assert_eq!(*requests, json!([{ "method": "POST", "path": "/b/x" }]));
    assert_eq!(said["changes"][0]["was"]["reason"]["file"], "a.yaml");

    // With two trees, what was recorded is one more question.
    let (code, said) = told(
        &was,
        &["--replay", log, "--diff", &is.path(), "--anonymous"],
    );
    assert_eq!(code, ExitCode::from(1));
    assert_eq!(changes(&said).len(), 1, "{said:#}");
    assert_eq!(said["replayed"]["decisions"], 5);
}
