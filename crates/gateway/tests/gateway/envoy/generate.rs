//! Policies and requests that are made of the same words, so that they meet.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use testkit::generate::{IDS, ISSUERS, policy};

use super::wire::{Handshake, Sent};

/// A workload: specs of its policies, and requests to it.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) policies: Vec<Value>,
    pub(super) requests: Vec<Asked>,
}

/// A request before its token is signed.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) sent: Sent,
    pub(super) claims: Option<Value>,
}

/// What a case is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// What both answer alike.
    Alike,
    /// What doorward is stricter about too: repeated headers, and namespaces with two stars.
    Doubts,
}

/// A workload with this many requests.
pub(super) fn case(requests: usize, about: About) -> impl Strategy<Value = Case> {
    let policies = prop::collection::vec(policy(), 1..4);
    let requests = prop::collection::vec(asked(about), requests);
    (policies, requests).prop_map(move |(mut policies, requests)| {
        if about == About::Doubts {
            for policy in &mut policies {
                let text = policy.to_string().replace("\"t*-a\"", "\"t*-*a\"");
                *policy = text.parse().unwrap();
            }
        }
        Case { policies, requests }
    })
}

fn asked(about: About) -> impl Strategy<Value = Asked> {
    let path = select(
        &[
            "/",
            "/a",
            "/a/",
            "/a/b",
            "/a/b/",
            "/a/b/c",
            "/A",
            "/b",
            "/a.json",
            "/a/x/c.json",
            "/a/c",
            "/ab",
            "/a/b?x=/c",
            "/a//b",
            "/a/./b",
            "/a/../a/b",
            "/x/%2e%2e/a",
            "/%61/b",
            "/a%2fb",
            "/a\\b",
            "/a/b;x=y",
            "/a/%2E/b",
            "/a/x/y/c",
            "//a",
        ][..],
    );
    let host = select(
        &[
            "api.test",
            "API.TEST",
            "api.test:8443",
            "www.api.test",
            "other.org",
            "api.other.org:80",
            "x.test:8443",
        ][..],
    );
    let texts = select(
        &[
            "abc", "abcd", "xabc", "abc,def", "a*c", "ABC", "", "b", "xa*", "abc, def", "a.c",
        ][..],
    );
    let headers = prop::collection::vec((select(&["x-a", "X-B", "user-agent"][..]), texts), 0..4);
    let forwarded = prop::option::of(prop::collection::vec(
        select(
            &[
                "192.0.2.1",
                "192.0.2.9",
                "198.51.100.7",
                "2001:db8::1",
                "127.0.0.9",
            ][..],
        ),
        1..3,
    ));
    let name = prop::option::weighted(0.7, select(&["api.test", "www.api.test", "other.org"][..]));
    let certificate = prop::option::weighted(0.8, 0..IDS.len());
    let handshake =
        (name, certificate).prop_map(|(name, certificate)| Handshake { name, certificate });
    let wire = (
        select(&["GET", "POST", "DELETE", "PUT"][..]),
        path,
        host,
        headers,
        forwarded,
        1..9_u8,
        prop::option::weighted(0.5, handshake),
    );
    (wire, prop::option::weighted(0.5, claims())).prop_map(move |(wire, claims)| {
        let (method, path, host, given, forwarded, from, tls) = wire;
        let mut headers = vec![("host".to_owned(), host.to_owned())];
        for (name, value) in given {
            if about == About::Doubts || headers.iter().all(|(other, _)| other != name) {
                headers.push((name.to_owned(), value.to_owned()));
            }
        }
        headers.extend(forwarded.map(|list| ("x-forwarded-for".to_owned(), list.join(", "))));
        let sent = Sent {
            method,
            target: path.to_owned(),
            headers,
            from,
            tls,
        };
        Asked { sent, claims }
    })
}

/// Claims of a token.
fn claims() -> impl Strategy<Value = Value> {
    let one = |list: &'static [&'static str]| select(list);
    let group = one(&["admins", "devs", "users", "a,b"]);
    let groups = prop_oneof![
        prop::collection::vec(group.clone(), 0..3).prop_map(|groups| json!(groups)),
        group.prop_map(|group| json!(group)),
        Just(json!(7)),
    ];
    let words = one(&["read write", "read", "write ", "", "admins devs"]);
    let optional = (
        prop::option::weighted(0.8, one(&["me", "you", ""])),
        prop::option::of(groups.clone()),
        prop::option::of(words.clone()),
        prop::option::of(words),
        prop::option::of(groups.clone()),
        prop::option::of(one(&["me", "dev-ui"])),
        prop::option::of(prop_oneof![
            Just(json!("admins")),
            Just(json!(["devs"])),
            Just(json!({"x": 1}))
        ]),
    );
    (select(&ISSUERS[..]), optional).prop_map(|(issuer, optional)| {
        let (subject, groups, scope, roles, audiences, presenter, role) = optional;
        let mut claims = json!({ "iss": issuer, "exp": 4_102_444_800_i64, "age": 7 });
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                claims[name] = value;
            }
        };
        set("sub", subject.map(|text| json!(text)));
        set("groups", groups);
        set("scope", scope.map(|text| json!(text)));
        set("roles", roles.map(|text| json!(text)));
        set("aud", audiences);
        set("azp", presenter.map(|text| json!(text)));
        set("realm", role.map(|role| json!({ "role": role })));
        claims
    })
}
