//! Matches, order and actions of routes.

use super::*;
use crate::names::Duration;
use crate::snapshot::{
    Abort, ClaimTest, GrpcStatus, HeaderMatch, OriginMatch, PathRewrite, PseudoHeader, PseudoTest,
    RedirectPort, Retries, Share, TextMatch,
};

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
    assert_eq!(
        one.pseudo,
        [PseudoTest {
            which: PseudoHeader::Scheme,
            value: TextMatch::Exact("https".into()),
            negate: false,
        }]
    );
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
fn a_route_that_says_nothing_of_retries_has_those_of_istio() {
    let of_route = |more: &str| {
        let http = format!("  - {{route: [{{destination: {{host: web}}}}]{more}}}");
        forward(&of(&http)[0]).retries.as_deref().cloned()
    };
    assert_eq!(of_route(""), Some(Retries::istio_default()));
    assert_eq!(of_route(", retries: {}"), None);
    assert_eq!(of_route(", retries: {attempts: 0}"), None);
    let given = of_route(
        ", retries: {attempts: 3, perTryTimeout: 2s, retryOn: 'gateway-error,503,unavailable', backoff: 1s}",
    );
    let given = given.unwrap();
    assert_eq!(
        (given.attempts, given.back_off),
        (3, Duration::from_secs(1))
    );
    assert_eq!(given.attempt_timeout, Some(Duration::from_secs(2)));
    assert!(given.on.gateway_error && !given.on.server_error && !given.on.conflict);
    assert_eq!(given.on.statuses, [503]);
    assert_eq!(given.on.grpc, [GrpcStatus::Unavailable]);
    let default = of_route(", retries: {attempts: 1, per_try_timeout: 1ms}").unwrap();
    assert_eq!(default.on, Retries::istio_default().on);
}

#[test]
fn retries_that_contradict_themselves_close_the_route() {
    for bad in [
        "{attempts: 0, perTryTimeout: 1s}",
        "{retryOn: 5xx}",
        "{attempts: 1, perTryTimeout: 0s}",
        "{attempts: 1, retryOn: sometimes}",
        "{attempts: 1, retryOn: '99'}",
        "{attempts: -1}",
        "{attempts: 1, tries: 2}",
    ] {
        let http = format!("  - {{route: [{{destination: {{host: web}}}}], retries: {bad}}}");
        let compiled = with(&virtual_service("v", &http));
        assert_eq!(
            said(&compiled),
            ["error DW0308:26 VirtualService apps/v"],
            "{bad}"
        );
        let action = &routes(&compiled, 80, "h")[0].action;
        assert!(matches!(action, RouteAction::Closed(_)), "{bad}");
    }
}

#[test]
fn the_mesh_says_how_often_routes_that_say_nothing_try_again() {
    let mesh = |policy: &str| {
        let config = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |\n    defaultHttpRetryPolicy: {policy}\n---\n"
        );
        let compiled = with(&(virtual_service("v", WEB) + &config));
        let retries = forward(&routes(&compiled, 80, "h")[0])
            .retries
            .as_deref()
            .cloned();
        (
            retries.map(|retries| retries.attempts),
            said(&compiled).len(),
        )
    };
    assert_eq!(mesh("{attempts: 7}"), (Some(7), 0));
    assert_eq!(mesh("{}"), (None, 0));
    assert_eq!(mesh("{attempts: 1, retryOn: x}"), (None, 1));
}

