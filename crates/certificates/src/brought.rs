//! Key pairs that the manifests bring: read, judged, and spoken about.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use model::finding::{Code, codes};
use model::names::{HostPattern, ObjectRef, Timestamp};
use model::snapshot::{Listener, ServedCertificate};
use model::{Finding, Severity, Snapshot};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;
use x509_parser::{nom, parse_x509_certificate};

use crate::clients;
use crate::copies;
use crate::depth;
use crate::names::Validity;

/// A pair that was read: everything about it that stays the same while time passes.
pub(crate) struct Brought {
    pub(crate) key: Arc<CertifiedKey>,
    pub(crate) validity: Validity,
    /// What it is for.
    pub(crate) names: Alternatives,
    is_authority: bool,
    is_ordered: bool,
}

/// Why a pair cannot serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The chain is no PEM, empty, or its first certificate cannot be read.
    Chain,
    /// The key is no PEM, or of a kind that is not served.
    Key,
    /// The key belongs to another certificate.
    Mismatch,
    /// It was valid until then.
    Expired(Timestamp),
    /// It is valid from then.
    NotYetValid(Timestamp),
}

/// What is odd about a pair that serves all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Doubt {
    /// So little time is left that its renewal must have failed.
    EndsSoon(Timestamp),
    /// It does not name a host that it is served for.
    Unnamed(HostPattern),
    /// It has no alternative names, which is all that clients look at.
    Nameless,
    /// It is marked as an authority, which some clients refuse in a server.
    Authority,
    /// A certificate of the chain was not issued by the one after it.
    Order,
}

/// What is wrong with the key pairs of `snapshot` at `now`: what [`crate::Held::apply`] says of
/// them, for a command that serves nothing.
pub fn check(snapshot: &Snapshot, now: Timestamp) -> Vec<Finding> {
    let mut findings = clients::check(snapshot);
    let pairs = Pairs::default().with(snapshot.certificates());
    findings.extend(copies::check(&pairs, snapshot.spare_certificates()));
    for (served, pair) in pairs.all() {
        findings.extend(pair.judge(served, now));
    }
    let hosts = snapshot.listeners().values().flat_map(Listener::hosts);
    let hosts: BTreeSet<&HostPattern> = hosts.collect();
    findings.extend(depth::check(&pairs, &hosts, snapshot.computed_hosts()));
    distinct(&mut findings);
    findings
}

/// A Secret that several servers name is spoken of once.
pub(crate) fn distinct(findings: &mut Vec<Finding>) {
    let mut told = BTreeSet::new();
    findings.retain(|finding| {
        told.insert((finding.code, finding.object.clone(), finding.fault.clone()))
    });
}

/// Reads a pair.
fn read(served: &ServedCertificate) -> Result<Brought, Broken> {
    let chain = CertificateDer::pem_slice_iter(served.chain.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| Broken::Chain)?;
    let key = PrivateKeyDer::from_pem_slice(served.key.expose()).map_err(|_| Broken::Key)?;
    let signing = any_supported_type(&key).map_err(|_| Broken::Key)?;
    let parsed = chain
        .iter()
        .map(|der| parse_x509_certificate(der).map(|(_, certificate)| certificate))
        .collect::<Result<Vec<_>, nom::Err<_>>>()
        .map_err(|_| Broken::Chain)?;
    let leaf = parsed.first().ok_or(Broken::Chain)?;
    let validity = validity(leaf);
    let names = Alternatives::of(leaf);
    let is_authority = leaf.is_ca();
    let is_ordered = parsed
        .windows(2)
        .all(|pair| pair[0].issuer().as_raw() == pair[1].subject().as_raw());
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(Error::InconsistentKeys(_)) => return Err(Broken::Mismatch),
        Err(_) => return Err(Broken::Chain),
    }
    Ok(Brought {
        key: Arc::new(certified),
        validity,
        names,
        is_authority,
        is_ordered,
    })
}

/// The key pairs of the manifests, each read once for as long as it stays the same.
#[derive(Default)]
pub(crate) struct Pairs {
    all: Vec<(ServedCertificate, Outcome)>,
}

/// A pair, or why there is none.
#[derive(Clone)]
pub(crate) struct Outcome(Result<Arc<Brought>, Broken>);

/// Fewer pairs than this are read by one thread.
const CHUNK: usize = 64;

impl Pairs {
    /// The pairs of a later state: those that did not change are kept.
    pub(crate) fn with(self, served: &[ServedCertificate]) -> Self {
        let mut kept: HashMap<ObjectRef, (ServedCertificate, Outcome)> = self
            .all
            .into_iter()
            .map(|(served, outcome)| (served.object.clone(), (served, outcome)))
            .collect();
        let known: Vec<Option<Outcome>> = served
            .iter()
            .map(|served| {
                let (before, outcome) = kept.remove(&served.object)?;
                (before.chain == served.chain && before.key == served.key).then_some(outcome)
            })
            .collect();
        let fresh: Vec<&ServedCertificate> = served
            .iter()
            .zip(&known)
            .filter_map(|(served, known)| known.is_none().then_some(served))
            .collect();
        let mut fresh = read_all(&fresh).into_iter();
        let outcome = |known: Option<Outcome>| known.or_else(|| fresh.next());
        let outcomes = known.into_iter().map_while(outcome);
        Self {
            all: served.iter().cloned().zip(outcomes).collect(),
        }
    }

