//! Matches, order and actions of routes.

use super::*;
use crate::snapshot::{HeaderMatch, PathRewrite, RedirectPort, TextMatch};

const WEB: &str = "  - {route: [{destination: {host: web}}]}";

fn of(http: &str) -> Vec<Arc<Route>> {
    let compiled = with(&virtual_service("v", http));
    routes(&compiled, 80, "h").to_vec()
}

#[test]
fn catch_alls_move_behind_the_routes_of_later_objects() {
    let a = virtual_service(
        "a",
        "  - {name: x, match: [{uri: {prefix: /x}}], route: [{destination: {host: web}}]}\n  - {name: all, match: [{uri: {prefix: /}}], route: [{destination: {host: web}}]}\n  - {name: late, match: [{uri: {prefix: /late}}], route: [{destination: {host: web}}]}",
    );
    let b = virtual_service(
        "b",
        "  - {name: y, match: [{uri: {prefix: /y}}, {uri: {prefix: /}}], route: [{destination: {host: web}}]}",
    );
    // The order of the documents means nothing.
    let compiled = with(&(b + &a));
    assert_eq!(
        names(&routes(&compiled, 80, "h")),
        ["a x", "b y", "a all", "b y"]
    );
    assert_eq!(said(&compiled), ["warning DW0309:37 VirtualService apps/a"]);
}

#[test]
fn a_catch_all_with_a_condition_stays_in_its_place() {
    let a = virtual_service(
        "a",
        "  - {name: posts, match: [{uri: {prefix: /}, method: {exact: POST}}], route: [{destination: {host: web}}]}",
    );
    let b = virtual_service(
        "b",
        "  - {name: x, match: [{uri: {prefix: /x}}], route: [{destination: {host: web}}]}",
    );
    assert_eq!(
        names(&routes(&with(&(a + &b)), 80, "h")),
        ["a posts", "b x"]
    );
}

#[test]
fn a_specific_host_has_its_own_routes_and_no_fall_through() {
    let own = virtual_service("own", WEB).replace("hosts: ['*']", "hosts: [a.com, '*.b.com']");
    let compiled = with(&(own + &virtual_service("wide", WEB)));
    assert_eq!(names(&routes(&compiled, 80, "a.com")), ["own http[0]"]);
    assert_eq!(names(&routes(&compiled, 80, "x.b.com")), ["own http[0]"]);
    assert_eq!(names(&routes(&compiled, 80, "b.com")), ["wide http[0]"]);
}

#[test]
fn the_same_route_through_two_gateways_stands_once() {
    let second = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: second, namespace: istio-system}\n\
                  spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: h, protocol: HTTP}, hosts: ['*']}]}\n---\n";
    let both = virtual_service("v", WEB).replace(
        "[istio-system/main]",
        "[istio-system/main, istio-system/second]",
    );
    assert_eq!(
        routes(&with(&(second.to_owned() + &both)), 80, "h").len(),
        1
    );
}

#[test]
fn conditions_that_only_a_gateway_can_meet_are_decided_here() {
    let kept = of(
        "  - {name: a, match: [{gateways: [istio-system/other]}, {uri: {prefix: /a}, gateways: [istio-system/main], sourceNamespace: nowhere}], route: [{destination: {host: web}}]}\n  - {name: b, match: [{uri: {prefix: /b}, sourceLabels: {istio: none}}], route: [{destination: {host: web}}]}\n  - {name: c, match: [{uri: {prefix: /c}, port: 81}], route: [{destination: {host: web}}]}\n  - {name: d, match: [{uri: {prefix: /d}, gateways: [mesh]}], route: [{destination: {host: web}}]}",
    );
    assert_eq!(names(&kept), ["v a"]);
    assert_eq!(kept[0].matches.len(), 1);
}

