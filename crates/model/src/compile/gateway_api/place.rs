//! Routes on the virtual hosts of each port.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::links::Link;
use super::listeners::Seat;
use crate::compile::host_tables::HostTables;
use crate::compile::policies::Policies;
use crate::compile::ports::{ChainDraft, Ports, ServesDraft, add_tls_chain, plain_table};
use crate::compile::routes::{Placed, Rank as Group};
use crate::compile::workload_guards::strictest_set;
use crate::names::HostPattern;
use crate::snapshot::{
    ClientAuth, Guard, ListenerProtocol, PolicySet, Route, ServerTls, StreamRoute,
};

/// Listeners of one port, by their host. Those of several Gateways that name the same one are
/// served together.
type Names<'a> = BTreeMap<&'a HostPattern, Vec<&'a Seat<'a>>>;

/// Routes of one listener host, by the host that listener and route have in common.
type Entries<'a> = BTreeMap<HostPattern, Vec<&'a Link<'a>>>;

/// Routes of one listener host in their order, by the host that they are for.
type Ranked<'a> = HashMap<&'a HostPattern, Vec<Arc<Route>>>;

/// Policies that attach to Gateways.
pub(super) struct Guards<'a> {
    pub(super) policies: &'a Policies,
    /// Those of the whole gateway.
    pub(super) everywhere: &'a PolicySet,
}

impl Guards<'_> {
    /// What has to be passed at listeners that are served together; none where that is what has to
    /// be passed everywhere.
    fn of(&self, seats: &[&Seat<'_>]) -> Option<Arc<Guard>> {
        let attached = seats.iter().map(|seat| {
            let (namespace, name) = seat.gateway.key();
            let class = &seat.gateway.class;
            self.policies.attached_to_gateway(&namespace, &name, class)
        });
        let attached = attached.reduce(strictest_set)?;
        if attached == PolicySet::default() {
            return None;
        }
        let mut gateway = self.everywhere.clone();
        gateway.custom.extend(attached.custom);
        gateway.audit.extend(attached.audit);
        gateway.deny.extend(attached.deny);
        // To Istio such a Gateway is a workload of its own, where a policy that allows nothing only
        // says that others have to allow, which those that attach do.
        let allows_nothing = gateway.allow.iter().all(|policy| policy.rules.is_empty());
        if !attached.allow.is_empty() && allows_nothing {
            gateway.allow.clear();
        }
        Some(Arc::new(Guard {
            gateway,
            attached: PolicySet {
                allow: attached.allow,
                ..PolicySet::default()
            },
        }))
    }
}

