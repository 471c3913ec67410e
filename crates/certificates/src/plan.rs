//! What has to be done so that what is wanted is held. Pure.

use std::collections::{BTreeMap, BTreeSet};

use model::names::Timestamp;

use crate::names::{Names, Validity};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nobody has it.
    Issue(Names),
    /// It is there and its time is nearly over; it goes on serving when issuing fails.
    Renew(Names),
    /// Nobody wants it any more.
    Drop(Names),
}

/// The actions that bring `held` in line with `wanted`; none when all is well.
pub(crate) fn plan(
    wanted: &BTreeSet<Names>,
    held: &BTreeMap<Names, Validity>,
    now: Timestamp,
) -> Vec<Action> {
    let dropped = held.keys().filter(|names| !wanted.contains(names));
    let made = wanted.iter().filter_map(|names| match held.get(names) {
        None => Some(Action::Issue(names.clone())),
        Some(validity) if now >= validity.renewal() => Some(Action::Renew(names.clone())),
        Some(_) => None,
    });
    dropped.cloned().map(Action::Drop).chain(made).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(name: &str) -> Names {
        Names::of(name).unwrap()
    }

    fn held(name: &str, from: i64, until: i64) -> BTreeMap<Names, Validity> {
        let at = Timestamp::from_seconds;
        let validity = Validity {
            not_before: at(from),
            not_after: at(until),
        };
        BTreeMap::from([(names(name), validity)])
    }

    #[test]
    fn what_is_missing_is_issued_and_what_is_unwanted_is_dropped() {
        let wanted = BTreeSet::from([names("b.com")]);
        let actions = plan(&wanted, &held("a.com", 0, 900), Timestamp::from_seconds(1));
        assert_eq!(
            actions,
            [Action::Drop(names("a.com")), Action::Issue(names("b.com"))]
        );
    }

    #[test]
    fn nothing_is_done_before_a_third_is_left() {
        let wanted = BTreeSet::from([names("a.com")]);
        let held = held("a.com", 0, 900);
        assert_eq!(plan(&wanted, &held, Timestamp::from_seconds(599)), []);
        let renew = [Action::Renew(names("a.com"))];
        assert_eq!(plan(&wanted, &held, Timestamp::from_seconds(600)), renew);
        assert_eq!(plan(&wanted, &held, Timestamp::from_seconds(9999)), renew);
    }
}
