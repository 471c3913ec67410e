//! Listeners that other proxies ask, as `doorward.yaml` sets them up.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use model::finding::{Code, codes};
use model::names::Place;
use model::{Finding, Severity};

use crate::config::{AuthorizerConfig, FileConfig, SchemeConfig, beside};

/// What is wrong with them in the settings beside `paths`. That these cannot be read, the reader of the
/// manifests has told.
pub(super) fn check(paths: &[PathBuf]) -> Vec<Finding> {
    let Some(file) = beside(paths) else {
        return Vec::new();
    };
    let settings = FileConfig::read(&file);
    settings.map_or_else(|_| Vec::new(), |settings| look(&settings, &file))
}

fn look(settings: &FileConfig, file: &Path) -> Vec<Finding> {
    let FileConfig {
        authorizer_http,
        authorizer_grpc,
        authorizer,
        ..
    } = settings;
    let AuthorizerConfig {
        trusted_peers,
        path_prefix,
        scheme,
    } = authorizer;
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut findings = Findings {
        file: file.display().to_string(),
        text,
        found: Vec::new(),
    };
    let listeners = [
        ("authorizerHttp", authorizer_http),
        ("authorizerGrpc", authorizer_grpc),
    ];
    for (field, address) in listeners {
        if let Some(address) = address {
            exposed(field, *address, &mut findings);
        }
    }
    let peers = trusted_peers.as_deref();
    let everybody = peers.and_then(|peers| peers.iter().find(|peer| is_everybody(peer)));
    if let Some(everybody) = everybody {
        findings.add(
            codes::ASKED_TRUST,
            Severity::Error,
            "trustedPeers",
            format!(
                "`{everybody}` is everybody: any client may say where it is, and describe requests of others"
            ),
            "name the addresses of the proxies",
        );
    }
    // Over gRPC the question itself says it.
    if let Some(address) = authorizer_http.filter(|address| !address.ip().is_loopback())
        && peers.is_none_or(|peers| peers.iter().all(|peer| is_loopback(peer)))
    {
        findings.add(
            codes::ASKED_STRANGERS,
            Severity::Warning,
            "authorizerHttp",
            format!(
                "proxies may ask at `{address}`, and none but those of this machine are believed when they say for whom"
            ),
            "name their addresses in `authorizer.trustedPeers`",
        );
    }
    let says_how = peers.is_some() || path_prefix.is_some() || scheme.is_some();
    if says_how && authorizer_http.is_none() && authorizer_grpc.is_none() {
        findings.add(
            codes::ASKED_NOWHERE,
            Severity::Warning,
            "authorizer",
            "it says how other proxies are answered, and nothing here lets them ask".to_owned(),
            "write `authorizerHttp` or `authorizerGrpc`, or start with the flag of that name",
        );
    }
    if *scheme == Some(SchemeConfig::Http) {
        findings.add(
            codes::ASKED_SCHEME,
            Severity::Warning,
            "scheme",
            "browsers are taken to use plain HTTP where no trusted peer says otherwise, so session cookies are not `Secure`"
                .to_owned(),
            "remove it, unless nobody uses HTTPS",
        );
    }
    findings.found
}

fn exposed(field: &str, address: SocketAddr, findings: &mut Findings) {
    let (severity, fault) = match address.ip() {
        ip if ip.is_unspecified() => (
            Severity::Warning,
            format!(
                "`{address}` is every address of this machine, and questions come in the clear"
            ),
        ),
        ip if is_private(ip) => return,
        _ => (
            Severity::Error,
            format!("`{address}` is a public address, and questions come in the clear"),
        ),
    };
    findings.add(
        codes::ASKED_EXPOSED,
        severity,
        field,
        fault,
        "bind it to a loopback or private address, or let only the proxies reach it",
    );
}

/// Addresses that nobody routes over the Internet: loopback, RFC 1918, RFC 3927, RFC 6598,
/// RFC 4193, RFC 4291 §2.5.6.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let is_shared = first == 100 && second & 0xc0 == 64;
            address.is_loopback() || address.is_private() || address.is_link_local() || is_shared
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

