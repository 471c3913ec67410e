//! Istio semantics: custom, deny, allow, in that order.

mod text;
mod unmet;
mod view;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use model::snapshot::{
    Attribute, Closure, Policy, PolicyList, PolicyRule, PolicySet, PrincipalPattern, Test,
    TextList, TextPattern, Values,
};

use crate::decision::{DefaultReason, Reason, Stage, Step};
use crate::recorder::Recorder;
use crate::session::Token;
use text::Reading;
use view::HeaderText;
pub(crate) use view::{Accepted, Connection, Headers, View};

/// What AUDIT, DENY and ALLOW of one workload say.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Go on.
    Pass(Reason),
    /// Refused.
    Denied(Reason),
    /// A policy cannot be read.
    Closed(Reason, Arc<Closure>),
}

/// What a match of a rule does, which says how a doubt is settled: always against the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// ALLOW: a match lets through.
    Grants,
    /// DENY, AUDIT, CUSTOM: a match stops, or asks.
    Restrains,
}

/// A policy that cannot be read closes the workload before anything else is asked.
pub(crate) fn closed(policies: &PolicySet) -> Option<Verdict> {
    let PolicySet {
        custom,
        audit,
        deny,
        allow,
    } = policies;
    let mut lists = [deny, custom, allow, audit].into_iter();
    let policy = lists.find_map(PolicyList::closed)?;
    let closure = policy.closed.as_ref()?;
    Some(Verdict::Closed(
        by(policy, policy.info.place.line),
        closure.clone(),
    ))
}

/// Judges by AUDIT, DENY, ALLOW.
pub(crate) fn judge(
    policies: &PolicySet,
    view: &View<'_>,
    stage: Stage,
    recorder: &mut Recorder<'_>,
) -> Verdict {
    if recorder.is_on() {
        // AUDIT changes nothing, so only a listener makes it worth asking.
        for policy in &policies.audit {
            consult(policy, view, stage, recorder);
        }
    }
    if let Some((policy, line)) = first(&policies.deny, view, stage, recorder) {
        return Verdict::Denied(by(policy, line));
    }
    if let Some((policy, line)) = first(&policies.allow, view, stage, recorder) {
        return Verdict::Pass(by(policy, line));
    }
    // Of the policies that let nobody in, the one that names somebody tells most.
    let speaking = policies
        .allow
        .iter()
        .find(|policy| !policy.rules.is_empty());
    match speaking.or_else(|| policies.allow.first()) {
        Some(policy) => Verdict::Denied(by(policy, policy.info.place.line)),
        None => Verdict::Pass(Reason::Default(DefaultReason::NoAllowPolicy)),
    }
}

/// The first policy with a rule that matches, and the line of that. A listener hears of each policy
/// before it; without one, those that ask for another value of a header are left out.
fn first<'p>(
    policies: &'p PolicyList,
    view: &View<'_>,
    stage: Stage,
    recorder: &mut Recorder<'_>,
) -> Option<(&'p Arc<Policy>, u32)> {
    let text = match policies.header().filter(|_| !recorder.is_on()) {
        Some(name) if !view.is_bytes() => Some(view.header(name)),
        _ => None,
    };
    let value = match text {
        Some(HeaderText::Missing) => None,
        // Text that is none is no value that a manifest can ask for.
        Some(HeaderText::One(value)) => std::str::from_utf8(value).ok(),
        // Several values can be read in more than one way.
        Some(HeaderText::Many(..)) | None => {
            let mut all = policies.iter();
            return all.find_map(|policy| Some((policy, consult(policy, view, stage, recorder)?)));
        }
    };
    let mut some = policies.with_header(value);
    some.find_map(|policy| Some((policy, consult(policy, view, stage, recorder)?)))
}

