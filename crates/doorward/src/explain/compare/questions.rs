//! The requests that two trees are compared by: made from what either of them names.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};
use model::Snapshot;
use model::snapshot::{ConnectorKind, RouteInfo};
use policy::NoSession;

use super::changes::{Changes, Spot};
use super::side::Side;
use super::visitor::{STRANGER, Visitor, Who};
use crate::explain::named::Named;
use crate::explain::places::{self, Place};
use crate::explain::probe::Probe;

/// So many of a kind are tried at one place.
const EACH: usize = 64;
/// So many requests are asked about at one place.
const AT_ONE_PLACE: usize = 20_000;
/// So many requests are asked about.
const ALL: usize = 2_000_000;
/// How much was asked.
#[derive(Default)]
pub(super) struct Asked {
    /// Requests that both trees were asked about.
    pub(super) requests: usize,
    /// Places of which not everything was asked, because there was too much.
    pub(super) cut: usize,
}

/// Asks both trees about everything that either of them names.
pub(super) fn compare(
    was: &Side<'_>,
    is: &Side<'_>,
    visitors: &[Visitor],
    changes: &mut Changes,
) -> Asked {
    let mut asked = Asked::default();
    let mut seen = HashSet::new();
    let everywhere = everywhere(was, is);
    for side in [was, is] {
        for place in places::of(side.snapshot, None) {
            let question = Question {
                was,
                is,
                place: &place,
                everywhere: &everywhere,
                only: visitors,
            };
            question.ask(changes, &mut asked, &mut seen);
        }
    }
    asked
}

/// Users that can sign in with a password of the manifests, whatever policies say.
fn everywhere(was: &Side<'_>, is: &Side<'_>) -> BTreeSet<String> {
    let users = |snapshot: &Snapshot| -> Vec<String> {
        let providers = snapshot.providers().iter();
        let passwords = providers
            .filter(|provider| {
                let mut ways = provider.connectors.iter();
                ways.any(|one| one.kind == ConnectorKind::Local)
            })
            .flat_map(|provider| &provider.passwords);
        passwords
            .map(|password| password.email.to_string())
            .collect()
    };
    let both = users(was.snapshot).into_iter().chain(users(is.snapshot));
    both.take(EACH).collect()
}

/// A place of one tree, of which both are asked.
struct Question<'q, 's> {
    was: &'q Side<'s>,
    is: &'q Side<'s>,
    place: &'q Place<'s>,
    everywhere: &'q BTreeSet<String>,
    /// When somebody is asked about in particular, nobody else is.
    only: &'q [Visitor],
}

type Routes = [Option<Arc<RouteInfo>>; 2];

impl Question<'_, '_> {
    fn ask(&self, changes: &mut Changes, asked: &mut Asked, seen: &mut HashSet<String>) {
        let probe = &self.place.probe;
        let routes = self.routes(probe);
        let named = self.named(&routes);
        let visitors = self.visitors(&named);
        let mut left = AT_ONE_PLACE.min(ALL.saturating_sub(asked.requests));
        for probe in self.probes(&named) {
            let key = key(&probe);
            let own = self.place.probe.path == probe.path;
            // What other routes take is asked about at their own place.
            let taken = self.routes(&probe);
            let mut sides = taken.iter().zip(&routes);
            let is_ours = own || sides.any(|(taken, own)| taken.is_some() && taken == own);
            if !is_ours || !seen.insert(key) {
                continue;
            }
            for visitor in &visitors {
                if left == 0 {
                    asked.cut += 1;
                    return;
                }
                left -= 1;
                asked.requests += 1;
                let (was, is) = (self.was.ask(visitor, &probe), self.is.ask(visitor, &probe));
                changes.compare(
                    (&was.verdict, &is.verdict),
                    || self.spot(),
                    visitor,
                    (probe.method.as_str(), &probe.path),
                );
            }
        }
    }

    fn spot(&self) -> Spot {
        let Place {
            host,
            path,
            conditions,
            ..
        } = self.place;
        let conditions: String = conditions.iter().map(|one| format!(" [{one}]")).collect();
        Spot {
            host: host.clone(),
            path: format!("{path}{conditions}"),
        }
    }

