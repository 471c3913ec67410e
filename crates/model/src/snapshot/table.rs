//! The routes of one virtual host, found by path.
//!
//! Order is what counts: the first route that matches wins, whatever it is about. So the index only
//! leaves out routes whose path cannot match, and yields the others in their order; whoever asks
//! still tests each of them whole.

use std::collections::HashMap;
use std::ops::{Deref, Range};
use std::sync::Arc;

use super::route::{Route, UriMatch};
use super::text::TextMatch;

/// Routes in the order in which they are tried.
#[derive(Debug, Default)]
pub struct RouteTable {
    routes: Box<[Arc<Route>]>,
    index: Option<Index>,
}

/// Fewer routes than this are quicker tried one after the other.
const WORTH_AN_INDEX: usize = 16;

impl RouteTable {
    pub(crate) fn new(routes: Vec<Arc<Route>>) -> Self {
        Self {
            index: (routes.len() >= WORTH_AN_INDEX)
                .then(|| Index::of(&routes))
                .flatten(),
            routes: routes.into(),
        }
    }

    /// The routes that may match a request for `path`, in their order: every one that does is among
    /// them.
    pub fn candidates(&self, path: &str) -> Candidates<'_> {
        Candidates {
            routes: &self.routes,
            lists: self.index.as_ref().map(|index| index.lists(path)),
            next: 0,
        }
    }
}

impl Deref for RouteTable {
    type Target = [Arc<Route>];

    fn deref(&self) -> &Self::Target {
        &self.routes
    }
}

// The index follows from the routes.
impl PartialEq for RouteTable {
    fn eq(&self, other: &Self) -> bool {
        self.routes == other.routes
    }
}

/// Numbers of routes, ascending, by what their paths must be.
#[derive(Debug, Default)]
struct Index {
    /// Routes that any path may match, as far as can be told beforehand.
    always: Vec<u32>,
    exact: HashMap<Arc<str>, Vec<u32>>,
    prefixes: Prefixes,
}

/// Prefixes in byte order, all in one piece of memory.
#[derive(Debug, Default)]
struct Prefixes {
    text: String,
    entries: Vec<Prefix>,
    routes: Vec<u32>,
}

#[derive(Debug)]
struct Prefix {
    text: Range<u32>,
    routes: Range<u32>,
    /// The longest of the others that is a prefix of this one.
    parent: Option<u32>,
}

/// What one match asks of a path.
enum Key<'r> {
    Any,
    Exact(&'r Arc<str>),
    Prefix(&'r str),
}

fn key(uri: Option<&UriMatch>) -> Key<'_> {
    match uri {
        Some(UriMatch {
            text,
            ignore_case: false,
            whole_segments,
        }) => match text {
            TextMatch::Exact(path) => Key::Exact(path),
            TextMatch::Prefix(prefix) if *whole_segments => {
                Key::Prefix(prefix.trim_end_matches('/'))
            }
            TextMatch::Prefix(prefix) => Key::Prefix(prefix),
            TextMatch::Regex(_) => Key::Any,
        },
        None | Some(_) => Key::Any,
    }
}

impl Index {
    /// `None` when it would leave out nothing, or there are more routes than it can count.
    fn of(routes: &[Arc<Route>]) -> Option<Self> {
        let mut index = Self::default();
        let mut prefixes: Vec<(&str, u32)> = Vec::new();
        for (number, route) in (0..).zip(routes) {
            let keys: Vec<Key<'_>> = route
                .matches
                .iter()
                .map(|one| key(one.uri.as_ref()))
                .collect();
            let is_any = |key: &Key<'_>| matches!(key, Key::Any | Key::Prefix(""));
            if keys.is_empty() || keys.iter().any(is_any) {
                index.always.push(number);
                continue;
            }
            for key in keys {
                match key {
                    Key::Any => {}
                    Key::Exact(path) => {
                        let list = index.exact.entry(Arc::clone(path)).or_default();
                        if list.last() != Some(&number) {
                            list.push(number);
                        }
                    }
                    Key::Prefix(prefix) => prefixes.push((prefix, number)),
                }
            }
        }
        if index.always.len() == routes.len() || u32::try_from(routes.len()).is_err() {
            return None;
        }
        index.prefixes = Prefixes::of(prefixes)?;
        Some(index)
    }

