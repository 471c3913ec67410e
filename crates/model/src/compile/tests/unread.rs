//! A VirtualService that cannot be read closes its own part of a host, and nothing of others.

use super::*;
use crate::finding::{Code, codes};
use crate::snapshot::{PlayedBy, TextMatch, VirtualHosts};

const WEB: &str = "  - {route: [{destination: {host: web}}]}";

/// A VirtualService `apps/v` that is no YAML.
fn broken(hosts: &str, http: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: v\n  namespace: apps\n\
         spec:\n  hosts: {hosts}\n  gateways: [istio-system/main]\n  http:\n{http}\n  oops: [{{\n---\n"
    )
}

/// A VirtualService `apps/v` with an `exportTo` that cannot be read.
fn unreadable(hosts: &str, http: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: v, namespace: apps}}\n\
         spec:\n  hosts: {hosts}\n  gateways: [istio-system/main]\n  exportTo: all\n  http:\n{http}\n---\n"
    )
}

fn hosts(compiled: &Compiled) -> &VirtualHosts {
    virtual_hosts(compiled.snapshot.listener(80).unwrap(), "kf")
}

fn closed_by(compiled: &Compiled, host: &str) -> Option<Code> {
    hosts(compiled).closure(host).map(|closure| closure.code)
}

fn remedy(compiled: &Compiled, code: Code) -> &str {
    let mut findings = compiled.findings.iter();
    &findings
        .find(|finding| finding.code == code)
        .unwrap()
        .remedy
}

/// The paths of a closed route.
fn closed_paths(route: &Route) -> Vec<TextMatch> {
    assert!(matches!(route.action, RouteAction::Closed(_)), "{route:?}");
    let paths = route.matches.iter();
    paths.map(|one| one.uri.clone().unwrap().text).collect()
}

fn prefix(path: &str) -> TextMatch {
    TextMatch::Prefix(path.into())
}

#[test]
fn a_host_that_nobody_else_serves_is_closed_whole() {
    for (text, code) in [
        (broken("[a.com]", WEB), codes::SYNTAX),
        (unreadable("[a.com]", WEB), codes::HOSTS_CLOSED),
    ] {
        // The other one has `*`, so only the name of the broken one is closed.
        let compiled = with(&(text + &virtual_service("web", WEB)));
        assert_eq!(closed_by(&compiled, "a.com"), Some(code));
        assert_eq!(closed_by(&compiled, "b.com"), None);
        assert!(
            remedy(&compiled, code).ends_with("; until then the host `a.com` (port 80) is closed")
        );
    }
}

#[test]
fn a_closed_wildcard_leaves_the_names_that_others_serve() {
    let other = virtual_service("web", WEB).replace("['*']", "[a.com, '*.b.com']");
    let compiled = with(&(broken("['*']", WEB) + &other));
    assert_eq!(closed_by(&compiled, "c.com"), Some(codes::SYNTAX));
    assert_eq!(closed_by(&compiled, "b.com"), Some(codes::SYNTAX));
    assert_eq!(closed_by(&compiled, "a.com"), None);
    assert_eq!(closed_by(&compiled, "x.b.com"), None);
    let other = virtual_service("web", WEB);
    let compiled = with(&(broken("['*.b.com', x.c.com]", WEB) + &other));
    for (host, closed) in [
        ("a.b.com", true),
        ("x.c.com", true),
        ("y.c.com", false),
        ("b.com", false),
    ] {
        assert_eq!(closed_by(&compiled, host).is_some(), closed, "{host}");
    }
}

#[test]
fn on_a_shared_host_only_its_paths_are_closed() {
    let http = "  - {match: [{uri: {prefix: /x/}}, {uri: {exact: /y}}], route: [{destination: {host: web}}]}";
    for (text, code) in [
        (broken("['*']", http), codes::SYNTAX),
        (unreadable("['*']", http), codes::HOSTS_CLOSED),
    ] {
        let first = virtual_service(
            "a",
            "  - {match: [{uri: {prefix: /x/a}}], route: [{destination: {host: web}}]}",
        );
        let compiled = with(&(first + &text + &virtual_service("web", WEB)));
        assert_eq!(closed_by(&compiled, "h"), None);
        let routes = routes(&compiled, 80, "h");
        // In front of everything, whoever might hide it.
        assert_eq!(names(&routes), ["v unread", "a http[0]", "web http[0]"]);
        assert_eq!(
            closed_paths(&routes[0]),
            [prefix("/x/"), TextMatch::Exact("/y".into())]
        );
        assert_eq!(destination(&routes[1]).played_by, PlayedBy::Upstream);
        assert_eq!(destination(&routes[2]).played_by, PlayedBy::Upstream);
        assert!(
            remedy(&compiled, code).ends_with(
                "; until then only `/x/*`, `/y` are closed on the host `*` (port 80), where other VirtualServices serve the rest"
            ),
            "{}",
            remedy(&compiled, code)
        );
    }
}

#[test]
fn on_a_shared_host_the_root_is_never_closed() {
    let http = "  - {match: [{uri: {prefix: /}}, {uri: {exact: /}}, {uri: {regex: /r.*}}], route: [{destination: {host: web}}]}";
    for (text, code) in [
        (broken("['*']", http), codes::SYNTAX),
        (unreadable("['*']", http), codes::HOSTS_CLOSED),
        (broken("['*']", WEB), codes::SYNTAX),
        (unreadable("['*']", "  - text"), codes::HOSTS_CLOSED),
    ] {
        let compiled = with(&(text + &virtual_service("web", WEB)));
        assert_eq!(closed_by(&compiled, "h"), None);
        assert_eq!(names(&routes(&compiled, 80, "h")), ["web http[0]"]);
        assert!(remedy(&compiled, code).ends_with(
            "; until then its routes on the host `*` (port 80) are missing, and other VirtualServices serve there"
        ));
    }
}

