//! Chains of servers that speak TLS or pass bytes on.

use std::collections::HashSet;
use std::sync::Arc;

use super::identity::key;
use super::listeners::{Builder, Seated, chain_name, patterns};
use super::ports::{ChainDraft, ServesDraft};
use super::routes::Seat;
use super::streams;
use crate::finding::{Severity, codes};
use crate::manifest::certificate::client_trust;
use crate::manifest::gateway::{ClientSettings, Inside, Speaks, TrustSettings};
use crate::names::HostPattern;
use crate::snapshot::{ClientAuth, ClientTrust, Closure, ListenerProtocol, ServerTls};

impl Builder<'_, '_> {
    /// A server without TLS has one table with all of its port. With TLS, one that has the very
    /// host of an earlier one is never chosen.
    pub(super) fn hidden(&mut self, port: u16, servers: &[Seated<'_>], protocol: ListenerProtocol) {
        let mut known: HashSet<&HostPattern> = HashSet::new();
        for one in servers {
            let hosts = one.server.hosts.iter().map(|host| &host.pattern);
            let (new, old): (Vec<_>, Vec<_>) = hosts.partition(|host| !known.contains(host));
            if let Some(host) = old.first().filter(|_| protocol == ListenerProtocol::Tls) {
                let (object, server) = (&one.gateway.object, one.server);
                self.findings.push(object.finding(
                    codes::SERVER_HIDDEN,
                    Severity::Error,
                    server.line,
                    server.path.clone(),
                    format!("another server of port {port} takes every handshake for `{host}`"),
                    "give one of them another host: a handshake has no namespace",
                ));
            }
            known.extend(new);
        }
    }

    /// The chain of a server with TLS.
    pub(super) fn tls(&mut self, port: u16, seated: &Seated<'_>) -> ChainDraft {
        let server = seated.server;
        let Speaks::Tls(settings) = &server.speaks else {
            return self.stream(port, seated, None);
        };
        let trust = match &settings.client {
            ClientSettings::None => Ok(ClientAuth::None),
            ClientSettings::Optional(trust) => self.trust(trust, seated).map(ClientAuth::Optional),
            ClientSettings::Required(trust) => self.trust(trust, seated).map(ClientAuth::Required),
        };
        let client = match trust {
            Ok(client) => client,
            Err(closure) => {
                return ChainDraft {
                    name: chain_name(port, std::slice::from_ref(seated), true),
                    hosts: patterns(server),
                    tls: None,
                    serves: ServesDraft::Nothing(closure),
                };
            }
        };
        let tls = Arc::new(ServerTls {
            client,
            min: settings.min,
            max: settings.max,
            suites: settings.suites.clone(),
        });
        match (settings.inside, &server.closed) {
            (Inside::Http, _) => self.http(port, std::slice::from_ref(seated), Some(tls)),
            (Inside::Stream | Inside::Untouched, Some(closure)) => ChainDraft {
                name: chain_name(port, std::slice::from_ref(seated), true),
                hosts: patterns(server),
                tls: None,
                serves: ServesDraft::Nothing(Arc::clone(closure)),
            },
            (Inside::Stream, None) => self.stream(port, seated, Some(tls)),
            (Inside::Untouched, None) => self.stream(port, seated, None),
        }
    }

    fn trust(
        &mut self,
        settings: &TrustSettings,
        seated: &Seated<'_>,
    ) -> Result<Arc<ClientTrust>, Arc<Closure>> {
        let Seated { gateway, server } = *seated;
        // Whatever else is wrong with it is said already, and closes it.
        if let Some(closure) = &server.closed {
            return Err(Arc::clone(closure));
        }
        let place = (&gateway.object, server.line);
        client_trust(self.world, settings, place, self.identity, self.findings)
    }

    /// The chain of a server whose bytes are passed on.
    pub(super) fn stream(
        &mut self,
        port: u16,
        seated: &Seated<'_>,
        tls: Option<Arc<ServerTls>>,
    ) -> ChainDraft {
        let Seated { gateway, server } = *seated;
        let name = chain_name(port, std::slice::from_ref(seated), true);
        if let Some(closure) = &server.closed {
            return ChainDraft {
                name,
                hosts: patterns(server),
                tls: None,
                serves: ServesDraft::Nothing(Arc::clone(closure)),
            };
        }
        let gateway_key = key(gateway);
        let seat = Seat {
            gateway: &gateway_key,
            port,
            identity: self.identity,
        };
        let mut routes = Vec::new();
        for index in self.bindings.at(&gateway_key) {
            let service = &self.routes[index];
            routes.extend(streams::build(service, server, &seat, self.destinations));
        }
        if routes.is_empty() {
            self.findings.push(gateway.object.finding(
                codes::STREAM_WITHOUT_ROUTE,
                Severity::Warning,
                server.line,
                server.path.clone(),
                format!(
                    "no route leads on from `{}`, so its connections are closed",
                    server.path
                ),
                "add a `VirtualService` with `tls` or `tcp` routes for its hosts",
            ));
        }
        ChainDraft {
            name,
            hosts: patterns(server),
            tls,
            serves: ServesDraft::Stream(routes),
        }
    }
}
