//! Where people prove who they are: one file for each type of connector, a closed list. Each is a
//! conversation: a pure step takes what the upstream answered and says what to ask next, or who it
//! is. The rim (`rim`) asks; nothing in the steps waits.
//!
//! Add a type: its settings in `model::snapshot`, a file here with its `Stage`, a row in each match
//! of this one.

mod auth_proxy;
mod code_flow;
mod fault;
mod gitlab;
mod ldap;
mod mock;
mod oauth;
mod oidc;
#[cfg(test)]
mod played;
mod rim;
mod upstream;
mod wire;

use http::{HeaderMap, Response};
use model::snapshot::{ConnectorKind, ProviderConnector};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use fault::ConnectorFault;
pub(crate) use rim::{Documents, Outcome};
pub(crate) use upstream::Nowhere;
pub use upstream::{
    Directory, DirectoryAsk, DirectoryEntry, DirectoryTold, Sent, Told, Upstream, UpstreamFault,
};

/// What a client asked for, as far as an upstream is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The scope `groups`.
    pub(crate) groups: bool,
    /// The scope `offline_access`.
    pub(crate) offline: bool,
}

/// Who somebody is, as the upstream tells it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Identity {
    pub(crate) user_id: String,
    pub(crate) name: String,
    pub(crate) preferred_username: String,
    pub(crate) email: String,
    pub(crate) email_verified: bool,
    pub(crate) groups: Vec<String>,
    /// What the connector needs to ask again: a refresh token of the upstream, say.
    pub(crate) held: Option<Value>,
}

/// What the steps know besides the settings of their connector.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// Where the upstream sends people back to.
    pub(crate) callback: String,
    pub(crate) wanted: Wanted,
    /// Unix seconds.
    pub(crate) now: i64,
}

/// What is taken along to the upstream and back, sealed in `state`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Luggage {
    /// The verifier of PKCE, made before it was known whether it is needed.
    pub(crate) verifier: String,
    /// `nonce` of the request.
    pub(crate) nonce: String,
}

/// Why a conversation is had.
pub(crate) enum Purpose<'a> {
    /// Somebody wants to sign in and will be sent away with `state`.
    Depart {
        state: &'a str,
        luggage: &'a Luggage,
    },
    /// Somebody came back.
    Return {
        query: &'a [(&'a str, &'a str)],
        headers: &'a HeaderMap,
        luggage: &'a Luggage,
    },
    /// Somebody typed a name and a password.
    Password { login: &'a str, password: &'a str },
    /// A client wants new tokens for somebody who was here.
    Again { before: &'a Identity },
}

/// What a step comes to.
#[derive(Debug)]
pub(crate) enum Move<S> {
    /// The upstream is asked, and the stage goes on with its answer.
    Ask(Question, S),
    /// The browser goes to this address.
    Depart(String),
    /// It is known who it is.
    Known(Identity),
    /// The name or the password is wrong.
    Wrong,
}

impl<S> Move<S> {
    fn map<T>(self, wrap: impl FnOnce(S) -> T) -> Move<T> {
        match self {
            Self::Ask(question, stage) => Move::Ask(question, wrap(stage)),
            Self::Depart(address) => Move::Depart(address),
            Self::Known(identity) => Move::Known(identity),
            Self::Wrong => Move::Wrong,
        }
    }
}

type Turn<S> = Result<Move<S>, ConnectorFault>;

/// What an upstream is asked.
#[derive(Debug)]
pub(crate) enum Question {
    /// A request, answered by this upstream once.
    Http(http::Request<bytes::Bytes>),
    /// A document that may be kept for a while; anew when what is kept did not do.
    Document { url: String, anew: bool },
    /// Something of a directory.
    Directory(DirectoryAsk),
}

/// What it answered.
#[derive(Debug)]
pub(crate) enum Answered {
    Http(Response<bytes::Bytes>),
    Directory(DirectoryTold),
}

/// Where a conversation stands.
#[derive(Debug)]
pub(crate) enum Stage {
    Oidc(oidc::Stage),
    Ldap(ldap::Stage),
    OAuth(oauth::Stage),
    GitLab(gitlab::Stage),
}

/// How people come to a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way<'a> {
    /// A form of ours asks for this name and a password.
    Form { prompt: &'a str },
    /// Away to the upstream, and back to `/callback`.
    Away,
    /// To `/callback/{connector}`, where a proxy adds who it is.
    Proxied,
}

