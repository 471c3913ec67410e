//! What a policy sees of a request at one enforcement point.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{COOKIE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue};
use model::snapshot::HeaderEdits;

use crate::session::{Identified, Token};

/// The attributes of a request at one stage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    /// Method.
    pub(crate) method: &'a str,
    /// Normalised path, no query.
    pub(crate) path: &'a str,
    /// Host with its port.
    pub(crate) authority: &'a str,
    /// Headers.
    pub(crate) headers: Headers<'a>,
    /// The token that this stage accepted.
    pub(crate) token: Option<Accepted<'a>>,
    /// Whoever sent it, as far as somebody vouches for them.
    pub(crate) sender: Option<&'a Identified>,
    /// SPIFFE id of the peer.
    pub(crate) principal: Option<&'a str>,
    /// The connection that the request came over; `None` at the destination, where it is our own
    /// and does not exist yet.
    pub(crate) connection: Option<Connection<'a>>,
    /// The client.
    pub(crate) remote_ip: IpAddr,
    /// Port of the workload.
    pub(crate) port: u16,
}

/// A token that a rule accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted<'a> {
    pub(crate) token: &'a Arc<Token>,
    /// Whether the gateway's own rules or logins know its keys. What only a destination's rules
    /// know says who somebody is to that destination, and to nobody else.
    pub(crate) names_user: bool,
    /// Claims that the rule takes for lists of words.
    pub(crate) space_delimited: &'a [Arc<str>],
}

/// What is known of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection<'a> {
    /// Who connects.
    pub(crate) peer: IpAddr,
    /// Server name.
    pub(crate) sni: Option<&'a str>,
}

/// Headers as received under the changes made so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Headers<'a> {
    /// As received.
    pub(crate) received: &'a HeaderMap,
    /// Removed, then …
    pub(crate) removed: &'a [HeaderName],
    /// … set, then …
    pub(crate) set: &'a [(HeaderName, HeaderValue)],
    /// … edited, one after the other, by what the route says.
    pub(crate) edits: [Option<&'a HeaderEdits>; 2],
}

impl<'a> Headers<'a> {
    pub(crate) fn of(received: &'a HeaderMap) -> Self {
        Self {
            received,
            removed: &[],
            set: &[],
            edits: [None; 2],
        }
    }

    /// The values of `name`, one for each time it stands there.
    pub(crate) fn values<'b>(
        self,
        name: &'b HeaderName,
    ) -> impl Iterator<Item = &'a HeaderValue> + use<'a, 'b> {
        let named = move |list: &'a [(HeaderName, HeaderValue)]| {
            list.iter()
                .filter(move |(other, _)| other == name)
                .map(|(_, value)| value)
        };
        let is_in =
            |list: &[(HeaderName, HeaderValue)]| list.iter().any(|(other, _)| other == name);
        let replaces = |edits: Option<&HeaderEdits>| {
            edits.is_some_and(|edits| is_in(&edits.set) || edits.remove.contains(name))
        };
        let [first, second] = self.edits;
        // What a later change replaces is gone with everything before it.
        let first_is_gone = replaces(second);
        let set_is_gone = first_is_gone || replaces(first);
        let received_is_gone = set_is_gone || is_in(self.set) || self.removed.contains(name);
        let received = (!received_is_gone).then(|| self.received.get_all(name).iter());
        let set = (!set_is_gone).then(|| named(self.set));
        let edited = move |edits: Option<&'a HeaderEdits>| {
            edits
                .into_iter()
                .flat_map(move |edits| named(&edits.set).chain(named(&edits.add)))
        };
        received
            .into_iter()
            .flatten()
            .chain(set.into_iter().flatten())
            .chain(edited(first.filter(|_| !first_is_gone)))
            .chain(edited(second))
    }
}

