//! What policies name: whom and what it is worth asking about.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::snapshot::{
    Attribute, Policy, PolicySet, PrincipalPattern, Test, TextPattern, UserHeader, Values,
};
use policy::request::is_secret;

use super::sample;

/// Fills in where a policy takes anybody of a kind.
const SOMEBODY: &str = "somebody";

/// What policies name.
#[derive(Clone, Debug, Default)]
pub(super) struct Named {
    pub(super) hosts: BTreeSet<String>,
    pub(super) paths: BTreeSet<String>,
    pub(super) methods: BTreeSet<String>,
    /// Name and value.
    pub(super) headers: BTreeSet<(String, String)>,
    /// E-mails, without the prefix of the user header.
    pub(super) users: BTreeSet<String>,
    pub(super) groups: BTreeSet<String>,
    /// SPIFFE ids of client certificates.
    pub(super) principals: BTreeSet<String>,
    pub(super) addresses: BTreeSet<IpAddr>,
    /// Issuer and subject of tokens that clients send themselves.
    pub(super) tokens: BTreeSet<(String, String)>,
}

impl Named {
    /// Adds all of `other`.
    pub(super) fn merge(&mut self, other: &Self) {
        let Self {
            hosts,
            paths,
            methods,
            headers,
            users,
            groups,
            principals,
            addresses,
            tokens,
        } = other.clone();
        self.hosts.extend(hosts);
        self.paths.extend(paths);
        self.methods.extend(methods);
        self.headers.extend(headers);
        self.users.extend(users);
        self.groups.extend(groups);
        self.principals.extend(principals);
        self.addresses.extend(addresses);
        self.tokens.extend(tokens);
    }

    /// Adds what the policies of a workload name.
    pub(super) fn add(&mut self, policies: &PolicySet, names: &UserHeader) {
        let PolicySet {
            custom,
            audit: _,
            deny,
            allow,
        } = policies;
        for policy in [custom, deny, allow].into_iter().flatten() {
            self.policy(policy, names);
        }
    }

    fn policy(&mut self, policy: &Policy, names: &UserHeader) {
        for rule in &policy.rules {
            let alternatives = rule.from.iter().chain(&rule.to).flatten();
            for test in alternatives.chain(&rule.when) {
                self.test(test, names);
            }
        }
    }

    fn test(&mut self, test: &Test, names: &UserHeader) {
        let Test {
            attribute,
            any_of,
            none_of,
        } = test;
        for values in [any_of, none_of].into_iter().flatten() {
            match values {
                Values::Text(patterns) => {
                    for pattern in patterns {
                        self.text(attribute, pattern, names);
                    }
                }
                Values::Networks(blocks) => {
                    self.addresses.extend(blocks.iter().map(sample::address))
                }
                Values::Principals(patterns) => patterns.iter().for_each(|one| self.token(one)),
                // The port is the one of the listener, whatever a policy names.
                Values::Ports(_) => {}
            }
        }
    }

    fn text(&mut self, attribute: &Attribute, pattern: &TextPattern, names: &UserHeader) {
        let value = || sample::value(pattern, SOMEBODY);
        match attribute {
            Attribute::Host => self.hosts.extend(match pattern {
                TextPattern::Exact(host) => Some(host.to_string()),
                TextPattern::Suffix(suffix) => Some(format!("any{suffix}")),
                _ => None,
            }),
            Attribute::Path => self.paths.extend(sample::paths(pattern)),
            Attribute::Method => self.methods.extend(match pattern {
                TextPattern::Exact(method) => Some(method.to_string()),
                _ => None,
            }),
            Attribute::Principal if *pattern != TextPattern::Present => {
                self.principals.extend(value());
            }
            Attribute::Header(name) if *name == names.user => {
                self.users.extend(value().map(|user| {
                    let bare = user.strip_prefix(&*names.prefix);
                    bare.map_or(user.clone(), str::to_owned)
                }));
            }
            Attribute::Header(name) if *name == names.groups => {
                let groups = value();
                let groups = groups.iter().flat_map(|groups| groups.split(','));
                self.groups.extend(groups.map(str::to_owned));
            }
            // What stands there is a secret, or is made from who the session is.
            Attribute::Header(name) if is_secret(name) => {}
            Attribute::Header(name) => {
                let header = value().map(|value| (name.to_string(), value));
                self.headers.extend(header);
            }
            Attribute::Claim(path) => match &**path {
                [claim] if **claim == *"email" => self.users.extend(value()),
                [claim] if **claim == *"groups" => self.groups.extend(value()),
                _ => {}
            },
            _ => {}
        }
    }

    fn token(&mut self, pattern: &PrincipalPattern) {
        let PrincipalPattern { issuer, subject } = pattern;
        if let (TextPattern::Exact(issuer), Some(subject)) =
            (issuer, sample::value(subject, SOMEBODY))
            && !subject.is_empty()
        {
            self.tokens.insert((issuer.to_string(), subject));
        }
    }
}
