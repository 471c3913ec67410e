//! What the binary decides about the data plane.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use model::names::Duration;
use model::snapshot::Destination;

/// Where to listen, and within which limits.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where Gateway port 443 is bound; port 0 picks a free one.
    pub https: Option<SocketAddr>,
    /// Where Gateway port 80 is bound; port 0 picks a free one.
    pub http: Option<SocketAddr>,
    /// Where further Gateway ports are bound, and what stands in front of any. A port that is not
    /// here is not bound, except 443 and 80.
    pub listen: BTreeMap<u16, ListenAt>,
    /// For how long browsers are told to come over HTTPS only; `None` tells them nothing.
    pub hsts: Option<Duration>,
    /// A plain-HTTP `Gateway` server is served over HTTPS too, and HTTP redirects there.
    pub https_upgrade: bool,
    /// What other proxies ask.
    pub authorizer: AuthorizerSettings,
    /// Worker threads; 0 takes one per core.
    pub workers: usize,
    /// Limits.
    pub limits: Limits,
    /// Where Services live; the most specific rule wins, the order does not matter.
    pub resolve: Vec<ResolveRule>,
    /// Sockets that somebody opened for this process: its predecessor, or the service manager.
    /// Those at an address that is wanted are accepted on; nobody else may then be bound there.
    pub given: Vec<Listening>,
}

/// The listener that other proxies ask whether a request may pass.
#[derive(Clone, Debug)]
pub struct AuthorizerSettings {
    /// Where it is asked over HTTP; nowhere unless given. Port 0 picks a free one.
    pub http: Option<SocketAddr>,
    /// Where it is asked over gRPC; nowhere unless given.
    pub grpc: Option<SocketAddr>,
    /// Begins the path of every check of `ext_authz`, such as `/check`; empty where the whole path
    /// is the user's. Where it is given, other paths are requests for the pages of this process.
    pub path_prefix: Box<str>,
    /// Peers that are believed when they say who a client is and what it asked for:
    /// `x-forwarded-*`, `x-original-*`. Others are asked for themselves.
    pub trusted_peers: Vec<IpNet>,
    /// What browsers speak, where no trusted peer says it.
    pub scheme: Scheme,
}

impl Default for AuthorizerSettings {
    fn default() -> Self {
        let loopback = [
            (IpAddr::from(Ipv4Addr::LOCALHOST), 8),
            (IpAddr::from(Ipv6Addr::LOCALHOST), 128),
        ];
        Self {
            http: None,
            grpc: None,
            path_prefix: Box::default(),
            trusted_peers: loopback
                .into_iter()
                .filter_map(|(address, length)| IpNet::new(address, length).ok())
                .collect(),
            scheme: Scheme::Https,
        }
    }
}

/// What browsers speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `https`.
    Https,
    /// `http`.
    Http,
}

impl Scheme {
    /// As URLs write it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }
}

/// What a listening socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// The connections of a `Gateway` port.
    Gateway(u16),
    /// Other proxies that ask over HTTP.
    AuthorizerHttp,
    /// Other proxies that ask over gRPC.
    AuthorizerGrpc,
}

/// An open listening socket.
#[derive(Clone, Debug)]
pub struct Listening {
    /// What for.
    pub purpose: Purpose,
    /// The socket.
    pub socket: Arc<TcpListener>,
}

/// How a Gateway port is bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenAt {
    /// The address; port 0 picks a free one. Ports 443 and 80 have theirs in [`Settings::https`]
    /// and [`Settings::http`].
    pub address: Option<SocketAddr>,
    /// Whether connections begin with a PROXY protocol header; `None` leaves it to the mesh.
    pub proxy_protocol: Option<bool>,
}

