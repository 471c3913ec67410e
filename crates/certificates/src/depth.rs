//! Hosts that Knative and KServe make, against the certificates that are served for them.
//!
//! A host two labels below a domain is covered by a `Gateway` host `*.domain`, and not by a
//! certificate for `*.domain`: its star stands for one label.

use std::collections::{BTreeSet, HashMap};

use model::finding::codes;
use model::names::HostPattern;
use model::snapshot::{ComputedHost, ServedCertificate};
use model::{Finding, Severity};

use crate::brought::{Brought, Pairs};

/// Hosts whose certificate does not name them. `hosts` are all that servers name: one that is
/// closer and has no key pair is served with a certificate of the own authority.
pub(crate) fn check(
    pairs: &Pairs,
    hosts: &BTreeSet<&HostPattern>,
    computed: &[ComputedHost],
) -> Vec<Finding> {
    if computed.is_empty() {
        return Vec::new();
    }
    let mut by_host: HashMap<&HostPattern, Vec<(&ServedCertificate, &Brought)>> = HashMap::new();
    for (served, outcome) in pairs.all() {
        let Some(brought) = outcome.pair() else {
            continue;
        };
        for host in &served.hosts {
            by_host.entry(host).or_default().push((served, brought));
        }
    }
    let uncovered = computed.iter().filter_map(|one| {
        let exact = HostPattern::Exact(one.host.clone());
        let mut patterns = patterns(&exact);
        let pattern = patterns.find(|one| by_host.contains_key(one) || hosts.contains(one))?;
        let serving = by_host.get(&pattern)?;
        let is_named = serving.iter().any(|(_, brought)| brought.names(&exact));
        let (served, brought) = serving.first().filter(|_| !is_named)?;
        Some(finding(one, served, brought))
    });
    uncovered.collect()
}

/// The patterns that cover a name, closest first.
fn patterns(exact: &HostPattern) -> impl Iterator<Item = HostPattern> {
    let name = match exact {
        HostPattern::Exact(host) => host.as_str(),
        HostPattern::Suffix(_) | HostPattern::Any => "",
    };
    let dots = name.match_indices('.').filter(|(at, _)| *at > 0);
    let suffixes = dots.map(|(at, _)| HostPattern::Suffix(name[at..].into()));
    std::iter::once(exact.clone())
        .chain(suffixes)
        .chain([HostPattern::Any])
}

fn finding(one: &ComputedHost, served: &ServedCertificate, brought: &Brought) -> Finding {
    let host = one.host.as_str();
    // The star that would have covered it, had the name one label less.
    let above = brought
        .stars()
        .find(|star| host.ends_with(&star[1..]) && host.len() > star.len());
    let below = host.split_once('.').map_or(host, |(_, below)| below);
    let (why, remedy) = match above {
        Some(star) => (
            format!("names `{star}`, which covers one label only"),
            format!(
                "set `domain-template` in ConfigMap knative-serving/config-network to \
                 `{{{{.Name}}}}-{{{{.Namespace}}}}.{{{{.Domain}}}}`, or issue the certificate for `*.{below}` too"
            ),
        ),
        None => (
            "does not name it".to_owned(),
            format!("issue the certificate for `{host}` or `*.{below}` too"),
        ),
    };
    Finding {
        code: codes::CERTIFICATE_DEPTH,
        severity: Severity::Error,
        place: Some(one.place.clone()),
        object: Some(one.object.clone()),
        field: String::new(),
        fault: format!(
            "clients refuse `{host}`: the certificate in `{}` {why}",
            served.object
        ),
        remedy,
    }
}