#[test]
fn a_host_that_is_shared_and_one_that_is_not_are_told_apart() {
    let http = "  - {match: [{uri: {prefix: /x}}], route: [{destination: {host: web}}]}";
    let compiled = with(&(broken("['*', a.com]", http) + &virtual_service("web", WEB)));
    assert_eq!(closed_by(&compiled, "a.com"), Some(codes::SYNTAX));
    assert_eq!(closed_by(&compiled, "h"), None);
    assert_eq!(
        remedy(&compiled, codes::SYNTAX),
        "mend the document; until then the host `a.com` (port 80) is closed; \
         only `/x*` is closed on the host `*` (port 80), where other VirtualServices serve the rest"
    );
}

#[test]
fn two_that_cannot_be_read_do_not_serve_for_each_other() {
    let http = "  - {match: [{uri: {prefix: /x}}], route: [{destination: {host: web}}]}";
    let compiled = with(&(broken("['*']", http) + &unreadable("['*']", http)));
    assert!(closed_by(&compiled, "h").is_some());
    assert!(remedy(&compiled, codes::HOSTS_CLOSED).ends_with("the host `*` (port 80) is closed"));
}

#[test]
fn a_document_without_readable_hosts_closes_nothing_and_says_so() {
    let text = "kind: VirtualService\nmetadata:\n  name: v\nspec: [{\n---\n";
    let compiled = with(&(text.to_owned() + &virtual_service("web", WEB)));
    assert_eq!(closed_by(&compiled, "h"), None);
    assert_eq!(
        remedy(&compiled, codes::SYNTAX),
        "mend the document; until then its routes are missing: no server here has a host that it still names"
    );
}

#[test]
fn one_for_another_gateway_closes_nothing_here() {
    let text = unreadable("['*']", WEB).replace("istio-system/main", "apps/other");
    let compiled = with(&(text + &virtual_service("web", WEB)));
    assert_eq!(names(&routes(&compiled, 80, "h")), ["web http[0]"]);
    let text = unreadable("['*']", WEB).replace("gateways: [istio-system/main]", "gateways: main");
    assert_eq!(closed_by(&with(&text), "h"), Some(codes::HOSTS_CLOSED));
}

#[test]
fn a_match_on_an_unreadable_path_closes_what_follows_in_its_own_virtual_service() {
    let http = "  - {match: [{uri: {prefix: /a}}], route: [{destination: {host: web}}]}\n\
                \x20 - {match: [{uri: {regex: '('}, method: {exact: GET}}, {uri: {prefix: /b}}], route: [{destination: {host: web}}]}\n\
                \x20 - {match: [{uri: {prefix: /c}}], route: [{destination: {host: web}}]}";
    let other = "  - {match: [{uri: {prefix: /w}}], route: [{destination: {host: web}}]}";
    let compiled = with(
        &(virtual_service("v", http) + &virtual_service("w", other) + &virtual_service("x", WEB)),
    );
    let routes = routes(&compiled, 80, "h");
    let seen: Vec<String> = routes
        .iter()
        .map(|route| {
            let closed = matches!(route.action, RouteAction::Closed(_));
            format!("{} {} {closed}", route.info.object.name, route.info.name)
        })
        .collect();
    assert_eq!(
        seen,
        [
            "v http[0] false",
            "v http[1] true",
            "v http[2] true",
            "w http[0] false",
            "x http[0] false",
            // The match itself: it hides nobody, and what nobody else serves is closed.
            "v http[1] true",
        ]
    );
    assert_eq!(closed_paths(&routes[1]), [prefix("/b")]);
    assert_eq!(closed_paths(&routes[2]), [prefix("/c")]);
    assert!(routes[5].matches[0].uri.is_none() && routes[5].matches[0].method.is_some());
}

#[test]
fn a_route_for_everything_that_cannot_be_served_leaves_that_of_another() {
    let compiled =
        with(&(virtual_service("a", "  - {delegate: {name: d}}") + &virtual_service("web", WEB)));
    assert_eq!(
        names(&routes(&compiled, 80, "h")),
        ["web http[0]", "a http[0]"]
    );
}

#[test]
fn a_broken_notebook_page_leaves_the_rest_of_stock_kubeflow() {
    let mut set = tree("kubeflow-26.03");
    let name = "  name: jupyter-web-app-jupyter-web-app\n  namespace: kubeflow\nspec:\n  gateways:";
    let file = set
        .files
        .iter_mut()
        .find(|file| file.text.contains(name))
        .unwrap();
    file.text = file
        .text
        .replace(name, &name.replace("gateways:", "gateways: [{"));
    let compiled = compile(&set);
    assert_eq!(closed_by(&compiled, "h"), None);
    let routes = routes(&compiled, 80, "h");
    assert_eq!(
        routes[0].info.object.name.as_ref(),
        "jupyter-web-app-jupyter-web-app"
    );
    assert_eq!(closed_paths(&routes[0]), [prefix("/jupyter/")]);
    let serving: Vec<TextMatch> = routes[1..]
        .iter()
        .map(|route| {
            assert_ne!(
                destination(route).service.name.as_ref(),
                "jupyter-web-app-service"
            );
            route.matches[0].uri.clone().unwrap().text
        })
        .collect();
    assert_eq!(serving.len(), 10);
    assert!(serving.contains(&prefix("/pipeline")) && serving[9] == prefix("/"));
    assert_eq!(
        remedy(&compiled, codes::SYNTAX),
        "mend the document; until then only `/jupyter/*` is closed on the host `*` (port 80), where other VirtualServices serve the rest"
    );
}
