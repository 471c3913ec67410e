//! What a certificate of the own authority names, and for how long it is valid.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use model::names::{Duration, HostPattern, Timestamp};

/// Lifetime of a certificate unless somebody asks for another: 90 days.
pub(crate) const LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);

/// What a certificate names: its identity in the key ring.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Names {
    dns: BTreeSet<Arc<str>>,
    addresses: BTreeSet<IpAddr>,
    lifetime: Duration,
}

/// A name that no certificate can carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NameFault {
    /// Nothing is named.
    Nothing,
    /// Not a DNS name, with or without a wildcard as its first label.
    NotDns(Arc<str>),
}

impl Names {
    /// One host, or a wildcard over one label.
    pub(crate) fn of(name: &str) -> Result<Self, NameFault> {
        Self::new([name], [], LIFETIME)
    }

    /// Several names and addresses.
    pub(crate) fn new<'a>(
        dns: impl IntoIterator<Item = &'a str>,
        addresses: impl IntoIterator<Item = IpAddr>,
        lifetime: Duration,
    ) -> Result<Self, NameFault> {
        let addresses: BTreeSet<_> = addresses.into_iter().collect();
        let dns = dns
            .into_iter()
            .map(|name| {
                let lower = name.to_ascii_lowercase();
                let base = lower.strip_prefix("*.").unwrap_or(&lower);
                let good = is_dns_name(base);
                good.then(|| Arc::from(lower.as_str()))
                    .ok_or_else(|| NameFault::NotDns(name.into()))
            })
            .collect::<Result<BTreeSet<Arc<str>>, _>>()?;
        if dns.is_empty() && addresses.is_empty() {
            return Err(NameFault::Nothing);
        }
        Ok(Self {
            dns,
            addresses,
            lifetime,
        })
    }

    pub(crate) fn dns(&self) -> impl Iterator<Item = &str> {
        self.dns.iter().map(|name| &**name)
    }

    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().copied()
    }

    pub(crate) fn lifetime(&self) -> Duration {
        self.lifetime
    }
}

/// From when until when something is valid, both ends included (RFC 5280 §4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

impl Validity {
    /// The moment from which less than one `share`th of the lifetime is left.
    pub(crate) fn last(self, share: u64) -> Timestamp {
        let lifetime = self
            .not_after
            .seconds()
            .saturating_sub(self.not_before.seconds());
        let lifetime = u64::try_from(lifetime).unwrap_or(0);
        self.not_after.minus(Duration::from_secs(lifetime / share))
    }

    /// When a new one is made: before a third is left.
    pub(crate) fn renewal(self) -> Timestamp {
        self.last(3)
    }
}

/// Whether `name` (lower case) can stand in a certificate: labels of letters, digits and hyphens
/// (RFC 1123 §2.1), underscores too because Kubernetes-made host names have them, and not an
/// address in disguise.
pub(crate) fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
    };
    let numeric = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    name.len() <= 253 && name.split('.').all(label) && !name.rsplit('.').next().is_some_and(numeric)
}

/// The wildcard certificate that serves one label below a suffix, if clients would believe it: they
/// refuse a star directly below a top-level name.
pub(crate) fn wildcard_for(pattern: &HostPattern) -> Option<String> {
    match pattern {
        HostPattern::Suffix(suffix) if suffix.matches('.').count() > 1 => {
            Some(format!("*{suffix}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_host_names_are_dns_names() {
        let long = format!("{}.com", "a".repeat(64));
        let longer = ["abcdefghi."; 26].concat();
        for good in [
            "localhost",
            "a-b.example.com",
            "xn--bcher-kva.example",
            "x_y.svc",
            "3com.de",
        ] {
            assert!(is_dns_name(good), "{good}");
        }
        for bad in [
            "", ".", "a..b", "-a.com", "a-.com", "10.0.0.1", "::1", "a b", "*.a.com", "ä.com",
            "A.com", "a.com.", &long, &longer,
        ] {
            assert!(!is_dns_name(bad), "{bad}");
        }
    }

    #[test]
    fn names_do_not_depend_on_order_or_case() {
        let one = Names::new(["b.com", "A.com"], [], LIFETIME);
        assert_eq!(one, Names::new(["a.com", "b.com", "a.com"], [], LIFETIME));
        assert_eq!(
            Names::new(["*.a.com"], [], LIFETIME).unwrap().dns().next(),
            Some("*.a.com")
        );
    }

    #[test]
    fn a_name_that_no_certificate_carries_is_told() {
        assert_eq!(
            Names::of("a.*.com"),
            Err(NameFault::NotDns("a.*.com".into()))
        );
        assert_eq!(Names::new([], [], LIFETIME), Err(NameFault::Nothing));
    }

    #[test]
    fn a_certificate_is_renewed_when_a_third_is_left() {
        let at = Timestamp::from_seconds;
        let validity = Validity {
            not_before: at(1000),
            not_after: at(4000),
        };
        assert_eq!(validity.renewal(), at(3000));
        let backwards = Validity {
            not_before: at(4000),
            not_after: at(1000),
        };
        assert_eq!(backwards.renewal(), at(1000));
    }

    #[test]
    fn a_star_below_a_top_level_name_is_not_issued() {
        let wildcard = |text: &str| wildcard_for(&HostPattern::parse(text).unwrap());
        assert_eq!(wildcard("*.example.com").as_deref(), Some("*.example.com"));
        assert_eq!(wildcard("*.localhost"), None);
        assert_eq!(wildcard("*"), None);
        assert_eq!(wildcard("a.com"), None);
    }
}