/// Fills the ports; those that already speak another protocol are left as they are and named.
pub(super) fn fill(
    seats: &[Seat<'_>],
    links: &[Link<'_>],
    guards: &Guards<'_>,
    ports: &mut Ports,
) -> Vec<u16> {
    let mut own: BTreeMap<u16, Names<'_>> = BTreeMap::new();
    for seat in seats.iter().filter(|seat| seat.is_programmed()) {
        let names = own.entry(seat.listener.port).or_default();
        names.entry(&seat.listener.hostname).or_default().push(seat);
    }
    let mut entries: BTreeMap<(u16, &HostPattern), Entries<'_>> = BTreeMap::new();
    for link in links {
        for (number, hosts) in link.parents.iter().flat_map(|bound| &bound.seats) {
            let seat = &seats[*number];
            let (port, hostname) = (seat.listener.port, &seat.listener.hostname);
            if !seat.serves() {
                continue;
            }
            let group = entries.entry((port, hostname)).or_default();
            for host in hosts {
                // A request for these names belongs to a listener that is closer to them.
                let owner = covering(host).find(|pattern| own[&port].contains_key(pattern));
                if owner.as_ref() == Some(hostname) {
                    let there = group.entry(host.clone()).or_default();
                    if !there.iter().any(|other| std::ptr::eq(*other, link)) {
                        there.push(link);
                    }
                }
            }
        }
    }
    let mut crossed = Vec::new();
    for (port, names) in &own {
        let none = Entries::new();
        let protocol = names.values().flatten().find_map(|seat| seat.protocol());
        let placed = match protocol {
            Some(ListenerProtocol::Http) => {
                let hosts: Vec<HostPattern> = names.keys().map(|name| (*name).clone()).collect();
                plain_table(ports, *port, &hosts).map(|tables| {
                    for (name, seats) in names {
                        let entries = entries.get(&(*port, name)).unwrap_or(&none);
                        listener(tables, name, seats, entries, guards);
                    }
                })
            }
            Some(ListenerProtocol::Tls) => {
                let chains = names.iter().map(|(name, seats)| {
                    let mut tables = HostTables::default();
                    if seats.first().is_some_and(|seat| seat.is_stream()) {
                        let entries = entries.get(&(*port, name)).unwrap_or(&none);
                        return stream_chain(*port, name, seats, entries, guards);
                    }
                    let entries = entries.get(&(*port, name)).unwrap_or(&none);
                    listener(&mut tables, name, seats, entries, guards);
                    chain(*port, name, seats, tables)
                });
                // Every one of them meets the same port.
                let chains: Vec<ChainDraft> = chains.collect();
                let mut chains = chains.into_iter();
                chains
                    .all(|chain| add_tls_chain(ports, *port, chain))
                    .then_some(())
            }
            Some(ListenerProtocol::Tcp) | None => Some(()),
        };
        if placed.is_none() {
            crossed.push(*port);
        }
    }
    crossed
}

fn chain(port: u16, name: &HostPattern, seats: &[&Seat<'_>], tables: HostTables) -> ChainDraft {
    let first = seats.first().map(|seat| {
        let object = &seat.gateway.object;
        format!(
            "https.{port}.{}.{}.{}",
            seat.listener.name,
            object.name(),
            object.namespace()
        )
    });
    ChainDraft {
        name: first.unwrap_or_default().into(),
        hosts: vec![name.clone()],
        // Of several that name one host, the first decides.
        tls: Some(Arc::new(ServerTls {
            client: seats
                .first()
                .map_or(ClientAuth::None, |seat| seat.clients.clone()),
            ..ServerTls::default()
        })),
        serves: ServesDraft::Http(tables),
    }
}

/// The chain of listeners that pass bytes on: the closest server name first.
fn stream_chain(
    port: u16,
    name: &HostPattern,
    seats: &[&Seat<'_>],
    entries: &Entries<'_>,
    guards: &Guards<'_>,
) -> ChainDraft {
    let guard = guards.of(seats);
    let draft = chain(port, name, seats, HostTables::default());
    let tls = draft
        .tls
        .filter(|_| !seats.iter().any(|seat| seat.passes_tls_on()));
    let closed = seats.iter().find_map(|seat| seat.closed.as_ref());
    let mut routes: Vec<_> = entries
        .iter()
        .flat_map(|(host, links)| {
            let streams = links.iter().flat_map(|link| &link.built.streams);
            streams.map(move |(rank, stream)| (Reverse(host.closeness()), rank, host, stream))
        })
        .collect();
    routes.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
    let named = |host: &HostPattern, stream: &StreamRoute| {
        Arc::new(StreamRoute {
            server_names: vec![host.clone()],
            guard: guard.clone(),
            ..stream.clone()
        })
    };
    ChainDraft {
        tls,
        serves: match closed {
            Some(closure) if !seats.iter().any(|seat| seat.serves()) => {
                ServesDraft::Nothing(Arc::clone(closure))
            }
            _ => ServesDraft::Stream(
                routes
                    .into_iter()
                    .map(|(_, _, host, stream)| named(host, stream))
                    .collect(),
            ),
        },
        ..draft
    }
}

/// The virtual hosts of the listeners that name one host.
fn listener(
    tables: &mut HostTables,
    name: &HostPattern,
    seats: &[&Seat<'_>],
    entries: &Entries<'_>,
    guards: &Guards<'_>,
) {
    let guard = guards.of(seats);
    // A listener without routes must not fall through to a wider one.
    tables.open(name);
    let serves = seats.iter().any(|seat| seat.serves());
    if let Some(closure) = seats.iter().find_map(|seat| seat.closed.as_ref())
        && !serves
    {
        tables.close(name, closure);
    }
    let ranked: Ranked<'_> = entries
        .iter()
        .map(|(host, links)| (host, sorted(links, guard.as_ref())))
        .collect();
    for host in entries.keys() {
        virtual_host(tables, host, entries, &ranked);
    }
    if !entries.contains_key(name) {
        virtual_host(tables, name, entries, &ranked);
    }
}

/// Routes in their order, as the listener at hand guards them.
fn sorted(links: &[&Link<'_>], guard: Option<&Arc<Guard>>) -> Vec<Arc<Route>> {
    let mut routes: Vec<_> = links.iter().flat_map(|link| &link.built.routes).collect();
    routes.sort_by(|a, b| a.0.cmp(&b.0));
    let guarded = |route: &Arc<Route>| match guard {
        None => Arc::clone(route),
        Some(guard) => Arc::new(Route {
            guard: Some(Arc::clone(guard)),
            ..(**route).clone()
        }),
    };
    routes
        .into_iter()
        .map(|(_, route)| guarded(route))
        .collect()
}

/// Fills one virtual host: routes of the closest host name first, then those of wider ones. A
/// request that meets no match of a closer one falls through to them.
fn virtual_host(
    tables: &mut HostTables,
    name: &HostPattern,
    group: &Entries<'_>,
    ranked: &Ranked<'_>,
) {
    let mut seen: Vec<&Link<'_>> = Vec::new();
    for pattern in covering(name) {
        let (Some(links), Some(routes)) = (group.get(&pattern), ranked.get(&pattern)) else {
            continue;
        };
        // A route that names both hosts counts with the closer one only.
        let repeated: Vec<_> = links
            .iter()
            .filter(|link| seen.iter().any(|other| std::ptr::eq(*other, **link)))
            .map(|link| &link.route.head.object.reference)
            .collect();
        for route in routes {
            if !repeated.contains(&&route.info.object) {
                let placed = Placed {
                    route: Arc::clone(route),
                    rank: Group::InPlace,
                };
                tables.push(name, placed);
            }
        }
        seen.extend(links.iter().copied());
    }
}

/// The pattern itself and every wider one, the closest first.
fn covering(pattern: &HostPattern) -> impl Iterator<Item = HostPattern> {
    let text = match pattern {
        HostPattern::Any => Arc::from(""),
        HostPattern::Suffix(suffix) => Arc::clone(suffix),
        HostPattern::Exact(host) => Arc::from(host.as_str()),
    };
    let wider: Vec<HostPattern> = text
        .bytes()
        .enumerate()
        .filter(|(at, byte)| *at > 0 && *byte == b'.')
        .map(|(at, _)| HostPattern::Suffix(text[at..].into()))
        .collect();
    let any = (*pattern != HostPattern::Any).then_some(HostPattern::Any);
    std::iter::once(pattern.clone()).chain(wider).chain(any)
}
