//! Ports, hosts and the routes behind them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::destinations::Destinations;
use super::host_tables::HostTables;
use super::identity::{key, workload_port};
use super::routes::{self, Placed, Rank, Seat};
use super::unread::Unread;
use crate::finding::{Finding, Severity, codes};
use crate::manifest::gateway::{Gateway, Server, ServerHost, Speaks};
use crate::manifest::virtual_service::VirtualService;
use crate::names::HostPattern;
use crate::snapshot::{
    Closure, Identity, Listener, ListenerProtocol, Route, RouteAction, RouteInfo,
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
    pub(super) unread: &'d mut [Unread<'a>],
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
        // Another chain of the same port takes these hosts by server name.
        let rivals: Vec<&HostPattern> = match protocol {
            ListenerProtocol::Http => Vec::new(),
            ListenerProtocol::Https => servers
                .iter()
                .flat_map(|other| &other.server.hosts)
                .map(|host| &host.pattern)
                .collect(),
        };
        let mut tables = HostTables::default();
        for one in servers {
            self.bind(port, one, &rivals, &mut tables);
        }
        for one in &mut *self.unread {
            one.close(port, servers, &rivals, self.identity, &mut tables);
        }
        let translates = servers.iter().all(|one| one.gateway.translates_ports);
        let workload_port = if translates {
            workload_port(self.world, self.identity, port)
        } else {
            port
        };
        Some(Listener {
            port,
            workload_port,
            protocol,
            https_redirect,
            hosts,
            virtual_hosts: tables.finish(),
        })
    }

    fn bind(
        &mut self,
        port: u16,
        seated: &Seated<'_>,
        rivals: &[&HostPattern],
        tables: &mut HostTables,
    ) {
        let Seated { gateway, server } = *seated;
        if !rivals.is_empty() {
            // A chain without routes must not fall through to a wider one.
            for host in &server.hosts {
                tables.open(&host.pattern);
            }
        }
        if let Some(closure) = &server.closed {
            for host in &server.hosts {
                tables.push(&host.pattern, closed_server(gateway, server, closure));
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
            .filter(|(_, service)| service.closed.is_none() && service.binds_to(&gateway_key))
            .filter_map(|(index, service)| {
                Some((service.rank_in(&self.identity.namespace)?, index))
            })
            .collect();
        bound.sort_unstable();
        for (_, index) in bound {
            let service = &self.routes[index];
            let patterns = common_hosts(service, &server.hosts, rivals);
            if patterns.is_empty() {
                continue;
            }
            let placed = routes::build(service, &seat, self.destinations);
            for pattern in patterns {
                tables.add(pattern, index, &placed);
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
    let namespace = service.object.namespace();
    hosts_on(&service.hosts, Some(namespace), server, rivals)
}

/// The same for hosts of an object that is perhaps known by text only.
pub(super) fn hosts_on(
    hosts: &[HostPattern],
    namespace: Option<&str>,
    server: &[ServerHost],
    rivals: &[&HostPattern],
) -> Vec<HostPattern> {
    let mut patterns = Vec::new();
    let visible = server
        .iter()
        .filter(|host| match (&host.namespace, namespace) {
            (Some(only), Some(namespace)) => **only == *namespace,
            _ => true,
        });
    for host in visible {
        for own in hosts {
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
        cors: None,
        action,
    });
    Placed {
        route,
        rank: Rank::InPlace,
    }
}
