//! Ports, hosts and the routes behind them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::destinations::Destinations;
use super::identity::{key, workload_port};
use super::routes::{self, Placed, Seat};
use crate::finding::{Finding, Severity, codes};
use crate::manifest::gateway::{Gateway, Server, ServerHost, Speaks};
use crate::manifest::virtual_service::VirtualService;
use crate::names::HostPattern;
use crate::objects::Broken;
use crate::snapshot::{
    Closure, Identity, Listener, ListenerProtocol, Route, RouteAction, RouteInfo, VirtualHosts,
};
use crate::world::World;

/// A server of a `Gateway` that this gateway serves.
#[derive(Clone, Copy)]
pub(super) struct Seated<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) server: &'a Server,
}

/// Servers by port: those of the Gateways that select this gateway, in their order, without those
/// that contradict an earlier one.
pub(super) fn seat<'a>(
    gateways: &[&'a Gateway],
    findings: &mut Vec<Finding>,
) -> BTreeMap<u16, Vec<Seated<'a>>> {
    let mut ports: BTreeMap<u16, Vec<Seated<'a>>> = BTreeMap::new();
    let mut claimed: HashSet<(u16, Option<&str>, &HostPattern)> = HashSet::new();
    for gateway in gateways {
        for server in &gateway.servers {
            let others = ports.entry(server.port).or_default();
            let conflict = others.first().filter(|first| !agree(first.server, server));
            let mut fault = conflict.map(|first| {
                format!(
                    "`{}` already speaks another protocol on port {}",
                    first.gateway.object.reference, server.port
                )
            });
            let exclusive = !matches!(
                server.speaks,
                Speaks::Http {
                    https_redirect: false
                }
            );
            let claim =
                |host: &'a ServerHost| (server.port, host.namespace.as_deref(), &host.pattern);
            if exclusive && fault.is_none() {
                let mut hosts = server.hosts.iter();
                fault = hosts
                    .find(|host| claimed.contains(&claim(host)))
                    .map(|host| {
                        format!(
                            "another server of port {} already serves the host `{}`",
                            server.port, host.pattern
                        )
                    });
            }
            if let Some(fault) = fault {
                let remedy = "give it another port or other hosts; this server is left out";
                findings.push(gateway.object.finding(
                    codes::SERVER_CONFLICT,
                    Severity::Error,
                    server.line,
                    server.path.clone(),
                    fault,
                    remedy,
                ));
                continue;
            }
            if exclusive {
                claimed.extend(server.hosts.iter().map(claim));
            }
            others.push(Seated { gateway, server });
        }
    }
    ports
}

fn agree(first: &Server, later: &Server) -> bool {
    matches!(
        (&first.speaks, &later.speaks),
        (Speaks::Http { .. }, Speaks::Http { .. }) | (Speaks::Tls(_), Speaks::Tls(_))
    )
}

/// Everything that listeners are made from.
pub(super) struct Builder<'a, 'd> {
    pub(super) world: &'a World,
    pub(super) identity: &'a Identity,
    pub(super) routes: &'a [VirtualService],
    pub(super) destinations: &'d mut Destinations<'a>,
}