#[test]
fn every_kind_of_condition_is_read() {
    let route = &of(
        "  - match:\n    - uri: {exact: /A}\n      ignoreUriCase: true\n      method: {regex: GET|PUT}\n      authority: {prefix: a.}\n      headers: {X-One: {exact: '1'}, x-two: {}, x-three: {regex: '*'}, ':scheme': {exact: https}}\n      withoutHeaders: {x-four: {}}\n      queryParams: {q: {exact: ''}}\n      port: 80\n    route: [{destination: {host: web}}]",
    )[0];
    let one = &route.matches[0];
    let uri = one.uri.as_ref().unwrap();
    assert_eq!(
        (&uri.text, uri.ignore_case),
        (&TextMatch::Exact("/A".into()), true)
    );
    assert!(
        matches!(&one.method, Some(TextMatch::Regex(regex)) if regex.is_match("PUT") && !regex.is_match("PUTS"))
    );
    assert_eq!(one.scheme, Some(TextMatch::Exact("https".into())));
    let headers: Vec<_> = one
        .headers
        .iter()
        .map(|test| {
            (
                test.name.as_str(),
                test.negate,
                test.value == HeaderMatch::Present,
            )
        })
        .collect();
    assert_eq!(
        headers,
        [
            ("x-one", false, false),
            ("x-two", false, true),
            ("x-three", false, true),
            ("x-four", true, true)
        ]
    );
    assert_eq!(one.query, [("q".into(), TextMatch::Exact("".into()))]);
    assert_eq!(one.port, Some(80));
}

#[test]
fn forwarding_keeps_weights_rewrites_and_headers() {
    let route = &of(
        "  - route:\n    - {destination: {host: web}, weight: 90}\n    - {destination: {host: web, port: {number: 80}}}\n    rewrite: {uri: /r, authority: b.com}\n    timeout: 0s\n    headers: {request: {set: {host: c.com, x-a: '50%%'}, remove: [X-B, ':path']}, response: {add: {x-c: d}}}",
    )[0];
    let forward = forward(route);
    assert_eq!(
        forward
            .destinations
            .iter()
            .map(|one| one.weight)
            .collect::<Vec<_>>(),
        [90, 0]
    );
    let rewrite = forward.rewrite.as_ref().unwrap();
    assert_eq!(
        (&rewrite.path, rewrite.authority.as_deref()),
        (&Some(PathRewrite::Matched("/r".into())), Some("b.com"))
    );
    assert_eq!(forward.timeout, None);
    assert_eq!(
        forward.request_headers.set,
        [("x-a".parse().unwrap(), "50%".parse().unwrap())]
    );
    assert_eq!(forward.request_headers.remove, ["x-b"]);
    assert_eq!(
        forward.response_headers.add,
        [("x-c".parse().unwrap(), "d".parse().unwrap())]
    );
}

#[test]
fn the_headers_of_the_only_destination_stand_behind_those_of_the_route() {
    let route = &of(
        "  - {headers: {request: {set: {x-a: '1'}}}, route: [{destination: {host: web}, headers: {request: {set: {x-a: '2', host: h}}}}]}",
    )[0];
    let forward = forward(route);
    let values: Vec<_> = forward
        .request_headers
        .set
        .iter()
        .map(|(_, value)| value.to_str().unwrap())
        .collect();
    assert_eq!(values, ["1", "2"]);
    assert_eq!(
        forward.rewrite.as_ref().unwrap().authority.as_deref(),
        Some("h")
    );
}

#[test]
fn redirects_and_answers_are_read() {
    let routes = of(
        "  - {match: [{uri: {exact: /logout}}], redirect: {uri: /oauth2/sign_out}}\n  - {match: [{uri: {exact: /a}}], redirect: {scheme: https, port: 443, redirectCode: 308}}\n  - {match: [{uri: {exact: /b}}], redirect: {derivePort: FROM_REQUEST_PORT}}\n  - {directResponse: {status: 404, body: {string: gone}}}",
    );
    let redirect = |route: &Route| match &route.action {
        RouteAction::Redirect(redirect) => redirect.clone(),
        other => panic!("no redirect: {other:?}"),
    };
    assert_eq!(
        (redirect(&routes[0]).path, redirect(&routes[0]).code),
        (Some(PathRewrite::Whole("/oauth2/sign_out".into())), 301)
    );
    assert_eq!(
        (redirect(&routes[1]).port, redirect(&routes[1]).code),
        (RedirectPort::Keep, 308)
    );
    assert_eq!(redirect(&routes[2]).port, RedirectPort::FromRequest);
    assert!(
        matches!(&routes[3].action, RouteAction::Respond(respond) if respond.status == 404 && &*respond.body == b"gone")
    );
}

#[test]
fn fields_without_effect_are_said_and_harmless() {
    let compiled = with(&virtual_service(
        "v",
        "  - {route: [{destination: {host: web}}], retries: {attempts: 3}, corsPolicy: {}, mirror: {host: web}, fault: {delay: {fixedDelay: 1s}}}",
    ));
    assert_eq!(
        said(&compiled),
        ["warning DW0307:26 VirtualService apps/v"; 4]
    );
    assert!(matches!(
        routes(&compiled, 80, "h")[0].action,
        RouteAction::Forward(_)
    ));
}