#[test]
fn mirrors_are_read_in_every_spelling() {
    let mirrors = |more: &str| {
        let http = format!("  - {{route: [{{destination: {{host: web}}}}], {more}}}");
        let route = &of(&http)[0];
        forward(route)
            .mirrors
            .iter()
            .map(|mirror| mirror.share)
            .collect::<Vec<_>>()
    };
    let share = |percent: u32| Share::of_million(percent * 10_000);
    assert_eq!(mirrors("mirror: {host: web}"), [Share::ALL]);
    assert_eq!(
        mirrors("mirror: {host: web}, mirrorPercent: 30"),
        [share(30)]
    );
    assert_eq!(
        mirrors("mirror: {host: web}, mirror_percent: 30"),
        [share(30)]
    );
    assert_eq!(
        mirrors("mirror: {host: web}, mirrorPercentage: {value: 0.5}"),
        [Share::of_million(5_000)]
    );
    assert_eq!(
        mirrors("mirror: {host: web}, mirrorPercentage: {value: 0}"),
        []
    );
    assert_eq!(
        mirrors(
            "mirrors: [{destination: {host: web}}, {destination: {host: web}, percentage: {value: 10}}]"
        ),
        [Share::ALL, share(10)]
    );
    // What would go to nobody is left out, and said.
    assert_eq!(mirrors("mirror: {host: nobody}"), []);
    let both = "  - {route: [{destination: {host: web}}], mirror: {host: web}, mirrors: [{destination: {host: web}}]}";
    assert!(matches!(of(both)[0].action, RouteAction::Closed(_)));
}

#[test]
fn faults_concern_the_share_that_is_named_and_none_otherwise() {
    let fault = |fault: &str| {
        let http = format!("  - {{route: [{{destination: {{host: web}}}}], fault: {fault}}}");
        let route = &of(&http)[0];
        forward(route).fault.clone().unwrap()
    };
    let second = Duration::from_secs(1);
    assert_eq!(
        fault("{delay: {fixedDelay: 1s, percentage: {value: 12.5}}}").delay,
        Some((second, Share::of_million(125_000)))
    );
    assert_eq!(
        fault("{delay: {fixed_delay: 1s, percent: 20}}").delay,
        Some((second, Share::of_million(200_000)))
    );
    assert_eq!(
        fault("{delay: {fixedDelay: 1s, percentage: {}}}").delay,
        Some((second, Share::NONE))
    );
    assert_eq!(
        fault("{delay: {fixedDelay: 1s}}").delay,
        Some((second, Share::NONE))
    );
    assert_eq!(
        fault("{abort: {httpStatus: 418, percentage: {value: 100}}}").abort,
        Some((Abort::Http(418), Share::ALL))
    );
    assert_eq!(
        fault("{abort: {grpcStatus: UNAVAILABLE, percentage: {value: 100}}}").abort,
        Some((Abort::Grpc(14), Share::ALL))
    );
    for bad in [
        "{}",
        "{abort: {percentage: {value: 1}}}",
        "{abort: {httpStatus: 99, percentage: {value: 1}}}",
        "{abort: {grpcStatus: BUSY, percentage: {value: 1}}}",
        "{abort: {httpStatus: 500, percentage: {value: 101}}}",
        "{delay: {percentage: {value: 1}}}",
    ] {
        let http = format!("  - {{route: [{{destination: {{host: web}}}}], fault: {bad}}}");
        assert!(
            matches!(of(&http)[0].action, RouteAction::Closed(_)),
            "{bad}"
        );
    }
}

#[test]
fn a_fault_without_share_is_said() {
    let compiled = with(&virtual_service(
        "v",
        "  - {route: [{destination: {host: web}}], fault: {delay: {fixedDelay: 1s}}}",
    ));
    assert_eq!(said(&compiled), ["warning DW0323:26 VirtualService apps/v"]);
    assert!(matches!(
        routes(&compiled, 80, "h")[0].action,
        RouteAction::Forward(_)
    ));
}

