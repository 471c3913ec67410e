//! Ports while chains are gathered for them, by whatever kind of object opens them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::host_tables::HostTables;
use crate::names::HostPattern;
use crate::snapshot::{Chain, Closure, Listener, ListenerProtocol, ServerTls, Serves, StreamRoute};

/// Every port that is open, by its Service port number.
pub(super) type Ports = BTreeMap<u16, PortDraft>;

/// One port.
pub(super) struct PortDraft {
    /// Port of the gateway's own pods behind it.
    pub(super) workload_port: u16,
    /// A port that speaks HTTP without TLS, or bytes, has one chain.
    pub(super) protocol: ListenerProtocol,
    /// In the order in which they were asked for: of two for one host the earlier one is chosen.
    pub(super) chains: Vec<ChainDraft>,
}

/// What one server does with a connection.
pub(super) struct ChainDraft {
    pub(super) name: Arc<str>,
    pub(super) hosts: Vec<HostPattern>,
    /// How TLS is ended here; `None` where it is not.
    pub(super) tls: Option<Arc<ServerTls>>,
    pub(super) serves: ServesDraft,
}

/// What comes then.
pub(super) enum ServesDraft {
    Http(HostTables),
    Stream(Vec<Arc<StreamRoute>>),
    Nothing(Arc<Closure>),
}

impl PortDraft {
    pub(super) fn finish(self, port: u16) -> Listener {
        let Self {
            workload_port,
            protocol,
            chains,
        } = self;
        let chains = chains.into_iter().map(ChainDraft::finish).collect();
        Listener::new(port, workload_port, protocol, chains)
    }
}

impl ChainDraft {
    fn finish(self) -> Chain {
        let Self {
            name,
            hosts,
            tls,
            serves,
        } = self;
        let serves = match serves {
            ServesDraft::Http(tables) => Serves::Http(Box::new(tables.finish())),
            ServesDraft::Stream(routes) => Serves::Stream(routes),
            ServesDraft::Nothing(closure) => Serves::Nothing(closure),
        };
        Chain {
            name,
            hosts,
            tls,
            serves,
        }
    }
}

/// The table of the hosts of a plain port, whoever else fills it; `None` where the port already
/// speaks another protocol.
pub(super) fn plain_table<'p>(
    ports: &'p mut Ports,
    port: u16,
    hosts: &[HostPattern],
) -> Option<&'p mut HostTables> {
    let draft = ports.entry(port).or_insert_with(|| PortDraft {
        workload_port: port,
        protocol: ListenerProtocol::Http,
        chains: vec![ChainDraft {
            name: format!("http.{port}").into(),
            hosts: Vec::new(),
            tls: None,
            serves: ServesDraft::Http(HostTables::default()),
        }],
    });
    let chain = draft.chains.first_mut()?;
    let ServesDraft::Http(tables) = &mut chain.serves else {
        return None;
    };
    if draft.protocol != ListenerProtocol::Http {
        return None;
    }
    for host in hosts {
        if !chain.hosts.contains(host) {
            chain.hosts.push(host.clone());
        }
    }
    Some(tables)
}

/// Adds a chain to a port that ends or passes on TLS; false where the port already speaks another
/// protocol.
pub(super) fn add_tls_chain(ports: &mut Ports, port: u16, chain: ChainDraft) -> bool {
    let draft = ports.entry(port).or_insert_with(|| PortDraft {
        workload_port: port,
        protocol: ListenerProtocol::Tls,
        chains: Vec::new(),
    });
    if draft.protocol == ListenerProtocol::Tls {
        draft.chains.push(chain);
        true
    } else {
        false
    }
}