    /// All of them, in the order of the manifests.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&ServedCertificate, &Outcome)> {
        self.all.iter().map(|(served, outcome)| (served, outcome))
    }
}

/// Checking that a key fits costs more than everything else about a change of many thousands, and
/// one pair has nothing to do with the next.
fn read_all(served: &[&ServedCertificate]) -> Vec<Outcome> {
    let some = |served: &[&ServedCertificate]| -> Vec<Outcome> {
        served
            .iter()
            .map(|one| Outcome(read(one).map(Arc::new)))
            .collect()
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let chunk = served.len().div_ceil(threads).max(CHUNK);
    if served.len() <= chunk {
        return some(served);
    }
    std::thread::scope(|scope| {
        let running: Vec<_> = served
            .chunks(chunk)
            .map(|chunk| (chunk, scope.spawn(move || some(chunk))))
            .collect();
        let joined = running
            .into_iter()
            .flat_map(|(chunk, thread)| thread.join().unwrap_or_else(|_| some(chunk)));
        joined.collect()
    })
}

impl Outcome {
    /// The pair, if it can serve at `now`.
    pub(crate) fn at(&self, now: Timestamp) -> Result<&Brought, Broken> {
        let brought = self.0.as_deref().map_err(|broken| *broken)?;
        let validity = brought.validity;
        if now > validity.not_after {
            return Err(Broken::Expired(validity.not_after));
        }
        if now < validity.not_before {
            return Err(Broken::NotYetValid(validity.not_before));
        }
        Ok(brought)
    }

    /// The pair, whatever the time.
    pub(crate) fn pair(&self) -> Option<&Brought> {
        self.0.as_deref().ok()
    }

    /// What is wrong with it or odd about it.
    pub(crate) fn judge(&self, served: &ServedCertificate, now: Timestamp) -> Vec<Finding> {
        match self.at(now) {
            Ok(brought) => brought.findings(served, now),
            Err(broken) => vec![broken.finding(served)],
        }
    }
}

/// Names and end of the first certificate of a PEM chain, where it can be read.
pub(crate) fn leaf(chain: &str) -> Option<(Alternatives, Timestamp)> {
    let der = CertificateDer::from_pem_slice(chain.as_bytes()).ok()?;
    let (_, leaf) = parse_x509_certificate(&der).ok()?;
    Some((Alternatives::of(&leaf), validity(&leaf).not_after))
}

fn validity(leaf: &X509Certificate<'_>) -> Validity {
    Validity {
        not_before: Timestamp::from_seconds(leaf.validity().not_before.timestamp()),
        not_after: Timestamp::from_seconds(leaf.validity().not_after.timestamp()),
    }
}

/// The alternative names of a certificate, in lower case, and its addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Alternatives {
    names: BTreeSet<String>,
    addresses: BTreeSet<IpAddr>,
}

impl Alternatives {
    fn of(leaf: &X509Certificate<'_>) -> Self {
        let mut all = Self::default();
        let Ok(Some(extension)) = leaf.subject_alternative_name() else {
            return all;
        };
        for name in &extension.value.general_names {
            match name {
                GeneralName::DNSName(name) => {
                    all.names.insert(name.to_ascii_lowercase());
                }
                GeneralName::IPAddress(bytes) => {
                    let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                    let address = four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
                    all.addresses.extend(address.ok());
                }
                _ => {}
            }
        }
        all
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.addresses.is_empty()
    }
}

/// RFC 9525 §6.3: a star stands for exactly one label.
fn is_named(host: &HostPattern, alternatives: &Alternatives) -> bool {
    let Alternatives { names, addresses } = alternatives;
    match host {
        HostPattern::Any => true,
        HostPattern::Suffix(suffix) => names
            .iter()
            .any(|name| name.strip_prefix('*') == Some(&**suffix)),
        HostPattern::Exact(host) => {
            let host = host.as_str();
            let parent = host.split_once('.').map(|(_, parent)| parent);
            let named = |name: &String| {
                *name == host || (parent.is_some() && name.strip_prefix("*.") == parent)
            };
            names.iter().any(named)
                || host
                    .parse()
                    .is_ok_and(|address: IpAddr| addresses.contains(&address))
        }
    }
}

impl Brought {
    /// What is odd about it.
    fn findings(&self, served: &ServedCertificate, now: Timestamp) -> Vec<Finding> {
        let doubts = self.doubts(&served.hosts, now);
        doubts.iter().map(|doubt| doubt.finding(served)).collect()
    }

