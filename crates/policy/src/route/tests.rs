use http::{HeaderMap, HeaderName, HeaderValue};
use model::snapshot::{
    HeaderEdits, Normalization, PathRewrite, Redirect, RedirectPort, Regex, Rewrite,
};

use super::*;
use crate::request::RequestHead;

fn with_request<T>(authority: &str, target: &str, ask: impl FnOnce(&Request<'_>) -> T) -> T {
    let mut headers = HeaderMap::new();
    headers.append("x", HeaderValue::from_static("a"));
    headers.append("x", HeaderValue::from_static("b"));
    let head = RequestHead::sample(authority, target, &headers);
    ask(&Request::read(head, Normalization::Base).unwrap())
}

fn uri(text: TextMatch, ignore_case: bool) -> RouteMatch {
    RouteMatch {
        uri: Some(UriMatch {
            text,
            ignore_case,
            whole_segments: false,
        }),
        ..RouteMatch::default()
    }
}

fn prefix(text: &str) -> TextMatch {
    TextMatch::Prefix(text.into())
}

#[test]
fn paths_match_by_bytes() {
    let fits = |wanted: &RouteMatch, target: &str| {
        with_request("h", target, |request| {
            fits(wanted, request, Sight::of(request))
        })
    };
    let dex = uri(prefix("/dex"), false);
    assert!(fits(&dex, "/dexfoo"));
    assert!(fits(&dex, "/dex?x=1"));
    assert!(!fits(&dex, "/DEX"));
    assert!(fits(&uri(prefix("/dex"), true), "/DEX/x"));
    assert!(!fits(&uri(prefix("/dex/"), true), "/dex"));
    assert!(fits(
        &uri(TextMatch::Exact("/logout".into()), false),
        "/logout?rd=/"
    ));
    assert!(!fits(
        &uri(TextMatch::Exact("/logout".into()), false),
        "/logout/"
    ));
    let regex = uri(TextMatch::Regex(Regex::whole("/a|/b.").unwrap()), false);
    assert!(fits(&regex, "/bc"));
    assert!(!fits(&regex, "/ac"));
}

#[test]
fn the_other_conditions_all_have_to_hold() {
    let fits = |wanted: RouteMatch| {
        with_request("Kf.example.com:80", "/p?k&e=&a=1&a=2", |request| {
            fits(&wanted, request, Sight::of(request))
        })
    };
    let exact = |text: &str| TextMatch::Exact(text.into());
    let base = RouteMatch::default;
    assert!(fits(base()));
    assert!(fits(RouteMatch {
        port: Some(80),
        method: Some(exact("GET")),
        ..base()
    }));
    assert!(!fits(RouteMatch {
        port: Some(443),
        method: Some(exact("GET")),
        ..base()
    }));
    assert!(!fits(RouteMatch {
        method: Some(exact("get")),
        ..base()
    }));
    assert!(fits(RouteMatch {
        scheme: Some(exact("http")),
        ..base()
    }));
    for (authority, holds) in [("Kf.example.com:80", true), ("kf.example.com:80", false)] {
        let wanted = RouteMatch {
            authority: Some(exact(authority)),
            ..base()
        };
        assert_eq!(fits(wanted), holds, "letter case counts: {authority}");
    }
    let query = |name: &str, text| RouteMatch {
        query: vec![(name.into(), text)],
        ..base()
    };
    assert!(fits(query("k", exact(""))));
    assert!(fits(query("e", exact(""))));
    assert!(fits(query("a", exact("1"))));
    assert!(!fits(query("a", exact("2"))));
    assert!(!fits(query("z", exact(""))));
    let header = |name, value, negate| {
        let test = HeaderTest {
            name: HeaderName::from_static(name),
            value,
            negate,
        };
        RouteMatch {
            headers: vec![test],
            ..base()
        }
    };
    assert!(fits(header("x", HeaderMatch::Present, false)));
    assert!(!fits(header("x", HeaderMatch::Present, true)));
    assert!(fits(header("y", HeaderMatch::Present, true)));
    assert!(fits(header("x", HeaderMatch::Text(exact("b")), false)));
    // Values are compared one by one.
    assert!(!fits(header("x", HeaderMatch::Text(exact("a,b")), false)));
    assert!(!fits(header("x", HeaderMatch::Text(exact("b")), true)));
    assert!(!fits(header("x", HeaderMatch::Text(exact("c")), false)));
    assert!(fits(header("y", HeaderMatch::Text(exact("c")), true)));
    // To `withoutHeaders` what is not there is empty.
    assert!(!fits(header("y", HeaderMatch::Text(prefix("")), true)));
    assert!(!fits(header("y", HeaderMatch::Text(prefix("")), false)));
    assert!(fits(header(
        "host",
        HeaderMatch::Text(exact("Kf.example.com:80")),
        false
    )));
}

#[test]
fn a_rewrite_replaces_the_matched_prefix_or_the_whole_path() {
    let to = |uri: &str| Rewrite {
        path: Some(PathRewrite::Matched(uri.into())),
        authority: None,
    };
    let case = |matched: Option<RouteMatch>, with: Rewrite, target: &str| {
        with_request("h", target, |request| {
            rewrite(Some(&with), matched.as_ref(), request).into_owned()
        })
    };
    let at = |text: &str| Some(uri(prefix(text), false));
    assert_eq!(case(at("/foo"), to("/"), "/foo/bar"), "//bar");
    assert_eq!(case(at("/foo"), to("/"), "/foo"), "/");
    assert_eq!(case(at("/foo/"), to("/"), "/foo/bar"), "/bar");
    assert_eq!(case(at("/"), to("/"), "/a/b"), "/a/b");
    assert_eq!(
        case(at("/jupyter/"), to("/"), "/jupyter/api/x?y=1"),
        "/api/x"
    );
    assert_eq!(case(at("/katib/"), to("/katib/"), "/katib/x"), "/katib/x");
    assert_eq!(
        case(Some(uri(prefix("/foo"), true)), to("/x"), "/FOO/bar"),
        "/x/bar"
    );
    assert_eq!(case(None, to("/x/"), "/a/b"), "/x/a/b");
    let exactly = Some(uri(TextMatch::Exact("/a".into()), false));
    assert_eq!(case(exactly, to("/whole"), "/a"), "/whole");
    assert_eq!(case(at("/foo/"), to(""), "/foo/bar"), "/bar");
    let regex = Rewrite {
        path: Some(PathRewrite::Regex(
            Regex::anywhere("/v([0-9]+)").unwrap(),
            "/\\1/\\0\\\\".into(),
        )),
        authority: None,
    };
    assert_eq!(case(at("/"), regex, "/v12/x/v3"), "/12//v12//x/3//v3/");
}

#[test]
fn a_cut_prefix_cannot_uncover_dot_segments() {
    let to = Rewrite {
        path: Some(PathRewrite::Matched("/".into())),
        authority: None,
    };
    let matched = uri(prefix("/foo"), false);
    let path = with_request("h", "/foo../admin", |request| {
        rewrite(Some(&to), Some(&matched), request).into_owned()
    });
    assert_eq!(path, "/admin");
}

#[test]
fn redirects_are_absolute() {
    let none = || Redirect {
        path: None,
        authority: None,
        scheme: None,
        port: RedirectPort::Keep,
        headers: HeaderEdits::default(),
        code: 301,
    };
    let to = |redirect: Redirect, authority: &str, target: &str| {
        with_request(authority, target, |request| {
            location(&redirect, None, request)
        })
    };
    let uri = |uri: &str| Redirect {
        path: Some(PathRewrite::Whole(uri.into())),
        ..none()
    };
    let https = |port| Redirect {
        scheme: Some("https".into()),
        port,
        ..none()
    };
    assert_eq!(
        to(uri("/oauth2/sign_out"), "H:8443", "/logout"),
        "http://H:8443/oauth2/sign_out"
    );
    assert_eq!(
        to(uri("/new/path"), "h", "/foo?key=value"),
        "http://h/new/path?key=value"
    );
    assert_eq!(
        to(uri("/new?a=b"), "h", "/foo?key=value"),
        "http://h/new?a=b"
    );
    assert_eq!(
        to(uri("/new"), "h", "/foo?key=a b"),
        "http://h/new?key=a%20b"
    );
    assert_eq!(
        to(https(RedirectPort::FromRequest), "h", "/x"),
        "https://h:80/x"
    );
    assert_eq!(to(https(RedirectPort::Keep), "h:80", "/x"), "https://h/x");
    assert_eq!(
        to(https(RedirectPort::Keep), "h:8080", "/x"),
        "https://h:8080/x"
    );
    assert_eq!(
        to(https(RedirectPort::Number(443)), "h:8080", "/x"),
        "https://h:8080/x"
    );
    assert_eq!(
        to(https(RedirectPort::Replace(Some(443))), "h:8080", "/x"),
        "https://h/x"
    );
    assert_eq!(
        to(https(RedirectPort::Replace(Some(8443))), "h:8080", "/x"),
        "https://h:8443/x"
    );
    let own_port = Redirect {
        port: RedirectPort::Replace(None),
        ..uri("/new")
    };
    // Gateway port 80.
    assert_eq!(to(own_port, "h:8080", "/x"), "http://h/new");
    assert_eq!(
        to(https(RedirectPort::Number(8443)), "h:8080", "/x"),
        "https://h:8443/x"
    );
    assert_eq!(
        to(https(RedirectPort::Number(8443)), "[::1]", "/x"),
        "https://[::1]:8443/x"
    );
    let elsewhere = Redirect {
        authority: Some("other.example.com".into()),
        ..none()
    };
    assert_eq!(
        to(elsewhere, "h:80", "/x?y"),
        "http://other.example.com/x?y"
    );
}

/// The first route that fits, every route tried.
fn linear<'s>(routes: &'s [Arc<Route>], request: &Request<'_>) -> Option<&'s Arc<Route>> {
    routes.iter().find(|route| {
        let sight = Sight::of(request);
        route.matches.is_empty() || route.matches.iter().any(|one| fits(one, request, sight))
    })
}

/// One `match`: a path in some form, and perhaps a condition beside it.
fn any_match() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let path = proptest::collection::vec("[ab]{0,2}", 1..4);
    let form = prop_oneof![
        4 => Just("prefix"), 3 => Just("exact"), 1 => Just("regex"), 1 => Just("none")
    ];
    (path, form, any::<bool>(), 0..6u8, any::<bool>()).prop_map(
        |(path, form, slash, condition, fold)| {
            let mut path = format!("/{}", path.join("/"));
            if slash {
                path.push('/');
            }
            if form == "regex" {
                path.push_str(".*");
            }
            let mut parts = Vec::new();
            if form != "none" {
                parts.push(format!("uri: {{{form}: '{path}'}}"));
            }
            if fold {
                parts.push("ignoreUriCase: true".to_owned());
            }
            match condition {
                0 => parts.push("method: {exact: POST}".to_owned()),
                1 => parts.push("headers: {x: {exact: a}}".to_owned()),
                2 => parts.push("queryParams: {q: {exact: '1'}}".to_owned()),
                _ => {}
            }
            format!("{{{}}}", parts.join(", "))
        },
    )
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    #[test]
    fn an_indexed_table_chooses_what_trying_every_route_would(
        all in proptest::collection::vec(proptest::collection::vec(any_match(), 1..3), 16..40),
        targets in proptest::collection::vec("(/[abA]{0,2}){1,4}/?(\\?q=[12])?", 24),
    ) {
        let mut manifest = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g, namespace: istio-system}\nspec:\n  selector: {istio: ingressgateway}\n  servers: [{port: {number: 80, name: h, protocol: HTTP}, hosts: ['*']}]\n".to_owned();
        // A catch-all ends its VirtualService, so each entry has one of its own.
        for (at, matches) in all.iter().enumerate() {
            manifest.push_str(&format!(
                "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: v{at:02}, namespace: istio-system}}\nspec:\n  hosts: ['*']\n  gateways: [g]\n  http: [{{match: [{}], directResponse: {{status: 200}}}}]\n",
                matches.join(", "),
            ));
        }
        let file = model::objects::File { name: "a.yaml".into(), text: manifest };
        let snapshot = model::compile(&model::objects::ObjectSet { files: vec![file] }).snapshot;
        let hosts = snapshot.listener(80).unwrap().virtual_hosts().next().unwrap();
        let routes = hosts.routes("h").unwrap();
        proptest::prop_assert!(routes.len() >= 16);
        for target in &targets {
            with_request("h", target, |request| {
                let choice = choose(hosts, request, Sight::of(request));
                let chosen = choice.chosen.map(|chosen| Arc::as_ptr(chosen.route));
                let wanted = linear(routes, request).map(Arc::as_ptr);
                proptest::prop_assert_eq!(chosen, wanted, "{}", target);
                Ok(())
            })?;
        }
    }
}

#[test]
fn draws_fall_on_destinations_by_their_weight() {
    let drawn = |weights: &[u32]| -> Vec<Option<usize>> {
        let pick = |draw| pick(weights.iter().copied(), draw);
        (0..8).map(pick).collect()
    };
    let turns = [0, 2, 2, 2, 0, 2, 2, 2].map(Some);
    assert_eq!(drawn(&[1, 0, 3]), turns);
    assert_eq!(drawn(&[0]), [Some(0); 8]);
    assert_eq!(drawn(&[0, 0]), [None; 8]);
    assert_eq!(drawn(&[]), [None; 8]);
}
