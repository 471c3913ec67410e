//! Delegates and what comes of their routes.

use super::*;
use crate::snapshot::{Retries, TextMatch};

/// A VirtualService without hosts.
fn delegate(name: &str, more: &str, http: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: apps}}\nspec:\n  {more}http:\n{http}\n---\n"
    )
}

fn path(route: &Route) -> Vec<String> {
    let one = |one: &crate::snapshot::RouteMatch| match &one.uri {
        Some(uri) => match &uri.text {
            TextMatch::Exact(text) => format!("exact {text}"),
            TextMatch::Prefix(text) => format!("prefix {text}"),
            TextMatch::Regex(regex) => format!("regex {}", regex.source()),
        },
        None => "any".to_owned(),
    };
    route.matches.iter().map(one).collect()
}

const TO_WEB: &str = "route: [{destination: {host: web}}]";

#[test]
fn a_delegate_fills_the_place_of_the_entry_that_names_it() {
    let root = virtual_service(
        "root",
        &format!(
            "  - {{name: first, match: [{{uri: {{prefix: /a}}}}], delegate: {{name: d}}, timeout: 5s, retries: {{}}}}\n  - {{name: rest, {TO_WEB}}}"
        ),
    );
    let d = delegate(
        "d",
        "",
        &format!(
            "  - {{name: x, match: [{{uri: {{prefix: /a/x}}}}], timeout: 1s, {TO_WEB}}}\n  - {{match: [{{uri: {{exact: /a/y}}}}, {{headers: {{b: {{exact: c}}}}}}], {TO_WEB}}}\n  - {{{TO_WEB}}}"
        ),
    );
    let compiled = with(&(root + &d));
    assert_eq!(said(&compiled), [""; 0]);
    let routes = routes(&compiled, 80, "h");
    assert_eq!(
        names(&routes),
        ["d first-x", "d first", "d first", "root rest"]
    );
    assert_eq!(path(&routes[0]), ["prefix /a/x"]);
    assert_eq!(path(&routes[1]), ["exact /a/y", "prefix /a"]);
    assert_eq!(routes[1].matches[1].headers.len(), 1);
    assert_eq!(path(&routes[2]), ["prefix /a"]);
    // The delegate's value, else the root's.
    let timeouts: Vec<_> = routes[..2]
        .iter()
        .map(|route| forward(route).timeout)
        .collect();
    assert_eq!(timeouts[0].unwrap().as_secs(), 1);
    assert_eq!(timeouts[1].unwrap().as_secs(), 5);
    assert_eq!(forward(&routes[0]).retries, None);
    assert_eq!(
        forward(&routes[3]).retries.as_deref(),
        Some(&Retries::istio_default())
    );
}

#[test]
fn a_match_of_the_delegate_has_to_lie_in_one_of_the_root() {
    let dropped = |root: &str, leaf: &str| {
        let root = virtual_service(
            "root",
            &format!("  - {{match: [{root}], delegate: {{name: d}}}}"),
        );
        let d = delegate("d", "", &format!("  - {{match: [{leaf}], {TO_WEB}}}"));
        let compiled = with(&(root + &d));
        let routes = routes(&compiled, 80, "h");
        let is_dropped = routes.is_empty();
        let told = said(&compiled).iter().any(|line| line.contains("DW0315"));
        assert_eq!(is_dropped, told, "{leaf}");
        is_dropped
    };
    let prefix = "{uri: {prefix: /a/b}}";
    for (root, leaf) in [
        (prefix, "{uri: {prefix: /a}}"),
        (prefix, "{uri: {exact: /a}}"),
        (prefix, "{uri: {regex: /a/b/.*}}"),
        ("{uri: {regex: /a/.*}}", prefix),
        ("{uri: {exact: /a/b}}", prefix),
        ("{uri: {exact: /a}}", "{uri: {exact: /b}}"),
        (prefix, "{uri: {prefix: /a/b/c}, ignoreUriCase: true}"),
        ("{method: {exact: GET}}", "{method: {exact: PUT}}"),
        ("{headers: {a: {exact: b}}}", "{headers: {a: {exact: c}}}"),
        ("{headers: {a: {}}}", "{headers: {a: {exact: c}}}"),
        (
            "{queryParams: {a: {exact: b}}}",
            "{queryParams: {a: {regex: b}}}",
        ),
        ("{port: 80}", "{port: 81}"),
    ] {
        assert!(dropped(root, leaf), "{root} {leaf}");
    }
    for (root, leaf) in [
        (prefix, "{uri: {prefix: /a/b/c}}"),
        (prefix, "{uri: {exact: /a/b}}"),
        (prefix, "{method: {regex: GET|PUT}}"),
        ("{uri: {regex: /a/.*}}", "{method: {exact: GET}}"),
        (
            "{headers: {a: {prefix: b}}}",
            "{headers: {a: {exact: bc}, d: {}}}",
        ),
        ("{port: 80}", "{uri: {prefix: /a}}"),
    ] {
        assert!(!dropped(root, leaf), "{root} {leaf}");
    }
}