    fn lists(&self, path: &str) -> Lists<'_> {
        Lists {
            always: &self.always,
            exact: self.exact.get(path).map_or(&[], Vec::as_slice),
            prefixes: &self.prefixes,
            longest: self.prefixes.longest(path),
        }
    }
}

impl Prefixes {
    /// `None` when the texts are too long for the numbers here.
    fn of(mut pairs: Vec<(&str, u32)>) -> Option<Self> {
        pairs.sort_unstable();
        pairs.dedup();
        let mut all = Self::default();
        // The entries that are prefixes of the one at hand, shortest first.
        let mut open: Vec<u32> = Vec::new();
        for same in pairs.chunk_by(|(a, _), (b, _)| a == b) {
            let prefix = same.first()?.0;
            while let Some(last) = open.last() {
                if prefix.starts_with(all.text_of(*last)) {
                    break;
                }
                open.pop();
            }
            let parent = open.last().copied();
            open.push(u32::try_from(all.entries.len()).ok()?);
            let (text, routes) = (all.text.len(), all.routes.len());
            all.text.push_str(prefix);
            all.routes.extend(same.iter().map(|(_, number)| *number));
            let range = |start: usize, end: usize| {
                Some(u32::try_from(start).ok()?..u32::try_from(end).ok()?)
            };
            all.entries.push(Prefix {
                text: range(text, all.text.len())?,
                routes: range(routes, all.routes.len())?,
                parent,
            });
        }
        Some(all)
    }

    fn text_of(&self, entry: u32) -> &str {
        let Range { start, end } = self.entries[entry as usize].text;
        &self.text[start as usize..end as usize]
    }

    /// The longest prefix of `path`. The last one in byte order that is not behind `path` is that,
    /// or begins with it.
    fn longest(&self, path: &str) -> Option<u32> {
        let at = |entry: &Prefix| &self.text[entry.text.start as usize..entry.text.end as usize];
        let behind = self.entries.partition_point(|entry| at(entry) <= path);
        let mut entry = u32::try_from(behind.checked_sub(1)?).ok();
        while let Some(one) = entry.filter(|one| !path.starts_with(self.text_of(*one))) {
            entry = self.entries[one as usize].parent;
        }
        entry
    }
}

/// The lists that a path has to do with.
#[derive(Debug)]
struct Lists<'t> {
    always: &'t [u32],
    exact: &'t [u32],
    prefixes: &'t Prefixes,
    longest: Option<u32>,
}

impl Lists<'_> {
    /// The first number that is at least `from`.
    fn next(&self, from: u32) -> Option<u32> {
        let first = |list: &[u32]| {
            let at = list.partition_point(|number| *number < from);
            list.get(at).copied()
        };
        let sooner = |best: Option<u32>, list: &[u32]| match (best, first(list)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let mut best = sooner(sooner(None, self.always), self.exact);
        let mut entry = self.longest;
        while let Some(one) = entry {
            let Prefix { routes, parent, .. } = &self.prefixes.entries[one as usize];
            let list = &self.prefixes.routes[routes.start as usize..routes.end as usize];
            best = sooner(best, list);
            entry = *parent;
        }
        best
    }
}

/// Routes that may match, in their order.
#[derive(Debug)]
pub struct Candidates<'t> {
    routes: &'t [Arc<Route>],
    /// `None` where every route is one.
    lists: Option<Lists<'t>>,
    next: u32,
}

impl<'t> Iterator for Candidates<'t> {
    type Item = &'t Arc<Route>;

