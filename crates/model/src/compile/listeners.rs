//! Ports, hosts and the routes behind them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::bindings::Bindings;
use super::destinations::Destinations;
use super::host_tables::HostTables;
use super::identity::{key, workload_port};
use super::ports::{ChainDraft, PortDraft, ServesDraft};
use super::routes::{self, Placed, Rank, Seat};
use super::unread::Unread;
use crate::finding::{Finding, Severity, codes};
use crate::manifest::gateway::{Gateway, Inside, Server, ServerHost, Speaks};
use crate::manifest::virtual_service::VirtualService;
use crate::names::HostPattern;
use crate::snapshot::{
    Closure, Identity, ListenerProtocol, Route, RouteAction, RouteInfo, ServerTls,
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
    pub(super) bindings: Bindings<'a>,
    pub(super) unread: &'d mut [Unread<'a>],
    pub(super) destinations: &'d mut Destinations<'a>,
    pub(super) findings: &'d mut Vec<Finding>,
}

impl Builder<'_, '_> {
    /// One port; `None` where no server speaks.
    pub(super) fn port(&mut self, port: u16, servers: &[Seated<'_>]) -> Option<PortDraft> {
        let protocol = match servers.first()?.server.speaks {
            Speaks::Http { .. } => ListenerProtocol::Http,
            Speaks::Tls(_) => ListenerProtocol::Tls,
            Speaks::Stream => ListenerProtocol::Tcp,
        };
        let chains = match protocol {
            // One table for all of them.
            ListenerProtocol::Http => vec![self.http(port, servers, None)],
            // A table for each: the server name chooses.
            ListenerProtocol::Tls => servers.iter().map(|one| self.tls(port, one)).collect(),
            ListenerProtocol::Tcp => servers
                .iter()
                .map(|one| self.stream(port, one, None))
                .collect(),
        };
        self.hidden(port, servers, protocol);
        let translates = servers.iter().all(|one| one.gateway.translates_ports);
        let workload_port = if translates {
            workload_port(self.world, self.identity, port)
        } else {
            port
        };
        Some(PortDraft {
            workload_port,
            protocol,
            chains,
        })
    }

    /// The chain of servers that share one table.
    pub(super) fn http(
        &mut self,
        port: u16,
        servers: &[Seated<'_>],
        tls: Option<Arc<ServerTls>>,
    ) -> ChainDraft {
        let mut hosts: Vec<HostPattern> = Vec::new();
        let mut known: HashSet<&HostPattern> = HashSet::new();
        let mut tables = HostTables::default();
        for one in servers {
            let named = one.server.hosts.iter().map(|host| &host.pattern);
            hosts.extend(named.filter(|host| known.insert(*host)).cloned());
            self.bind(port, one, &mut tables);
        }
        for one in &mut *self.unread {
            one.close(port, servers, self.identity, &mut tables);
        }
        ChainDraft {
            name: chain_name(port, servers, tls.is_some()),
            hosts,
            tls,
            serves: ServesDraft::Http(tables),
        }
    }

    fn bind(&mut self, port: u16, seated: &Seated<'_>, tables: &mut HostTables) {
        let Seated { gateway, server } = *seated;
        if let Some(closure) = &server.closed {
            for host in &server.hosts {
                tables.push(&host.pattern, closed_server(gateway, server, closure));
            }
            return;
        }
        let redirects = server.speaks
            == Speaks::Http {
                https_redirect: true,
            };
        if redirects {
            for host in &server.hosts {
                tables.redirect(&host.pattern);
            }
        }
        let gateway_key = key(gateway);
        let seat = Seat {
            gateway: &gateway_key,
            port,
            identity: self.identity,
        };
        for index in self.bindings.at(&gateway_key) {
            let service = &self.routes[index];
            if service.closed.is_some() {
                continue;
            }
            let patterns = common_hosts(service, &server.hosts);
            if patterns.is_empty() {
                continue;
            }
            let placed = routes::build(service, &seat, self.destinations);
            for pattern in patterns {
                if redirects {
                    tables.redirect(&pattern);
                }
                tables.add(pattern, index, &placed);
            }
        }
    }
}

/// As Istio names route tables.
pub(super) fn chain_name(port: u16, servers: &[Seated<'_>], is_tls: bool) -> Arc<str> {
    match servers {
        [Seated { gateway, server }] if is_tls => {
            let (name, namespace) = (gateway.object.name(), gateway.object.namespace());
            let kind = match &server.speaks {
                Speaks::Stream => "tcp",
                Speaks::Tls(tls) if tls.inside != Inside::Http => "tls",
                _ => "https",
            };
            format!("{kind}.{port}.{}.{name}.{namespace}", server.port_name).into()
        }
        _ => format!("http.{port}").into(),
    }
}

/// The hosts of a server, each once.
pub(super) fn patterns(server: &Server) -> Vec<HostPattern> {
    let mut hosts = Vec::new();
    for host in &server.hosts {
        add(&mut hosts, &host.pattern);
    }
    hosts
}

fn add(list: &mut Vec<HostPattern>, pattern: &HostPattern) {
    if !list.contains(pattern) {
        list.push(pattern.clone());
    }
}

/// The virtual hosts that a VirtualService has on a server.
pub(super) fn common_hosts(service: &VirtualService, server: &[ServerHost]) -> Vec<HostPattern> {
    let namespace = service.object.namespace();
    hosts_on(&service.hosts, Some(namespace), server)
}

/// The same for hosts of an object that is perhaps known by text only.
pub(super) fn hosts_on(
    hosts: &[HostPattern],
    namespace: Option<&str>,
    server: &[ServerHost],
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
            if let Some(pattern) = host.pattern.intersection(own) {
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
        guard: None,
        action,
    });
    Placed {
        route,
        rank: Rank::InPlace,
    }
}
