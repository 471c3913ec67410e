//! Why a policy does not match: every clause that does not hold, in words of its manifest.

use model::snapshot::{Attribute, HeaderName, Policy, PolicyRule, Test, TextPattern, Values};

use super::view::{Accepted, HeaderText};
use super::{Effect, View, holds};
use crate::decision::{Found, Unmet};
use crate::request::is_secret;

/// Part of a rule: it says how an attribute is called.
#[derive(Clone, Copy)]
enum Part {
    From,
    To,
    When,
}

/// The clauses of `policy`, none of whose rules matches, that do not hold.
pub(super) fn of(policy: &Policy, view: &View<'_>, effect: Effect) -> Vec<Unmet> {
    let rules = policy.rules.iter().enumerate();
    rules
        .flat_map(|(number, rule)| {
            let teller = Teller {
                number,
                rule,
                view,
                effect,
            };
            teller.tell()
        })
        .collect()
}

struct Teller<'a> {
    number: usize,
    rule: &'a PolicyRule,
    view: &'a View<'a>,
    effect: Effect,
}

impl Teller<'_> {
    fn tell(&self) -> Vec<Unmet> {
        let PolicyRule { from, to, when, .. } = self.rule;
        let number = self.number;
        let mut unmet = self.alternatives(from, Part::From);
        unmet.extend(self.alternatives(to, Part::To));
        for (index, test) in when.iter().enumerate() {
            let at = format!("rules[{number}].when[{index}] ");
            unmet.extend(self.test(test, Part::When, &at));
        }
        unmet
    }

    /// Nothing when one of the alternatives holds; else what is amiss in each.
    fn alternatives(&self, all: &[Vec<Test>], part: Part) -> Vec<Unmet> {
        let number = self.number;
        let (list, inner) = match part {
            Part::From => ("from", "source"),
            Part::To => ("to", "operation"),
            Part::When => return Vec::new(),
        };
        let mut unmet = Vec::new();
        for (index, tests) in all.iter().enumerate() {
            let at = format!("rules[{number}].{list}[{index}].{inner}.");
            let before = unmet.len();
            unmet.extend(tests.iter().flat_map(|test| self.test(test, part, &at)));
            if unmet.len() == before {
                return Vec::new();
            }
        }
        unmet
    }

    /// What is amiss of a field and of its `not…` twin.
    fn test(&self, test: &Test, part: Part, at: &str) -> Vec<Unmet> {
        let Test {
            attribute,
            any_of,
            none_of,
        } = test;
        let halves = [(any_of, false), (none_of, true)];
        let failing = halves.into_iter().filter_map(|(values, excludes)| {
            let values = values.as_ref()?;
            let half = Test {
                attribute: attribute.clone(),
                any_of: (!excludes).then(|| values.clone()),
                none_of: excludes.then(|| values.clone()),
            };
            (!holds(&half, self.view, self.effect)).then_some((values, excludes))
        });
        failing
            .map(|(values, excludes)| Unmet {
                line: self.rule.line,
                clause: format!("{at}{}", name(attribute, part, excludes)).into(),
                excludes,
                names: names(attribute, values),
                found: self.found(attribute),
            })
            .collect()
    }

    /// What the request has.
    fn found(&self, attribute: &Attribute) -> Found {
        let view = self.view;
        if view.is_bytes() && attribute.is_of_requests() {
            return Found::Unknown;
        }
        let maybe = |text: Option<&str>| match text {
            Some(text) => Found::Values(vec![text.into()]),
            None => Found::Missing,
        };
        let claims = |path: &[&str]| match view.claim(path) {
            Some(texts) => Found::Values(texts.iter().map(|text| (**text).into()).collect()),
            None => Found::Missing,
        };
        match attribute {
            Attribute::Principal => maybe(view.principal),
            Attribute::TrustDomain => maybe(view.trust_domain()),
            Attribute::Namespace => maybe(view.workload().map(|(namespace, _)| namespace)),
            Attribute::ServiceAccount => {
                let account = view.workload().map(|(ns, name)| format!("{ns}/{name}"));
                maybe(account.as_deref())
            }
            Attribute::RequestPrincipal => {
                let principal = view.token.map(|Accepted { token, .. }| {
                    format!("{}/{}", token.issuer(), token.subject())
                });
                maybe(principal.as_deref())
            }
            Attribute::SourceIp => match view.connection {
                Some(connection) => maybe(Some(&connection.peer.to_canonical().to_string())),
                None => Found::Unknown,
            },
            Attribute::RemoteIp => maybe(Some(&view.remote_ip.to_canonical().to_string())),
            Attribute::Port => maybe(Some(&view.port.to_string())),
            Attribute::Host => maybe(Some(view.authority)),
            Attribute::Method => maybe(Some(view.method)),
            Attribute::Path => maybe(Some(view.path)),
            Attribute::Header(name) => header(name, view),
            Attribute::Audiences => claims(&["aud"]),
            Attribute::Presenter => claims(&["azp"]),
            Attribute::Claim(path) => {
                let path: Vec<_> = path.iter().map(|name| &**name).collect();
                claims(&path)
            }
            Attribute::Group => match view.sender {
                Some(sender) => {
                    let mut groups: Vec<Box<str>> = Vec::new();
                    sender.any_group(|group| {
                        groups.push(group.into());
                        false
                    });
                    Found::Values(groups)
                }
                None => Found::Missing,
            },
            Attribute::Sni => match view.connection {
                Some(connection) => maybe(connection.sni),
                None => Found::Unknown,
            },
            Attribute::DestinationIp | Attribute::Missing => Found::Unknown,
        }
    }
}

