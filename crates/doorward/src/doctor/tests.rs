use std::collections::HashMap;
use std::path::PathBuf;

use annotate_snippets::Renderer;
use model::finding::Code;
use model::names::{ObjectRef, Place};
use serde_json::Value;

use super::*;

fn finding(kind: &str, line: u32) -> Finding {
    Finding {
        code: Code(301),
        severity: Severity::Error,
        place: Some(Place::new("a.yaml", line)),
        object: Some(ObjectRef::new(kind, "kubeflow", "x")),
        field: "spec.hosts".into(),
        fault: "`x` does not work".into(),
        remedy: "mend `x`".into(),
    }
}

fn plain(finding: &Finding) -> String {
    let texts = HashMap::from([("a.yaml", "kind: x\n  hosts: [\"*\"]\n  password: hunter2\n")]);
    text::rendered(finding, &texts, &Renderer::plain())
}

#[test]
fn a_finding_has_its_place_first_then_its_line_then_the_remedy() {
    let expected = "\
a.yaml:2: error[DW0301]: `x` does not work
  |
2 |   hosts: [\"*\"]
  |   ^^^^^^^^^^^^ spec.hosts
  |
  = in: `VirtualService kubeflow/x`
help: mend `x`";
    assert_eq!(plain(&finding("VirtualService", 2)), expected);
}

#[test]
fn a_line_that_may_hold_a_secret_is_not_shown() {
    for kind in ["Secret", "ConfigMap", "Deployment", "Gadget"] {
        let expected = format!(
            "a.yaml:2: error[DW0301]: `x` does not work\n  in: `{kind} kubeflow/x` spec.hosts\nhelp: mend `x`"
        );
        assert_eq!(plain(&finding(kind, 2)), expected);
    }
    assert!(!plain(&finding("VirtualService", 3)).contains("hunter2"));
    let mut unread = finding("VirtualService", 2);
    unread.object = None;
    unread.field = String::new();
    assert_eq!(
        plain(&unread),
        "a.yaml:2: error[DW0301]: `x` does not work\nhelp: mend `x`"
    );
}

#[test]
fn a_place_that_is_not_there_is_printed_without_its_line() {
    for line in [0, 99] {
        assert!(!plain(&finding("Gateway", line)).contains("hosts: ["));
    }
}

fn tree(texts: &[(&str, &str)]) -> (tempfile::TempDir, Tree) {
    let root = tempfile::TempDir::new().unwrap();
    for (name, text) in texts {
        std::fs::write(root.path().join(name), text).unwrap();
    }
    let tree = Tree::read(&[root.path().into()]).unwrap();
    (root, tree)
}

fn printed(report: &Report<'_>, format: Format) -> String {
    let mut out = anstream::StripStream::new(Vec::new());
    report.write(format, &mut out).unwrap();
    String::from_utf8(out.into_inner()).unwrap()
}

const BROKEN: &str = "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: x, namespace: kubeflow}
spec:
  hosts: ['*']
  gateways: [no-such-gateway]
  http:
  - route:
    - destination: {host: nowhere.kubeflow.svc.cluster.local, port: {number: 80}}
---
: [
";

#[test]
fn every_format_tells_the_same_findings() {
    let (root, tree) = tree(&[("a.yaml", BROKEN), ("doorward.yaml", "hsts: off\n")]);
    let report = Report::of(&tree, Timestamp::from_seconds(1_800_000_000));
    assert!(report.count(Severity::Error) > 0);
    assert_eq!(
        tree.objects.files.len(),
        1,
        "the settings file is no manifest"
    );
    std::fs::write(root.path().join("doorward.yaml"), "hts: off\n").unwrap();
    let fault = Tree::read(&[root.path().into()]).err().unwrap().to_string();
    assert!(fault.contains("doorward.yaml:1: "), "{fault}");
    let count = report.findings.len();

    let text = printed(&report, Format::Text);
    assert_eq!(text.matches("help: ").count(), count, "{text}");
    assert!(text.contains("a.yaml:"), "{text}");
    assert!(text.trim_end().ends_with("in 1 file"), "{text}");

    let json: Value = serde_json::from_str(&printed(&report, Format::Json)).unwrap();
    let listed = json["findings"].as_array().unwrap();
    assert_eq!(listed.len(), count);
    let members = [
        "code", "severity", "file", "line", "object", "field", "fault", "remedy",
    ];
    for finding in listed {
        assert_eq!(
            finding.as_object().unwrap().keys().collect::<Vec<_>>(),
            members
        );
    }
    assert_eq!(json["errors"], report.count(Severity::Error));

    let sarif: Value = serde_json::from_str(&printed(&report, Format::Sarif)).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), count);
    assert!(
        results
            .iter()
            .all(|result| result["message"]["text"].is_string())
    );
}

#[test]
fn the_worst_comes_first() {
    let (_root, tree) = tree(&[("a.yaml", BROKEN)]);
    let report = Report::of(&tree, Timestamp::from_seconds(1_800_000_000));
    let severities: Vec<_> = report
        .findings
        .iter()
        .map(|finding| finding.severity)
        .collect();
    assert!(severities.is_sorted_by(|a, b| a >= b), "{severities:?}");
}

#[test]
fn exit_codes_tell_errors_from_trees_that_cannot_be_read() {
    let run_on = |path: PathBuf| {
        let args = DoctorArgs {
            paths: vec![path],
            fix: None,
            fix_in_place: false,
            live: None,
            plain_http: None,
            ca: None,
            closed: Vec::new(),
            format: Format::Text,
        };
        run(&args, &mut Vec::new())
    };
    let (broken, _) = tree(&[("a.yaml", BROKEN)]);
    assert_eq!(run_on(broken.path().into()), ExitCode::FAILURE);
    assert_eq!(run_on(broken.path().join("missing")), ExitCode::from(2));
}
