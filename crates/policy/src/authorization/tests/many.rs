//! Many policies that differ by the header that they ask for: a quick look says what a whole one
//! says.

use model::snapshot::PolicyList;

use super::*;
use crate::decision::Record;

const USER: &str = "kubeflow-userid";

/// Hears everything, so that every policy is looked at.
struct Listener;

impl Record for Listener {
    fn step(&mut self, _step: Step) {}
}

fn user(values: &[&str]) -> Test {
    is(header(USER), exact(values))
}

fn prefix(value: &str) -> Values {
    Values::Text(vec![TextPattern::Prefix(value.into())].into())
}

/// Forty policies: most ask for one user, some for two, some for something else as well or instead.
fn list(action: &Action) -> PolicyList {
    let mut policies = Vec::new();
    for number in 0..40 {
        let (one, two) = (format!("u{number}"), format!("v{number}"));
        let rules = match number {
            5 => vec![],
            11 => vec![rule(1, vec![is(header(USER), prefix("pre"))])],
            14 => vec![rule(1, vec![is(header("x-other"), exact(&["yes"]))])],
            17 => vec![rule(1, vec![user(&[&one])]), rule(2, vec![user(&[&two])])],
            20 => vec![rule(1, vec![user(&[&one, &two])])],
            23 => vec![rule(1, vec![user(&["u3"])])],
            26 => vec![
                rule(1, vec![user(&[&one])]),
                rule(2, vec![is(header("x-other"), exact(&["or"]))]),
            ],
            29 => vec![rule(1, vec![is_not(header(USER), present())])],
            32 => vec![rule(
                1,
                vec![
                    user(&["u32", "u33"]),
                    is(Attribute::Method, exact(&["POST"])),
                ],
            )],
            _ => vec![rule(1, vec![user(&[&one])])],
        };
        policies.push(policy(&format!("p{number:02}"), action.clone(), rules));
    }
    policies.into()
}

#[test]
fn a_quick_look_says_what_a_whole_one_says() {
    let mut told = [0, 0];
    let texts: Vec<Vec<u8>> = (0..40)
        .flat_map(|number| [format!("u{number}").into(), format!("v{number}").into()])
        .chain(["".into(), "pre-x".into(), "nobody".into(), b"\xff".to_vec()])
        .collect();
    let alone = texts.iter().map(|text| vec![text.clone()]);
    let twice = texts.iter().map(|text| vec![text.clone(), b"u7".to_vec()]);
    let same = texts.iter().map(|text| vec![text.clone(), text.clone()]);
    let sent: Vec<_> = [vec![]]
        .into_iter()
        .chain(alone)
        .chain(twice)
        .chain(same)
        .collect();
    for action in [Action::Allow, Action::Deny] {
        let mut policies = PolicySet::default();
        match &action {
            Action::Deny => policies.deny = list(&action),
            _ => policies.allow = list(&action),
        }
        let asked = policies.deny.header().or(policies.allow.header());
        assert_eq!(asked.map(HeaderName::as_str), Some(USER));
        for values in &sent {
            for other in [None, Some("yes"), Some("or")] {
                let mut headers = HeaderMap::new();
                for value in values {
                    headers.append(USER, HeaderValue::from_bytes(value).unwrap());
                }
                if let Some(other) = other {
                    headers.insert("x-other", HeaderValue::from_static(other));
                }
                let view = view(&headers);
                let quick = judged_by(&policies, &view, &mut Recorder::nobody());
                let whole = judged_by(&policies, &view, &mut Recorder::to(&mut Listener));
                assert_eq!(quick, whole, "{action:?} {values:?} {other:?}");
                told[usize::from(quick.0)] += 1;
            }
        }
    }
    assert!(told.iter().all(|count| *count > 100), "{told:?}");
}

#[test]
fn a_changed_list_is_looked_at_anew() {
    let mut policies = list(&Action::Allow);
    assert!(policies.header().is_some());
    policies.truncate(3);
    assert!(policies.header().is_none());
}