/// Limits that protect the process from its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open client connections of the whole process.
    pub connections: usize,
    /// Time for a TLS handshake.
    pub handshake: Duration,
    /// Time for the whole head of a request.
    pub head: Duration,
    /// Time that a connection may stay without any request.
    pub idle: Duration,
    /// Time that a body may stand still because of the client.
    pub body: Duration,
    /// Time that a stream whose bytes are passed on may stay silent.
    pub stream_idle: Duration,
    /// Requests that one HTTP/2 connection may have open.
    pub streams: u32,
    /// Bytes of a request head.
    pub head_bytes: usize,
    /// Bytes of a request body that a local service reads.
    pub local_body: usize,
    /// Time to connect to an upstream.
    pub connect: Duration,
    /// Time that an unused upstream connection is kept.
    pub upstream_idle: Duration,
    /// Unused upstream connections kept for each address and worker.
    pub upstream_kept: usize,
    /// Bytes of a request body that are kept in case it must be sent again.
    pub replay: usize,
    /// Requests in flight of the whole process; more are answered 503.
    pub requests: usize,
    /// Bytes of memory in use above which requests are answered 503; `None` takes nine tenths of
    /// what the container may use.
    pub memory: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
            idle: Duration::from_secs(180),
            body: Duration::from_secs(60),
            stream_idle: Duration::from_secs(3600),
            streams: 200,
            head_bytes: 60 * 1024,
            local_body: 1024 * 1024,
            connect: Duration::from_secs(10),
            upstream_idle: Duration::from_secs(60),
            upstream_kept: 256,
            replay: 64 * 1024,
            requests: 32_768,
            memory: None,
        }
    }
}

/// `HOST[:PORT]=ADDR`: where a Service lives when there is no cluster DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveRule {
    /// `None` for `*`.
    host: Option<Arc<str>>,
    port: Option<u16>,
    target: Target,
}

/// Where a rule leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// An address or a name.
    pub(crate) host: Arc<str>,
    /// The Service port unless given.
    pub(crate) port: Option<u16>,
}

impl ResolveRule {
    /// How well this rule fits; `None` when it does not, higher is more specific.
    fn fit(&self, destination: &Destination) -> Option<u8> {
        if self
            .port
            .is_some_and(|port| port != destination.service.port)
        {
            return None;
        }
        let named = match &self.host {
            None => 0,
            Some(host) if is_name_of(host, destination) => 2,
            Some(_) => return None,
        };
        Some(named + u8::from(self.port.is_some()))
    }

    /// The most specific of `rules` for a destination.
    pub(crate) fn choose<'a>(rules: &'a [Self], destination: &Destination) -> Option<&'a Target> {
        rules
            .iter()
            .filter_map(|rule| Some((rule.fit(destination)?, rule)))
            .max_by_key(|(fit, _)| *fit)
            .map(|(_, rule)| &rule.target)
    }
}

impl ResolveRule {
    /// Where a host of a URL lives by the most specific of `rules`: its full name, or
    /// `name.namespace` of a Service. A rule for everything is not about hosts elsewhere.
    pub fn reach(rules: &[Self], host: &str, port: u16) -> Option<(Arc<str>, u16)> {
        let fits = |rule: &&Self| {
            let is_named = rule.host.as_deref().is_some_and(|named| {
                let rest = host
                    .get(..named.len())
                    .filter(|start| start.eq_ignore_ascii_case(named))
                    .map(|start| &host[start.len()..]);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(".svc."))
            });
            is_named && rule.port.is_none_or(|named| named == port)
        };
        let rule = rules
            .iter()
            .filter(fits)
            .max_by_key(|rule| rule.port.is_some())?;
        let Target { host, port: at } = &rule.target;
        Some((Arc::clone(host), at.unwrap_or(port)))
    }
}

/// `name.namespace`, `name.namespace.svc`, or the full host name.
fn is_name_of(host: &str, destination: &Destination) -> bool {
    if host == &*destination.host {
        return true;
    }
    let service = &destination.service;
    host.strip_prefix(&*service.name)
        .and_then(|rest| rest.strip_prefix('.'))
        .and_then(|rest| rest.strip_prefix(&*service.namespace))
        .is_some_and(|rest| rest.is_empty() || rest == ".svc")
}

/// What is wrong with a [`ResolveRule`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolveRuleFault {
    /// There is no `=`.
    NoEqualsSign,
    /// Nothing stands before or after the `=`.
    Empty,
    /// A port is no number from 1 to 65535.
    Port,
}

impl fmt::Display for ResolveRuleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEqualsSign => "a rule is written `HOST[:PORT]=ADDR`, and this one has no `=`",
            Self::Empty => "a rule is written `HOST[:PORT]=ADDR`, and one side of this is empty",
            Self::Port => "the port is no number from 1 to 65535",
        })
    }
}

impl std::error::Error for ResolveRuleFault {}

