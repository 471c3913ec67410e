//! What a worker derives from a world once, so that no request has to.

use std::borrow::Cow;
use std::sync::Arc;

use model::snapshot::{Listener, ListenerProtocol};

use super::headers::NameTable;
use super::split_port;
use crate::world::World;

/// A world, and what follows from it.
pub(crate) struct View {
    /// The world.
    pub(crate) world: Arc<World>,
    /// Header names that do not pass as they come.
    pub(super) names: NameTable,
    /// Session cookies that no application may see.
    pub(crate) cookies: Vec<Box<str>>,
    // Gateway ports in the order in which they are asked, by socket.
    behind_https: Vec<Entry>,
    behind_http: Vec<Entry>,
}

/// A Gateway port that a socket may stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The port.
    pub(super) port: u16,
    /// Whether TLS is terminated there as written.
    pub(super) secure: bool,
}

impl View {
    /// Derives what requests need.
    pub(crate) fn new(world: Arc<World>, https_upgrade: bool) -> Self {
        let snapshot = &world.snapshot;
        let entries = |protocol: ListenerProtocol, first: u16| {
            let mut entries: Vec<Entry> = snapshot
                .listeners()
                .values()
                .filter(|listener| listener.protocol == protocol)
                .map(|listener| Entry {
                    port: listener.port,
                    secure: protocol == ListenerProtocol::Tls,
                })
                .collect();
            entries.sort_by_key(|entry| (entry.port != first, entry.port));
            entries
        };
        let secure = entries(ListenerProtocol::Tls, 443);
        let plain = entries(ListenerProtocol::Http, 80);
        let mut behind_https = secure.clone();
        let mut behind_http = plain.clone();
        if https_upgrade {
            behind_https.extend(&plain);
            // Only for requests that a trusted hop received over HTTPS; the others are redirected.
            behind_http.extend(&secure);
        }
        Self {
            names: NameTable::new(snapshot.identity_headers()),
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

    /// The Gateway port that answers for `authority`; where none covers it, the one that would be
    /// asked first, so that policies and the 404 that follows see a port.
    pub(super) fn entry(&self, secure: bool, authority: &str) -> Entry {
        let entries = if secure {
            &self.behind_https
        } else {
            &self.behind_http
        };
        let fallback = Entry {
            port: if secure { 443 } else { 80 },
            secure,
        };
        match entries.as_slice() {
            [] => fallback,
            [only] => *only,
            [first, ..] => {
                let host = host_of(authority);
                let covers = |entry: &&Entry| {
                    self.listener(entry.port)
                        .is_some_and(|listener| listener.covers(&host))
                };
                *entries.iter().find(covers).unwrap_or(first)
            }
        }
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