impl Builder<'_, '_> {
    /// The listener of one port; `None` where nothing that is served here speaks.
    pub(super) fn listener(&mut self, port: u16, servers: &[Seated<'_>]) -> Option<Listener> {
        let protocol = match servers.first()?.server.speaks {
            Speaks::Http { .. } => ListenerProtocol::Http,
            Speaks::Tls(_) => ListenerProtocol::Https,
            Speaks::Stream => return None,
        };
        let mut hosts: Vec<HostPattern> = Vec::new();
        let mut https_redirect: Vec<HostPattern> = Vec::new();
        for one in servers {
            let redirects = matches!(
                one.server.speaks,
                Speaks::Http {
                    https_redirect: true
                }
            );
            for host in &one.server.hosts {
                add(&mut hosts, &host.pattern);
                if redirects {
                    add(&mut https_redirect, &host.pattern);
                }
            }
        }
        let mut tables: BTreeMap<HostPattern, Table> = BTreeMap::new();
        let mut closed: Vec<(HostPattern, Arc<Closure>)> = Vec::new();
        for one in servers {
            // Another chain of the same port takes these hosts by server name.
            let rivals: Vec<&HostPattern> = match protocol {
                ListenerProtocol::Http => Vec::new(),
                ListenerProtocol::Https => servers
                    .iter()
                    .flat_map(|other| &other.server.hosts)
                    .map(|host| &host.pattern)
                    .collect(),
            };
            self.bind(port, one, &rivals, &mut tables, &mut closed);
        }
        for broken in self
            .world
            .broken
            .iter()
            .filter(|broken| &*broken.object.kind == "VirtualService")
        {
            closed.extend(broken_hosts(broken, &hosts));
        }
        let translates = servers.iter().all(|one| one.gateway.translates_ports);
        let workload_port = if translates {
            workload_port(self.world, self.identity, port)
        } else {
            port
        };
        let virtual_hosts = virtual_hosts(tables, closed);
        Some(Listener {
            port,
            workload_port,
            protocol,
            https_redirect,
            hosts,
            virtual_hosts,
        })
    }

    fn bind(
        &mut self,
        port: u16,
        seated: &Seated<'_>,
        rivals: &[&HostPattern],
        tables: &mut BTreeMap<HostPattern, Table>,
        closed: &mut Vec<(HostPattern, Arc<Closure>)>,
    ) {
        let Seated { gateway, server } = *seated;
        if !rivals.is_empty() {
            // A chain without routes must not fall through to a wider one.
            for host in &server.hosts {
                tables.entry(host.pattern.clone()).or_default();
            }
        }
        if let Some(closure) = &server.closed {
            for host in &server.hosts {
                let table = tables.entry(host.pattern.clone()).or_default();
                table.routes.push(closed_server(gateway, server, closure));
            }
            return;
        }
        let gateway_key = key(gateway);
        let seat = Seat {
            gateway: &gateway_key,
            port,
            identity: self.identity,
        };
        let mut bound: Vec<(u8, usize)> = self
            .routes
            .iter()
            .enumerate()
            .filter(|(_, service)| {
                service.gateways.contains(&gateway_key) || service.gateways_unreadable
            })
            .filter_map(|(index, service)| {
                Some((service.rank_in(&self.identity.namespace)?, index))
            })
            .collect();
        bound.sort_unstable();
        for (_, index) in bound {
            let service = &self.routes[index];
            let patterns = common_hosts(service, &server.hosts, rivals);
            if let Some(closure) = &service.closed
                && service.object.closed.is_none()
            {
                closed.extend(
                    patterns
                        .into_iter()
                        .map(|pattern| (pattern, Arc::clone(closure))),
                );
                continue;
            }
            if patterns.is_empty() {
                continue;
            }
            let placed = routes::build(service, &seat, self.destinations);
            for pattern in patterns {
                tables.entry(pattern).or_default().add(index, &placed);
            }
        }
    }
}

fn add(list: &mut Vec<HostPattern>, pattern: &HostPattern) {
    if !list.contains(pattern) {
        list.push(pattern.clone());
    }
}

/// The virtual hosts that a VirtualService has on a server, without those that another TLS chain
/// takes because it is closer to the name.
pub(super) fn common_hosts(
    service: &VirtualService,
    server: &[ServerHost],
    rivals: &[&HostPattern],
) -> Vec<HostPattern> {
    let mut patterns = Vec::new();
    let visible = server.iter().filter(|host| {
        host.namespace
            .as_ref()
            .is_none_or(|namespace| namespace == service.object.namespace())
    });
    for host in visible {
        for own in &service.hosts {
            let Some(pattern) = host.pattern.intersection(own) else {
                continue;
            };
            let taken = rivals.iter().any(|rival| {
                **rival != host.pattern
                    && rival.intersection(&host.pattern).as_ref() == Some(*rival)
                    && rival.intersection(&pattern).as_ref() == Some(&pattern)
            });
            if !taken {
                add(&mut patterns, &pattern);
            }
        }
    }
    patterns
}

/// The hosts of a broken document that a listener serves.
fn broken_hosts(broken: &Broken, served: &[HostPattern]) -> Vec<(HostPattern, Arc<Closure>)> {
    let mut closed = Vec::new();
    for host in broken
        .hosts
        .iter()
        .filter_map(|host| HostPattern::parse(host))
    {
        for pattern in served
            .iter()
            .filter_map(|served| served.intersection(&host))
        {
            closed.push((pattern, Arc::clone(&broken.closure)));
        }
    }
    closed
}

fn closed_server(gateway: &Gateway, server: &Server, closure: &Arc<Closure>) -> Placed {
    let info = RouteInfo {
        object: gateway.object.reference.clone(),
        place: gateway.object.at(server.line),
        name: server.path.as_str().into(),
    };
    let action = RouteAction::Closed(Arc::clone(closure));
    let route = Arc::new(Route {
        info: Arc::new(info),
        matches: Vec::new(),
        action,
    });
    Placed {
        route,
        catch_all: false,
    }
}

/// The routes of one virtual host while they are gathered.
#[derive(Default)]
struct Table {
    routes: Vec<Placed>,
    /// Routes that are there, by VirtualService: several servers of a port may bring the same.
    seen: HashSet<usize>,
}

impl Table {
    fn add(&mut self, service: usize, placed: &[Placed]) {
        let fresh = self.seen.insert(service);
        for one in placed {
            if fresh || !self.routes.iter().any(|other| other.route == one.route) {
                self.routes.push(one.clone());
            }
        }
    }

    fn finish(mut self) -> Arc<[Arc<Route>]> {
        // Stable: pure catch-alls move behind all others and keep their order.
        self.routes.sort_by_key(|placed| placed.catch_all);
        self.routes.into_iter().map(|placed| placed.route).collect()
    }
}

fn virtual_hosts(
    tables: BTreeMap<HostPattern, Table>,
    closed: Vec<(HostPattern, Arc<Closure>)>,
) -> VirtualHosts {
    let mut hosts = VirtualHosts {
        closed,
        ..VirtualHosts::default()
    };
    for (pattern, table) in tables {
        let routes = table.finish();
        match pattern {
            HostPattern::Any => hosts.any = Some(routes),
            HostPattern::Suffix(suffix) => {
                hosts.suffix.insert(suffix, routes);
            }
            HostPattern::Exact(host) => {
                hosts.exact.insert(host, routes);
            }
        }
    }
    hosts
}