    /// Whether clients that want this host take it.
    pub(crate) fn names(&self, host: &HostPattern) -> bool {
        is_named(host, &self.names)
    }

    /// Names in it that begin with a star.
    pub(crate) fn stars(&self) -> impl Iterator<Item = &str> {
        let names = self.names.names.iter().map(String::as_str);
        names.filter(|name| name.starts_with("*."))
    }

    fn doubts(&self, hosts: &[HostPattern], now: Timestamp) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        // Issuers renew when a third is left; when a sixth is left, nobody did.
        if now >= self.validity.last(6) {
            doubts.push(Doubt::EndsSoon(self.validity.not_after));
        }
        if self.is_authority {
            doubts.push(Doubt::Authority);
        }
        if self.names.is_empty() {
            doubts.push(Doubt::Nameless);
        } else {
            let unnamed = hosts.iter().filter(|host| !self.names(host));
            doubts.extend(unnamed.cloned().map(Doubt::Unnamed));
        }
        if !self.is_ordered {
            doubts.push(Doubt::Order);
        }
        doubts
    }
}

impl Broken {
    /// The finding: the own authority stands in, and browsers say so.
    pub(crate) fn finding(self, served: &ServedCertificate) -> Finding {
        let object = &served.object;
        let (code, what, remedy) = match self {
            Self::Chain => (
                codes::CERTIFICATE_UNREADABLE,
                format!("the certificate in `{object}` cannot be read"),
                "put the certificate into `tls.crt` as PEM, followed by its intermediates",
            ),
            Self::Key => (
                codes::KEY_UNREADABLE,
                format!("the private key in `{object}` cannot be read"),
                "put the unencrypted RSA, ECDSA or Ed25519 key into `tls.key` as PEM",
            ),
            Self::Mismatch => (
                codes::KEY_MISMATCH,
                format!("key and certificate in `{object}` do not belong together"),
                "put the server's own certificate first in `tls.crt`, and its key into `tls.key`",
            ),
            Self::Expired(at) => (
                codes::CERTIFICATE_EXPIRED,
                format!("the certificate in `{object}` expired on {}", day(at)),
                "renew it, or remove `credentialName` to leave the certificate to doorward",
            ),
            Self::NotYetValid(at) => (
                codes::CERTIFICATE_NOT_YET_VALID,
                format!(
                    "the certificate in `{object}` is not valid before {}",
                    day(at)
                ),
                "check this machine's clock, or use a certificate that is valid now",
            ),
        };
        let hosts: Vec<_> = served
            .hosts
            .iter()
            .map(|host| format!("`{host}`"))
            .collect();
        let fault = format!(
            "{what}, so doorward's own authority stands in for {} and browsers warn",
            hosts.join(", ")
        );
        finding(served, Severity::Error, code, fault, remedy)
    }
}

impl Doubt {
    fn finding(&self, served: &ServedCertificate) -> Finding {
        let object = &served.object;
        let (code, fault, remedy) = match self {
            Self::EndsSoon(at) => (
                codes::CERTIFICATE_ENDS_SOON,
                format!("the certificate in `{object}` expires on {}", day(*at)),
                "renew it; if an issuer should have done that, ask it why it did not",
            ),
            Self::Unnamed(host) => (
                codes::CERTIFICATE_HOST_UNNAMED,
                format!("the certificate in `{object}` does not name `{host}`, which it serves"),
                "add the name to the certificate, or serve another certificate for this host",
            ),
            Self::Nameless => (
                codes::CERTIFICATE_NAMELESS,
                format!("the certificate in `{object}` has no alternative names"),
                "issue it with the host in `dnsNames`: clients ignore the common name",
            ),
            Self::Authority => (
                codes::CERTIFICATE_OF_AUTHORITY,
                format!("the certificate in `{object}` is marked as an authority"),
                "issue it with `isCA: false`: some clients refuse an authority as a server",
            ),
            Self::Order => (
                codes::CHAIN_ORDER,
                format!("the chain in `{object}` is not in order"),
                "put each certificate in `tls.crt` right before the one that issued it",
            ),
        };
        finding(served, Severity::Warning, code, fault, remedy)
    }
}

pub(crate) fn finding(
    served: &ServedCertificate,
    severity: Severity,
    code: Code,
    fault: String,
    remedy: &str,
) -> Finding {
    Finding {
        code,
        severity,
        place: Some(served.place.clone()),
        object: Some(served.object.clone()),
        field: String::new(),
        fault,
        remedy: remedy.into(),
    }
}

/// The day of a moment in UTC; the number of seconds for moments that no calendar has.
pub(crate) fn day(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.seconds()).map_or_else(
        |_| at.seconds().to_string(),
        |at| at.strftime("%Y-%m-%d").to_string(),
    )
}
