//! What more policies and other spellings come to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use doorward_policy::{Bearer, Decision, Outcome, Request, RequestHead, Session, Token};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use model::Snapshot;
use model::objects::{File, ObjectSet};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use testkit::generate::{IDS, ISSUERS, policy, policy_of};

use super::{head, path};

/// Sets of policies, each with [`REQUESTS`] requests.
const SETS: u32 = 150;
const REQUESTS: usize = 24;

/// A gateway with one application, in these ways of reading a path.
fn world(normalization: &str) -> String {
    let rule = |issuer| json!({ "issuer": issuer, "spaceDelimitedClaims": ["roles"] }).to_string();
    format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{name: istio, namespace: istio-system}}
data: {{mesh: \"pathNormalization: {{normalization: {normalization}}}\"}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: front, namespace: istio-system}}
spec: {{selector: {{istio: ingressgateway}}, servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: ['*']}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: app, namespace: team}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: app, namespace: team}}
spec: {{hosts: ['*'], gateways: [istio-system/front], http: [{{route: [{{destination: {{host: app}}}}]}}]}}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: tokens, namespace: istio-system}}
spec: {{selector: {{matchLabels: {{istio: ingressgateway}}}}, jwtRules: [{}]}}
---
",
        ISSUERS.map(rule).join(", ")
    )
}

fn snapshot<'a>(normalization: &str, policies: impl IntoIterator<Item = &'a Value>) -> Snapshot {
    let mut text = world(normalization);
    for (number, spec) in policies.into_iter().enumerate() {
        let name = format!("p{number}");
        let metadata = json!({ "name": name, "namespace": "istio-system" });
        let object = json!({
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": metadata,
            "spec": spec,
        });
        text.push_str(&format!("{object}\n---\n"));
    }
    let files = vec![File {
        name: "all.yaml".into(),
        text,
    }];
    model::compile(&ObjectSet { files }).snapshot
}

/// A request as its parts.
#[derive(Clone, Debug)]
struct Asked {
    method: Method,
    host: &'static str,
    target: String,
    headers: Vec<(&'static str, &'static str)>,
    principal: Option<&'static str>,
    from: u8,
    claims: Option<Map<String, Value>>,
}

impl Asked {
    fn decide(&self, snapshot: &Snapshot) -> Option<Decision> {
        self.decide_target(&self.target, snapshot)
    }

    /// As if the target were this one; `None` when nobody can read it.
    fn decide_target(&self, target: &str, snapshot: &Snapshot) -> Option<Decision> {
        const COMPACT: &str = "e30.e30.c2lnbmF0dXJl";
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let mut session = Session::anonymous();
        if let Some(claims) = &self.claims {
            let token = Token::assert_verified(COMPACT, claims.clone()).unwrap();
            headers.insert(http::header::AUTHORIZATION, token.bearer().clone());
            session.bearer = Bearer::Valid(Arc::new(token));
        }
        let head = RequestHead {
            authority: self.host,
            principal: self.principal,
            peer: [127, 0, 0, self.from].into(),
            client: [192, 0, 2, self.from].into(),
            sni: Some("api.test"),
            ..head(target, &headers, &self.method)
        };
        let request = Request::read(head, snapshot.normalization()).ok()?;
        Some(doorward_policy::decide(&request, snapshot, &session))
    }

    fn is_let_in(&self, snapshot: &Snapshot) -> bool {
        self.decide(snapshot)
            .is_some_and(|decision| matches!(decision.outcome, Outcome::Forward(_)))
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    let known = select(
        &[
            "/",
            "/a",
            "/a/b",
            "/a/b/c",
            "/b",
            "/a.json",
            "/a/x/c.json",
            "/a/./b",
            "/%61//b",
            "/a%2fb",
        ][..],
    );
    let target = prop_oneof![3 => known.prop_map(str::to_owned), 1 => path()];
    let header = (
        select(&["x-a", "x-b", "user-agent"][..]),
        select(&["abc", "abcd", "xabc", "abc,def", "a*c", "", "b", "xa*"][..]),
    );
    let claims = (
        select(&ISSUERS[..]),
        prop::option::of(select(&["me", "you", ""][..])),
        prop::option::of(select(&["admins", "devs"][..])),
    );
    let claims = claims.prop_map(|(issuer, subject, group)| {
        let mut claims = Map::new();
        claims.insert("iss".into(), json!(issuer));
        claims.extend(subject.map(|subject| ("sub".into(), json!(subject))));
        claims.extend(group.map(|group| ("groups".into(), json!([group, "users"]))));
        claims
    });
    (
        select(&[Method::GET, Method::POST, Method::DELETE][..]),
        select(&["api.test", "API.test:8443", "www.api.test", "other.org"][..]),
        target,
        prop::collection::vec(header, 0..4),
        prop::option::of(select(&IDS[..])),
        1..9_u8,
        prop::option::of(claims),
    )
        .prop_map(
            |(method, host, target, headers, principal, from, claims)| Asked {
                method,
                host,
                target,
                headers,
                principal,
                from,
                claims,
            },
        )
}

fn many() -> impl Strategy<Value = Vec<Asked>> {
    prop::collection::vec(asked(), REQUESTS)
}

/// Tells what a property met, in every run.
fn say(line: &str) {
    let line = format!("{line}\n");
    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes()).unwrap();
}

