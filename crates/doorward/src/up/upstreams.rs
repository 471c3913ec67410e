//! How connectors of the provider reach their upstreams: over HTTP, and over LDAP.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use ldap3::adapters::{Adapter, EntriesOnly, PagedResults};
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, Scope, SearchEntry};
use model::snapshot::{IssuerTls, LdapConnector, LdapScope, LdapSecurity};
use provider::{
    Directory, DirectoryAsk, DirectoryEntry, DirectoryTold, Sent, Told, Upstream, UpstreamFault,
};

use super::transport::{Client, client_over, is_of_tls, send_over, tls};

/// A directory answers in this time, or is down.
const PATIENCE: Duration = Duration::from_secs(10);
/// Entries a page.
const PAGE: i32 = 500;
/// More entries than this are no person and no person's groups.
const MOST_ENTRIES: usize = 10_000;

/// Reaches upstreams; a client for each way to trust them.
#[derive(Default)]
pub(crate) struct Upstreams {
    clients: Mutex<Vec<(IssuerTls, Option<Client>)>>,
}

impl Upstreams {
    fn client(&self, settings: &IssuerTls) -> Option<Client> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(held, _)| held == settings) {
            return client.clone();
        }
        let client = tls(settings)
            .map(|tls| client_over(tls, &[]))
            .inspect_err(|error| tracing::error!(%error, "an upstream cannot be reached: certificates cannot be used"))
            .ok();
        clients.push((settings.clone(), client.clone()));
        client
    }
}

impl Upstream for Upstreams {
    fn send<'a>(&'a self, tls: &'a IssuerTls, request: Request<Bytes>) -> Sent<'a> {
        let Some(client) = self.client(tls) else {
            return Box::pin(std::future::ready(Err(UpstreamFault::Untrusted)));
        };
        Box::pin(async move {
            let sent: Result<Response<Bytes>, _> = send_over(&client, request).await;
            sent.map_err(|fault| match fault {
                login::TransportFault::TimedOut => UpstreamFault::TimedOut,
                login::TransportFault::Untrusted => UpstreamFault::Untrusted,
                login::TransportFault::TooLarge => UpstreamFault::TooLarge,
                login::TransportFault::Unreachable | login::TransportFault::BadAddress => {
                    UpstreamFault::Unreachable
                }
            })
        })
    }

    fn directory<'a>(&'a self, settings: &'a LdapConnector) -> Box<dyn Directory + 'a> {
        Box::new(Line {
            settings,
            open: None,
        })
    }
}

/// A line to a directory.
struct Line<'a> {
    settings: &'a LdapConnector,
    open: Option<Ldap>,
}

impl Directory for Line<'_> {
    fn ask<'a>(&'a mut self, question: DirectoryAsk) -> Told<'a> {
        Box::pin(async move {
            tokio::time::timeout(PATIENCE, self.answer(question))
                .await
                .unwrap_or(Err(UpstreamFault::TimedOut))
        })
    }
}

impl Line<'_> {
    async fn answer(&mut self, question: DirectoryAsk) -> Result<DirectoryTold, UpstreamFault> {
        let ldap = match &mut self.open {
            Some(ldap) => ldap,
            empty => empty.insert(connect(self.settings).await?),
        };
        let told = match question {
            DirectoryAsk::Bind { dn, password } => {
                let bound = ldap.simple_bind(&dn, &password).await;
                bound.map(|result| DirectoryTold::Code(result.rc))
            }
            DirectoryAsk::Search {
                base,
                scope,
                filter,
                attributes,
            } => search(ldap, &base, scope, &filter, attributes).await,
        };
        told.map_err(|error| {
            tracing::warn!(%error, "a directory cannot be asked");
            UpstreamFault::Unreachable
        })
    }
}

async fn connect(settings: &LdapConnector) -> Result<Ldap, UpstreamFault> {
    let config = tls(&settings.tls).map_err(|error| {
        tracing::error!(%error, "certificates of a directory cannot be used");
        UpstreamFault::Untrusted
    })?;
    let scheme = match settings.security {
        LdapSecurity::Tls => "ldaps",
        LdapSecurity::StartTls | LdapSecurity::Plain => "ldap",
    };
    let host = match settings.host.contains(':') {
        true => format!("[{}]", settings.host),
        false => settings.host.to_string(),
    };
    let url = format!("{scheme}://{host}:{}", settings.port);
    let line = LdapConnSettings::new()
        .set_conn_timeout(PATIENCE)
        .set_starttls(settings.security == LdapSecurity::StartTls)
        .set_config(Arc::new(config));
    let opened = LdapConnAsync::with_settings(line, &url).await;
    let (connection, ldap) = opened.map_err(|error| {
        tracing::warn!(%error, "a directory cannot be reached");
        match error.source().is_some_and(is_of_tls) || is_of_tls(&error) {
            true => UpstreamFault::Untrusted,
            false => UpstreamFault::Unreachable,
        }
    })?;
    tokio::spawn(async move {
        if let Err(error) = connection.drive().await {
            tracing::debug!(%error, "a line to a directory ended early");
        }
    });
    Ok(ldap)
}

async fn search(
    ldap: &mut Ldap,
    base: &str,
    scope: LdapScope,
    filter: &str,
    attributes: Vec<String>,
) -> Result<DirectoryTold, ldap3::LdapError> {
    // Referrals are other directories: nobody named those.
    let adapters: Vec<Box<dyn Adapter<_, _>>> = vec![
        Box::new(EntriesOnly::new()),
        Box::new(PagedResults::new(PAGE)),
    ];
    let scope = match scope {
        LdapScope::Subtree => Scope::Subtree,
        LdapScope::OneLevel => Scope::OneLevel,
    };
    let mut stream = ldap
        .streaming_search_with(adapters, base, scope, filter, attributes)
        .await?;
    let mut found = Vec::new();
    while let Some(entry) = stream.next().await? {
        let SearchEntry { dn, attrs, .. } = SearchEntry::construct(entry);
        if found.len() == MOST_ENTRIES {
            tracing::warn!("a directory found more than anybody asked for");
            break;
        }
        found.push(DirectoryEntry {
            dn,
            attributes: attrs.into_iter().collect(),
        });
    }
    match stream.finish().await.rc {
        0 => Ok(DirectoryTold::Entries(found)),
        code => Ok(DirectoryTold::Code(code)),
    }
}