#[test]
fn the_policy_for_other_origins_is_read_in_both_spellings() {
    let route = &of(
        "  - {route: [{destination: {host: web}}], corsPolicy: {allowOrigins: [{exact: 'https://a.com'}, {exact: '*'}], allowMethods: [GET, PUT], allowHeaders: [x-a], exposeHeaders: [x-b], maxAge: 10m, allowCredentials: true, unmatchedPreflights: IGNORE}}",
    )[0];
    let cors = route.cors.as_ref().unwrap();
    let exact = TextMatch::Exact("https://a.com".into());
    assert_eq!(
        cors.origins,
        [OriginMatch::Text(exact.clone()), OriginMatch::Any]
    );
    assert_eq!(cors.methods.as_ref().unwrap(), "GET,PUT");
    assert_eq!(cors.max_age, Some(Duration::from_secs(600)));
    assert!(cors.credentials && !cors.forward_unmatched);
    let old =
        &of("  - {redirect: {uri: /x}, cors_policy: {allow_origin: ['https://a.com', '*']}}")[0];
    let cors = old.cors.as_ref().unwrap();
    assert_eq!(cors.origins, [OriginMatch::Text(exact), OriginMatch::Any]);
    assert!(cors.forward_unmatched);
    let bad = "  - {route: [{destination: {host: web}}], corsPolicy: {unmatchedPreflights: DROP}}";
    assert!(matches!(of(bad)[0].action, RouteAction::Closed(_)));
}

#[test]
fn conditions_on_claims_are_read_in_both_spellings() {
    let route = &of(
        "  - {match: [{headers: {'@request.auth.claims.a.b': {exact: x}, '@request.auth.claims[c][d.e]': {}}, withoutHeaders: {'@request.auth.claims.f': {prefix: y}}}], route: [{destination: {host: web}}]}",
    )[0];
    let test = |path: &[&str], value, negate| ClaimTest {
        path: path.iter().copied().map(std::sync::Arc::from).collect(),
        value,
        negate,
    };
    assert_eq!(
        route.matches[0].claims,
        [
            test(&["a", "b"], TextMatch::Exact("x".into()), false),
            test(&["c", "d.e"], TextMatch::Prefix("".into()), false),
            test(&["f"], TextMatch::Prefix("y".into()), true),
        ]
    );
    for bad in [
        "@request.auth.claims",
        "@request.auth.claims.",
        "@request.auth.claims[a",
        "@request.x",
    ] {
        let http = format!(
            "  - {{match: [{{uri: {{prefix: /a}}, headers: {{'{bad}': {{exact: x}}}}}}], route: [{{destination: {{host: web}}}}]}}"
        );
        assert!(
            matches!(of(&http)[0].action, RouteAction::Closed(_)),
            "{bad}"
        );
    }
}

#[test]
fn several_destinations_keep_their_own_headers() {
    let route = &of(
        "  - {rewrite: {uri: /r}, headers: {request: {set: {x-a: route}}}, route: [{destination: {host: web}, weight: 1, headers: {request: {set: {x-a: one, host: h}}, response: {remove: [x-b]}}}, {destination: {host: web}, weight: 1}]}",
    )[0];
    let forward = forward(route);
    let [one, other] = &forward.destinations[..] else {
        panic!("two destinations");
    };
    assert_eq!(
        one.request_headers.set,
        [("x-a".parse().unwrap(), "one".parse().unwrap())]
    );
    assert_eq!(one.response_headers.remove, ["x-b"]);
    let rewrite = one.rewrite.as_ref().unwrap();
    assert_eq!(
        (&rewrite.path, rewrite.authority.as_deref()),
        (&Some(PathRewrite::Matched("/r".into())), Some("h"))
    );
    assert!(other.request_headers.is_empty() && other.rewrite.is_none());
}

#[test]
fn a_redirect_may_replace_the_prefix_that_matched() {
    let action = |one: &str, more: &str| {
        let http = format!("  - {{match: [{one}], redirect: {{prefixRewrite: /new{more}}}}}");
        of(&http)[0].action.clone()
    };
    assert!(matches!(
        action("{uri: {prefix: /old}}", ""),
        RouteAction::Redirect(redirect) if redirect.path == Some(PathRewrite::Matched("/new".into()))
    ));
    for (one, more) in [
        ("{uri: {exact: /old}}", ""),
        ("{uri: {prefix: /old}}", ", uri: /x"),
        ("{uri: {prefix: /old}}, {uri: {regex: /o.*}}", ""),
    ] {
        assert!(
            matches!(action(one, more), RouteAction::Closed(_)),
            "{one} {more}"
        );
    }
}