/// Runs `check` on [`SETS`] cases, shrinks one that fails, and tells how many requests it counted.
fn hold<S: Strategy>(
    name: &str,
    strategy: S,
    check: impl Fn(S::Value, &AtomicUsize) -> Result<(), TestCaseError>,
) {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(SETS));
    let met = AtomicUsize::new(0);
    if let Err(fault) = runner.run(&strategy, |case| check(case, &met)) {
        panic!("{name}: {fault}");
    }
    let met = met.into_inner();
    say(&format!(
        "{name}: {SETS} sets, {} requests, {met} of them changed by what was added",
        SETS as usize * REQUESTS
    ));
    assert!(met > 50, "{name} was hardly put to the test: {met}");
}

#[test]
fn one_more_deny_lets_nobody_in() {
    let policies = prop::collection::vec(policy(), 0..4);
    let strategy = (policies, policy_of(Just("DENY")), many());
    hold(
        "one more DENY",
        strategy,
        |(policies, more, requests), met| {
            let before = snapshot("MERGE_SLASHES", &policies);
            let after = snapshot("MERGE_SLASHES", policies.iter().chain([&more]));
            for asked in &requests {
                let (was, is) = (asked.is_let_in(&before), asked.is_let_in(&after));
                prop_assert!(was || !is, "{asked:?}");
                met.fetch_add(usize::from(was != is), Ordering::Relaxed);
            }
            Ok(())
        },
    );
}

#[test]
fn one_more_allow_beside_others_refuses_nobody() {
    let policies = prop::collection::vec(policy(), 0..3);
    let allow = || policy_of(Just("ALLOW"));
    // In a policy of its own, or as rules of one that is there.
    let strategy = (policies, allow(), allow(), any::<bool>(), many());
    hold(
        "one more ALLOW",
        strategy,
        |(policies, first, more, is_joined, requests), met| {
            let before = snapshot("MERGE_SLASHES", policies.iter().chain([&first]));
            let mut joined = first.clone();
            let rules = joined["rules"].as_array_mut().unwrap();
            rules.extend(more["rules"].as_array().unwrap().clone());
            let added: &[&Value] = if is_joined {
                &[&joined]
            } else {
                &[&first, &more]
            };
            let after = snapshot(
                "MERGE_SLASHES",
                policies.iter().chain(added.iter().copied()),
            );
            for asked in &requests {
                let (was, is) = (asked.is_let_in(&before), asked.is_let_in(&after));
                prop_assert!(!was || is, "{asked:?}");
                met.fetch_add(usize::from(was != is), Ordering::Relaxed);
            }
            Ok(())
        },
    );
}

#[test]
fn no_spelling_is_decided_otherwise_than_what_the_upstream_sees() {
    let modes = select(
        &[
            "NONE",
            "DEFAULT",
            "MERGE_SLASHES",
            "DECODE_AND_MERGE_SLASHES",
        ][..],
    );
    let spelled = (asked(), path()).prop_map(|(asked, target)| Asked { target, ..asked });
    let requests = prop::collection::vec(spelled, REQUESTS);
    let strategy = (modes, prop::collection::vec(policy(), 1..4), requests);
    hold(
        "other spellings",
        strategy,
        |(mode, policies, requests), met| {
            let snapshot = snapshot(mode, &policies);
            for asked in &requests {
                let Some(decision) = asked.decide(&snapshot) else {
                    continue;
                };
                let Outcome::Forward(permit) = &decision.outcome else {
                    continue;
                };
                // Whoever reads what is passed on as we do sees what was decided about.
                let passed_on = permit.target(&asked.target);
                let again = asked.decide_target(passed_on, &snapshot);
                let again = again.as_ref().map(|decision| &decision.outcome);
                let Some(Outcome::Forward(again)) = again else {
                    return Err(TestCaseError::fail(format!(
                        "{mode} {asked:?}: {passed_on} is {again:?}"
                    )));
                };
                prop_assert_eq!(again.path_and_query(), None, "{} {:?}", mode, asked);
                met.fetch_add(usize::from(passed_on != asked.target), Ordering::Relaxed);
            }
            Ok(())
        },
    );
}