/// Line of the rule of `policy` that matches; tells the recorder either way.
pub(crate) fn consult(
    policy: &Arc<Policy>,
    view: &View<'_>,
    stage: Stage,
    recorder: &mut Recorder<'_>,
) -> Option<u32> {
    use model::snapshot::Action;

    let (action, effect) = match policy.action {
        Action::Custom(_) => ("CUSTOM", Effect::Restrains),
        Action::Audit => ("AUDIT", Effect::Restrains),
        Action::Deny => ("DENY", Effect::Restrains),
        Action::Allow => ("ALLOW", Effect::Grants),
    };
    let matched = policy
        .rules
        .iter()
        .find(|rule| applies(rule, view, effect))
        .map(|rule| rule.line);
    recorder.step(|| Step::Policy {
        stage,
        policy: policy.info.clone(),
        action,
        matched,
        unmet: match matched {
            Some(_) => Vec::new(),
            None => unmet::of(policy, view, effect),
        },
    });
    matched
}

/// Line of the rule of a CUSTOM `policy` that matches a connection whose bytes are passed on. Rules
/// that look at anything of HTTP are about requests, and this is none.
pub(crate) fn consult_stream(
    policy: &Arc<Policy>,
    view: &View<'_>,
    stage: Stage,
    recorder: &mut Recorder<'_>,
) -> Option<u32> {
    let of_http = |tests: &Vec<Test>| tests.iter().any(|test| test.attribute.is_of_requests());
    let mut rules = policy.rules.iter().filter(|rule| {
        !of_http(&rule.when) && !rule.from.iter().any(of_http) && !rule.to.iter().any(of_http)
    });
    let matched = rules
        .find(|rule| applies(rule, view, Effect::Restrains))
        .map(|rule| rule.line);
    recorder.step(|| Step::Policy {
        stage,
        policy: policy.info.clone(),
        action: "CUSTOM",
        matched,
        unmet: match matched {
            Some(_) => Vec::new(),
            // What only requests have is what it misses.
            None => unmet::of(policy, view, Effect::Grants),
        },
    });
    matched
}

/// The reason that a rule of `policy` is.
pub(crate) fn by(policy: &Policy, line: u32) -> Reason {
    Reason::Rule {
        policy: policy.info.clone(),
        line,
    }
}

fn applies(rule: &PolicyRule, view: &View<'_>, effect: Effect) -> bool {
    let all = |tests: &Vec<Test>| tests.iter().all(|test| holds(test, view, effect));
    (rule.from.is_empty() || rule.from.iter().any(all))
        && (rule.to.is_empty() || rule.to.iter().any(all))
        && all(&rule.when)
}

/// How many of several readings must match: the values of a repeated header, what a namespace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantifier {
    /// Any single one, or all of them joined.
    Any,
    /// Each single one.
    Every,
}

/// What asking an attribute for values comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Is(bool),
    /// The request has no such attribute.
    Missing,
    /// Nobody can say: the attribute is not known here, or the values are not of its kind.
    Unusable,
}

fn holds(test: &Test, view: &View<'_>, effect: Effect) -> bool {
    let (for_any_of, for_none_of) = match effect {
        Effect::Grants => (Quantifier::Every, Quantifier::Any),
        Effect::Restrains => (Quantifier::Any, Quantifier::Every),
    };
    let doubt = effect == Effect::Restrains;
    let any_of = test.any_of.as_ref().is_none_or(|values| {
        match ask(&test.attribute, values, view, for_any_of) {
            Answer::Is(is) => is,
            Answer::Missing => false,
            Answer::Unusable => doubt,
        }
    });
    any_of
        && test.none_of.as_ref().is_none_or(|values| {
            match ask(&test.attribute, values, view, for_none_of) {
                Answer::Is(is) => !is,
                Answer::Missing => true,
                Answer::Unusable => doubt,
            }
        })
}

fn ask(attribute: &Attribute, values: &Values, view: &View<'_>, quantifier: Quantifier) -> Answer {
    if view.is_bytes() && attribute.is_of_requests() {
        return Answer::Unusable;
    }
    match (attribute, values) {
        (Attribute::Missing, _) => Answer::Missing,
        (Attribute::SourceIp, Values::Networks(networks)) => match view.connection {
            Some(connection) => within(networks, connection.peer),
            None => Answer::Unusable,
        },
        (Attribute::RemoteIp, Values::Networks(networks)) => within(networks, view.remote_ip),
        (Attribute::Port, Values::Ports(ports)) => Answer::Is(ports.contains(&view.port)),
        (Attribute::RequestPrincipal, Values::Principals(patterns)) => match view.token {
            Some(Accepted { token, .. }) => {
                Answer::Is(patterns.iter().any(|one| principal(one, token)))
            }
            None => Answer::Missing,
        },
        (attribute, Values::Text(patterns)) => ask_text(attribute, patterns, view, quantifier),
        _ => Answer::Unusable,
    }
}

