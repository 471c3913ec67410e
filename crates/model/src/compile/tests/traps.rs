//! Findings about routes that are served as written and probably not as meant.

use super::*;
use crate::finding::codes;

fn codes_of(more: &str) -> Vec<(u16, String)> {
    let compiled = with(more);
    let ours = [
        codes::DOUBLE_SLASH,
        codes::BARE_PATH,
        codes::HIDDEN_ROUTE,
        codes::HIDDEN_HOST,
    ];
    let findings = compiled.findings.iter();
    findings
        .filter(|finding| ours.contains(&finding.code))
        .map(|finding| (finding.code.0, finding.fault.clone()))
        .collect()
}

fn entry(one: &str, more: &str) -> String {
    format!("  - {{match: [{one}], route: [{{destination: {{host: web}}}}]{more}}}\n")
}

const REST: &str = "  - {route: [{destination: {host: web}}]}";

#[test]
fn a_rewrite_that_doubles_a_slash_is_said() {
    let of = |prefix: &str, with: &str| {
        let one = entry(
            &format!("{{uri: {{prefix: {prefix}}}}}"),
            &format!(", rewrite: {{uri: {with}}}"),
        );
        codes_of(&virtual_service("v", &(one + REST)))
    };
    let told = of("/foo", "/");
    assert_eq!(told.len(), 1);
    assert_eq!(
        told[0].1,
        "the prefix `/foo` becomes `/`, so `/foo/x` becomes `//x`"
    );
    assert_eq!(of("/foo/", "/"), []);
    assert_eq!(of("/foo", "/bar"), []);
    assert_eq!(of("/", "/"), []);
}

#[test]
fn a_path_that_only_misses_its_slash_is_said_when_nothing_takes_it() {
    let one = entry("{uri: {prefix: /foo/}}", "");
    assert_eq!(
        codes_of(&virtual_service("v", &one))[0].0,
        codes::BARE_PATH.0
    );
    assert_eq!(codes_of(&virtual_service("v", &(one.clone() + REST))), []);
    let exact = entry("{uri: {exact: /foo}}", "");
    assert_eq!(codes_of(&virtual_service("v", &(one + &exact))), []);
}

#[test]
fn a_route_that_an_earlier_one_hides_is_said() {
    let hidden = |first: &str, second: &str| {
        let a = virtual_service("a", &entry(first, ""));
        let b = virtual_service("b", &entry(second, ""));
        let told = codes_of(&(a + &b));
        told.iter().any(|(code, _)| *code == codes::HIDDEN_ROUTE.0)
    };
    for (first, second) in [
        ("{uri: {prefix: /a}}", "{uri: {prefix: /a/b}}"),
        (
            "{uri: {prefix: /a}}",
            "{uri: {exact: /a}, method: {exact: GET}}",
        ),
        ("{uri: {prefix: /a}}", "{uri: {prefix: /a}}"),
        (
            "{uri: {prefix: /a}, headers: {x: {exact: y}}}",
            "{uri: {prefix: /a/b}, headers: {x: {exact: y}, z: {}}}",
        ),
        ("{uri: {prefix: /}}", "{uri: {prefix: /}}"),
    ] {
        assert!(hidden(first, second), "{first} {second}");
    }
    for (first, second) in [
        ("{uri: {prefix: /a/b}}", "{uri: {prefix: /a}}"),
        (
            "{uri: {prefix: /a}, method: {exact: GET}}",
            "{uri: {prefix: /a/b}}",
        ),
        (
            "{uri: {prefix: /a}, headers: {x: {exact: y}}}",
            "{uri: {prefix: /a}}",
        ),
        ("{uri: {prefix: /}}", "{uri: {prefix: /a}}"),
        (
            "{uri: {prefix: /a}}",
            "{uri: {prefix: /A}, ignoreUriCase: true}",
        ),
    ] {
        assert!(!hidden(first, second), "{first} {second}");
    }
}

#[test]
fn a_host_of_its_own_that_hides_the_rest_is_said() {
    let own = |http: &str| virtual_service("own", http).replace("hosts: ['*']", "hosts: [a.com]");
    let wide = virtual_service("wide", REST);
    let narrow = entry("{uri: {prefix: /a}}", "");
    let told = codes_of(&(own(&narrow) + &wide));
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, codes::HIDDEN_HOST.0);
    assert!(told[0].1.starts_with("`a.com` has routes of its own"));
    assert_eq!(codes_of(&(own(REST) + &wide)), []);
    let model = entry("{uri: {regex: '^/.*$'}}", "");
    assert_eq!(codes_of(&(own(&model) + &wide)), []);
    assert_eq!(codes_of(&own(&narrow)), []);
}
