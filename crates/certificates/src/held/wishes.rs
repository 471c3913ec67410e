//! What the manifests ask for, and the certificates that were issued for it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use model::finding::codes;
use model::names::{Host, HostPattern, Timestamp};
use model::snapshot::{Chain, ComputedHost, ServedCertificate, Serves, WantedCertificate};
use model::{Finding, Severity, Snapshot};
use rustls::SignatureAlgorithm;

use crate::authority::{Authority, Issued};
use crate::brought::{Pairs, day, distinct};
use crate::clients;
use crate::copies;
use crate::depth;
use crate::names::{LIFETIME, NameFault, Names, is_dns_name, wildcard_for};
use crate::plan::{Action, plan};
use crate::table::{Answer, Pair, Table};

/// The last snapshot's wishes, and the key ring of the own authority.
#[derive(Default)]
pub(super) struct Wishes {
    pub(super) pairs: Pairs,
    pub(super) wanted: Vec<WantedCertificate>,
    /// Every host that a `Gateway` server names.
    pub(super) hosts: BTreeSet<HostPattern>,
    pub(super) own_names: Vec<String>,
    /// What is wrong with the authorities of clients.
    trusted: Vec<Finding>,
    /// Hosts that Knative and KServe make.
    computed: Vec<ComputedHost>,
    ring: BTreeMap<Names, Issued>,
}

/// What this round needs of the own authority, by what it is for.
struct Round {
    default: Option<Names>,
    default_names: BTreeSet<Host>,
    /// Certificates that objects ask for, and their hosts.
    asked: Vec<(Names, Vec<HostPattern>)>,
    /// Hosts without a pair: one certificate each, or `None` to issue on demand.
    bare: BTreeMap<HostPattern, Option<Names>>,
}

impl Wishes {
    pub(super) fn take(&mut self, snapshot: &Snapshot, own_names: &[String]) {
        self.bring(snapshot.certificates());
        self.computed = snapshot.computed_hosts().to_vec();
        self.wanted = snapshot.wanted_certificates().to_vec();
        let listeners = snapshot.listeners().values();
        self.hosts = listeners
            .flat_map(|listener| listener.chains())
            .filter(|chain| ends_tls(chain))
            .flat_map(|chain| chain.hosts.iter().cloned())
            .collect();
        self.own_names = own_names.to_vec();
        self.trusted = clients::check(snapshot);
        let spare = snapshot.spare_certificates();
        self.trusted.extend(copies::check(&self.pairs, spare));
    }

    /// Takes the key pairs of the manifests; those that are known already are not read again.
    pub(super) fn bring(&mut self, served: &[ServedCertificate]) {
        self.pairs = std::mem::take(&mut self.pairs).with(served);
    }

    /// The table for this moment, and what is wrong.
    pub(super) fn fulfil(
        &mut self,
        authority: &Authority,
        now: Timestamp,
    ) -> (Table, Vec<Finding>) {
        let mut findings = self.trusted.clone();
        let brought = self.brought(now, &mut findings);
        let round = self.round(&brought, &mut findings);
        self.issue(&round, authority, now);
        let table = self.table(round, brought);
        let hosts = self.hosts.iter().collect();
        findings.extend(depth::check(&self.pairs, &hosts, &self.computed));
        findings.extend(ending(authority, now));
        distinct(&mut findings);
        (table, findings)
    }

    /// Pairs of the manifests that can serve, by host, best first.
    fn brought(
        &self,
        now: Timestamp,
        findings: &mut Vec<Finding>,
    ) -> BTreeMap<HostPattern, Vec<Pair>> {
        let mut by_host: BTreeMap<HostPattern, Vec<Pair>> = BTreeMap::new();
        for (served, outcome) in self.pairs.all() {
            findings.extend(outcome.judge(served, now));
            let Ok(brought) = outcome.at(now) else {
                continue;
            };
            let pair = Pair {
                key: Arc::clone(&brought.key),
                validity: brought.validity,
            };
            for host in &served.hosts {
                by_host.entry(host.clone()).or_default().push(pair.clone());
            }
        }
        for pairs in by_host.values_mut() {
            // ECDSA before RSA, which is there for clients that verify nothing else. The sort is
            // stable: among equals the order of the manifests decides.
            pairs.sort_by_key(|pair| {
                let is_rsa = pair.key.key.algorithm() == SignatureAlgorithm::RSA;
                (is_rsa, std::cmp::Reverse(pair.validity.not_after))
            });
        }
        by_host
    }

    fn round(
        &self,
        brought: &BTreeMap<HostPattern, Vec<Pair>>,
        findings: &mut Vec<Finding>,
    ) -> Round {
        let asked = self.asked(findings);
        let promised: HashSet<&HostPattern> = asked.iter().flat_map(|(_, hosts)| hosts).collect();
        let taken = |host: &HostPattern| brought.contains_key(host) || promised.contains(host);
        let (default, default_names) = self.default_certificate();
        let served = self.pairs.all().flat_map(|(served, _)| &served.hosts);
        let wanted = self.wanted.iter().flat_map(|wanted| &wanted.hosts);
        let bare = self.hosts.iter().chain(served).chain(wanted);
        let bare = bare
            .filter(|host| !taken(host))
            .map(|host| {
                let name = match host {
                    HostPattern::Exact(name) => Some(name.to_string()),
                    other => wildcard_for(other),
                };
                (host.clone(), name.and_then(|name| Names::of(&name).ok()))
            })
            .collect();
        Round {
            default,
            default_names,
            asked,
            bare,
        }
    }