fn ask_text(
    attribute: &Attribute,
    patterns: &TextList,
    view: &View<'_>,
    quantifier: Quantifier,
) -> Answer {
    let is = |text: &[u8], reading: Reading| {
        let matches = |one: &TextPattern| text::matches(one, text, reading);
        if reading.ignore_case {
            patterns.iter().any(matches)
        } else {
            patterns.near(text).any(matches)
        }
    };
    let maybe = |text: Option<&str>| match text {
        Some(text) => Answer::Is(is(text.as_bytes(), Reading::PLAIN)),
        None => Answer::Missing,
    };
    let any = |texts: Option<Vec<Cow<'_, str>>>| match texts {
        Some(texts) => Answer::Is(texts.iter().any(|text| is(text.as_bytes(), Reading::PLAIN))),
        None => Answer::Missing,
    };
    match attribute {
        Attribute::Principal => maybe(view.principal),
        Attribute::TrustDomain => maybe(view.trust_domain()),
        Attribute::Namespace => match view.workload() {
            Some((namespace, _)) => {
                let wide = || format!("{namespace}/sa");
                let is = |text: &str| is(text.as_bytes(), Reading::PLAIN);
                // Envoy looks for a pattern in the whole id, where a star stands for slashes too.
                Answer::Is(is(namespace) || quantifier == Quantifier::Any && is(&wide()))
            }
            None => Answer::Missing,
        },
        Attribute::ServiceAccount => {
            let account = view
                .workload()
                .map(|(namespace, account)| format!("{namespace}/{account}"));
            maybe(account.as_deref())
        }
        Attribute::Host => Answer::Is(is(view.authority.as_bytes(), Reading::HOST)),
        Attribute::Method => maybe(Some(view.method)),
        Attribute::Path => maybe(Some(view.path)),
        Attribute::Header(name) => match view.header(name) {
            HeaderText::Missing => Answer::Missing,
            HeaderText::One(text) => Answer::Is(is(text, Reading::HEADER)),
            HeaderText::Many(texts, joined) => {
                let mut texts = texts.into_iter();
                Answer::Is(match quantifier {
                    Quantifier::Any => {
                        texts.any(|text| is(text, Reading::HEADER)) || is(&joined, Reading::HEADER)
                    }
                    Quantifier::Every => texts.all(|text| is(text, Reading::HEADER)),
                })
            }
        },
        Attribute::Audiences => any(view.claim(&["aud"])),
        Attribute::Presenter => any(view.claim(&["azp"])),
        Attribute::Claim(path) => any(view.claim(path)),
        Attribute::Group => match view.sender {
            Some(sender) => {
                let is_meant = |group: &str| is(group.as_bytes(), Reading::PLAIN);
                Answer::Is(sender.any_group(is_meant))
            }
            None => Answer::Missing,
        },
        Attribute::Sni => match view.connection {
            Some(connection) => maybe(connection.sni),
            None => Answer::Unusable,
        },
        Attribute::Missing => Answer::Missing,
        Attribute::RequestPrincipal
        | Attribute::SourceIp
        | Attribute::RemoteIp
        | Attribute::Port
        | Attribute::DestinationIp => Answer::Unusable,
    }
}

fn within(networks: &[IpNet], address: IpAddr) -> Answer {
    let address = address.to_canonical();
    Answer::Is(networks.iter().any(|network| network.contains(&address)))
}

/// A token without subject is nobody's, even where the subject may be empty.
fn principal(pattern: &PrincipalPattern, token: &Token) -> bool {
    let PrincipalPattern { issuer, subject } = pattern;
    token.claims().contains_key("sub")
        && text::matches(issuer, token.issuer().as_bytes(), Reading::PLAIN)
        && text::matches(subject, token.subject().as_bytes(), Reading::PLAIN)
}

#[cfg(test)]
mod tests;
