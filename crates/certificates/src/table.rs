//! Which certificate answers for which server name. Pure lookups.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use model::names::{Host, HostPattern};
use rustls::SignatureScheme;
use rustls::sign::CertifiedKey;

use crate::names::{Validity, is_dns_name};

/// A certificate in the table.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) key: Arc<CertifiedKey>,
    pub(crate) validity: Validity,
}

// A key pair is told by its certificate: the key has to match it.
impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }
}

/// What answers for a host of the manifests.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// One of these: several where there is one for each kind of key.
    Pairs(Vec<Pair>),
    /// A wildcard certificate of the own authority: it covers one label, deeper names are issued
    /// when they are asked for.
    OneLabel(Pair),
    /// Issued by the own authority when it is asked for.
    OnDemand,
}

/// Who answers a handshake.
#[derive(Debug, PartialEq)]
pub(crate) enum Choice<'a> {
    /// One of these, the first that the client can verify.
    Pairs(&'a [Pair]),
    /// A certificate for exactly this name, of the own authority.
    Demand(&'a str),
}

/// The table: exact names, then the longest suffix, then `*`, then the default certificate.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Table {
    exact: HashMap<Host, Answer>,
    suffix: HashMap<Arc<str>, Answer>,
    any: Option<Answer>,
    /// For the addresses and names of this machine, and for who names nobody we know.
    default: Vec<Pair>,
    default_names: BTreeSet<Host>,
}

impl Table {
    pub(crate) fn new(default: Vec<Pair>, default_names: BTreeSet<Host>) -> Self {
        Self {
            default,
            default_names,
            ..Self::default()
        }
    }

    pub(crate) fn set(&mut self, host: HostPattern, answer: Answer) {
        match host {
            HostPattern::Exact(name) => {
                self.exact.insert(name, answer);
            }
            HostPattern::Suffix(suffix) => {
                self.suffix.insert(suffix, answer);
            }
            HostPattern::Any => self.any = Some(answer),
        }
    }

    /// Who answers for a server name in lower case; `None` when the client names nobody.
    pub(crate) fn choose<'a>(&'a self, server_name: Option<&'a str>) -> Choice<'a> {
        let Some(name) = server_name else {
            // As in Istio, a server for `*` is also the one for clients that name nobody.
            return match &self.any {
                Some(Answer::Pairs(pairs)) => Choice::Pairs(pairs),
                _ => Choice::Pairs(&self.default),
            };
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        self.named(name).unwrap_or(Choice::Pairs(&self.default))
    }

    fn named<'a>(&'a self, name: &'a str) -> Option<Choice<'a>> {
        let answer = self.exact.get(name).or_else(|| self.by_suffix(name));
        if answer.is_none() && self.default_names.contains(name) {
            return None;
        }
        match answer.or(self.any.as_ref())? {
            Answer::Pairs(pairs) => Some(Choice::Pairs(pairs)),
            Answer::OneLabel(pair) if self.is_one_label(name) => {
                Some(Choice::Pairs(std::slice::from_ref(pair)))
            }
            Answer::OneLabel(_) | Answer::OnDemand => {
                is_dns_name(name).then_some(Choice::Demand(name))
            }
        }
    }

    /// The longest suffix that covers `name`.
    fn by_suffix(&self, name: &str) -> Option<&Answer> {
        let dots = name.match_indices('.').filter(|(at, _)| *at > 0);
        dots.filter_map(|(at, _)| self.suffix.get(&name[at..]))
            .next()
    }

    fn is_one_label(&self, name: &str) -> bool {
        name.find('.')
            .is_some_and(|at| self.suffix.contains_key(&name[at..]))
    }
}

/// The pair that a client with these signature schemes can verify, else the first, so that the
/// handshake fails with the reason the client needs.
pub(crate) fn usable<'a>(pairs: &'a [Pair], schemes: &[SignatureScheme]) -> Option<&'a Pair> {
    pairs
        .iter()
        .find(|pair| pair.key.key.choose_scheme(schemes).is_some())
        .or(pairs.first())
}