    fn next(&mut self) -> Option<Self::Item> {
        let number = match &self.lists {
            None => self.next,
            Some(lists) => lists.next(self.next)?,
        };
        let route = self.routes.get(number as usize)?;
        self.next = number + 1;
        Some(route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::{ObjectRef, Place};
    use crate::snapshot::{Regex, Respond, RouteAction, RouteInfo, RouteMatch};

    /// A route whose matches are spelt `=exact`, `^prefix`, `/prefix` by segments, `~regex` or `*`.
    fn route(name: usize, matches: &[&str]) -> Arc<Route> {
        let uri = |text: &str| {
            let (kind, rest) = text.split_at(1);
            let (text, whole_segments) = match kind {
                "=" => (TextMatch::Exact(rest.into()), false),
                "^" => (TextMatch::Prefix(rest.into()), false),
                "/" => (TextMatch::Prefix(text.into()), true),
                "~" => (TextMatch::Regex(Regex::whole(rest).unwrap()), false),
                _ => return None,
            };
            Some(UriMatch {
                text,
                ignore_case: false,
                whole_segments,
            })
        };
        Arc::new(Route {
            info: Arc::new(RouteInfo {
                object: ObjectRef::new("VirtualService", "n", name.to_string()),
                place: Place::new("a.yaml", 1),
                name: name.to_string().into(),
            }),
            matches: matches
                .iter()
                .map(|text| RouteMatch {
                    uri: uri(text),
                    ..RouteMatch::default()
                })
                .collect(),
            cors: None,
            guard: None,
            action: RouteAction::Respond(Respond {
                status: 200,
                body: Arc::from([]),
                headers: crate::snapshot::HeaderEdits::default(),
            }),
        })
    }

    fn table(all: &[&[&str]]) -> RouteTable {
        let mut routes: Vec<_> = all
            .iter()
            .enumerate()
            .map(|(name, matches)| route(name, matches))
            .collect();
        // Enough to be worth an index, all out of the way.
        let fill = (routes.len()..WORTH_AN_INDEX).map(|name| route(name, &["=/fill"]));
        routes.extend(fill.collect::<Vec<_>>());
        let table = RouteTable::new(routes);
        assert!(table.index.is_some());
        table
    }

    fn names(table: &RouteTable, path: &str) -> Vec<usize> {
        table
            .candidates(path)
            .map(|route| route.info.name.parse().unwrap())
            .collect()
    }

    #[test]
    fn candidates_keep_the_order_of_the_routes() {
        let table = table(&[
            &["^/a"],
            &["=/a/b"],
            &["^/a/b/c", "=/x"],
            &["~/a/.*"],
            &["^/ab"],
            &["*"],
            &["^/a/"],
            &[],
        ]);
        assert_eq!(names(&table, "/a/b"), [0, 1, 3, 5, 6, 7]);
        assert_eq!(names(&table, "/a/b/c/d"), [0, 2, 3, 5, 6, 7]);
        assert_eq!(names(&table, "/abc"), [0, 3, 4, 5, 7]);
        assert_eq!(names(&table, "/x"), [2, 3, 5, 7]);
        assert_eq!(names(&table, ""), [3, 5, 7]);
    }

    #[test]
    fn a_prefix_that_sorts_behind_a_longer_one_is_found() {
        let table = table(&[&["^/n"], &["^/n/a/b"], &["^/n/a/b/c/d"], &["^/n/a/z"]]);
        assert_eq!(names(&table, "/n/a/b/c/zzz"), [0, 1]);
        assert_eq!(names(&table, "/n/a/y"), [0]);
        assert_eq!(names(&table, "/n/a/z"), [0, 3]);
        assert_eq!(names(&table, "/m"), [0; 0]);
    }

    #[test]
    fn whole_segments_are_looked_for_without_their_last_slash() {
        let table = table(&[&["/foo/"], &["/foo"], &["/"]]);
        assert_eq!(names(&table, "/foo"), [0, 1, 2]);
        assert_eq!(names(&table, "/foo/bar"), [0, 1, 2]);
        assert_eq!(names(&table, "/fo"), [2]);
    }

    #[test]
    fn thousands_of_routes_leave_a_handful_to_try() {
        let mut routes: Vec<_> = (0..10_000)
            .map(|name| route(name, &[&format!("^/notebook/ns-{}/nb-{name}/", name % 100)]))
            .collect();
        routes.push(route(10_000, &[]));
        let table = RouteTable::new(routes);
        for name in (0..10_000).step_by(997) {
            let path = format!("/notebook/ns-{}/nb-{name}/lab", name % 100);
            assert_eq!(names(&table, &path), [name, 10_000]);
        }
        assert_eq!(names(&table, "/notebook/ns-1"), [10_000]);
    }
}