#[test]
fn every_match_of_the_root_that_contains_it_counts() {
    let root = virtual_service(
        "root",
        "  - {match: [{uri: {prefix: /a}, method: {exact: GET}}, {uri: {prefix: /a}, method: {exact: PUT}}, {uri: {prefix: /b}}], delegate: {name: d}}",
    );
    let d = delegate(
        "d",
        "",
        &format!("  - {{match: [{{uri: {{prefix: /a/x}}}}], {TO_WEB}}}"),
    );
    let compiled = with(&(root + &d));
    let route = &routes(&compiled, 80, "h")[0];
    let methods: Vec<_> = route.matches.iter().map(|one| one.method.clone()).collect();
    let exact = |text: &str| Some(TextMatch::Exact(text.into()));
    assert_eq!(methods, [exact("GET"), exact("PUT")]);
    assert_eq!(path(route), ["prefix /a/x", "prefix /a/x"]);
}

#[test]
fn a_delegate_that_cannot_be_used_closes_the_entry() {
    let root = virtual_service(
        "root",
        &format!(
            "  - {{match: [{{uri: {{prefix: /a}}}}], delegate: {{name: d}}}}\n  - {{{TO_WEB}}}"
        ),
    );
    let entry = format!("  - {{{TO_WEB}}}");
    for (target, fault) in [
        (String::new(), "the delegate `apps/d` does not exist"),
        (
            delegate("d", "exportTo: [other]\n  ", &entry),
            "the delegate `apps/d` is not exported to `apps`",
        ),
        (
            virtual_service("d", &entry),
            "`apps/d` has `hosts` of its own, so nobody can delegate to it",
        ),
    ] {
        let compiled = with(&(root.clone() + &target));
        let finding = compiled
            .findings
            .iter()
            .find(|finding| finding.code == crate::finding::codes::DELEGATE)
            .unwrap();
        assert_eq!(finding.fault, fault);
        let routes = routes(&compiled, 80, "h");
        assert!(
            matches!(routes[0].action, RouteAction::Closed(_)),
            "{fault}"
        );
        assert_eq!(path(&routes[0]), ["prefix /a"]);
        assert!(matches!(
            routes.last().unwrap().action,
            RouteAction::Forward(_)
        ));
    }
}

#[test]
fn only_one_level_is_allowed() {
    let root = virtual_service(
        "root",
        "  - {match: [{uri: {prefix: /a}}], delegate: {name: d}}",
    );
    let d = delegate(
        "d",
        "",
        "  - {match: [{uri: {prefix: /a/b}}], delegate: {name: e}}",
    );
    let e = delegate("e", "", &format!("  - {{{TO_WEB}}}"));
    let compiled = with(&(root + &d + &e));
    assert!(
        said(&compiled)
            .iter()
            .any(|line| line.contains("error DW0314") && line.ends_with("apps/d"))
    );
    let routes = routes(&compiled, 80, "h");
    assert_eq!(path(&routes[0]), ["prefix /a/b"]);
    assert!(matches!(routes[0].action, RouteAction::Closed(_)));
}

#[test]
fn names_of_destinations_are_those_of_the_delegate() {
    let root = virtual_service("root", "  - {delegate: {name: d, namespace: other}}");
    let d = delegate("d", "", &format!("  - {{{TO_WEB}}}"))
        .replace("namespace: apps", "namespace: other");
    let web = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: other}\nspec: {ports: [{port: 8000}]}\n---\n";
    let compiled = with(&(root + &d + web));
    assert_eq!(
        destination(&routes(&compiled, 80, "h")[0])
            .service
            .to_string(),
        "web.other:8000"
    );
}

#[test]
fn a_delegate_that_nobody_names_has_no_hosts() {
    let d = delegate("d", "", &format!("  - {{{TO_WEB}}}"));
    let compiled = with(&d);
    assert!(said(&compiled).iter().any(|line| line.contains("DW0302")));
}