fn header(name: &HeaderName, view: &View<'_>) -> Found {
    let readable = |text: &[u8]| Box::from(String::from_utf8_lossy(text));
    match view.header(name) {
        HeaderText::Missing => Found::Missing,
        _ if is_secret(name) => Found::Secret,
        HeaderText::One(text) => Found::Values(vec![readable(text)]),
        HeaderText::Many(texts, _) => Found::Values(texts.into_iter().map(readable).collect()),
    }
}

/// The values that a clause names. Those of a header that carries a secret may be one themselves.
fn names(attribute: &Attribute, values: &Values) -> Vec<Box<str>> {
    let boxed = |text: String| text.into_boxed_str();
    match values {
        Values::Text(patterns) => {
            let hides = matches!(attribute, Attribute::Header(name) if is_secret(name));
            patterns
                .iter()
                .filter(|pattern| !hides || **pattern == TextPattern::Present)
                .map(|pattern| boxed(pattern.to_string()))
                .collect()
        }
        Values::Networks(networks) => networks.iter().map(|net| boxed(net.to_string())).collect(),
        Values::Ports(ports) => ports.iter().map(|port| boxed(port.to_string())).collect(),
        Values::Principals(patterns) => patterns.iter().map(|one| boxed(one.to_string())).collect(),
    }
}