/// The value of one header: what came once, or what came several times and as it reads joined.
#[derive(Debug)]
pub(crate) enum HeaderText<'a> {
    Missing,
    One(&'a [u8]),
    Many(Vec<&'a [u8]>, Vec<u8>),
}

impl<'a> View<'a> {
    /// The method of a connection whose bytes are passed on: it has none, as it has no path, host,
    /// header or token. A request always has one.
    pub(crate) const BYTES: &'static str = "";

    /// Whether it is such a connection.
    pub(crate) fn is_bytes(&self) -> bool {
        self.method == Self::BYTES
    }

    /// A header, `Host` included, which HTTP/2 carries elsewhere.
    pub(crate) fn header(&self, name: &HeaderName) -> HeaderText<'a> {
        if *name == HOST {
            return HeaderText::One(self.authority.as_bytes());
        }
        let mut values = self.headers.values(name).map(HeaderValue::as_bytes);
        let Some(first) = values.next() else {
            return HeaderText::Missing;
        };
        let Some(second) = values.next() else {
            return HeaderText::One(first);
        };
        let all: Vec<_> = [first, second].into_iter().chain(values).collect();
        let joined = all.join(if *name == COOKIE {
            &b"; "[..]
        } else {
            &b","[..]
        });
        HeaderText::Many(all, joined)
    }

    /// Trust domain of the peer, be it a workload or not.
    pub(crate) fn trust_domain(&self) -> Option<&'a str> {
        self.principal?.split('/').next()
    }

    /// Namespace and service account of the peer.
    pub(crate) fn workload(&self) -> Option<(&'a str, &'a str)> {
        let mut parts = self.principal?.split('/').skip(1);
        let namespace = (parts.next()? == "ns").then(|| parts.next())??;
        let account = (parts.next()? == "sa").then(|| parts.next())??;
        parts.next().is_none().then_some((namespace, account))
    }

    /// A claim as text values: a string, the strings of a list, or the words of a claim that is
    /// a list in disguise.
    pub(crate) fn claim<T: AsRef<str>>(&self, path: &[T]) -> Option<Vec<Cow<'a, str>>> {
        self.token?.claim(path)
    }
}

impl<'a> Accepted<'a> {
    /// A claim as text values; see [`View::claim`].
    pub(crate) fn claim<T: AsRef<str>>(self, path: &[T]) -> Option<Vec<Cow<'a, str>>> {
        use serde_json::Value;

        let (first, rest) = path.split_first()?;
        let mut value = self.token.claims().get(first.as_ref())?;
        for name in rest {
            value = value.as_object()?.get(name.as_ref())?;
        }
        match value {
            Value::String(text) if rest.is_empty() && self.is_space_delimited(first.as_ref()) => {
                Some(text.split_ascii_whitespace().map(Cow::Borrowed).collect())
            }
            Value::String(text) => Some(vec![Cow::Borrowed(text)]),
            Value::Array(values) => Some(
                values
                    .iter()
                    .filter_map(Value::as_str)
                    .map(Cow::Borrowed)
                    .collect(),
            ),
            _ => None,
        }
    }

    fn is_space_delimited(self, claim: &str) -> bool {
        matches!(claim, "scope" | "permission")
            || self.space_delimited.iter().any(|one| **one == *claim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &'static str) -> HeaderName {
        HeaderName::from_static(text)
    }

    fn value(text: &'static str) -> HeaderValue {
        HeaderValue::from_static(text)
    }

    #[test]
    fn the_overlay_is_removed_then_set_then_edited() {
        let mut received = HeaderMap::new();
        for header in ["a", "b", "c", "d", "e"] {
            received.insert(name(header), value("received"));
        }
        let removed = [name("a"), name("b")];
        let set = [
            (name("b"), value("set")),
            (name("c"), value("set")),
            (name("e"), value("set")),
        ];
        let edits = HeaderEdits {
            remove: vec![name("c")],
            set: vec![(name("d"), value("edit"))],
            add: vec![(name("c"), value("added")), (name("e"), value("added"))],
        };
        let headers = Headers {
            received: &received,
            removed: &removed,
            set: &set,
            edits: [Some(&edits), None],
        };
        let values = |header| {
            headers
                .values(&name(header))
                .map(|value| value.to_str().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(values("a"), Vec::<&str>::new());
        assert_eq!(values("b"), ["set"]);
        assert_eq!(values("c"), ["added"]);
        assert_eq!(values("d"), ["edit"]);
        assert_eq!(values("e"), ["set", "added"]);
    }

    #[test]
    fn later_edits_replace_earlier_ones() {
        let mut received = HeaderMap::new();
        received.insert(name("a"), value("received"));
        let first = HeaderEdits {
            remove: Vec::new(),
            set: vec![(name("a"), value("1")), (name("b"), value("1"))],
            add: vec![(name("c"), value("1"))],
        };
        let second = HeaderEdits {
            remove: vec![name("b")],
            set: vec![(name("a"), value("2"))],
            add: vec![(name("c"), value("2"))],
        };
        let headers = Headers {
            edits: [Some(&first), Some(&second)],
            ..Headers::of(&received)
        };
        let values = |header| {
            headers
                .values(&name(header))
                .map(|value| value.to_str().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(values("a"), ["2"]);
        assert_eq!(values("b"), Vec::<&str>::new());
        assert_eq!(values("c"), ["1", "2"]);
    }
}