    /// Certificates that objects ask for, as far as any certificate can carry their names.
    fn asked(&self, findings: &mut Vec<Finding>) -> Vec<(Names, Vec<HostPattern>)> {
        let mut asked = Vec::new();
        for wanted in &self.wanted {
            let dns = wanted.dns_names.iter().map(|name| &**name);
            match Names::new(dns, wanted.addresses.iter().copied(), wanted.duration) {
                Ok(names) => asked.push((names, wanted.hosts.clone())),
                Err(fault) => findings.push(unissuable(wanted, &fault)),
            }
        }
        asked
    }

    /// The certificate for this machine's own names, and which of them can be server names.
    fn default_certificate(&self) -> (Option<Names>, BTreeSet<Host>) {
        let mut dns = BTreeSet::from(["localhost".to_owned()]);
        let mut addresses = BTreeSet::from([[127, 0, 0, 1].into(), IpAddr::from(LOOPBACK_6)]);
        let hosts = self.hosts.iter().filter_map(|host| match host {
            // Clients never send an address as a server name: the default has to name it.
            HostPattern::Exact(name) if name.as_str().parse::<IpAddr>().is_ok() => {
                Some(name.as_str())
            }
            _ => None,
        });
        for name in self.own_names.iter().map(String::as_str).chain(hosts) {
            let lower = name.trim_end_matches('.').to_ascii_lowercase();
            if let Ok(address) = lower.parse() {
                addresses.insert(address);
            } else if is_dns_name(&lower) {
                dns.insert(lower);
            } else {
                tracing::warn!(name, "not a name that a certificate can carry");
            }
        }
        let names = Names::new(dns.iter().map(String::as_str), addresses, LIFETIME).ok();
        (names, dns.iter().map(|name| Host::new(name)).collect())
    }

    /// Brings the key ring in line. What cannot be renewed goes on serving.
    fn issue(&mut self, round: &Round, authority: &Authority, now: Timestamp) {
        let asked = round.asked.iter().map(|(names, _)| names);
        let bare = round.bare.values().flatten();
        let wanted = round
            .default
            .iter()
            .chain(asked)
            .chain(bare)
            .cloned()
            .collect();
        let held = self
            .ring
            .iter()
            .map(|(names, issued)| (names.clone(), issued.validity));
        for action in plan(&wanted, &held.collect(), now) {
            let names = match action {
                Action::Drop(names) => {
                    self.ring.remove(&names);
                    continue;
                }
                Action::Issue(names) | Action::Renew(names) => names,
            };
            match authority.issue(&names, now) {
                Ok(issued) => {
                    self.ring.insert(names, issued);
                }
                Err(fault) => tracing::error!(%fault, "a certificate could not be issued"),
            }
        }
    }

    fn table(&self, round: Round, brought: BTreeMap<HostPattern, Vec<Pair>>) -> Table {
        let pair = |names: &Names| {
            let issued = self.ring.get(names)?;
            Some(Pair {
                key: issued.key.clone(),
                validity: issued.validity,
            })
        };
        let default = round.default.as_ref().and_then(pair).into_iter().collect();
        let mut table = Table::new(default, round.default_names);
        for (host, names) in round.bare {
            let answer = match (names.as_ref().and_then(pair), &host) {
                (Some(pair), HostPattern::Suffix(_)) => Answer::OneLabel(pair),
                (Some(pair), _) => Answer::Pairs(vec![pair]),
                (None, _) => Answer::OnDemand,
            };
            table.set(host, answer);
        }
        for (names, hosts) in round.asked {
            let Some(pair) = pair(&names) else { continue };
            for host in hosts {
                table.set(host, Answer::Pairs(vec![pair.clone()]));
            }
        }
        for (host, pairs) in brought {
            table.set(host, Answer::Pairs(pairs));
        }
        table
    }
}

/// TLS that is passed on, and bytes, need no certificate from here; plain HTTP may be served over
/// HTTPS too.
fn ends_tls(chain: &Chain) -> bool {
    chain.tls.is_some() || matches!(chain.serves, Serves::Http(_))
}

const LOOPBACK_6: [u16; 8] = [0, 0, 0, 0, 0, 0, 0, 1];

fn unissuable(wanted: &WantedCertificate, fault: &NameFault) -> Finding {
    let what = match fault {
        NameFault::Nothing => "names nothing".to_owned(),
        NameFault::NotDns(name) => format!("names `{name}`, which is no host name"),
    };
    Finding {
        code: codes::CERTIFICATE_UNISSUABLE,
        severity: Severity::Error,
        place: None,
        object: Some(wanted.object.clone()),
        field: "spec.dnsNames".into(),
        fault: format!(
            "`{}` {what}, so no certificate is issued for it",
            wanted.object
        ),
        remedy: "name hosts as `a.example.com` or `*.example.com`, and addresses in `ipAddresses`"
            .into(),
    }
}

/// The own authority's last year: whoever trusts it needs time to trust the next.
fn ending(authority: &Authority, now: Timestamp) -> Option<Finding> {
    let validity = authority.validity();
    (now >= validity.last(10)).then(|| Finding {
        code: codes::AUTHORITY_ENDS_SOON,
        severity: Severity::Warning,
        place: None,
        object: None,
        field: String::new(),
        fault: format!(
            "doorward's own authority expires on {}",
            day(validity.not_after)
        ),
        remedy: "stop doorward, move `ca.crt` and `ca.key` out of the state directory, start it, \
                 and let clients trust the new `ca.crt`"
            .into(),
    })
}
