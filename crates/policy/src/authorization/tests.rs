mod many;

use http::{HeaderMap, HeaderName, HeaderValue};
use model::names::{ObjectRef, Place};
use model::snapshot::{Action, PolicyInfo};
use serde_json::json;

use super::*;
use crate::session::Token;

const GATEWAY: &str = "cluster.local/ns/istio-system/sa/gateway";

fn view(headers: &HeaderMap) -> View<'_> {
    View {
        method: "GET",
        path: "/pipeline/x",
        authority: "kf.example.com:8443",
        headers: Headers::of(headers),
        token: None,
        sender: None,
        principal: None,
        connection: Some(Connection {
            peer: [10, 0, 0, 7].into(),
            sni: Some("kf.example.com"),
        }),
        remote_ip: [192, 0, 2, 1].into(),
        port: 8080,
    }
}

fn exact(values: &[&str]) -> Values {
    Values::Text(
        values
            .iter()
            .map(|value| TextPattern::Exact((*value).into()))
            .collect(),
    )
}

fn present() -> Values {
    Values::Text(vec![TextPattern::Present].into())
}

fn is(attribute: Attribute, values: Values) -> Test {
    Test {
        attribute,
        any_of: Some(values),
        none_of: None,
    }
}

fn is_not(attribute: Attribute, values: Values) -> Test {
    Test {
        attribute,
        any_of: None,
        none_of: Some(values),
    }
}

fn header(name: &'static str) -> Attribute {
    Attribute::Header(HeaderName::from_static(name))
}

fn both(test: &Test, view: &View<'_>) -> (bool, bool) {
    (
        holds(test, view, Effect::Grants),
        holds(test, view, Effect::Restrains),
    )
}

fn policy(name: &str, action: Action, rules: Vec<PolicyRule>) -> Arc<Policy> {
    let info = PolicyInfo {
        object: ObjectRef::new("AuthorizationPolicy", "ns", name),
        place: Place::new("a.yaml", 1),
    };
    Arc::new(Policy {
        info: Arc::new(info),
        action,
        rules,
        closed: None,
    })
}

fn rule(line: u32, tests: Vec<Test>) -> PolicyRule {
    PolicyRule {
        from: vec![],
        to: vec![],
        when: tests,
        line,
    }
}

fn judged(policies: &PolicySet, view: &View<'_>) -> (bool, Option<(String, u32)>) {
    judged_by(policies, view, &mut Recorder::nobody())
}

fn judged_by(
    policies: &PolicySet,
    view: &View<'_>,
    recorder: &mut Recorder<'_>,
) -> (bool, Option<(String, u32)>) {
    let said = |reason| match reason {
        Reason::Rule { policy, line } => Some((policy.object.name.to_string(), line)),
        Reason::Default(DefaultReason::NoAllowPolicy) => None,
        Reason::Default(other) => panic!("{other:?}"),
    };
    match judge(policies, view, Stage::Gateway, recorder) {
        Verdict::Pass(reason) => (true, said(reason)),
        Verdict::Denied(reason) => (false, said(reason)),
        Verdict::Closed(..) => panic!("judge closes nothing"),
    }
}

#[test]
fn a_missing_attribute_fails_the_field_and_passes_its_negation() {
    let headers = HeaderMap::new();
    let view = view(&headers);
    let principals = || {
        Values::Principals(vec![PrincipalPattern {
            issuer: TextPattern::Present,
            subject: TextPattern::Present,
        }])
    };
    assert_eq!(
        both(&is(Attribute::Principal, present()), &view),
        (false, false)
    );
    assert_eq!(
        both(&is_not(Attribute::Principal, present()), &view),
        (true, true)
    );
    assert_eq!(
        both(&is(Attribute::RequestPrincipal, principals()), &view),
        (false, false)
    );
    assert_eq!(
        both(&is_not(Attribute::RequestPrincipal, principals()), &view),
        (true, true)
    );
    assert_eq!(both(&is(header("x"), present()), &view), (false, false));
    assert_eq!(both(&is_not(header("x"), present()), &view), (true, true));
    assert_eq!(
        both(&is(Attribute::Missing, present()), &view),
        (false, false)
    );
    assert_eq!(
        both(&is_not(Attribute::Missing, present()), &view),
        (true, true)
    );
}

#[test]
fn what_nobody_can_say_never_helps_the_request() {
    let headers = HeaderMap::new();
    let mut view = view(&headers);
    view.connection = None;
    let networks = || Values::Networks(vec!["10.0.0.0/8".parse().unwrap()]);
    for test in [
        is(Attribute::SourceIp, networks()),
        is_not(Attribute::SourceIp, networks()),
        is_not(Attribute::Sni, exact(&["x"])),
        is_not(Attribute::DestinationIp, networks()),
        is(Attribute::Path, Values::Ports(vec![80])),
    ] {
        assert_eq!(both(&test, &view), (false, true), "{test:?}");
    }
}