impl FromStr for ResolveRule {
    type Err = ResolveRuleFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (left, right) = text.split_once('=').ok_or(ResolveRuleFault::NoEqualsSign)?;
        let (host, port) = split_port(left)?;
        let (address, target_port) = split_port(right)?;
        Ok(Self {
            host: (host != "*").then(|| host.to_ascii_lowercase().into()),
            port,
            target: Target {
                host: address.into(),
                port: target_port,
            },
        })
    }
}

/// Splits `host`, `host:port`, `1::2`, `[1::2]` or `[1::2]:port`.
fn split_port(text: &str) -> Result<(&str, Option<u16>), ResolveRuleFault> {
    let text = text.trim();
    let number = |port: &str| match port.parse::<u16>() {
        Ok(0) | Err(_) => Err(ResolveRuleFault::Port),
        Ok(port) => Ok(Some(port)),
    };
    let (host, port) = if text.parse::<IpAddr>().is_ok() {
        (text, None)
    } else if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(ResolveRuleFault::Port)?;
        let port = rest.strip_prefix(':').map_or(Ok(None), number)?;
        (host, port)
    } else if let Some((host, port)) = text.split_once(':') {
        (host, number(port)?)
    } else {
        (text, None)
    };
    if host.is_empty() {
        Err(ResolveRuleFault::Empty)
    } else {
        Ok((host, port))
    }
}

#[cfg(test)]
mod tests {
    use model::snapshot::{Endpoints, PlayedBy, ServiceRef, UpstreamProtocol};

    use super::*;

    fn destination(name: &str, port: u16) -> Destination {
        Destination {
            service: ServiceRef {
                namespace: "kubeflow".into(),
                name: name.into(),
                port,
            },
            host: format!("{name}.kubeflow.svc.cluster.local").into(),
            target_port: port,
            played_by: PlayedBy::Upstream,
            protocol: UpstreamProtocol::default(),
            tls: None,
            endpoints: Endpoints::default(),
            traffic: Arc::default(),
            policies: model::snapshot::PolicySet::default(),
            authentication: model::snapshot::Authentication::default(),
        }
    }

    fn chosen(rules: &[&str], destination: &Destination) -> Option<(String, Option<u16>)> {
        let rules: Vec<ResolveRule> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        ResolveRule::choose(&rules, destination)
            .map(|target| (target.host.to_string(), target.port))
    }

    #[test]
    fn the_most_specific_rule_wins_in_any_order() {
        let ui = destination("ml-pipeline-ui", 80);
        let rules = [
            "*=1.1.1.1",
            "ml-pipeline-ui.kubeflow=2.2.2.2:7",
            "*:80=3.3.3.3",
        ];
        assert_eq!(chosen(&rules, &ui), Some(("2.2.2.2".into(), Some(7))));
        assert_eq!(
            chosen(&rules, &destination("a", 80)),
            Some(("3.3.3.3".into(), None))
        );
        assert_eq!(
            chosen(&rules, &destination("a", 81)),
            Some(("1.1.1.1".into(), None))
        );
        let rules = ["a.kubeflow=1.1.1.1", "a.kubeflow.svc:81=2.2.2.2"];
        assert_eq!(
            chosen(&rules, &destination("a", 81)),
            Some(("2.2.2.2".into(), None))
        );
        assert_eq!(chosen(&rules, &destination("ab", 81)), None);
    }

    #[test]
    fn a_full_host_name_and_an_ipv6_address_are_understood() {
        let a = destination("a", 80);
        let rules = ["A.kubeflow.svc.cluster.local=[::1]:9000"];
        assert_eq!(chosen(&rules, &a), Some(("::1".into(), Some(9000))));
        assert_eq!(chosen(&["*=::1"], &a), Some(("::1".into(), None)));
        assert_eq!(
            chosen(&["*=localhost:1"], &a),
            Some(("localhost".into(), Some(1)))
        );
    }

    #[test]
    fn a_rule_that_says_nothing_is_refused() {
        let parse = |text: &str| text.parse::<ResolveRule>().unwrap_err();
        assert_eq!(parse("a"), ResolveRuleFault::NoEqualsSign);
        assert_eq!(parse("=1.1.1.1"), ResolveRuleFault::Empty);
        assert_eq!(parse("a="), ResolveRuleFault::Empty);
        assert_eq!(parse("a:0=1.1.1.1"), ResolveRuleFault::Port);
        assert_eq!(parse("a=1.1.1.1:70000"), ResolveRuleFault::Port);
    }
}
