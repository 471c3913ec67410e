//! Ports, and the chains that a connection to one of them may take.
//!
//! Nothing in here knows which kind of object asked for a port: Istio `Gateway`s, the Gateway API
//! and `Ingress`es all end as chains.

use std::collections::HashMap;
use std::sync::Arc;

use super::closure::Closure;
use super::gateway::VirtualHosts;
use super::stream::StreamRoute;
use super::tls::ServerTls;
use crate::names::{Host, HostPattern};

/// One port that is open.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Service port number.
    pub port: u16,
    /// Port of the gateway's own pods behind it, which policies mean by `ports` and
    /// `destination.port`.
    pub workload_port: u16,
    /// What is spoken there.
    pub protocol: ListenerProtocol,
    chains: Vec<Chain>,
    by_name: HostIndex<usize>,
}

/// What is spoken on a port, before any chain is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerProtocol {
    /// HTTP without TLS: one chain.
    Http,
    /// TLS: the server name chooses among chains.
    Tls,
    /// Bytes: one chain.
    Tcp,
}

/// What one server of a port does with a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// Such as `https.443.web.door.istio-system`, for logs and listings.
    pub name: Arc<str>,
    /// The hosts it is for; on a TLS port the server names that choose it.
    pub hosts: Vec<HostPattern>,
    /// How TLS is ended here; `None` where it is not.
    pub tls: Option<Arc<ServerTls>>,
    /// What comes then.
    pub serves: Serves,
}

/// What a chain serves.
#[derive(Clone, Debug, PartialEq)]
pub enum Serves {
    /// HTTP, by host.
    Http(Box<VirtualHosts>),
    /// Bytes, to the first route that fits. TLS that is not ended here is passed on as it came.
    Stream(Vec<Arc<StreamRoute>>),
    /// Nothing: a manifest is broken. Connections are refused.
    Nothing(Arc<Closure>),
}

impl Listener {
    /// A port with its chains. Of two that name the same host the earlier one is chosen.
    pub(crate) fn new(
        port: u16,
        workload_port: u16,
        protocol: ListenerProtocol,
        chains: Vec<Chain>,
    ) -> Self {
        let mut by_name = HostIndex::default();
        for (index, chain) in chains.iter().enumerate() {
            for host in &chain.hosts {
                by_name.insert(host, index);
            }
        }
        Self {
            port,
            workload_port,
            protocol,
            chains,
            by_name,
        }
    }

    /// All chains.
    pub fn chains(&self) -> &[Chain] {
        &self.chains
    }

    /// Every host that a chain of this port names.
    pub fn hosts(&self) -> impl Iterator<Item = &HostPattern> {
        self.chains.iter().flat_map(|chain| &chain.hosts)
    }

    /// Whether a chain names `host` (lower case, no port).
    pub fn covers(&self, host: &str) -> bool {
        self.by_name.closest(host).is_some()
    }

    /// The chain for a name (lower case, no port): exact, then the longest wildcard, then `*`.
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        let (_, index) = self.by_name.closest(name)?;
        self.chains.get(*index)
    }

    /// The chain of a client that names nobody: the one for `*`.
    pub fn chain_without_name(&self) -> Option<&Chain> {
        self.chains.get(*self.by_name.any.as_ref()?)
    }

    /// The chains, to be changed.
    #[cfg(feature = "testing")]
    pub(super) fn chains_mut(&mut self) -> &mut [Chain] {
        &mut self.chains
    }

    /// Every HTTP chain's virtual hosts.
    pub fn virtual_hosts(&self) -> impl Iterator<Item = &VirtualHosts> {
        self.chains.iter().filter_map(|chain| match &chain.serves {
            Serves::Http(hosts) => Some(&**hosts),
            Serves::Stream(_) | Serves::Nothing(_) => None,
        })
    }
}

/// Something for each host: exact name, then longest suffix, then `*`.
#[derive(Clone, Debug, PartialEq)]
pub struct HostIndex<T> {
    exact: HashMap<Host, T>,
    /// Key as [`HostPattern::Suffix`] keeps it: `.example.com`.
    suffix: HashMap<Arc<str>, T>,
    any: Option<T>,
}

impl<T> Default for HostIndex<T> {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            suffix: HashMap::new(),
            any: None,
        }
    }
}

impl<T> HostIndex<T> {
    /// Adds one, unless the host has one.
    pub(crate) fn insert(&mut self, host: &HostPattern, value: T) {
        match host {
            HostPattern::Exact(name) => {
                self.exact.entry(name.clone()).or_insert(value);
            }
            HostPattern::Suffix(suffix) => {
                self.suffix.entry(Arc::clone(suffix)).or_insert(value);
            }
            HostPattern::Any => {
                self.any.get_or_insert(value);
            }
        }
    }

    /// The one that is closest to `host` (lower case, no port), and how close it is.
    pub(crate) fn closest(&self, host: &str) -> Option<(usize, &T)> {
        if let Some(value) = self.exact.get(host) {
            return Some((usize::MAX, value));
        }
        if !self.suffix.is_empty() {
            let dots = host.bytes().enumerate().filter(|(_, byte)| *byte == b'.');
            for (at, _) in dots.filter(|(at, _)| *at > 0) {
                if let Some(value) = self.suffix.get(&host[at..]) {
                    return Some((host.len() - at, value));
                }
            }
        }
        self.any.as_ref().map(|value| (0, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(name: &str, hosts: &[&str]) -> Chain {
        Chain {
            name: name.into(),
            hosts: hosts
                .iter()
                .map(|host| HostPattern::parse(host).unwrap())
                .collect(),
            tls: None,
            serves: Serves::Stream(Vec::new()),
        }
    }

    #[test]
    fn a_name_chooses_the_closest_chain_and_nobody_chooses_the_one_for_all() {
        let chains = vec![
            chain("wide", &["*.example.com"]),
            chain("deep", &["*.a.example.com", "a.example.com"]),
            chain("again", &["a.example.com"]),
        ];
        let listener = Listener::new(443, 8443, ListenerProtocol::Tls, chains);
        let name = |host: &str| listener.chain(host).map(|chain| &*chain.name);
        assert_eq!(name("a.example.com"), Some("deep"));
        assert_eq!(name("b.a.example.com"), Some("deep"));
        assert_eq!(name("b.example.com"), Some("wide"));
        assert_eq!(name("example.com"), None);
        assert_eq!(listener.chain_without_name(), None);
        let all = Listener::new(443, 443, ListenerProtocol::Tls, vec![chain("all", &["*"])]);
        assert_eq!(&*all.chain_without_name().unwrap().name, "all");
        assert_eq!(&*all.chain("x").unwrap().name, "all");
    }
}
