//! What `doorward.yaml` says of the listeners that other proxies ask.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use gateway::{AuthorizerSettings, Scheme};
use ipnet::IpNet;
use serde::Deserialize;

/// `authorizer:`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct AuthorizerConfig {
    /// Addresses and networks that are believed when they say for whom they ask.
    pub(crate) trusted_peers: Option<Vec<String>>,
    /// What begins the path of a check.
    pub(crate) path_prefix: Option<String>,
    /// What browsers speak, where nobody says it.
    pub(crate) scheme: Option<SchemeConfig>,
}

/// `https` or `http`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SchemeConfig {
    Https,
    Http,
}

/// What is wrong with them. The operator is at fault.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AuthorizerFault {
    /// No address and no network.
    Peer(String),
    /// Bits of the address are beyond its network.
    HostBits(String, IpNet),
    /// A prefix that no path begins with.
    Prefix(String),
}

impl fmt::Display for AuthorizerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(text) => write!(
                f,
                "`authorizer.trustedPeers` has `{text}`, which is no address and no network\nhelp: write it such as `10.0.0.0/8`, `192.0.2.7` or `::1`"
            ),
            Self::HostBits(text, network) => write!(
                f,
                "`authorizer.trustedPeers` has `{text}`, whose address is longer than its network\nhelp: `{network}` is the whole network"
            ),
            Self::Prefix(text) => write!(
                f,
                "`authorizer.pathPrefix` is `{text}`, which no path begins with\nhelp: write it such as `/check`, as `path_prefix` of the proxy has it"
            ),
        }
    }
}

impl AuthorizerConfig {
    /// The settings; `peers` are those of flags or environment, which win.
    pub(crate) fn settings(
        self,
        http: Option<SocketAddr>,
        grpc: Option<SocketAddr>,
        peers: Vec<String>,
    ) -> Result<AuthorizerSettings, AuthorizerFault> {
        let Self {
            trusted_peers,
            path_prefix,
            scheme,
        } = self;
        let usual = AuthorizerSettings::default();
        let peers = if peers.is_empty() {
            trusted_peers
        } else {
            Some(peers)
        };
        Ok(AuthorizerSettings {
            http,
            grpc,
            trusted_peers: match peers {
                Some(peers) => peers
                    .iter()
                    .map(|one| peer(one))
                    .collect::<Result<_, _>>()?,
                None => usual.trusted_peers,
            },
            path_prefix: match path_prefix {
                Some(text) => prefix(text)?,
                None => usual.path_prefix,
            },
            scheme: match scheme {
                Some(SchemeConfig::Https) => Scheme::Https,
                Some(SchemeConfig::Http) => Scheme::Http,
                None => usual.scheme,
            },
        })
    }
}

fn peer(text: &str) -> Result<IpNet, AuthorizerFault> {
    let text = text.trim();
    let network = match text.parse::<IpNet>() {
        Ok(network) => network,
        Err(_) => {
            let address = text.parse::<IpAddr>().map(IpNet::from);
            return address.map_err(|_| AuthorizerFault::Peer(text.to_owned()));
        }
    };
    if network.trunc() == network {
        Ok(network)
    } else {
        Err(AuthorizerFault::HostBits(text.to_owned(), network.trunc()))
    }
}

/// Without a slash at the end: a whole path follows.
fn prefix(text: String) -> Result<Box<str>, AuthorizerFault> {
    let bare = text.trim_end_matches('/');
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    if (bare.is_empty() || bare.starts_with('/')) && bare.bytes().all(is_plain) {
        Ok(bare.into())
    } else {
        Err(AuthorizerFault::Prefix(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(trusted: Option<&[&str]>, prefix: &str) -> Result<AuthorizerSettings, AuthorizerFault> {
        let config = AuthorizerConfig {
            trusted_peers: trusted.map(|all| all.iter().map(ToString::to_string).collect()),
            path_prefix: Some(prefix.to_owned()),
            scheme: None,
        };
        config.settings(None, None, Vec::new())
    }

    #[test]
    fn this_machine_is_trusted_unless_others_are_named() {
        let trusts = |settings: &AuthorizerSettings, address: &str| {
            let address = address.parse::<std::net::IpAddr>().unwrap();
            settings
                .trusted_peers
                .iter()
                .any(|it| it.contains(&address))
        };
        let usual = of(None, "").unwrap();
        assert!(trusts(&usual, "127.0.0.7") && trusts(&usual, "::1"));
        assert!(!trusts(&usual, "10.0.0.1"));
        let named = of(Some(&["10.0.0.0/8", "192.0.2.7"]), "").unwrap();
        assert!(trusts(&named, "10.9.9.9") && trusts(&named, "192.0.2.7"));
        assert!(!trusts(&named, "192.0.2.8") && !trusts(&named, "127.0.0.1"));
        let nobody = of(Some(&[]), "").unwrap();
        assert!(nobody.trusted_peers.is_empty());
        let flag = AuthorizerConfig::default().settings(None, None, vec!["::/0".to_owned()]);
        assert!(trusts(&flag.unwrap(), "2001:db8::1"));
    }

    #[test]
    fn what_names_nobody_is_refused_with_a_remedy() {
        assert_eq!(
            of(Some(&["envoy"]), "").unwrap_err(),
            AuthorizerFault::Peer("envoy".into())
        );
        let fault = of(Some(&["10.1.2.3/8"]), "").unwrap_err().to_string();
        assert!(fault.contains("help: `10.0.0.0/8`"), "{fault}");
        for bad in ["check", "/a?b", "/a b", "/%41"] {
            let fault = of(None, bad).unwrap_err();
            assert_eq!(fault, AuthorizerFault::Prefix(bad.into()));
        }
        assert_eq!(&*of(None, "/check/").unwrap().path_prefix, "/check");
        assert_eq!(&*of(None, "/").unwrap().path_prefix, "");
    }
}