/// How people come to `connector`.
pub(crate) fn way(connector: &ProviderConnector) -> Way<'_> {
    match &connector.kind {
        ConnectorKind::Local => Way::Form {
            prompt: "Email address",
        },
        ConnectorKind::MockPassword { .. } => Way::Form { prompt: "Username" },
        ConnectorKind::Ldap(ldap) => Way::Form {
            prompt: &ldap.prompt,
        },
        ConnectorKind::AtlassianCrowd(crowd) => Way::Form {
            prompt: &crowd.prompt,
        },
        ConnectorKind::Keystone(_) => Way::Form { prompt: "Username" },
        ConnectorKind::AuthProxy(_) => Way::Proxied,
        ConnectorKind::MockCallback
        | ConnectorKind::Oidc(_)
        | ConnectorKind::OAuth(_)
        | ConnectorKind::GitHub(_)
        | ConnectorKind::GitLab(_)
        | ConnectorKind::Google(_)
        | ConnectorKind::Microsoft(_)
        | ConnectorKind::Gitea(_)
        | ConnectorKind::BitbucketCloud(_)
        | ConnectorKind::LinkedIn(_)
        | ConnectorKind::OpenShift(_) => Way::Away,
    }
}

/// Whether a connector can be asked again without the person. Those that cannot give no refresh
/// tokens.
pub(crate) fn asks_again(kind: &ConnectorKind) -> bool {
    !matches!(kind, ConnectorKind::AuthProxy(_) | ConnectorKind::OAuth(_))
}

/// The first step of a conversation.
pub(crate) fn begin(kind: &ConnectorKind, context: &Context, purpose: Purpose<'_>) -> Turn<Stage> {
    match kind {
        ConnectorKind::MockCallback => mock::callback(context, &purpose),
        ConnectorKind::MockPassword { username, password } => {
            mock::password(username, password, &purpose)
        }
        ConnectorKind::AuthProxy(settings) => auth_proxy::begin(settings, context, &purpose),
        ConnectorKind::Oidc(settings) => {
            Ok(oidc::begin(settings, context, purpose)?.map(Stage::Oidc))
        }
        ConnectorKind::Ldap(settings) => Ok(ldap::begin(settings, purpose)?.map(Stage::Ldap)),
        ConnectorKind::OAuth(settings) => {
            Ok(oauth::begin(settings, context, &purpose)?.map(Stage::OAuth))
        }
        ConnectorKind::GitLab(settings) => {
            Ok(gitlab::begin(settings, context, &purpose)?.map(Stage::GitLab))
        }
        // The password list is asked where it is: its hashes need threads, not an upstream.
        ConnectorKind::Local
        | ConnectorKind::GitHub(_)
        | ConnectorKind::Google(_)
        | ConnectorKind::Microsoft(_)
        | ConnectorKind::Gitea(_)
        | ConnectorKind::BitbucketCloud(_)
        | ConnectorKind::LinkedIn(_)
        | ConnectorKind::OpenShift(_)
        | ConnectorKind::AtlassianCrowd(_)
        | ConnectorKind::Keystone(_) => Err(ConnectorFault::NotForThis),
    }
}

/// The next step.
pub(crate) fn go_on(
    stage: Stage,
    kind: &ConnectorKind,
    context: &Context,
    answered: Answered,
) -> Turn<Stage> {
    match (stage, kind) {
        (Stage::Oidc(stage), ConnectorKind::Oidc(settings)) => {
            Ok(stage.next(settings, context, answered)?.map(Stage::Oidc))
        }
        (Stage::Ldap(stage), ConnectorKind::Ldap(settings)) => {
            Ok(stage.next(settings, context, answered)?.map(Stage::Ldap))
        }
        (Stage::OAuth(stage), ConnectorKind::OAuth(settings)) => {
            Ok(stage.next(settings, context, answered)?.map(Stage::OAuth))
        }
        (Stage::GitLab(stage), ConnectorKind::GitLab(settings)) => {
            Ok(stage.next(settings, context, answered)?.map(Stage::GitLab))
        }
        _ => Err(ConnectorFault::NotForThis),
    }
}

#[cfg(test)]
pub(crate) use oidc::settings as oidc_settings;
