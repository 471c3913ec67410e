//! PolicyList of one action, found by a header that they ask for.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

use super::mesh::HeaderName;
use super::policy::{Attribute, Policy, PolicyRule, Values};
use super::text::TextPattern;

/// Below this, looking at each one is as fast.
const WORTH_IT: usize = 8;

/// PolicyList of one action, in the order in which they are asked.
///
/// Contributors of a namespace are a policy each, which asks for one value of one header. Among many
/// such policies those that may match are found by that value: [`Self::with_header`].
#[derive(Clone, Debug, Default)]
pub struct PolicyList {
    list: Vec<Arc<Policy>>,
    /// Made when it is first asked for, gone with every change.
    seen: OnceLock<Arc<Seen>>,
}

/// What looking at every policy once tells.
#[derive(Debug)]
struct Seen {
    /// The first that cannot be read.
    closed: Option<usize>,
    index: Option<Index>,
}

/// Numbers of policies by the value that they ask one header for.
#[derive(Debug)]
struct Index {
    header: HeaderName,
    by_value: HashMap<Arc<str>, Vec<usize>>,
    /// Those that ask for something else.
    others: Vec<usize>,
}

impl PolicyList {
    /// The header by which policies can be told apart, if that is worth it.
    pub fn header(&self) -> Option<&HeaderName> {
        self.index().map(|index| &index.header)
    }

    /// The policies, in their order, without those that match no request whose [`Self::header`] is
    /// `value` (`None`: it has no such header).
    pub fn with_header(&self, value: Option<&str>) -> impl Iterator<Item = &Arc<Policy>> {
        let (all, named, others) = match self.index() {
            None => (&self.list[..], &[][..], &[][..]),
            Some(index) => {
                let named = value.and_then(|value| index.by_value.get(value));
                let named = named.map_or(&[][..], Vec::as_slice);
                (&[][..], named, index.others.as_slice())
            }
        };
        let found = InOrder { named, others };
        all.iter().chain(found.map(|number| &self.list[number]))
    }

    /// The first policy that cannot be read and stands in as a closed door.
    pub fn closed(&self) -> Option<&Arc<Policy>> {
        self.seen().closed.and_then(|number| self.list.get(number))
    }

    fn index(&self) -> Option<&Index> {
        self.seen().index.as_ref()
    }

    fn seen(&self) -> &Seen {
        self.seen.get_or_init(|| {
            let mut list = self.list.iter();
            Arc::new(Seen {
                closed: list.position(|policy| policy.closed.is_some()),
                index: Index::of(&self.list),
            })
        })
    }
}

impl Index {
    fn of(list: &[Arc<Policy>]) -> Option<Self> {
        if list.len() < WORTH_IT {
            return None;
        }
        let mut asked: HashMap<&HeaderName, usize> = HashMap::new();
        for policy in list {
            let first = policy.rules.first();
            for (name, _) in first.into_iter().flat_map(exact_headers) {
                *asked.entry(name).or_default() += 1;
            }
        }
        let most = asked
            .into_iter()
            .max_by_key(|(name, count)| (*count, name.as_str().len()));
        let (header, count) = most?;
        if count < WORTH_IT {
            return None;
        }
        let mut by_value: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
        let mut others = Vec::new();
        for (number, policy) in list.iter().enumerate() {
            let values = values_for(policy, header);
            for value in values.iter().flatten() {
                let numbers = by_value.entry(Arc::clone(value)).or_default();
                if numbers.last() != Some(&number) {
                    numbers.push(number);
                }
            }
            if values.is_none() {
                others.push(number);
            }
        }
        Some(Self {
            header: header.clone(),
            by_value,
            others,
        })
    }
}

/// Every value of `header` with which a rule of `policy` may match; `None` where one may match
/// without any of them.
fn values_for<'p>(policy: &'p Policy, header: &HeaderName) -> Option<Vec<&'p Arc<str>>> {
    if policy.closed.is_some() || policy.rules.is_empty() {
        // Both say something without any match.
        return None;
    }
    let mut values = Vec::new();
    for rule in &policy.rules {
        let (_, patterns) = exact_headers(rule).find(|(name, _)| *name == header)?;
        values.extend(patterns.iter().filter_map(exact));
    }
    Some(values)
}

/// The headers that a rule wants to be one of certain values, each whole.
fn exact_headers(rule: &PolicyRule) -> impl Iterator<Item = (&HeaderName, &[TextPattern])> {
    rule.when.iter().filter_map(|test| {
        let (Attribute::Header(name), Some(Values::Text(patterns))) =
            (&test.attribute, &test.any_of)
        else {
            return None;
        };
        let are_exact = patterns.iter().all(|pattern| exact(pattern).is_some());
        are_exact.then_some((name, &patterns[..]))
    })
}

fn exact(pattern: &TextPattern) -> Option<&Arc<str>> {
    match pattern {
        TextPattern::Exact(text) => Some(text),
        _ => None,
    }
}

/// Two rising lists as one.
struct InOrder<'a> {
    named: &'a [usize],
    others: &'a [usize],
}

impl Iterator for InOrder<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let list = match (self.named.first(), self.others.first()) {
            (Some(named), Some(other)) if other < named => &mut self.others,
            (Some(_), _) => &mut self.named,
            (None, _) => &mut self.others,
        };
        let (first, rest) = list.split_first()?;
        *list = rest;
        Some(*first)
    }
}

/// What was made of the list says nothing of it.
impl PartialEq for PolicyList {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

impl Deref for PolicyList {
    type Target = Vec<Arc<Policy>>;

    fn deref(&self) -> &Self::Target {
        &self.list
    }
}

impl DerefMut for PolicyList {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.seen = OnceLock::new();
        &mut self.list
    }
}

impl From<Vec<Arc<Policy>>> for PolicyList {
    fn from(list: Vec<Arc<Policy>>) -> Self {
        Self {
            list,
            seen: OnceLock::new(),
        }
    }
}

impl<'a> IntoIterator for &'a PolicyList {
    type Item = &'a Arc<Policy>;
    type IntoIter = std::slice::Iter<'a, Arc<Policy>>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

impl IntoIterator for PolicyList {
    type Item = Arc<Policy>;
    type IntoIter = std::vec::IntoIter<Arc<Policy>>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}