#[test]
fn stars_in_namespaces_are_read_against_the_request() {
    let headers = HeaderMap::new();
    let mut view = view(&headers);
    view.principal = Some("cluster.local/ns/team-b/sa/web");
    let stars = |parts: &[&str]| {
        let parts = parts.iter().copied().map(Arc::from).collect();
        Values::Text(vec![TextPattern::Wildcard(parts)].into())
    };
    // `t*-*a` is no name of the namespace; of `team-b/sa` it is.
    let doubtful = || stars(&["t", "-", "a"]);
    assert_eq!(
        both(&is(Attribute::Namespace, doubtful()), &view),
        (false, true)
    );
    assert_eq!(
        both(&is_not(Attribute::Namespace, doubtful()), &view),
        (false, true)
    );
    assert_eq!(
        both(&is(Attribute::Namespace, stars(&["team-", ""])), &view),
        (true, true)
    );
    assert_eq!(
        both(&is(Attribute::Namespace, stars(&["", "-a"])), &view),
        (false, false)
    );
}

#[test]
fn repeated_headers_are_read_against_the_request() {
    let mut headers = HeaderMap::new();
    for value in ["a", "b"] {
        headers.append("x", HeaderValue::from_static(value));
    }
    let view = view(&headers);
    // (ALLOW, DENY)
    assert_eq!(both(&is(header("x"), exact(&["a"])), &view), (false, true));
    assert_eq!(
        both(&is(header("x"), exact(&["a", "b"])), &view),
        (true, true)
    );
    assert_eq!(
        both(&is(header("x"), exact(&["a,b"])), &view),
        (false, true)
    );
    assert_eq!(
        both(&is_not(header("x"), exact(&["a"])), &view),
        (false, true)
    );
    assert_eq!(
        both(&is_not(header("x"), exact(&["a,b"])), &view),
        (false, true)
    );
    assert_eq!(
        both(&is_not(header("x"), exact(&["c"])), &view),
        (true, true)
    );
    assert_eq!(both(&is_not(header("x"), present()), &view), (false, false));
}

#[test]
fn hosts_compare_with_their_port_and_without_letter_case() {
    let headers = HeaderMap::new();
    let view = view(&headers);
    let host = |pattern| is(Attribute::Host, Values::Text(vec![pattern].into()));
    for (pattern, matches) in [
        (TextPattern::Exact("KF.example.com:8443".into()), true),
        (TextPattern::Exact("kf.example.com".into()), false),
        (TextPattern::Prefix("kf.example.com:".into()), true),
        (TextPattern::Suffix(".COM:8443".into()), true),
        (TextPattern::Present, true),
    ] {
        assert_eq!(both(&host(pattern), &view), (matches, matches));
    }
}

#[test]
fn the_peer_is_read_in_its_parts() {
    let headers = HeaderMap::new();
    let mut view = view(&headers);
    view.principal = Some(GATEWAY);
    let holds =
        |attribute, value: &str| both(&is(attribute, exact(&[value])), &view) == (true, true);
    assert!(holds(Attribute::Principal, GATEWAY));
    assert!(holds(Attribute::Namespace, "istio-system"));
    assert!(holds(Attribute::ServiceAccount, "istio-system/gateway"));
    assert!(holds(Attribute::TrustDomain, "cluster.local"));
    assert!(!holds(Attribute::Namespace, "istio"));
    view.principal = Some("cluster.local/other/shape");
    assert_eq!(
        both(&is(Attribute::Namespace, present()), &view),
        (false, false)
    );
}

#[test]
fn addresses_and_ports_match() {
    let headers = HeaderMap::new();
    let mut view = view(&headers);
    let within =
        |attribute, network: &str| is(attribute, Values::Networks(vec![network.parse().unwrap()]));
    assert_eq!(
        both(&within(Attribute::SourceIp, "10.0.0.0/24"), &view),
        (true, true)
    );
    assert_eq!(
        both(&within(Attribute::RemoteIp, "10.0.0.0/24"), &view),
        (false, false)
    );
    assert_eq!(
        both(&is(Attribute::Port, Values::Ports(vec![8080])), &view),
        (true, true)
    );
    assert_eq!(
        both(&is(Attribute::Port, Values::Ports(vec![80])), &view),
        (false, false)
    );
    view.remote_ip = "::ffff:10.0.0.9".parse().unwrap();
    assert_eq!(
        both(&within(Attribute::RemoteIp, "10.0.0.0/24"), &view),
        (true, true)
    );
}

