//! What a worker derives from a world once, so that no request has to.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use model::snapshot::{Listener, ListenerProtocol, ServerTls};

use super::headers::{self, NameTable};
use super::split_port;
use crate::world::World;

/// A world, and what follows from it.
pub(crate) struct View {
    /// The world.
    pub(crate) world: Arc<World>,
    /// Header names that do not pass as they come.
    pub(super) names: NameTable,
    /// Headers that decisions depend on, for the log.
    pub(crate) tested: Vec<HeaderName>,
    /// Identity headers.
    pub(crate) identity: Box<[HeaderName]>,
    /// Other spellings of identity headers that applications take for the same, `, ` between them.
    pub(crate) look_alikes: Box<str>,
    /// Names that were to be removed last, and the header value that says so with all their
    /// look-alikes: most answers name the same.
    pub(crate) removed: RefCell<(Vec<HeaderName>, Option<HeaderValue>)>,
    /// Session cookies that no application may see.
    pub(crate) cookies: Vec<Box<str>>,
    // Gateway ports in the order in which they are asked, by socket.
    behind_https: Vec<u16>,
    behind_http: Vec<u16>,
}

impl View {
    /// Derives what requests need.
    pub(crate) fn new(world: Arc<World>, https_upgrade: bool) -> Self {
        let snapshot = &world.snapshot;
        let speaks = |port: u16| snapshot.listener(port).map(|listener| listener.protocol);
        let mut behind_https = Vec::new();
        let mut behind_http = Vec::new();
        if speaks(443).is_some() {
            behind_https.push(443);
        }
        if speaks(80).is_some() {
            behind_http.push(80);
        }
        if https_upgrade {
            if speaks(80) == Some(ListenerProtocol::Http) {
                behind_https.push(80);
            }
            if speaks(443) == Some(ListenerProtocol::Tls) {
                // Only for requests that a trusted hop received over HTTPS; the others are
                // redirected.
                behind_http.push(443);
            }
        }
        Self {
            names: NameTable::new(snapshot.identity_headers()),
            identity: snapshot.identity_headers().into(),
            look_alikes: headers::look_alikes(snapshot.identity_headers()).into(),
            removed: RefCell::default(),
            tested: policy::tested_headers(snapshot),
            cookies: snapshot
                .logins()
                .iter()
                .map(|login| (&*login.cookie_name).into())
                .collect(),
            behind_https,
            behind_http,
            world,
        }
    }

    /// What is spoken on the socket of a Gateway port; `None` where no Gateway opens it.
    pub(crate) fn speaks(&self, port: u16, https_upgrade: bool) -> Option<ListenerProtocol> {
        let written = self.listener(port).map(|listener| listener.protocol);
        match (port, written) {
            // Whether or not a Gateway opens these, somebody is answered there.
            (443, Some(ListenerProtocol::Http)) if https_upgrade => Some(ListenerProtocol::Tls),
            (443, None) => Some(ListenerProtocol::Tls),
            (80, None) => Some(ListenerProtocol::Http),
            (_, written) => written,
        }
    }

    /// The Gateway port that answers for `authority` on the socket of `port`; where none covers it,
    /// the one that would be asked first, so that policies and the 404 that follows see a port.
    /// `None` when the host asks its clients for certificates and `tls`, under which the connection
    /// was made, did not ask the same: then nothing that the connection says of its client counts.
    pub(super) fn entry(
        &self,
        port: u16,
        authority: &str,
        tls: Option<&Arc<ServerTls>>,
    ) -> Option<u16> {
        let entries = match port {
            443 => self.behind_https.as_slice(),
            80 => self.behind_http.as_slice(),
            _ => &[],
        };
        let host = host_of(authority);
        let covers = |port: &&u16| {
            self.listener(**port)
                .is_some_and(|listener| listener.covers(&host))
        };
        let entry = match entries {
            [] => port,
            [only] => *only,
            [first, ..] => *entries.iter().find(covers).unwrap_or(first),
        };
        let listener = self.listener(entry);
        let asked = listener
            .and_then(|listener| listener.chain(&host))
            .and_then(|chain| chain.tls.as_ref())
            .filter(|wanted| wanted.client.trust().is_some());
        let fits = asked.is_none_or(|wanted| {
            tls.is_some_and(|tls| Arc::ptr_eq(tls, wanted) || tls.client == wanted.client)
        });
        fits.then_some(entry)
    }

    /// The Gateway port that a question is about: one that covers `authority`, first of those that
    /// speak `scheme`.
    pub(super) fn entry_asked(&self, scheme: &str, authority: &str) -> u16 {
        let [first, second] = if scheme == "http" {
            [80, 443]
        } else {
            [443, 80]
        };
        let host = host_of(authority);
        let listeners = self.world.snapshot.listeners();
        let covers = |port: &u16| {
            self.listener(*port).is_some_and(|listener| {
                listener.protocol != ListenerProtocol::Tcp && listener.covers(&host)
            })
        };
        let ports = [first, second].into_iter();
        let is_open = |port: &u16| self.listener(*port).is_some();
        ports
            .clone()
            .chain(listeners.keys().copied())
            .find(covers)
            .or_else(|| ports.clone().find(is_open))
            .unwrap_or(first)
    }

    fn listener(&self, port: u16) -> Option<&Listener> {
        self.world.snapshot.listener(port)
    }
}

fn host_of(authority: &str) -> Cow<'_, str> {
    let (host, _) = split_port(authority);
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        host.to_ascii_lowercase().into()
    } else {
        host.into()
    }
}
