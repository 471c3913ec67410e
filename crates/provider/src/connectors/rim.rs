//! Where conversations with upstreams are had: asks what the steps want to know.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::Response;
use model::snapshot::{ConnectorKind, IssuerTls, ProviderConnector};

use super::{
    Answered, ConnectorFault, Context, Identity, Move, Purpose, Question, begin, go_on, wire,
};
use crate::provider::Provider;

/// Documents of upstreams are kept this long, seconds.
const KEPT: i64 = 600;
/// One that did not do is asked for again at most this often, seconds.
const ANEW: i64 = 10;
/// No conversation has more steps; one that does is going in circles.
const STEPS: usize = 200;

/// Discovery documents and keys of upstreams, for a while.
#[derive(Clone, Default)]
pub(crate) struct Documents(Arc<Mutex<HashMap<String, (i64, Bytes)>>>);

impl Documents {
    fn find(&self, url: &str, anew: bool, now: i64) -> Option<Bytes> {
        let life = if anew { ANEW } else { KEPT };
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, body) = all.get(url)?;
        (now - at < life).then(|| body.clone())
    }

    fn keep(&self, url: String, body: Bytes, now: i64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(url, (now, body));
    }
}

/// How a conversation ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The browser goes to this address.
    Depart(String),
    /// It is known who it is.
    Known(Identity),
    /// The name or the password is wrong.
    Wrong,
}

static PLAIN: IssuerTls = IssuerTls {
    authorities: None,
    system_too: false,
    unverified: false,
    client: None,
};

/// Whom a connector trusts to be its upstream.
fn tls(kind: &ConnectorKind) -> &IssuerTls {
    match kind {
        ConnectorKind::Oidc(settings) => &settings.tls,
        ConnectorKind::OAuth(settings) => &settings.tls,
        ConnectorKind::Ldap(settings) => &settings.tls,
        ConnectorKind::GitHub(settings) => &settings.tls,
        ConnectorKind::GitLab(settings) => &settings.tls,
        ConnectorKind::OpenShift(settings) => &settings.tls,
        ConnectorKind::Local
        | ConnectorKind::MockCallback
        | ConnectorKind::MockPassword { .. }
        | ConnectorKind::AuthProxy(_)
        | ConnectorKind::Google(_)
        | ConnectorKind::Microsoft(_)
        | ConnectorKind::Gitea(_)
        | ConnectorKind::BitbucketCloud(_)
        | ConnectorKind::LinkedIn(_)
        | ConnectorKind::AtlassianCrowd(_)
        | ConnectorKind::Keystone(_) => &PLAIN,
    }
}

impl Provider {
    /// Has the conversation.
    pub(crate) async fn converse(
        &self,
        connector: &ProviderConnector,
        context: &Context,
        purpose: Purpose<'_>,
    ) -> Result<Outcome, ConnectorFault> {
        let kind = &connector.kind;
        let mut line = None;
        let mut moved = begin(kind, context, purpose)?;
        for _ in 0..STEPS {
            let (question, stage) = match moved {
                Move::Ask(question, stage) => (question, stage),
                Move::Depart(address) => return Ok(Outcome::Depart(address)),
                Move::Known(mut identity) => {
                    for group in &mut identity.groups {
                        group.insert_str(0, &connector.group_prefix);
                    }
                    return Ok(Outcome::Known(identity));
                }
                Move::Wrong => return Ok(Outcome::Wrong),
            };
            let answered = match question {
                Question::Http(request) => {
                    Answered::Http(self.upstream.send(tls(kind), request).await?)
                }
                Question::Document { url, anew } => {
                    Answered::Http(self.document(tls(kind), url, anew, context.now).await?)
                }
                Question::Directory(ask) => match kind {
                    ConnectorKind::Ldap(settings) => {
                        let line = line.get_or_insert_with(|| self.upstream.directory(settings));
                        Answered::Directory(line.ask(ask).await?)
                    }
                    _ => return Err(ConnectorFault::NotForThis),
                },
            };
            moved = go_on(stage, kind, context, answered)?;
        }
        Err(ConnectorFault::Answer("the upstream's answers have no end"))
    }

    async fn document(
        &self,
        tls: &IssuerTls,
        url: String,
        anew: bool,
        now: i64,
    ) -> Result<Response<Bytes>, ConnectorFault> {
        if let Some(body) = self.documents.find(&url, anew, now) {
            return Ok(Response::new(body));
        }
        let request = wire::get(&url, None)?;
        let response = self.upstream.send(tls, request).await?;
        if response.status().is_success() {
            self.documents.keep(url, response.body().clone(), now);
        }
        Ok(response)
    }
}