#[test]
fn claims_match_as_strings_lists_and_words() {
    let headers = HeaderMap::new();
    let claims = json!({
        "iss": "https://issuer/x", "sub": "me", "aud": ["a", "b"], "azp": "ui", "scope": "read write",
        "groups": ["dev", "ops"], "age": 7, "nested": {"role": "admin"}, "name": "two words", "roles": "cook waiter",
    });
    let token = Token::assert_verified("e.p.s", claims.as_object().unwrap().clone()).unwrap();
    let mut view = view(&headers);
    let token = Arc::new(token);
    let lists: [Arc<str>; 1] = ["roles".into()];
    view.token = Some(Accepted {
        token: &token,
        names_user: true,
        space_delimited: &lists,
    });
    let claim =
        |path: &[&str]| Attribute::Claim(path.iter().map(|name| Arc::from(*name)).collect());
    let holds =
        |attribute, value: &str| both(&is(attribute, exact(&[value])), &view) == (true, true);
    assert!(holds(Attribute::Audiences, "b"));
    assert!(!holds(Attribute::Audiences, "c"));
    assert!(holds(Attribute::Presenter, "ui"));
    assert!(holds(claim(&["scope"]), "write"));
    assert!(!holds(claim(&["scope"]), "read write"));
    assert!(holds(claim(&["name"]), "two words"));
    assert!(holds(claim(&["groups"]), "ops"));
    assert!(holds(claim(&["nested", "role"]), "admin"));
    assert!(holds(claim(&["roles"]), "waiter"));
    assert!(!holds(claim(&["roles"]), "cook waiter"));
    assert!(!holds(claim(&["age"]), "7"));
    assert!(!holds(claim(&["nested"]), "admin"));
    let principal = |issuer, subject| {
        let pattern = PrincipalPattern { issuer, subject };
        both(
            &is(
                Attribute::RequestPrincipal,
                Values::Principals(vec![pattern]),
            ),
            &view,
        )
        .0
    };
    assert!(principal(
        TextPattern::Exact("https://issuer/x".into()),
        TextPattern::Present
    ));
    assert!(principal(
        TextPattern::Suffix("/x".into()),
        TextPattern::Exact("me".into())
    ));
    assert!(!principal(
        TextPattern::Present,
        TextPattern::Exact("".into())
    ));
}

#[test]
fn a_rule_is_any_from_and_any_to_and_all_of_when() {
    let headers = HeaderMap::new();
    let view = view(&headers);
    let yes = || is(Attribute::Method, exact(&["GET"]));
    let no = || is(Attribute::Method, exact(&["POST"]));
    let rule = |from: Vec<Vec<Test>>, to: Vec<Vec<Test>>, when: Vec<Test>| {
        applies(
            &PolicyRule {
                from,
                to,
                when,
                line: 1,
            },
            &view,
            Effect::Grants,
        )
    };
    assert!(rule(vec![], vec![], vec![]));
    assert!(rule(
        vec![vec![no()], vec![yes(), yes()]],
        vec![vec![yes()]],
        vec![yes()]
    ));
    assert!(!rule(
        vec![vec![no()], vec![yes(), no()]],
        vec![vec![yes()]],
        vec![yes()]
    ));
    assert!(!rule(vec![vec![yes()]], vec![vec![no()]], vec![yes()]));
    assert!(!rule(
        vec![vec![yes()]],
        vec![vec![yes()]],
        vec![yes(), no()]
    ));
}

#[test]
fn deny_goes_before_allow_and_no_allow_policy_allows() {
    let headers = HeaderMap::new();
    let view = view(&headers);
    let all = |line| vec![rule(line, vec![])];
    let mut policies = PolicySet::default();
    assert_eq!(judged(&policies, &view), (true, None));
    policies
        .allow
        .push(policy("nothing", Action::Allow, vec![]));
    assert_eq!(
        judged(&policies, &view),
        (false, Some(("nothing".into(), 1)))
    );
    let nobody = vec![rule(9, vec![is(Attribute::Path, exact(&["/no"]))])];
    policies.allow.push(policy("speaks", Action::Allow, nobody));
    assert_eq!(
        judged(&policies, &view),
        (false, Some(("speaks".into(), 1)))
    );
    policies.allow.push(policy("open", Action::Allow, all(7)));
    assert_eq!(judged(&policies, &view), (true, Some(("open".into(), 7))));
    policies.deny.push(policy("never", Action::Deny, vec![]));
    assert_eq!(judged(&policies, &view), (true, Some(("open".into(), 7))));
    policies.deny.push(policy("shut", Action::Deny, all(3)));
    assert_eq!(judged(&policies, &view), (false, Some(("shut".into(), 3))));
}

#[test]
fn host_is_a_header_also_where_http_2_carries_it_elsewhere() {
    let headers = HeaderMap::new();
    let view = view(&headers);
    let test = is(header("host"), exact(&["kf.example.com:8443"]));
    assert_eq!(both(&test, &view), (true, true));
}
