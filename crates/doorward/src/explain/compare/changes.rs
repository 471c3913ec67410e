//! What changes, grouped so that a person can read it.

use std::collections::{BTreeMap, BTreeSet};

use super::visitor::Visitor;
use crate::explain::verdict::Verdict;

/// From what to what.
pub(super) type Turn = (Verdict, Verdict);

/// Methods and paths that were asked about.
pub(super) type Requests = BTreeSet<(String, String)>;

/// Differences found so far.
#[derive(Default)]
pub(super) struct Changes {
    found: BTreeMap<Turn, BTreeMap<Spot, BTreeMap<Visitor, Requests>>>,
}

/// Where, as the manifests name it: host and path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) host: String,
    pub(super) path: String,
}

/// One thing that changes, for the same people at several spots.
pub(super) struct Group<'c> {
    pub(super) who: BTreeSet<&'c Visitor>,
    pub(super) places: Vec<(&'c Spot, Requests)>,
}

/// Which way a change goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// More is let through.
    Opens,
    /// Less is.
    Closes,
    /// As much, but another thing happens.
    Moves,
}

impl Way {
    pub(super) const ALL: [Self; 3] = [Self::Opens, Self::Closes, Self::Moves];

    pub(super) fn of((was, is): &Turn) -> Self {
        // Whom a sign-in lets in is another visitor's answer; but it is more than a refusal.
        match was.passes.cmp(&is.passes) {
            std::cmp::Ordering::Less => Self::Opens,
            std::cmp::Ordering::Greater => Self::Closes,
            std::cmp::Ordering::Equal => Self::Moves,
        }
    }

    /// A stable word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Opens => "opens",
            Self::Closes => "closes",
            Self::Moves => "moves",
        }
    }
}

impl Changes {
    /// Notes the answers to one request when they differ.
    pub(super) fn compare(
        &mut self,
        (was, is): (&Verdict, &Verdict),
        spot: impl FnOnce() -> Spot,
        visitor: &Visitor,
        (method, path): (&str, &str),
    ) {
        if was.is_like(is) {
            return;
        }
        self.found
            .entry((was.clone(), is.clone()))
            .or_default()
            .entry(spot())
            .or_default()
            .entry(visitor.clone())
            .or_default()
            .insert((method.to_owned(), path.to_owned()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// What opens, what closes, what moves.
    pub(super) fn of(&self, way: Way) -> Vec<(&Turn, Vec<Group<'_>>)> {
        let turns = self.found.iter().filter(|(turn, _)| Way::of(turn) == way);
        turns.map(|(turn, spots)| (turn, groups(spots))).collect()
    }

    /// How many kinds of change there are, and how many answers differ.
    pub(super) fn count(&self) -> (usize, usize) {
        let answers = self.found.values().flat_map(BTreeMap::values);
        let answers = answers.flat_map(BTreeMap::values).map(BTreeSet::len).sum();
        (self.found.len(), answers)
    }
}

/// Spots where it concerns the same people stand together.
fn groups(spots: &BTreeMap<Spot, BTreeMap<Visitor, Requests>>) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (spot, visitors) in spots {
        let who: BTreeSet<_> = visitors.keys().collect();
        let requests = visitors.values().flatten().cloned().collect();
        match groups.iter_mut().find(|group| group.who == who) {
            Some(group) => group.places.push((spot, requests)),
            None => groups.push(Group {
                who,
                places: vec![(spot, requests)],
            }),
        }
    }
    groups
}