/// How a manifest calls an attribute: a field of `source` or `operation`, or a key of `when`.
fn name(attribute: &Attribute, part: Part, excludes: bool) -> String {
    let field = |name: &str| match excludes {
        false => name.to_owned(),
        true => {
            let (first, rest) = name.split_at(1);
            format!("not{}{rest}", first.to_ascii_uppercase())
        }
    };
    let either = |name: &str, key: &str| match part {
        Part::When => key.to_owned(),
        Part::From | Part::To => field(name),
    };
    match attribute {
        Attribute::Principal => either("principals", "source.principal"),
        Attribute::Namespace => either("namespaces", "source.namespace"),
        Attribute::ServiceAccount => either("serviceAccounts", "source.serviceAccount"),
        Attribute::TrustDomain => either("trustDomains", "source.trustDomain"),
        Attribute::RequestPrincipal => either("requestPrincipals", "request.auth.principal"),
        Attribute::SourceIp => either("ipBlocks", "source.ip"),
        Attribute::RemoteIp => either("remoteIpBlocks", "remote.ip"),
        Attribute::Host => either("hosts", "request.host"),
        Attribute::Port => either("ports", "destination.port"),
        Attribute::Method => either("methods", "request.method"),
        Attribute::Path => either("paths", "request.path"),
        Attribute::Header(name) => format!("request.headers[{name}]"),
        Attribute::Audiences => "request.auth.audiences".into(),
        Attribute::Presenter => "request.auth.presenter".into(),
        Attribute::Claim(path) => format!("request.auth.claims[{}]", path.join("][")),
        // KFAM writes a group where the header of the user stands.
        Attribute::Group => "the sender's groups".into(),
        Attribute::DestinationIp => "destination.ip".into(),
        Attribute::Sni => "connection.sni".into(),
        Attribute::Missing => "experimental.envoy.filters".into(),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use model::objects::{File, ObjectSet};

    use super::*;
    use crate::decision::{Record, Step};
    use crate::{Request, RequestHead, Session, decide_recording};

    struct Policies(Vec<(String, Option<u32>, Vec<Unmet>)>);

    impl Record for Policies {
        fn step(&mut self, step: Step) {
            if let Step::Policy {
                policy,
                matched,
                unmet,
                ..
            } = step
            {
                self.0
                    .push((policy.object.name.to_string(), matched, unmet));
            }
        }
    }

    /// What is told of the policy whose `rules` these are.
    fn told(action: &str, rules: &str, headers: &HeaderMap) -> (Option<u32>, Vec<Unmet>) {
        let text = format!(
            "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: one, namespace: istio-system}}
spec:
  action: {action}
  rules:
{rules}"
        );
        let file = File {
            name: "m.yaml".into(),
            text,
        };
        let snapshot = model::compile(&ObjectSet { files: vec![file] }).snapshot;
        let head = RequestHead::sample("a.example.com:8443", "/x/y", headers);
        let request = Request::read(head, snapshot.normalization()).unwrap();
        let mut policies = Policies(Vec::new());
        decide_recording(&request, &snapshot, &Session::anonymous(), &mut policies);
        let [(_, matched, unmet)] = <[_; 1]>::try_from(policies.0).unwrap();
        (matched, unmet)
    }

    fn clauses(unmet: &[Unmet]) -> Vec<(&str, Vec<&str>, &Found)> {
        unmet
            .iter()
            .map(|one| {
                let names = one.names.iter().map(|name| &**name).collect();
                (&*one.clause, names, &one.found)
            })
            .collect()
    }

    fn values(values: &[&str]) -> Found {
        Found::Values(values.iter().map(|one| Box::from(*one)).collect())
    }

    #[test]
    fn each_clause_that_does_not_hold_is_told_by_its_name_in_the_manifest() {
        let rules = "
  - from:
    - source: {principals: [cluster.local/ns/a/sa/b], notRemoteIpBlocks: [127.0.0.0/8]}
    - source: {requestPrincipals: ['*']}
    to:
    - operation: {methods: [POST], paths: ['/x/*']}
    - operation: {hosts: [b.example.com]}
    when:
    - {key: 'request.headers[X-Team]', values: [alice, carol]}
    - {key: 'request.auth.claims[realm][roles]', values: [admin]}
  - when:
    - {key: source.ip, notValues: [127.0.0.1]}
    - {key: 'request.headers[x-team]', notValues: ['*']}
";
        let mut headers = HeaderMap::new();
        headers.append("x-team", HeaderValue::from_static("bob"));
        headers.append("x-team", HeaderValue::from_static("eve"));
        let (matched, unmet) = told("ALLOW", rules, &headers);
        assert_eq!(matched, None);
        let team = values(&["bob", "eve"]);
        let here = values(&["127.0.0.1"]);
        assert_eq!(
            clauses(&unmet),
            [
                (
                    "rules[0].from[0].source.principals",
                    vec!["cluster.local/ns/a/sa/b"],
                    &Found::Missing
                ),
                (
                    "rules[0].from[0].source.notRemoteIpBlocks",
                    vec!["127.0.0.0/8"],
                    &here
                ),
                (
                    "rules[0].from[1].source.requestPrincipals",
                    vec!["*"],
                    &Found::Missing
                ),
                (
                    "rules[0].to[0].operation.methods",
                    vec!["POST"],
                    &values(&["GET"])
                ),
                (
                    "rules[0].to[1].operation.hosts",
                    vec!["b.example.com"],
                    &values(&["a.example.com:8443"])
                ),
                (
                    "rules[0].when[0] request.headers[x-team]",
                    vec!["alice", "carol"],
                    &team
                ),
                (
                    "rules[0].when[1] request.auth.claims[realm][roles]",
                    vec!["admin"],
                    &Found::Missing
                ),
                ("rules[1].when[0] source.ip", vec!["127.0.0.1/32"], &here),
                ("rules[1].when[1] request.headers[x-team]", vec!["*"], &team),
            ]
        );
        let lines: Vec<_> = unmet.iter().map(|one| one.line).collect();
        assert_eq!(lines, [8, 8, 8, 8, 8, 8, 8, 17, 17]);
        assert_eq!(unmet.iter().filter(|one| one.excludes).count(), 3);
    }

    #[test]
    fn nothing_is_told_of_a_list_of_which_one_alternative_holds() {
        let rules = "
  - to:
    - operation: {paths: [/elsewhere]}
    - operation: {paths: ['/x/*']}
    when:
    - {key: connection.sni, values: [a.example.com]}
";
        let (_, unmet) = told("DENY", rules, &HeaderMap::new());
        assert_eq!(
            clauses(&unmet),
            [(
                "rules[0].when[0] connection.sni",
                vec!["a.example.com"],
                &Found::Missing
            )]
        );
    }

    #[test]
    fn a_rule_that_matches_leaves_nothing_to_tell() {
        let rules = "
  - to: [{operation: {paths: [/elsewhere]}}]
  - to: [{operation: {paths: ['/x/*']}}]
";
        let (matched, unmet) = told("DENY", rules, &HeaderMap::new());
        assert_eq!((matched, unmet), (Some(9), Vec::new()));
    }

    #[test]
    fn neither_a_secret_nor_what_a_policy_compares_it_with_is_told() {
        let rules = "
  - when:
    - {key: 'request.headers[authorization]', values: [Bearer hunter2]}
    - {key: 'request.headers[Cookie]', notValues: ['*']}
";
        let mut headers = HeaderMap::new();
        headers.append(
            "authorization",
            HeaderValue::from_static("Bearer swordfish"),
        );
        headers.append("cookie", HeaderValue::from_static("a=opensesame"));
        let (_, unmet) = told("ALLOW", rules, &headers);
        assert_eq!(
            clauses(&unmet),
            [
                (
                    "rules[0].when[0] request.headers[authorization]",
                    vec![],
                    &Found::Secret
                ),
                (
                    "rules[0].when[1] request.headers[cookie]",
                    vec!["*"],
                    &Found::Secret
                ),
            ]
        );
        let all = format!("{unmet:?}");
        for secret in ["hunter2", "swordfish", "opensesame"] {
            assert!(!all.contains(secret), "{all}");
        }
    }
}