fn network(peer: &str) -> Option<IpNet> {
    let peer = peer.trim();
    peer.parse()
        .or_else(|_| peer.parse::<IpAddr>().map(IpNet::from))
        .ok()
}

fn is_everybody(peer: &str) -> bool {
    network(peer).is_some_and(|network| network.prefix_len() == 0)
}

fn is_loopback(peer: &str) -> bool {
    network(peer)
        .is_some_and(|network| network.network().is_loopback() && network.broadcast().is_loopback())
}

struct Findings {
    file: String,
    text: String,
    found: Vec<Finding>,
}

impl Findings {
    fn add(&mut self, code: Code, severity: Severity, field: &str, fault: String, remedy: &str) {
        let is_named = |line: &str| {
            let rest = line.trim_start().strip_prefix(field);
            rest.is_some_and(|rest| rest.trim_start().starts_with(':'))
        };
        let line = self.text.lines().position(is_named);
        let line = line.and_then(|line| u32::try_from(line + 1).ok());
        self.found.push(Finding {
            code,
            severity,
            place: Some(Place::new(&*self.file, line.unwrap_or(1))),
            object: None,
            field: field.to_owned(),
            fault,
            remedy: remedy.to_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(String, Severity, u32)> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("doorward.yaml");
        fs::write(&file, text).unwrap();
        FileConfig::read(&file).unwrap();
        let findings = check(&[directory.path().to_owned()]).into_iter();
        let told = findings.map(|finding| {
            let line = finding.place.map_or(0, |place| place.line);
            (finding.code.to_string(), finding.severity, line)
        });
        told.collect()
    }

    #[test]
    fn listeners_for_themselves_or_for_named_proxies_are_well() {
        for text in [
            "",
            "authorizerHttp: 127.0.0.1:9191\nauthorizerGrpc: '[::1]:9192'\n",
            "authorizerHttp: 10.0.0.7:9191\nauthorizer: {trustedPeers: [10.0.0.0/8]}\n",
            "authorizerGrpc: 192.168.0.7:9192\n",
            "authorizerHttp: 100.64.0.1:9191\nauthorizer: {scheme: https, trustedPeers: ['fd00::/8', 127.0.0.1]}\n",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn each_fault_is_told_where_it_stands() {
        use Severity::{Error, Warning};
        let table = [
            (
                "authorizerGrpc: 203.0.113.7:9192\n",
                vec![("DW1401", Error, 1)],
            ),
            (
                "http: 127.0.0.1:80\nauthorizerGrpc: 0.0.0.0:9192\n",
                vec![("DW1401", Warning, 2)],
            ),
            (
                "authorizerGrpc: '[2001:db8::1]:9192'\n",
                vec![("DW1401", Error, 1)],
            ),
            (
                "authorizerHttp: 127.0.0.1:9191\nauthorizer:\n  trustedPeers: [10.0.0.1, 0.0.0.0/0]\n",
                vec![("DW1402", Error, 3)],
            ),
            (
                "authorizerHttp: 127.0.0.1:9191\nauthorizer: {trustedPeers: ['::/0']}\n",
                vec![("DW1402", Error, 1)],
            ),
            (
                "authorizerHttp: 10.0.0.7:9191\n",
                vec![("DW1403", Warning, 1)],
            ),
            (
                "authorizerHttp: 10.0.0.7:9191\nauthorizer: {trustedPeers: []}\n",
                vec![("DW1403", Warning, 1)],
            ),
            (
                "authorizer:\n  pathPrefix: /check\n",
                vec![("DW1404", Warning, 1)],
            ),
            (
                "authorizerHttp: 127.0.0.1:9191\nauthorizer:\n  scheme: http\n",
                vec![("DW1405", Warning, 3)],
            ),
        ];
        for (text, expected) in table {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(code, severity, line)| (code.to_owned(), severity, line))
                .collect();
            assert_eq!(found(text), expected, "{text}");
        }
    }
}
