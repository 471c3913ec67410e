//! Host names as a `Host` header or a manifest spells them.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A host name in one normal form: lower case, no port, no trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(Arc<str>);

impl Host {
    /// Normalises `text`. A port is not part of a host: strip it first.
    pub fn new(text: &str) -> Self {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Self(text.to_ascii_lowercase().into())
        } else {
            Self(text.into())
        }
    }

    /// The normal form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// Hash, order and equality are those of the text, so maps of hosts are asked with a `&str`.
impl Borrow<str> for Host {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A host as a `Gateway` or `VirtualService` names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// `*`: every host.
    Any,
    /// `*.example.com`, kept as `.example.com`: every name below it, not the name itself.
    Suffix(Arc<str>),
    /// One name.
    Exact(Host),
}

impl HostPattern {
    /// Reads `*`, `*.suffix` or a name; `None` where a star stands anywhere else.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        if let Some(suffix) = text.strip_prefix('*') {
            let well_formed = suffix.len() > 1 && suffix.starts_with('.') && !suffix.contains('*');
            return well_formed.then(|| Self::Suffix(suffix.to_ascii_lowercase().into()));
        }
        (!text.is_empty() && !text.contains('*')).then(|| Self::Exact(Host::new(text)))
    }

    /// Whether this pattern covers `host` (lower case, no port).
    pub fn covers(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
            Self::Exact(name) => name.as_str() == host,
        }
    }

    /// The more specific of two patterns when one covers the other, as Istio binds a
    /// `VirtualService` host to a `Gateway` server host.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Any, one) | (one, Self::Any) => Some(one.clone()),
            (Self::Exact(name), pattern) | (pattern, Self::Exact(name)) => pattern
                .covers(name.as_str())
                .then(|| Self::Exact(name.clone())),
            (Self::Suffix(a), Self::Suffix(b)) if a.ends_with(&**b) => {
                Some(Self::Suffix(a.clone()))
            }
            (Self::Suffix(a), Self::Suffix(b)) if b.ends_with(&**a) => {
                Some(Self::Suffix(b.clone()))
            }
            (Self::Suffix(_), Self::Suffix(_)) => None,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
            Self::Exact(host) => host.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> HostPattern {
        HostPattern::parse(text).unwrap()
    }

    #[test]
    fn a_star_is_only_legal_as_the_whole_first_label() {
        for bad in ["", "a.*", "*a.com", "*.", "*.*.com", "a*"] {
            assert_eq!(HostPattern::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_suffix_covers_every_depth_but_not_itself() {
        let pattern = pattern("*.Example.com");
        assert!(pattern.covers("a.example.com"));
        assert!(pattern.covers("a.b.example.com"));
        assert!(!pattern.covers("example.com"));
        assert!(!pattern.covers("badexample.com"));
    }

    #[test]
    fn binding_takes_the_more_specific_name() {
        let bind = |a: &str, b: &str| {
            pattern(a)
                .intersection(&pattern(b))
                .map(|host| host.to_string())
        };
        assert_eq!(bind("*", "a.com").as_deref(), Some("a.com"));
        assert_eq!(bind("a.com", "*").as_deref(), Some("a.com"));
        assert_eq!(bind("*.com", "*.org"), None);
        assert_eq!(bind("*.com", "*.a.com").as_deref(), Some("*.a.com"));
        assert_eq!(bind("*.a.com", "a.com"), None);
    }
}
