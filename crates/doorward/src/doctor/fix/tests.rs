use std::process::ExitCode;

use super::*;
use crate::doctor::{DoctorArgs, Format, run};

fn arguments(path: &Path) -> DoctorArgs {
    DoctorArgs {
        paths: vec![path.to_owned()],
        fix: None,
        fix_in_place: false,
        live: None,
        plain_http: None,
        ca: None,
        closed: Vec::new(),
        format: Format::Text,
    }
}

fn told(args: &DoctorArgs) -> (ExitCode, String) {
    let mut out = anstream::StripStream::new(Vec::new());
    let code = run(args, &mut out);
    (code, String::from_utf8(out.into_inner()).unwrap())
}

/// A site that is as it should be, and one slip in it at a time.
const CLEAN: &str = include_str!("../../../../../fixtures/clean/door.yaml");

const SLIPS: [(&str, &str); 11] = [
    (
        "cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account",
        "cluster.local/ns/ingress/sa/istio-ingressgateway",
    ),
    (
        "hosts: [apps.example.com]\n  gateways",
        "hosts: [apps.example.com]\n  gatewayz",
    ),
    (
        "gateways: [istio-system/door]",
        "gateways: [istio-system/dor]",
    ),
    (
        "{host: web, port: {number: 80}}",
        "{host: web, port: {number: 8080}}",
    ),
    (
        "{host: oauth2-proxy.auth.svc.cluster.local, port",
        "{host: oauth2-prox.auth.svc.cluster.local, port",
    ),
    ("includeRequestHeadersInCheck", "includeHeadersInCheck"),
    (
        "redirect: {uri: /oauth2/sign_out, redirectCode: 302}",
        "redirect: {uri: /oauth2/sign_out}",
    ),
    ("provider: {name: login}", "provider: {name: logn}"),
    ("notRequestPrincipals", "notRequestPrincipal"),
    (
        "rules:\n  - to: [{operation: {notPaths: [/oauth2/*]}}]",
        "rules:\n  - to: [{operation: {notPaths: [/dex/*]}}]",
    ),
    (
        "    when: [{key",
        "    to: [{operation: {methods: [get]}}]\n    when: [{key",
    ),
];

fn tree(text: &str) -> (tempfile::TempDir, Tree) {
    let root = tempfile::TempDir::new().unwrap();
    std::fs::create_dir(root.path().join("in")).unwrap();
    std::fs::write(root.path().join("in/door.yaml"), text).unwrap();
    let tree = Tree::read(&[root.path().join("in")]).unwrap();
    (root, tree)
}

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

#[test]
fn each_slip_is_mended_as_its_remedy_says() {
    let (_root, clean) = tree(CLEAN);
    let clean = weight(&Report::of(&clean, NOW).findings);
    for (right, slip) in SLIPS {
        let text = CLEAN.replacen(right, slip, 1);
        assert_ne!(text, CLEAN, "{right}");
        let (_root, broken) = tree(&text);
        assert!(weight(&Report::of(&broken, NOW).findings) > clean, "{slip}");
        let (mended, fixed) = mend(broken, NOW);
        let left = Report::of(&mended, NOW).findings;
        assert_eq!(weight(&left), clean, "{slip}: {left:#?}");
        assert!(!fixed.is_empty(), "{slip}");
    }
}

#[test]
fn what_no_remedy_tells_whole_is_left_as_it_is() {
    for text in [
        CLEAN.replacen("mode: SIMPLE, ", "", 1),
        CLEAN.replacen("[apps.example.com]", "['${HOST}']", 1),
    ] {
        let (_root, broken) = tree(&text);
        let (mended, fixed) = mend(broken, NOW);
        assert!(fixed.is_empty());
        assert_eq!(mended.objects.files[0].text, text);
    }
}

#[test]
fn a_copy_is_written_and_the_original_stays() {
    let slip = CLEAN.replacen("istio-system/door]", "istio-system/dor]", 1);
    let (root, _) = tree(&slip);
    let mut args = arguments(&root.path().join("in"));
    args.fix = Some(root.path().join("out"));
    let (code, text) = told(&args);
    assert_eq!(
        code,
        ExitCode::SUCCESS,
        "a warning is left: the Secret\n{text}"
    );
    assert!(text.contains("door.yaml"), "{text}");
    assert!(text.contains("fixed DW0301"), "{text}");
    let written = std::fs::read_to_string(root.path().join("out/door.yaml")).unwrap();
    assert_eq!(written, CLEAN);
    assert_eq!(
        std::fs::read_to_string(root.path().join("in/door.yaml")).unwrap(),
        slip
    );
    // What is there is not written over, and a copy among the manifests would be read with them.
    assert_eq!(told(&args).0, ExitCode::from(2));
    args.fix = Some(root.path().join("in/new/out"));
    assert_eq!(told(&args).0, ExitCode::from(2));
    assert!(!root.path().join("in/new").exists());
}

#[test]
fn in_place_only_what_changed_is_written() {
    use std::os::unix::fs::PermissionsExt as _;

    let slip = CLEAN.replacen("istio-system/door]", "istio-system/dor]", 1);
    let (root, _) = tree(&slip);
    let file = root.path().join("in/door.yaml");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let mut args = arguments(&root.path().join("in"));
    args.fix_in_place = true;
    assert_eq!(told(&args).0, ExitCode::SUCCESS);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), CLEAN);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(
        std::fs::read_dir(root.path().join("in")).unwrap().count(),
        1
    );
}

#[test]
fn several_trees_have_directories_of_their_own() {
    let paths = [PathBuf::from("/a/one"), PathBuf::from("/a/two.yaml")];
    assert_eq!(
        below(&paths, Path::new("/a/one/x/y.yaml")),
        Path::new("one/x/y.yaml")
    );
    assert_eq!(
        below(&paths, Path::new("/a/two.yaml")),
        Path::new("two.yaml")
    );
    assert_eq!(
        below(&paths[..1], Path::new("/a/one/x/y.yaml")),
        Path::new("x/y.yaml")
    );
}