    /// The routes that take a request in both trees.
    fn routes(&self, probe: &Probe) -> Routes {
        let nobody = Visitor::nobody(NoSession::NoCookie);
        [self.was, self.is].map(|side| side.ask(&nobody, probe).route)
    }

    /// What the policies in the way name, of either tree.
    fn named(&self, routes: &Routes) -> Named {
        let mut named = Named::default();
        for (side, route) in [self.was, self.is].into_iter().zip(routes) {
            named.merge(&side.at_gateway);
            if let Some(own) = side.named(route) {
                named.merge(own);
            }
        }
        named
    }

    fn visitors(&self, named: &Named) -> Vec<Visitor> {
        if !self.only.is_empty() {
            return self.only.to_vec();
        }
        let nobody = || Visitor::nobody(NoSession::NoCookie);
        let mut visitors = vec![nobody(), Visitor::person(STRANGER, &[])];
        let users = named.users.iter().take(EACH).chain(self.everywhere);
        visitors.extend(users.map(|user| Visitor::person(user, &[])));
        let groups = named.groups.iter().take(EACH);
        visitors.extend(groups.map(|group| Visitor::person(STRANGER, std::slice::from_ref(group))));
        let tokens = named.tokens.iter().take(EACH);
        visitors.extend(tokens.map(|(issuer, subject)| {
            Visitor::of(Who::Token {
                issuer: issuer.clone(),
                subject: subject.clone(),
                email: None,
                groups: Vec::new(),
            })
        }));
        let principals = named.principals.iter().take(EACH);
        visitors.extend(principals.map(|principal| Visitor {
            principal: Some(principal.clone()),
            ..nobody()
        }));
        for address in named.addresses.iter().take(EACH) {
            let from = |visitor| Visitor {
                client: Some(*address),
                ..visitor
            };
            visitors.extend([from(nobody()), from(Visitor::person(STRANGER, &[]))]);
        }
        let mut once = HashSet::new();
        visitors.retain(|visitor| once.insert(visitor.clone()));
        visitors
    }

    /// The place's own request, and others that policies might tell from it.
    fn probes(&self, named: &Named) -> Vec<Probe> {
        let own = &self.place.probe;
        let methods = named.methods.iter().take(EACH);
        let mut methods: Vec<Method> = methods
            .filter_map(|method| Method::from_bytes(method.as_bytes()).ok())
            .collect();
        // Policies that only let read are told from others by something that writes.
        methods.extend([own.method.clone(), Method::POST]);
        methods.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        methods.dedup();
        let base = own.path.split('?').next().unwrap_or_default();
        let base = base.trim_end_matches('/');
        let mut paths = vec![own.path.clone()];
        for path in named.paths.iter().take(EACH) {
            paths.push(path.clone());
            // Those of a destination's policies are as the route has rewritten them.
            paths.push(format!("{base}/{}", path.trim_start_matches('/')));
        }
        let mut probes = Vec::new();
        for path in &paths {
            for method in &methods {
                let mut probe = own.clone();
                probe.method.clone_from(method);
                probe.path.clone_from(path);
                probes.push(probe);
            }
        }
        for (name, value) in named.headers.iter().take(EACH) {
            if let (Ok(name), Ok(value)) =
                (name.parse::<HeaderName>(), HeaderValue::from_str(value))
            {
                let mut probe = own.clone();
                probe.headers.insert(name, value);
                probes.push(probe);
            }
        }
        let hosts = named.hosts.iter().take(EACH);
        probes.extend(
            hosts
                .filter(|_| self.place.host.starts_with('*'))
                .map(|host| {
                    let mut probe =
                        Probe::of(self.was.snapshot, self.place.probe.asked_scheme(), host);
                    probe.method.clone_from(&own.method);
                    probe.path.clone_from(&own.path);
                    probe.port = own.port;
                    probe
                }),
        );
        probes
    }
}

/// Tells requests apart.
fn key(probe: &Probe) -> String {
    let Probe {
        method,
        scheme,
        host,
        path,
        headers,
        port,
        ..
    } = probe;
    format!("{method} {scheme} {host} {port} {path} {headers:?}")
}
